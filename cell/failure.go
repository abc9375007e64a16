package cell

import "strings"

// Failure classes. Each takes all that the one before it takes.
const (
	GuestCrash = "guest_crash" // the guest's memory; QEMU lives on and writes its buffers out
	QEMUKill   = "qemu_kill"   // QEMU's memory, too
	HostCrash  = "host_crash"  // the host's page cache, too
	PowerLoss  = "power_loss"  // the drive's cache, too, where it is volatile
)

// FailureClasses returns the failure classes, the one that takes least first.
func FailureClasses() []string { return []string{GuestCrash, QEMUKill, HostCrash, PowerLoss} }

// Kinds of a drive's own cache.
const (
	Volatile  = "volatile"  // lost with the power: a flush or a write with O_DSYNC is needed to reach the medium
	Protected = "protected" // survives a power loss (capacitors, battery); lies before the medium all the same
	NoCache   = "none"      // what the drive has answered is on the medium
)

// DriveCaches returns the kinds of drive cache.
func DriveCaches() []string { return []string{Volatile, Protected, NoCache} }

// Question is what a safety record answers: what a failure class takes from a cell behind a kind of drive cache. Cell is empty
// where the question is asked of any cell.
type Question struct{ Cell, Class, DriveCache string }

// String returns the failure in words: "QEMU kill", "host crash", "power loss (volatile)". Only a power loss depends on the drive's
// cache.
func (q Question) String() string {
	words := strings.ReplaceAll(q.Class, "_", " ")
	if q.Class == QEMUKill {
		words = "QEMU kill"
	}
	if q.Class == PowerLoss && q.DriveCache != "" {
		words += " (" + q.DriveCache + ")"
	}
	return words
}

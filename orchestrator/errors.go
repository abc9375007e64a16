package orchestrator

// Fault says whose fault an error is.
type Fault string

// The faults of a run. Guest faults and fio's are results of a trial; the rig's end a run when they repeat.
const (
	Usage Fault = "usage" // what the user asked for cannot be
	Rig   Fault = "rig"   // libvirt, QEMU, storage: the machinery around the guest
	Guest Fault = "guest" // the guest did not boot, answer or go on
	Fio   Fault = "fio"   // fio ran and failed
)

// Error is an error with whose fault it is; its message says what to do.
type Error struct {
	Fault   Fault
	Message string
}

func (e *Error) Error() string { return e.Message }

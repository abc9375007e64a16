// Package fault says whose fault an error is: the user's, the machinery's around the guest, the guest's, or fio's. Packages that set a
// machine up and measure on it make their errors with it; exit codes and the records of failed trials are made from it.
package fault

import (
	"errors"
	"fmt"
)

// Fault is whose fault an error is. Records of failed trials and campaigns keep the word.
type Fault string

// The faults. Those of the guest, of fio and of a refused configuration are results of a trial; the rig's end a run when they repeat.
const (
	Usage   Fault = "usage"   // what the user asked for cannot be; permanent
	Rig     Fault = "rig"     // libvirt, QEMU, storage: the machinery around the guest; it may pass or be mended
	Refused Fault = "refused" // libvirt or QEMU does not accept this configuration; permanent
	Guest   Fault = "guest"   // the guest did not boot, answer, go on, or release a disk
	Fio     Fault = "fio"     // fio ran and failed
)

// Error is an error with whose fault it is. Its message is one line for people and says what to do.
type Error struct {
	Fault   Fault
	Message string
}

// New returns an Error with a formatted message. An error among args is only quoted: what lies behind it can no longer be asked for.
func New(f Fault, format string, args ...any) *Error {
	return &Error{Fault: f, Message: fmt.Sprintf(format, args...)}
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Whose returns the fault.
func (e *Error) Whose() Fault { return e.Fault }

// Of returns whose fault err is: that of the first error in its chain with a method Whose. It is "" when none has one.
func Of(err error) Fault {
	var e interface {
		error
		Whose() Fault
	}
	if errors.As(err, &e) {
		return e.Whose()
	}
	return ""
}

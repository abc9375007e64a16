// Package guest is the measuring guest: its image, the SSH connection into it, and what is done to the disk inside it.
package guest

// Error is a fault of the rig on the guest's side that a person can mend: the message says what to do.
type Error struct{ Message string }

func (e *Error) Error() string { return e.Message }

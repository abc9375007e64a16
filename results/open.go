package results

import (
	"fmt"
	"os"
	"syscall"
)

// Open opens a file of a run directory by its name below it. A run directory may come from anybody: the file must lie beneath dir, and
// be a regular file, neither link nor pipe nor device; else it is an *Error of the fault Input.
func Open(dir, name string) (*os.File, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	before, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	refused := &Error{Path: name, Fault: Input, Message: fmt.Sprintf("this is %s: a run directory has regular files alone",
		before.Mode().Type())}
	if !before.Mode().IsRegular() {
		return nil, refused
	}
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // it may have become a pipe, and nobody waits for its writer
	if err != nil {
		return nil, err
	}
	if now, err := f.Stat(); err != nil || !os.SameFile(before, now) {
		f.Close()
		return nil, refused
	}
	return f, nil
}

package hypervisor

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Kill ends QEMU with SIGKILL, as the kernel's out-of-memory killer would, and returns when libvirt knows that it is gone,
// which takes it a second or two. The process is held by a pidfd while it is looked at, so that no other one is hit.
func (d *Domain) Kill(ctx context.Context) error {
	op := "kill QEMU of domain " + d.Name()
	pid, err := d.PID(ctx)
	if err != nil {
		return err
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return rigError(op, err)
	}
	defer unix.Close(fd)
	if !isGuest(procDir, pid, d.Name()) {
		return rigError(op, errors.New("its process is gone"))
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
		return rigError(op, err)
	}
	return d.untilGone(ctx, op)
}

// Crash ends the guest without its help, as a kernel panic would: its processors stop, what QEMU has of its requests is
// completed and written, and QEMU quits. The guest's memory is gone. It returns when the domain is.
func (d *Domain) Crash(ctx context.Context) error {
	// QEMU's stop drains all requests and flushes before it returns (vm_stop in its softmmu/cpus.c).
	if _, err := d.Monitor(ctx, `{"execute":"stop"}`); err != nil {
		return fmt.Errorf("stop the processors of domain %s: %w", d.Name(), err)
	}
	if _, err := d.Monitor(ctx, `{"execute":"quit"}`); err != nil && !errors.Is(err, ErrGone) {
		// The connection may end before the reply: what counts is whether the domain goes.
		if gone := d.untilGone(ctx, "quit domain "+d.Name()); gone != nil {
			return errors.Join(err, gone)
		}
		return nil
	}
	return d.untilGone(ctx, "quit domain "+d.Name())
}

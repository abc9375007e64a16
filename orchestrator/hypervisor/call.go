package hypervisor

import (
	"context"

	"github.com/digitalocean/go-libvirt"
)

type answer[T any] struct {
	value T
	err   error
}

// call makes one call of the daemon and waits for its answer until ctx ends; op says what for, in errors.
func call[T any](ctx context.Context, h *Host, op string, f func(*libvirt.Libvirt) (T, error)) (T, error) {
	return callOrUndo(ctx, h, op, f, func(T) {})
}

// callOrUndo is call for what must not be left behind: a success that comes after ctx ended goes to undo. Exactly one
// of the caller and undo gets it.
func callOrUndo[T any](ctx context.Context, h *Host, op string, f func(*libvirt.Libvirt) (T, error), undo func(T)) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, unanswered(op, err)
	}
	if !h.admit() {
		return none, rigError(op, ErrDisconnected)
	}
	answers := make(chan answer[T]) // unbuffered: an answer is either taken or undone
	go func() {
		defer h.calls.Done()
		value, err := f(h.rpc)
		select {
		case answers <- answer[T]{value, err}:
		case <-ctx.Done():
			if err == nil {
				undo(value)
			}
		}
	}()
	select {
	case a := <-answers:
		if a.err != nil {
			return none, classify(op, a.err)
		}
		return a.value, nil
	case <-ctx.Done():
		return none, unanswered(op, ctx.Err())
	}
}

// admit counts a call, so that Close waits for it. After Close it refuses.
func (h *Host) admit() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.calls.Add(1)
	return true
}

// unanswered is the error of a call that was given up.
func unanswered(op string, err error) *Error {
	e := rigError(op, err)
	switch err {
	case context.Canceled:
		e.Message = "interrupted while waiting for libvirt"
	case context.DeadlineExceeded:
		e.Message = "libvirt did not answer in time"
		e.Hint = "see whether the daemon is stuck: virsh list"
	}
	return e
}

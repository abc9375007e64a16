package orchestrator

import (
	"context"

	"platter/orchestrator/crash"
	"platter/orchestrator/guest"
)

// Lab boots measuring guests, one at a time. The one on libvirt and the fake one of the tests pass the same suite.
type Lab interface {
	// Boot starts a guest and waits until it answers. It leaves nothing running when it fails; the error carries the
	// end of the guest's console where there is one. It may be called again after the machine before was closed, and for
	// another hypervisor while it is being closed.
	Boot(ctx context.Context, b Boot) (Machine, error)
}

// labs sends each boot to the lab of its hypervisor, by the hypervisor's name.
type labs map[string]Lab

// Boot implements Lab.
func (l labs) Boot(ctx context.Context, b Boot) (Machine, error) { return l[b.Hypervisor].Boot(ctx, b) }

// Machine is a running measuring guest: what campaigns are made on, with what trials and their records need beside it.
type Machine interface {
	crash.Machine
	// RunFio runs a job file in the guest. A fio that fails is no error.
	RunFio(ctx context.Context, device, job string) (guest.FioRun, error)
	// XML returns the live domain.
	XML(ctx context.Context) (string, error)
	// Console returns the last lines of the guest's console.
	Console() []string
	// Close ends the guest, whatever state it is in. A second call does nothing.
	Close(ctx context.Context) error
}

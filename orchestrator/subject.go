package orchestrator

import (
	"context"

	"platter/cell"
	"platter/fault"
	"platter/libvirtxml"
	"platter/orchestrator/guest"
	"platter/powercut/witness"
)

// Subject is a machine on which crash campaigns can be made.
type Subject interface {
	Machine
	// AttachWitness plugs in a second disk beside the scratch disk; Detach takes out both.
	AttachWitness(ctx context.Context, disk libvirtxml.ScratchDisk) error
	// Prefill stamps the probe's working set and tells where it stands on the disk; nothing for a raw device.
	Prefill(ctx context.Context, job guest.ProbeJob) ([]guest.Extent, error)
	// Probe runs the probe until its time is over or the machine is gone.
	Probe(ctx context.Context, job guest.ProbeJob) (guest.ProbeRun, error)
	// Check reads the probe's files back on a mounted survivor.
	Check(ctx context.Context, target string, layout witness.Layout, promised, acknowledged []uint32) (guest.ProbeLoss, error)
	// Crash ends the machine: by SIGKILL of QEMU, or for guest_crash by stopping it and letting QEMU write what it has.
	// After it the machine is good for Close only.
	Crash(ctx context.Context, class string) error
}

// subject is the machine at hand.
func (r *Run) subject() (Subject, error) {
	m, ok := r.machine.(Subject)
	if !ok {
		return nil, fault.New(fault.Rig, "this lab makes no crash campaigns")
	}
	return m, nil
}

// AttachWitness implements Subject.
func (m *liveMachine) AttachWitness(ctx context.Context, disk libvirtxml.ScratchDisk) error {
	doc, err := disk.XML()
	if err != nil {
		return fault.New(fault.Rig, "%v", err)
	}
	if err := m.domain.Attach(ctx, doc); err != nil {
		return m.explain(ctx, err)
	}
	m.witness = &disk
	return nil
}

// Prefill implements Subject.
func (m *liveMachine) Prefill(ctx context.Context, job guest.ProbeJob) ([]guest.Extent, error) {
	if err := m.client.SendProbe(ctx); err != nil {
		return nil, m.explain(ctx, err)
	}
	extents, err := m.client.PrefillProbe(ctx, job)
	return extents, m.explain(ctx, err)
}

// Probe implements Subject.
func (m *liveMachine) Probe(ctx context.Context, job guest.ProbeJob) (guest.ProbeRun, error) {
	if err := m.client.SendProbe(ctx); err != nil {
		return guest.ProbeRun{}, m.explain(ctx, err)
	}
	device, err := m.client.DeviceBySerial(ctx, witnessSerial)
	if err != nil {
		return guest.ProbeRun{}, m.explain(ctx, err)
	}
	job.Witness = device
	run, err := m.client.RunProbe(ctx, job)
	return run, m.explain(ctx, err)
}

// Check implements Subject.
func (m *liveMachine) Check(ctx context.Context, target string, layout witness.Layout, promised, acknowledged []uint32) (guest.ProbeLoss,
	error) {
	if err := m.client.SendProbe(ctx); err != nil {
		return guest.ProbeLoss{}, m.explain(ctx, err)
	}
	loss, err := m.client.CheckProbe(ctx, target, layout, promised, acknowledged)
	return loss, m.explain(ctx, err)
}

// Crash implements Subject.
func (m *liveMachine) Crash(ctx context.Context, class string) error {
	if class == cell.GuestCrash {
		return m.domain.Crash(ctx)
	}
	return m.domain.Kill(ctx)
}

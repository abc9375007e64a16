package orchestrator

import (
	"context"
	"time"

	"platter/libvirtxml"
	"platter/orchestrator/guest"
	"platter/results"
)

// Lab boots measuring guests, one at a time. The one on libvirt and the fake one of the tests pass the same suite.
type Lab interface {
	// Boot starts a guest and waits until it answers. It leaves nothing running when it fails; the error carries the
	// end of the guest's console where there is one. It may be called again after the machine before was closed.
	Boot(ctx context.Context, b Boot) (Machine, error)
}

// Machine is a running measuring guest with at most one scratch disk.
type Machine interface {
	// Attach plugs the disk in. A configuration that libvirt or QEMU refuses gives an error with the fault
	// fault.Refused and leaves the machine as it was; after any other error the machine is good for Close only. The same holds below.
	Attach(ctx context.Context, disk libvirtxml.ScratchDisk) error
	// Detach unmounts and unplugs the disk that was attached and returns when it is gone; without one it does nothing.
	Detach(ctx context.Context) error
	// Format makes a file system on the attached disk and lays out its data file.
	Format(ctx context.Context, filesystem string, fileBytes int64) error
	// Prepare waits for the attached disk inside the guest, sets it up for a trial, syncs and drops what the guest's
	// page cache holds of it.
	Prepare(ctx context.Context, s guest.Setup) (guest.Disk, error)
	// RunFio runs a job file in the guest. A fio that fails is no error.
	RunFio(ctx context.Context, device, job string) (guest.FioRun, error)
	// Read reads QEMU's side of the attached disk: effective flags and counters since it was attached.
	Read(ctx context.Context) (Reading, error)
	// XML is the live domain.
	XML(ctx context.Context) (string, error)
	// Console gives the last lines of the guest's console.
	Console() []string
	// Close ends the guest, whatever state it is in. A second call does nothing.
	Close(ctx context.Context) error
}

// Reading is QEMU's side of the scratch disk at one moment.
type Reading struct {
	Flags    results.CacheFlags
	Counters results.BlockCounters
	// ODirect reports whether QEMU holds the image with O_DIRECT; nil where /proc does not tell.
	ODirect *bool
	// CPU is the processor time that QEMU has used since it started; 0 where /proc does not tell.
	CPU time.Duration
}

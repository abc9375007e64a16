package orchestrator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"platter/cell"
	"platter/fault"
	"platter/libvirtxml"
	"platter/orchestrator/guest"
	"platter/orchestrator/hypervisor"
	"platter/orchestrator/scratch"
	"platter/powercut/witness"
	"platter/results"
)

// fakeLab is a Lab without libvirt. It passes the same suite as the real one, and can be told to fail.
type fakeLab struct {
	boots     int
	failBoot  func(boot int) error // boot counts from 1
	failFio   func(run int) error  // run counts from 1 over all machines
	fioFails  func(run int) bool   // fio itself ends with an error
	fioSays   string               // its words then
	flags     func(want results.CacheFlags) results.CacheFlags
	runs      int
	open      int        // machines not closed
	mu        sync.Mutex // of open: one machine may be closed while another boots
	failClose func(b Boot) error
	booted    []Boot
	// formatted are the images with a file system.
	formatted map[string]bool
}

func (l *fakeLab) Boot(ctx context.Context, b Boot) (Machine, error) {
	l.boots++
	l.booted = append(l.booted, b)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if l.failBoot != nil {
		if err := l.failBoot(l.boots); err != nil {
			return nil, &BootError{Err: err, Console: []string{"Linux version fake", "Kernel panic - not syncing"}}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open++
	return &fakeMachine{lab: l, boot: b}, nil
}

type fakeMachine struct {
	lab      *fakeLab
	boot     Boot
	disk     *libvirtxml.ScratchDisk
	counters results.BlockCounters
	setup    guest.Setup
	witness  bool // whether a witness disk is attached
	closed   bool
}

func (m *fakeMachine) Format(context.Context, string, int64) error {
	if m.disk == nil {
		return errors.New("no disk")
	}
	if m.lab.formatted == nil {
		m.lab.formatted = map[string]bool{}
	}
	m.lab.formatted[m.disk.Source.Path] = true
	return nil
}

// flags are those of the disk's cache mode, as the guest's cache_type changes them.
func (m *fakeMachine) flags() results.CacheFlags {
	return scratch.Flags(cellWith("disk.cache", m.cache(), "guest.cache_type", m.setup.CacheType))
}

func (m *fakeMachine) cache() string {
	for _, a := range m.disk.Driver {
		if a.Name == "cache" {
			return a.Value
		}
	}
	return ""
}

func (m *fakeMachine) Attach(_ context.Context, d libvirtxml.ScratchDisk) error {
	if d.Serial == scratch.WitnessSerial {
		m.witness = true
		return nil
	}
	if m.disk != nil {
		return errors.New("a disk is attached")
	}
	for _, a := range d.Driver {
		cached := !slices.ContainsFunc(d.Driver, func(o libvirtxml.Attr) bool {
			return o.Name == "cache" && (o.Value == "none" || o.Value == "directsync")
		})
		if a.Name == "io" && a.Value == "native" && cached {
			return &hypervisor.Error{Op: "attach", Fault: fault.Refused, Message: "native I/O needs either no disk cache or directsync cache mode"}
		}
	}
	m.disk, m.counters = &d, results.BlockCounters{}
	return nil
}

func (m *fakeMachine) Detach(context.Context) error {
	m.disk, m.witness = nil, false
	return nil
}

func (m *fakeMachine) Prepare(_ context.Context, s guest.Setup) (guest.Disk, error) {
	if m.disk == nil {
		return guest.Disk{}, errors.New("no disk")
	}
	if s.Filesystem != "none" && !m.lab.formatted[m.disk.Source.Path] {
		return guest.Disk{}, errors.New("no file system")
	}
	m.setup = s
	return guest.Disk{Device: "/dev/vdb", Target: "/dev/vdb", Sysfs: map[string]string{"queue/write_cache": "write back"}}, nil
}

// fakeFio is the JSON of a run of 1000 writes of 4 KiB with syncs syncs.
const fakeFio = `{"fio version":"fio-3.33","jobs":[{"jobname":"platter","error":%d,"job_runtime":%d,"job options":{"rw":"randwrite"},
"read":{"io_bytes":0,"bw_bytes":0,"iops":0,"runtime":0,"total_ios":0},
"write":{"io_bytes":4096000,"bw_bytes":2730666,"iops":666.6,"runtime":%d,"total_ios":1000,"lat_ns":{"min":1000,"max":2000,"mean":1500,"stddev":1,"N":1000,"bins":{"1000":500,"2000":500}}},
"trim":{"io_bytes":0,"bw_bytes":0,"iops":0,"runtime":0,"total_ios":0},
"sync":{"total_ios":%d,"lat_ns":{"min":1,"max":2,"mean":1,"stddev":1,"N":%d,"bins":{"1":%d}}}}]}`

func (m *fakeMachine) RunFio(ctx context.Context, _, job string) (guest.FioRun, error) {
	m.lab.runs++
	if m.lab.failFio != nil {
		if err := m.lab.failFio(m.lab.runs); err != nil {
			return guest.FioRun{}, err
		}
	}
	if ctx.Err() != nil {
		return guest.FioRun{}, ctx.Err()
	}
	if m.lab.fioFails != nil && m.lab.fioFails(m.lab.runs) || strings.Contains(job, "nosuchdevice") {
		return guest.FioRun{Status: 1, Text: cmp.Or(m.lab.fioSays, "fio: pid=1, err=5/file:io_u.c, Input/output error\n"),
			JSON: fmt.Appendf(nil, fakeFio, 5, 1, 1, 0, 0, 0)}, nil
	}
	syncs := int64(0)
	if strings.Contains(job, "fsync=1\n") {
		syncs = 1000
	}
	m.counters.WriteOps += 1000
	m.counters.WriteBytes += 4096000
	f := m.flags()
	if m.setup.WriteCache == "write through" || m.setup.Barrier == "off" && m.setup.Filesystem != "none" {
		f.Writeback = false // the guest's kernel sends no flush
	}
	run := guest.FioRun{JSON: fmt.Appendf(nil, fakeFio, 0, 500, 500, syncs, syncs, syncs)}
	if f.Writeback {
		m.counters.FlushOps += syncs
		run.Flushes = syncs
	}
	if _, rest, ok := strings.Cut(job, "log_avg_msec="); ok {
		ms := 0
		fmt.Sscan(rest, &ms)
		for i := range 10 {
			run.IOPSLog = fmt.Appendf(run.IOPSLog, "%d, 1000, 1, 0, 0\n", (i+1)*ms)
		}
	}
	return run, nil
}

func (m *fakeMachine) Read(context.Context) (scratch.Reading, error) {
	if m.disk == nil {
		return scratch.Reading{}, errors.New("no disk")
	}
	f := m.flags()
	if m.lab.flags != nil {
		f = m.lab.flags(f)
	}
	return scratch.Reading{Flags: f, Counters: m.counters, ODirect: &f.Direct}, nil
}

func (m *fakeMachine) XML(context.Context) (string, error) {
	if m.disk == nil {
		return "<domain/>", nil
	}
	return m.disk.XML()
}

func (m *fakeMachine) Prefill(context.Context, guest.ProbeJob) ([]guest.Extent, error) {
	if m.disk == nil {
		return nil, errors.New("no disk")
	}
	return nil, nil
}

func (m *fakeMachine) Probe(_ context.Context, job guest.ProbeJob) (guest.ProbeRun, error) {
	if m.disk == nil || !m.witness {
		return guest.ProbeRun{}, errors.New("no disk or no witness disk")
	}
	return guest.ProbeRun{IODepth: job.IODepth, Jobs: []guest.ProbeJobRun{{Writes: 10, Acknowledged: 10, Promised: 10, Syncs: 10}}}, nil
}

func (m *fakeMachine) Check(_ context.Context, _ string, _ witness.Layout, promised, _ []uint32) (guest.ProbeLoss, error) {
	var loss guest.ProbeLoss
	for _, n := range promised {
		loss.Promises += int64(n)
		loss.PromisesLost += max(0, int64(n)-10)
	}
	return loss, nil
}

func (m *fakeMachine) Crash(context.Context, string) error {
	m.disk = nil
	return nil
}

func (m *fakeMachine) Console() []string { return []string{"Linux version fake"} }

func (m *fakeMachine) Close(context.Context) error {
	m.lab.mu.Lock()
	defer m.lab.mu.Unlock()
	if !m.closed {
		m.closed = true
		m.lab.open--
	}
	if m.lab.failClose != nil {
		return m.lab.failClose(m.boot)
	}
	return nil
}

// cellWith is a cell of some settings, name and value in turn.
func cellWith(settings ...string) cell.Cell {
	var c cell.Cell
	for i := 0; i < len(settings); i += 2 {
		c.Settings = append(c.Settings, cell.Setting{Name: settings[i], Value: cell.Value{V: settings[i+1]}})
	}
	return c
}

package orchestrator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"platter/cell"
	"platter/fault"
	"platter/libvirtxml"
	"platter/orchestrator/guest"
	"platter/orchestrator/host"
	"platter/orchestrator/hypervisor"
	"platter/orchestrator/scratch"
	"platter/powercut/witness"
)

// liveMachine is a guest on libvirt.
type liveMachine struct {
	lab     *liveLab
	boot    Boot
	domain  *hypervisor.Domain
	client  *guest.Client // nil until the guest answered
	console string
	disks   []libvirtxml.ScratchDisk // that are attached: the scratch disk, and the witness's
	mounted bool                     // whether the disk's file system is mounted in the guest
	fio     *guest.Fio               // waits for its job; nil before the first disk
	ended   bool                     // the guest went with a disk that could not be unplugged; the next disk brings another
	before  string                   // XML of the guest before such a disk
}

// startFio starts the fio that will wait for the next job, while the disk is being plugged in.
func (m *liveMachine) startFio(ctx context.Context) {
	if m.fio == nil {
		m.fio = m.client.StartFio(context.WithoutCancel(ctx))
	}
}

// Attach implements crash.Disks.
func (m *liveMachine) Attach(ctx context.Context, disk libvirtxml.ScratchDisk) error {
	if m.lab.histograms && disk.Serial == scratch.Serial {
		disk.FlushBins = hypervisor.FlushBins()
	}
	doc, err := disk.XML()
	if err != nil {
		return &hypervisor.Error{Op: "attach scratch disk", Fault: fault.Refused, Message: err.Error(), Err: err}
	}
	if disk.Cold() {
		return m.restart(ctx, disk)
	}
	if m.ended {
		if err := m.replace(ctx, nil); err != nil {
			return err
		}
	}
	m.startFio(ctx)
	if err := m.domain.Attach(ctx, doc); err != nil {
		return m.explain(ctx, err)
	}
	m.disks = append(m.disks, disk)
	return nil
}

// restart has a disk that must be there from the start: another guest with it takes the place of the one at hand. Where that is refused,
// one without a disk does.
func (m *liveMachine) restart(ctx context.Context, disk libvirtxml.ScratchDisk) error {
	if len(m.disks) > 0 {
		return fault.New(fault.Rig, "a disk on %s is there from the start, and %s is attached already", disk.Bus, m.disks[0].Target)
	}
	before, err := m.XML(ctx)
	if err != nil {
		return err
	}
	err = m.replace(ctx, &disk)
	if fault.Of(err) == fault.Refused {
		return errors.Join(err, m.replace(ctx, nil))
	}
	if err != nil {
		return err
	}
	m.disks = append(m.disks, disk)
	m.before = before
	m.startFio(ctx)
	return nil
}

// replace ends the guest and starts another one like it, with a disk or, with nil, without one.
func (m *liveMachine) replace(ctx context.Context, disk *libvirtxml.ScratchDisk) error {
	if err := m.Close(ctx); err != nil {
		return err
	}
	if disk == nil && m.lab.saved[m.boot] != "" {
		other, err := m.lab.restore(ctx, m.boot)
		if err == nil {
			*m = *other
		}
		return err
	}
	other, err := m.lab.startWith(ctx, m.boot, disk)
	if err == nil {
		*m = *other
	}
	return err
}

// Detach implements crash.Disks. The disk that was attached last goes first. One that cannot be unplugged goes with its guest.
func (m *liveMachine) Detach(ctx context.Context) error {
	for len(m.disks) > 0 {
		last := m.disks[len(m.disks)-1]
		if last.Cold() {
			if m.mounted {
				if err := m.client.Release(ctx); err != nil {
					return m.explain(ctx, err)
				}
			}
			if err := m.Close(ctx); err != nil {
				return err
			}
			m.mounted, m.ended, m.disks = false, true, nil
			return nil
		}
		if last.Serial == scratch.Serial {
			m.startFio(ctx)
			if m.mounted {
				if err := m.client.Release(ctx); err != nil {
					return m.explain(ctx, err)
				}
				m.mounted = false
			}
		}
		if err := m.domain.Detach(ctx, last.Target); err != nil {
			return m.explain(ctx, err)
		}
		m.disks = m.disks[:len(m.disks)-1]
	}
	return nil
}

// scratch returns the scratch disk; the zero value while none is attached.
func (m *liveMachine) scratch() libvirtxml.ScratchDisk {
	for _, d := range m.disks {
		if d.Serial == scratch.Serial {
			return d
		}
	}
	return libvirtxml.ScratchDisk{}
}

// Prepare implements crash.Disks.
func (m *liveMachine) Prepare(ctx context.Context, s guest.Setup) (guest.Disk, error) {
	m.mounted = s.Filesystem != "none"
	d, err := m.client.Prepare(ctx, scratch.Serial, s)
	return d, m.explain(ctx, err)
}

// Format implements crash.Disks.
func (m *liveMachine) Format(ctx context.Context, filesystem string, fileBytes int64) error {
	return m.explain(ctx, m.client.Format(ctx, scratch.Serial, filesystem, fileBytes))
}

// RunFio implements Machine.
func (m *liveMachine) RunFio(ctx context.Context, device, job string) (guest.FioRun, error) {
	waiting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go m.watchDeath(waiting, cancel)
	m.startFio(ctx)
	fio := m.fio
	m.fio = nil
	run, err := fio.Run(waiting, device, job)
	if cause := context.Cause(waiting); err != nil && cause != nil && ctx.Err() == nil {
		return run, cause
	}
	return run, m.explain(ctx, err)
}

// Read implements crash.Disks.
func (m *liveMachine) Read(ctx context.Context) (scratch.Reading, error) {
	disk := m.scratch()
	flags, err := m.domain.CacheFlags(ctx, disk.Target)
	if err != nil {
		return scratch.Reading{}, m.explain(ctx, err)
	}
	counters, err := m.domain.BlockCounters(ctx, disk.Target)
	if err != nil {
		return scratch.Reading{}, m.explain(ctx, err)
	}
	r := scratch.Reading{Flags: flags, Counters: counters}
	if m.lab.histograms {
		if r.FlushLatency, err = m.domain.FlushLatency(ctx, disk.Target); err != nil {
			return scratch.Reading{}, m.explain(ctx, err)
		}
	}
	if direct, err := m.domain.ImageODirect(ctx, disk.Source.Path); err == nil {
		r.ODirect = &direct
	}
	if pid, err := m.domain.PID(ctx); err == nil {
		r.CPU = host.ProcessCPU(pid)
	}
	return r, nil
}

// XML implements Machine.
func (m *liveMachine) XML(ctx context.Context) (string, error) {
	if m.ended { // the next guest will be like the one before that disk
		return m.before, nil
	}
	return m.domain.XML(ctx)
}

// How much of the console goes into the record of a failed trial: the last lines, within the last bytes.
const (
	consoleLines = 20
	consoleTail  = 64 << 10
)

// readTail reads the last bytes of a file. A guest may write to its console without end.
func readTail(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.NewSectionReader(f, max(0, size-most), min(size, most)))
}

// Console implements Machine.
func (m *liveMachine) Console() []string {
	text, err := readTail(m.console, consoleTail)
	if err != nil {
		return nil
	}
	return endOfConsole(string(bytes.ToValidUTF8(text, nil)))
}

// endOfConsole returns the last lines of the console, and before them the line in which the kernel says why it gave up: a long trace of
// calls may come after that.
func endOfConsole(text string) []string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	begin := max(0, len(lines)-consoleLines)
	var kept []string
	if i := slices.IndexFunc(lines[:begin], isPanic); i >= 0 {
		kept = append(kept, strings.TrimRight(lines[i], "\r"))
	}
	for _, l := range lines[begin:] {
		if l = strings.TrimRight(l, "\r"); l != "" {
			kept = append(kept, l)
		}
	}
	return kept
}

// isPanic reports whether the line is the kernel's reason for giving up (kernel/panic.c), and not its last line, which repeats it.
func isPanic(line string) bool {
	return strings.Contains(line, "Kernel panic - not syncing") && !strings.Contains(line, "end Kernel panic")
}

// Close implements Machine.
func (m *liveMachine) Close(ctx context.Context) error {
	if m.fio != nil {
		m.fio.Close()
		m.fio = nil
	}
	if m.client != nil {
		m.client.Close()
		m.client = nil
	}
	return m.domain.Destroy(ctx)
}

// watchDeath ends a wait with the cause when the domain stops running.
func (m *liveMachine) watchDeath(ctx context.Context, end context.CancelCauseFunc) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(500 * time.Millisecond):
		}
		if err := m.dead(ctx); err != nil {
			end(err)
			return
		}
	}
}

// dead says how the domain ended if it no longer runs.
func (m *liveMachine) dead(ctx context.Context) error {
	state, err := m.domain.State(ctx)
	if err != nil || state.Name != hypervisor.ShutOff {
		return nil
	}
	message := fmt.Sprintf("QEMU of domain %s ended (%s)", m.domain.Name(), state.Reason)
	if log, err := m.domain.Log(); err == nil && len(log) > 0 {
		message += ": its log ends with: " + log[len(log)-1]
	}
	return fault.New(fault.Rig, "%s", message)
}

// deathLimit is how long a killed QEMU may take to be seen as gone: about 1.6 s here.
const deathLimit = 5 * time.Second

// explain says that QEMU died where that is behind an error. A broken connection is waited on, since libvirt learns of
// the death a little later.
func (m *liveMachine) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deathLimit)
	defer cancel()
	for {
		if dead := m.dead(ctx); dead != nil {
			return dead
		}
		if !errors.Is(err, guest.ErrLost) || ctx.Err() != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// Prefill implements crash.Prober.
func (m *liveMachine) Prefill(ctx context.Context, job guest.ProbeJob) ([]guest.Extent, error) {
	if err := m.client.SendProbe(ctx); err != nil {
		return nil, m.explain(ctx, err)
	}
	extents, err := m.client.PrefillProbe(ctx, job)
	return extents, m.explain(ctx, err)
}

// Probe implements crash.Prober.
func (m *liveMachine) Probe(ctx context.Context, job guest.ProbeJob) (guest.ProbeRun, error) {
	if err := m.client.SendProbe(ctx); err != nil {
		return guest.ProbeRun{}, m.explain(ctx, err)
	}
	device, err := m.client.DeviceBySerial(ctx, scratch.WitnessSerial)
	if err != nil {
		return guest.ProbeRun{}, m.explain(ctx, err)
	}
	job.Witness = device
	run, err := m.client.RunProbe(ctx, job)
	return run, m.explain(ctx, err)
}

// Check implements crash.Prober.
func (m *liveMachine) Check(ctx context.Context, target string, layout witness.Layout, promised, acknowledged []uint32) (guest.ProbeLoss,
	error) {
	if err := m.client.SendProbe(ctx); err != nil {
		return guest.ProbeLoss{}, m.explain(ctx, err)
	}
	loss, err := m.client.CheckProbe(ctx, target, layout, promised, acknowledged)
	return loss, m.explain(ctx, err)
}

// Crash implements crash.Machine.
func (m *liveMachine) Crash(ctx context.Context, class string) error {
	if class == cell.GuestCrash {
		return m.domain.Crash(ctx)
	}
	return m.domain.Kill(ctx)
}

// waitForNetwork waits until a guest that boots says on its console that it has its network. Earlier connections would be accepted by
// QEMU and answered late or never, and each that is given up costs the guest a process of sshd when it has least time for it.
func (m *liveMachine) waitForNetwork(ctx context.Context) error {
	for {
		if text, _ := readTail(m.console, consoleTail); bytes.Contains(text, []byte(guest.UpLine)) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("guest did not come up: %w", context.Cause(ctx))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

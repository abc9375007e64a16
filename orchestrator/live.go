package orchestrator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
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

// liveLab boots guests on libvirt. The first boot of a configuration is a real one; from the second on, or after the first where
// guests will be crashed, a saved guest is restored. A saved guest has no scratch disk and its root is read-only: its memory
// never meets a changed disk.
type liveLab struct {
	host   *hypervisor.Host
	tag    string // behind the names of domain and files, so that those of several labs differ; empty for the only one
	image  *guest.Image
	work   *workdir
	accel  string        // "kvm" or "tcg"
	reason string        // why it is that one
	limit  time.Duration // of a boot
	boots  map[Boot]int
	saved  map[Boot]string // where the saved guest is; empty while there is none
	saves  int             // guests saved, for the names of the files
	plain  map[Boot]bool   // saving or restoring failed: guests are booted
	took   time.Duration   // by the slowest boot
	// again says that guests will be started often: the first one is saved already, and where crash says that they will run the probe, with
	// that in it.
	again, crash bool
	// histograms says that the hypervisor keeps histograms of flush latencies.
	histograms bool
}

func newLiveLab(host *hypervisor.Host, image *guest.Image, work *workdir, accel string) *liveLab {
	return &liveLab{host: host, image: image, work: work, accel: accel, limit: bootLimit, boots: map[Boot]int{}, saved: map[Boot]string{},
		plain: map[Boot]bool{}}
}

// Limits of a boot: under emulation a boot takes about 4 s, a restored guest answers at once. On a host that is busy with something else
// both take many times as long: a restored guest is given several times what a boot took.
const (
	bootLimit    = 120 * time.Second
	restoreLimit = 30 * time.Second
	restoreBoots = 5
	startTries   = 3
)

// Boot implements Lab.
func (l *liveLab) Boot(ctx context.Context, b Boot) (Machine, error) {
	if l.saved[b] != "" {
		m, err := l.restore(ctx, b)
		if err == nil || ctx.Err() != nil {
			return m, err
		}
		l.saved[b], l.plain[b] = "", true // a saved guest that does not come back is not tried again
	}
	m, err := l.start(ctx, b)
	if err != nil {
		return nil, err
	}
	l.boots[b]++
	if l.boots[b] == 1 && !l.again || l.plain[b] {
		return m, nil
	}
	saved, err := l.save(ctx, b, m)
	if err == nil || ctx.Err() != nil {
		return saved, err
	}
	l.saved[b], l.plain[b] = "", true // no space for a guest's memory, for example: that ends no run
	return l.start(ctx, b)
}

// start boots a guest from its kernel.
func (l *liveLab) start(ctx context.Context, b Boot) (*liveMachine, error) {
	return l.startWith(ctx, b, nil)
}

// startWith boots a guest that has a scratch disk from the start; nil for none.
func (l *liveLab) startWith(ctx context.Context, b Boot, disk *libvirtxml.ScratchDisk) (*liveMachine, error) {
	ctx, cancel := context.WithTimeout(ctx, l.limit)
	defer cancel()
	for try := 1; ; try++ {
		began := time.Now()
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		described := l.domain(b, port)
		described.Scratch = disk
		doc, err := described.XML()
		if err != nil {
			return nil, fmt.Errorf("write domain XML: %w", err)
		}
		domain, err := l.host.Start(ctx, doc)
		if err != nil {
			// Between looking for a free port and QEMU's bind another process may have taken it.
			if strings.Contains(err.Error(), "host forwarding rule") && try < startTries {
				continue
			}
			return nil, err
		}
		m, err := l.meet(ctx, b, domain, port, true)
		if err != nil {
			return nil, err
		}
		took := time.Since(began)
		out, err := m.client.Run(ctx, "cat /proc/uptime", nil)
		if err == nil {
			err = checkClock(string(out.Stdout), time.Since(began))
		}
		if err == nil {
			l.took = max(l.took, took)
			return m, nil
		}
		closing, cancelClose := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
		err = errors.Join(&BootError{Err: err, Console: m.Console()}, m.Close(closing))
		cancelClose()
		if try == startTries || !errors.Is(err, errClock) {
			return nil, err
		}
	}
}

// errClock says that a guest's clock runs at a wrong rate.
var errClock = errors.New("the guest's clock runs too fast")

// checkClock fails for a guest whose own time since its start, which /proc/uptime begins with, is more than the time since its QEMU was
// started. A kernel that is stalled while it calibrates the time stamp counter against the timer of 1981 takes a rate that is several times
// too low, and with tsc=reliable it keeps it: then every latency and rate that fio reports is wrong by that factor.
func checkClock(uptime string, since time.Duration) error {
	var seconds float64
	if _, err := fmt.Sscan(uptime, &seconds); err != nil {
		return fmt.Errorf("read the guest's uptime %q: %w", uptime, err)
	}
	if seconds > since.Seconds() {
		return fmt.Errorf("%w: it says that %.1f s passed in %.1f s", errClock, seconds, since.Seconds())
	}
	return nil
}

// meet connects to a guest that was just restored, or started if it boots, and ends it if that fails.
func (l *liveLab) meet(ctx context.Context, b Boot, domain *hypervisor.Domain, port int, boots bool) (*liveMachine, error) {
	m := &liveMachine{lab: l, boot: b, domain: domain, console: l.consolePath()}
	waiting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go m.watchDeath(waiting, cancel)
	var err error
	if boots {
		err = m.waitForNetwork(waiting)
	}
	var client *guest.Client
	if err == nil {
		client, err = guest.Dial(waiting, fmt.Sprintf("127.0.0.1:%d", port), l.image)
	}
	if err == nil {
		m.client = client
		return m, nil
	}
	if cause := context.Cause(waiting); cause != nil && ctx.Err() == nil {
		err = cause
	}
	failed := &BootError{Err: err, Console: m.Console()}
	closing, cancelClose := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
	defer cancelClose()
	return nil, errors.Join(failed, m.Close(closing))
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

// save saves the running guest and goes on with it restored.
func (l *liveLab) save(ctx context.Context, b Boot, m *liveMachine) (Machine, error) {
	ctx, cancel := context.WithTimeout(ctx, max(bootLimit, restoreBoots*l.took))
	defer cancel()
	if l.crash {
		// A failure shows again, with its reason, when the probe is run.
		_ = m.client.SendProbe(ctx)
	}
	m.client.Close()
	l.saves++
	path := fmt.Sprintf("%s%s.%d", l.work.savedPath(), l.tag, l.saves)
	if err := m.domain.Save(ctx, path); err != nil {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
		defer cancel()
		return nil, errors.Join(fmt.Errorf("save guest: %w", err), m.Close(closing))
	}
	l.saved[b] = path
	return l.restore(ctx, b)
}

func (l *liveLab) domainName() string  { return l.work.domainName() + l.tag }
func (l *liveLab) consolePath() string { return l.work.consolePath() + l.tag }

// restore wakes the saved guest.
func (l *liveLab) restore(ctx context.Context, b Boot) (*liveMachine, error) {
	ctx, cancel := context.WithTimeout(ctx, max(restoreLimit, restoreBoots*l.took))
	defer cancel()
	doc, err := l.host.SavedXML(ctx, l.saved[b])
	if err != nil {
		return nil, err
	}
	port, err := forwardedPort(doc)
	if err != nil {
		return nil, err
	}
	domain, err := l.host.Restore(ctx, l.saved[b], doc)
	if err != nil {
		return nil, err
	}
	return l.meet(ctx, b, domain, port, false)
}

// domain describes the throw-away guest.
func (l *liveLab) domain(b Boot, port int) libvirtxml.Domain {
	kind, cmdline := l.accel, l.image.CommandLine()
	if l.accel == "tcg" {
		// An emulated guest takes its time stamp counters for unsynchronised and reads a slow emulated timer instead, at
		// each of fio's time stamps. They are the host's one counter.
		kind, cmdline = "qemu", cmdline+" tsc=reliable"
	}
	return libvirtxml.Domain{
		Name:        l.domainName(),
		Type:        kind,
		Emulator:    b.Emulator,
		MemoryBytes: b.MemoryBytes,
		VCPUs:       b.VCPUs,
		IOThreads:   b.IOThreads,
		SCSI:        b.SCSI,
		Kernel:      l.image.KernelPath(),
		Initrd:      l.image.InitrdPath(),
		Cmdline:     cmdline,
		Root:        l.image.RootPath(),
		RootSerial:  "platter-root",
		ConsoleLog:  l.consolePath(),
		SSHPort:     port,
		RunDir:      l.work.path,
	}
}

// forwardedPort finds the SSH port in a domain XML of ours.
func forwardedPort(doc string) (int, error) {
	_, rest, ok := strings.Cut(doc, "hostfwd=tcp:127.0.0.1:")
	var port int
	if !ok {
		return 0, errors.New("saved guest has no SSH port")
	}
	if _, err := fmt.Sscanf(rest, "%d-:22", &port); err != nil {
		return 0, fmt.Errorf("saved guest's SSH port: %w", err)
	}
	return port, nil
}

// freePort finds a TCP port on loopback that nobody listens on now.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fault.New(fault.Rig, "find a free port on loopback: %v", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

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
	plain   string                   // XML of the guest before such a disk
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

// restart has a disk that must be there from the start: another guest with it takes the place of the one at hand. Where that is refused, one
// without a disk does.
func (m *liveMachine) restart(ctx context.Context, disk libvirtxml.ScratchDisk) error {
	if len(m.disks) > 0 {
		return fault.New(fault.Rig, "a disk on %s is there from the start, and %s is attached already", disk.Bus, m.disks[0].Target)
	}
	plain, err := m.XML(ctx)
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
	m.plain = plain
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
		return m.plain, nil
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

package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"platter/fault"
	"platter/libvirtxml"
	"platter/orchestrator/guest"
	"platter/orchestrator/hypervisor"
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

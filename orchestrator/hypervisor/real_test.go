package hypervisor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"platter/fault"
	"platter/results"
)

// These tests need libvirt, QEMU and root. They start guests that have no more than their firmware, under emulation,
// and touch only domains whose names begin with realPrefix.
const (
	realVariable = "PLATTER_REAL"
	realPrefix   = "platter-hyptest-"
	// childVariable makes the test binary start the domain that it names and wait to be killed.
	childVariable = "PLATTER_HYPTEST_CHILD"
	mebibyte      = 1 << 20
)

func TestMain(m *testing.M) {
	if name := os.Getenv(childVariable); name != "" {
		os.Exit(startAndWait(name))
	}
	os.Exit(m.Run())
}

// realHost connects to the system's libvirt, or skips the test.
func realHost(t *testing.T) *Host {
	t.Helper()
	if os.Getenv(realVariable) != "1" {
		t.Skipf("needs libvirt, QEMU and root: set %s=1 to run it", realVariable)
	}
	return connectReal(t)
}

func connectReal(t *testing.T) *Host {
	t.Helper()
	h, err := Connect(t.Context(), DefaultURI)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// realDir is a directory that QEMU's user can enter.
func realDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", realPrefix)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func realImage(t *testing.T, dir, name string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	writeFile(t, path, "")
	if err := os.Truncate(path, 8*mebibyte); err != nil {
		t.Fatal(err)
	}
	return path
}

func realName(t *testing.T) string {
	return fmt.Sprintf("%s%d-%s", realPrefix, os.Getpid(), strings.ToLower(t.Name()[:min(40, len(t.Name()))]))
}

// realDomain is a q35 guest without an operating system: 7 free PCI ports, one SCSI controller, and the given disks.
// Its firmware never answers an unplug request of ACPI's; without ACPI hot-plug, PCI ports that nothing has powered on
// let go of a device at once.
func realDomain(name string, acpi bool, disks ...string) string {
	options := ""
	if !acpi {
		options = "<qemu:commandline><qemu:arg value='-global'/><qemu:arg " +
			"value='ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off'/></qemu:commandline>"
	}
	return fmt.Sprintf(`<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>%s</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features>
  <devices>
    <controller type='pci' model='pcie-root'/>%s
    <controller type='scsi' model='virtio-scsi'/><controller type='usb' model='none'/>
    <memballoon model='none'/>%s
  </devices>%s
</domain>`, name, strings.Repeat("<controller type='pci' model='pcie-root-port'/>", 8), strings.Join(disks, ""), options)
}

func realDisk(image, target, bus, cache, io string) string {
	return fmt.Sprintf(`<disk type='file' device='disk'><driver name='qemu' type='raw' cache='%s' io='%s'/><source file='%s'/><target dev='%s' bus='%s'/></disk>`,
		cache, io, image, target, bus)
}

// startReal starts a domain and destroys it at the end.
func startReal(t *testing.T, h *Host, xml string) *Domain {
	t.Helper()
	d, err := h.Start(t.Context(), xml)
	if err != nil {
		t.Fatal(err)
	}
	destroyAtEnd(t, d)
	return d
}

func destroyAtEnd(t *testing.T, d *Domain) {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := d.Destroy(ctx); err != nil {
			t.Error(err)
		}
	})
}

// requireGone fails unless libvirt forgets the domain and its process ends within some seconds.
func requireGone(t *testing.T, h *Host, name string, pid int) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for {
		_, err := h.Lookup(t.Context(), name)
		if errors.Is(err, ErrGone) && !isGuest(procDir, pid, name) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("domain %s is still there (look-up: %v, process %d is QEMU: %v)", name, err, pid, isGuest(procDir, pid, name))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func mustPID(t *testing.T, d *Domain) int {
	t.Helper()
	pid, err := d.PID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func TestRealFactsAreComplete(t *testing.T) {
	h := realHost(t)
	f, err := h.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", f)
	if f.URI != DefaultURI || !strings.HasSuffix(f.Socket, "-sock") || f.Hostname == "" || !strings.Contains(f.Emulator, "qemu") {
		t.Errorf("incomplete: %+v", f)
	}
	if f.Libvirt < "1" || strings.Count(f.QEMU, ".") != 2 || f.QEMU == "0.0.0" {
		t.Errorf("the versions are %q and %q", f.Libvirt, f.QEMU)
	}
	out, err := exec.CommandContext(t.Context(), f.Emulator, "--version").Output()
	if err != nil || !strings.Contains(string(out), "version "+f.QEMU) {
		t.Errorf("the emulator says %q (%v), the facts say %q", out, err, f.QEMU)
	}
}

func TestRealDomainLivesFromStartToDestroy(t *testing.T) {
	h := realHost(t)
	name := realName(t)
	d := startReal(t, h, realDomain(name, true))
	if s, err := d.State(t.Context()); err != nil || s != (State{Running, "booted"}) {
		t.Errorf("the state is %v, %v", s, err)
	}
	pid := mustPID(t, d)
	if scanned, ok := scanForGuest(procDir, name); !ok || scanned != pid {
		t.Errorf("the pid file says %d, the scan %d", pid, scanned)
	}
	if text, err := d.XML(t.Context()); err != nil || !strings.Contains(text, d.UUID()) {
		t.Errorf("the XML lacks the UUID %s: %v", d.UUID(), err)
	}
	if lines, err := d.Log(); err != nil || len(lines) == 0 {
		t.Errorf("the log is %q, %v", lines, err)
	}
	if value, err := d.Monitor(t.Context(), `{"execute":"query-status"}`); err != nil || !strings.Contains(string(value), "running") {
		t.Errorf("the monitor says %s, %v", value, err)
	}
	requireListed(t, h, d)
	if _, err := h.Start(t.Context(), realDomain(name, true)); err == nil || fault.Of(err) != fault.Rig ||
		!strings.Contains(err.Error(), "virsh destroy") {
		t.Errorf("a second start: got %v", err)
	}
	for range 2 {
		if err := d.Destroy(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.Lookup(t.Context(), name); !errors.Is(err, ErrGone) {
		t.Errorf("after Destroy the look-up says %v", err)
	}
	if s, err := d.State(t.Context()); err != nil || s != (State{ShutOff, "destroyed"}) {
		t.Errorf("after Destroy the state is %v, %v", s, err)
	}
	if _, err := d.PID(t.Context()); !errors.Is(err, ErrGone) {
		t.Errorf("after Destroy the pid says %v", err)
	}
	if _, err := d.CacheFlags(t.Context(), "vda"); !errors.Is(err, ErrGone) {
		t.Errorf("after Destroy the cache flags say %v", err)
	}
}

func requireListed(t *testing.T, h *Host, d *Domain) {
	t.Helper()
	list, err := h.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range list {
		if entry.UUID() == d.UUID() && entry.Name() == d.Name() && strings.Contains(entry.XML, d.Name()) {
			return
		}
	}
	t.Errorf("domain %s is not listed", d.Name())
}

func TestRealCacheModesHaveTheFlagsOfQEMUsManual(t *testing.T) {
	h := realHost(t)
	dir := realDir(t)
	d := startReal(t, h, realDomain(realName(t), true))
	for _, test := range []struct {
		target, bus, cache, io string
		want                   results.CacheFlags
	}{
		{"vda", "virtio", "writeback", "threads", results.CacheFlags{Writeback: true}},
		{"vdb", "virtio", "none", "native", results.CacheFlags{Writeback: true, Direct: true}},
		{"vdc", "virtio", "writethrough", "threads", results.CacheFlags{}},
		{"vdd", "virtio", "directsync", "threads", results.CacheFlags{Direct: true}},
		{"vde", "virtio", "unsafe", "threads", results.CacheFlags{Writeback: true, NoFlush: true}},
		{"sda", "scsi", "none", "threads", results.CacheFlags{Writeback: true, Direct: true}},
		{"sdb", "scsi", "writethrough", "threads", results.CacheFlags{}},
	} {
		image := realImage(t, dir, test.target+".img")
		if err := d.Attach(t.Context(), realDisk(image, test.target, test.bus, test.cache, test.io)); err != nil {
			t.Fatal(err)
		}
		got, err := d.CacheFlags(t.Context(), test.target)
		if err != nil {
			t.Fatal(err)
		}
		if got != test.want {
			t.Errorf("%s on %s: the flags are %+v, want %+v", test.cache, test.bus, got, test.want)
		}
		direct, err := d.ImageODirect(t.Context(), image)
		if err != nil {
			t.Fatal(err)
		}
		if direct != test.want.Direct {
			t.Errorf("%s on %s: O_DIRECT is %v, want %v", test.cache, test.bus, direct, test.want.Direct)
		}
	}
	if _, err := d.CacheFlags(t.Context(), "vdz"); !errors.Is(err, ErrNoDisk) {
		t.Errorf("a disk that is not there: got %v", err)
	}
}

func TestRealBlockCountersCountTheFirmwaresReads(t *testing.T) {
	h := realHost(t)
	image := realImage(t, realDir(t), "boot.img")
	d := startReal(t, h, realDomain(realName(t), true, realDisk(image, "vda", "virtio", "none", "threads")))
	deadline := time.Now().Add(30 * time.Second)
	for {
		c, err := d.BlockCounters(t.Context(), "vda")
		if err != nil {
			t.Fatal(err)
		}
		if c.ReadOps > 0 && c.ReadBytes >= 512 {
			if c.WriteOps != 0 || c.WriteBytes != 0 {
				t.Errorf("a firmware that writes: %+v", c)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the firmware read no boot sector: %+v", c)
		}
		time.Sleep(100 * time.Millisecond)
	}
	if _, err := d.BlockCounters(t.Context(), "vdz"); err == nil || !strings.Contains(err.Error(), "vdz") {
		t.Errorf("a disk that is not there: got %v", err)
	}
}

func TestRealDetachReturnsWhenTheImageIsClosed(t *testing.T) {
	h := realHost(t)
	dir := realDir(t)
	d := startReal(t, h, realDomain(realName(t), false))
	for _, disk := range []struct{ target, bus string }{{"sda", "scsi"}, {"vda", "virtio"}} {
		image := realImage(t, dir, disk.target+".img")
		for range 3 {
			if err := d.Attach(t.Context(), realDisk(image, disk.target, disk.bus, "none", "threads")); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			err := d.Detach(ctx, disk.target)
			cancel()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := d.ImageODirect(t.Context(), image); err == nil || !strings.Contains(err.Error(), "no descriptor") {
				t.Errorf("%s: QEMU still has the image: %v", disk.target, err)
			}
		}
		if err := d.Detach(t.Context(), disk.target); err != nil {
			t.Errorf("%s: detaching what is not there: %v", disk.target, err)
		}
	}
}

func TestRealDetachOfADiskThatTheGuestKeepsIsTheGuestsFault(t *testing.T) {
	h := realHost(t)
	d := startReal(t, h, realDomain(realName(t), true))
	if err := d.Attach(t.Context(), realDisk(realImage(t, realDir(t), "a.img"), "vda", "virtio", "none", "threads")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second)
	defer cancel()
	err := d.Detach(ctx, "vda")
	if fault.Of(err) != fault.Guest || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "vda") {
		t.Errorf("got %v, want the guest's fault, the deadline and the disk", err)
	}
	if !strings.Contains(err.Error(), "asked 2 times") {
		t.Errorf("it was not asked again: %v", err)
	}
	if _, err := d.CacheFlags(t.Context(), "vda"); err != nil {
		t.Errorf("the disk, or the connection, is lost: %v", err)
	}
}

func TestRealRefusalsSayWhyAndWhoseFault(t *testing.T) {
	h := realHost(t)
	dir := realDir(t)
	name := realName(t)
	d := startReal(t, h, realDomain(name, true))
	closed := mkdir(t, filepath.Join(dir, "closed"), 0o700)
	image := realImage(t, dir, "a.img")
	for _, test := range []struct {
		name, disk, hint string
		fault            fault.Fault
	}{
		{"SATA", realDisk(image, "sdc", "sata", "none", "threads"), "when it starts", fault.Refused},
		{"native with a cache", realDisk(image, "vda", "virtio", "writeback", "native"), "cache=directsync", fault.Refused},
		{"a mode that does not exist", realDisk(image, "vda", "virtio", "bogus", "threads"), "", fault.Refused},
		{"a missing image", realDisk(filepath.Join(dir, "nope"), "vda", "virtio", "none", "threads"), "must exist", fault.Rig},
		{"a closed directory", realDisk(realImage(t, closed, "b.img"), "vda", "virtio", "none", "threads"), "may not enter the directory " +
			closed, fault.Rig},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := d.Attach(t.Context(), test.disk)
			if err == nil || fault.Of(err) != test.fault || !strings.Contains(err.Error(), test.hint) {
				t.Errorf("got %v (%s), want %s and %q in it", err, fault.Of(err), test.fault, test.hint)
			}
			t.Log(err)
		})
	}
	t.Run("no slot left", func(t *testing.T) {
		for i := range 9 {
			target := "vd" + string(rune('a'+i))
			err := d.Attach(t.Context(), realDisk(realImage(t, dir, target), target, "virtio", "none", "threads"))
			if err == nil {
				continue
			}
			if fault.Of(err) != fault.Refused || !strings.Contains(err.Error(), "pcie-root-port") {
				t.Errorf("got %v (%s)", err, fault.Of(err))
			}
			return
		}
		t.Error("nine disks found a slot")
	})
	t.Run("a closed directory at the start", func(t *testing.T) {
		_, err := h.Start(t.Context(), realDomain(name+"-2", true, realDisk(filepath.Join(closed, "b.img"), "vda", "virtio", "none", "threads")))
		if err == nil || !strings.Contains(err.Error(), "may not enter the directory "+closed) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v", err)
		}
	})
}

func TestRealSavedDomainIsRestoredAndOutlivesTheConnection(t *testing.T) {
	h := realHost(t)
	dir := realDir(t)
	image := realImage(t, dir, "a.img")
	d := startReal(t, h, realDomain(realName(t), true))
	saved := filepath.Join(dir, "saved")
	if err := d.Save(t.Context(), saved); err != nil {
		t.Fatal(err)
	}
	if s, err := d.State(t.Context()); err != nil || s != (State{ShutOff, "saved"}) {
		t.Errorf("after Save the state is %v, %v", s, err)
	}
	config, err := h.SavedXML(t.Context(), saved)
	if err != nil {
		t.Fatal(err)
	}
	second := connectReal(t)
	for range 2 {
		r, err := second.Restore(t.Context(), saved, config)
		if err != nil {
			t.Fatal(err)
		}
		destroyAtEnd(t, r)
		if s, err := r.State(t.Context()); err != nil || s != (State{Running, "restored"}) {
			t.Errorf("after Restore the state is %v, %v", s, err)
		}
		if err := r.Attach(t.Context(), realDisk(image, "sda", "scsi", "unsafe", "threads")); err != nil {
			t.Error(err)
		}
		if err := r.Destroy(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	r, err := second.Restore(t.Context(), saved, config)
	if err != nil {
		t.Fatal(err)
	}
	destroyAtEnd(t, r)
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Lookup(t.Context(), r.Name()); err != nil {
		t.Errorf("the restored domain ended with its connection: %v", err)
	}
	if err := r.Destroy(t.Context()); err != nil {
		t.Errorf("Destroy after Close: %v", err)
	}
	if _, err := h.Lookup(t.Context(), r.Name()); !errors.Is(err, ErrGone) {
		t.Errorf("after Destroy the look-up says %v", err)
	}
}

func TestRealRestoreWithoutAFileIsTheRigsFault(t *testing.T) {
	h := realHost(t)
	name := realName(t)
	_, err := h.Restore(t.Context(), filepath.Join(realDir(t), "none"), realDomain(name, true))
	if err == nil || fault.Of(err) != fault.Rig || !strings.Contains(err.Error(), name) {
		t.Errorf("got %v", err)
	}
}

func TestRealKilledQEMUIsShutOffAndCrashed(t *testing.T) {
	h := realHost(t)
	d := startReal(t, h, realDomain(realName(t), true))
	pid := mustPID(t, d)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	requireGone(t, h, d.Name(), pid)
	if s, err := d.State(t.Context()); err != nil || s != (State{ShutOff, "crashed"}) {
		t.Errorf("the state is %v, %v", s, err)
	}
	if err := d.Destroy(t.Context()); err != nil {
		t.Errorf("Destroy of a killed one: %v", err)
	}
}

func TestRealDomainEndsWithItsConnection(t *testing.T) {
	h := realHost(t)
	own := connectReal(t)
	d := startReal(t, own, realDomain(realName(t), true))
	pid := mustPID(t, d)
	if err := own.Close(); err != nil {
		t.Fatal(err)
	}
	requireGone(t, h, d.Name(), pid)
}

func TestRealDomainEndsWhenItsStarterIsKilled(t *testing.T) {
	h := realHost(t)
	name := realName(t)
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), childVariable+"="+name)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "started\n" {
		t.Fatalf("the starter says %q, %v", line, err)
	}
	d, err := h.Lookup(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	destroyAtEnd(t, d)
	pid := mustPID(t, d)
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	requireGone(t, h, name, pid)
}

// startAndWait is the process that TestRealDomainEndsWhenItsStarterIsKilled kills.
func startAndWait(name string) int {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	h, err := Connect(ctx, DefaultURI)
	if err == nil {
		_, err = h.Start(ctx, realDomain(name, true))
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("started")
	<-ctx.Done()
	return 1
}

func TestRealStartThatIsGivenUpLeavesNoDomain(t *testing.T) {
	h := realHost(t)
	name := realName(t)
	for _, limit := range []time.Duration{time.Millisecond, 50 * time.Millisecond, 150 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		d, err := h.Start(ctx, realDomain(name, true))
		cancel()
		if err == nil {
			if err := d.Destroy(t.Context()); err != nil {
				t.Fatal(err)
			}
		} else if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		h.calls.Wait()
		if _, err := h.Lookup(t.Context(), name); !errors.Is(err, ErrGone) {
			t.Errorf("given up after %s, but the look-up says %v", limit, err)
		}
	}
}

func TestRealFrozenQEMUHoldsUpOnlyItsOwnCallsAndIsDestroyed(t *testing.T) {
	h := realHost(t)
	d := startReal(t, h, realDomain(realName(t), true))
	pid := mustPID(t, d)
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := d.Monitor(ctx, `{"execute":"query-block"}`); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the monitor of a stopped process says %v", err)
	}
	if _, err := h.Facts(t.Context()); err != nil {
		t.Errorf("the connection is lost: %v", err)
	}
	limited, cancelDestroy := context.WithTimeout(t.Context(), 45*time.Second)
	defer cancelDestroy()
	if err := d.Destroy(limited); err != nil {
		t.Fatal(err)
	}
	requireGone(t, h, d.Name(), pid)
}

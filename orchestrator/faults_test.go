package orchestrator

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"platter/fault"
	"platter/orchestrator/guest"
	"platter/orchestrator/hypervisor"
	"platter/orchestrator/scratch"
)

// withImage copies the guest image's directory entry by entry, but for the files that change replaces.
func withImage(t *testing.T, l *liveLab, change map[string][]byte) {
	t.Helper()
	dir := realStorage(t)
	entries, err := os.ReadDir(l.image.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, changed := change[e.Name()]; changed {
			continue
		}
		if err := os.Symlink(filepath.Join(l.image.Dir, e.Name()), filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range change {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	image := *l.image
	image.Dir = dir
	l.image = &image
}

// domains counts the lab's domains that libvirt knows.
func domains(t *testing.T, l *liveLab) int {
	t.Helper()
	list, err := l.host.List(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, d := range list {
		if d.Name() == l.work.domainName() {
			n++
		}
	}
	return n
}

func TestAGuestThatNeverBootsFailsWithItsConsole(t *testing.T) {
	l, _ := realLab(t)
	withImage(t, l, map[string][]byte{"initrd.img": nil}) // no initrd, no root: the kernel panics
	_, err := l.Boot(t.Context(), suiteBoot)
	var boot *BootError
	if !errors.As(err, &boot) {
		t.Fatalf("got %v, want a BootError", err)
	}
	if text := strings.Join(boot.Console, "\n"); !strings.Contains(text, "Kernel panic") {
		t.Errorf("the console's end does not tell of the panic:\n%s", text)
	}
	if !strings.Contains(err.Error(), "Kernel panic - not syncing: ") {
		t.Errorf("the error does not say why: %v", err)
	}
	if n := domains(t, l); n != 0 {
		t.Errorf("%d domains were left", n)
	}
}

func TestAGuestWithAnotherHostKeyIsNotSpokenTo(t *testing.T) {
	l, _ := realLab(t)
	other := "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGIsr25wjg0w3Gkks3oqhvDwmpUdY+LWS7sGgEPnZMqN\n"
	withImage(t, l, map[string][]byte{"host_key.pub": []byte(other)})
	_, err := l.Boot(t.Context(), suiteBoot)
	var boot *BootError
	if !errors.As(err, &boot) || !strings.Contains(err.Error(), "host key") {
		t.Fatalf("got %v, want a BootError that speaks of the host key", err)
	}
	if n := domains(t, l); n != 0 {
		t.Errorf("%d domains were left", n)
	}
}

func TestAFioThatHangsAndAQEMUThatDiesAreFailedTrialsNotHangs(t *testing.T) {
	l := realSharedLab(t)
	image := realScratch(t, l)
	booted, err := l.Boot(t.Context(), suiteBoot)
	if err != nil {
		t.Fatal(err)
	}
	m := booted.(*liveMachine)
	t.Cleanup(func() { _ = m.Close(context.Background()) })
	attach := func() guest.Disk {
		t.Helper()
		disk := scratch.Cached(scratch.FileSource(image), "raw", "none")
		if err := m.Attach(t.Context(), disk); err != nil {
			t.Fatal(err)
		}
		d, err := m.Prepare(t.Context(), rawSetup)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}

	hang := "#!/bin/sh\nexec sleep 1000\n"
	if _, err := m.client.Run(t.Context(), "cat >/usr/local/bin/fio; chmod +x /usr/local/bin/fio", strings.NewReader(hang)); err != nil {
		t.Fatal(err)
	}
	d := attach()
	limited, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if _, err := m.RunFio(limited, d.Device, "[x]\n"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a fio that hangs gave %v, want the deadline", err)
	}

	pid, err := m.domain.PID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(500*time.Millisecond, func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	_, err = m.RunFio(t.Context(), d.Device, "[x]\n")
	var e *fault.Error
	if !errors.As(err, &e) || e.Fault != fault.Rig || !strings.Contains(e.Message, "QEMU") {
		t.Fatalf("a QEMU that dies gave %v, want a fault of the rig that says so", err)
	}
	if err := m.Close(t.Context()); err != nil {
		t.Errorf("closing a machine whose QEMU died: %v", err)
	}
	if n := domains(t, l); n != 0 {
		t.Errorf("%d domains were left", n)
	}
}

func TestTheThirdBootIsARestoredGuestWithTheFirstOnesRoot(t *testing.T) {
	l, image := realLab(t)
	var fresh []string
	for i := range 4 {
		booted, err := l.Boot(t.Context(), suiteBoot)
		if err != nil {
			t.Fatalf("boot %d: %v", i+1, err)
		}
		m := booted.(*liveMachine)
		out, err := m.client.Run(t.Context(), "head -n 1 /proc/1/maps | cut -d - -f 1; ls /root; echo mark >/root/mark", nil)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Fields(string(out.Stdout))
		if len(lines) != 1 {
			t.Errorf("boot %d sees files of the boot before: %q", i+1, lines[1:])
		}
		fresh = append(fresh, lines[0])
		disk := scratch.Cached(scratch.FileSource(image), "raw", "unsafe")
		if err := m.Attach(t.Context(), disk); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Prepare(t.Context(), rawSetup); err != nil {
			t.Fatal(err)
		}
		if err := m.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if fresh[0] == fresh[1] || fresh[1] != fresh[2] || fresh[2] != fresh[3] {
		t.Errorf("addresses of sshd, drawn at its start, %v: want the first two to differ and the second guest to come back as the third and fourth",
			fresh)
	}
}

func TestADomainThatOutlivesItsRunIsFoundAndRemovedAndALivingOneIsNot(t *testing.T) {
	l, _ := realLab(t)
	m, err := l.Boot(t.Context(), suiteBoot)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close(context.Background()) })
	storage := filepath.Dir(l.work.path)
	find := func() []Leftover {
		t.Helper()
		found, err := Leftovers(t.Context(), l.host, storage)
		if err != nil {
			t.Fatal(err)
		}
		var ours []Leftover
		for _, f := range found {
			if f.Domain == l.work.domainName() || f.Workdir == l.work.path {
				ours = append(ours, f)
			} else {
				Release([]Leftover{f})
			}
		}
		return ours
	}
	if found := find(); len(found) != 0 {
		t.Fatalf("a living run was taken for a leftover: %v", found)
	}
	l.work.lock.Close() // what the kernel does when the process dies
	found := find()
	if len(found) != 1 || found[0].Domain == "" || found[0].Workdir == "" {
		t.Fatalf("found %v, want domain and directory of the dead run", found)
	}
	if err := RemoveLeftovers(t.Context(), l.host, found); err != nil {
		t.Fatal(err)
	}
	if n := domains(t, l); n != 0 {
		t.Errorf("%d domains were left", n)
	}
	if _, err := os.Stat(l.work.path); !errors.Is(err, os.ErrNotExist) {
		t.Error("the work directory was left")
	}
	if _, err := l.host.Lookup(t.Context(), l.work.domainName()); !errors.Is(err, hypervisor.ErrGone) {
		t.Errorf("looking the domain up: %v, want ErrGone", err)
	}
}

package crash

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"platter/cell"
	"platter/fault"
	"platter/libvirtxml"
	"platter/orchestrator/guest"
	"platter/orchestrator/hypervisor"
	"platter/powercut/replay"
	"platter/powercut/witness"
	"platter/results"
)

// fakeMachine is a machine that is given a survivor to look at.
type fakeMachine struct {
	Machine                // what is not asked for here
	attach, prepare, check error
	lost                   int64
	attached               bool
	attaches               int
}

func (m *fakeMachine) Attach(context.Context, libvirtxml.ScratchDisk) error {
	m.attached = true
	m.attaches++
	return m.attach
}

func (m *fakeMachine) Detach(context.Context) error { return nil }

func (m *fakeMachine) Prepare(context.Context, guest.Setup) (guest.Disk, error) {
	return guest.Disk{Target: "/scratch/data"}, m.prepare
}

func (m *fakeMachine) Check(context.Context, string, witness.Layout, []uint32, []uint32) (guest.ProbeLoss, error) {
	return guest.ProbeLoss{PromisesLost: m.lost}, m.check
}

// fakeRig has one machine, and tells nobody anything.
type fakeRig struct {
	Rig
	machine Machine
}

func (r fakeRig) Machine(context.Context, cell.Cell) (Machine, error) { return r.machine, nil }
func (r fakeRig) Tell(string)                                         {}

// liveCutOf has a live cut of a campaign of eight promises looked at by a machine.
func liveCutOf(t *testing.T, m *fakeMachine, format, image string) (cutLoss, error) {
	t.Helper()
	ledger := &replay.Ledger{Jobs: []replay.Account{{Promised: 8, Acknowledged: 8}}}
	rec := &recording{witness: &probe{}, base: &baseImage{}, campaign: replay.Campaign{Filesystem: "xfs", Format: format}}
	x := &Campaigns{Rig: fakeRig{machine: m}}
	return x.liveLoss(t.Context(), cell.Cell{}, rec, image, ledger)
}

func TestOnlyWhatTheSurvivorIsToBlameForIsALossOfALiveCut(t *testing.T) {
	broken := fmt.Errorf("prepare disk: %w", &guest.BrokenError{ExitError: &guest.ExitError{Status: 4, Stderr: "mount failed"}})
	for _, c := range []struct {
		name    string
		machine fakeMachine
		lost    int64
		rig     bool
	}{
		{name: "a clean survivor"},
		{name: "promises that do not read back", machine: fakeMachine{lost: 3}, lost: 3},
		{name: "a file system that cannot be mounted", machine: fakeMachine{prepare: broken}, lost: 8},
		{name: "a file that cannot be opened", machine: fakeMachine{check: broken}, lost: 8},
		{name: "a disk that is not there", machine: fakeMachine{prepare: &guest.ExitError{Status: 1, Stderr: "cd: can't cd to /sys/block"}},
			rig: true},
		{name: "a guest that is gone", machine: fakeMachine{prepare: fmt.Errorf("prepare: %w", guest.ErrLost)}, rig: true},
		{name: "a guest that takes too long", machine: fakeMachine{prepare: fmt.Errorf("prepare: %w", context.DeadlineExceeded)}, rig: true},
		{name: "a probe that cannot be run", machine: fakeMachine{check: &guest.ExitError{Status: 127}}, rig: true},
		{name: "a guest that is gone while it reads", machine: fakeMachine{check: guest.ErrLost}, rig: true},
		{name: "a disk that cannot be plugged in", machine: fakeMachine{attach: &hypervisor.Error{Op: "attach", Fault: fault.Refused}},
			rig: true},
	} {
		loss, err := liveCutOf(t, &c.machine, "raw", "survivor.img")
		if (err != nil) != c.rig || loss.promises != c.lost || (loss.broken != "") != (c.lost == 8) {
			t.Errorf("%s: %s, %v", c.name, loss, err)
		}
	}
}

func TestASurvivorThatQEMURefusesIsALossAndIsNotPluggedIn(t *testing.T) {
	if _, err := exec.LookPath("qemu-img"); err != nil {
		t.Skip(err)
	}
	image := filepath.Join(t.TempDir(), "survivor.qcow2")
	if out, err := exec.Command("qemu-img", "create", "-q", "-f", "qcow2", image, "8M").CombinedOutput(); err != nil {
		t.Fatalf("qemu-img create: %v: %s", err, out)
	}
	var m fakeMachine
	if loss, err := liveCutOf(t, &m, "qcow2", image); err != nil || loss != (cutLoss{}) || !m.attached {
		t.Errorf("a whole image: %s, %v, plugged in %t", loss, err, m.attached)
	}
	m = fakeMachine{}
	if loss, err := liveCutOf(t, &m, "qcow2", image+".gone"); err == nil || Whose(err) != fault.Rig {
		t.Errorf("an image that is not there: %s, %v", loss, err)
	}
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, 512), 0); err != nil {
		t.Fatal(err)
	}
	m = fakeMachine{}
	loss, err := liveCutOf(t, &m, "qcow2", image)
	if err != nil || loss.promises != 8 || !strings.Contains(loss.broken, "not in qcow2 format") || m.attached {
		t.Errorf("an image without its head: %s, %v, plugged in %t", loss, err, m.attached)
	}
}

func TestWhatOnlyTheGuestSeesOfAnXFSIsALossAndNoDisagreement(t *testing.T) {
	on := func(filesystem string) cell.Cell {
		return cellWith("guest.filesystem", filesystem, "fio.fsync", "1")
	}
	whole, some, broken := cutLoss{}, cutLoss{promises: 3}, cutLoss{promises: 8, broken: "mount failed"}
	for _, c := range []struct {
		live, replayed cutLoss
		filesystem     string
		want           bool
	}{
		{whole, whole, "ext4", true}, {some, broken, "ext4", true}, {broken, whole, "ext4", false}, {whole, some, "ext4", false},
		{whole, cutLoss{broken: "e2fsck: no"}, "ext4", false},
		{whole, whole, "xfs", true}, {broken, whole, "xfs", true}, {some, whole, "xfs", true}, {whole, some, "xfs", false},
	} {
		if got := c.live.agrees(c.replayed, on(c.filesystem)); got != c.want {
			t.Errorf("%s: live %s, replayed %s: agrees %t", c.filesystem, c.live, c.replayed, got)
		}
	}
	r := results.Safety{Method: results.Live, Promises: 100, Controls: lost, Live: &results.LiveCuts{Agrees: true}}
	addLiveCut(&r, whole, 8, 0)
	if v, _ := verdict(r); v != results.Safe {
		t.Errorf("after a clean cut: %s", v)
	}
	addLiveCut(&r, whole, 0, 1) // before anything was promised
	if v, why := verdict(r); v != results.Safe {
		t.Errorf("after another one without a promise: %s, %s", v, why)
	}
	addLiveCut(&r, cutLoss{broken: "mount failed"}, 0, 2)
	if v, _ := verdict(r); v != results.Loses || r.Filesystem != "live cut 3: mount failed" || liveBound(*r.Live) != 0 {
		t.Errorf("after one whose file system cannot be mounted: %s, %q, %+v", v, r.Filesystem, r.Live)
	}
}

func TestAProbeThatEndsBeforeItsCutSaysWhy(t *testing.T) {
	for want, err := range map[string]error{
		"the probe ended before the cut: guest connection lost":        early(Work{}, guest.ErrLost),
		"the probe failed before the cut: write: input/output error":   early(Work{Error: "write: input/output error"}, nil),
		"the probe ended before the cut without a word to its witness": early(Work{}, nil),
	} {
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// cellWith is a cell of some settings, name and value in turn.
func cellWith(settings ...string) cell.Cell {
	var c cell.Cell
	for i := 0; i < len(settings); i += 2 {
		c.Settings = append(c.Settings, cell.Setting{Name: settings[i], Value: cell.Value{V: settings[i+1]}})
	}
	return c
}

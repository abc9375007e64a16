package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"platter/cell"
	"platter/fault"
	"platter/matrices"
	"platter/orchestrator/crash"
	"platter/results"
)

// treeMatrix has cells on three hypervisors, for two kinds of guest.
func treeMatrix(t testing.TB) *matrices.Matrix {
	t.Helper()
	m, err := matrices.Parse("test.yaml", []byte(`
name: test
storage: {size: 8MiB}
axes:
  host.hypervisor: [host, trixie, sid]
  guest.memory: [512MiB, 1GiB]
  disk.cache: [none, writeback, unsafe]
fio: {rw: randwrite, bs: 4k, direct: 1, fsync: 1, size: 4m, runtime: 500ms}
trials: 6
safety: {classes: [host_crash], seconds: 1, size: 1MiB}
`))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestHypervisorsTakeTurnsInEachBlock(t *testing.T) {
	m := treeMatrix(t)
	p := NewPlan(m, 6, 7)
	if len(p.Boots) != 6 || len(p.Steps) != 6*18 || !slices.Equal(p.Hypervisors(), []string{"host", "trixie", "sid"}) {
		t.Fatalf("%d boots, %d steps on %v", len(p.Boots), len(p.Steps), p.Hypervisors())
	}
	orders := map[string]bool{}
	switches := 0
	for i := 0; i < len(p.Steps); i += 9 { // a block of one kind of guest
		part := p.Steps[i : i+9]
		var order []string
		for k, s := range part {
			if s.Order != i+k || s.Block != part[0].Block || s.Boot.MemoryBytes != part[0].Boot.MemoryBytes ||
				s.Boot.Hypervisor != s.Cell.Hypervisor() {
				t.Fatalf("step %d is %+v", i+k, s)
			}
			if k%3 == 0 {
				order = append(order, s.Boot.Hypervisor)
			} else if s.Boot.Hypervisor != part[k-1].Boot.Hypervisor {
				t.Fatalf("block %d: the cells of a hypervisor do not stand together", s.Block)
			}
			if i+k > 0 && s.Boot.Hypervisor != p.Steps[i+k-1].Boot.Hypervisor {
				switches++
			}
		}
		if len(slices.Compact(slices.Sorted(slices.Values(order)))) != 3 {
			t.Errorf("the hypervisors of a block are %v", order)
		}
		orders[strings.Join(order, " ")] = true
	}
	if len(orders) < 3 {
		t.Errorf("the hypervisors' orders are %v in 6 blocks: they are not drawn anew", orders)
	}
	if got := p.Switches(Work{Steps: p.Steps}); got != switches || got < 2*6*2 {
		t.Errorf("%d switches are counted, and the steps have %d", got, switches)
	}
	if p.Switches(Work{Steps: p.Steps[:3]}) != 0 || p.Estimate(p.Work()) < p.Estimate(Work{Steps: p.Steps[:3]})+estimatedSwitch*24 {
		t.Error("the estimate does not have the switches")
	}
	var campaigns []string
	for _, c := range p.Campaigns {
		if on := fmt.Sprint(c.Cell.Hypervisor(), c.Cell.MemoryBytes()>>20); len(campaigns) == 0 || campaigns[len(campaigns)-1] != on {
			campaigns = append(campaigns, on)
		}
	}
	if len(p.Campaigns) != 18 || len(campaigns) != 6 {
		t.Errorf("%d campaigns on %v: those of one hypervisor and kind of guest belong together", len(p.Campaigns), campaigns)
	}
}

// TestOneHypervisorChangesNoOrder holds the order of a matrix on a single hypervisor to that of the same matrix without any.
func TestOneHypervisorChangesNoOrder(t *testing.T) {
	plain := testMatrix(t, "4")
	on, err := matrices.On(plain, "trixie")
	if err != nil {
		t.Fatal(err)
	}
	a, b := NewPlan(plain, 4, 7), NewPlan(on, 4, 7)
	for i := range a.Steps {
		if a.Steps[i].Cell.ID != b.Steps[i].Cell.ID || b.Steps[i].Boot.Hypervisor != "trixie" || a.Steps[i].Boot.Hypervisor != "host" {
			t.Fatalf("step %d is of %s on %+v", i, b.Steps[i].Cell.ID, b.Steps[i].Boot)
		}
	}
	if b.Switches(b.Work()) != 0 {
		t.Error("one hypervisor is switched to itself")
	}
}

func TestASwitchOfHypervisorsHasAPhaseOfItsOwn(t *testing.T) {
	p := NewPlan(treeMatrix(t), 2, 7)
	lab := &fakeLab{}
	run, err := fakeRun(t, t.Context(), lab, p.Steps, p)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Trim(statuses(run), "o"); got != "" || len(run.Trials) != len(p.Steps) {
		t.Fatalf("statuses %s: %+v", statuses(run), run.Trials[0].Failure)
	}
	known := map[Boot]bool{}
	boots, switches := 0, 0
	for i, tr := range run.Trials {
		boot := p.Steps[i].Boot
		fresh, changes := !known[boot], i == 0 || p.Steps[i-1].Boot != boot
		known[boot] = true
		if (tr.Phases.BootS > 0) != (fresh && changes) || (tr.Phases.SwitchS > 0) != (!fresh && changes) {
			t.Errorf("trial %d: booting %v s, switching %v s; first of its guest %t, another than before %t", i, tr.Phases.BootS,
				tr.Phases.SwitchS, fresh, changes)
		}
		if changes {
			boots++
		}
		if tr.Phases.SwitchS > 0 {
			switches++
		}
	}
	if lab.boots != boots || switches == 0 {
		t.Errorf("%d guests were started for %d changes, %d of them switches", lab.boots, boots, switches)
	}
	for i, b := range lab.booted {
		if i > 0 && b == lab.booted[i-1] {
			t.Errorf("guest %d was started although it ran", i)
		}
	}
}

// A guest that could not be ended may still have the image open: no trial is made beside it.
func TestAGuestThatCannotBeEndedEndsTheSwitch(t *testing.T) {
	p := NewPlan(treeMatrix(t), 2, 7)
	stuck := false
	lab := &fakeLab{failClose: func(b Boot) error {
		if b.Hypervisor == "trixie" && !stuck {
			stuck = true
			return errors.New("device busy")
		}
		return nil
	}}
	last := p.Steps[:0:0]
	for i, s := range p.Steps { // each guest once, and then turns
		if i == 0 || s.Boot.under() != p.Steps[i-1].Boot.under() {
			last = append(last, s)
		}
	}
	run, err := fakeRun(t, t.Context(), lab, last, p)
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	for _, tr := range run.Trials {
		if tr.Status == results.Failed {
			failed++
			if tr.Failure.Fault != string(fault.Rig) || !strings.Contains(tr.Failure.Message, "the guest could not be ended: device busy") {
				t.Errorf("%+v", tr.Failure)
			}
		}
	}
	if failed != 1 || lab.open != 0 {
		t.Errorf("%d trials failed, want that after the guest; %d machines open", failed, lab.open)
	}
}

func TestControlsAreMadeOnEachHypervisor(t *testing.T) {
	p := NewPlan(treeMatrix(t), 1, 7)
	one := slices.DeleteFunc(slices.Clone(p.Campaigns), func(c crash.Campaign) bool { return c.Cell.Hypervisor() != cell.HostHypervisor })
	if all, host := crash.EstimateControls(p.Campaigns, *p.Safety), crash.EstimateControls(one, *p.Safety); all != 3*host || host == 0 {
		t.Errorf("the controls of three hypervisors take %v, those of one %v", all, host)
	}
}

func TestAHypervisorThatIsNotBuiltIsSaidBeforeAnythingIsTouched(t *testing.T) {
	m, err := matrices.On(testMatrix(t, "1"), "trixie")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "run")
	_, err = Execute(t.Context(), Settings{Dir: dir, Storage: t.TempDir(), Cache: t.TempDir(), Matrix: m, Trials: 1, Tell: func(Event) {}})
	if err == nil || !strings.Contains(err.Error(), "platter hypervisor build trixie") {
		t.Errorf("got %v, want how to build it", err)
	}
}

func TestAnEmulatorSaysItsVersionOrIsRefused(t *testing.T) {
	says := func(out string, err error) func(context.Context, ...string) (string, error) {
		return func(context.Context, ...string) (string, error) { return out, err }
	}
	got, err := emulatorVersion(t.Context(), "/opt/qemu",
		says("QEMU emulator version 11.1.3 (Debian 1:11.1.3+ds-1~bpo13+1)\nCopyright\n", nil))
	if err != nil || got != "11.1.3" {
		t.Errorf("version %q, %v", got, err)
	}
	for name, says := range map[string]func(context.Context, ...string) (string, error){
		"what cannot be run": says("", errors.New("permission denied")),
		"another program":    says("fio-3.33\n", nil),
		"what is not there":  hostSays,
	} {
		_, err := emulatorVersion(t.Context(), "/nowhere/qemu", says)
		if fault.Of(err) != fault.Usage || !strings.Contains(err.Error(), "disk.emulator /nowhere/qemu") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

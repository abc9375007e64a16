package orchestrator

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"platter/cell"
	"platter/fault"
	"platter/matrices"
	"platter/results"
)

// fakeRun carries out steps on a fake lab and gives what was recorded.
func fakeRun(t *testing.T, ctx context.Context, lab *fakeLab, steps []Step, p Plan) (*results.Run, error) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	m := results.Manifest{Schema: results.Schema}
	for _, c := range p.Cells {
		m.Cells = append(m.Cells, cell.Cell{ID: c.ID, Excluded: c.Excluded})
	}
	journal, err := results.Create(dir, m)
	if err != nil {
		t.Fatal(err)
	}
	defer journal.Close()
	r := &Run{Lab: lab, Journal: journal, Storage: t.TempDir(), Plan: p, Host: results.Host{MemoryBytes: 1 << 40, CPUs: 1 << 10},
		Tell: func(Event) {}}
	err = r.Do(ctx, Work{Steps: steps})
	run, readErr := results.Read(dir)
	if readErr != nil {
		t.Fatal(readErr)
	}
	if lab.open != 0 {
		t.Errorf("%d machines were left running", lab.open)
	}
	return run, err
}

// statuses gives the statuses of trials as a string, "o" for one that went well, else the first letter of its fault.
func statuses(run *results.Run) string {
	var b strings.Builder
	for _, t := range run.Trials {
		if t.Status == results.OK {
			b.WriteByte('o')
		} else {
			b.WriteByte(t.Failure.Fault[0])
		}
	}
	return b.String()
}

func TestEveryTrialOfAPlanIsRecordedWithItsEvidence(t *testing.T) {
	m := testMatrix(t, "2")
	p := NewPlan(m, 2, 1)
	lab := &fakeLab{}
	run, err := fakeRun(t, t.Context(), lab, p.Steps, p)
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Repeat("o", 28); statuses(run) != want {
		t.Fatalf("statuses %s, want %s: %+v", statuses(run), want, run.Trials[0].Failure)
	}
	if lab.boots != 1 {
		t.Errorf("booted %d times, want once", lab.boots)
	}
	for i, tr := range run.Trials {
		e := tr.Evidence
		if tr.Order != i || tr.Cell != p.Steps[i].Cell.ID || tr.Metrics.Write.IOs != 1000 {
			t.Errorf("trial %d is %+v", i, tr)
		}
		if *e.Effective != *e.Expected || e.FlushPath.Fio == nil || e.FlushPath.Guest == nil || e.FlushPath.QEMU == nil || e.QEMU == nil ||
			e.Residency == nil {
			t.Errorf("trial %d lacks evidence: %+v", i, e)
		}
		if e.FlushPath.Image != nil || len(tr.Missing) != 1 || tr.Missing[0] != "flush_path.image" {
			t.Errorf("trial %d: missing %v; the image's flushes are not counted on a plain file", i, tr.Missing)
		}
		if l := tr.IOPSLog; l == nil || len(l.IOPS) < 5 || l.IntervalS < 0.1 {
			t.Errorf("trial %d was logged as %+v", i, l)
		}
		for _, name := range []string{"job.fio", "fio.json", "domain.xml", "domain-before.xml"} {
			if _, err := os.Stat(filepath.Join(run.Dir, "raw", tr.Cell, []string{"0", "1"}[tr.Block], name)); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestWhatFailsIsRecordedAndTheRunGoesOn(t *testing.T) {
	p := NewPlan(testMatrix(t, "1"), 1, 1)
	lost := errors.New("connection lost")
	for name, c := range map[string]struct {
		lab   *fakeLab
		want  string
		boots int
	}{
		"a fio that fails keeps the machine": {&fakeLab{fioFails: func(run int) bool { return run == 3 }}, "oofooooooooooo", 1},
		"a guest that is lost is started again": {&fakeLab{failFio: func(run int) error {
			if run == 3 {
				return lost
			}
			return nil
		}}, "oogooooooooooo", 2},
		"a guest that does not boot once": {&fakeLab{failBoot: func(boot int) error {
			if boot == 1 {
				return lost
			}
			return nil
		}}, "gooooooooooooo", 2},
		"a guest that never boots is given up after three tries": {&fakeLab{failBoot: func(int) error { return lost }}, "gggggggggggggg", 3},
		"flags that are not the cell's": {&fakeLab{flags: func(f results.CacheFlags) results.CacheFlags {
			f.NoFlush = false // unsafe is not what it says
			return f
		}}, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			run, err := fakeRun(t, t.Context(), c.lab, p.Steps, p)
			if err != nil {
				t.Fatal(err)
			}
			if c.want == "" { // by cell, not by order
				for _, tr := range run.Trials {
					if unsafe := strings.Contains(tr.Cell, "unsafe"); unsafe != (tr.Status == results.Failed) {
						t.Errorf("cell %s: %s", tr.Cell, tr.Status)
					}
				}
				return
			}
			if got := statuses(run); got != c.want {
				t.Errorf("statuses %s, want %s", got, c.want)
			}
			if c.lab.boots != c.boots {
				t.Errorf("booted %d times, want %d", c.lab.boots, c.boots)
			}
			for _, tr := range run.Trials {
				if tr.Status == results.Failed && (tr.Failure.Message == "" || tr.Metrics != nil) {
					t.Errorf("a failed trial has message %q and metrics %v", tr.Failure.Message, tr.Metrics)
				}
				if tr.Status == results.Failed && len(tr.Failure.Console) == 0 && c.boots < 3 {
					t.Errorf("a failed trial lacks the console: %+v", tr.Failure)
				}
			}
		})
	}
}

// TestWhatFioSaysCannotDriveATerminal: the words come from the guest, and the message goes to terminals and summaries.
func TestWhatFioSaysCannotDriveATerminal(t *testing.T) {
	lab := &fakeLab{fioFails: func(int) bool { return true }, fioSays: "fio: \x1b[2Jno space\u202e\rok\n"}
	p := NewPlan(testMatrix(t, "1"), 1, 1)
	run, err := fakeRun(t, t.Context(), lab, p.Steps[:1], p)
	if err != nil {
		t.Fatal(err)
	}
	if got := run.Trials[0].Failure.Message; !strings.HasSuffix(got, `fio: \x1b[2Jno space\u202e ok`) {
		t.Errorf("%q", got)
	}
}

func TestARunThatIsStoppedKeepsWhatIsDoneAndGoesOnFromThere(t *testing.T) {
	m := testMatrix(t, "2")
	p := NewPlan(m, 2, 1)
	ctx, stop := context.WithCancel(t.Context())
	lab := &fakeLab{failFio: func(run int) error {
		if run == 5 {
			stop()
		}
		return nil
	}}
	run, err := fakeRun(t, ctx, lab, p.Steps, p)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want the interruption", err)
	}
	if len(run.Trials) != 4 {
		t.Fatalf("%d trials were kept, want the 4 that were over", len(run.Trials))
	}
	left := remaining(p.Steps, run.Trials)
	if len(left) != 24 || left[0].Order != 4 {
		t.Errorf("%d steps are left from order %d; want 24 from 4", len(left), left[0].Order)
	}
	failed := append([]results.Trial(nil), run.Trials...)
	failed[1].Status = results.Failed
	if left := remaining(p.Steps, failed); len(left) != 25 || left[0].Order != 1 {
		t.Errorf("a failed trial is not tried again: %d steps left from %d", len(left), left[0].Order)
	}
}

func TestARunGoesOnOnlyOnTheGroundItBeganOn(t *testing.T) {
	began := results.Manifest{Host: results.Host{QEMU: "7.2", Accel: "tcg"}, Guest: results.Guest{ImageDigest: "a"}}
	if err := comparable(began, began); err != nil {
		t.Error(err)
	}
	now := began
	now.Host.QEMU = "8.0"
	if err := comparable(began, now); err == nil || !strings.Contains(err.Error(), "QEMU") {
		t.Errorf("another QEMU: %v", err)
	}
	began.Hypervisors = []results.Hypervisor{{Name: "host", QEMU: "7.2", Accel: "tcg"}, {Name: "trixie", QEMU: "10.0.13", Accel: "tcg"}}
	if err := comparable(began, began); err != nil {
		t.Error(err)
	}
	for what, h := range map[string]results.Hypervisor{
		"another QEMU":        {Name: "trixie", QEMU: "10.0.14", Accel: "tcg"},
		"another libvirt":     {Name: "trixie", QEMU: "10.0.13", Libvirt: "12", Accel: "tcg"},
		"another accelerator": {Name: "trixie", QEMU: "10.0.13", Accel: "kvm"},
		"another emulator":    {Name: "trixie", QEMU: "10.0.13", Accel: "tcg", Emulator: "/opt/qemu"},
	} {
		now := began
		now.Hypervisors = []results.Hypervisor{began.Hypervisors[0], h}
		if err := comparable(began, now); err == nil || !strings.Contains(err.Error(), "hypervisors") {
			t.Errorf("%s in a tree: %v", what, err)
		}
	}
}

func TestRefusedSettingsTouchNothing(t *testing.T) {
	m, err := matrices.Builtin("demo")
	if err != nil {
		t.Fatal(err)
	}
	base := t.TempDir()
	huge := *m
	huge.Fixed = m.Fixed.With("storage.size", cell.Value{V: int64(1) << 60})
	for name, c := range map[string]struct {
		Settings
		says string
	}{
		"a run directory that exists": {Settings{Dir: base, Matrix: m, Trials: 1}, "exists: name another with -o"},
		"an accelerator nobody knows": {Settings{Dir: filepath.Join(base, "r"), Accel: "hvf", Matrix: m, Trials: 1}, "kvm or tcg"},
		"no space": {Settings{Dir: filepath.Join(base, "r"), Storage: filepath.Join(base, "s"), Matrix: &huge, Trials: 1},
			"MiB free and the run needs"},
		"a libvirt that nobody runs": {Settings{Dir: filepath.Join(base, "r"), Storage: filepath.Join(base, "s"), Matrix: m, Trials: 1,
			URI: "qemu+unix:///system?socket=" + filepath.Join(base, "none")}, "no libvirt daemon answers"},
	} {
		t.Run(name, func(t *testing.T) {
			c.Tell = func(Event) {}
			_, err := Execute(t.Context(), c.Settings)
			var e *fault.Error
			if !errors.As(err, &e) || e.Fault != fault.Usage || strings.Contains(e.Message, "\n") || !strings.Contains(e.Message, c.says) {
				t.Fatalf("got %v, want a usage error of one line that says %q", err, c.says)
			}
			entries, err := os.ReadDir(base)
			if err != nil || len(entries) != 0 {
				t.Errorf("%v was left (%v)", entries, err)
			}
		})
	}
}

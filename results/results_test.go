package results

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"platter/cell"
	"platter/fiojob"
)

func trial(cell string, block int) Trial {
	n := int64(99)
	return Trial{
		Cell: cell, Block: block, Order: block, Status: OK, Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Metrics: &fiojob.Metrics{Write: &fiojob.Direction{IOs: 10, Bytes: 40960, RuntimeNS: 1e9, IOPS: 10, BW: 40960,
			Latency: fiojob.NewHistogram(fiojob.Bucket{NS: 100, Count: 10}), LatencyKind: "lat"}},
		Evidence: Evidence{FlushPath: FlushPath{Fio: &n}},
		Guards:   []Guard{{"runtime", "a guard with a \n new line"}},
		Missing:  []string{"flush_path.image"},
	}
}

func newRun(t *testing.T, trials ...Trial) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	j, err := Create(dir, Manifest{Schema: Schema, Name: "test", Cells: []cell.Cell{{ID: "a", Axes: cell.Settings{{Name: "fio.fsync",
		Value: cell.Value{V: int64(1)}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tr := range trials {
		if err := j.Append(tr); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestWhatWasAppendedIsRead(t *testing.T) {
	want := []Trial{trial("a", 0), trial("b", 1)}
	run, err := Read(newRun(t, want...))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(run.Trials, want) || run.Torn || run.Manifest.Name != "test" {
		t.Errorf("read %+v", run)
	}
	if f := run.Trials[0].Evidence.FlushPath; f.Image != nil || f.Guest != nil {
		t.Error("a layer that was not measured has a count")
	}
}

// A crash can cut the journal at any byte. Every whole line before the cut is read, and a resumed run goes on after it.
func TestAJournalTornAtAnyByteKeepsItsWholeLines(t *testing.T) {
	dir := newRun(t, trial("a", 0), trial("b", 0), trial("c", 0))
	path := filepath.Join(dir, TrialsFile)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(whole) + 1 {
		if err := os.WriteFile(path, whole[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		lines := bytes.Count(whole[:cut], []byte("\n"))
		run, err := Read(dir)
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if len(run.Trials) != lines || run.Torn != (cut > 0 && whole[cut-1] != '\n') {
			t.Fatalf("cut at %d: %d trials, torn %v; want %d", cut, len(run.Trials), run.Torn, lines)
		}
		j, done, err := Resume(dir)
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if len(done.Trials) != lines {
			t.Fatalf("cut at %d: resumed after %d trials, want %d", cut, len(done.Trials), lines)
		}
		if err := errors.Join(j.Append(trial("d", 0)), j.Close()); err != nil {
			t.Fatal(err)
		}
		run, err = Read(dir)
		if err != nil || len(run.Trials) != lines+1 || run.Torn || run.Trials[lines].Cell != "d" {
			t.Fatalf("cut at %d: after going on: %v, %+v", cut, err, run)
		}
	}
}

func TestALineInTheMiddleThatCannotBeReadIsAnErrorWithItsNumber(t *testing.T) {
	dir := newRun(t, trial("a", 0), trial("b", 0))
	path := filepath.Join(dir, TrialsFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append([]byte("{\"cell\": 7}\n"), text...), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = Read(dir)
	var e *Error
	if !errors.As(err, &e) || e.Line != 1 || !strings.Contains(err.Error(), TrialsFile+":1: ") {
		t.Errorf("got %v, want an error at line 1", err)
	}
}

func TestTheLaterRecordOfATrialCounts(t *testing.T) {
	failed := trial("a", 0)
	failed.Status, failed.Metrics = Failed, nil
	run, err := Read(newRun(t, failed, trial("b", 0), trial("a", 0)))
	if err != nil {
		t.Fatal(err)
	}
	if len(run.Trials) != 2 || run.Trials[0].Cell != "a" || run.Trials[0].Status != OK {
		t.Errorf("read %+v", run.Trials)
	}
}

func TestARunDirectoryIsWrittenByOneRunOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	j, err := Create(dir, Manifest{Schema: Schema})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	var e *Error
	if _, err := Create(dir, Manifest{Schema: Schema}); !errors.As(err, &e) || e.Fault != Input {
		t.Errorf("creating it again: %v", err)
	}
	if _, _, err := Resume(dir); !errors.As(err, &e) || e.Fault != Input {
		t.Errorf("resuming it while it is written: %v", err)
	}
	if _, err := Read(dir); err != nil {
		t.Errorf("reading it while it is written: %v", err)
	}
}

func TestWhatIsNoRunDirectoryIsSaidToBeNone(t *testing.T) {
	empty := t.TempDir()
	newer := newRun(t)
	text, _ := json.Marshal(Manifest{Schema: Schema + 1})
	if err := os.WriteFile(filepath.Join(newer, ManifestFile), text, 0o644); err != nil {
		t.Fatal(err)
	}
	broken := newRun(t)
	if err := os.WriteFile(filepath.Join(broken, ManifestFile), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{empty: "no run directory", newer: "schema 3", broken: "not a manifest",
		filepath.Join(empty, "x"): "no run directory"} {
		_, err := Read(dir)
		var e *Error
		if !errors.As(err, &e) || e.Fault != Input || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an input error with %q", err, want)
		}
	}
}

// failing is a file whose writes or syncs fail as on a full or broken disk.
type failing struct {
	file
	short, write, sync error
}

func (f *failing) Write(b []byte) (int, error) {
	if f.short != nil {
		n, _ := f.file.Write(b[:len(b)/2])
		return n, f.short
	}
	if f.write != nil {
		return 0, f.write
	}
	return f.file.Write(b)
}

func (f *failing) Sync() error {
	if f.sync != nil {
		return f.sync
	}
	return f.file.Sync()
}

func TestAJournalThatCouldNotWriteTakesNoMore(t *testing.T) {
	full := errors.New("no space left on device")
	for name, f := range map[string]*failing{"write": {write: full}, "short write": {short: full}, "fsync": {sync: full}} {
		t.Run(name, func(t *testing.T) {
			dir := newRun(t, trial("a", 0))
			j, _, err := Resume(dir)
			if err != nil {
				t.Fatal(err)
			}
			f.file = j.trials
			j.trials = f
			if err := j.Append(trial("b", 0)); err == nil || !strings.Contains(err.Error(), full.Error()) {
				t.Fatalf("got %v, want the disk's error", err)
			}
			f.short, f.write, f.sync = nil, nil, nil
			if err := j.Append(trial("c", 0)); err == nil {
				t.Error("it took a trial behind one that may be torn")
			}
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			run, err := Read(dir)
			if err != nil || run.Trials[0].Cell != "a" {
				t.Errorf("what was there before is lost: %v", err)
			}
		})
	}
}

func FuzzRead(f *testing.F) {
	line, _ := json.Marshal(trial("a", 0))
	record, _ := json.Marshal(safety("a", cell.PowerLoss, "volatile"))
	f.Add([]byte(`{"schema":1,"name":"x"}`), append(line, '\n'), append(record, '\n'))
	f.Add([]byte(`{"schema":1}`), []byte("\n"), []byte{})
	f.Fuzz(func(t *testing.T, manifest, trials, safety []byte) {
		dir := t.TempDir()
		for name, text := range map[string][]byte{ManifestFile: manifest, TrialsFile: trials, SafetyFile: safety} {
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		run, err := Read(dir)
		if err == nil && (len(run.Trials) > bytes.Count(trials, []byte("\n")) || len(run.Safety) > bytes.Count(safety, []byte("\n"))) {
			t.Error("more records than lines")
		}
	})
}

func TestAJudgementIsReadAsItWasWritten(t *testing.T) {
	dir := newRun(t)
	run, err := Read(dir)
	if err != nil || run.Judgement != nil {
		t.Fatalf("a run that nobody judged has %+v (%v)", run.Judgement, err)
	}
	want := Judgement{Policy: "default", Outcome: "FAIL", Reasons: []string{"slower"}}
	if err := want.Write(dir); err != nil {
		t.Fatal(err)
	}
	if run, err = Read(dir); err != nil || run.Judgement == nil || run.Judgement.Outcome != "FAIL" || len(run.Judgement.Reasons) != 1 {
		t.Errorf("read %+v (%v)", run.Judgement, err)
	}
	if err := os.WriteFile(filepath.Join(dir, JudgementFile), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	var e *Error
	if _, err = Read(dir); !errors.As(err, &e) || e.Fault != Input {
		t.Errorf("half a judgement: %v", err)
	}
}

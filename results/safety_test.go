package results

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"platter/cell"
)

func safety(cell, class, drive string) Safety {
	return Safety{
		Cell: cell, Class: class, DriveCache: drive, Method: EveryOp, Status: OK, Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Verdict: Loses, Predicted: Safe, CrashPoints: 9000, Writes: 6000, Promises: 6000, PromisesLost: 5999, PointsLost: 8990,
		Exposure: Exposure{Writes: 8, Bytes: 32768, MS: 12.5, Censored: true},
		Worst:    &CrashPoint{Point: 8999, MS: 2900}, Strip: []StripPoint{{CrashPoint: CrashPoint{Point: 45, MS: 15}, PromisesLost: 3}},
		Live:     &LiveCuts{Cuts: 1, Lost: 1, PromisesLost: 17, Promises: 17, Agrees: true},
		Controls: []Control{{Name: "unsafe", Class: class, Promises: 10, PromisesLost: 9, Lost: true}},
	}
}

func newSafetyRun(t *testing.T, records ...Safety) string {
	t.Helper()
	dir := newRun(t, trial("a", 0))
	j, _, err := Resume(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range records {
		err = errors.Join(err, j.AppendSafety(s))
	}
	if err := errors.Join(err, j.Close()); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestSafetyRecordsAreReadAsTheyWereAppended(t *testing.T) {
	want := []Safety{safety("a", cell.HostCrash, "volatile"), safety("a", cell.PowerLoss, "volatile"),
		safety("a", cell.PowerLoss, "protected"), safety("b", cell.HostCrash, "volatile")}
	run, err := Read(newSafetyRun(t, want...))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(run.Safety, want) || len(run.Trials) != 1 || run.Torn {
		t.Errorf("read %+v", run)
	}
}

func TestARunWithoutCampaignsHasNoSafetyRecords(t *testing.T) {
	dir := newRun(t, trial("a", 0))
	if run, err := Read(dir); err != nil || run.Safety != nil {
		t.Errorf("%v, %+v", err, run)
	}
	if err := os.Remove(filepath.Join(dir, SafetyFile)); err != nil { // as earlier versions left it
		t.Fatal(err)
	}
	if run, err := Read(dir); err != nil || run.Safety != nil {
		t.Errorf("%v, %+v", err, run)
	}
}

func TestTheLaterRecordOfACellClassAndDriveCacheCounts(t *testing.T) {
	failed := safety("a", cell.HostCrash, "volatile")
	failed.Status, failed.Verdict = Failed, ""
	run, err := Read(newSafetyRun(t, failed, safety("a", cell.PowerLoss, "volatile"), safety("a", cell.HostCrash, "protected"),
		safety("a", cell.HostCrash, "volatile")))
	if err != nil {
		t.Fatal(err)
	}
	if len(run.Safety) != 3 || run.Safety[0].Status != OK || run.Safety[0].Key() != (cell.Question{Cell: "a", Class: cell.HostCrash,
		DriveCache: "volatile"}) {
		t.Errorf("read %+v", run.Safety)
	}
}

func TestASafetyJournalTornAtAnyByteKeepsItsWholeLines(t *testing.T) {
	dir := newSafetyRun(t, safety("a", cell.HostCrash, "volatile"), safety("a", cell.PowerLoss, "volatile"))
	path := filepath.Join(dir, SafetyFile)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(whole) + 1 {
		if err := os.WriteFile(path, whole[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		lines := bytes.Count(whole[:cut], []byte("\n"))
		j, run, err := Resume(dir)
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if len(run.Safety) != lines || len(run.Trials) != 1 || run.Torn != (cut > 0 && whole[cut-1] != '\n') {
			t.Fatalf("cut at %d: %d records and %d trials, torn %v", cut, len(run.Safety), len(run.Trials), run.Torn)
		}
		if err := errors.Join(j.AppendSafety(safety("b", cell.HostCrash, "none")), j.Close()); err != nil {
			t.Fatal(err)
		}
		if run, err = Read(dir); err != nil || len(run.Safety) != lines+1 || run.Torn || run.Safety[lines].Cell != "b" {
			t.Fatalf("cut at %d: after going on: %v, %+v", cut, err, run)
		}
	}
}

func TestBothJournalsMayBeTorn(t *testing.T) {
	dir := newSafetyRun(t, safety("a", cell.HostCrash, "volatile"))
	for _, name := range []string{TrialsFile, SafetyFile} {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteString(`{"cell":"x","cl`)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	j, run, err := Resume(dir)
	if err != nil || len(run.Trials) != 1 || len(run.Safety) != 1 || !run.Torn {
		t.Fatalf("%v, %+v", err, run)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if run, err = Read(dir); err != nil || run.Torn {
		t.Errorf("still torn: %v", err)
	}
}

func TestASafetyLineInTheMiddleThatCannotBeReadIsAnErrorWithItsNumber(t *testing.T) {
	dir := newSafetyRun(t, safety("a", cell.HostCrash, "volatile"))
	path := filepath.Join(dir, SafetyFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append([]byte("{\"promises\": \"many\"}\n"), text...), 0o644); err != nil {
		t.Fatal(err)
	}
	var e *Error
	if _, err = Read(dir); !errors.As(err, &e) || e.Line != 1 || !strings.Contains(err.Error(), SafetyFile+":1: not a safety record") {
		t.Errorf("got %v, want an error at line 1", err)
	}
}

func TestAJournalThatCouldNotWriteASafetyRecordTakesNoMoreOfAnything(t *testing.T) {
	full := errors.New("no space left on device")
	for name, f := range map[string]*failing{"write": {write: full}, "short write": {short: full}, "fsync": {sync: full}} {
		t.Run(name, func(t *testing.T) {
			dir := newSafetyRun(t, safety("a", cell.HostCrash, "volatile"))
			j, _, err := Resume(dir)
			if err != nil {
				t.Fatal(err)
			}
			f.file = j.safety
			j.safety = f
			if err := j.AppendSafety(safety("b", cell.HostCrash, "volatile")); err == nil || !strings.Contains(err.Error(), full.Error()) ||
				!strings.Contains(err.Error(), SafetyFile) {
				t.Fatalf("got %v, want the disk's error", err)
			}
			f.short, f.write, f.sync = nil, nil, nil
			if err := j.AppendSafety(safety("c", cell.HostCrash, "volatile")); err == nil {
				t.Error("it took a record behind one that may be torn")
			}
			if err := j.Append(trial("c", 0)); err == nil {
				t.Error("it took a trial on a disk that fails")
			}
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			run, err := Read(dir)
			if err != nil || run.Safety[0].Cell != "a" || len(run.Trials) != 1 {
				t.Errorf("what was there before is lost: %v", err)
			}
		})
	}
}

func TestTheRawFilesOfACampaignAreFoundWhereTheyWerePut(t *testing.T) {
	dir := newRun(t)
	j, run, err := Resume(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	made, err := j.SafetyDir("disk.cache=none")
	if err != nil {
		t.Fatal(err)
	}
	if found := filepath.Join(run.Dir, SafetyDir("disk.cache=none")); found != made {
		t.Errorf("made %s, found %s", made, found)
	}
	if _, err := os.Stat(filepath.Join(dir, "raw", "disk.cache=none", "safety")); err != nil {
		t.Error(err)
	}
}

func TestAVerdictIsHeldAgainstThePrediction(t *testing.T) {
	for _, tc := range []struct {
		verdict, predicted string
		newest             bool
		lost, promises     int64
		want               bool
	}{
		{Safe, Safe, false, 0, 900, false},
		{Loses, Safe, false, 1, 900, true},
		{Safe, Loses, false, 0, 900, true},
		{Loses, Loses, false, 900, 900, false},
		{Safe, Loses, true, 0, 900, false},   // rare, and not seen
		{Loses, Loses, true, 3, 900, false},  // as predicted
		{Loses, Loses, true, 800, 900, true}, // not the newest alone
		{Loses, Loses, true, 1, 2, false},
		{NoPromise, Loses, true, 0, 0, true},
		{Loses, NoPromise, true, 1, 900, true},
		{Invalid, Safe, false, 0, 900, false},
		{Safe, "", false, 0, 900, false},
	} {
		s := Safety{Status: OK, Verdict: tc.verdict, Predicted: tc.predicted, PredictedNewest: tc.newest, PromisesLost: tc.lost, Promises: tc.promises}
		if got := s.Unpredicted(); got != tc.want {
			t.Errorf("%+v: %v", tc, got)
		}
	}
}

func TestFewPromisesAreThoseOfASafeCellThatCouldHardlyHaveLost(t *testing.T) {
	for _, tc := range []struct {
		s    Safety
		want bool
	}{
		{Safety{Status: OK, Verdict: Safe, Promises: EnoughPromises - 1}, true},
		{Safety{Status: OK, Verdict: Safe, Promises: EnoughPromises}, false},
		{Safety{Status: OK, Verdict: Loses, Promises: 1}, false},
		{Safety{Status: Failed, Verdict: Safe}, false},
		{Safety{Status: OK, Verdict: Safe, Method: Live, Live: &LiveCuts{Promises: EnoughPromises}}, false},
	} {
		if got := tc.s.FewPromises(); got != tc.want {
			t.Errorf("%+v: %v", tc.s, got)
		}
	}
}

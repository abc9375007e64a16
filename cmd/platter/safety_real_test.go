package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"platter/results"
)

func TestSafetyQuickGivesTheVerdictsOfTheModel(t *testing.T) {
	r := newRig(t)
	stdout, _ := r.run(0, "run", "safety-quick", "-o", "out", "--storage", r.storage)
	r.clean()
	run, err := results.Read(filepath.Join(r.dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	if len(run.Safety) != 11*4*2 {
		t.Errorf("%d safety records, want 11 cells × 4 classes × 2 drive caches", len(run.Safety))
	}
	cuts := 0
	for _, s := range run.Safety {
		name := s.Cell + " " + s.Class + " " + s.DriveCache
		switch {
		case s.Status != results.OK:
			t.Errorf("%s: %s", name, s.Failure.Message)
		case s.Unpredicted():
			t.Errorf("%s: %s (%s), predicted %s: %d of %d promises lost", name, s.Verdict, s.Reason, s.Predicted, s.PromisesLost, s.Promises)
		case s.CrashPoints < 100 || s.Writes < 20:
			t.Errorf("%s: %d crash points of %d writes are too few to say anything", name, s.CrashPoints, s.Writes)
		case !s.PredictedExposed && s.Exposure.Writes > 0:
			t.Errorf("%s: %d writes exposed, and the model expects none", name, s.Exposure.Writes)
		case s.Predicted == results.NoPromise && s.PredictedExposed && !s.PredictedNewest && s.Exposure.Writes == 0:
			t.Errorf("%s: nothing exposed, and the model expects it", name)
		case len(s.Controls) == 0 || !s.Controls[0].Lost:
			t.Errorf("%s: controls %+v", name, s.Controls)
		case s.Live != nil && !s.Live.Agrees:
			t.Errorf("%s: %s", name, s.Live.Disagreement)
		}
		if s.Live != nil {
			cuts += s.Live.Cuts
		}
	}
	if cuts != 5*4 {
		t.Errorf("%d live cuts, want one for each mode and class", cuts)
	}
	if !strings.Contains(stdout, "Fastest SAFE at fsync=1") {
		t.Errorf("no answer:\n%s", stdout)
	}

	out, _ := r.run(0, "show", "--json", "out")
	var shown struct {
		Safety []struct {
			Class    string `json:"class"`
			Verdict  string `json:"verdict"`
			Promises int64  `json:"promises"`
		} `json:"safety"`
	}
	if err := json.Unmarshal([]byte(out), &shown); err != nil || len(shown.Safety) != len(run.Safety) {
		t.Errorf("show --json has %d safety records of %d (%v)", len(shown.Safety), len(run.Safety), err)
	}

	stdout, _ = r.run(0, "replay", "out", "--cell", "disk.cache=unsafe,fio.fsync=1,fio.numjobs=1", "--at", "worst", "--class", "power_loss", "-o",
		"survivor.img")
	info, err := os.Stat(filepath.Join(r.dir, "survivor.img"))
	if err != nil || info.Size() != 16<<20 {
		t.Errorf("the survivor has not the size of the probe's disk: %v, %v\n%s", info, err, stdout)
	}
}

func TestARunKilledInACrashCampaignLeavesNoMount(t *testing.T) {
	r := newRig(t)
	matrix := `
name: short
storage: {size: 64MiB}
guest: {memory: 512MiB}
axes: {disk.cache: [unsafe, none], fio.fsync: [1]}
fio: {rw: randwrite, bs: 4k, direct: 1, size: 16m, runtime: 300ms}
trials: 1
safety: {classes: [host_crash], seconds: 1, size: 4MiB}
`
	if err := os.WriteFile(filepath.Join(r.dir, "short.yaml"), []byte(matrix), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := r.command("run", "short.yaml", "-o", "out", "--storage", r.storage)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	journal := filepath.Join(r.dir, "out", results.SafetyFile)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	// The first campaign is over when its records are in the journal; the next one runs when a log is written.
	for _, pattern := range []string{journal, filepath.Join(r.storage, "*", "oplog-*")} {
		for written := false; !written; {
			select {
			case err := <-ended:
				t.Fatalf("the run ended before %s was written: %v", pattern, err)
			case <-time.After(10 * time.Millisecond):
			}
			files, err := filepath.Glob(pattern)
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				info, err := os.Stat(file) // a log goes with its campaign
				written = written || err == nil && info.Size() > 0
			}
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
	r.run(0, "cleanup", "--storage", r.storage)
	r.clean()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(mounts), r.storage) {
		t.Errorf("something is still mounted there (%v)", err)
	}
	stdout, _ := r.run(0, "run", "--resume", "out", "--storage", r.storage)
	if !strings.Contains(stdout, "LOSES") {
		t.Errorf("the run did not go on:\n%s", stdout)
	}
	run, err := results.Read(filepath.Join(r.dir, "out"))
	if err != nil || len(run.Safety) != 2 {
		t.Errorf("%d safety records after going on (%v), want 2", len(run.Safety), err)
	}
	r.clean()
}

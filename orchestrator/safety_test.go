package orchestrator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"platter/cell"
	"platter/fault"
	"platter/matrices"
	"platter/orchestrator/crash"
	"platter/orchestrator/host"
	"platter/orchestrator/scratch"
	"platter/powercut"
	"platter/results"
)

// builtProgram builds platter once for all tests. It lies beside this test binary, which go test throws away.
var builtProgram = sync.OnceValues(func() (string, error) {
	path := os.Args[0] + ".platter"
	if out, err := exec.Command("go", "build", "-o", path, "platter/cmd/platter").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build platter: %v: %s", err, out)
	}
	return path, nil
})

// realProgram returns the path of platter, which serves the simulated disk.
func realProgram(t testing.TB) string {
	t.Helper()
	needReal(t)
	path, err := builtProgram()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// realCrashes gives a run on the shared lab that can make the campaigns of a matrix, and those campaigns.
func realCrashes(t *testing.T, matrix string) (*Run, []crash.Campaign) {
	t.Helper()
	program := realProgram(t)
	l := realSharedLab(t)
	m, err := matrices.Parse("test.yaml", []byte(matrix))
	if err != nil {
		t.Fatal(err)
	}
	p := NewPlan(m, 1, 7)
	manifest := results.Manifest{Schema: results.Schema}
	for _, c := range p.Cells {
		manifest.Cells = append(manifest.Cells, cell.Cell{ID: c.ID, Excluded: c.Excluded})
	}
	journal, err := results.Create(filepath.Join(t.TempDir(), "run"), manifest)
	if err != nil {
		t.Fatal(err)
	}
	run := &Run{Lab: l, silent: map[Boot]int{}, known: map[Boot]bool{}, Journal: journal, Storage: l.work.path, Plan: p, Host: host.Facts(),
		Tell: func(e Event) { t.Log(e.Message) }}
	if run.Simulator, err = scratch.StartSimulator(t.Context(), program, run.Storage); err != nil {
		t.Fatal(err)
	}
	run.Campaigns = &crash.Campaigns{Rig: rig{run}, Disk: run.Simulator, Safety: *p.Safety, Seed: 7, Storage: run.Storage}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := run.closeMachine(ctx); err != nil {
			t.Error(err)
		}
		if err := run.Simulator.Close(ctx); err != nil {
			t.Error(err)
		}
		journal.Close()
		mounts, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil || strings.Contains(string(mounts), l.work.path) {
			t.Errorf("the simulated disk is still mounted (%v)", err)
		}
	})
	return run, p.Campaigns
}

// crashMatrix is a matrix of campaigns of a second.
func crashMatrix(axes, safety string) string {
	return `
name: crash
storage: {size: 256MiB}
guest: {memory: 512MiB}
axes: {` + axes + `}
fio: {rw: randwrite, bs: 4k, direct: 1, size: 16m, runtime: 1}
safety: {seconds: 1, size: 4MiB, ` + safety + `}
`
}

func TestLiveCutsOnAFileSystemAgreeWithTheirReplay(t *testing.T) {
	run, all := realCrashes(t, crashMatrix("guest.filesystem: [ext4], disk.cache: [none, unsafe], fio.fsync: [1]", "live: 1"))
	for _, c := range all {
		for _, r := range run.Campaigns.Do(t.Context(), c) {
			name := r.Cell + " " + r.Class
			switch {
			case r.Status != results.OK:
				t.Fatalf("%s: %s", name, r.Failure.Message)
			case r.Verdict != r.Predicted:
				t.Errorf("%s: %s (%s), predicted %s; %d of %d promises lost; %s", name, r.Verdict, r.Reason, r.Predicted, r.PromisesLost, r.Promises,
					r.Filesystem)
			case r.Live == nil || r.Live.Cuts != 1 || !r.Live.Agrees || r.Live.Promises == 0:
				t.Errorf("%s: live cuts %+v", name, r.Live)
			case (r.Live.PromisesLost > 0) != (r.Predicted == results.Loses):
				t.Errorf("%s: %d of %d promises lost at the live cut, predicted %s", name, r.Live.PromisesLost, r.Live.Promises, r.Predicted)
			}
		}
	}
}

// No tool of the host's looks at an xfs: each record has its own cut, also behind the second drive cache.
func TestCampaignsOnXFSHaveTheirFileSystemReadBack(t *testing.T) {
	matrix := crashMatrix("guest.filesystem: [xfs], disk.cache: [none, unsafe], fio.fsync: [1]",
		"classes: [power_loss], drive_cache: [volatile, protected], live: 1")
	run, all := realCrashes(t, strings.Replace(matrix, "256MiB", "512MiB", 1))
	for _, c := range all {
		for _, r := range run.Campaigns.Do(t.Context(), c) {
			name := r.Cell + ", drive cache " + r.DriveCache
			switch {
			case r.Status != results.OK:
				t.Fatalf("%s: %s", name, r.Failure.Message)
			case r.Verdict != r.Predicted || r.Method != results.Live:
				t.Errorf("%s: %s (%s) by %s, predicted %s; %s", name, r.Verdict, r.Reason, r.Method, r.Predicted, r.Filesystem)
			case r.Live == nil || r.Live.Cuts != 1 || !r.Live.Agrees || r.Live.Promises == 0 || r.Live.Lost > 0 != (r.Predicted == results.Loses):
				t.Errorf("%s: live cuts %+v", name, r.Live)
			}
		}
	}
}

func TestCampaignsOnQcow2AgreeWithTheirLiveCuts(t *testing.T) {
	matrix := crashMatrix("storage.format: [qcow2], disk.cache: [none, unsafe], fio.fsync: [1]",
		"classes: [qemu_kill, power_loss], points: 12, live: 1")
	run, all := realCrashes(t, matrix)
	for _, c := range all {
		for _, r := range run.Campaigns.Do(t.Context(), c) {
			name := r.Cell + " " + r.Class
			switch {
			case r.Status != results.OK:
				t.Fatalf("%s: %s", name, r.Failure.Message)
			case r.Verdict != r.Predicted:
				t.Errorf("%s: %s (%s), predicted %s; %s", name, r.Verdict, r.Reason, r.Predicted, r.Filesystem)
			case r.Live == nil || r.Live.Cuts != 1 || !r.Live.Agrees:
				t.Errorf("%s: live cuts %+v", name, r.Live)
			}
		}
	}
}

func TestADiskThatMisbehavesIsNotCalledSafe(t *testing.T) {
	run, all := realCrashes(t, crashMatrix("disk.cache: [none], fio.fsync: [8]", "classes: [power_loss], live: 1"))
	for _, mutant := range []string{powercut.IgnoreFlush, powercut.LateFlush, powercut.Tear, powercut.Reorder} {
		run.Campaigns.Mutants = map[string]string{all[0].Cell.ID: mutant}
		for _, r := range run.Campaigns.Do(t.Context(), all[0]) {
			if r.Status != results.OK {
				t.Fatalf("%s: %s", mutant, r.Failure.Message)
			}
			t.Logf("%s: %s, %s; live %+v", mutant, r.Verdict, r.Reason, r.Live)
			if r.Verdict == results.Safe || r.Verdict == results.NoPromise {
				t.Errorf("%s is called %s", mutant, r.Verdict)
			}
		}
	}
}

func TestTheRunGoesOnWhenTheSimulatedDiskDies(t *testing.T) {
	run, all := realCrashes(t, crashMatrix("disk.cache: [none, unsafe], fio.fsync: [1]", "classes: [host_crash]"))
	for _, r := range run.Campaigns.Do(t.Context(), all[0]) { // with the controls
		if r.Status != results.OK {
			t.Fatalf("the campaign before: %+v", r.Failure)
		}
	}
	campaign, over := context.WithCancel(t.Context())
	killed := make(chan error, 1)
	go func() {
		for logged := false; !logged; { // until the probe writes
			logs, _ := filepath.Glob(filepath.Join(run.Storage, "oplog-*"))
			for _, log := range logs {
				info, err := os.Stat(log)
				logged = logged || err == nil && info.Size() > 64<<10
			}
			if campaign.Err() != nil {
				killed <- errors.New("the campaign ended before the probe had written")
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		p, err := os.FindProcess(run.Simulator.PID())
		if err == nil {
			err = p.Kill()
		}
		killed <- err
	}()
	first := run.Campaigns.Do(t.Context(), all[0])
	over()
	if err := <-killed; err != nil {
		t.Fatal(err)
	}
	if first[0].Status != results.Failed || first[0].Failure.Fault != string(fault.Rig) {
		t.Errorf("the campaign whose disk died: %+v", first[0])
	}
	for _, r := range run.Campaigns.Do(t.Context(), all[1]) {
		if r.Status != results.OK || r.Verdict != results.Loses {
			t.Errorf("the next campaign: %s %s %+v", r.Status, r.Verdict, r.Failure)
		}
	}
}

func TestASavedGuestComesBackTwentyTimesAfterKillsWithItsRootWhole(t *testing.T) {
	l := realSharedLab(t)
	before, err := os.ReadFile(l.image.RootPath())
	if err != nil {
		t.Fatal(err)
	}
	var first string
	for n := range 21 {
		m, err := l.Boot(t.Context(), suiteBoot)
		if err != nil {
			t.Fatalf("start %d: %v", n, err)
		}
		live := m.(*liveMachine)
		out, err := live.client.Run(t.Context(),
			`cat /bin/sh /usr/bin/fio | md5sum; ls -lR /usr/sbin | md5sum; dmesg | grep -Ei "ext4-fs.*error|i/o error|corrupt" || :`, nil)
		if n == 0 {
			first = string(out.Stdout)
		}
		if err != nil || string(out.Stdout) != first || strings.Count(first, "\n") != 2 {
			t.Errorf("start %d: %v: the root reads\n%swant\n%s", n, err, out.Stdout, first)
		}
		if err := live.domain.Kill(t.Context()); err != nil {
			t.Fatalf("kill %d: %v", n, err)
		}
		if err := m.Close(t.Context()); err != nil {
			t.Fatalf("close %d: %v", n, err)
		}
	}
	if after, err := os.ReadFile(l.image.RootPath()); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the root image has changed (%v)", err)
	}
}

// What fails before the first controls are made must not take the campaigns after it along.
func TestTheRunGoesOnWhenTheSimulatedDiskDiesBeforeItsControls(t *testing.T) {
	run, all := realCrashes(t, crashMatrix("disk.cache: [none, unsafe], fio.fsync: [1]", "classes: [host_crash]"))
	if err := run.Simulator.Close(t.Context()); err != nil { // as after a campaign that failed
		t.Fatal(err)
	}
	for _, c := range all {
		for _, r := range run.Campaigns.Do(t.Context(), c) {
			if r.Status != results.OK || r.Verdict != r.Predicted {
				t.Errorf("%s: %s %s %+v", r.Cell, r.Status, r.Verdict, r.Failure)
			}
		}
	}
}

// The order in which drive caches are named must not matter: what a drive without a cache never holds is not lost behind a
// volatile one either, if the log is made on it.
func TestALogServesAVolatileDriveThatIsNotNamedFirst(t *testing.T) {
	run, all := realCrashes(t, crashMatrix(`disk.cache: [none], guest.write_cache: ["write through"], fio.fsync: [1]`,
		"classes: [power_loss], drive_cache: [none, volatile]"))
	want := map[string]string{"none": results.Safe, "volatile": results.Loses}
	for _, r := range run.Campaigns.Do(t.Context(), all[0]) {
		if r.Status != results.OK || r.Verdict != want[r.DriveCache] {
			t.Errorf("drive cache %s: %s %s %+v: %d of %d promises lost", r.DriveCache, r.Status, r.Verdict, r.Failure, r.PromisesLost, r.Promises)
		}
	}
}

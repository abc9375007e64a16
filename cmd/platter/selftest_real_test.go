package main

import (
	"bytes"
	"os"
	"path/filepath"
	"platter/orchestrator"
	"platter/powercut"
	"platter/results"
	"platter/selftest"
	"strings"
	"testing"
	"time"
)

// TestSelftestOnRealGuests is a selftest as small as one can be: its rates say nothing, but that all was tried.
func TestSelftestOnRealGuests(t *testing.T) {
	r := newRig(t)
	base := orchestrator.Settings{URI: "qemu:///system", Program: r.dir + "/platter", Storage: r.storage, Cache: cacheDir(),
		Tool: "platter test", Command: []string{"platter", "selftest"}}
	size := selftest.Size{Same: 2, Slower: 2, Runtime: "300ms", Seconds: 0.5, Cuts: 1, Gates: 20, Mutants: []string{powercut.Tear}}
	var progress bytes.Buffer
	began := time.Now()
	report, err := selftest.Measure(size, base.Tool, selftestRun(t.Context(), base, t.TempDir(), &progress))
	if err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	t.Logf("%.0f s", time.Since(began).Seconds())
	r.clean()
	var tried []string
	for _, rate := range report.Rates {
		tried = append(tried, strings.TrimSpace(rate.What))
		crash := strings.HasPrefix(rate.What, "disk") || strings.HasPrefix(rate.What, "control")
		if rate.Tried == 0 || crash && !*rate.Kept {
			t.Errorf("%+v", rate)
		}
	}
	want := "nothing changed: called slower, without the floor of 5 %, in the order it was measured, 5 % slower: found, 10 % slower: " +
		"found, 20 % slower: found, " +
		"disk as it should be: called SAFE, disk that tears: caught, control, a probe that lies: loss seen, control, unsafe: loss seen"
	if got := strings.Join(tried, ", "); got != want {
		t.Errorf("tried %s", got)
	}
	if report.Host.Accel == "" || !(report.IOPS > 0) || !(report.Noise > 0) {
		t.Errorf("%+v", report)
	}
}

func TestARunEndsAtTheLookThatDecidesOnRealGuests(t *testing.T) {
	r := newRig(t)
	for name, text := range map[string]string{
		"both.yaml": `name: both
storage: {size: 64MiB}
guest: {memory: 512MiB}
axes: {variant.side: {before: {disk.cache: none}, after: {disk.cache: none, fio.rate_iops: 20}}}
fio: {rw: randwrite, bs: 4k, ioengine: psync, direct: 1, size: 64m, time_based: 1, runtime: 300ms}
`,
		"policy.yaml": "name: p\nperformance: {looks: [7, 9], rules: [{metric: iops, regression: 5%}]}\n",
		"other.yaml":  "name: p\nperformance: {looks: [7, 9], rules: [{metric: iops, regression: 6%}]}\n",
	} {
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	stdout, stderr := r.run(0, "run", "--until-decided", "--policy", "policy.yaml", "both.yaml", "-o", "out", "--storage", r.storage)
	if !strings.Contains(stderr, "decided after 7 blocks") || !strings.Contains(stdout, "platter gate --policy policy.yaml --candidate out") {
		t.Errorf("the run said\n%s%s", stdout, stderr)
	}
	run, err := results.Read(filepath.Join(r.dir, "out"))
	if err != nil || len(run.Trials) != 14 || run.Manifest.Looks == nil {
		t.Fatalf("%d trials, looks %+v: %v", len(run.Trials), run.Manifest.Looks, err)
	}
	r.run(0, "run", "--resume", "out") // it is over
	if run, err = results.Read(filepath.Join(r.dir, "out")); err != nil || len(run.Trials) != 14 {
		t.Fatalf("after --resume: %d trials: %v", len(run.Trials), err)
	}
	r.clean()
	r.run(exitFail, "gate", "--policy", "policy.yaml", "--candidate", "out")
	stdout, _ = r.run(exitInconclusive, "gate", "--policy", "other.yaml", "--candidate", "out")
	if !strings.Contains(stdout, "can be judged by no other") {
		t.Errorf("the gate said\n%s", stdout)
	}
}

package main

import (
	"bytes"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"platter/cell"
	"platter/matrices"
	"platter/orchestrator"
	"platter/powercut"
	"platter/results"
)

// drawnBlocks are blocks of log-normal noise whose after side is limited, as rate_iops does it.
func drawnBlocks(seed uint64, n int, noise, limit float64) []block {
	random := rand.New(rand.NewPCG(seed, 9))
	blocks := make([]block, n)
	for i := range blocks {
		blocks[i] = block{1000 * math.Exp(noise*random.NormFloat64()), min(1000*limit, 1000*math.Exp(noise*random.NormFloat64()))}
	}
	return blocks
}

func TestRatesOfSimulatedMachinesAreWhatIsPromised(t *testing.T) {
	same := drawnBlocks(7, 20, 0.03, math.Inf(1))
	if noise := noiseOf(same); noise < 0.02 || noise > 0.045 {
		t.Errorf("noise of 3 %% is measured as %.3f", noise)
	}
	for _, r := range sameRates(same, 300) {
		if r.Kept != nil && !*r.Kept {
			t.Errorf("%+v", r)
		}
	}
	for i, s := range slowdowns {
		r := slowerRate(drawnBlocks(uint64(i), 20, 0.03, 1-s), 300, s, 1000*(1-s))
		if !*r.Kept {
			t.Errorf("%+v", r)
		}
		if s == 0.2 && (*r.AtLeast != promisedFound || r.Rate < 0.99) {
			t.Errorf("a slowdown of 20 %% at 3 %% noise: %+v", r)
		}
	}
}

func TestAGateThatMissesSlowdownsBreaksItsPromise(t *testing.T) {
	// As if the gate were blind: nothing is slower, though the limit says so.
	blocks := drawnBlocks(1, 20, 0.03, math.Inf(1))
	r := slowerRate(blocks, 200, 0.2, 800)
	if *r.Kept || r.Rate > 0.1 {
		t.Errorf("%+v", r)
	}
}

func TestAMachineTooNoisyForASlowdownIsInconclusive(t *testing.T) {
	blocks := drawnBlocks(3, 8, 0.3, 0.8)
	report := &selftestReport{Noise: 0.3, OK: true}
	report.add(sameRates(drawnBlocks(2, 8, 0.3, math.Inf(1)), 200)...)
	r := slowerRate(blocks, 200, 0.2, 800)
	report.add(r)
	if *r.AtLeast >= promisedFound {
		t.Errorf("noise of 30 %% has the promise %.2f", *r.AtLeast)
	}
	if _, ok := report.verdict().(*errInconclusive); !ok {
		t.Errorf("got %v", report.verdict())
	}
}

func TestAMutantThatIsCalledSafeIsSeen(t *testing.T) {
	record := func(name, verdict string, lost bool) results.Safety {
		return results.Safety{Cell: "variant.disk=" + name, Class: cell.PowerLoss, Verdict: verdict,
			Controls: []results.Control{{Name: "unsafe", Class: cell.PowerLoss, Promises: 9, Lost: lost}}}
	}
	all := func(change func(records []results.Safety)) []results.Safety {
		records := []results.Safety{record(honest, results.Safe, true), record(powercut.IgnoreFlush, results.Invalid, true),
			record(powercut.LateFlush, results.Loses, true), record(powercut.Tear, results.Invalid, true), record(powercut.Reorder, results.Invalid, true)}
		change(records)
		return records
	}
	for name, c := range map[string]struct {
		change func([]results.Safety)
		ok     bool
	}{
		"all as they should":            {func([]results.Safety) {}, true},
		"a mutant is called safe":       {func(r []results.Safety) { r[3].Verdict = results.Safe }, false},
		"a mutant promised nothing":     {func(r []results.Safety) { r[2].Verdict = results.NoPromise }, false},
		"an honest disk is not safe":    {func(r []results.Safety) { r[0].Verdict = results.Loses }, false},
		"a mutant was not judged":       {func(r []results.Safety) { r[4].Cell = "another" }, false},
		"a control was seen to survive": {func(r []results.Safety) { r[1].Controls[0].Lost = false }, false},
	} {
		records := all(c.change)
		report := &selftestReport{OK: true}
		report.add(mutantRates(records, mutants())...)
		report.add(controlRates(records)...)
		if report.OK != c.ok {
			t.Errorf("%s: %+v", name, report.Rates)
		}
	}
}

func TestTheTableOfRatesFitsATerminal(t *testing.T) {
	report := &selftestReport{Host: results.Host{Accel: "tcg", QEMU: "10.2.22"}, Noise: 0.191, IOPS: 123456, OK: true}
	report.add(sameRates(drawnBlocks(1, 10, 0.03, math.Inf(1)), 300)...)
	report.add(slowerRate(drawnBlocks(1, 10, 0.3, 0.8), 300, 0.2, 800))
	report.add(mutantRates(nil, mutants())...)
	report.add(newRate("control, none without barriers: loss seen", 1, 1).atLeast(1))
	var out bytes.Buffer
	if err := report.text(&out); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + out.String())
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if !strings.Contains(out.String(), "NO") {
		t.Error("mutants that were not judged are no promise kept")
	}
}

func TestTheMatricesOfSelftestAreGood(t *testing.T) {
	for name, text := range map[string]string{"same": sameMatrix(fullSelftest), "slower": slowerMatrix(quickSelftest, []int{950, 900, 800}), "mutants": mutantsMatrix(fullSelftest)} {
		m, err := matrices.Parse(name, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range m.Cells() {
			if c.Excluded != "" {
				t.Errorf("%s: %s is excluded: %s", name, c.ID, c.Excluded)
			}
		}
	}
}

// TestSelftestOnRealGuests is a selftest as small as one can be: its rates say nothing, but that all was tried.
func TestSelftestOnRealGuests(t *testing.T) {
	r := newRig(t)
	base := orchestrator.Settings{URI: "qemu:///system", Program: r.dir + "/platter", Storage: r.storage, Cache: cacheDir(), Tool: "platter test", Command: []string{"platter", "selftest"}}
	size := selftestSize{same: 2, slower: 2, runtime: "300ms", seconds: 0.5, cuts: 1, gates: 20, mutants: []string{powercut.Tear}}
	var progress bytes.Buffer
	began := time.Now()
	report, err := selftest(t.Context(), base, size, t.TempDir(), &progress)
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
	want := "nothing changed: called slower, without the floor of 5 %, in the order it was measured, 5 % slower: found, 10 % slower: found, 20 % slower: found, " +
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

package selftest

import (
	"bytes"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"platter/cell"
	"platter/gate"
	"platter/matrices"
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
	report := &Report{Noise: 0.3, OK: true}
	report.add(sameRates(drawnBlocks(2, 8, 0.3, math.Inf(1)), 200)...)
	r := slowerRate(blocks, 200, 0.2, 800)
	report.add(r)
	if *r.AtLeast >= promisedFound {
		t.Errorf("noise of 30 %% has the promise %.2f", *r.AtLeast)
	}
	if outcome, why := report.Outcome(); outcome != gate.Inconclusive || !strings.Contains(why, "30.0 %") {
		t.Errorf("got %s: %s", outcome, why)
	}
}

func TestAMutantThatIsCalledSafeIsSeen(t *testing.T) {
	record := func(name, verdict string, lost bool) results.Safety {
		return results.Safety{Cell: "variant.disk=" + name, Class: cell.PowerLoss, Verdict: verdict,
			Controls: []results.Control{{Name: "unsafe", Class: cell.PowerLoss, Promises: 9, Lost: lost}}}
	}
	all := func(change func(records []results.Safety)) []results.Safety {
		records := []results.Safety{record(honest, results.Safe, true), record(powercut.IgnoreFlush, results.Invalid, true),
			record(powercut.LateFlush, results.Loses, true), record(powercut.Tear, results.Invalid, true),
			record(powercut.Reorder, results.Invalid, true)}
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
		report := &Report{OK: true}
		report.add(mutantRates(records, mutants())...)
		report.add(controlRates(records)...)
		if report.OK != c.ok {
			t.Errorf("%s: %+v", name, report.Rates)
		}
	}
}

func TestTheTableOfRatesFitsATerminal(t *testing.T) {
	report := &Report{Host: results.Host{Accel: "tcg", QEMU: "10.2.22"}, Noise: 0.191, IOPS: 123456, OK: true}
	report.add(sameRates(drawnBlocks(1, 10, 0.03, math.Inf(1)), 300)...)
	report.add(slowerRate(drawnBlocks(1, 10, 0.3, 0.8), 300, 0.2, 800))
	report.add(mutantRates(nil, mutants())...)
	report.add(newRate("control, none without barriers: loss seen", 1, 1).atLeast(1))
	var out bytes.Buffer
	if err := report.Text(&out); err != nil {
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
	for name, text := range map[string]string{"same": sameMatrix(Full()), "slower": slowerMatrix(Quick(), []int{950, 900, 800}),
		"mutants": mutantsMatrix(Full())} {
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

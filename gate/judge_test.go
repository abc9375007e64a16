package gate

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"platter/cell"
	"platter/fiojob"
	"platter/policy"
	"platter/results"
)

var today = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// shape says what a run of the tests looks like.
type shape struct {
	seed   uint64
	cells  int
	blocks int
	noise  float64 // of each trial, as the standard deviation of its logarithm
	factor float64 // of the after side's iops; its latencies are the other way round
	both   bool    // both sides in the run
	safety bool
	start  time.Duration // after the day
}

const testMatrix = `name: t
axes:
  fio.fsync: [1, 8]
fio: {rw: randwrite, bs: 4k, ioengine: psync, size: 16MiB, runtime: 1}
trials: 1
`

// newRun makes a run that is right in every way.
func newRun(s shape) *results.Run {
	random := rand.New(rand.NewPCG(s.seed, 77))
	run := &results.Run{Dir: fmt.Sprintf("run-%d", s.seed), Manifest: results.Manifest{Schema: results.Schema, Name: "t", Tool: "platter test",
		Command: []string{"platter", "run", "t.yaml"}, Seed: s.seed, Trials: s.blocks, Started: today.Add(s.start - 24*time.Hour),
		MatrixFile: "t.yaml", Matrix: testMatrix,
		Host:  results.Host{Name: "h", CPU: "c", CPUs: 4, Accel: "kvm", QEMU: "9.0.0", Kernel: "6.1"},
		Guest: results.Guest{ImageDigest: "sha256:1"}}}
	sides := []string{""}
	if s.both {
		sides = []string{cell.SideBefore, cell.SideAfter}
	}
	run.Manifest.Axes = []string{"fio.fsync"}
	for c := range s.cells {
		level := 1000 * float64(c+1)
		for _, side := range sides {
			axes := cell.Settings{{Name: "fio.fsync", Value: cell.Value{V: int64(c + 1)}}}
			if side != "" {
				axes = append(cell.Settings{{Name: cell.SideAxis, Value: cell.Value{V: side}}}, axes...)
			}
			id := cell.ID(axes)
			run.Manifest.Cells = append(run.Manifest.Cells, cell.Cell{ID: id, Axes: axes})
			factor := 1.0
			if side != cell.SideBefore {
				factor = s.factor
			}
			for b := range s.blocks {
				run.Trials = append(run.Trials, newTrial(id, b, level*factor*math.Exp(s.noise*random.NormFloat64())))
			}
			if s.safety {
				for _, class := range []string{cell.HostCrash, cell.PowerLoss} {
					run.Safety = append(run.Safety, newSafety(id, class))
				}
			}
		}
	}
	if s.safety {
		run.Manifest.SafetyClasses, run.Manifest.DriveCaches = []string{cell.HostCrash, cell.PowerLoss}, []string{"volatile"}
	}
	return run
}

func newTrial(cell string, block int, iops float64) results.Trial {
	ns := int64(1e9 / iops)
	return results.Trial{Cell: cell, Block: block, Status: results.OK, Metrics: &fiojob.Metrics{
		Write: &fiojob.Direction{IOs: 2000, IOPS: iops, BW: 4096 * iops, LatencyKind: "lat",
			Latency: fiojob.NewHistogram(fiojob.Bucket{NS: ns, Count: 1900}, fiojob.Bucket{NS: 3 * ns, Count: 100})},
		Sync: &fiojob.Sync{IOs: 2000, Latency: fiojob.NewHistogram(fiojob.Bucket{NS: 2 * ns, Count: 2000})},
	}}
}

func newSafety(cell, class string) results.Safety {
	return results.Safety{Cell: cell, Class: class, DriveCache: "volatile", Method: results.EveryOp, Status: results.OK,
		Verdict: results.Safe, Predicted: results.Safe,
		CrashPoints: 4000, Writes: 2000, Promises: 1900, Controls: []results.Control{{Name: "unsafe", Class: class, Promises: 100,
			PromisesLost: 100, Lost: true}}}
}

// iopsPolicy has one rule and demands safety where it is asked to.
func iopsPolicy(safety bool) *policy.Policy {
	p := &policy.Policy{Name: "test", Performance: policy.Performance{Alpha: 0.05, Rules: []policy.Rule{{Metric: "iops", Regression: 0.05}}}}
	if safety {
		p.Safety.Classes = []string{cell.HostCrash, cell.PowerLoss}
	}
	return p
}

func whyOf(v *Verdict) string {
	var lines []string
	for _, r := range v.Reasons {
		lines = append(lines, fmt.Sprint(r.Outcome, ": ", r.Text))
	}
	return strings.Join(lines, "\n")
}

func wants(t *testing.T, v *Verdict, outcome Outcome, says string) {
	t.Helper()
	if v.Outcome != outcome || !strings.Contains(whyOf(v), says) {
		t.Errorf("%s because\n%s\nwant %s with %q", v.Outcome, whyOf(v), outcome, says)
	}
	wantsDocuments(t, v)
}

// wantsDocuments wants a verdict to be written in all ways.
func wantsDocuments(t *testing.T, v *Verdict) {
	t.Helper()
	if _, err := json.Marshal(v); err != nil {
		t.Errorf("the verdict is no JSON: %v", err)
	}
	for _, write := range []func() error{func() error { return v.Markdown(new(strings.Builder)) },
		func() error { return v.JUnit(new(strings.Builder)) }} {
		if err := write(); err != nil {
			t.Error(err)
		}
	}
}

func TestAChangeInOneRunIsJudgedWithinItsBlocks(t *testing.T) {
	for _, c := range []struct {
		name    string
		factor  float64
		noise   float64
		blocks  int
		outcome Outcome
		says    string
	}{
		{"a slowdown fails", 0.85, 0.01, 10, Fail, "worse"},
		{"what is as before passes", 1, 0.01, 10, Pass, "1 rule"},
		{"what is faster passes", 1.3, 0.01, 10, Pass, "1 rule"},
		{"a slowdown that is allowed passes", 0.98, 0.005, 10, Pass, "1 rule"},
		{"noise leaves it open and says how much more would do", 1, 0.15, 10, Inconclusive, "blocks would tell"},
		{"too few blocks can decide nothing", 0.5, 0.01, 5, Inconclusive, "it has 5 blocks and needs 6"},
		{"a whole slowdown in six blocks fails", 0.5, 0.01, 6, Fail, "worse"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := JudgeAB(iopsPolicy(true), newRun(shape{seed: 3, cells: 2, blocks: c.blocks, noise: c.noise, factor: c.factor, both: true,
				safety: true}), today, Facts{})
			wants(t, v, c.outcome, c.says)
		})
	}
}

// TestWhatIsWrongWithARunNeverPasses takes a run that passes and spoils one thing at a time.
func TestWhatIsWrongWithARunNeverPasses(t *testing.T) {
	good := func() *results.Run {
		return newRun(shape{seed: 1, cells: 2, blocks: 10, noise: 0.01, factor: 1, both: true, safety: true})
	}
	strict := func() *policy.Policy {
		p := iopsPolicy(true)
		p.Evidence = policy.Evidence{Trials: 10, CrashPoints: 1000, MaxAge: 48 * time.Hour, Same: []string{"qemu", "kernel", "guest_image"}}
		return p
	}
	wants(t, JudgeAB(strict(), good(), today, Facts{Host: "h", QEMU: "9.0.0", Kernel: "6.1"}), Pass, "1 rule")
	at := func(r *results.Run, side, class string) *results.Safety {
		i := slices.IndexFunc(r.Safety, func(s results.Safety) bool { return strings.Contains(s.Cell, side) && s.Class == class })
		return &r.Safety[i]
	}
	after := func(r *results.Run) *results.Safety { return at(r, cell.SideAfter, cell.PowerLoss) }
	for _, c := range []struct {
		name    string
		spoil   func(*results.Run, *policy.Policy)
		outcome Outcome
		says    string
	}{
		{"one broken promise", func(r *results.Run, _ *policy.Policy) {
			s := after(r)
			s.PromisesLost, s.PointsLost, s.Verdict = 1, 1, results.Loses
		}, Fail, "1 of 1\u202f900 promises broken"},
		{"a broken promise under a verdict that says SAFE", func(r *results.Run, _ *policy.Policy) { after(r).PromisesLost = 1 }, Fail,
			"1 of 1\u202f900"},
		{"a live cut that lost", func(r *results.Run, _ *policy.Policy) {
			after(r).Live = &results.LiveCuts{Cuts: 1, Lost: 1, Agrees: true}
		}, Fail, "1 of 1\u202f900"},
		{"a loss without controls", func(r *results.Run, _ *policy.Policy) { s := after(r); s.Controls, s.PromisesLost = nil, 3 }, Fail, "3 of"},
		{"more exposure than allowed", func(r *results.Run, p *policy.Policy) {
			after(r).Exposure.MS = 300
			p.Safety.ExposureMS = map[string]float64{cell.PowerLoss: 200}
		}, Fail, "300 ms exposed, and 200 ms are allowed"},
		{"a censored exposure above its limit", func(r *results.Run, p *policy.Policy) {
			after(r).Exposure = results.Exposure{MS: 5000, Censored: true}
			p.Safety.ExposureMS = map[string]float64{cell.PowerLoss: 200}
		}, Fail, "≥ 5\u202f000 ms"},
		{"a limit above a censored exposure", func(r *results.Run, p *policy.Policy) {
			after(r).Exposure = results.Exposure{MS: 5000, Censored: true}
			p.Safety.ExposureMS = map[string]float64{cell.PowerLoss: 30000}
		}, Inconclusive, "too short"},
		{"an exposure that is no number", func(r *results.Run, _ *policy.Policy) { after(r).Exposure.MS = math.NaN() }, Inconclusive,
			"no counts"},
		{"an INVALID campaign", func(r *results.Run, _ *policy.Policy) {
			s := after(r)
			s.Verdict, s.Reason, s.PromisesLost = results.Invalid, "because", 7
		}, Inconclusive, "INVALID: because"},
		{"a failed campaign", func(r *results.Run, _ *policy.Policy) {
			s := after(r)
			s.Status, s.Verdict, s.Failure = results.Failed, "", &results.Failure{Fault: "rig", Message: "no /dev/fuse"}
		}, Inconclusive, "no /dev/fuse"},
		{"a campaign without a verdict", func(r *results.Run, _ *policy.Policy) { after(r).Verdict = "" }, Inconclusive, "is none"},
		{"a campaign that judged no crash point", func(r *results.Run, _ *policy.Policy) { after(r).CrashPoints = 0 }, Inconclusive,
			"no crash point"},
		{"too few crash points", func(r *results.Run, _ *policy.Policy) { after(r).CrashPoints = 999 }, Inconclusive,
			"the policy wants 1\u202f000"},
		{"too few crash points beside the cuts that the verdict rests on", func(r *results.Run, _ *policy.Policy) {
			s := after(r)
			s.Method, s.CrashPoints, s.Live = results.Live, 999, &results.LiveCuts{Cuts: 1, Agrees: true}
		}, Inconclusive, "the policy wants 1\u202f000"},
		{"a verdict that rests on cuts without one", func(r *results.Run, _ *policy.Policy) { after(r).Method = results.Live }, Inconclusive,
			"no cut was made"},
		{"no control", func(r *results.Run, _ *policy.Policy) { after(r).Controls = nil }, Inconclusive, "no control"},
		{"a control that lost nothing", func(r *results.Run, _ *policy.Policy) { after(r).Controls[0].Lost = false }, Inconclusive, "it must"},
		{"a live cut that disagrees", func(r *results.Run, _ *policy.Policy) { after(r).Live = &results.LiveCuts{Cuts: 1} }, Inconclusive,
			"disagree"},
		{"SAFE with nothing promised", func(r *results.Run, _ *policy.Policy) { after(r).Promises = 0 }, Inconclusive, "nothing was promised"},
		{"promises before and none after", func(r *results.Run, _ *policy.Policy) {
			s := after(r)
			s.Promises, s.Verdict = 0,
				results.NoPromise
		}, Inconclusive, "before the change"},
		{"a broken file system called SAFE", func(r *results.Run, _ *policy.Policy) { after(r).Filesystem = "e2fsck: no" }, Inconclusive,
			"e2fsck: no"},
		{"a missing class", func(r *results.Run, _ *policy.Policy) {
			r.Manifest.SafetyClasses = nil
			r.Safety = slices.DeleteFunc(r.Safety, func(s results.Safety) bool { return s.Class == cell.PowerLoss })
		}, Inconclusive, "the policy asks for it"},
		{"a missing record", func(r *results.Run, p *policy.Policy) {
			p.Safety.Classes = nil
			r.Safety = slices.DeleteFunc(r.Safety, func(s results.Safety) bool { return strings.Contains(s.Cell, cell.SideAfter+",fio.fsync=2") })
		}, Inconclusive, "not judged"},
		{"a limit on a class that was not judged", func(_ *results.Run,
			p *policy.Policy) {
			p.Safety.BrokenPromises = map[string]int64{cell.QEMUKill: 5}
		}, Inconclusive, "qemu_kill"},
		{"no safety at all", func(r *results.Run, _ *policy.Policy) { r.Safety = nil }, Inconclusive, "not judged"},
		{"too few live cuts", func(_ *results.Run, p *policy.Policy) { p.Evidence.LiveCuts = 1 }, Inconclusive, "the policy wants 1"},
		{"a record of a strange cell", func(r *results.Run, _ *policy.Policy) { r.Safety = append(r.Safety, newSafety("x", cell.PowerLoss)) },
			Inconclusive, "does not have"},
		{"no trials", func(r *results.Run, _ *policy.Policy) { r.Trials = nil }, Inconclusive, "there is no trial"},
		{"nothing", func(r *results.Run, _ *policy.Policy) { r.Trials, r.Safety = nil, nil }, Inconclusive, "neither trials nor safety"},
		{"a cell without trials", func(r *results.Run, _ *policy.Policy) { r.Trials = r.Trials[:30] }, Inconclusive, "there is no trial"},
		{"a run that was stopped", func(r *results.Run, p *policy.Policy) {
			p.Evidence.Trials = 0 // the blocks that are there are enough for the test
			r.Trials = slices.DeleteFunc(r.Trials, func(t results.Trial) bool { return t.Block >= 7 })
		}, Inconclusive, "12 of 40 planned trials are missing"},
		{"a run that was stopped in its last block", func(r *results.Run, p *policy.Policy) {
			p.Evidence.Trials, p.Evidence.MissingTrials = 0, 0.29
			r.Trials = slices.DeleteFunc(r.Trials, func(t results.Trial) bool { return t.Block >= 7 })
		}, Inconclusive, "12 of 40 planned trials are missing"},
		{"as much of a run as the policy wants", func(r *results.Run, p *policy.Policy) {
			p.Evidence.Trials, p.Evidence.MissingTrials = 0, 0.3
			r.Trials = slices.DeleteFunc(r.Trials, func(t results.Trial) bool { return t.Block >= 7 })
			r.Torn = true
		}, Pass, "1 rule"},
		{"a trial twice instead of another", func(r *results.Run, p *policy.Policy) {
			p.Evidence.Trials = 0
			for i := range r.Trials {
				r.Trials[i].Block = min(r.Trials[i].Block, 8)
			}
		}, Inconclusive, "4 of 40 planned trials are missing"},
		{"a torn journal", func(r *results.Run, _ *policy.Policy) { r.Torn = true }, Inconclusive, "cut short"},
		{"a broken promise in a run that was stopped", func(r *results.Run, _ *policy.Policy) {
			r.Trials, r.Torn = r.Trials[:3], true
			after(r).PromisesLost = 1
		}, Fail, "1 of 1\u202f900"},
		{"a failed trial", func(r *results.Run, _ *policy.Policy) {
			r.Trials[2].Status, r.Trials[2].Metrics = results.Failed, nil
		}, Inconclusive, "1 of 10 trials have no iops"},
		{"NaN", func(r *results.Run, _ *policy.Policy) { r.Trials[2].Metrics.Write.IOPS = math.NaN() }, Inconclusive, "NaN"},
		{"infinity", func(r *results.Run, _ *policy.Policy) { r.Trials[2].Metrics.Write.IOPS = math.Inf(1) }, Inconclusive, "Inf"},
		{"zero", func(r *results.Run, _ *policy.Policy) { r.Trials[2].Metrics.Write.IOPS = 0 }, Inconclusive, "above 0"},
		{"a metric that was not measured", func(_ *results.Run, p *policy.Policy) { p.Performance.Rules[0].Metric = "read_p99" }, Inconclusive,
			"read_p99 was not measured"},
		{"a metric that does not exist", func(_ *results.Run, p *policy.Policy) { p.Performance.Rules[0].Metric = "speed" }, Inconclusive,
			"no such metric"},
		{"a rule about cells that are not there", func(_ *results.Run, p *policy.Policy) {
			p.Performance.Rules[0].Cells = map[string]string{"disk.cache": "none"}
		}, Inconclusive, "no measured cell"},
		{"fewer trials than the policy wants", func(_ *results.Run, p *policy.Policy) { p.Evidence.Trials = 11 }, Inconclusive,
			"it has 10 blocks and needs 11"},
		{"old results", func(r *results.Run, _ *policy.Policy) { r.Manifest.Started = today.Add(-49 * time.Hour) }, Inconclusive, "has expired"},
		{"results of the future", func(r *results.Run, _ *policy.Policy) { r.Manifest.Started = today.Add(time.Hour) }, Inconclusive,
			"age is not known"},
		{"a run without a date", func(r *results.Run, _ *policy.Policy) { r.Manifest.Started = time.Time{} }, Inconclusive, "age is not known"},
		{"another QEMU than this host's", func(r *results.Run, _ *policy.Policy) { r.Manifest.Host.QEMU = "8.0.0" }, Inconclusive,
			"this host has 9.0.0"},
		{"an unknown guest image", func(r *results.Run, _ *policy.Policy) { r.Manifest.Guest.ImageDigest = "" }, Inconclusive,
			"does not say its guest image"},
		{"another schema", func(r *results.Run, _ *policy.Policy) { r.Manifest.Schema = 3 }, Inconclusive, "schema 3"},
		{"a cell on one side only", func(r *results.Run, _ *policy.Policy) { r.Manifest.Cells = r.Manifest.Cells[:3] }, Inconclusive,
			"on one side only"},
		{"a run of one side", func(r *results.Run, _ *policy.Policy) {
			for i := range r.Manifest.Cells {
				r.Manifest.Cells[i].Axes = r.Manifest.Cells[i].Axes.Without(cell.SideAxis)
			}
		}, Inconclusive, "both sides"},
		{"a cell that cannot be measured after the change", func(r *results.Run,
			_ *policy.Policy) {
			r.Manifest.Cells[1].Excluded = "libvirt refuses"
		}, Inconclusive, "libvirt refuses"},
		{"no cells", func(r *results.Run, _ *policy.Policy) { r.Manifest.Cells = nil }, Inconclusive, "no cells"},
	} {
		t.Run(c.name, func(t *testing.T) {
			run, p := good(), strict()
			c.spoil(run, p)
			wants(t, JudgeAB(p, run, today, Facts{Host: "h", QEMU: "9.0.0", Kernel: "6.1"}), c.outcome, c.says)
		})
	}
}

func TestOnlyTheSideAfterTheChangeCanBreakPromises(t *testing.T) {
	run := newRun(shape{seed: 1, cells: 1, blocks: 10, noise: 0.01, factor: 1, both: true, safety: true})
	for i := range run.Safety {
		if strings.Contains(run.Safety[i].Cell, cell.SideBefore) {
			run.Safety[i].PromisesLost, run.Safety[i].Verdict = 1900, results.Loses
		}
	}
	wants(t, JudgeAB(iopsPolicy(true), run, today, Facts{}), Pass, "")
}

func TestBrokenPromisesAreCountedOverTheCellsOfAClass(t *testing.T) {
	for _, c := range []struct {
		allowed int64
		outcome Outcome
	}{{3, Fail}, {4, Pass}} {
		run := newRun(shape{seed: 1, cells: 2, blocks: 10, noise: 0.01, factor: 1, both: true, safety: true})
		for i := range run.Safety {
			if s := &run.Safety[i]; strings.Contains(s.Cell, cell.SideAfter) && s.Class == cell.HostCrash {
				s.PromisesLost, s.Verdict = 2, results.Loses
			}
		}
		p := iopsPolicy(true)
		p.Safety.BrokenPromises = map[string]int64{cell.HostCrash: c.allowed}
		if v := JudgeAB(p, run, today, Facts{}); v.Outcome != c.outcome {
			t.Errorf("%d allowed: %s because\n%s", c.allowed, v.Outcome, whyOf(v))
		}
	}
}

// side makes n runs of one side.
func side(first uint64, n int, factor, noise, between float64) []*results.Run {
	random := rand.New(rand.NewPCG(first, 5))
	var runs []*results.Run
	for i := range n {
		runs = append(runs, newRun(shape{seed: first + uint64(i), cells: 2, blocks: 6, noise: noise,
			factor: factor * math.Exp(between*random.NormFloat64()), safety: true, start: time.Duration(i) * time.Minute}))
	}
	return runs
}

func TestBetweenRunsTheRunIsTheUnit(t *testing.T) {
	for _, c := range []struct {
		name                string
		baseline, candidate []*results.Run
		margin              float64
		outcome             Outcome
		says                string
	}{
		{"one run a side decides nothing, however many trials", side(100, 1, 1, 0.001, 0), side(200, 1, 0.5, 0.001, 0), 0, Inconclusive,
			"needs 6 on each side"},
		{"five runs neither", side(100, 5, 1, 0.001, 0), side(200, 6, 0.5, 0.001, 0), 0, Inconclusive, "5 baseline runs"},
		{"six runs find a slowdown", side(100, 6, 1, 0.01, 0.02), side(200, 6, 0.8, 0.01, 0.02), 0, Fail, "worse"},
		{"six runs find none", side(100, 6, 1, 0.01, 0.005), side(200, 6, 1, 0.01, 0.005), 0, Pass, "1 rule"},
		{"six runs that differ leave it open", side(100, 6, 1, 0.01, 0.2), side(200, 6, 1, 0.01, 0.2), 0, Inconclusive, "runs a side would tell"},
		{"beyond the margin fails", side(100, 1, 1, 0.001, 0), side(200, 1, 0.8, 0.001, 0), 0.1, Fail, "worse"},
		{"within the margin is open", side(100, 1, 1, 0.001, 0), side(200, 1, 0.93, 0.001, 0), 0.1, Inconclusive, "either side"},
		{"a small margin passes", side(100, 1, 1, 0.001, 0), side(200, 1, 1, 0.001, 0), 0.02, Pass, "1 rule"},
		{"an empty candidate", side(100, 6, 1, 0.01, 0), nil, 0, Inconclusive, "no candidate"},
		{"an empty baseline", nil, side(100, 6, 1, 0.01, 0), 0, Inconclusive, "no baseline"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := iopsPolicy(true)
			p.Performance.Margin = c.margin
			wants(t, Judge(p, c.baseline, c.candidate, today, Facts{}), c.outcome, c.says)
		})
	}
}

// Of eight blocks of which the first was fast, stopping after it must not help.
func TestStoppingASlowRunNeverHelps(t *testing.T) {
	p := iopsPolicy(false)
	p.Performance.Margin = 0.02
	baseline := []*results.Run{newRun(shape{seed: 1, cells: 1, blocks: 8, noise: 0.001, factor: 1})}
	run := newRun(shape{seed: 2, cells: 1, blocks: 8, noise: 0.001, factor: 0.5, start: time.Hour})
	run.Trials[0] = newTrial(run.Trials[0].Cell, 0, 1000)
	wants(t, Judge(p, baseline, []*results.Run{run}, today, Facts{}), Fail, "worse")
	run.Trials = run.Trials[:1]
	wants(t, Judge(p, baseline, []*results.Run{run}, today, Facts{}), Inconclusive, "run-2 is not whole: 7 of 8 planned trials are missing")
	wants(t, Judge(p, []*results.Run{run}, baseline, today, Facts{}), Inconclusive, "run-2 is not whole")
}

func TestRunsOfUnlikeFioAreJudgedWithAWarning(t *testing.T) {
	baseline, candidate := side(100, 6, 1, 0.01, 0), side(200, 6, 1, 0.01, 0)
	for i := range baseline {
		baseline[i].Manifest.Guest.Fio, candidate[i].Manifest.Guest.Fio = "3.33-3", "3.33-3"
	}
	if v := Judge(iopsPolicy(true), baseline, candidate, today, Facts{}); len(v.Warnings) > 0 {
		t.Errorf("with one fio: %q", v.Warnings)
	}
	candidate[2].Manifest.Guest.Fio = "3.39-1"
	v := Judge(iopsPolicy(true), baseline, candidate, today, Facts{})
	wants(t, v, Pass, "")
	if len(v.Warnings) != 1 || !strings.Contains(v.Warnings[0], "fio 3.33 here and fio 3.39 there") {
		t.Errorf("warnings %q", v.Warnings)
	}
}

func TestRunsThatDoNotCompareNeverPass(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(candidate *results.Run, baseline []*results.Run)
		says  string
	}{
		{"another matrix", func(r *results.Run, _ []*results.Run) { r.Manifest.Matrix += "# other\n" }, "not of the same matrix"},
		{"a cell more", func(r *results.Run, _ []*results.Run) {
			r.Manifest.Cells = append(r.Manifest.Cells, cell.Cell{ID: "more", Excluded: "x"})
		}, "only the latter has the cell more"},
		{"a cell less", func(r *results.Run, _ []*results.Run) { r.Manifest.Cells = r.Manifest.Cells[:1] }, "only the former has the cell"},
		{"another host", func(r *results.Run, _ []*results.Run) { r.Manifest.Host.Name = "other" }, "host: h → other"},
		{"another acceleration", func(r *results.Run, _ []*results.Run) { r.Manifest.Host.Accel = "tcg" }, "acceleration: kvm → tcg"},
		{"another QEMU, where the policy wants the same", func(r *results.Run, _ []*results.Run) { r.Manifest.Host.QEMU = "10" },
			"different QEMUs"},
		{"a run on both sides", func(r *results.Run, b []*results.Run) { *r = *b[0] }, "are the same run"},
	} {
		t.Run(c.name, func(t *testing.T) {
			baseline, candidate := side(100, 6, 1, 0.01, 0), side(200, 6, 1, 0.01, 0)
			p := iopsPolicy(true)
			p.Evidence.Same = []string{"qemu"}
			wants(t, Judge(p, baseline, candidate, today, Facts{}), Pass, "")
			c.spoil(candidate[2], baseline)
			wants(t, Judge(p, baseline, candidate, today, Facts{}), Inconclusive, c.says)
			candidate[0].Safety[0].PromisesLost = 1
			if v := Judge(p, baseline, candidate, today, Facts{}); v.Outcome != Fail {
				t.Errorf("a broken promise among it: %s because\n%s", v.Outcome, whyOf(v))
			}
		})
	}
}

func TestIopsAndBandwidthAreOneTest(t *testing.T) {
	run := newRun(shape{seed: 1, cells: 2, blocks: 10, noise: 0.01, factor: 1, both: true})
	p := iopsPolicy(false)
	p.Performance.Rules = append(p.Performance.Rules, policy.Rule{Metric: "bw", Regression: 0.05},
		policy.Rule{Metric: "write_p99", Regression: 0.15},
		policy.Rule{Metric: "iops", Cells: map[string]string{"fio.fsync": "1"}, Regression: 0.05})
	if v := JudgeAB(p, run, today, Facts{}); v.Tests != 3 || len(v.Rules) != 4 {
		t.Errorf("%d tests of %d rules, want 3 of 4", v.Tests, len(v.Rules))
	}
}

func TestARuleIsAboutItsCells(t *testing.T) {
	run := newRun(shape{seed: 1, cells: 2, blocks: 10, noise: 0.005, factor: 1, both: true})
	for i := range run.Trials {
		if run.Trials[i].Cell == cell.SideAxis+"="+cell.SideAfter+",fio.fsync=2" {
			run.Trials[i].Metrics.Write.IOPS *= 0.7
		}
	}
	for value, outcome := range map[string]Outcome{"1": Pass, "2": Fail} {
		p := iopsPolicy(false)
		p.Performance.Rules[0].Cells = map[string]string{"fio.fsync": value}
		v := JudgeAB(p, run, today, Facts{})
		if v.Outcome != outcome || !slices.Equal(v.Rules[0].Measured, []string{"fio.fsync=" + value}) {
			t.Errorf("fsync=%s: %s over %q because\n%s", value, v.Outcome, v.Rules[0].Measured, whyOf(v))
		}
	}
}

func TestAnOptionalRulePassesWhereNothingOfTheKindWasDone(t *testing.T) {
	run := newRun(shape{seed: 1, cells: 1, blocks: 10, noise: 0.01, factor: 1, both: true})
	p := iopsPolicy(false)
	p.Performance.Rules = append(p.Performance.Rules, policy.Rule{Metric: "read_p99", Regression: 0.1, Optional: true})
	wants(t, JudgeAB(p, run, today, Facts{}), Pass, "1 rule")
	p.Performance.Rules = p.Performance.Rules[1:]
	wants(t, JudgeAB(p, run, today, Facts{}), Inconclusive, "nothing was judged")
}

func TestExposureIsComparedBetweenRunsOnly(t *testing.T) {
	exposed := func(before, after float64, censored bool) *results.Run {
		run := newRun(shape{seed: 1, cells: 1, blocks: 10, noise: 0.01, factor: 1, both: true, safety: true})
		for i := range run.Safety {
			s := &run.Safety[i]
			s.Exposure = results.Exposure{MS: before, Censored: censored}
			if strings.Contains(s.Cell, cell.SideAfter) {
				s.Exposure.MS = after
			}
		}
		return run
	}
	for _, c := range []struct {
		before, after, margin float64
		censored              bool
		outcome               Outcome
	}{
		{0, 0, 0, false, Pass}, {100, 100, 0, false, Inconclusive}, {0, 100, 0, false, Inconclusive}, {0, 100, 0.2, false, Inconclusive},
		{100, 200, 0.2, false, Fail}, {100, 100, 0.2, false, Pass}, {100, 200, 0.2, true, Inconclusive},
	} {
		p := iopsPolicy(true)
		p.Performance.Margin = c.margin
		p.Performance.Rules = []policy.Rule{{Metric: "exposure_ms", Regression: 0.5}}
		if v := JudgeAB(p, exposed(c.before, c.after, c.censored), today, Facts{}); v.Outcome != c.outcome {
			t.Errorf("%+v: %s because\n%s", c, v.Outcome, whyOf(v))
		}
	}
}

// TestAComparisonOfAThingWithItselfNeverFailsWithinTheFloor: where no block's noise reaches the limit, no test can fail.
func TestAComparisonOfAThingWithItselfNeverFailsWithinTheFloor(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 11))
	for i := range 300 {
		run := newRun(shape{seed: uint64(i), cells: 1 + random.IntN(3), blocks: 6 + random.IntN(10), factor: 1, both: true})
		for k := range run.Trials { // within ±2.4 %: a ratio stays within 5 %
			run.Trials[k].Metrics.Write.IOPS *= 1 + 0.048*(random.Float64()-0.5)
		}
		if v := JudgeAB(iopsPolicy(false), run, today, Facts{}); v.Outcome == Fail {
			t.Fatalf("run %d fails because\n%s", i, whyOf(v))
		}
	}
}

func TestTheOrderOfBlocksTrialsAndCellsDoesNotMatter(t *testing.T) {
	random := rand.New(rand.NewPCG(12, 12))
	for i := range 100 {
		run := newRun(shape{seed: uint64(i), cells: 2, blocks: 10, noise: 0.05, factor: 0.95, both: true, safety: true})
		v := JudgeAB(iopsPolicy(true), run, today, Facts{})
		order := random.Perm(10)
		for k := range run.Trials {
			run.Trials[k].Block = order[run.Trials[k].Block]
		}
		random.Shuffle(len(run.Trials), func(a, b int) { run.Trials[a], run.Trials[b] = run.Trials[b], run.Trials[a] })
		random.Shuffle(len(run.Safety), func(a, b int) { run.Safety[a], run.Safety[b] = run.Safety[b], run.Safety[a] })
		w := JudgeAB(iopsPolicy(true), run, today, Facts{})
		if v.Outcome != w.Outcome || *v.Rules[0].Ratio != *w.Rules[0].Ratio || *v.Rules[0].P != *w.Rules[0].P {
			t.Fatalf("%s became %s", whyOf(v), whyOf(w))
		}
	}
}

// FuzzJudge spoils a good run by pairs of bytes, what and where: whatever is in the records, a verdict comes that is JSON, and what was
// spoilt never passes.
func FuzzJudge(f *testing.F) {
	f.Add([]byte{0, 0, 1, 1, 2, 2, 3, 3, 4, 4})
	f.Add([]byte{9, 0})
	f.Fuzz(func(t *testing.T, edits []byte) {
		run := newRun(shape{seed: 1, cells: 2, blocks: 6, noise: 0.002, factor: 1, both: true, safety: true})
		spoilt := false
		for ; len(edits) > 1 && len(edits) < 200; edits = edits[2:] {
			where := int(edits[1])
			trial, record, one := &run.Trials[where%len(run.Trials)], &run.Safety[where%len(run.Safety)],
				&run.Manifest.Cells[where%len(run.Manifest.Cells)]
			after := strings.Contains(record.Cell, cell.SideAfter)
			value := []float64{0, -1, math.NaN(), math.Inf(1), math.Inf(-1)}[where%5]
			switch edits[0] % 12 {
			case 0:
				trial.Status, spoilt = results.Failed, true
			case 1:
				trial.Metrics, spoilt = nil, true
			case 2:
				trial.Metrics, spoilt = &fiojob.Metrics{Write: &fiojob.Direction{IOPS: value}}, true
			case 3:
				record.PromisesLost, spoilt = 1+int64(where), spoilt || after
			case 4:
				record.Verdict, spoilt = []string{results.Loses, results.Invalid, "", "safe"}[where%4], spoilt || after
			case 5:
				record.Exposure.MS, spoilt = math.NaN(), spoilt || after
			case 6:
				record.Class, spoilt = cell.QEMUKill, true
			case 7:
				record.Cell, spoilt = "elsewhere", true
			case 8:
				one.Excluded, spoilt = "no", true
			case 9:
				one.Axes, spoilt = nil, true
			case 10:
				record.CrashPoints, record.Live, spoilt = -int64(where), &results.LiveCuts{Cuts: -1}, spoilt || after
			case 11:
				trial.Block, spoilt = -where-1, true
			}
		}
		for _, v := range []*Verdict{JudgeAB(iopsPolicy(true), run, today, Facts{}), Judge(iopsPolicy(true), []*results.Run{run}, nil, today,
			Facts{})} {
			if v.Outcome == Pass && spoilt && !excludedAlike(run) {
				t.Errorf("it passes because\n%s", whyOf(v))
			}
			wantsDocuments(t, v)
		}
	})
}

// excludedAlike reports whether whole pairs were excluded, which leaves the others to pass, with what else was spoilt in them.
func excludedAlike(run *results.Run) bool {
	excluded := map[string]int{}
	for _, c := range run.Manifest.Cells {
		if c.Excluded != "" {
			excluded[withoutSide(c)]++
		}
	}
	for _, n := range excluded {
		if n == 2 {
			return true
		}
	}
	return false
}

func TestWhatACrashTakesOnlyAfterTheChangeIsSaid(t *testing.T) {
	run := newRun(shape{seed: 1, cells: 1, blocks: 10, noise: 0.01, factor: 1, both: true, safety: true})
	for i := range run.Safety {
		s := &run.Safety[i]
		s.Exposure = results.Exposure{}
		if strings.Contains(s.Cell, cell.SideAfter) && s.Class == cell.HostCrash {
			s.Exposure = results.Exposure{Writes: 5, MS: 977, Censored: true}
		}
	}
	v := JudgeAB(iopsPolicy(true), run, today, Facts{})
	said := 0
	for _, r := range v.Safety {
		if strings.Contains(r.Why, "≥ 977 ms exposed, and nothing before the change") {
			said++
		} else if strings.Contains(r.Why, "before the change") {
			t.Errorf("%s, %s: %s", r.Cell, r.Class, r.Why)
		}
	}
	if said != 1 {
		t.Errorf("said %d times, want once: %+v", said, v.Safety)
	}
}

func TestAnIntervalOfChangesSaysBothDirections(t *testing.T) {
	for want, ends := range map[string][2]float64{
		"18.6 % to 22.3 % worse": {0.186, 0.223}, "1.1 % to 63 % better": {-0.63, -0.011}, "63 % better to 1.14 % worse": {-0.63, 0.0114},
		"0 % to 5 % better": {-0.05, 0}, "unchanged": {0, 0},
	} {
		if got := spread(ends[0], ends[1]); got != want {
			t.Errorf("%v is %q, want %q", ends, got, want)
		}
	}
}

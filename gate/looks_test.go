package gate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"platter/cell"
	"platter/policy"
	"platter/results"
)

// lookedAt is a run of both sides that was run until the policy decided, and that ended after so many blocks.
func lookedAt(t *testing.T, p *policy.Policy, s shape) *results.Run {
	t.Helper()
	s.both = true
	run := newRun(s)
	looks, err := LooksOf(p)
	if err != nil {
		t.Fatal(err)
	}
	run.Manifest.Looks = looks
	return run
}

func TestNobodyChangesThePolicyOfARunThatMayEndEarly(t *testing.T) {
	mine := func() *policy.Policy {
		p := iopsPolicy(false)
		p.Performance.Looks = []int{10, 14, 20}
		return p
	}
	run := lookedAt(t, mine(), shape{seed: 1, cells: 1, blocks: 10, noise: 0.005, factor: 1})
	wants(t, JudgeAB(mine(), run, today, Facts{}), Pass, "within")
	for name, change := range map[string]func(*policy.Policy){
		"alpha":      func(p *policy.Policy) { p.Performance.Alpha = 0.1 },
		"looks":      func(p *policy.Policy) { p.Performance.Looks = []int{10, 14} },
		"no looks":   func(p *policy.Policy) { p.Performance.Looks = nil },
		"regression": func(p *policy.Policy) { p.Performance.Rules[0].Regression = 0.050001 },
		"cells":      func(p *policy.Policy) { p.Performance.Rules[0].Cells = map[string]string{"fio.fsync": "1"} },
		"another":    func(p *policy.Policy) { p.Performance.Rules[0].Metric = "write_p99" },
		"one more": func(p *policy.Policy) {
			p.Performance.Rules = append(p.Performance.Rules, policy.Rule{Metric: "write_p50", Regression: 1})
		},
		"none at all": func(p *policy.Policy) { p.Performance.Rules = nil },
	} {
		t.Run(name, func(t *testing.T) {
			p := mine()
			change(p)
			v := JudgeAB(p, run, today, Facts{})
			wants(t, v, Inconclusive, "can be judged by no other")
			for _, r := range v.Rules {
				if r.Outcome != Inconclusive {
					t.Errorf("%s: %s", r.Rule, r.Outcome)
				}
			}
		})
	}
}

func TestARunThatMayEndEarlyIsJudgedAtItsLooksAlone(t *testing.T) {
	p := iopsPolicy(false)
	for blocks := 8; blocks <= 28; blocks++ {
		run := lookedAt(t, p, shape{seed: 1, cells: 2, blocks: blocks, noise: 0.005, factor: 1})
		if slices.Contains(defaultLooks, blocks) {
			wants(t, JudgeAB(p, run, today, Facts{}), Pass, "within")
			run.Trials = slices.DeleteFunc(run.Trials, func(t results.Trial) bool {
				return t.Block == 3 && strings.Contains(t.Cell, cell.SideAfter)
			})
		}
		wants(t, JudgeAB(p, run, today, Facts{}), Inconclusive, "go on with platter run --resume")
	}
}

func TestALossOfPromisesFailsWhereverTheRunStopped(t *testing.T) {
	p := iopsPolicy(true)
	run := lookedAt(t, p, shape{seed: 1, cells: 1, blocks: 11, noise: 0.005, factor: 1, safety: true})
	run.Safety[2].Verdict, run.Safety[2].PromisesLost, run.Safety[2].PointsLost = results.Loses, 1, 1
	run.Safety[3].Verdict, run.Safety[3].PromisesLost, run.Safety[3].PointsLost = results.Loses, 1, 1
	wants(t, JudgeAB(p, run, today, Facts{}), Fail, "promise")
}

func TestEachLookHasItsPartOfTheLevel(t *testing.T) {
	p := iopsPolicy(false) // says nothing about looks: the default ones are four
	v := JudgeAB(p, lookedAt(t, p, shape{seed: 1, cells: 1, blocks: 10, noise: 0.005, factor: 1}), today, Facts{})
	if v.Looks != 4 || v.Level != 0.05/4 {
		t.Errorf("%d looks at level %g", v.Looks, v.Level)
	}
	if once := JudgeAB(p, newRun(shape{seed: 1, cells: 1, blocks: 10, noise: 0.005, factor: 1, both: true}), today, Facts{}); once.Looks != 1 {
		t.Errorf("a run of fixed length has %d looks", once.Looks)
	}
}

func TestDecidedLooksAtTheFirstBlocksAlone(t *testing.T) {
	p := iopsPolicy(false)
	p.Performance.Rules = append(p.Performance.Rules, policy.Rule{Metric: exposureMetric, Regression: 0.1}) // no block tells about it
	run := lookedAt(t, p, shape{seed: 1, cells: 1, blocks: 20, noise: 0.005, factor: 1})
	for i := range run.Trials {
		if run.Trials[i].Block >= 14 {
			run.Trials[i] = results.Trial{Cell: run.Trials[i].Cell, Block: run.Trials[i].Block, Status: results.Failed}
		}
	}
	for blocks, want := range map[int]bool{10: true, 14: true, 20: false, 9: false} {
		if got := Decided(p, run, blocks, today); got != want {
			t.Errorf("after %d blocks: decided %t, want %t", blocks, got, want)
		}
	}
	if noisy := lookedAt(t, p, shape{seed: 1, cells: 1, blocks: 10, noise: 0.2, factor: 1}); Decided(p, noisy, 10, today) {
		t.Error("noise of 20 % decides nothing")
	}
}

func TestAPolicyThatCanDecideNothingIsRefusedBeforeTheRun(t *testing.T) {
	many := iopsPolicy(false)
	for i := range 40 {
		many.Performance.Rules = append(many.Performance.Rules, policy.Rule{Metric: "iops", Regression: 0.05,
			Cells: map[string]string{"fio.fsync": fmt.Sprint(i)}})
	}
	if err := Reachable(many, 10); err == nil || !strings.Contains(err.Error(), "need 11") {
		t.Errorf("41 rules over 10 blocks: %v", err)
	}
	if err := Reachable(many, 11); err != nil {
		t.Error(err)
	}
	many.Performance.Looks = []int{6, 8}
	if _, err := LooksOf(many); err == nil || !strings.Contains(err.Error(), "need 12") {
		t.Errorf("looks that come too early: %v", err)
	}
	for _, p := range []*policy.Policy{{Name: "empty"}, {Name: "exposure",
		Performance: policy.Performance{Rules: []policy.Rule{{Metric: exposureMetric}}}}} {
		if _, err := LooksOf(p); err == nil {
			t.Errorf("policy %s has nothing to decide early", p.Name)
		}
	}
	wants10 := iopsPolicy(false)
	wants10.Evidence.Trials = 10
	if err := Reachable(wants10, 9); err == nil || !strings.Contains(err.Error(), "need 10") {
		t.Errorf("evidence of 10 trials out of 9 blocks: %v", err)
	}
}

// TestStoppingEarlyKeepsTheFalseAlarms stops 1,500 runs in which nothing changed as soon as a look decides. Without a floor every
// rejection is an alarm, which is the hardest case; half of them point to worse.
func TestStoppingEarlyKeepsTheFalseAlarms(t *testing.T) {
	p := iopsPolicy(false)
	p.Performance.Rules[0].Regression = 0
	looks, err := LooksOf(p)
	if err != nil {
		t.Fatal(err)
	}
	const runs = 1500
	alarms := 0
	random := rand.New(rand.NewPCG(5, 5))
	for range runs {
		run := &results.Run{Manifest: results.Manifest{Schema: results.Schema, Started: today, Looks: looks}}
		for _, side := range []string{cell.SideBefore, cell.SideAfter} {
			run.Manifest.Cells = append(run.Manifest.Cells, cell.Cell{ID: side, Axes: cell.Settings{{Name: cell.SideAxis,
				Value: cell.Value{V: side}}}})
			for b := range 28 {
				run.Trials = append(run.Trials, newTrial(side, b, 1000*math.Exp(0.05*random.NormFloat64())))
			}
		}
		for _, blocks := range looks.Blocks {
			if !Decided(p, run, blocks, today) && blocks != 28 {
				continue
			}
			stopped := *run
			stopped.Trials = slices.DeleteFunc(slices.Clone(run.Trials), func(t results.Trial) bool { return t.Block >= blocks })
			if JudgeAB(p, &stopped, today, Facts{}).Outcome == Fail {
				alarms++
			}
			break
		}
	}
	rate := 100 * float64(alarms) / runs
	t.Logf("%.2f %% false alarms", rate)
	if rate > 2.5 { // one side of 5 %; Bonferroni leaves about 1.5
		t.Errorf("%.2f %% false alarms with four looks, at most 2.5 promised", rate)
	}
}

package gate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"golang.org/x/perf/benchmath"

	"platter/cell"
	"platter/compare"
	"platter/fiojob"
	"platter/policy"
	"platter/results"
)

// gates is how many gates a rate is counted over.
const gates = 2000

// sampled makes for each rule the values of a cell of its own, before and after, in blocks. Noise is a standard deviation of the
// logarithm, of each trial; weather is that of what a block does to all its trials, which paired sides do not see.
func sampled(random *rand.Rand, rules, blocks int, noise, weather, factor float64) []compare.Pair {
	pairs := make([]compare.Pair, rules)
	for r := range pairs {
		pairs[r] = compare.Pair{Before: map[int]float64{}, After: map[int]float64{}}
	}
	for b := range blocks {
		shared := weather * random.NormFloat64()
		for r := range pairs {
			slow := 1.0
			if r == 0 {
				slow = factor // one rule is hurt
			}
			pairs[r].Before[b] = 1000 * math.Exp(shared+noise*random.NormFloat64())
			pairs[r].After[b] = 1000 * slow * math.Exp(shared+noise*random.NormFloat64())
		}
	}
	return pairs
}

// outcomeOf is what JudgeAB makes of the values, each pair under a rule of its own.
func outcomeOf(pairs []compare.Pair, floor float64) Outcome {
	run := &results.Run{Manifest: results.Manifest{Schema: results.Schema, Started: today}}
	p := &policy.Policy{}
	for i, pair := range pairs {
		name := fmt.Sprint(i)
		p.Performance.Rules = append(p.Performance.Rules, policy.Rule{Metric: "iops", Cells: map[string]string{"fio.fsync": name},
			Regression: floor})
		for side, values := range map[string]map[int]float64{cell.SideBefore: pair.Before, cell.SideAfter: pair.After} {
			id := side + name
			run.Manifest.Cells = append(run.Manifest.Cells, cell.Cell{ID: id, Axes: cell.Settings{{Name: cell.SideAxis, Value: cell.Value{V: side}},
				{Name: "fio.fsync", Value: cell.Value{V: name}}}})
			for b, v := range values {
				run.Trials = append(run.Trials, results.Trial{Cell: id, Block: b, Status: results.OK,
					Metrics: &fiojob.Metrics{Write: &fiojob.Direction{IOPS: v}}})
			}
		}
	}
	return JudgeAB(p, run, today, Facts{}).Outcome
}

// benchstatFails is what a reader of benchstat does: any row with p < 0.05 of Mann and Whitney's test, unpaired and uncorrected, whose
// medians say slower.
func benchstatFails(pairs []compare.Pair) bool {
	for _, p := range pairs {
		before, after := unpaired(p)
		a, b := benchmath.NewSample(before, &benchmath.DefaultThresholds), benchmath.NewSample(after, &benchmath.DefaultThresholds)
		if benchmath.AssumeNothing.Compare(a, b).P < 0.05 && compare.Median(after) < compare.Median(before) {
			return true
		}
	}
	return false
}

// meanFails is the rule of most home-made gates: any mean moved down by more than 10 %.
func meanFails(pairs []compare.Pair) bool {
	for _, p := range pairs {
		before, after := unpaired(p)
		if mean(after) < 0.9*mean(before) {
			return true
		}
	}
	return false
}

func unpaired(p compare.Pair) (before, after []float64) {
	for b := range len(p.Before) {
		before, after = append(before, p.Before[b]), append(after, p.After[b])
	}
	return before, after
}

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

// BenchmarkErrorRates counts over 2,000 simulated gates of 10 blocks: false alarms where nothing changed, and detections of a 10 %
// slowdown of one rule, at 5 % noise and with a floor of 5 % on the estimate; beside benchstat's test and the plain rule on the same
// samples. In percent of the gates; each is right to ±2.2 points at 95 %. False alarms are counted without the floor, too: then the test
// alone stands between noise and a FAIL. In changing weather all trials of a block are slow or fast together, by 5 % as well.
func BenchmarkErrorRates(b *testing.B) {
	for _, rules := range []int{1, 5, 10} {
		for _, weather := range []float64{0, 0.05} {
			for _, c := range []struct {
				name          string
				factor, floor float64
			}{{"false-alarms", 1, 0.05}, {"false-alarms-without-floor", 1, 0}, {"10%-slower", 0.9, 0.05}} {
				b.Run(fmt.Sprintf("rules=%d/weather=%g%%/%s", rules, 100*weather, c.name), func(b *testing.B) {
					var ours, passed, benchstat, plain int
					for b.Loop() {
						ours, passed, benchstat, plain = 0, 0, 0, 0
						random := rand.New(rand.NewPCG(uint64(rules), 42))
						for range gates {
							pairs := sampled(random, rules, 10, 0.05, weather, c.factor)
							outcome := outcomeOf(pairs, c.floor)
							count(&ours, outcome == Fail)
							count(&passed, outcome == Pass)
							count(&benchstat, benchstatFails(pairs))
							count(&plain, meanFails(pairs))
						}
					}
					b.ReportMetric(0, "ns/op")
					b.ReportMetric(100*float64(ours)/gates, "platter-%")
					b.ReportMetric(100*float64(passed)/gates, "platter-PASS-%")
					b.ReportMetric(100*float64(benchstat)/gates, "benchstat-%")
					b.ReportMetric(100*float64(plain)/gates, "mean-10-%")
				})
			}
		}
	}
}

func count(n *int, fails bool) {
	if fails {
		*n++
	}
}

// BenchmarkJudge judges two sides of 1,000 cells × 10 trials, once interleaved in one run and once run against run: to take under 1 s
// and 200 MiB (-benchmem).
func BenchmarkJudge(b *testing.B) {
	b.Run("one-run", func(b *testing.B) {
		run := newRun(shape{seed: 1, cells: 1000, blocks: 10, noise: 0.05, factor: 1, both: true, safety: true})
		b.ReportAllocs()
		for b.Loop() {
			JudgeAB(iopsPolicy(true), run, today, Facts{})
		}
	})
	b.Run("two-runs", func(b *testing.B) {
		before := newRun(shape{seed: 1, cells: 1000, blocks: 10, noise: 0.05, factor: 1, safety: true})
		after := newRun(shape{seed: 2, cells: 1000, blocks: 10, noise: 0.05, factor: 1, safety: true})
		policy := iopsPolicy(true)
		policy.Performance.Margin = 0.1
		b.ReportAllocs()
		for b.Loop() {
			Judge(policy, []*results.Run{before}, []*results.Run{after}, today, Facts{})
		}
	})
}

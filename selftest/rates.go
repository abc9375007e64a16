package selftest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"platter/cell"
	"platter/compare"
	"platter/fiojob"
	"platter/gate"
	"platter/policy"
	"platter/results"
)

// What docs/gate.md states error rates for: gates of one rule over so many blocks with this floor.
const (
	gateBlocks = 10
	gateFloor  = 0.05
	gateAlpha  = 0.05
)

// A slowdown has the promise that it is found promisedFound of the time, or as often as all but unlikely of the selftests do that are
// simulated at the same noise with as few blocks.
const (
	promisedFound  = 0.95
	unlikely       = 0.01
	simulations    = 100 // selftests
	simulatedGates = 50  // in each
)

// block is the iops of one block on two sides.
type block struct{ before, after float64 }

// blocksOf are the blocks of a run in which both cells have iops.
func blocksOf(run *results.Run, before, after string) []block {
	values := map[string]map[int]float64{before: {}, after: {}}
	for i := range run.Trials {
		t := &run.Trials[i]
		if v, err := compare.IOPS.Of(t); err == nil && values[t.Cell] != nil {
			values[t.Cell][t.Block] = v
		}
	}
	var blocks []block
	for b := range run.Manifest.Trials {
		x, y := values[before][b], values[after][b]
		if x > 0 && y > 0 {
			blocks = append(blocks, block{x, y})
		}
	}
	return blocks
}

// gated is what the gate says of blocks by one rule about iops.
func gated(blocks []block, floor float64) gate.Outcome {
	run := &results.Run{Manifest: results.Manifest{Schema: results.Schema, Trials: len(blocks)}}
	for _, side := range []string{cell.SideBefore, cell.SideAfter} {
		run.Manifest.Cells = append(run.Manifest.Cells, cell.Cell{ID: side, Axes: cell.Settings{{Name: cell.SideAxis,
			Value: cell.Value{V: side}}}})
	}
	for i, b := range blocks {
		for side, iops := range map[string]float64{cell.SideBefore: b.before, cell.SideAfter: b.after} {
			run.Trials = append(run.Trials, results.Trial{Cell: side, Block: i, Status: results.OK,
				Metrics: &fiojob.Metrics{Write: &fiojob.Direction{IOPS: iops}}})
		}
	}
	policy := &policy.Policy{Name: "selftest", Performance: policy.Performance{Alpha: gateAlpha,
		Rules: []policy.Rule{{Metric: string(compare.IOPS), Regression: floor}}}}
	return gate.JudgeAB(policy, run, time.Time{}, gate.Facts{}).Outcome
}

// failures counts in how many of so many gates, each over gateBlocks blocks drawn from the given ones with replacement, the gate says FAIL.
// Where nothing was changed the labels of a block mean nothing, and exchange swaps them by chance.
func failures(random *rand.Rand, from []block, gates int, floor float64, exchange bool) int {
	failed := 0
	drawn := make([]block, gateBlocks)
	for range gates {
		for i := range drawn {
			drawn[i] = from[random.IntN(len(from))]
			if exchange && random.IntN(2) == 1 {
				drawn[i].before, drawn[i].after = drawn[i].after, drawn[i].before
			}
		}
		if gated(drawn, floor) == gate.Fail {
			failed++
		}
	}
	return failed
}

// windows counts false alarms over the blocks as they were measured, in turn and with their labels.
func windows(blocks []block, floor float64) (tried, failed int) {
	for len(blocks) > 0 {
		n := min(gateBlocks, len(blocks))
		if tried > 0 && n < gateBlocks {
			break
		}
		tried++
		if gated(blocks[:n], floor) == gate.Fail {
			failed++
		}
		blocks = blocks[n:]
	}
	return tried, failed
}

// noiseOf is the standard deviation of the logarithm of a trial, from blocks in which both sides are the same; what moves a whole
// block is not in it.
func noiseOf(blocks []block) float64 {
	sum := 0.0
	for _, b := range blocks {
		d := math.Log(b.after / b.before)
		sum += d * d // the mean is known to be 0
	}
	return math.Sqrt(sum / float64(2*len(blocks)))
}

// spreadOf is the standard deviation of the logarithm of the iops before: with what moves a whole block, which a side that is limited does
// not share.
func spreadOf(blocks []block) float64 {
	mean, sum := 0.0, 0.0
	for _, b := range blocks {
		mean += math.Log(b.before) / float64(len(blocks))
	}
	for _, b := range blocks {
		d := math.Log(b.before) - mean
		sum += d * d
	}
	return math.Sqrt(sum / float64(len(blocks)-1))
}

// simulated is how often a limit so far below the median is found in log-normal noise: on average, and at least in all but unlikely of
// the selftests that have so many blocks to draw from.
func simulated(random *rand.Rand, spread, slowdown float64, blocks int) (mean, least float64) {
	rates := make([]float64, simulations)
	from := make([]block, blocks)
	for s := range rates {
		for i := range from {
			from[i] = block{math.Exp(spread * random.NormFloat64()), min(1-slowdown, math.Exp(spread*random.NormFloat64()))}
		}
		rates[s] = float64(failures(random, from, simulatedGates, gateFloor, false)) / simulatedGates
		mean += rates[s] / simulations
	}
	slices.Sort(rates)
	return mean, rates[int(unlikely*simulations)]
}

// Rate is how often something happened, and how often it may.
type Rate struct {
	What  string  `json:"what"`
	Tried int     `json:"tried"`
	Count int     `json:"count"`
	Rate  float64 `json:"rate"`
	// AtMost and AtLeast are what is promised; both absent where nothing is.
	AtMost  *float64 `json:"at_most,omitempty"`
	AtLeast *float64 `json:"at_least,omitempty"`
	Kept    *bool    `json:"kept,omitempty"` // whether the promise is; absent where there is none
	Note    string   `json:"note,omitempty"`
}

func newRate(what string, count, tried int) Rate {
	r := Rate{What: what, Tried: tried, Count: count}
	if tried > 0 {
		r.Rate = float64(count) / float64(tried)
	}
	return r
}

func (r Rate) atMost(p float64) Rate {
	kept := r.Tried > 0 && r.Rate <= p
	r.AtMost, r.Kept = &p, &kept
	return r
}

func (r Rate) atLeast(p float64) Rate {
	kept := r.Tried > 0 && r.Rate >= p
	r.AtLeast, r.Kept = &p, &kept
	return r
}

func (r Rate) noted(format string, args ...any) Rate {
	r.Note = fmt.Sprintf(format, args...)
	return r
}

// sameRates are the false alarms in blocks whose sides are the same.
func sameRates(same []block, gates int) []Rate {
	random := rand.New(rand.NewPCG(1, 1))
	tried, failed := windows(same, gateFloor)
	return []Rate{
		newRate("nothing changed: called slower", failures(random, same, gates, gateFloor, true), gates).atMost(gateAlpha),
		newRate("  without the floor of 5 %", failures(random, same, gates, 0, true), gates).atMost(gateAlpha),
		newRate("  in the order it was measured", failed, tried),
	}
}

// slowerRate is how often a slowdown is found in real blocks. What was in effect is known from the limit on the after side and the
// median of the other side of the same blocks, not from what is to be found.
func slowerRate(slower []block, gates int, asked, limit float64) Rate {
	var before []float64
	for _, b := range slower {
		before = append(before, b.before)
	}
	random := rand.New(rand.NewPCG(2, uint64(100*asked)))
	effect := 1 - limit/compare.Median(before)
	mean, least := simulated(random, spreadOf(slower), effect, len(slower))
	return newRate(fmt.Sprintf("%2.0f %% slower: found", 100*asked), failures(random, slower, gates, gateFloor, false), gates).
		atLeast(min(promisedFound, least)).
		noted("%.1f %% in effect at a spread of %.1f %%; simulated: %.0f %%", 100*effect, 100*spreadOf(slower), 100*mean)
}

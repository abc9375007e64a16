package compare

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// Pair is one cell on the two sides of a comparison: its values by block.
type Pair struct {
	Cell          string
	Before, After map[int]float64
}

// Grouped compares the two sides of a group of cells within blocks: in each block the ratio is the geometric mean over the cells, and
// the blocks are the pairs of the test. Only blocks that have every cell on both sides count, since a mean over other cells would be
// another figure; a warning says how many did not.
func Grouped(pairs []Pair, confidence float64) Ratio {
	blocks, left := Complete(pairs)
	ones := make([]float64, len(blocks))
	ratios := make([]float64, len(blocks))
	for i, b := range blocks {
		sum := 0.0
		for _, p := range pairs {
			sum += math.Log(p.After[b] / p.Before[b])
		}
		ones[i], ratios[i] = 1, math.Exp(sum/float64(len(pairs)))
	}
	r := PairedAt(ones, ratios, confidence)
	if left > 0 {
		r.Warnings = append(r.Warnings, fmt.Sprintf("%d of %d blocks lack a value and are not compared", left, left+len(blocks)))
	}
	r.Warnings = append(r.Warnings, flags(pairs, blocks, ratios)...)
	return r
}

// Complete are the blocks that have every cell on both sides, in order, and how many others there are.
func Complete(pairs []Pair) (blocks []int, left int) {
	seen := map[int]int{}
	for _, p := range pairs {
		for b := range p.Before {
			seen[b]++
		}
		for b := range p.After {
			seen[b]++
		}
	}
	for _, b := range slices.Sorted(maps.Keys(seen)) {
		if seen[b] == 2*len(pairs) {
			blocks = append(blocks, b)
		} else {
			left++
		}
	}
	return blocks, left
}

// flags says what is odd about the blocks. None is dropped for it.
func flags(pairs []Pair, blocks []int, ratios []float64) []string {
	var warnings []string
	level := make([]float64, len(blocks)) // of both sides together: what moves the whole machine
	logs := make([]float64, len(blocks))
	for i, b := range blocks {
		for _, p := range pairs {
			level[i] += math.Log(p.Before[b]) + math.Log(p.After[b])
		}
		level[i] /= float64(2 * len(pairs))
		logs[i] = math.Log(ratios[i])
	}
	if Drifts(level) {
		warnings = append(warnings, fmt.Sprintf("both sides drift together over the blocks, by %+.1f %% from the first to the last",
			percent(level)))
	}
	if Drifts(logs) {
		warnings = append(warnings, fmt.Sprintf("the difference itself drifts over the blocks, by %+.1f %% from the first to the last",
			percent(logs)))
	}
	for _, i := range Outliers(logs) {
		warnings = append(warnings, fmt.Sprintf("block %d is an outlier: its ratio is %.3f; it counts", blocks[i], ratios[i]))
	}
	return warnings
}

func percent(logs []float64) float64 { return 100 * math.Expm1(logs[len(logs)-1]-logs[0]) }

package compare

import (
	"cmp"
	"math"
	"slices"
)

// Holm adjusts the p-values of a family of tests: those that are at most α after it can all be believed, with a probability of at
// most α that any of them is a false alarm, however the tests depend on each other (Holm: A simple sequentially rejective multiple
// test procedure, Scand. J. Statistics 6, 1979). They stay in their order. A test that could not be made takes part with 1.
func Holm(p []float64) []float64 { return HolmAmong(p, len(p)) }

// HolmAmong is Holm for some tests of a family of so many; those that are not among p take part with 1.
func HolmAmong(p []float64, family int) []float64 {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(p[i], p[j]) })
	adjusted := make([]float64, len(p))
	worst := 0.0
	for rank, i := range order {
		worst = max(worst, min(1, float64(family-rank)*p[i]))
		adjusted[i] = worst
	}
	return adjusted
}

// Level is the level of each test and of what each interval leaves out, where the family-wise level alpha is shared by so many rules
// and looks at the data. It is Bonferroni's: the first step of Holm, and what keeps all intervals right at once.
func Level(alpha float64, rules, looks int) float64 {
	return alpha / float64(max(1, rules)*max(1, looks))
}

// Needed is how many blocks a paired test needs, so that it can reach its level at all: 2·½ⁿ ≤ Level.
func Needed(alpha float64, rules, looks int) int { return pairsNeeded(1 - Level(alpha, rules, looks)) }

// NeededRuns is the same for the unpaired test, in runs on each side: 2/(2n over n) ≤ Level.
func NeededRuns(alpha float64, rules, looks int) int {
	level := Level(alpha, rules, looks)
	p := 2.0
	for n := 1; ; n++ {
		p *= float64(n) * float64(n) / (float64(2*n) * float64(2*n-1))
		if p <= level || n == math.MaxInt32 {
			return n
		}
	}
}

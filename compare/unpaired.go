package compare

import (
	"fmt"
	"math"
	"slices"
	"sync"

	"golang.org/x/perf/benchmath"
)

// Unpaired compares b with a, whose values do not belong together, for example one of each run. The estimate is that of Hodges and
// Lehmann: the median of all ratios of one of b to one of a; the interval is the exact one of the Mann-Whitney distribution (Moses;
// Hollander, Wolfe: Nonparametric Statistical Methods, section 4.3); P is benchmath's test. N is the smaller side's.
func Unpaired(a, b []float64, confidence float64) Ratio {
	r := Ratio{Estimate: math.NaN(), Hi: math.Inf(1), P: 1, N: min(len(a), len(b))}
	unusable := 0
	for _, v := range slices.Concat(a, b) {
		if !(v > 0) || math.IsInf(v, 1) {
			unusable++
		}
	}
	switch {
	case r.N == 0:
		r.Warnings = append(r.Warnings, "nothing to compare: a side has no values")
		return r
	case unusable > 0: // leaving them out would flatter one side
		r.Warnings = append(r.Warnings, fmt.Sprintf("not compared: %d of %d values are not above 0", unusable, len(a)+len(b)))
		return r
	}
	sample := func(v []float64) *benchmath.Sample {
		return benchmath.NewSample(slices.Clone(v), &benchmath.DefaultThresholds) // it sorts what it is given
	}
	// Its error is that all values are equal: then they are alike, which P says already.
	r.P = min(1, benchmath.AssumeNothing.Compare(sample(a), sample(b)).P)
	ratios := make([]float64, 0, len(a)*len(b))
	for _, x := range a {
		for _, y := range b {
			ratios = append(ratios, math.Log(y/x))
		}
	}
	slices.Sort(ratios)
	r.Estimate = math.Exp(middle(ratios))
	if k := shiftRank(len(a), len(b), 1-confidence); k > 0 {
		r.Lo, r.Hi = math.Exp(ratios[k-1]), math.Exp(ratios[len(ratios)-k])
		return r
	}
	r.Warnings = append(r.Warnings, fmt.Sprintf("no %.4g %% interval: it needs %d values on each side, and there are %d and %d",
		100*confidence, NeededRuns(1-confidence, 1, 1), len(a), len(b)))
	return r
}

// exactSide is up to how many values on the larger side the distribution of U is counted out.
const exactSide = 30

// ranks keeps what shiftRank found: the same few sizes and levels are asked for again and again.
var ranks sync.Map

// shiftRank is the k for which the k-th of the m·n differences from either end bounds the shift but for a probability of at most
// alpha; 0 when there is none.
func shiftRank(m, n int, alpha float64) int {
	type question struct {
		m, n  int
		alpha float64
	}
	q := question{m, n, alpha}
	if k, known := ranks.Load(q); known {
		return k.(int)
	}
	k := 0
	if max(m, n) > exactSide {
		mean, variance := float64(m*n)/2, float64(m*n*(m+n+1))/12
		k = max(0, int(math.Floor(mean-math.Sqrt(2*variance)*math.Erfcinv(alpha))))
	} else {
		tail := 0.0
		for _, p := range mannWhitney(m, n) {
			if tail += p; 2*tail > alpha {
				break
			}
			k++
		}
	}
	ranks.Store(q, k)
	return k
}

// mannWhitney gives for each value of U, from 0 to m·n, its probability when the sides are alike and no values are equal. The
// largest of all values is on the first side with probability m/(m+n), and is then above all n of the second.
func mannWhitney(m, n int) []float64 {
	row := make([][]float64, n+1) // of the first side's size so far
	for j := range row {
		row[j] = []float64{1}
	}
	for i := 1; i <= m; i++ {
		next := make([][]float64, n+1)
		next[0] = []float64{1}
		for j := 1; j <= n; j++ {
			p := make([]float64, i*j+1)
			for u, q := range row[j] {
				p[u+j] += q * float64(i) / float64(i+j)
			}
			for u, q := range next[j-1] {
				p[u] += q * float64(j) / float64(i+j)
			}
			next[j] = p
		}
		row = next
	}
	return row[n]
}

package compare

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Ratio is by how much b differs from a, over pairs of them.
type Ratio struct {
	// Estimate is b/a after Hodges and Lehmann: the median over all pairs of pairs of the geometric mean of their ratios.
	// NaN when there is nothing to compare, which a warning says.
	Estimate float64
	Lo, Hi   float64 // its interval; 0 and +Inf where there are too few pairs for one
	P        float64 // two-sided, of the exact Wilcoxon signed-rank test that b and a are alike; 1 when there is nothing to compare
	N        int     // pairs
	// Warnings say what is wrong with the comparison; they travel with it.
	Warnings []string
}

// Bounded reports whether the interval has ends.
func (r Ratio) Bounded() bool { return r.Lo > 0 && !math.IsInf(r.Hi, 1) }

// Within reports whether the whole interval lies within a factor of 1+margin on either side of 1: that b is as a, and not merely
// that no difference was seen. With the interval of Paired this is an equivalence test at 2.5 % for each side.
func (r Ratio) Within(margin float64) bool {
	return r.Bounded() && r.Lo >= 1/(1+margin) && r.Hi <= 1+margin
}

// Paired compares b with a, which are as long and whose values at one index belong together, for example to one block. No
// distribution is assumed but that the log ratios are independent and symmetric about their centre. The interval is at Confidence.
func Paired(a, b []float64) Ratio { return PairedAt(a, b, Confidence) }

// PairedAt is Paired with an interval at another level, above 0 and below 1.
func PairedAt(a, b []float64, confidence float64) Ratio {
	if len(a) != len(b) {
		panic(fmt.Sprintf("compare %d values with %d: pairs are needed", len(a), len(b)))
	}
	r := Ratio{Estimate: math.NaN(), Hi: math.Inf(1), P: 1, N: len(a)}
	logs := make([]float64, len(a))
	unusable := 0
	for i := range a {
		logs[i] = math.Log(b[i] / a[i])
		if !(a[i] > 0 && b[i] > 0) || math.IsInf(logs[i], 0) || math.IsNaN(logs[i]) {
			unusable++
		}
	}
	switch {
	case len(a) == 0:
		r.Warnings = append(r.Warnings, "nothing to compare: there are no pairs")
		return r
	case unusable > 0: // leaving them out would flatter one side
		r.Warnings = append(r.Warnings, fmt.Sprintf("not compared: %d of %d pairs have a value that is not above 0", unusable, len(a)))
		return r
	}
	r.P = signedRank(logs)
	averages := walsh(logs)
	r.Estimate = math.Exp(middle(averages))
	if k := walshRank(len(logs), 1-confidence); k > 0 {
		r.Lo, r.Hi = math.Exp(averages[k-1]), math.Exp(averages[len(averages)-k])
		return r
	}
	r.Warnings = append(r.Warnings, fmt.Sprintf("no %.4g %% interval: it needs %d pairs, and there are %d", 100*confidence,
		pairsNeeded(confidence), len(logs)))
	return r
}

// exactPairs is up to how many pairs the distribution of the signed-rank sum is counted out; beyond, the normal one is as good.
const exactPairs = 50

// signedRank is the two-sided p-value of Wilcoxon's signed-rank test that differences are symmetric about 0. Zeros are left
// out, as Wilcoxon did; tied ones share their ranks, and the distribution is that of the shared ranks.
func signedRank(differences []float64) float64 {
	d := slices.DeleteFunc(slices.Clone(differences), func(x float64) bool { return x == 0 })
	slices.SortFunc(d, func(x, y float64) int { return cmp.Compare(math.Abs(x), math.Abs(y)) })
	ranks := make([]int, len(d)) // doubled, so that shared ones are whole
	positive, total := 0, 0
	for first := 0; first < len(d); {
		end := first + 1
		for end < len(d) && math.Abs(d[end]) == math.Abs(d[first]) {
			end++
		}
		for i := first; i < end; i++ {
			ranks[i] = first + 1 + end
			total += ranks[i]
			if d[i] > 0 {
				positive += ranks[i]
			}
		}
		first = end
	}
	low := min(positive, total-positive) // the distribution is symmetric
	if len(d) > exactPairs {
		return normalTail(ranks, low)
	}
	return min(1, 2*sum(distribution(ranks)[:low+1]))
}

// distribution gives for each sum of a subset of the ranks its probability, when each rank is in it with probability ½.
func distribution(ranks []int) []float64 {
	total := 0
	for _, r := range ranks {
		total += r
	}
	p := make([]float64, 1+total)
	p[0] = 1
	for _, r := range ranks {
		for s := total; s >= r; s-- {
			p[s] = p[s]/2 + p[s-r]/2
		}
		for s := range r {
			p[s] /= 2
		}
	}
	return p
}

func sum(values []float64) float64 {
	s := 0.0
	for _, v := range values {
		s += v
	}
	return s
}

// normalTail is twice the normal approximation of the probability of a sum of doubled ranks up to low, with a continuity
// correction.
func normalTail(ranks []int, low int) float64 {
	mean, variance := 0.0, 0.0
	for _, r := range ranks {
		mean += float64(r) / 2
		variance += float64(r) * float64(r) / 4
	}
	return min(1, math.Erfc((mean-float64(low)-1)/math.Sqrt(2*variance)))
}

// walsh are the averages of all pairs of values, each with itself among them, in order.
func walsh(values []float64) []float64 {
	averages := make([]float64, 0, len(values)*(len(values)+1)/2)
	for i, x := range values {
		for _, y := range values[i:] {
			averages = append(averages, x/2+y/2)
		}
	}
	slices.Sort(averages)
	return averages
}

func middle(sorted []float64) float64 {
	n := len(sorted)
	return sorted[(n-1)/2]/2 + sorted[n/2]/2
}

// walshRank is the k for which the k-th Walsh average from either end bounds the centre of n symmetric values but for a
// probability of at most alpha (Hollander, Wolfe: Nonparametric Statistical Methods, section 3.3); 0 when there is none.
func walshRank(n int, alpha float64) int {
	if n > exactPairs {
		mean, variance := float64(n*(n+1))/4, float64(n*(n+1)*(2*n+1))/24
		return max(0, int(math.Floor(mean-math.Sqrt(2*variance)*math.Erfcinv(alpha))))
	}
	ranks := make([]int, n)
	for i := range ranks {
		ranks[i] = i + 1
	}
	tail, k := 0.0, 0
	for _, p := range distribution(ranks) {
		if tail += p; 2*tail > alpha {
			return k
		}
		k++
	}
	return k
}

// pairsNeeded is how many pairs an interval at a level needs: 2·½ⁿ must not be more than what is left of 1.
func pairsNeeded(confidence float64) int { return 1 + int(math.Ceil(-math.Log2(1-confidence)-1e-9)) }

package compare

import (
	"math"
	"slices"
)

// What it takes to flag something: seldom wrong rather than early.
const (
	driftLevel  = 0.01
	driftValues = 8   // with fewer, not even a strict order would be convincing by the normal approximation
	outlierZ    = 3.5 // Iglewicz and Hoaglin: How to Detect and Handle Outliers, 1993
	outlierMin  = 5
)

// Drifts reports whether values in the order of time rise or fall more than chance would have it: the test of Mann and Kendall at
// 1 %, by its normal approximation.
func Drifts(values []float64) bool {
	n := len(values)
	if n < driftValues {
		return false
	}
	s := 0.0
	for i, x := range values {
		for _, y := range values[i+1:] {
			switch {
			case y > x:
				s++
			case y < x:
				s--
			}
		}
	}
	variance := float64(n*(n-1)*(2*n+5)) / 18
	return math.Erfc((math.Abs(s)-1)/math.Sqrt(2*variance)) < driftLevel
}

// Outliers are the indices of values that lie more than 3.5 standard deviations from the median, as the median absolute
// deviation estimates them.
func Outliers(values []float64) []int {
	if len(values) < outlierMin {
		return nil
	}
	median := Median(values)
	deviations := make([]float64, len(values))
	for i, v := range values {
		deviations[i] = math.Abs(v - median)
	}
	const normal = 0.6745 // of a normal distribution: median absolute deviation over standard deviation
	scale := Median(deviations) / normal
	var found []int
	for i, d := range deviations {
		if scale > 0 && d > outlierZ*scale {
			found = append(found, i)
		}
	}
	return found
}

// Median is the middle of at least one value, which are left as they are.
func Median(values []float64) float64 { return middle(slices.Sorted(slices.Values(values))) }

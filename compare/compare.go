// Package compare is the statistics over trials.
package compare

import (
	"fmt"
	"math"

	"golang.org/x/perf/benchmath"
)

// Confidence is the level of the intervals.
const Confidence = 0.95

// Summary is a median with its order-statistic interval: no distribution is assumed.
type Summary struct {
	Median float64
	Lo, Hi float64 // the interval at Confidence; -Inf and +Inf where there are too few values for one
	N      int
	// Warnings say what is wrong with the summary; they travel with it.
	Warnings []string
}

// Bounded reports whether the interval has ends.
func (s Summary) Bounded() bool { return !math.IsInf(s.Lo, 0) && !math.IsInf(s.Hi, 0) }

// minValues is how many values a 95 % interval of the median needs at least (2·0.5^6 ≤ 0.05).
const minValues = 6

// Summarize summarizes at least one value; the values are left as they are.
func Summarize(values []float64) Summary {
	own := append([]float64(nil), values...) // a sample sorts what it is given
	s := benchmath.AssumeNothing.Summary(benchmath.NewSample(own, &benchmath.DefaultThresholds), Confidence)
	summary := Summary{Median: s.Center, Lo: s.Lo, Hi: s.Hi, N: len(values)}
	if !summary.Bounded() {
		summary.Lo, summary.Hi = math.Inf(-1), math.Inf(1)
		summary.Warnings = append(summary.Warnings, fmt.Sprintf("no %.0f %% interval: the median needs %d trials for one, and there are fewer",
			100*Confidence, minValues))
	}
	return summary
}

package compare

import (
	"math"
	"slices"
)

// The rule of SNIA's Solid State Storage Performance Test Specification, section "Steady State": over a window of five rounds the
// values range over at most 20 % of their mean, and the line fitted to them rises or falls by at most 10 % of it over the window.
// A round is a fifth of the window here.
const (
	SteadyRounds = 5
	SteadyRange  = 0.20
	SteadyDrift  = 0.10
	// SteadySeconds is the shortest window that the rule is applied to: a minute, less what a log may lack at its end.
	SteadySeconds = 54
)

// Steadiness is by how much the rounds of a window differ and drift, as parts of their mean: to be held against SteadyRange and
// SteadyDrift. Values are rates at equal intervals, at least SteadyRounds of them; those of a window of zeros are NaN.
func Steadiness(values []float64) (spread, drift float64) {
	rounds := make([]float64, SteadyRounds)
	for i := range rounds {
		part := values[i*len(values)/SteadyRounds : (i+1)*len(values)/SteadyRounds]
		for _, v := range part {
			rounds[i] += v / float64(len(part))
		}
	}
	var mean, slope float64
	for i, v := range rounds {
		mean += v / SteadyRounds
		slope += (float64(i) - (SteadyRounds-1)/2) * v / 10 // least squares: the squares of -2 … 2 add up to 10
	}
	return (slices.Max(rounds) - slices.Min(rounds)) / mean, math.Abs(slope) * (SteadyRounds - 1) / mean
}

// SteadyFrom is from which value on a trial is steady to its end; false where it is not over the last least values, or where there
// are not so many. It is found to a sixtieth of the trial.
func SteadyFrom(values []float64, least int) (from int, ok bool) {
	least = max(least, SteadyRounds)
	step := max(1, len(values)/60)
	for from = 0; len(values)-from >= least; from += step {
		if spread, drift := Steadiness(values[from:]); spread <= SteadyRange && drift <= SteadyDrift {
			return from, true
		}
	}
	return 0, false
}

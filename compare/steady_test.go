package compare

import (
	"math"
	"testing"
)

func TestATrialIsSteadyFromWhereItsRateNoLongerMoves(t *testing.T) {
	series := func(n int, at func(i int) float64) []float64 {
		values := make([]float64, n)
		for i := range values {
			values[i] = at(i)
		}
		return values
	}
	for _, test := range []struct {
		name     string
		values   []float64
		from, to int // the bounds of what may be found; -1: never steady
	}{
		{"flat", series(60, func(int) float64 { return 100 }), 0, 0},
		{"noise", series(60, func(i int) float64 { return 100 + 30*float64(i%2) }), 0, 0},
		{"a fast cache in the first minute", series(180, func(i int) float64 {
			if i < 60 {
				return 1000
			}
			return 100
		}), 50, 60},
		{"a drift", series(120, func(i int) float64 { return 100 + float64(i) }), -1, -1},
		{"too short", series(40, func(int) float64 { return 100 }), -1, -1},
		{"nothing", series(60, func(int) float64 { return 0 }), -1, -1},
		{"none", nil, -1, -1},
	} {
		from, ok := SteadyFrom(test.values, SteadySeconds)
		if ok != (test.from >= 0) || ok && (from < test.from || from > test.to) {
			t.Errorf("%s: steady %v from %d, want from %d to %d", test.name, ok, from, test.from, test.to)
		}
	}
	if spread, _ := Steadiness(make([]float64, 10)); !math.IsNaN(spread) {
		t.Errorf("the spread of nothing is %v", spread)
	}
}

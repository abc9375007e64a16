package compare

import (
	"math"
	"testing"
)

func TestTheIntervalIsThatOfTheOrderStatistics(t *testing.T) {
	s := Summarize([]float64{6, 1, 5, 2, 4, 3})
	if s.Median != 3.5 || s.Lo != 1 || s.Hi != 6 || s.N != 6 || len(s.Warnings) != 0 {
		t.Errorf("got %+v, want the median 3.5 within [1, 6]", s)
	}
}

func TestTooFewTrialsHaveNoIntervalAndSaySo(t *testing.T) {
	for n := 1; n < minValues; n++ {
		values := make([]float64, n)
		for i := range values {
			values[i] = float64(n - i)
		}
		s := Summarize(values)
		if s.Bounded() || !math.IsInf(s.Hi, 1) || len(s.Warnings) != 1 {
			t.Errorf("%d values: %+v, want no interval and a warning", n, s)
		}
		if values[0] != float64(n) {
			t.Error("the values were sorted in place")
		}
	}
	if s := Summarize(make([]float64, minValues)); !s.Bounded() {
		t.Errorf("%d values: %+v, want an interval", minValues, s)
	}
}

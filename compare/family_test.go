package compare

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"golang.org/x/perf/benchmath"
)

// TestHolmAdjustsAsPublished: the five p-values of Wright (Adjusted p-values for simultaneous inference, Biometrics 48, 1992) as
// R's p.adjust(method="holm") gives them, and Holm's rule itself on ties.
func TestHolmAdjustsAsPublished(t *testing.T) {
	for _, c := range []struct{ p, want []float64 }{
		{[]float64{0.01, 0.02, 0.03, 0.04, 0.05}, []float64{0.05, 0.08, 0.09, 0.09, 0.09}},
		{[]float64{0.01, 0.04, 0.03, 0.005}, []float64{0.03, 0.06, 0.06, 0.02}},
		{[]float64{0.5, 0.5}, []float64{1, 1}},
		{[]float64{0.03}, []float64{0.03}},
		{nil, nil},
	} {
		got := Holm(c.p)
		for i := range c.want {
			if !near(got[i], c.want[i], 1e-12) {
				t.Errorf("%v became %v, want %v", c.p, got, c.want)
				break
			}
		}
	}
}

func TestHolmIsNeverKinderThanTheTestAlone(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 3))
	for range 500 {
		p := make([]float64, 1+random.IntN(12))
		for i := range p {
			p[i] = random.Float64()
		}
		for i, q := range Holm(p) {
			if q < p[i] || q > 1 || q > float64(len(p))*p[i]+1e-12 {
				t.Fatalf("%v: %d adjusted to %v", p, i, q)
			}
		}
	}
}

func TestNeededIsTheFirstNumberThatReachesTheLevel(t *testing.T) {
	for _, c := range []struct{ rules, looks, blocks, runs int }{
		{1, 1, 6, 4}, {5, 1, 8, 5}, {10, 1, 9, 6}, {5, 4, 10, 6}, {10, 4, 11, 7},
	} {
		if got := Needed(0.05, c.rules, c.looks); got != c.blocks {
			t.Errorf("%d rules, %d looks: %d blocks, want %d", c.rules, c.looks, got, c.blocks)
		}
		if got := NeededRuns(0.05, c.rules, c.looks); got != c.runs {
			t.Errorf("%d rules, %d looks: %d runs, want %d", c.rules, c.looks, got, c.runs)
		}
		level := Level(0.05, c.rules, c.looks)
		n := Needed(0.05, c.rules, c.looks)
		if p := signedRank(rising(n)); p > level {
			t.Errorf("%d blocks reach %v, not %v", n, p, level)
		}
		if p := signedRank(rising(n - 1)); p <= level {
			t.Errorf("%d blocks reach %v already", n-1, p)
		}
		if r := Unpaired(rising(c.runs), above(rising(c.runs)), 1-level); r.P > level || !r.Bounded() {
			t.Errorf("%d runs: %+v at %v", c.runs, r, level)
		}
		if r := Unpaired(rising(c.runs-1), above(rising(c.runs-1)), 1-level); r.P <= level || r.Bounded() {
			t.Errorf("%d runs: %+v at %v", c.runs-1, r, level)
		}
	}
}

func rising(n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = float64(i + 1)
	}
	return v
}

func above(v []float64) []float64 {
	up := make([]float64, len(v))
	for i := range v {
		up[i] = v[i] + 100
	}
	return up
}

// TestTheCriticalValuesOfMannWhitneyAreThoseOfTheTables: the largest U at which the two-sided test still rejects (Siegel:
// Nonparametric Statistics, table K; Hollander and Wolfe, table A.6).
func TestTheCriticalValuesOfMannWhitneyAreThoseOfTheTables(t *testing.T) {
	for _, c := range []struct {
		m, n  int
		alpha float64
		want  int
	}{
		{6, 6, 0.05, 5}, {6, 6, 0.01, 2}, {8, 8, 0.05, 13}, {8, 8, 0.01, 7}, {10, 10, 0.05, 23}, {10, 10, 0.01, 16}, {5, 9, 0.05, 7},
		{20, 20, 0.05, 127}, {3, 3, 0.05, -1},
	} {
		if got := shiftRank(c.m, c.n, c.alpha) - 1; got != c.want {
			t.Errorf("%d, %d at %v: %d, want %d", c.m, c.n, c.alpha, got, c.want)
		}
	}
}

// TestTheIntervalAndTheTestAgree: 1 is outside the interval exactly when the test rejects at its level.
func TestTheIntervalAndTheTestAgree(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 5))
	for range 500 {
		a, b := make([]float64, 6+random.IntN(6)), make([]float64, 6+random.IntN(6))
		for i := range a {
			a[i] = 100 + random.NormFloat64()
		}
		for i := range b {
			b[i] = 100 + random.NormFloat64() + 1.5*random.Float64()
		}
		r := Unpaired(a, b, 0.95)
		cmp := benchmath.AssumeNothing.Compare(benchmath.NewSample(append([]float64(nil), a...), &benchmath.DefaultThresholds),
			benchmath.NewSample(append([]float64(nil), b...), &benchmath.DefaultThresholds))
		if r.P != min(1, cmp.P) {
			t.Fatalf("P %v, benchmath's %v", r.P, cmp.P)
		}
		if outside := r.Lo > 1 || r.Hi < 1; outside != (r.P <= 0.05) {
			t.Fatalf("interval %v to %v, p %v: %v %v", r.Lo, r.Hi, r.P, a, b)
		}
		if !(r.Lo <= r.Estimate && r.Estimate <= r.Hi) {
			t.Fatalf("estimate %v outside %v to %v", r.Estimate, r.Lo, r.Hi)
		}
	}
}

func TestValuesThatAreNoNumbersAreNotCompared(t *testing.T) {
	for _, bad := range []float64{0, -1, nan(), inf()} {
		r := Unpaired([]float64{1, 2, 3, 4, 5, 6}, []float64{1, 2, 3, 4, 5, bad}, 0.95)
		if r.P != 1 || r.Bounded() || len(r.Warnings) == 0 {
			t.Errorf("%v: %+v", bad, r)
		}
	}
	if r := Unpaired(nil, []float64{1}, 0.95); r.P != 1 || len(r.Warnings) == 0 {
		t.Errorf("an empty side: %+v", r)
	}
}

func TestAllEqualIsAlike(t *testing.T) {
	if r := Unpaired([]float64{2, 2, 2, 2, 2, 2}, []float64{2, 2, 2, 2, 2, 2}, 0.95); r.P != 1 || r.Estimate != 1 || !r.Within(0.01) {
		t.Errorf("%+v", r)
	}
}

func TestATestThatWasNotMadeTakesPartWithOne(t *testing.T) {
	p := []float64{0.04, 0.001, 0.9}
	whole := Holm(append([]float64{1, 1, 1, 1}, p...))[4:]
	for i, q := range HolmAmong(p, 7) {
		if q != whole[i] {
			t.Errorf("%v among 7 became %v, want %v", p[i], q, whole[i])
		}
	}
}

func ExampleHolm() {
	fmt.Println(Holm([]float64{0.01, 0.04}))
	// Output: [0.02 0.04]
}

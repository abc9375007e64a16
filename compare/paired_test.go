package compare

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// hamilton is the change of nine patients' depression scale factor, Hollander and Wolfe: Nonparametric Statistical
// Methods, example 3.1.
func hamilton() []float64 {
	before := []float64{1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30}
	after := []float64{0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29}
	d := make([]float64, len(before))
	for i := range d {
		d[i] = after[i] - before[i]
	}
	return d
}

func near(a, b, within float64) bool { return math.Abs(a-b) <= within }

func TestThePublishedExampleHasItsPublishedFigures(t *testing.T) {
	d := hamilton()
	if p := signedRank(d); !near(p, 2*0.01953125, 1e-12) { // P(T+ ≤ 5) = 10/512
		t.Errorf("p = %v", p)
	}
	averages := walsh(d)
	if hl := middle(averages); !near(hl, -0.46, 0.0005) {
		t.Errorf("estimate %v, want -0.46", hl)
	}
	k := walshRank(len(d), 0.04) // the book's level is 96 %
	if lo, hi := averages[k-1], averages[len(averages)-k]; !near(lo, -0.786, 0.0005) || !near(hi, -0.010, 0.0005) {
		t.Errorf("interval %v to %v, want -0.786 to -0.010", lo, hi)
	}
}

// TestTheCriticalValuesAreThoseOfTheTables: the largest sum at which the two-sided test at 5 % and 1 % still rejects, as
// printed in every table of Wilcoxon's test (for example Siegel: Nonparametric Statistics, table G).
func TestTheCriticalValuesAreThoseOfTheTables(t *testing.T) {
	for _, c := range []struct{ n, five, one int }{
		{5, -1, -1}, {6, 0, -1}, {7, 2, -1}, {8, 3, 0}, {9, 5, 1}, {10, 8, 3}, {12, 13, 7}, {15, 25, 15}, {20, 52, 37}, {25, 89, 68},
		{50, 434, 373},
	} {
		if got := walshRank(c.n, 0.05) - 1; got != c.five {
			t.Errorf("n=%d at 5 %%: %d, want %d", c.n, got, c.five)
		}
		if got := walshRank(c.n, 0.01) - 1; got != c.one {
			t.Errorf("n=%d at 1 %%: %d, want %d", c.n, got, c.one)
		}
	}
}

// TestTheTestIsThatOfAllChoicesOfSigns counts the signs out, with ties and zeros among the values.
func TestTheTestIsThatOfAllChoicesOfSigns(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for range 300 {
		d := make([]float64, 1+random.IntN(9))
		for i := range d {
			d[i] = float64(random.IntN(11) - 5)
		}
		if got, want := signedRank(d), countedOut(d); !near(got, want, 1e-12) {
			t.Fatalf("%v: p = %v, want %v", d, got, want)
		}
	}
}

func countedOut(d []float64) float64 {
	d = slices.DeleteFunc(slices.Clone(d), func(x float64) bool { return x == 0 })
	statistic := func(signs []float64) float64 {
		plus, minus := 0.0, 0.0
		for i, x := range d {
			rank := 0.5
			for _, y := range d {
				switch {
				case math.Abs(y) < math.Abs(x):
					rank++
				case math.Abs(y) == math.Abs(x):
					rank += 0.5
				}
			}
			if signs[i] > 0 {
				plus += rank
			} else {
				minus += rank
			}
		}
		return min(plus, minus)
	}
	seen := statistic(d)
	extreme, all := 0, 1<<len(d)
	for mask := range all {
		signs := make([]float64, len(d))
		for i := range signs {
			signs[i] = float64(mask>>i&1)*2 - 1
		}
		if statistic(signs) <= seen {
			extreme++
		}
	}
	return float64(extreme) / float64(all)
}

func TestTheNormalTailMeetsTheExactOne(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 2))
	d := make([]float64, exactPairs)
	for i := range d {
		d[i] = random.NormFloat64() + 0.3
	}
	more := append(slices.Clone(d), 1e-9) // the smallest rank changes next to nothing
	if exact, normal := signedRank(d), signedRank(more); !near(exact, normal, 0.01) {
		t.Errorf("n=%d: p = %v, n=%d: %v", len(d), exact, len(more), normal)
	}
	if a, b := walshRank(exactPairs, 0.05), walshRank(exactPairs+1, 0.05); b < a || b > a+22 {
		t.Errorf("ranks %d and %d of one more pair", a, b)
	}
}

func TestAnIntervalNeedsSixPairs(t *testing.T) {
	for n := 1; n <= 12; n++ {
		a, b := make([]float64, n), make([]float64, n)
		for i := range a {
			a[i], b[i] = 100+float64(i), 200+3*float64(i)
		}
		r := Paired(a, b)
		if r.Bounded() != (n >= 6) || (len(r.Warnings) == 0) != (n >= 6) || r.N != n {
			t.Errorf("%d pairs: %+v", n, r)
		}
		if n == 5 && !strings.Contains(r.Warnings[0], "needs 6 pairs, and there are 5") {
			t.Errorf("%q", r.Warnings)
		}
		if want := math.Pow(0.5, float64(n-1)); !near(r.P, want, 1e-12) {
			t.Errorf("%d pairs one way: p = %v, want %v", n, r.P, want)
		}
		if r.Estimate < 2 || r.Estimate > 2.2 {
			t.Errorf("%d pairs: estimate %v", n, r.Estimate)
		}
	}
}

func TestAScaleBlocksAndSidesChangeNothingButTheSide(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 3))
	for range 50 {
		n := 6 + random.IntN(10)
		a, b, a1, b1 := make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
		for i := range a {
			a[i], b[i] = math.Exp(random.NormFloat64()), math.Exp(random.NormFloat64())
		}
		for i, j := range random.Perm(n) { // blocks in another order, all values times 64
			a1[i], b1[i] = a[j]*64, b[j]*64
		}
		r, same, back := Paired(a, b), Paired(a1, b1), Paired(b, a)
		for _, x := range [][2]float64{
			{r.Estimate, same.Estimate}, {r.Lo, same.Lo}, {r.Hi, same.Hi}, {r.P, same.P},
			{r.Estimate, 1 / back.Estimate}, {r.Lo, 1 / back.Hi}, {r.P, back.P},
		} {
			if !near(x[0]/x[1], 1, 1e-9) {
				t.Fatalf("%+v, %+v, %+v", r, same, back)
			}
		}
	}
}

func TestWhatCannotBeComparedIsSaidAndNotLeftOut(t *testing.T) {
	for name, sides := range map[string][2][]float64{
		"zero": {{1, 2, 3}, {1, 0, 3}}, "negative": {{1, -2}, {1, -2}}, "NaN": {{1, math.NaN()}, {1, 2}}, "infinite": {{1, 2}, {math.Inf(1), 2}},
		"none": {},
	} {
		r := Paired(sides[0], sides[1])
		if !math.IsNaN(r.Estimate) || r.P != 1 || r.Bounded() || len(r.Warnings) != 1 || r.Within(100) {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestEqualMeansThatTheIntervalLiesWithinTheMargin(t *testing.T) {
	a := []float64{100, 101, 99, 100, 102, 98, 100, 101}
	b := []float64{101, 100, 100, 101, 100, 99, 99, 102}
	if r := Paired(a, b); !r.Within(0.1) || r.P < 0.05 {
		t.Errorf("%+v", r)
	}
	noisy := []float64{50, 200, 90, 110, 150, 70, 100, 99}
	if r := Paired(a, noisy); r.Within(0.1) {
		t.Errorf("no difference was seen, and that is no equality: %+v", r)
	}
	if r := Paired(a[:5], a[:5]); r.Within(0.1) {
		t.Errorf("five pairs have no interval: %+v", r)
	}
}

// TestTheIntervalHoldsWhatItSays counts how often the interval misses the truth.
func TestTheIntervalHoldsWhatItSays(t *testing.T) {
	random := rand.New(rand.NewPCG(4, 4))
	const rounds = 4000
	for _, n := range []int{6, 10, 20} {
		missed := 0
		for range rounds {
			a, b := make([]float64, n), make([]float64, n)
			for i := range a {
				block := math.Exp(random.NormFloat64()) // what both sides share
				a[i], b[i] = block, block*1.25*math.Exp(0.2*random.NormFloat64())
			}
			if r := Paired(a, b); r.Lo > 1.25 || r.Hi < 1.25 {
				missed++
			}
		}
		if share := float64(missed) / rounds; share > 0.06 {
			t.Errorf("n=%d: %v of the 95 %% intervals miss", n, share)
		}
	}
}

func TestSidesOfDifferentLengthAreAMistakeOfTheCaller(t *testing.T) {
	defer func() {
		if e := recover(); e == nil || !strings.Contains(fmt.Sprint(e), "2 values with 1") {
			t.Errorf("%v", e)
		}
	}()
	Paired([]float64{1, 2}, []float64{1})
}

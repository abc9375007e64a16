package compare

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

func nan() float64 { return math.NaN() }
func inf() float64 { return math.Inf(1) }

// sample makes two sides of some cells over blocks, each value noisy by so much, the second side slower by a factor.
func sample(random *rand.Rand, cells, blocks int, noise, factor float64) []Pair {
	pairs := make([]Pair, cells)
	for c := range pairs {
		level := 1000 * math.Exp(3*random.Float64())
		pairs[c] = Pair{Before: map[int]float64{}, After: map[int]float64{}}
		for b := range blocks {
			pairs[c].Before[b] = level * math.Exp(noise*random.NormFloat64())
			pairs[c].After[b] = level * math.Exp(noise*random.NormFloat64()) * factor
		}
	}
	return pairs
}

func TestTheOrderOfTheBlocksDoesNotMatter(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	for range 200 {
		pairs := sample(random, 1+random.IntN(4), 6+random.IntN(8), 0.05, 0.97)
		n := len(pairs[0].Before)
		order := random.Perm(n)
		moved := make([]Pair, len(pairs))
		for i, p := range pairs {
			moved[i] = Pair{Before: map[int]float64{}, After: map[int]float64{}}
			for b := range n {
				moved[i].Before[order[b]], moved[i].After[order[b]] = p.Before[b], p.After[b]
			}
		}
		r, s := Grouped(pairs, 0.95), Grouped(moved, 0.95)
		if r.P != s.P || r.Estimate != s.Estimate || r.Lo != s.Lo || r.Hi != s.Hi {
			t.Fatalf("%+v became %+v", r, s)
		}
	}
}

func TestTheUnitDoesNotMatter(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 8))
	for range 200 {
		pairs := sample(random, 1+random.IntN(4), 6+random.IntN(8), 0.05, 0.97)
		r := Grouped(pairs, 0.95)
		for _, p := range pairs { // each cell in a unit of its own
			unit := math.Exp(5 * random.NormFloat64())
			for b := range p.Before {
				p.Before[b] *= unit
				p.After[b] *= unit
			}
		}
		s := Grouped(pairs, 0.95)
		if r.P != s.P || !near(r.Estimate, s.Estimate, 1e-12) || !near(r.Lo, s.Lo, 1e-12) || !near(r.Hi, s.Hi, 1e-12) {
			t.Fatalf("%+v became %+v", r, s)
		}
	}
}

func TestExchangingTheSidesTurnsTheRatioOver(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 9))
	pairs := sample(random, 3, 10, 0.05, 0.9)
	turned := make([]Pair, len(pairs))
	for i, p := range pairs {
		turned[i] = Pair{Before: p.After, After: p.Before}
	}
	r, s := Grouped(pairs, 0.95), Grouped(turned, 0.95)
	if r.P != s.P || !near(r.Estimate*s.Estimate, 1, 1e-9) || !near(r.Lo*s.Hi, 1, 1e-9) {
		t.Errorf("%+v and %+v", r, s)
	}
}

func TestABlockThatLacksACellIsNotCompared(t *testing.T) {
	pairs := sample(rand.New(rand.NewPCG(1, 2)), 2, 10, 0.05, 1)
	delete(pairs[1].After, 4)
	r := Grouped(pairs, 0.95)
	if r.N != 9 || !strings.Contains(strings.Join(r.Warnings, "\n"), "1 of 10 blocks") {
		t.Errorf("%+v", r)
	}
	if r := Grouped([]Pair{{Before: map[int]float64{0: 1}, After: map[int]float64{1: 1}}}, 0.95); r.N != 0 || r.P != 1 {
		t.Errorf("no common block: %+v", r)
	}
}

func TestDriftAndOutliersAreFlaggedAndCount(t *testing.T) {
	pair := Pair{Before: map[int]float64{}, After: map[int]float64{}}
	random := rand.New(rand.NewPCG(4, 4))
	for b := range 12 {
		pair.Before[b] = 100 * math.Exp(0.03*float64(b)+0.001*random.NormFloat64())
		pair.After[b] = pair.Before[b] * math.Exp(0.001*random.NormFloat64())
	}
	pair.After[5] *= 1.5
	r := Grouped([]Pair{pair}, 0.95)
	text := strings.Join(r.Warnings, "\n")
	if r.N != 12 || !strings.Contains(text, "both sides drift together over the blocks") || !strings.Contains(text, "block 5 is an outlier") {
		t.Errorf("%+v", r)
	}
}

// TestDriftIsSeldomSeenWhereThereIsNone counts on noise, so it is no proof but of gross mistakes.
func TestDriftIsSeldomSeenWhereThereIsNone(t *testing.T) {
	random := rand.New(rand.NewPCG(6, 6))
	seen := 0
	for range 5000 {
		v := make([]float64, 10)
		for i := range v {
			v[i] = random.NormFloat64()
		}
		if Drifts(v) {
			seen++
		}
	}
	if seen > 75 { // 1 % of 5,000 are 50
		t.Errorf("%d of 5000", seen)
	}
}

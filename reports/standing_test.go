package reports

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"platter/compare"
)

// measured gives a cell so many trials around a rate: within 2 % of it, in a pattern of its own.
func measured(c Cell, iops float64, trials int) Cell {
	var all []float64
	for b := range trials {
		all = append(all, iops*(1+0.02*float64(b*7%trials-trials/2)/float64(trials)))
		c.Rates = append(c.Rates, Rate{Block: b, IOPS: all[b]})
	}
	s := compare.Summarize(all)
	s.Median = iops
	c.IOPS, c.Trials = &s, trials
	return c
}

func TestACellIsSetApartByTheRanksOfItsTrials(t *testing.T) {
	cell := func(id string, iops float64, trials int) Cell { return measured(Cell{ID: id}, iops, trials) }
	for _, test := range []struct {
		name   string
		trials int
		near   string // of slow, like
		few    bool
	}{
		{"six trials", 6, "like", false},
		{"three trials are too few for any test", 3, "slow like", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newStandings([]workload{{cells: []Cell{cell("fast", 100, test.trials), cell("slow", 50, test.trials),
				cell("like", 99.9, test.trials)}}})
			var near []string
			for _, id := range []string{"slow", "like"} {
				if s.of[id].near() {
					near = append(near, id)
				}
			}
			if got := strings.Join(near, " "); got != test.near {
				t.Errorf("near are %q, want %q: %+v", got, test.near, s)
			}
			if !s.of["fast"].fastest || s.of["fast"].near() || s.pairs != 3 {
				t.Errorf("%+v", s)
			}
			if (s.tooFew() != "") != test.few {
				t.Errorf("too few: %q", s.tooFew())
			}
		})
	}
}

func TestMoreComparisonsMakeStandingsMoreCareful(t *testing.T) {
	one := workload{cells: []Cell{measured(Cell{ID: "fast"}, 100, 4), measured(Cell{ID: "slow"}, 50, 4)}}
	if s := newStandings([]workload{one}); s.of["slow"].near() {
		t.Errorf("half as fast in all of four trials is near: %+v", s)
	}
	groups := []workload{one}
	for _, name := range []string{"b", "c", "d"} {
		groups = append(groups, workload{name: name, cells: []Cell{measured(Cell{ID: "fast" + name}, 100, 4),
			measured(Cell{ID: "slow" + name}, 99.9, 4)}})
	}
	if s := newStandings(groups); !s.of["slow"].near() {
		t.Errorf("four trials cannot be enough for four comparisons: %+v", s)
	}
}

func TestCellsThatAreAlikeAreRarelySetApart(t *testing.T) {
	const runs, cells, trials = 400, 10, 10
	r := rand.New(rand.NewPCG(1, 2))
	wrong := 0
	for range runs {
		var w workload
		for i := range cells {
			c, all := Cell{ID: fmt.Sprint(i), Trials: trials}, []float64(nil)
			for b := range trials {
				all = append(all, 1000*(1+0.05*r.NormFloat64()))
				c.Rates = append(c.Rates, Rate{Block: b, IOPS: all[b]})
			}
			s := compare.Summarize(all)
			c.IOPS = &s
			w.cells = append(w.cells, c)
		}
		s := newStandings([]workload{w})
		if slices.ContainsFunc(w.cells, func(c Cell) bool { return !s.of[c.ID].fastest && !s.of[c.ID].near() }) {
			wrong++
		}
	}
	if got := float64(wrong) / runs; got > 1-compare.Confidence {
		t.Errorf("of ten cells that are alike one is set apart in %.1f %% of runs", 100*got)
	}
}

func TestACellWithFewTrialsDoesNotSpeakForTheOthers(t *testing.T) {
	s := newStandings([]workload{{cells: []Cell{measured(Cell{ID: "fast"}, 100, 6), measured(Cell{ID: "slow"}, 50, 6),
		measured(Cell{ID: "failing"}, 99, 2)}}})
	if s.of["slow"].near() || !s.of["failing"].near() || s.tooFew() != "" {
		t.Errorf("%q: %+v", s.tooFew(), s)
	}
}

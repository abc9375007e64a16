package reports

import (
	"fmt"

	"platter/compare"
	"platter/text"
)

// standing is a cell's place among the cells that do the same work.
type standing struct {
	fastest  bool    // has the highest median of IOPS
	adjusted float64 // p that its IOPS are as the fastest's, by Holm's method over all pairs; 1 for the fastest
}

// near says that the cell is not set apart from the fastest.
func (s standing) near() bool { return !s.fastest && s.adjusted > 1-compare.Confidence }

// standings compare in each workload the trials of the fastest cell with those of each other one.
type standings struct {
	of     map[string]standing // by cell
	pairs  int                 // of cells that do the same work
	trials int                 // of the cell with the most
}

// newStandings compares by a rank test of the trials, not by pairs of a block: among few blocks pairs cannot reach the level that so
// many comparisons leave (2·½ⁿ). What a block does to both its trials makes the test careful, never rash. Any cell might have come out
// fastest: so the family is all pairs of a workload, of which those without the fastest are not tested and take part with 1.
func newStandings(groups []workload) standings {
	s := countStandings(groups)
	s.of = map[string]standing{}
	var ids []string
	var p []float64
	for _, g := range groups {
		best, ok := g.fastest()
		if !ok {
			continue
		}
		s.of[best.ID] = standing{true, 1}
		for _, c := range g.cells {
			if c.ID != best.ID {
				ids, p = append(ids, c.ID), append(p, compare.Unpaired(rates(best), rates(c), compare.Confidence).P)
			}
		}
	}
	for i, adjusted := range compare.HolmAmong(p, s.pairs) {
		s.of[ids[i]] = standing{false, adjusted}
	}
	return s
}

// countStandings counts what newStandings compares, and compares nothing.
func countStandings(groups []workload) standings {
	var s standings
	for _, g := range groups {
		s.pairs += len(g.cells) * (len(g.cells) - 1) / 2
		for _, c := range g.cells {
			s.trials = max(s.trials, c.Trials)
		}
	}
	return s
}

func rates(c Cell) []float64 {
	var all []float64
	for _, r := range c.Rates {
		all = append(all, r.IOPS)
	}
	return all
}

// tooFew returns how many trials a comparison would need, where there are not so many; "" where there are.
func (s standings) tooFew() string {
	needed := compare.NeededRuns(1-compare.Confidence, s.pairs, 1)
	if s.pairs == 0 || s.trials >= needed {
		return ""
	}
	return fmt.Sprintf("%s a cell are too few to set any apart: %d are needed", text.Plural(s.trials, "trial"), needed)
}

// text returns what was compared, for the legend of ≈.
func (s standings) text() string {
	line := fmt.Sprintf("by a rank test of the trials, adjusted over %s of cells (Holm)", text.Plural(s.pairs, "pair"))
	if few := s.tooFew(); few != "" {
		line += "; " + few
	}
	return line
}

package compare

import (
	"errors"
	"fmt"
	"math"

	"platter/results"
)

// Exploration is a look at two runs cell by cell, from which questions come and no verdict: the trials of one run stand for that run
// only, and what differs between two runs of the same thing is in no interval here.
type Exploration struct {
	Cells []CellComparison // in the order of a's matrix, then of Explored
	Tests int              // that were made, over which P was adjusted
	// Warnings say what could not be set side by side.
	Warnings []string
}

// CellComparison is one metric of one cell in two runs.
type CellComparison struct {
	Cell   string
	Metric Metric
	A, B   float64 // medians over the trials; NaN where there is none
	Ratio  Ratio   // of b to a, its interval at Confidence and unadjusted
	// Adjusted is P by Holm's method over all the comparisons of the exploration.
	Adjusted float64
	Missing  string // why it is not compared; empty when it is
}

// Explored are the metrics of an Exploration. Bandwidth is not among them: it is iops times the block size.
var Explored = []Metric{IOPS, "write_p99", "read_p99", "flush_p99"}

// Explore compares the trials of two runs.
func Explore(a, b *results.Run) *Exploration {
	e := new(Exploration)
	ofA, ofB := trialsByCell(a), trialsByCell(b)
	other := map[string]string{}
	for _, c := range b.Manifest.Cells {
		other[c.ID] = c.Excluded
	}
	for _, c := range a.Manifest.Cells {
		excluded, both := other[c.ID]
		delete(other, c.ID)
		switch {
		case !both:
			e.Warnings = append(e.Warnings, "only the first run has the cell "+c.ID)
		case c.Excluded != "" || excluded != "":
			if (c.Excluded == "") != (excluded == "") {
				e.Warnings = append(e.Warnings, fmt.Sprintf("only one run measures the cell %s: %s", c.ID, c.Excluded+excluded))
			}
		default:
			e.cell(c.ID, ofA[c.ID], ofB[c.ID])
		}
	}
	for _, c := range b.Manifest.Cells {
		if _, left := other[c.ID]; left {
			e.Warnings = append(e.Warnings, "only the second run has the cell "+c.ID)
		}
	}
	e.adjust()
	return e
}

func trialsByCell(run *results.Run) map[string][]*results.Trial {
	trials := make(map[string][]*results.Trial, len(run.Manifest.Cells))
	for i := range run.Trials {
		t := &run.Trials[i]
		trials[t.Cell] = append(trials[t.Cell], t)
	}
	return trials
}

func (e *Exploration) cell(id string, a, b []*results.Trial) {
	for _, m := range Explored {
		va, whyA := values(m, a)
		vb, whyB := values(m, b)
		if errors.Is(whyA, ErrNotDone) && errors.Is(whyB, ErrNotDone) {
			continue
		}
		c := CellComparison{Cell: id, Metric: m, A: medianOrNaN(va), B: medianOrNaN(vb), Adjusted: 1}
		switch why := firstError(whyA, whyB); {
		case len(va) == 0 || len(vb) == 0:
			c.Missing = "no trial"
			if why != nil {
				c.Missing = why.Error()
			}
		default:
			c.Ratio = Unpaired(va, vb, Confidence)
			if why != nil {
				c.Ratio.Warnings = append(c.Ratio.Warnings, fmt.Sprintf("%d of %d trials are without a figure: %v", len(a)+len(b)-len(va)-len(vb),
					len(a)+len(b), why))
			}
			e.Tests++
		}
		e.Cells = append(e.Cells, c)
	}
}

// values are those that the metric has, and the first reason why a trial has none.
func values(m Metric, trials []*results.Trial) (found []float64, why error) {
	for _, t := range trials {
		v, err := m.Of(t)
		if err == nil {
			found = append(found, v)
		} else if why == nil {
			why = err
		}
	}
	return found, why
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func medianOrNaN(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	return Median(v)
}

func (e *Exploration) adjust() {
	var p []float64
	for _, c := range e.Cells {
		if c.Missing == "" {
			p = append(p, c.Ratio.P)
		}
	}
	adjusted := Holm(p)
	for i := range e.Cells {
		if e.Cells[i].Missing == "" {
			e.Cells[i].Adjusted, adjusted = adjusted[0], adjusted[1:]
		}
	}
}

package compare

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"

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
var Explored = [...]Metric{IOPS, "write_p99", "read_p99", "flush_p99"}

// Sample is what an Exploration needs of a trial: its figures, without the histograms that they come from.
type Sample struct {
	Cell   string
	Block  int // from 0
	Status string
	values [len(Explored)]float64
	whys   [len(Explored)]error // why there is no value
}

// NewSample returns the sample of a trial, which it does not keep.
func NewSample(t *results.Trial) Sample {
	s := Sample{Cell: t.Cell, Block: t.Block, Status: t.Status}
	for i, m := range Explored {
		s.values[i], s.whys[i] = m.Of(t)
	}
	return s
}

// SampledRun is a run and the samples of its trials, in the order of the journal. Run.Trials may be nil.
type SampledRun struct {
	*results.Run
	Samples []Sample
}

// ReadSamples is results.Read for an Exploration: it takes a tenth of the memory.
func ReadSamples(dir string) (*SampledRun, error) {
	run, samples, err := results.ReadEach(dir, NewSample)
	if err != nil {
		return nil, err
	}
	return &SampledRun{run, samples}, nil
}

// Sampled returns a run that was read with all its trials.
func Sampled(run *results.Run) *SampledRun {
	s := &SampledRun{Run: run}
	for i := range run.Trials {
		s.Samples = append(s.Samples, NewSample(&run.Trials[i]))
	}
	return s
}

// UnlikeFio returns what is to be known before two runs with different versions of fio are compared; empty where the versions are alike
// or a run does not say its own. The versions make another workload of the same job where syncs meet other requests: 3.33 also syncs
// after reads, and before 3.39 more often at depth; from 3.41 on the fsync of libaio is asynchronous (docs/sync-semantics.md has what
// was tried).
func UnlikeFio(a, b *results.Run) string {
	upstream := func(run *results.Run) string {
		version, _, _ := strings.Cut(run.Manifest.Guest.Fio, "-")
		return version
	}
	before, after := upstream(a), upstream(b)
	if before == "" || after == "" || before == after {
		return ""
	}
	concerned := 0
	for _, c := range a.Manifest.Cells {
		mixed := c.RW() == "rw" || c.RW() == "readwrite" || c.RW() == "randrw"
		if c.Excluded == "" && (c.Fsync() > 0 || c.Fdatasync() > 0) && (c.IODepth() > 1 || mixed) {
			concerned++
		}
	}
	return fmt.Sprintf("fio %s here and fio %s there sync at other times where requests overlap or reads are among them, and count it "+
		"differently: %d of %d cells are such", before, after, concerned, len(a.Manifest.Cells))
}

// Explore compares the trials of two runs.
func Explore(a, b *SampledRun) *Exploration {
	e := new(Exploration)
	ofA, ofB := a.byCell(), b.byCell()
	other := map[string]string{}
	for _, c := range b.Manifest.Cells {
		other[c.ID] = c.Excluded
	}
	var ids []string
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
			ids = append(ids, c.ID)
		}
	}
	compared := make([][]CellComparison, len(ids))
	var comparing sync.WaitGroup
	processors := runtime.GOMAXPROCS(0)
	for first := range processors {
		comparing.Go(func() {
			for i := first; i < len(ids); i += processors {
				compared[i] = compareCell(ids[i], ofA[ids[i]], ofB[ids[i]])
			}
		})
	}
	comparing.Wait()
	e.Cells = slices.Concat(compared...)
	for _, c := range b.Manifest.Cells {
		if _, left := other[c.ID]; left {
			e.Warnings = append(e.Warnings, "only the second run has the cell "+c.ID)
		}
	}
	if warning := UnlikeFio(a.Run, b.Run); warning != "" {
		e.Warnings = append(e.Warnings, warning)
	}
	e.adjust()
	return e
}

func (r *SampledRun) byCell() map[string][]*Sample {
	samples := make(map[string][]*Sample, len(r.Manifest.Cells))
	for i := range r.Samples {
		s := &r.Samples[i]
		samples[s.Cell] = append(samples[s.Cell], s)
	}
	return samples
}

func compareCell(id string, a, b []*Sample) []CellComparison {
	var all []CellComparison
	for i, m := range Explored {
		va, whyA := values(i, a)
		vb, whyB := values(i, b)
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
		}
		all = append(all, c)
	}
	return all
}

// values are those that the metric at an index of Explored has, and the first reason why a trial has none.
func values(metric int, samples []*Sample) (found []float64, why error) {
	for _, s := range samples {
		if s.whys[metric] == nil {
			found = append(found, s.values[metric])
		} else if why == nil {
			why = s.whys[metric]
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
	e.Tests = len(p)
	adjusted := Holm(p)
	for i := range e.Cells {
		if e.Cells[i].Missing == "" {
			e.Cells[i].Adjusted, adjusted = adjusted[0], adjusted[1:]
		}
	}
}

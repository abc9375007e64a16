package gate

import (
	"maps"
	"slices"

	"platter/compare"
	"platter/policy"
)

// CellResult is one metric of one cell: an exploration, from which no outcome comes. Its level is compare.Confidence.
type CellResult struct {
	Cell   string `json:"cell"` // without the side
	Metric string `json:"metric"`
	// Before and After are medians over blocks, or over runs; absent where nothing was measured.
	Before *float64 `json:"before,omitempty"`
	After  *float64 `json:"after,omitempty"`
	Ratio  *float64 `json:"ratio,omitempty"` // after/before
	Lo     *float64 `json:"lo,omitempty"`
	Hi     *float64 `json:"hi,omitempty"`
	Worse  *float64 `json:"worse,omitempty"`
	P      *float64 `json:"p,omitempty"`
	// Adjusted is P by Holm's method over these explorations, apart from the rules; iops and bw count once.
	Adjusted *float64 `json:"p_adjusted,omitempty"`
	// Failed says that a rule over this cell failed and this cell is beyond its limit, or none of its cells is.
	Failed bool `json:"failed"`
	// Error says what the rig did not do; Skipped why the cell cannot be measured at all.
	Error   string `json:"error,omitempty"`
	Skipped string `json:"skipped,omitempty"`
	// Rules are the indices of the rules that are about it.
	Rules    []int    `json:"-"`
	Warnings []string `json:"warnings,omitempty"`
}

// explore looks at each cell and metric that a rule is about.
func (j *judge) explore() {
	at := map[[2]string]int{}
	for i, rule := range j.policy.Performance.Rules {
		m := compare.Metric(rule.Metric)
		if !m.Known() {
			continue
		}
		for _, p := range j.pairs {
			if !matches(p, rule) {
				continue
			}
			key := [2]string{p.name, rule.Metric}
			k, known := at[key]
			if !known {
				k = len(j.v.Cells)
				at[key] = k
				j.v.Cells = append(j.v.Cells, j.cell(p, m))
			}
			j.v.Cells[k].Rules = append(j.v.Cells[k].Rules, i)
		}
	}
	j.adjustCells(at)
	j.blame()
}

func matches(p cellPair, rule policy.Rule) bool {
	for name, value := range rule.Cells {
		if p.axes.Text(name) != value {
			return false
		}
	}
	return true
}

// cell compares a cell by itself.
func (j *judge) cell(p cellPair, m compare.Metric) CellResult {
	c := CellResult{Cell: p.name, Metric: string(m)}
	if p.before.Excluded != "" || p.after.Excluded != "" {
		c.Skipped = p.before.Excluded
		if c.Skipped == "" {
			c.Skipped = p.after.Excluded
		}
		return c
	}
	before, notDone, why := cellValues(j.baseline, m, p.before.ID)
	after, notDoneAfter, whyAfter := cellValues(j.candidate, m, p.after.ID)
	switch {
	case notDone && notDoneAfter:
		c.Skipped = "nothing of the kind was done"
		return c
	case why != "" || whyAfter != "":
		if c.Error = why; why == "" {
			c.Error = whyAfter
		}
	}
	c.Before, c.After = median(before), median(after)
	if c.Before == nil || c.After == nil {
		if c.Error == "" {
			c.Error = "there is no trial"
		}
		return c
	}
	var ratio compare.Ratio
	if j.v.Paired {
		ratio = compare.Grouped([]compare.Pair{{Cell: p.name, Before: before[0], After: after[0]}}, compare.Confidence)
	} else {
		ratio = compare.Unpaired(perRun(before), perRun(after), compare.Confidence)
	}
	c.take(m, ratio)
	return c
}

// cellValues are a metric's values in each run by block, whether nothing of the kind was done in any, and what is wrong.
func cellValues(side []*view, m compare.Metric, cell string) (values []map[int]float64, notDone bool, why string) {
	notDone = len(side) > 0
	for _, v := range side {
		s := v.series(m, cell)
		notDone = notDone && s.notDone
		if s.problem != "" {
			why = s.problem
		}
		if len(s.values) > 0 {
			values = append(values, s.values)
		}
	}
	return values, notDone, why
}

// perRun are the medians of several runs, or the trials of one: then the comparison is of trials, which the texts say.
func perRun(runs []map[int]float64) []float64 {
	if len(runs) == 1 {
		return slices.Collect(maps.Values(runs[0]))
	}
	var medians []float64
	for _, values := range runs {
		medians = append(medians, compare.Median(slices.Collect(maps.Values(values))))
	}
	return medians
}

func median(runs []map[int]float64) *float64 {
	if len(runs) == 0 {
		return nil
	}
	m := compare.Median(perRun(runs))
	return &m
}

func (c *CellResult) take(m compare.Metric, ratio compare.Ratio) {
	c.Warnings = ratio.Warnings
	if ratio.N == 0 || ratio.Estimate != ratio.Estimate {
		return
	}
	w := worse(m, ratio.Estimate)
	c.Ratio, c.Worse, c.P = &ratio.Estimate, &w, &ratio.P
	if ratio.Bounded() {
		c.Lo, c.Hi = &ratio.Lo, &ratio.Hi
	}
}

// adjustCells adjusts over all cells and metrics; where iops and bw are both there, bw has the place of iops.
func (j *judge) adjustCells(at map[[2]string]int) {
	var p []float64
	var of []*CellResult
	for i := range j.v.Cells {
		c := &j.v.Cells[i]
		if _, both := at[[2]string{c.Cell, string(compare.IOPS)}]; c.P != nil && !(both && c.Metric == string(compare.BW)) {
			p, of = append(p, *c.P), append(of, c)
		}
	}
	for i, a := range compare.Holm(p) {
		of[i].Adjusted = &a
	}
	for i := range j.v.Cells {
		if c := &j.v.Cells[i]; c.P != nil && c.Adjusted == nil {
			c.Adjusted = j.v.Cells[at[[2]string{c.Cell, string(compare.IOPS)}]].Adjusted
		}
	}
}

// blame marks the cells of a failed rule that are beyond its limit by themselves; if none is, all of them.
func (j *judge) blame() {
	for i, rule := range j.v.Rules {
		if rule.Outcome != Fail {
			continue
		}
		some := false
		for pass := range 2 {
			for k := range j.v.Cells {
				c := &j.v.Cells[k]
				if !slices.Contains(c.Rules, i) || c.Worse == nil {
					continue
				}
				if *c.Worse > rule.Allowed || pass == 1 && !some {
					c.Failed, some = true, some || pass == 0
				}
			}
		}
	}
}

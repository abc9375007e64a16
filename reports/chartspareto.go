package reports

import (
	"cmp"
	"fmt"

	"platter/results"
)

// addFronts finds for each metric of speed and each question the cells on the Pareto front.
func (d *viewData) addFronts(m *Model) {
	if len(d.Questions) == 0 {
		return
	}
	d.Fronts = map[string][][]int{}
	for i, metric := range d.Metrics {
		if metric.Safe {
			continue
		}
		for q := range d.Questions {
			d.Fronts[fmt.Sprint(i)] = append(d.Fronts[fmt.Sprint(i)], d.front(i, q))
		}
	}
}

// front returns the cells that no other cell of their workload beats: none is at least as fast and as safe, and better in one of the two.
// Medians alone decide.
func (d *viewData) front(metric, question int) []int {
	type candidate struct {
		cell  int
		speed float64 // more is better
		loss  *viewLoss
	}
	groups := make([][]candidate, len(d.Works))
	for i, c := range d.Cells {
		f, loss := c.Metrics[metric], c.Losses[question]
		if f == nil || loss == nil {
			continue
		}
		speed := f.Value
		if !d.Metrics[metric].More {
			speed = -speed
		}
		groups[c.Work] = append(groups[c.Work], candidate{i, speed, loss})
	}
	front := []int{}
	for _, group := range groups {
		for _, x := range group {
			beaten := false
			for _, y := range group {
				safer := compareLosses(y.loss, x.loss)
				beaten = beaten || y.speed >= x.speed && safer <= 0 && (y.speed > x.speed || safer < 0)
			}
			if !beaten {
				front = append(front, x.cell)
			}
		}
	}
	return front
}

// compareLosses orders by promises lost, then by exposure (docs/SAFETY.md). What is exposed since a campaign's start is exposed
// without limit: how long the campaign was orders nothing.
func compareLosses(a, b *viewLoss) int {
	loses := func(l *viewLoss) int {
		if l.Verdict == results.Loses {
			return 1
		}
		return 0
	}
	endless := func(l *viewLoss) int {
		if l.Least {
			return 1
		}
		return 0
	}
	if c := cmp.Or(loses(a)-loses(b), cmp.Compare(a.Lost, b.Lost), endless(a)-endless(b)); c != 0 || a.Least {
		return c
	}
	return cmp.Or(cmp.Compare(a.MS, b.MS), cmp.Compare(a.writes, b.writes))
}

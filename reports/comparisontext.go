package reports

import (
	"fmt"
	"io"
	"strings"
)

// Text writes a comparison for the terminal, in at most 80 columns unless a cell's id is longer.
func (c *Comparison) Text(w io.Writer) error {
	p := &printer{w: w}
	for _, b := range c.SharedBanners() {
		p.wrapped("! ", b)
	}
	for _, r := range c.Runs {
		p.wrapped(r.Mark+"  ", fmt.Sprintf("%s: %d trials, %s, host %s, %s", r.Dir, r.Trials, r.Started.UTC().Format("2006-01-02 15:04"), r.Host, r.Accel))
		for _, b := range c.OwnBanners(r) {
			p.wrapped("   ! ", b)
		}
	}
	if len(c.Differences) > 0 {
		p.linef("\nwhat differs:")
	}
	for _, d := range c.Differences {
		var values []string
		for i, v := range d.Values {
			values = append(values, c.Runs[i].Mark+" "+orAbsent(v != "", cutTo(v, maxWidth)))
		}
		p.wrapped("  ", d.Name+": "+strings.Join(values, ", "))
	}
	p.linef("")
	p.wrapped("", c.ExploratoryText())
	for _, s := range c.Sides {
		s.text(p, c.Runs[0].Mark)
	}
	p.linef("")
	p.wrapped("* ", c.DifferentText())
	for _, s := range c.Sides {
		for _, text := range s.AllWarnings() {
			p.wrapped("warning: ", text)
		}
	}
	return p.err
}

// text writes a side: a line for each comparison under its cell's id, then the verdicts that changed.
func (s ComparedSide) text(p *printer, first string) {
	mark := s.Run.Mark
	p.linef("\n%-12s %12s %12s  %-25s %8s", "", first, mark, mark+"/"+first+" (95 %)", "p adj.")
	cell := ""
	for _, r := range s.Rows() {
		if r.Cell != cell {
			cell = r.Cell
			p.linef("%s", cell)
		}
		if r.Missing != "" {
			p.linef("  %-10s %s", r.Metric, cutTo(r.Missing, 66))
			continue
		}
		star := ""
		if r.Differs {
			star = " *"
		}
		p.linef("  %-10s %12s %12s  %-25s %8s%s", r.Metric, r.A, r.B, r.Ratio, r.Adjusted, star)
	}
	text := s.SafetyText()
	if text == "" {
		return
	}
	p.linef("\nsafety, %s against %s: %s", mark, first, text)
	for _, c := range s.Safety {
		p.wrapped("  ", fmt.Sprintf("%s, %s: %s → %s", c.Cell, c.Question, c.Before, c.After))
	}
}

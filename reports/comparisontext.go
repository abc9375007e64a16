package reports

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"strings"

	"platter/text"
)

// Text writes a comparison for the terminal, in at most 80 columns unless a cell's id is longer.
func (c *Comparison) Text(w io.Writer) error {
	out := bufio.NewWriter(w)
	p := &text.Printer{W: out}
	for _, b := range c.SharedBanners() {
		p.Item("! ", b)
	}
	for _, r := range c.Runs {
		p.Item(r.Mark+"  ", fmt.Sprintf("%s: %d trials, %s, host %s, %s", r.Dir, r.Trials, r.Started.UTC().Format("2006-01-02 15:04"), r.Host,
			r.Accel))
		for _, b := range c.OwnBanners(r) {
			p.Item("   ! ", b)
		}
	}
	if len(c.Differences) > 0 {
		p.Linef("\nwhat differs:")
	}
	for _, d := range c.Differences {
		var values []string
		for i, v := range d.Values {
			values = append(values, c.Runs[i].Mark+" "+orAbsent(v != "", cutTo(v, text.Columns)))
		}
		p.Item("  ", d.Name+": "+strings.Join(values, ", "))
	}
	p.Linef("")
	p.Item("", c.ExploratoryText())
	for _, s := range c.Sides {
		s.text(p, c.Runs[0].Mark)
	}
	p.Linef("")
	p.Item("* ", c.DifferentText())
	for _, s := range c.Sides {
		for _, line := range s.AllWarnings() {
			p.Item("warning: ", line)
		}
	}
	return cmp.Or(p.Err, out.Flush())
}

// text writes a side: a line for each comparison under its cell's id, then the verdicts that changed.
func (s ComparedSide) text(p *text.Printer, first string) {
	mark := s.Run.Mark
	columns := []text.Column{{Width: 11}, {Name: first, Right: true, Width: 12}, {Name: mark, Right: true, Width: 11},
		{Name: mark + "/" + first + " (95 %)", Width: 25}, {Name: "p adj.  ", Right: true, Width: 9}}
	compared := s.Rows()
	var rows [][]string
	for _, r := range compared {
		star := "  "
		if r.Differs {
			star = " *"
		}
		rows = append(rows, []string{"  " + r.Metric, r.A, r.B, r.Ratio, r.Adjusted + star})
	}
	lines, err := text.Table(columns, rows)
	if err != nil {
		p.Err = cmp.Or(p.Err, err)
		return
	}
	p.Linef("\n%s", lines[0])
	cell := ""
	for i, r := range compared {
		if r.Cell != cell {
			cell = r.Cell
			p.Linef("%s", cell)
		}
		if r.Missing == "" {
			p.Linef("%s", lines[1+i])
		} else {
			p.Linef("  %-10s %s", r.Metric, cutTo(r.Missing, 66))
		}
	}
	line := s.SafetyText()
	if line == "" {
		return
	}
	p.Linef("\nsafety, %s against %s: %s", mark, first, line)
	for _, c := range s.Safety {
		p.Item("  ", fmt.Sprintf("%s, %s: %s → %s", c.Cell, c.Question, c.Before, c.After))
	}
}

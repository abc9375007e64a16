package reports

import (
	"fmt"
	"slices"
	"strings"

	"platter/cell"
	"platter/claims"
	"platter/text"
)

// maxSurprises is how many surprises and failures the terminal spells out.
const maxSurprises = 8

// safetyTable writes what the cells lose beside how fast they are, and what the verdicts rest on. Nothing for a run without.
func safetyTable(p *text.Printer, m *Model) error {
	s := m.Safety
	if len(s.Rows) == 0 {
		return nil
	}
	p.Linef("\nsafety:")
	columns := merged(s, m.Cells)
	for len(columns) > 0 {
		taken, shown, err := widestTable(m, columns)
		if err != nil {
			return err
		}
		columns = columns[taken:]
		p.Linef("")
		for line := range strings.Lines(shown) {
			p.Linef("%s", strings.TrimRight(line, " \n"))
		}
	}
	p.Linef("")
	p.Item("", legendText)
	if few := s.FewText(); few != "" {
		p.Item("", few)
	}
	some(p, "≠ ", s.Surprises())
	some(p, "", s.Unseen())
	some(p, "x ", s.Invalids())
	if len(m.ByHypervisor.Rows) == 0 { // else they stand with each hypervisor
		p.Item("", "controls, which must lose: "+s.ControlsText())
	}
	p.Item("", pointsText(s))
	if shown := s.CutsText(); shown != "" {
		p.Item("", "real: "+shown)
	}
	p.Item("", "simulated: "+simulatedText)
	return nil
}

// some writes the first lines of many.
func some(p *text.Printer, mark string, lines []string) {
	for _, line := range lines[:min(len(lines), maxSurprises)] {
		p.Item(mark, line)
	}
	if more := len(lines) - maxSurprises; more > 0 {
		p.Item(mark, fmt.Sprintf("and %d more: platter show --json has them", more))
	}
}

// verdictColumn is what the cells answer to one question, or to several to which all of them answer alike.
type verdictColumn struct {
	first cell.Question
	names []string
	texts []string // by cell
}

// merged returns the columns of the questions. Questions with one answer throughout share a column.
func merged(s Safety, cells []Cell) []verdictColumn {
	var columns []verdictColumn
	for _, q := range s.Questions {
		var texts []string
		for _, c := range cells {
			texts = append(texts, s.Verdict(c.ID, q))
		}
		i := slices.IndexFunc(columns, func(v verdictColumn) bool { return slices.Equal(v.texts, texts) })
		if i < 0 {
			i = len(columns)
			columns = append(columns, verdictColumn{first: q, texts: texts})
		}
		if name := q.String(); !slices.Contains(columns[i].names, name) {
			columns[i].names = append(columns[i].names, name)
		}
	}
	return columns
}

// widestTable draws as many of the columns as fit, at least one, and says how many. Leading axes become headings where not even
// half of what is left would fit.
func widestTable(m *Model, columns []verdictColumn) (taken int, line string, err error) {
	for headed := 0; ; headed++ {
		for n := len(columns); n > 0; n-- {
			lines, err := safetyLines(m, columns[:n], headed)
			if err != nil {
				return 0, "", err
			}
			last := headed+1 >= len(m.Manifest.Axes)
			if widest(lines) <= text.Columns && (last || 2*n >= len(columns)) || last && n == 1 {
				return n, withHeadings(m, lines, len(lines)-len(m.Cells), headed), nil
			}
		}
	}
}

func safetyLines(m *Model, columns []verdictColumn, headed int) ([]string, error) {
	table := append(axisColumns(m)[headed:], text.Column{Name: "IOPS", Right: true})
	for _, v := range columns {
		table = append(table, text.Column{Name: strings.Join(v.names, ",\n")})
	}
	var rows [][]string
	for i, c := range m.Cells {
		var row []string
		for _, a := range c.Axes[headed:] {
			row = append(row, a.Value.String())
		}
		row = append(row, iops(c.IOPS))
		for _, v := range columns {
			row = append(row, v.texts[i])
		}
		rows = append(rows, row)
	}
	return text.Table(table, rows)
}

// maxClaimFigures is how many figures of a claim the terminal and Markdown show.
const maxClaimFigures = 3

// claimLines writes each claim with its outcome first, and the figures that decide.
func claimLines(p *text.Printer, all []claims.Claim) {
	if len(all) == 0 {
		return
	}
	p.Linef("\nclaims:")
	for _, c := range all {
		p.Item("", string(c.Outcome)+": "+c.Text)
		for _, f := range decidingFigures(c) {
			p.Item("  ", f)
		}
	}
}

// decidingFigures returns the first figures of a claim, and before them why it is undecided, where it is.
func decidingFigures(c claims.Claim) []string {
	figures := c.Figures
	if c.Why != "" {
		figures = append([]string{c.Why}, slices.DeleteFunc(slices.Clone(figures), func(f string) bool { return strings.HasPrefix(c.Why, f) })...)
	}
	return figures[:min(len(figures), maxClaimFigures)]
}

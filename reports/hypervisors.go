package reports

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"platter/cell"
	"platter/results"
	"platter/text"
)

// HypervisorLosses are the promises that the cells of a run lose on each of its hypervisors, side by side. The zero value is a run on
// one, or without crash campaigns.
type HypervisorLosses struct {
	Hypervisors []results.Hypervisor // in the order of the run
	Rows        []LossRow
	Rests       []string        // what the figures rest on, a line for each hypervisor
	over        []cell.Question // that the figures are the worst of
}

// LossRow is one workload on one disk, on each hypervisor.
type LossRow struct {
	Axes  cell.Settings // without the hypervisor's
	Cells []*SafetyRow  // by hypervisor: what takes most there; nil where nothing was judged
}

// Losses are the row's verdicts for people, by hypervisor.
func (r LossRow) Losses() []loss {
	var all []loss
	for _, c := range r.Cells {
		all = append(all, newLoss(lossText(c), c))
	}
	return all
}

// Axes are the names of the rows' axes.
func (l HypervisorLosses) Axes() []string {
	var names []string
	for _, a := range l.Rows[0].Axes {
		names = append(names, a.Name)
	}
	return names
}

// newHypervisorLosses sets the safety records of a run side by side.
func newHypervisorLosses(m *Model) HypervisorLosses {
	if len(m.Manifest.Hypervisors) < 2 || len(m.Safety.Rows) == 0 {
		return HypervisorLosses{}
	}
	l := HypervisorLosses{Hypervisors: m.Manifest.Hypervisors, over: m.Safety.Questions}
	for _, c := range m.Manifest.Cells {
		if c.Excluded != "" {
			continue
		}
		axes := slices.DeleteFunc(slices.Clone(c.Axes), func(s cell.Setting) bool { return cell.RunsGuest(s.Name) })
		i := slices.IndexFunc(l.Rows, func(r LossRow) bool { return r.Axes.String() == axes.String() })
		if i < 0 {
			i = len(l.Rows)
			l.Rows = append(l.Rows, LossRow{axes, make([]*SafetyRow, len(l.Hypervisors))})
		}
		if on := slices.Index(l.Hypervisors, m.Manifest.HypervisorOf(c)); on >= 0 {
			l.Rows[i].Cells[on] = m.Safety.worst(c.ID)
		}
	}
	l.Rests = l.rests(m)
	return l
}

// worst returns the record of a cell that takes most promises, at most crash points; nil without any.
func (s Safety) worst(id string) *SafetyRow {
	var worst *SafetyRow
	for _, q := range s.Questions {
		if r := s.row(id, q); r != nil && (worst == nil || worse(r, worst) > 0) {
			worst = r
		}
	}
	return worst
}

// worse orders records: a loss is a fact, and one that is no verdict is worse than one that kept all, for nothing is known.
func worse(a, b *SafetyRow) int {
	unknown := func(r *SafetyRow) int {
		if r.Status != results.OK || r.Safety.Verdict == results.Invalid {
			return 1
		}
		return 0
	}
	loses := func(r *SafetyRow) int {
		if r.Safety.Verdict == results.Loses {
			return 1
		}
		return 0
	}
	return cmp.Or(loses(a)-loses(b), unknown(a)-unknown(b), cmp.Compare(a.PromisesLost, b.PromisesLost),
		cmp.Compare(a.PointsLost, b.PointsLost))
}

// lossText returns "3/4 406 at 327": of the promises those that are gone at the worst crash point, and at how many crash points any is; its
// verdict where that is none of promises.
func lossText(r *SafetyRow) string {
	switch {
	case r == nil:
		return "not judged"
	case r.Status == results.OK && r.Safety.Verdict == results.Safe:
		return "0/" + text.Count(r.Promises)
	case r.Status == results.OK && r.Safety.Verdict == results.Loses && r.PromisesLost > 0:
		return fmt.Sprintf("%s/%s at %s", text.Count(r.PromisesLost), text.Count(r.Promises), text.Count(r.PointsLost))
	}
	return r.verdict()
}

// rests returns what the figures rest on: the crash points judged and what the controls lost, a line for each hypervisor.
func (l HypervisorLosses) rests(m *Model) []string {
	points := make([]int64, len(l.Hypervisors))
	controls := make([][]results.Control, len(l.Hypervisors))
	for _, c := range m.Manifest.Cells {
		on := slices.Index(l.Hypervisors, m.Manifest.HypervisorOf(c))
		for _, q := range m.Safety.Questions {
			r := m.Safety.row(c.ID, q)
			if r == nil || on < 0 {
				continue
			}
			points[on] += r.CrashPoints
			for _, made := range r.Controls {
				if !slices.Contains(controls[on], made) {
					controls[on] = append(controls[on], made)
				}
			}
		}
	}
	var lines []string
	for i, h := range l.Hypervisors {
		lines = append(lines, fmt.Sprintf("%s: %s crash points judged; controls, which must lose: %s", h, text.Count(points[i]),
			Safety{Controls: controls[i]}.ControlsText()))
	}
	return lines
}

// Legend explains the figures.
func (l HypervisorLosses) Legend() string {
	var names []string
	for _, q := range l.over {
		if name := q.String(); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	of := names[0]
	if len(names) > 1 {
		of = "the worst of " + strings.Join(names, ", ")
	}
	return "a/b at c: of b promised writes a are gone at the worst crash point, and at c crash points any is; " + of
}

// Columns are the names of the hypervisors with their versions.
func (l HypervisorLosses) Columns() []string {
	var names []string
	for _, h := range l.Hypervisors {
		name := h.Name + "\nQEMU " + h.QEMU
		if h.Emulator != "" {
			name = h.Name + "\n" + h.Emulator + "\nQEMU " + h.QEMU
		}
		names = append(names, name)
	}
	return names
}

// Differences say which workloads lose promises on some hypervisors and not on others, a line for each set of those that lose.
func (l HypervisorLosses) Differences() []string {
	type group struct{ lose, keep, rows []string }
	var groups []*group
	for _, row := range l.Rows {
		g := group{}
		for i, r := range row.Cells {
			name := fmt.Sprintf("%s (QEMU %s)", l.Hypervisors[i].Name, l.Hypervisors[i].QEMU)
			switch {
			case r == nil || r.Status != results.OK:
			case r.Safety.Verdict == results.Loses:
				g.lose = append(g.lose, name)
			case r.Safety.Verdict == results.Safe:
				g.keep = append(g.keep, name)
			}
		}
		if len(g.lose) == 0 || len(g.keep) == 0 {
			continue
		}
		i := slices.IndexFunc(groups, func(o *group) bool { return slices.Equal(o.lose, g.lose) && slices.Equal(o.keep, g.keep) })
		if i < 0 {
			i = len(groups)
			groups = append(groups, &g)
		}
		groups[i].rows = append(groups[i].rows, cmp.Or(labelOf(row.Axes), "the only cell"))
	}
	var lines []string
	for _, g := range groups {
		lines = append(lines, fmt.Sprintf("promises are lost on %s and kept on %s: %s", strings.Join(g.lose, ", "), strings.Join(g.keep, ", "),
			strings.Join(g.rows, "; ")))
	}
	return lines
}

// table returns the columns and rows, without the first headed axes.
func (l HypervisorLosses) table(headed int) ([]text.Column, [][]string) {
	var columns []text.Column
	for _, a := range l.Rows[0].Axes[headed:] {
		columns = append(columns, text.Column{Name: short(a.Name)})
	}
	for _, name := range l.Columns() {
		columns = append(columns, text.Column{Name: name, Right: true})
	}
	var rows [][]string
	for _, r := range l.Rows {
		var row []string
		for _, a := range r.Axes[headed:] {
			row = append(row, a.Value.String())
		}
		for _, c := range r.Cells {
			row = append(row, lossText(c))
		}
		rows = append(rows, row)
	}
	return columns, rows
}

// hypervisorTable writes the promises lost on each hypervisor. Nothing for a run on one.
func hypervisorTable(p *text.Printer, m *Model) error {
	l := m.ByHypervisor
	if len(l.Rows) == 0 {
		return nil
	}
	for headed := 0; ; headed++ {
		columns, rows := l.table(headed)
		lines, err := text.Table(columns, rows)
		if err != nil {
			return err
		}
		if widest(lines) > text.Columns && headed+1 < len(l.Rows[0].Axes) {
			continue
		}
		p.Linef("\npromises lost on each hypervisor:\n")
		header, heading := len(lines)-len(rows), ""
		for i, line := range lines {
			if i >= header {
				if now := labelOf(l.Rows[i-header].Axes[:headed]); now != heading {
					heading = now
					p.Linef("\n%s", heading)
				}
			}
			p.Linef("%s", strings.TrimRight(line, " "))
		}
		break
	}
	p.Linef("")
	p.Item("", l.Legend())
	for _, line := range l.Differences() {
		p.Item("≠ ", line)
	}
	for _, line := range l.Rests {
		p.Item("", line)
	}
	return nil
}

// markdownHypervisors adds the same to Markdown.
func markdownHypervisors(d *text.Markdown, m *Model) {
	l := m.ByHypervisor
	if len(l.Rows) == 0 {
		return
	}
	d.Linef("### Promises lost on each hypervisor\n")
	columns, rows := l.table(0)
	for i := range columns {
		columns[i].Name = strings.ReplaceAll(columns[i].Name, "\n", ", ")
	}
	d.Table(columns, rows)
	d.Linef("%s\n", text.EscapeMarkdown(l.Legend()))
	for _, line := range slices.Concat(l.Differences(), l.Rests) {
		d.Linef("- %s", text.EscapeMarkdown(line))
	}
	d.Linef("")
}

// hypervisorLines names the hypervisors of a run whose cells name any, with what is known of each. None of other runs.
func hypervisorLines(m *Model) []string {
	var lines []string
	for _, h := range m.Manifest.Hypervisors {
		lines = append(lines, h.String()+", "+h.Accel)
	}
	return lines
}

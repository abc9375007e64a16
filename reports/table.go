package reports

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"platter/results"
	"platter/text"
)

// absent stands where a figure was not measured.
const absent = "–"

// maxGuardCells is how many cells a warning names before it only counts them.
const maxGuardCells = 3

// Table writes a run for the terminal, in lines of at most 80 columns as long as the axis values are short: banners and
// warnings first, then a row a cell.
func Table(w io.Writer, m *Model) error {
	p := &text.Printer{W: w}
	for _, b := range m.Banners {
		p.Item("! ", b)
	}
	for _, x := range m.Warnings {
		p.Item("! ", warningText(x, len(m.Cells)))
	}
	for _, f := range groupFailures(m.Failures) {
		p.Item("x ", fmt.Sprintf("%s: %s (%s)", f.Cell, f.Message, text.Plural(f.count, "trial")))
	}
	p.Linef("")
	shown, err := cellTable(m)
	if err != nil {
		return err
	}
	for line := range strings.Lines(shown) {
		p.Linef("%s", strings.TrimRight(line, " \n"))
	}
	p.Linef("\nflushes: fio's sync calls → guest's block device → QEMU, per 100 writes")
	if slices.ContainsFunc(m.Cells, func(c Cell) bool { return c.FlushPath.IncludesRamp }) {
		p.Linef("(guest and QEMU counted during fio's ramp too, fio did not)")
	}
	if slices.ContainsFunc(m.Cells, func(c Cell) bool { return c.FlushPath.FioDsyncWrites != nil }) {
		p.Linef("(100s+0: 100 writes with O_DSYNC or O_SYNC and no sync call)")
	}
	if len(m.Excluded) > 0 {
		p.Linef("\nexcluded:")
	}
	for _, c := range m.Excluded {
		p.Item("  ", c.ID+": "+c.Excluded)
	}
	if err := safetyTable(p, m); err != nil {
		return err
	}
	if err := hypervisorTable(p, m); err != nil {
		return err
	}
	claimLines(p, m.Safety.Claims)
	if lines := hypervisorLines(m); len(lines) > 0 {
		p.Linef("")
		p.Item("", "hypervisors: "+strings.Join(lines, "; "))
	}
	p.Linef("")
	for _, a := range m.Answer {
		p.Item("", a)
	}
	if s := m.Phases; s.WallS > 0 {
		switching := ""
		if s.SwitchS > 0 {
			switching = fmt.Sprintf("switching hypervisors %.0f (%s, %.1f s each), ", s.SwitchS, text.Plural(m.Switches, "time"),
				s.SwitchS/float64(m.Switches))
		}
		p.Item("", fmt.Sprintf("Wall time of the trials %.0f s: boot %.0f, "+switching+
			"fill %.0f, attach %.0f, prepare %.0f, ramp %.0f, measuring %.0f, "+
			"collect %.0f; %.0f %% of the time after boot spent measuring.",
			s.WallS, s.BootS, s.PrefillS, s.AttachS, s.PrepareS, s.RampS, s.MeasureS, s.CollectS, 100*s.MeasuringShare))
	}
	return p.Err
}

// failureGroup is failures of one cell with one message.
type failureGroup struct {
	Failure
	count int
}

func groupFailures(all []Failure) []failureGroup {
	var groups []failureGroup
	for _, f := range all {
		i := slices.IndexFunc(groups, func(g failureGroup) bool { return g.Cell == f.Cell && g.Message == f.Message })
		if i < 0 {
			i = len(groups)
			groups = append(groups, failureGroup{Failure: f})
		}
		groups[i].count++
	}
	return groups
}

// warningText names the cells that a warning concerns, or counts them.
func warningText(x Warning, cells int) string {
	where := strings.Join(x.Cells, "; ")
	if len(x.Cells) == cells {
		where = "all cells"
	} else if len(x.Cells) > maxGuardCells {
		where = fmt.Sprintf("%d of %d cells", len(x.Cells), cells)
	}
	if len(x.Cells) == 0 {
		return x.Message
	}
	return fmt.Sprintf("%s (%s, %s)", x.Message, text.Plural(x.Trials, "trial"), where)
}

// cellTable draws the table itself. Numbers stand right, with their unit in them. Where it would be wider than text.Columns,
// leading axes become headings above the rows that share their values, as many as it takes.
func cellTable(m *Model) (string, error) {
	for headed := 0; ; headed++ {
		lines, err := cellLines(m, headed)
		if err != nil {
			return "", err
		}
		if widest(lines) > text.Columns && headed+1 < len(m.Manifest.Axes) {
			continue
		}
		return withHeadings(m, lines, 1, headed), nil
	}
}

func widest(lines []string) int {
	n := 0
	for _, l := range lines {
		n = max(n, utf8.RuneCountInString(l))
	}
	return n
}

// withHeadings puts the values of the first headed axes above the rows that share them. The first lines are the header.
func withHeadings(m *Model, lines []string, header, headed int) string {
	var b strings.Builder
	for _, l := range lines[:header] {
		fmt.Fprintln(&b, l)
	}
	heading := ""
	for i, c := range m.Cells {
		if now := labelOf(c.Axes[:headed]); now != heading {
			heading = now
			fmt.Fprintf(&b, "\n%s\n", heading)
		}
		fmt.Fprintln(&b, lines[header+i])
	}
	return b.String()
}

// cellLines returns the header and a line for each cell, without the first headed axes. An interval has no brackets here: the terminal is
// narrow; where no cell has one there is no column.
func cellLines(m *Model, headed int) ([]string, error) {
	columns := without(cellColumns(m), "failed", "bandwidth")
	at := slices.IndexFunc(columns, func(c cellColumn) bool { return c.name == "95 % interval" })
	columns[at].text = func(c Cell) string {
		if c.IOPS == nil || !c.IOPS.Bounded() {
			return absent
		}
		return text.Number(c.IOPS.Lo) + "–" + text.Number(c.IOPS.Hi)
	}
	if !slices.ContainsFunc(m.Cells, func(c Cell) bool { return c.IOPS != nil && c.IOPS.Bounded() }) {
		columns = slices.Delete(columns, at, at+1)
	}
	return text.Table(cellRows(m, headed, columns))
}

// flushText returns a cell's measured flush path per 100 writes, "25→25→25"; without writes in totals. Layers are rounded
// to whole flushes, but never to 0.
func flushText(f results.FlushPath, writes int64) string {
	per := func(n *int64) string {
		switch {
		case n == nil:
			return absent
		case writes == 0 || *n == 0:
			return fmt.Sprint(*n)
		default:
			v := 100 * float64(*n) / float64(writes)
			if v < 0.5 {
				return "<1"
			}
			return fmt.Sprintf("%.0f", v)
		}
	}
	fio := per(f.Fio)
	if f.FioDsyncWrites != nil {
		fio = per(f.FioDsyncWrites) + "s+" + fio
	}
	return fio + "→" + per(f.Guest) + "→" + per(f.QEMU)
}

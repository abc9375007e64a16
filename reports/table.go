package reports

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/tw"

	"platter/results"
)

// absent stands where a figure was not measured.
const absent = "–"

// maxGuardCells is how many cells a warning names before it only counts them.
const maxGuardCells = 3

// Table writes a run for the terminal, in lines of at most 80 columns as long as the axis values are short: banners and
// warnings first, then a row a cell.
func Table(w io.Writer, m *Model) error {
	p := &printer{w: w}
	for _, b := range m.Banners {
		p.wrapped("! ", b)
	}
	for _, x := range m.Warnings {
		p.wrapped("! ", warningText(x, len(m.Cells)))
	}
	for _, f := range groupFailures(m.Failures) {
		p.wrapped("x ", fmt.Sprintf("%s: %s (%s)", f.Cell, f.Message, plural(f.count, "trial")))
	}
	p.linef("")
	text, err := cellTable(m)
	if err != nil {
		return err
	}
	for line := range strings.Lines(text) {
		p.linef("%s", strings.TrimRight(line, " \n"))
	}
	p.linef("\nflushes: fio's sync calls → guest's block device → QEMU, per 100 writes")
	if slices.ContainsFunc(m.Cells, func(c Cell) bool { return c.FlushPath.IncludesRamp }) {
		p.linef("(guest and QEMU counted during fio's ramp too, fio did not)")
	}
	if slices.ContainsFunc(m.Cells, func(c Cell) bool { return c.FlushPath.FioDsyncWrites != nil }) {
		p.linef("(100s+0: 100 writes with O_DSYNC or O_SYNC and no sync call)")
	}
	if len(m.Excluded) > 0 {
		p.linef("\nexcluded:")
	}
	for _, c := range m.Excluded {
		p.wrapped("  ", c.ID+": "+c.Excluded)
	}
	if err := safetyTable(p, m); err != nil {
		return err
	}
	claimLines(p, m.Safety.Claims)
	p.linef("")
	for _, a := range m.Answer {
		p.wrapped("", a)
	}
	if s := m.Phases; s.WallS > 0 {
		p.wrapped("", fmt.Sprintf("Wall time of the trials %.0f s: boot %.0f, fill %.0f, attach %.0f, prepare %.0f, ramp %.0f, measuring %.0f, collect %.0f; %.0f %% of the time after boot spent measuring.",
			s.WallS, s.BootS, s.PrefillS, s.AttachS, s.PrepareS, s.RampS, s.MeasureS, s.CollectS, 100*s.MeasuringShare))
	}
	return p.err
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
	return fmt.Sprintf("%s (%s, %s)", x.Message, plural(x.Trials, "trial"), where)
}

// maxWidth is how wide a table may be.
const maxWidth = 80

// cellTable draws the table itself. Numbers stand right, with their unit in them. Where it would be wider than maxWidth,
// leading axes become headings above the rows that share their values, as many as it takes.
func cellTable(m *Model) (string, error) {
	for headed := 0; ; headed++ {
		lines, err := cellLines(m, headed)
		if err != nil {
			return "", err
		}
		if widest(lines) > maxWidth && headed+1 < len(m.Manifest.Axes) {
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

// cellLines are the header and a line for each cell, without the first headed axes.
func cellLines(m *Model, headed int) ([]string, error) {
	var header []string
	var align []tw.Align
	column := func(name string, a tw.Align) {
		header, align = append(header, name), append(align, a)
	}
	for _, name := range m.Manifest.Axes[headed:] {
		column(short(name), tw.AlignLeft)
	}
	column("n", tw.AlignRight)
	column("IOPS", tw.AlignRight)
	intervals := slices.ContainsFunc(m.Cells, func(c Cell) bool { return c.IOPS != nil && c.IOPS.Bounded() })
	if intervals {
		column("95 % interval", tw.AlignRight)
	}
	kinds := shown(m.Cells)
	for _, k := range kinds {
		column(k+" p99", tw.AlignRight)
	}
	column("flushes", tw.AlignRight)

	var rows [][]string
	for _, c := range m.Cells {
		rows = append(rows, cellRow(c, kinds, headed, intervals))
	}
	lines, err := draw(header, align, rows)
	if err == nil && len(lines) != 1+len(m.Cells) {
		err = fmt.Errorf("draw table: %d lines for %d cells", len(lines), len(m.Cells))
	}
	return lines, err
}

// draw draws a table without rules: its lines, those of the header first.
func draw(header []string, align []tw.Align, rows [][]string) ([]string, error) {
	var b strings.Builder
	t := tablewriter.NewTable(&b,
		tablewriter.WithHeaderAutoFormat(tw.Off), tablewriter.WithTrimSpace(tw.Off),
		tablewriter.WithHeaderAlignmentConfig(tw.CellAlignment{PerColumn: align}),
		tablewriter.WithRowAlignmentConfig(tw.CellAlignment{PerColumn: align}),
		tablewriter.WithHeaderPaddingPerColumn(narrow(len(align))), tablewriter.WithRowPaddingPerColumn(narrow(len(align))),
		tablewriter.WithRowAutoWrap(tw.WrapNone), tablewriter.WithHeaderAutoWrap(tw.WrapNone),
		tablewriter.WithRendition(tw.Rendition{Borders: tw.BorderNone, Settings: tw.Settings{
			Separators: tw.Separators{BetweenColumns: tw.Off, BetweenRows: tw.Off}, Lines: tw.Lines{ShowHeaderLine: tw.Off}}}))
	t.Header(header)
	for _, r := range rows {
		if err := t.Append(r); err != nil {
			return nil, err
		}
	}
	if err := t.Render(); err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " ")
	}
	return lines, nil
}

func narrow(columns int) []tw.Padding {
	p := make([]tw.Padding, columns)
	for i := range p {
		p[i] = tw.Padding{Right: "  ", Overwrite: true}
	}
	return p
}

func cellRow(c Cell, kinds []string, headed int, intervals bool) []string {
	var row []string
	for _, a := range c.Axes[headed:] {
		row = append(row, a.Value.String())
	}
	iops, interval := absent, absent
	if c.IOPS != nil {
		iops = Number(c.IOPS.Median)
		if c.IOPS.Bounded() {
			interval = Number(c.IOPS.Lo) + "–" + Number(c.IOPS.Hi)
		}
	}
	row = append(row, fmt.Sprint(c.Trials), iops)
	if intervals {
		row = append(row, interval)
	}
	for _, k := range kinds {
		text := absent
		if l, ok := c.Latency[k]; ok {
			text = Duration(l.P99)
		}
		row = append(row, text)
	}
	return append(row, flushText(c.FlushPath, c.Writes))
}

// flushText is a cell's measured flush path per 100 writes, "25→25→25"; without writes in totals. Layers are rounded
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

// printer writes lines and keeps the first error. Text from a guest's console or a matrix cannot drive the terminal:
// what is not printable is written as Go writes it in a string.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) linef(format string, args ...any) {
	if p.err == nil {
		_, p.err = io.WriteString(p.w, visible(fmt.Sprintf(format, args...))+"\n")
	}
}

// visible spells out control characters, and the marks that turn the direction of text, but keeps line ends and spaces.
func visible(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r == '\n' || unicode.IsSpace(r) && !unicode.IsControl(r) || unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
	}
	return b.String()
}

// wrapped writes text in lines of at most 80 columns, the first after mark and the others set in as far.
func (p *printer) wrapped(mark, text string) {
	line := mark
	empty := true
	for word := range strings.FieldsSeq(text) {
		if !empty && len([]rune(line))+1+len([]rune(word)) > 80 {
			p.linef("%s", line)
			line, empty = strings.Repeat(" ", utf8.RuneCountInString(mark)), true
		}
		if !empty {
			line += " "
		}
		line, empty = line+word, false
	}
	p.linef("%s", line)
}

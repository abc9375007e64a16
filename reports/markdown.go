package reports

import (
	"io"
	"strings"

	"platter/text"
)

// Markdown writes a run for where GitHub's Markdown is read, a pull request or a CI step summary: how far the numbers may be trusted
// and the answer first, then safety, cells, claims and warnings; at most 1 MiB. Text from a run is shown as it is.
func Markdown(w io.Writer, m *Model) error {
	d := &text.Markdown{}
	d.Linef("## platter: %s\n", text.EscapeMarkdown(m.Manifest.Name))
	for _, b := range m.Banners {
		d.Linef("> **!** %s\n", text.EscapeMarkdown(b))
	}
	for _, a := range m.Answer {
		d.Linef("**%s**\n", text.EscapeMarkdown(a))
	}
	if lines := hypervisorLines(m); len(lines) > 0 {
		d.Linef("Hypervisors: %s\n", text.EscapeMarkdown(strings.Join(lines, "; ")))
	}
	markdownHypervisors(d, m)
	markdownSafety(d, m)
	markdownCells(d, m)
	markdownClaims(d, m)
	markdownWarnings(d, m)
	_, err := io.WriteString(w, d.Text("platter show --json"))
	return err
}

// markdownSafety adds what the cells lose, and what the verdicts rest on. Nothing for a run without.
func markdownSafety(d *text.Markdown, m *Model) {
	s := m.Safety
	if len(s.Rows) == 0 {
		return
	}
	d.Linef("### Safety\n")
	columns := merged(s, m.Cells)
	table := append(axisColumns(m), text.Column{Name: "IOPS", Right: true})
	for _, v := range columns {
		table = append(table, text.Column{Name: strings.Join(v.names, ", ")})
	}
	var rows [][]string
	for i, c := range m.Cells {
		row := append(axisTexts(c), iops(c.IOPS))
		for _, v := range columns {
			row = append(row, v.texts[i])
		}
		rows = append(rows, row)
	}
	d.Table(table, rows)
	d.Linef("%s\n", text.EscapeMarkdown(legendText))
	for _, some := range []struct {
		mark  string
		lines []string
	}{{"≠ ", s.Surprises()}, {"", s.Unseen()}, {"", s.Invalids()}} {
		for _, line := range some.lines {
			d.Linef("- %s", text.EscapeMarkdown(some.mark+line))
		}
	}
	if len(m.ByHypervisor.Rows) == 0 { // else they stand with each hypervisor
		d.Linef("- controls, which must lose: %s", text.EscapeMarkdown(s.ControlsText()))
	}
	d.Linef("- %s", text.EscapeMarkdown(pointsText(s)))
	if line := s.FewText(); line != "" {
		d.Linef("- %s", text.EscapeMarkdown(line))
	}
	if line := s.CutsText(); line != "" {
		d.Linef("- real: %s", text.EscapeMarkdown(line))
	}
	d.Linef("- simulated: %s\n", text.EscapeMarkdown(simulatedText))
}

func axisNames(m *Model) []string {
	var names []string
	for _, n := range m.Manifest.Axes {
		names = append(names, short(n))
	}
	return names
}

// axisColumns returns a column for each axis.
func axisColumns(m *Model) []text.Column {
	var columns []text.Column
	for _, n := range axisNames(m) {
		columns = append(columns, text.Column{Name: n})
	}
	return columns
}

func axisTexts(c Cell) []string {
	var texts []string
	for _, a := range c.Axes {
		texts = append(texts, a.Value.String())
	}
	return texts
}

// markdownCells adds the table of speed: the terminal's columns, and bandwidth.
func markdownCells(d *text.Markdown, m *Model) {
	if len(m.Cells) == 0 {
		return
	}
	d.Linef("### Cells\n")
	d.Table(cellRows(m, 0, cellColumns(m)))
	d.Linef("Medians over the trials that went well; flushes: fio's sync calls → guest's block device → QEMU, per 100 writes; – was not " +
		"measured.\n")
	if note := flushNote(m.Cells); note != "" {
		d.Linef("%s\n", text.EscapeMarkdown(note))
	}
	if len(m.Excluded) > 0 {
		d.Linef("<details><summary>%s excluded</summary>\n", text.Plural(len(m.Excluded), "cell"))
		for _, c := range m.Excluded {
			d.Linef("- %s: %s", text.EscapeMarkdown(c.ID), text.EscapeMarkdown(c.Excluded))
		}
		d.Linef("\n</details>\n")
	}
}

func markdownClaims(d *text.Markdown, m *Model) {
	if len(m.Safety.Claims) == 0 {
		return
	}
	d.Linef("### Claims\n")
	for _, c := range m.Safety.Claims {
		d.Linef("- **%s** %s", text.EscapeMarkdown(string(c.Outcome)), text.EscapeMarkdown(c.Text))
		for _, f := range decidingFigures(c) {
			d.Linef("  - %s", text.EscapeMarkdown(f))
		}
	}
	d.Linef("")
}

// markdownWarnings adds what is wrong with the measurement, and the trials without numbers.
func markdownWarnings(d *text.Markdown, m *Model) {
	if len(m.Warnings)+len(m.Failures) == 0 {
		return
	}
	d.Linef("### What is wrong with the measurement\n")
	for _, x := range m.Warnings {
		d.Linef("- %s", text.EscapeMarkdown(warningText(x, len(m.Cells))))
	}
	for _, f := range groupFailures(m.Failures) {
		d.Linef("- failed: %s: %s (%s)", text.EscapeMarkdown(f.Cell), text.EscapeMarkdown(f.Message), text.Plural(f.count, "trial"))
	}
	d.Linef("")
}

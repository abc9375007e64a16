package reports

import (
	"fmt"
	"io"
	"strings"
)

// maxMarkdown is how long a CI step summary may be, in bytes: GitHub refuses longer ones. markdownRoom is what is kept for what
// stands behind the tables.
const (
	maxMarkdown  = 1 << 20
	markdownRoom = 64 << 10
)

// Markdown writes a run for where GitHub's Markdown is read, a pull request or a CI step summary: how far the numbers may be trusted
// and the answer first, then safety, cells, claims and warnings; at most 1 MiB. Text from a run is shown as it is.
func Markdown(w io.Writer, m *Model) error {
	d := &markdown{}
	d.linef("## platter: %s\n", markdownText(m.Manifest.Name))
	for _, b := range m.Banners {
		d.linef("> **!** %s\n", markdownText(b))
	}
	for _, a := range m.Answer {
		d.linef("**%s**\n", markdownText(a))
	}
	d.safety(m)
	d.cells(m)
	d.claims(m)
	d.warnings(m)
	_, err := io.WriteString(w, d.text())
	return err
}

// markdown is a document whose lines are left out where they would make it too long.
type markdown struct {
	strings.Builder
	cut bool
}

func (d *markdown) linef(format string, args ...any) {
	line := fmt.Sprintf(format+"\n", args...)
	if d.Len()+len(line) > maxMarkdown-markdownRoom/2 {
		d.cut = true
		return
	}
	d.WriteString(line)
}

func (d *markdown) text() string {
	if d.cut {
		d.WriteString("\nThis text was cut; `platter show --json` prints all of it.\n")
	}
	return d.String()
}

// table writes rows as long as there is room. Columns of numbers stand right.
func (d *markdown) table(header []string, numbers map[string]bool, rows [][]string) {
	rule := "|"
	for _, h := range header {
		if numbers[h] {
			rule += " ---: |"
		} else {
			rule += " --- |"
		}
	}
	d.linef("%s", markdownRow(header))
	d.linef("%s", rule)
	for i, row := range rows {
		if d.Len() > maxMarkdown-markdownRoom {
			d.linef("\n… and %s more.", plural(len(rows)-i, "row"))
			d.cut = true
			break
		}
		d.linef("%s", markdownRow(row))
	}
	d.linef("")
}

func markdownRow(texts []string) string {
	escaped := make([]string, len(texts))
	for i, t := range texts {
		escaped[i] = markdownText(t)
	}
	return "| " + strings.Join(escaped, " | ") + " |"
}

// maxMarkdownText is how many characters of a text are shown: a message may be as long as a console.
const maxMarkdownText = 500

// markdownEscapes are GitHub's: what would begin a mark, an element, a table's cell, a mention or a link stands as it is.
var markdownEscapes = strings.NewReplacer(`\`, `\\`, "|", `\|`, "<", "&lt;", ">", "&gt;", "&", "&amp;", "`", "\\`", "*", `\*`, "_", `\_`,
	"[", `\[`, "]", `\]`, "~", `\~`, "@", "&#64;", "#", `\#`, "!", `\!`, "$", `\$`, "://", "&#58;//", "www.", "www&#46;")

// markdownText is a text that Markdown shows as it is, on one line.
func markdownText(text string) string {
	if r := []rune(text); len(r) > maxMarkdownText {
		text = string(r[:maxMarkdownText]) + "…"
	}
	text = strings.Map(func(r rune) rune {
		if strings.ContainsRune("\n\r\t\v\f\u0085\u2028\u2029", r) {
			return ' '
		}
		return r
	}, text)
	return markdownEscapes.Replace(visible(text))
}

// safety is what the cells lose, and what the verdicts rest on. Nothing for a run without.
func (d *markdown) safety(m *Model) {
	s := m.Safety
	if len(s.Rows) == 0 {
		return
	}
	d.linef("### Safety\n")
	columns := merged(s, m.Cells)
	header := axisNames(m)
	header = append(header, "IOPS")
	for _, v := range columns {
		header = append(header, strings.Join(v.names, ", "))
	}
	var rows [][]string
	for i, c := range m.Cells {
		row := append(axisTexts(c), iops(c.IOPS))
		for _, v := range columns {
			row = append(row, v.texts[i])
		}
		rows = append(rows, row)
	}
	d.table(header, map[string]bool{"IOPS": true}, rows)
	d.linef("%s\n", markdownText(legendText))
	for _, some := range []struct {
		mark  string
		lines []string
	}{{"≠ ", s.Surprises()}, {"", s.Invalids()}} {
		for _, text := range some.lines {
			d.linef("- %s", markdownText(some.mark+text))
		}
	}
	d.linef("- controls, which must lose: %s", markdownText(s.ControlsText()))
	d.linef("- %s", markdownText(pointsText(s)))
	if text := s.CutsText(); text != "" {
		d.linef("- real: %s", markdownText(text))
	}
	d.linef("- simulated: %s\n", markdownText(simulatedText))
}

func axisNames(m *Model) []string {
	var names []string
	for _, n := range m.Manifest.Axes {
		names = append(names, short(n))
	}
	return names
}

func axisTexts(c Cell) []string {
	var texts []string
	for _, a := range c.Axes {
		texts = append(texts, a.Value.String())
	}
	return texts
}

// cells is the table of speed: the terminal's columns, and bandwidth.
func (d *markdown) cells(m *Model) {
	if len(m.Cells) == 0 {
		return
	}
	d.linef("### Cells\n")
	header := append(axisNames(m), "n", "failed", "IOPS", "95 % interval", "bandwidth")
	numbers := map[string]bool{"n": true, "failed": true, "IOPS": true, "95 % interval": true, "bandwidth": true, "flushes": true}
	kinds := shown(m.Cells)
	for _, k := range kinds {
		header = append(header, k+" p99")
		numbers[k+" p99"] = true
	}
	header = append(header, "flushes")
	var rows [][]string
	for _, c := range m.Cells {
		row := append(axisTexts(c), fmt.Sprint(c.Trials), fmt.Sprint(c.Failed), iops(c.IOPS), interval(c.IOPS), bandwidth(c.BW))
		for _, k := range kinds {
			text := absent
			if l, ok := c.Latency[k]; ok {
				text = Duration(l.P99)
			}
			row = append(row, text)
		}
		rows = append(rows, append(row, flushText(c.FlushPath, c.Writes)))
	}
	d.table(header, numbers, rows)
	d.linef("Medians over the trials that went well; flushes: fio's sync calls → guest's block device → QEMU, per 100 writes; – was not measured.\n")
	if note := flushNote(m.Cells); note != "" {
		d.linef("%s\n", markdownText(note))
	}
	if len(m.Excluded) > 0 {
		d.linef("<details><summary>%s excluded</summary>\n", plural(len(m.Excluded), "cell"))
		for _, c := range m.Excluded {
			d.linef("- %s: %s", markdownText(c.ID), markdownText(c.Excluded))
		}
		d.linef("\n</details>\n")
	}
}

func (d *markdown) claims(m *Model) {
	if len(m.Safety.Claims) == 0 {
		return
	}
	d.linef("### Claims\n")
	for _, c := range m.Safety.Claims {
		d.linef("- **%s** %s", markdownText(string(c.Outcome)), markdownText(c.Text))
		for _, f := range decidingFigures(c) {
			d.linef("  - %s", markdownText(f))
		}
	}
	d.linef("")
}

// warnings are what is wrong with the measurement, and the trials without numbers.
func (d *markdown) warnings(m *Model) {
	if len(m.Warnings)+len(m.Failures) == 0 {
		return
	}
	d.linef("### What is wrong with the measurement\n")
	for _, x := range m.Warnings {
		d.linef("- %s", markdownText(warningText(x, len(m.Cells))))
	}
	for _, f := range groupFailures(m.Failures) {
		d.linef("- failed: %s: %s (%s)", markdownText(f.Cell), markdownText(f.Message), plural(f.count, "trial"))
	}
	d.linef("")
}

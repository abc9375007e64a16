package reports

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"platter/compare"
	"platter/results"
	"platter/text"
)

// SparkLook is how Spark may draw.
type SparkLook struct {
	Color bool // ANSI colours: failed trials and lost promises red, SAFE green
	ASCII bool // nothing but ASCII
}

// sparkLines is how many lines Spark writes at most: one above the cells and one below.
const (
	sparkLines = 8
	sparkRows  = sparkLines - 2
)

// Spark writes how fast the cells were over the run, in at most 8 lines of at most 80 columns: for each cell a bar for each block
// or, where a rate by second was kept, for each second; its height is from 0 to the highest of the cell, and x is a trial that failed.
// Behind it stand the median and, in a run with crash campaigns, the worst verdict under what was asked. Twelve cells have room; of
// more those are shown whose rates are farthest apart, and the last line counts the rest.
func Spark(w io.Writer, m *Model, look SparkLook) error {
	p := &text.Printer{W: w}
	line := func(parts ...inked) { inkedLine(p, parts, look) }
	done := fmt.Sprintf("%d of %d trials", m.OK+m.Failed, m.Manifest.Trials*len(m.Cells))
	if m.Failed > 0 {
		done += fmt.Sprintf(", %d failed", m.Failed)
	}
	if m.Manifest.Host.Accel == "tcg" {
		done += ", emulated"
	}
	if m.Manifest.SimulatedTrials {
		done += ", simulated disk"
	}
	if len(m.Safety.Rows) > 0 {
		done += "; worst verdicts, – no promise"
	}
	line(inked{text: cutTo(m.Manifest.Name, text.Columns-2-text.Width(done)) + ": " + done})
	cells := sparkCells(m)
	columns := 1
	if len(cells) > sparkRows {
		columns = 2
	}
	rows := (len(cells) + columns - 1) / columns
	layout := newSparkLayout(m, cells, (text.Columns-2*(columns-1))/columns)
	for row := range rows {
		var parts []inked
		for column := range columns {
			i := column*rows + row
			if i >= len(cells) {
				continue
			}
			if column > 0 {
				parts = append(parts, inked{text: "  "})
			}
			parts = append(parts, layout.cell(m, cells[i])...)
		}
		line(parts...)
	}
	line(inked{text: sparkNote(m, len(cells))})
	return p.Err
}

// sparkNote returns what the lines above are, and which axes' values name a cell.
func sparkNote(m *Model, shown int) string {
	if len(m.Cells) == 0 {
		return "no cells"
	}
	note := ": IOPS over " + sparkUnit(m.Cells) + ", each from 0 to its highest"
	if shown < len(m.Cells) {
		note += fmt.Sprintf("; %d of %d cells", shown, len(m.Cells))
	}
	return cutTo(strings.Join(axisNames(m), "/"), text.Columns-text.Width(note)) + note
}

// sparkUnit returns what a bar stands for.
func sparkUnit(cells []Cell) string {
	if slices.ContainsFunc(cells, func(c Cell) bool { return bySecond(c) }) {
		return "seconds"
	}
	return "blocks"
}

func bySecond(c Cell) bool {
	return slices.ContainsFunc(c.Rates, func(r Rate) bool { return r.seconds() != nil })
}

// seconds returns the rates by second; nil for a trial that was logged more finely, which is too short to fill the lines.
func (r Rate) seconds() []float64 {
	if r.Log == nil || r.Log.IntervalS < 1 {
		return nil
	}
	return r.Log.IOPS
}

// sparkCells returns the cells that are shown, in the order of the matrix.
func sparkCells(m *Model) []Cell {
	if len(m.Cells) <= 2*sparkRows {
		return m.Cells
	}
	order := make([]int, len(m.Cells))
	unsteady := make([]float64, len(m.Cells))
	for i, c := range m.Cells {
		order[i] = i
		rates := bars(m, c)
		lowest, highest := math.Inf(1), 0.0
		for _, v := range rates {
			if !math.IsNaN(v) {
				lowest, highest = min(lowest, v), max(highest, v)
			}
		}
		if highest > 0 {
			unsteady[i] = 1 - lowest/highest
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case unsteady[a] > unsteady[b]:
			return -1
		case unsteady[a] < unsteady[b]:
			return 1
		}
		return 0
	})
	order = order[:2*sparkRows]
	slices.Sort(order)
	var cells []Cell
	for _, i := range order {
		cells = append(cells, m.Cells[i])
	}
	return cells
}

// bars returns a cell's rates in the order of the run, NaN for a trial that failed.
func bars(m *Model, c Cell) []float64 {
	type bar struct {
		block int
		rates []float64
	}
	var all []bar
	for _, r := range c.Rates {
		rates := []float64{r.IOPS}
		if s := r.seconds(); s != nil {
			rates = s
		}
		all = append(all, bar{r.Block, rates})
	}
	for _, f := range m.Failures {
		if f.Cell == c.ID {
			all = append(all, bar{f.Block, []float64{math.NaN()}})
		}
	}
	slices.SortStableFunc(all, func(a, b bar) int { return a.block - b.block })
	var rates []float64
	for _, b := range all {
		rates = append(rates, b.rates...)
	}
	return rates
}

// inked is a piece of a line in a colour.
type inked struct {
	text string
	ink  string // of ANSI, "31" red; empty for the terminal's own
}

const (
	red   = "31"
	green = "32"
)

// Widths of what stands behind a cell's bars.
const (
	sparkNumber  = 9
	sparkVerdict = 8
)

// sparkLayout is how many columns label and bars of a cell have: the same for all.
type sparkLayout struct{ label, bars int }

// newSparkLayout shares so many columns out, at least 39. Bars take what they need, up to half of what median and verdict leave, or
// what the labels leave.
func newSparkLayout(m *Model, cells []Cell, columns int) sparkLayout {
	room := columns - len("  ") - sparkNumber
	if len(m.Safety.Rows) > 0 {
		room -= sparkVerdict
	}
	label, rates := 0, 0
	for _, c := range cells {
		label, rates = max(label, text.Width(text.Visible(sparkLabel(c)))), max(rates, len(bars(m, c)))
	}
	label = min(label, max(room/2, room-rates))
	return sparkLayout{label, room - label}
}

func sparkLabel(c Cell) string { return strings.Join(axisTexts(c), "/") }

func (l sparkLayout) cell(m *Model, c Cell) []inked {
	parts := []inked{{text: padded(sparkLabel(c), l.label) + " "}}
	parts = append(parts, drawnBars(bars(m, c), l.bars)...)
	parts = append(parts, inked{text: fmt.Sprintf(" %*s", sparkNumber, iops(c.IOPS))})
	if len(m.Safety.Rows) > 0 {
		line, ink := absent, ""
		switch verdict := m.worst(c, m.asked()); verdict {
		case results.Safe:
			line, ink = verdict, green
		case results.Loses, results.Invalid:
			line, ink = verdict, red
		case "":
			line = "?"
		}
		parts = append(parts, inked{text: " "}, inked{line, ink}, inked{text: strings.Repeat(" ", sparkVerdict-1-text.Width(line))})
	}
	return parts
}

// sparkLevels are the heights of a bar; a rate of 0 has the lowest.
var (
	sparkLevels = []rune("▁▂▃▄▅▆▇█")
	asciiLevels = []rune("_.-:=+*#")
)

// drawnBars draws rates in exactly so many columns. Where there are more rates than columns a bar is the median of its neighbours,
// and failed if one of them did.
func drawnBars(rates []float64, columns int) []inked {
	highest := 0.0
	for _, v := range rates {
		if !math.IsNaN(v) {
			highest = max(highest, v)
		}
	}
	var parts []inked
	n := min(len(rates), columns)
	for i := range n {
		some := rates[i*len(rates)/n : (i+1)*len(rates)/n]
		if slices.ContainsFunc(some, math.IsNaN) {
			parts = append(parts, inked{"x", red})
			continue
		}
		level := 0
		if highest > 0 {
			level = min(int(compare.Median(some)/highest*float64(len(sparkLevels))), len(sparkLevels)-1)
		}
		parts = append(parts, inked{text: string(sparkLevels[level])})
	}
	return append(parts, inked{text: strings.Repeat(" ", columns-n)})
}

// inkedLine writes a line. What is not printable is spelled out before colours are put in, and what is not ASCII replaced where
// it must be.
func inkedLine(p *text.Printer, parts []inked, look SparkLook) {
	if p.Err != nil {
		return
	}
	var b strings.Builder
	for _, part := range parts {
		line := text.Visible(part.text)
		if look.ASCII {
			line = strings.Map(asASCII, line)
		}
		if look.Color && part.ink != "" {
			line = "\x1b[" + part.ink + "m" + line + "\x1b[0m"
		}
		b.WriteString(line)
	}
	_, p.Err = io.WriteString(p.W, strings.TrimRight(b.String(), " ")+"\n")
}

func asASCII(r rune) rune {
	if i := slices.Index(sparkLevels, r); i >= 0 {
		return asciiLevels[i]
	}
	switch {
	case r < utf8.RuneSelf:
		return r
	case r == '…':
		return '~'
	case r == '–':
		return '-'
	case r == '\u202f' || r == '\u00a0':
		return ' '
	}
	return '?'
}

// cutTo cuts a text's end off where it is wider than so many columns.
func cutTo(s string, columns int) string {
	return text.Cut(text.Visible(strings.Join(strings.Fields(s), " ")), columns)
}

// padded returns a text in exactly so many columns; of one that is wider the middle is left out, since cells differ at both ends.
func padded(line string, columns int) string {
	r := []rune(text.Visible(line))
	if len(r) > columns {
		tail := (columns - 1) / 2
		r = append(append(slices.Clone(r[:columns-1-tail]), '…'), r[len(r)-tail:]...)
	}
	return string(r) + strings.Repeat(" ", columns-len(r))
}

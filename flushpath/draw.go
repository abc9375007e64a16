package flushpath

import (
	"fmt"
	"strings"

	"platter/text"
)

// The columns of a drawing: where, layer, the flush's line and word, then text up to drawWidth.
const (
	drawWidth = 80
	drawText  = 43
)

// marks returns the pieces of the line that a flush takes.
func marks() map[string]string {
	return map[string]string{Passes: "│", Ends: "■", Swallowed: "✗", NotNeeded: "┆", Made: "●", Absent: "┆"}
}

// String draws the path as text of at most 80 columns: a layer a row, with the way of the flush, where writes rest, and why.
// ▒ marks where acknowledged writes rest that have no promise, █ where promised ones do.
func (p Path) String() string {
	var b strings.Builder
	where := ""
	for _, l := range p.Layers {
		place := ""
		if l.Where != where {
			where = l.Where
			place = l.Where
		}
		mark := marks()[l.Flush]
		word := l.Flush
		if word == Absent {
			word = "none comes"
		}
		left := fmt.Sprintf("%-8s %-18s %s %-11s", place, l.Name, mark, word)
		below := "┆"
		if l.Flush == Passes || l.Flush == Made {
			below = "│"
		}
		if l.Flush == Ends {
			below = " "
		}
		for i, line := range l.text() {
			if i > 0 {
				left = fmt.Sprintf("%-8s %-18s %s %-11s", "", "", below, "")
			}
			b.WriteString(strings.TrimRight(left+"  "+line, " ") + "\n")
		}
	}
	return b.String()
}

// text returns what stands beside a layer, in lines.
func (l Layer) text() []string {
	var lines []string
	switch {
	case l.Newest:
		lines = append(lines, "█ newest promised writes may be here")
	case l.Promised:
		lines = append(lines, "█ promised writes may rest here")
	}
	if l.Unpromised {
		lines = append(lines, "▒ unpromised writes may rest here")
	}
	return append(lines, text.Wrap(l.Reason, drawWidth-drawText)...)
}

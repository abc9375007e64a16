package text

import (
	"fmt"
	"io"
	"strings"
)

// Printer writes lines for a terminal. Each of them is made visible, so that no guest, file or host drives the terminal. After an error
// nothing more is written.
type Printer struct {
	W   io.Writer
	Err error // the first one
}

// Linef writes a line, or more where format or arguments have line ends.
func (p *Printer) Linef(format string, args ...any) {
	if p.Err == nil {
		_, p.Err = io.WriteString(p.W, Visible(fmt.Sprintf(format, args...))+"\n")
	}
}

// Hang writes s in lines of at most Columns characters, with first before the first and rest before each other one.
func (p *Printer) Hang(first, rest, s string) {
	for _, line := range Hang(Line(first), Line(rest), Visible(s), Columns) {
		p.Linef("%s", line)
	}
}

// Item writes s behind a mark, its later lines set in as far.
func (p *Printer) Item(mark, s string) { p.Hang(mark, strings.Repeat(" ", Width(mark)), s) }

// Table writes a table.
func (p *Printer) Table(columns []Column, rows [][]string) {
	lines, err := Table(columns, rows)
	if p.Err == nil {
		p.Err = err
	}
	for _, line := range lines {
		p.Linef("%s", line)
	}
}

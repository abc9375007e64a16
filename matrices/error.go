package matrices

import (
	"fmt"
	"strings"
)

// Error says what is wrong in a matrix file, and where.
type Error struct {
	File    string // the name that Parse was given
	Line    int    // from 1
	Column  int    // in characters, from 1
	Excerpt string // the line with the one before it and a caret below; empty when the file has no such line
	Message string // one line: what is wrong
	Hint    string // one line: what to do about it; may be empty
}

// Error is one line: "file:line:column: message".
func (e *Error) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Message)
}

// Detail is what to print below Error: the excerpt and the hint, each line ended by a newline. It is empty when there
// is neither.
func (e *Error) Detail() string {
	var b strings.Builder
	if e.Excerpt != "" {
		b.WriteString(e.Excerpt)
		b.WriteByte('\n')
	}
	if e.Hint != "" {
		b.WriteString("hint: " + e.Hint + "\n")
	}
	return b.String()
}

// problem is an Error that does not know its place yet. Checks of names and values give it; whoever walks the file
// adds the position.
type problem struct{ message, hint string }

func problemf(format string, args ...any) *problem {
	return &problem{message: fmt.Sprintf(format, args...)}
}

func (p *problem) withHint(format string, args ...any) *problem {
	p.hint = fmt.Sprintf(format, args...)
	return p
}

// position is a place in the text: line and column from 1, the column in characters.
type position struct{ line, column int }

// source is a matrix file as its errors quote it.
type source struct {
	file  string
	lines []string
}

func newSource(file, text string) source {
	return source{file: file, lines: strings.Split(text, "\n")}
}

// at turns a problem into an Error at a place.
func (s source) at(pos position, p *problem) *Error {
	return &Error{
		File: s.file, Line: pos.line, Column: pos.column,
		Excerpt: s.excerpt(pos), Message: shortened(p.message), Hint: shortened(p.hint),
	}
}

// maxMessage is how many characters of a message are kept: a file may have a name or value of any length.
const maxMessage = 400

func shortened(message string) string {
	if runes := []rune(message); len(runes) > maxMessage {
		return string(runes[:maxMessage]) + "…"
	}
	return message
}

// excerptWidth is how many characters of a long line an excerpt shows.
const excerptWidth = 100

// excerpt quotes the line of pos and the one before it, with a caret below the column.
func (s source) excerpt(pos position) string {
	if pos.line < 1 || pos.line > len(s.lines) || s.lines[pos.line-1] == "" {
		return ""
	}
	line := []rune(s.lines[pos.line-1])
	column := min(max(pos.column-1, 0), len(line))
	first := min(max(0, column-excerptWidth/2), max(0, len(line)-excerptWidth))
	shown := line[first:min(len(line), first+excerptWidth)]
	var b strings.Builder
	if pos.line > 1 && s.lines[pos.line-2] != "" {
		before := []rune(s.lines[pos.line-2])
		fmt.Fprintf(&b, "%5d | %s\n", pos.line-1, string(before[min(first, len(before)):min(len(before), first+excerptWidth)]))
	}
	fmt.Fprintf(&b, "%5d | %s\n", pos.line, string(shown))
	fmt.Fprintf(&b, "      | %s^", caretIndent(line[first:column]))
	return b.String()
}

// caretIndent is as wide as the characters before the caret: tabs stay tabs.
func caretIndent(before []rune) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, string(before))
}

package strictyaml

import (
	"fmt"
	"strings"
)

// Error says what is wrong in a file, and where.
type Error struct {
	File    string // the name that Read was given
	Line    int    // from 1
	Column  int    // in characters, from 1
	Excerpt string // the line with the one before it and a caret below; empty when the file has no such line
	Message string // one line: what is wrong
	Hint    string // one line: what to do about it; may be empty
}

// Error returns one line: "file:line:column: message".
func (e *Error) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Message)
}

// Detail returns what to print below Error: the excerpt and the hint, each line ended by a newline. It is empty when there
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

// File is a file as its errors quote it.
type File struct {
	name  string
	lines []string
}

// maxMessage is how many characters of a message are kept: a file may have a name or value of any length.
const maxMessage = 400

// At returns an error about a place in the file; hint, which may be empty, says what to do.
func (f *File) At(pos Position, hint, format string, args ...any) *Error {
	shortened := func(text string) string {
		if runes := []rune(text); len(runes) > maxMessage {
			return string(runes[:maxMessage]) + "…"
		}
		return text
	}
	return &Error{File: f.name, Line: pos.Line, Column: pos.Column, Excerpt: f.excerpt(pos),
		Message: shortened(fmt.Sprintf(format, args...)), Hint: shortened(hint)}
}

// excerptWidth is how many characters of a long line an excerpt shows.
const excerptWidth = 100

// excerpt quotes the line of pos and the one before it, with a caret below the column.
func (f *File) excerpt(pos Position) string {
	if pos.Line < 1 || pos.Line > len(f.lines) || f.lines[pos.Line-1] == "" {
		return ""
	}
	line := []rune(f.lines[pos.Line-1])
	column := min(max(pos.Column-1, 0), len(line))
	first := min(max(0, column-excerptWidth/2), max(0, len(line)-excerptWidth))
	var b strings.Builder
	if pos.Line > 1 && f.lines[pos.Line-2] != "" {
		before := []rune(f.lines[pos.Line-2])
		fmt.Fprintf(&b, "%5d | %s\n", pos.Line-1, string(before[min(first, len(before)):min(len(before), first+excerptWidth)]))
	}
	fmt.Fprintf(&b, "%5d | %s\n", pos.Line, string(line[first:min(len(line), first+excerptWidth)]))
	indent := strings.Map(func(r rune) rune { // as wide as the characters before the caret: tabs stay tabs
		if r == '\t' {
			return r
		}
		return ' '
	}, string(line[first:column]))
	fmt.Fprintf(&b, "      | %s^", indent)
	return b.String()
}

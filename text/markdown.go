package text

import (
	"fmt"
	"strings"
)

// GitHub refuses a step summary that is longer than maxMarkdown bytes. roomBehind is what is kept for what stands behind the tables.
const (
	maxMarkdown = 1 << 20
	roomBehind  = 64 << 10
)

// Markdown is a document in GitHub's Markdown, for a pull request or a CI step summary. It is at most 1 MiB long: lines that would make it
// longer are left out, and its end says so. The zero value is empty.
type Markdown struct {
	b     strings.Builder
	isCut bool
}

// Linef adds a line. What is not written by platter itself goes through EscapeMarkdown first.
func (m *Markdown) Linef(format string, args ...any) {
	line := fmt.Sprintf(format+"\n", args...)
	if m.b.Len()+len(line) > maxMarkdown-roomBehind/2 {
		m.isCut = true
		return
	}
	m.b.WriteString(line)
}

// List adds the texts, escaped, as a list. Without texts it adds nothing.
func (m *Markdown) List(texts []string) {
	for _, t := range texts {
		m.Linef("- %s", EscapeMarkdown(t))
	}
	if len(texts) > 0 {
		m.Linef("")
	}
}

// Table adds rows of texts, which it escapes, as long as there is room.
func (m *Markdown) Table(columns []Column, rows [][]string) {
	names := make([]string, len(columns))
	rule := "|"
	for i, c := range columns {
		names[i] = c.Name
		if c.Right {
			rule += " ---: |"
		} else {
			rule += " --- |"
		}
	}
	m.row(names)
	m.Linef("%s", rule)
	for i, row := range rows {
		if m.b.Len() > maxMarkdown-roomBehind {
			m.Linef("\n… and %s more.", Plural(len(rows)-i, "row"))
			m.isCut = true
			break
		}
		m.row(row)
	}
	m.Linef("")
}

func (m *Markdown) row(texts []string) {
	escaped := make([]string, len(texts))
	for i, t := range texts {
		escaped[i] = EscapeMarkdown(t)
	}
	m.Linef("| %s |", strings.Join(escaped, " | "))
}

// Text returns the document. If lines were left out, it ends with a line that names the command which prints all of it.
func (m *Markdown) Text(command string) string {
	if !m.isCut {
		return m.b.String()
	}
	return m.b.String() + fmt.Sprintf("\nThis text was cut; `%s` prints all of it.\n", command)
}

// maxMarkdownText is how many characters of a text are shown: a message may be as long as a console.
const maxMarkdownText = 500

// markdownMarks are GitHub's: what would begin a mark, an element, a table's cell, a mention, a formula or a link.
var markdownMarks = strings.NewReplacer(`\`, `\\`, "|", `\|`, "<", "&lt;", ">", "&gt;", "&", "&amp;", "`", "\\`", "*", `\*`, "_", `\_`,
	"[", `\[`, "]", `\]`, "~", `\~`, "@", "&#64;", "#", `\#`, "!", `\!`, "$", `\$`, "://", "&#58;//", "www.", "www&#46;")

// EscapeMarkdown returns what GitHub's Markdown shows as s, visible and on one line; of a long s the first 500 characters.
func EscapeMarkdown(s string) string {
	if r := []rune(s); len(r) > maxMarkdownText {
		s = string(r[:maxMarkdownText]) + "…"
	}
	return markdownMarks.Replace(Line(s))
}

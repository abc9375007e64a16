// Package text is how a text looks to people, wherever it is shown: what a terminal must not obey is made visible, long lines are
// broken, thousands stand apart, Markdown means nothing that nobody wrote, and tables have columns. Each of it is done here alone, so
// that a number or a guest's words look the same in a table, a verdict and a summary.
package text

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Columns is how wide a terminal is taken to be.
const Columns = 80

// Visible returns s such that a terminal shows it and obeys nothing in it. Control characters, and so escape sequences, marks that turn
// the direction of writing and other characters without a look are spelled as Go spells them in a string: "\x1b", "\u202e". Bytes that are
// no UTF-8 become U+FFFD. Line ends and spaces stay; a text that is visible already stays as it is.
func Visible(s string) string {
	hidden := func(r rune) bool { return r != '\n' && !unicode.Is(unicode.Zs, r) && !unicode.IsPrint(r) }
	if utf8.ValidString(s) && !strings.ContainsFunc(s, hidden) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if hidden(r) {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Line returns s visible and on one line: what breaks a line, and a tab, becomes a space.
func Line(s string) string {
	return Visible(strings.Map(func(r rune) rune {
		switch r {
		case '\n', '\r', '\t', '\v', '\f', '\u0085', '\u2028', '\u2029':
			return ' '
		}
		return r
	}, s))
}

// LastLine returns the last line of s that is not blank, without the blanks around it: what a program that failed said last.
func LastLine(s string) string {
	s = strings.TrimSpace(s)
	return strings.TrimSpace(s[strings.LastIndexByte(s, '\n')+1:])
}

// Width is how many columns s takes on a terminal, if each character takes one.
func Width(s string) int { return utf8.RuneCountInString(s) }

// Cut returns at most n characters of s, the last of them "…" if s had more. It counts from n = 1.
func Cut(s string, n int) string {
	if Width(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// Wrap returns s in lines of at most width characters, broken between words. A word that is longer is broken behind its last comma that
// fits, as the ids of cells want it, or else where it must be. White space between words counts as one space, but for spaces at which no
// line breaks: they belong to a word. There is always a line.
func Wrap(s string, width int) []string { return Hang("", "", s, width) }

// Hang is Wrap with something before the lines, within the width: first before the first, rest before each other one.
func Hang(first, rest, s string, width int) []string {
	var lines []string
	line, room := first, width-Width(first)
	end := func() {
		lines = append(lines, strings.TrimRight(line, " "))
		line, room = rest, width-Width(rest)
	}
	empty := true
	for word := range strings.FieldsFuncSeq(s, breaks) {
		if !empty {
			if Width(word)+1 > room {
				end()
			} else {
				line, room = line+" ", room-1
			}
		}
		for Width(word) > room {
			part := breakWord(word, room)
			line += part
			word = word[len(part):]
			end()
		}
		line, room, empty = line+word, room-Width(word), false
	}
	end()
	return lines
}

// breaks reports whether a line may end at a white space: not at those that hold a number together or keep it with its unit.
func breaks(r rune) bool {
	return unicode.IsSpace(r) && r != '\u00a0' && r != '\u2007' && r != '\u202f'
}

// breakWord returns the part of a word that goes into so many columns: up to its last comma there, or as much as there is room for,
// and at least a character.
func breakWord(word string, columns int) string {
	part, n := word, 0
	for i := range word {
		if n == max(columns, 1) {
			part = word[:i]
			break
		}
		n++
	}
	if comma := strings.LastIndexByte(part, ','); comma > 0 {
		return part[:comma+1]
	}
	return part
}

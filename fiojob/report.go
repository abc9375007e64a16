package fiojob

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
)

// report is the last JSON report in an output.
type report struct {
	json   []byte   // the object, or all that is there of it; as long as in the output, foreign lines blanked
	offset int64    // where it begins in the output
	notes  []string // the lines of the output that belong to no report
}

// reportStart is how every version of fio begins its JSON. A quote inside fio's JSON is escaped, so it cannot occur
// within.
var reportStart = regexp.MustCompile(`\{\s*"fio version"\s*:`)

// findReport finds the last report and gathers the notes. The time is linear in the length of the output.
func findReport(data []byte) (report, *ParseError) {
	starts := reportStart.FindAllIndex(data, -1)
	if len(starts) == 0 {
		return report{}, noReport(data)
	}
	var last report
	notes := textLines(data[:starts[0][0]])
	for i, start := range starts {
		end := len(data)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		object, foreign := cutObject(data[start[0]:end])
		notes = append(notes, foreign...)
		last = report{json: object, offset: int64(start[0])}
	}
	last.json = withoutNaN(last.json)
	last.notes = notes
	return last, nil
}

func noReport(data []byte) *ParseError {
	return &ParseError{What: fmt.Sprintf("no fio JSON in %d bytes", len(data)),
		Do: "give --output-format=json+ and see what fio said: " + complaint(textLines(data))}
}

// complaint returns the line to show of what fio said: its first message, else the last line.
func complaint(lines []string) string {
	for _, line := range lines {
		if strings.HasPrefix(line, "fio: ") {
			return quoteShort(line)
		}
	}
	if len(lines) == 0 {
		return "nothing"
	}
	return quoteShort(lines[len(lines)-1])
}

// cutObject returns the object that text begins with, and the lines that do not belong to it: those behind it and,
// blanked in the object, whole lines inside. If the object does not end, all of the text is returned as the object.
func cutObject(text []byte) (object []byte, foreign []string) {
	object = bytes.Clone(text)
	depth := 0
	for at := 0; at < len(object); {
		line := lineAt(object, at)
		if isForeign(line) {
			foreign = append(foreign, textLines(line)...)
			blank(line)
		} else if end, ended := closes(line, &depth); ended {
			return object[:at+end], append(foreign, textLines(text[at+end:])...)
		}
		at += len(line)
	}
	return object, foreign
}

// lineAt returns the line that begins at an index, with its line break.
func lineAt(text []byte, at int) []byte {
	if n := bytes.IndexByte(text[at:], '\n'); n >= 0 {
		return text[at : at+n+1]
	}
	return text[at:]
}

// isForeign reports whether a line cannot be one of JSON as fio prints it: it begins neither with a key, a bracket or a
// number.
func isForeign(line []byte) bool {
	line = bytes.TrimSpace(line)
	return len(line) > 0 && !strings.ContainsRune(`"{}[],:-0123456789`, rune(line[0]))
}

func blank(line []byte) {
	for i := range line {
		if line[i] != '\n' {
			line[i] = ' '
		}
	}
}

// closes follows the braces of a line from the depth before it, and returns the index behind the one that closes the
// object. JSON strings do not cross lines.
func closes(line []byte, depth *int) (int, bool) {
	quoted := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{':
			*depth++
		case c == '}':
			*depth--
			if *depth == 0 {
				return i + 1, true
			}
		}
	}
	return 0, false
}

// Bare NaN and infinity as C's printf writes them, and the strings that must be passed over to find them.
var (
	bareNaN      = regexp.MustCompile(`(?i)[:,\[]\s*[-+]?(nan|inf)`)
	stringsOrNaN = regexp.MustCompile(`"(?:[^"\\\n]|\\.)*"|(?i:[-+]?(?:nan|inf(?:inity)?))`)
)

// withoutNaN replaces NaN and infinity by empty strings of the same length, which number takes for not reported.
func withoutNaN(text []byte) []byte {
	if !bareNaN.Match(text) {
		return text
	}
	return stringsOrNaN.ReplaceAllFunc(text, func(token []byte) []byte {
		if token[0] == '"' {
			return token
		}
		return append([]byte(`""`), bytes.Repeat([]byte(" "), len(token)-2)...)
	})
}

// textLines splits text into its lines and drops the blank ones and the space around them. A carriage return ends a
// line too: fio's progress is written over itself.
func textLines(text []byte) []string {
	var lines []string
	for line := range bytes.FieldsFuncSeq(text, func(c rune) bool { return c == '\n' || c == '\r' }) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			lines = append(lines, string(line))
		}
	}
	return lines
}

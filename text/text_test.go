package text

import (
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestNoTextDrivesTheTerminal(t *testing.T) {
	for in, want := range map[string]string{
		"plain, 9\u202f342 µs → ★":    "plain, 9\u202f342 µs → ★",
		"two\nlines":                  "two\nlines",
		"\x1b[2J\x1b[1;31mred\x07":    `\x1b[2J\x1b[1;31mred\a`,
		"\x1b]0;title\x07":            `\x1b]0;title\a`,
		"\u009b31m":                   `\u009b31m`,
		"\x9b31m":                     "\ufffd31m",
		"PASS\rFAIL\b":                `PASS\rFAIL\b`,
		"evil\u202egpj.exe\u2066":     `evil\u202egpj.exe\u2066`,
		"no\u200bwidth\ufeff":         `no\u200bwidth\ufeff`,
		"a\tb\u2028c":                 `a\tb\u2028c`,
		`spelled already: \x1b[2J \n`: `spelled already: \x1b[2J \n`,
	} {
		if got := Visible(in); got != want {
			t.Errorf("Visible(%q) = %q, want %q", in, got, want)
		}
	}
	if got := Line("a\r\n\tb\u2028c\x1b"); got != `a   b c\x1b` {
		t.Errorf("Line: %q", got)
	}
}

func FuzzVisible(f *testing.F) {
	f.Add("\x1b[2J\u202e\xff\n")
	f.Fuzz(func(t *testing.T, s string) {
		got := Visible(s)
		for _, r := range got {
			if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
				t.Errorf("Visible(%q) has %q", s, r)
			}
		}
		if !utf8.ValidString(got) || Visible(got) != got {
			t.Errorf("Visible(%q) = %q is not visible", s, got)
		}
		if line := Line(s); strings.ContainsRune(line, '\n') || Visible(line) != line {
			t.Errorf("Line(%q) = %q", s, line)
		}
	})
}

func TestLinesBreakBetweenWordsAndLongWordsBehindACommaThatFits(t *testing.T) {
	for _, c := range []struct {
		first, rest, s string
		width          int
		want           []string
	}{
		{"", "", "", 10, []string{""}},
		{"", "", "one  two\nthree", 10, []string{"one two", "three"}},
		{"", "", "exactly 10", 10, []string{"exactly 10"}},
		{"", "", "12 of 1\u202f900 broken", 9, []string{"12 of", "1\u202f900", "broken"}},
		{"! ", "  ", "a warning with words", 12, []string{"! a warning", "  with words"}},
		{"! ", "    ", "see cache=none,fsync=1,more=2 now", 16, []string{"! see", "    cache=none,", "    fsync=1,", "    more=2 now"}},
		{"", "", "abcdefghij", 4, []string{"abcd", "efgh", "ij"}},
		{"", "", "μμμμμ μμ", 5, []string{"μμμμμ", "μμ"}},
		{"wider than it may be ", "", "ab c", 4, []string{"wider than it may be a", "b c"}},
	} {
		if d := cmp.Diff(c.want, Hang(c.first, c.rest, c.s, c.width)); d != "" {
			t.Errorf("%q after %q in %d columns (-want +got):\n%s", c.s, c.first, c.width, d)
		}
	}
}

func FuzzWrap(f *testing.F) {
	f.Add("one two, three", 5)
	f.Add("disk.cache=none,fio.fsync=1", 12)
	f.Fuzz(func(t *testing.T, s string, width int) {
		width = 1 + max(width, -width)&0xff
		lines := Wrap(s, width)
		if got, want := strings.Join(strings.Fields(strings.Join(lines, "")), ""), strings.Join(strings.Fields(s), ""); got != want {
			t.Errorf("%q became %q", want, got)
		}
		if i := slices.IndexFunc(lines, func(l string) bool { return Width(l) > width }); i >= 0 {
			t.Errorf("%q is wider than %d", lines[i], width)
		}
	})
}

func TestACutTextSaysSo(t *testing.T) {
	for n, want := range map[int]string{1: "…", 3: "µs…", 5: "µs wo", 9: "µs wo"} {
		if got := Cut("µs wo", n); got != want {
			t.Errorf("Cut to %d = %q, want %q", n, got, want)
		}
	}
}

func TestTheLastLineThatSaysSomething(t *testing.T) {
	for s, want := range map[string]string{"": "", " \n\n": "", "one": "one", "one\n  two \n\n": "two", "one\r\ntwo\r\n": "two"} {
		if got := LastLine(s); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}

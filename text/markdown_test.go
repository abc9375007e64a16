package text

import (
	"fmt"
	"strings"
	"testing"
)

func TestMarkdownShowsATextAsItIs(t *testing.T) {
	for in, want := range map[string]string{
		"disk.cache=none,fio.fsync=1": "disk.cache=none,fio.fsync=1",
		"<b>@team* `x` | [y](z)\n# !": "&lt;b&gt;&#64;team\\* \\`x\\` \\| \\[y\\](z) \\# \\!",
		"\x1b[31m\u202e":              `\\x1b\[31m\\u202e`,
		"https://a $x$ www.b":         `https&#58;//a \$x\$ www&#46;b`,
		strings.Repeat("µ", 501):      strings.Repeat("µ", 500) + "…",
	} {
		if got := EscapeMarkdown(in); got != want {
			t.Errorf("EscapeMarkdown(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestMarkdownTables(t *testing.T) {
	var m Markdown
	m.Linef("## %s\n", "title")
	m.Table([]Column{{Name: "cell"}, {Name: "IOPS", Right: true}}, [][]string{{"a|b", "1"}})
	m.List([]string{"x*"})
	m.List(nil)
	if got, want := m.Text("platter"), "## title\n\n| cell | IOPS |\n| --- | ---: |\n| a\\|b | 1 |\n\n- x\\*\n\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestALongMarkdownFitsIntoAStepSummaryAndSaysThatItWasCut(t *testing.T) {
	var m Markdown
	var rows [][]string
	for i := range 20_000 {
		rows = append(rows, []string{strings.Repeat("x", 100), fmt.Sprint(i)})
	}
	m.Table([]Column{{Name: "a"}, {Name: "b"}}, rows)
	m.Linef("behind the table")
	got := m.Text("platter show --json")
	if len(got) > maxMarkdown || !strings.Contains(got, "behind the table") || !strings.HasSuffix(got,
		"\nThis text was cut; `platter show --json` prints all of it.\n") ||
		!strings.Contains(got, "more.\n") {
		t.Errorf("%d bytes, end %q", len(got), got[len(got)-200:])
	}
}

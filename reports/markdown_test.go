package reports

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"platter/cell"
	"platter/internal/golden"
	"platter/results"
)

func markdownOf(t *testing.T, run *results.Run) string {
	t.Helper()
	var b bytes.Buffer
	if err := Markdown(&b, New(run)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTheMarkdownOfARun(t *testing.T) {
	for name, run := range map[string]*results.Run{
		"markdown.md": generated(6, 1), "markdown-failures.md": withFailures(), "markdown-none.md": generated(0, 1),
		"markdown-safety.md": withSafety(6), "markdown-safety-failures.md": withFailedCampaigns(),
	} {
		t.Run(name, func(t *testing.T) { golden.Equal(t, "testdata/"+name, []byte(markdownOf(t, run))) })
	}
}

func TestTextFromARunIsNoMarkdown(t *testing.T) {
	run := withSafety(6)
	hostile := "a|b <script>alert(1)</script> [x](http://evil) ![i](x) `c` *d* _e_ @someone #1 \x1b[2J\u202e\nnew line | --- |"
	run.Manifest.Name, run.Manifest.Banner = hostile, hostile
	run.Manifest.Cells[1].Axes = run.Manifest.Cells[1].Axes.With("disk.cache", cell.Value{V: hostile})
	run.Trials[0].Status, run.Trials[0].Metrics = results.Failed, nil
	run.Trials[0].Failure = &results.Failure{Fault: "guest", Message: hostile}
	run.Trials[2].Guards = []results.Guard{{Name: "x", Message: hostile}}
	got := markdownOf(t, run)
	for _, forbidden := range []string{"<script", " [x](", "\x1b", "\u202e", " @someone", "://", "a|b"} {
		if strings.Contains(got, forbidden) {
			t.Errorf("%q is in the text", forbidden)
		}
	}
	columns := 0
	for line := range strings.Lines(got) {
		switch n := len(splitRow(line)); {
		case !strings.HasPrefix(line, "|"):
			columns = 0
		case columns == 0:
			columns = n
		case n != columns:
			t.Errorf("a row of %d columns in a table of %d: %s", n, columns, line)
		}
	}
	if strings.Contains(got, "\nnew line") {
		t.Error("a text from the run begins a line")
	}
}

func TestMarkdownIsNeverTooLongForAStepSummary(t *testing.T) {
	run := generated(0, 1)
	for i := range 30_000 {
		value := fmt.Sprintf("%s%d", strings.Repeat("long", 10), i)
		run.Manifest.Cells = append(run.Manifest.Cells, cell.Cell{ID: value, Axes: axes("disk.cache", value, "fio.fsync", int64(1))})
	}
	got := markdownOf(t, run)
	if len(got) > 1<<20 || !strings.Contains(got, "rows more.") || !strings.Contains(got, "was cut") {
		t.Errorf("%d bytes, ending with %q", len(got), got[len(got)-200:])
	}
}

// splitRow are the texts of a row of a Markdown table as they are shown; nil for another line.
func splitRow(line string) []string {
	line, isRow := strings.CutPrefix(strings.TrimSpace(line), "| ")
	if !isRow {
		return nil
	}
	var cells []string
	text := ""
	for i := 0; i < len(line); i++ {
		switch {
		case line[i] == '\\' && i+1 < len(line):
			i++
			text += line[i : i+1]
		case line[i] == '|':
			cells, text = append(cells, strings.TrimSpace(text)), ""
		default:
			text += line[i : i+1]
		}
	}
	for i, c := range cells {
		cells[i] = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&", "&#64;", "@", "&#58;", ":", "&#46;", ".").Replace(c)
	}
	return cells
}

package reports

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"platter/cell"
	"platter/internal/golden"
	"platter/results"
)

func sparkOf(t *testing.T, run *results.Run, look SparkLook) string {
	t.Helper()
	var b bytes.Buffer
	if err := Spark(&b, New(run), look); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// wide is a run of many cells with long names in any script, and rates by second.
func wide() *results.Run {
	run := generated(4, 3)
	for i := range run.Trials {
		run.Trials[i].IOPSLog = &results.IOPSLog{IntervalS: 1}
		for s := range 60 {
			run.Trials[i].IOPSLog.IOPS = append(run.Trials[i].IOPSLog.IOPS, float64(1000+100*(s%7)))
		}
	}
	run.Manifest.Name = strings.Repeat("a long name ", 20)
	for i := range 40 {
		value := strings.Repeat("wörter ", 8) + fmt.Sprint(i)
		c := cell.Cell{ID: fmt.Sprint("cell", i), Axes: axes("disk.cache", value, "fio.fsync", int64(1))}
		run.Manifest.Cells = append(run.Manifest.Cells, c)
	}
	return run
}

var ansi = regexp.MustCompile("\x1b\\[[0-9]*m")

func TestASparkIsEightLinesOfEightyColumnsAtMost(t *testing.T) {
	for name, run := range map[string]*results.Run{
		"run": generated(6, 1), "failures": withFailures(), "safety": withSafety(6), "campaigns": withFailedCampaigns(), "none": generated(0, 1),
		"wide": wide(), "long": generated(300, 1),
	} {
		for _, look := range []SparkLook{{}, {Color: true}, {ASCII: true}} {
			t.Run(fmt.Sprintf("%s %+v", name, look), func(t *testing.T) {
				text := sparkOf(t, run, look)
				if n := strings.Count(text, "\n"); n > 8 || !strings.HasSuffix(text, "\n") {
					t.Errorf("%d lines", n)
				}
				for line := range strings.Lines(text) {
					if n := utf8.RuneCountInString(ansi.ReplaceAllString(strings.TrimSuffix(line, "\n"), "")); n > 80 {
						t.Errorf("a line of %d columns: %s", n, line)
					}
				}
				if hasColor := strings.Contains(text, "\x1b"); hasColor && !look.Color {
					t.Error("colours that nobody asked for")
				}
				if look.ASCII && strings.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) {
					t.Errorf("not ASCII:\n%s", text)
				}
				if look == (SparkLook{}) {
					golden.Equal(t, "testdata/spark-"+name+".txt", []byte(text))
				}
			})
		}
	}
	golden.Equal(t, "testdata/spark-ascii.txt", []byte(sparkOf(t, withFailures(), SparkLook{ASCII: true})))
	golden.Equal(t, "testdata/spark-color.txt", []byte(sparkOf(t, withSafety(6), SparkLook{Color: true})))
}

func TestAFailedTrialIsNeverDrawnAsARate(t *testing.T) {
	run := generated(6, 1)
	run.Trials[0].Status, run.Trials[0].Metrics = results.Failed, nil
	if got := drawnBars(bars(New(run), New(run).Cells[0]), 20); got[0].text != "x" || len(got) != 7 {
		t.Errorf("bars %+v, want x first and five more", got)
	}
	long := generated(100, 1)
	long.Trials[9*50].Status = results.Failed
	m := New(long)
	drawn := ""
	for _, part := range drawnBars(bars(m, m.Cells[0]), 10) {
		drawn += part.text
	}
	if strings.Count(drawn, "x") != 1 || utf8.RuneCountInString(drawn) != 10 {
		t.Errorf("100 blocks, one of them failed, in ten columns: %q", drawn)
	}
}

func TestASparkCannotDriveTheTerminal(t *testing.T) {
	run := withSafety(6)
	run.Manifest.Name = "\x1b[2J\nname"
	run.Manifest.Cells[0].Axes = run.Manifest.Cells[0].Axes.With("disk.cache", cell.Value{V: "\x1b]0;x\a\u202e"})
	text := sparkOf(t, run, SparkLook{})
	if strings.ContainsAny(text, "\x1b\a\u202e") || strings.Count(text, "\n") > 8 {
		t.Errorf("the terminal gets control characters: %q", text)
	}
}

package gate

import (
	"encoding/xml"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"platter/cell"
	"platter/internal/golden"
	"platter/policy"
	"platter/results"
	"platter/text"
)

// failing is a verdict with something of everything.
func failing() *Verdict {
	run := newRun(shape{seed: 4, cells: 2, blocks: 10, noise: 0.02, factor: 0.8, both: true, safety: true})
	run.Manifest.Host.Accel = "tcg"
	for i := range run.Manifest.Cells {
		c := &run.Manifest.Cells[i]
		c.Settings = c.Axes.Without(cell.SideAxis).With("disk.cache", cell.Value{V: "none"})
		if c.Side() == cell.SideAfter {
			c.Settings = c.Settings.With("disk.cache", cell.Value{V: "writeback"}).With("disk.io", cell.Value{V: "threads"})
		}
	}
	for i := range run.Safety {
		s := &run.Safety[i]
		if s.Class == cell.HostCrash && strings.HasSuffix(s.Cell, cell.SideAfter+",fio.fsync=2") {
			s.PromisesLost, s.PointsLost, s.Verdict = 12, 40, results.Loses
			s.Exposure = results.Exposure{Writes: 9, Bytes: 36864, MS: 5000, Censored: true}
		}
	}
	run.Trials[3].Status, run.Trials[3].Metrics = results.Failed, nil
	run.Trials[3].Failure = &results.Failure{Fault: "guest", Message: "kernel | <panic> \x1b[31m"}
	p := iopsPolicy(true)
	p.Performance.Rules = append(p.Performance.Rules, policy.Rule{Metric: "write_p99", Cells: map[string]string{"fio.fsync": "2"},
		Regression: 0.15},
		policy.Rule{Metric: "read_p99", Regression: 0.15, Optional: true})
	p.Evidence.LiveCuts = 1
	return JudgeAB(p, run, today, Facts{})
}

func TestTheDocumentsOfAVerdictAreThese(t *testing.T) {
	v := failing()
	for name, write := range map[string]func(*strings.Builder) error{
		"verdict.md":  func(b *strings.Builder) error { return v.Markdown(b) },
		"verdict.xml": func(b *strings.Builder) error { return v.JUnit(b) },
		"verdict.txt": func(b *strings.Builder) error { return v.Text(b) },
	} {
		var b strings.Builder
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		golden.Equal(t, filepath.Join("testdata", name), b.String())
	}
}

func TestTheTextFitsATerminal(t *testing.T) {
	v := failing()
	v.Reasons = append(v.Reasons, Reason{Inconclusive, strings.Repeat("long,", 60)}, Reason{Inconclusive, strings.Repeat("x", 300)})
	var b strings.Builder
	if err := v.Text(&b); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > text.Columns {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

// hostile is what a guest or a file may say: an escape sequence, the right-to-left override, a title, a carriage return.
const hostile = "\x1b[2J\u202eevil\x1b]0;title\x07 PASS\rok \u009b31m"

// TestNoTextOfARunDrivesATerminalOrASummary: names, reasons and messages come from files that others wrote.
func TestNoTextOfARunDrivesATerminalOrASummary(t *testing.T) {
	v := failing()
	v.Policy += hostile
	v.Banners = append(v.Banners, "a banner "+hostile)
	v.Changes = append(v.Changes, "vda: "+hostile)
	v.Reasons = append(v.Reasons, Reason{Inconclusive, "a reason " + hostile})
	v.Warnings = append(v.Warnings, "a warning "+hostile)
	v.Rules[0].Why += hostile
	v.Cells[0].Error, v.Cells[1].Cell = "an error "+hostile, "a cell"+hostile
	v.Safety[0].Why, v.Safety[1].Cell, v.Safety[0].Outcome = hostile, "a cell"+hostile, Fail
	v.Candidate[0].Command, v.Candidate[0].Host = append(v.Candidate[0].Command, hostile), hostile
	for name, write := range map[string]func(io.Writer) error{"text": v.Text, "Markdown": v.Markdown, "JUnit": v.JUnit} {
		var b strings.Builder
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		if i := strings.IndexFunc(b.String(), func(r rune) bool {
			return r != '\n' &&
				(unicode.IsControl(r) || unicode.Is(unicode.Cf, r))
		}); i >= 0 {
			t.Errorf("%s has %q", name, b.String()[max(0, i-40):i+8])
		}
		if !strings.Contains(b.String(), "evil") {
			t.Errorf("%s does not show the texts at all", name)
		}
	}
}

func TestASummaryIsNeverLongerThanOneMiBAndKeepsItsVerdict(t *testing.T) {
	v := failing()
	for i := range 40000 {
		v.Safety = append(v.Safety, SafetyResult{Cell: fmt.Sprintf("cell-%d", i), Class: cell.PowerLoss, Outcome: Pass,
			Why: strings.Repeat("w", 40)})
		v.Warnings = append(v.Warnings, strings.Repeat("warning ", 10)+fmt.Sprint(i))
	}
	var b strings.Builder
	if err := v.Markdown(&b); err != nil {
		t.Fatal(err)
	}
	if b.Len() > 1<<20 || !strings.HasPrefix(b.String(), "## platter: FAIL\n") || !strings.Contains(b.String(), "was cut") {
		t.Errorf("%d bytes, begins with %.40q", b.Len(), b.String())
	}
}

func TestJUnitIsXMLWithACaseForEachCellAndMetric(t *testing.T) {
	v := failing()
	var b strings.Builder
	if err := v.JUnit(&b); err != nil {
		t.Fatal(err)
	}
	var got junitSuites
	if err := xml.Unmarshal([]byte(b.String()), &got); err != nil {
		t.Fatal(err)
	}
	// iops and read_p99 over two cells, write_p99 over one of them; two classes over two cells.
	for i, want := range []struct{ tests, failures, errors, skipped int }{{1, 1, 0, 0}, {5, 3, 0, 2}, {4, 1, 0, 0}} {
		s := got.Suites[i]
		if s.Tests != want.tests || len(s.Cases) != want.tests || s.Failures != want.failures || s.Errors != want.errors ||
			s.Skipped != want.skipped {
			t.Errorf("%s: %d tests, %d failures, %d errors, %d skipped; want %+v", s.Name, s.Tests, s.Failures, s.Errors, s.Skipped, want)
		}
	}
}

// TestAnInconclusiveVerdictIsNotGreen: a report without a case that failed is taken for a success.
func TestAnInconclusiveVerdictIsNotGreen(t *testing.T) {
	for _, v := range []*Verdict{
		Judge(iopsPolicy(false), nil, nil, today, Facts{}),
		JudgeAB(iopsPolicy(false), &results.Run{}, today, Facts{}),
	} {
		var b strings.Builder
		if err := v.JUnit(&b); err != nil {
			t.Fatal(err)
		}
		if v.Outcome != Inconclusive || !strings.Contains(b.String(), "<error ") {
			t.Errorf("%s:\n%s", v.Outcome, b.String())
		}
	}
}

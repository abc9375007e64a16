package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"platter/cell"
	"platter/results"
)

// runDirectory makes a run directory without trials.
func runDirectory(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	text, err := json.Marshal(results.Manifest{Schema: results.Schema, Name: name, Tool: "platter test", Trials: 1,
		Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Axes: []string{"disk.cache"},
		Cells: []cell.Cell{{ID: "disk.cache=none", Axes: cell.Settings{{Name: "disk.cache", Value: cell.Value{V: "none"}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, results.ManifestFile), text, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// report runs the command as a user types it and returns what it printed.
func report(args ...string) (string, error) {
	var out bytes.Buffer
	app := &cli.App{Name: "platter", Writer: &out, ErrWriter: &out, Commands: []*cli.Command{reportCommand()},
		ExitErrHandler: func(*cli.Context, error) {}}
	setUsageErrors(app.Commands)
	err := app.RunContext(context.Background(), append([]string{"platter", "report"}, args...))
	return out.String(), err
}

func TestAReportLiesInItsRunUnlessToldOtherwise(t *testing.T) {
	dir := runDirectory(t, "first")
	elsewhere := filepath.Join(t.TempDir(), "elsewhere.html")
	for _, test := range []struct {
		args     []string
		want     string
		sections int
	}{
		{[]string{dir}, filepath.Join(dir, "report.html"), 1},
		{[]string{dir, "-o", elsewhere}, elsewhere, 1},
		{[]string{"-o", elsewhere, dir, runDirectory(t, "second")}, elsewhere, 2},
	} {
		out, err := report(test.args...)
		if err != nil {
			t.Fatalf("%q: %v", test.args, err)
		}
		if out != test.want+"\n" {
			t.Errorf("%q printed %q, want %s", test.args, out, test.want)
		}
		text, err := os.ReadFile(test.want)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), `<section class="run"`); n != test.sections {
			t.Errorf("%q wrote %d sections, want %d", test.args, n, test.sections)
		}
	}
}

func TestAReportThatCannotBeMadeLeavesTheOldOneAndNothingElse(t *testing.T) {
	dir := runDirectory(t, "broken")
	old := filepath.Join(dir, "report.html")
	if err := os.WriteFile(old, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := writeReport(old, nil, nil); err == nil {
		t.Fatal("a report of nothing was written")
	}
	if text, err := os.ReadFile(old); err != nil || string(text) != "old" {
		t.Errorf("the old report is %q, error %v", text, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("the run directory holds %v, error %v", entries, err)
	}
}

func TestReportSaysWhatIsMissing(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "RUNDIR is missing"},
		{[]string{"a", "b"}, "-o FILE"},
		{[]string{"a", "--what"}, "unknown flag --what"},
	} {
		_, err := report(test.args...)
		var usage *errUsage
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: error %v, want a usage error with %q", test.args, err, test.want)
		}
	}
	_, err := report(t.TempDir())
	var input *results.Error
	if !errors.As(err, &input) || input.Fault != results.Input {
		t.Errorf("a directory without a run: error %v, want one of bad input", err)
	}
}

func TestAReportGoesWhereAFileCanBe(t *testing.T) {
	dir := t.TempDir()
	for _, output := range []string{dir, filepath.Join(dir, "missing", "x.html")} {
		if _, err := reportPath([]string{"run"}, output); !errors.As(err, new(*errUsage)) {
			t.Errorf("-o %s: %v", output, err)
		}
	}
	if path, err := reportPath([]string{"run"}, filepath.Join(dir, "x.html")); err != nil || path != filepath.Join(dir, "x.html") {
		t.Errorf("%s, %v", path, err)
	}
}

package reports

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/perf/benchfmt"

	"platter/internal/golden"
	"platter/results"
)

func export(t *testing.T, run *results.Run, format string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Export(&b, run, format); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestExportsOfARun(t *testing.T) {
	golden.Equal(t, "testdata/export.csv", export(t, withFailures(), "csv"))
	golden.Equal(t, "testdata/export.bench", export(t, withFailures(), "benchfmt"))
	if err := Export(&bytes.Buffer{}, withFailures(), "yaml"); err == nil {
		t.Error("a format that nobody knows was written")
	}
}

func TestExportedTrialsAreThoseOfTheRun(t *testing.T) {
	run := withFailures()
	rows, err := csv.NewReader(bytes.NewReader(export(t, run, "csv"))).ReadAll()
	if err != nil || len(rows) != 1+len(run.Trials) {
		t.Errorf("%d rows of CSV (%v), want a header and %d", len(rows), err, len(run.Trials))
	}
	var object struct{ Trials []results.Trial }
	if err := json.Unmarshal(export(t, run, "json"), &object); err != nil || len(object.Trials) != len(run.Trials) {
		t.Errorf("%d trials of JSON (%v), want %d", len(object.Trials), err, len(run.Trials))
	}
	r := benchfmt.NewReader(bytes.NewReader(export(t, run, "benchfmt")), "export")
	n := 0
	for r.Scan() {
		if _, ok := r.Result().(*benchfmt.Result); !ok {
			t.Errorf("not a result: %v", r.Result())
		}
		n++
	}
	ok := New(run).OK
	if r.Err() != nil || n != ok {
		t.Errorf("%d benchmarks (%v), want the %d trials that went well", n, r.Err(), ok)
	}
}

func TestBenchstatReadsTheExport(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.bench")
	if err := os.WriteFile(path, export(t, generated(6, 1), "benchfmt"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("go", "run", "golang.org/x/perf/cmd/benchstat", "-col", "/fsync", "-row", "/cache", path).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "writeback") || !strings.Contains(string(out), "iops") {
		t.Errorf("benchstat: %v\n%s", err, out)
	}
}

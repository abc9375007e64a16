package reports

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"platter/internal/golden"
	"platter/results"
)

// withFailures has a cell that was never measured, one with a failed trial, and a torn journal.
func withFailures() *results.Run {
	run := generated(6, 1)
	run.Torn = true
	for i := range run.Trials {
		t := &run.Trials[i]
		if t.Cell == "disk.cache=none,fio.fsync=0" || t.Order == 1 {
			t.Status, t.Metrics, t.Guards = results.Failed, nil, nil
			t.Failure = &results.Failure{Fault: "guest", Message: "guest does not answer", Console: []string{"Kernel panic"}}
		}
	}
	return run
}

func TestTheTableOfARun(t *testing.T) {
	for name, run := range map[string]*results.Run{
		"table.txt": generated(6, 1), "table-few.txt": generated(2, 1), "table-failures.txt": withFailures(), "table-none.txt": generated(0, 1),
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := Table(&b, New(run)); err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(b.String()) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
					t.Errorf("a line of %d columns: %s", n, line)
				}
			}
			golden.Equal(t, "testdata/"+name, b.Bytes())
		})
	}
}

func TestTheJSONOfARun(t *testing.T) {
	for name, run := range map[string]*results.Run{"run.json": generated(6, 1), "run-failures.json": withFailures()} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := JSON(&b, New(run)); err != nil {
				t.Fatal(err)
			}
			golden.Equal(t, "testdata/"+name, b.Bytes())
		})
	}
}

func TestWhatWasNotMeasuredIsAbsentAndNeverZero(t *testing.T) {
	var b bytes.Buffer
	if err := JSON(&b, New(generated(2, 1))); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Cells []map[string]json.RawMessage `json:"cells"`
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for _, c := range got.Cells {
		var iops, path, latency map[string]json.RawMessage
		for key, into := range map[string]any{"iops": &iops, "flush_path": &path, "latency": &latency} {
			if err := json.Unmarshal(c[key], into); err != nil {
				t.Fatal(err)
			}
		}
		if _, ok := iops["lo"]; ok {
			t.Error("two trials have an interval")
		}
		if _, ok := path["image"]; ok {
			t.Error("the image's flushes were not counted and have a count")
		}
		if _, ok := latency["read"]; ok {
			t.Error("nothing was read and reads have a latency")
		}
	}
}

func TestTheAnswerComparesOnlyCellsThatDoTheSameWork(t *testing.T) {
	of := func(cache string, fsync, iops float64) Cell {
		return measured(Cell{ID: fmt.Sprint(cache, fsync), Axes: axes("disk.cache", cache, "fio.fsync", fsync)}, iops, 6)
	}
	m := &Model{OK: 4, standard: theDefault(nil), Cells: []Cell{of("none", 0, 100), of("unsafe", 0, 90), of("none", 1, 10),
		of("unsafe", 1, 20)}}
	want := "Fastest at fsync=0: cache=none with 100 IOPS. Fastest at fsync=1: cache=unsafe with 20 IOPS. 4 trials, 4 cells. Safety is not " +
		"measured in this run."
	if got := strings.Join(answer(m), " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	m.Cells = append(m.Cells, of("none", 8, 1), of("unsafe", 8, 2), of("none", 32, 1), of("unsafe", 32, 2))
	one := func(fsync, iops float64) Cell {
		return measured(Cell{ID: fmt.Sprint(fsync), Axes: axes("fio.fsync", fsync)}, iops, 6)
	}
	same := &Model{OK: 2, Cells: []Cell{one(0, 9), one(1, 3)}}
	if got, want := strings.Join(answer(same), " "),
		"Measured at fsync=0: 9 IOPS. Measured at fsync=1: 3 IOPS. 2 trials, 2 cells. Safety is not measured in this run."; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	want = "Fastest in 3 of 4 workloads: cache=unsafe (fsync=1; fsync=8; fsync=32). Fastest in 1 of 4 workloads: cache=none (fsync=0). 4 " +
		"trials, 8 cells. Safety is not measured in this run."
	if got := strings.Join(answer(m), " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	m.Cells = append(m.Cells, of("writeback", 1, 10), of("writeback", 8, 1), of("writeback", 32, 8))
	want = "Fastest in 2 of 4 workloads: cache=unsafe (fsync=1; fsync=8); ×2 of cache=writeback, QEMU's default. " +
		"Fastest in 1 of 4 workloads: cache=none (fsync=0). Fastest in 1 of 4 workloads: cache=writeback (fsync=32)."
	if got := strings.Join(answer(m), " "); !strings.HasPrefix(got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestBlocksOfAnotherSpeedAreSaid(t *testing.T) {
	run := generated(6, 1)
	for i := range run.Trials {
		if run.Trials[i].Block == 4 {
			run.Trials[i].Metrics.Write.IOPS /= 3
		}
	}
	said := func(m *Model) string {
		for _, w := range m.Warnings {
			if w.Name == "blocks" {
				return w.Message
			}
		}
		return ""
	}
	if got := said(New(run)); !strings.Contains(got, "×0.33 as fast in block 5 as in block") {
		t.Errorf("a block of a third of the speed: %q", got)
	}
	run = generated(6, 1)
	for i := range run.Trials { // one cell alone is the disk's, not the machine's
		if run.Trials[i].Block == 4 && run.Trials[i].Cell == run.Manifest.Cells[0].ID {
			run.Trials[i].Metrics.Write.IOPS /= 3
		}
	}
	if got := said(New(run)); got != "" {
		t.Errorf("one slow trial: %q", got)
	}
	for i := range run.Trials { // nor is one that did nothing
		if run.Trials[i].Block == 4 && run.Trials[i].Cell == run.Manifest.Cells[0].ID {
			run.Trials[i].Metrics.Write.IOPS = 0
		}
	}
	if got := said(New(run)); got != "" {
		t.Errorf("a trial without an operation: %q", got)
	}
	for _, few := range []int{0, 1} {
		if got := said(New(generated(few, 1))); got != "" {
			t.Errorf("%d blocks: %q", few, got)
		}
	}
}

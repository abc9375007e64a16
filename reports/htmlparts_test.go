package reports

import (
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"platter/flushpath"
	"platter/results"
)

func TestAFrontHasTheCellsThatNoneOfTheirWorkloadBeats(t *testing.T) {
	safe := func(ms float64) *viewLoss { return &viewLoss{Verdict: results.Safe, MS: ms} }
	lost := func(part float64) *viewLoss { return &viewLoss{Verdict: results.Loses, Lost: part} }
	least := func(ms float64) *viewLoss { return &viewLoss{Verdict: results.NoPromise, MS: ms, Least: true} }
	type cell struct {
		work  int
		speed float64
		loss  *viewLoss
	}
	for _, test := range []struct {
		name  string
		cells []cell
		less  bool // is better
		want  []int
	}{
		{"the faster of two as safe", []cell{{0, 1, safe(0)}, {0, 2, safe(0)}}, false, []int{1}},
		{"both where each is better in one", []cell{{0, 1, safe(0)}, {0, 2, safe(5)}}, false, []int{0, 1}},
		{"equal ones both", []cell{{0, 2, safe(0)}, {0, 2, safe(0)}}, false, []int{0, 1}},
		{"workloads do not compare", []cell{{0, 1, safe(0)}, {1, 2, safe(0)}}, false, []int{0, 1}},
		{"less latency is better", []cell{{0, 1, safe(0)}, {0, 2, safe(0)}}, true, []int{0}},
		{"a promise lost outweighs any exposure", []cell{{0, 1, safe(5000)}, {0, 1, lost(0.001)}}, false, []int{0}},
		{"a loss without a lost promise counted is one", []cell{{0, 1, safe(9)}, {0, 1, lost(0)}}, false, []int{0}},
		{"what is exposed since the start has no order", []cell{{0, 2, least(3000)}, {0, 1, least(2990)}}, false, []int{0}},
		{"and is worse than any age", []cell{{0, 1, least(10)}, {0, 1, &viewLoss{Verdict: results.NoPromise, MS: 3000}}}, false, []int{1}},
		{"without a valid verdict none is drawn", []cell{{0, 9, nil}, {0, 1, safe(0)}}, false, []int{1}},
	} {
		d := viewData{Works: []string{"a", "b"}, Metrics: []viewMetric{{More: !test.less}}}
		for _, c := range test.cells {
			d.Cells = append(d.Cells, viewCell{Work: c.work, Metrics: []*viewFigure{{Value: c.speed}}, Losses: []*viewLoss{c.loss}})
		}
		if got := d.front(0, 0); !slices.Equal(got, test.want) {
			t.Errorf("%s: the front is %v, want %v", test.name, got, test.want)
		}
	}
}

func TestAStripKeepsTheWorstOfEachStretch(t *testing.T) {
	r := SafetyRow{Safety: results.Safety{Verdict: results.Loses}}
	for i, lost := range []int64{0, 0, 3, 0, 0, 0} {
		r.Strip = append(r.Strip, results.StripPoint{CrashPoint: results.CrashPoint{MS: float64(10 * i)}, PromisesLost: lost})
	}
	if s := newStrip(r, 0, 0, 1); !slices.Equal(s.MS, []float64{0, 20, 30}) || !slices.Equal(s.Lost, []int64{0, 3, 0}) || s.End != 50 {
		t.Errorf("the strip is %+v", s)
	}
	if s := newStrip(r, 0, 0, 4); !slices.Equal(s.Lost, []int64{3, 0}) {
		t.Errorf("coarser it is %+v: the loss must stay", s)
	}
	r.Seconds = 0.08
	r.Strip[5].ExposedMS = 0.002
	if s := newStrip(r, 0, 0, 1); s.End != 80 || s.Exposed[len(s.Exposed)-1] == 0 {
		t.Errorf("the log went on to 80 ms, and exposed something at its end: %+v", s)
	}
}

func TestCountsOfFlushesAreHeldAgainstTheModel(t *testing.T) {
	n := func(v int64) *int64 { return &v }
	path := func(fio, guest, qemu int64) results.FlushPath {
		return results.FlushPath{Fio: n(fio), Guest: n(guest), QEMU: n(qemu)}
	}
	for _, test := range []struct {
		name     string
		expected flushpath.Expected
		counts   results.FlushPath
		image    *int64 // of a campaign of 400 writes with 99 flushes at QEMU
		want     string
		differs  bool
	}{
		{"all arrive", flushpath.Expected{Guest: flushpath.Arrive, QEMU: flushpath.Arrive, Image: flushpath.Arrive}, path(99, 99, 99), n(99),
			absent, false},
		{"unsafe", flushpath.Expected{Guest: flushpath.Arrive, QEMU: flushpath.Arrive, Image: flushpath.AreDropped}, path(99, 99, 99), n(0),
			"swallowed between QEMU and the image", false},
		{"writethrough", flushpath.Expected{Guest: flushpath.NoneNeeded, QEMU: flushpath.NoneNeeded, Image: flushpath.EachWrite}, path(99, 0, 0),
			n(400), "not needed above QEMU, which flushes after each write", false},
		{"swallowed against the model", flushpath.Expected{Guest: flushpath.Arrive, QEMU: flushpath.Arrive, Image: flushpath.Arrive},
			path(99, 0, 0), nil, "≠ swallowed between the application and the guest’s disk, and the model expects them to arrive", true},
		{"unsafe that flushes", flushpath.Expected{Guest: flushpath.Arrive, QEMU: flushpath.Arrive, Image: flushpath.AreDropped},
			path(99, 99, 99), n(99), "≠ flushes arrive at the image, and the model expects them to be swallowed", true},
		{"one in a hundred is not swallowed", flushpath.Expected{Guest: flushpath.Arrive, QEMU: flushpath.Arrive, Image: flushpath.Arrive},
			path(100, 1, 1), nil, absent, false},
	} {
		r := flushRow{Expected: &test.expected}
		if test.image != nil {
			r.Campaign = &results.Safety{Writes: 400, FlushPath: results.FlushPath{QEMU: n(99), Image: test.image}}
		}
		r.compare(Cell{Trials: 1, Writes: 400, FlushPath: test.counts})
		if r.FoundText() != test.want || r.Differs != test.differs {
			t.Errorf("%s: %q, differs %v; want %q, %v", test.name, r.FoundText(), r.Differs, test.want, test.differs)
		}
	}
}

func TestTheRawFilesOfACellAreShownAsFarAsTheyAreThere(t *testing.T) {
	run := generated(6, 1)
	run.Dir = t.TempDir()
	write := func(cell, name, text string) {
		dir := filepath.Join(run.Dir, "raw", cell, "0")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	domain := "<domain>\n  <disk type='file'>\n  </disk>\n  <disk type='file'>\n    <serial>platter-scratch</serial>\n  </disk>\n</domain>\n"
	for _, c := range run.Manifest.Cells[:2] {
		write(c.ID, "domain.xml", domain)
	}
	write(run.Manifest.Cells[0].ID, "job.fio", strings.Repeat("x", maxRawFile+1))
	raw := rawCells(New(run))
	if len(raw) != 2 || raw[0].Domain != domain || !raw[0].Whole || !strings.HasSuffix(raw[0].Job, "x\n… cut") ||
		len(raw[0].Job) > maxRawFile+10 {
		t.Fatalf("shown is %+v", raw)
	}
	if want := "  <disk type='file'>\n    <serial>platter-scratch</serial>\n  </disk>"; raw[1].Domain != want || raw[1].Whole {
		t.Errorf("the second cell's disk is %q", raw[1].Domain)
	}
	job := filepath.Join(run.Dir, "raw", run.Manifest.Cells[1].ID, "0", "job.fio")
	secret := filepath.Join(t.TempDir(), "secret")
	if err := errors.Join(os.WriteFile(secret, []byte("secret"), 0o644), os.Symlink(secret, job)); err != nil {
		t.Fatal(err)
	}
	if raw := rawCells(New(run)); raw[1].Job != "" {
		t.Errorf("a link led out of the run directory: %q", raw[1].Job)
	}
	if err := errors.Join(os.Remove(job), syscall.Mkfifo(job, 0o644)); err != nil {
		t.Fatal(err)
	}
	if raw := rawCells(New(run)); raw[1].Job != "" {
		t.Errorf("a pipe was read: %q", raw[1].Job)
	}
	run.Manifest.Cells[0].ID = "../../etc"
	if raw := rawCells(New(run)); len(raw) != 1 {
		t.Errorf("a cell's name led out of the run directory: %+v", raw)
	}
}

func TestAVerdictOfTheMatrixIsTheWorstOfItsQuestions(t *testing.T) {
	m := New(withSafety(6))
	verdicts := newVerdictMatrix(m, m.asked())
	if verdicts.Corner != `cache \ fsync` || !slices.Equal(verdicts.Columns, []string{"0", "1"}) {
		t.Errorf("it has %q over %q", verdicts.Corner, verdicts.Columns)
	}
	got := map[string]string{}
	for _, r := range verdicts.Rows {
		for i, c := range r.Cells {
			text := c.Text
			if c.Best {
				text += "★"
			}
			_, note, _ := strings.Cut(c.Note, " · ")
			got[r.Name+" "+verdicts.Columns[i]] = text + " " + note
		}
	}
	for cell, want := range map[string]string{
		"none 0": "no promise ≥5.0\u202fs", "none 1": "SAFE ", "writeback 1": "LOSES power", "writethrough 1": "SAFE★ ×1.49 [1.48 – 1.51]",
		"directsync 1": "INVALID QEMU kill", "unsafe 1": "LOSES host, power", "unsafe 0": " ",
	} {
		if got[cell] != want {
			t.Errorf("%s is %q, want %q", cell, got[cell], want)
		}
	}
}

func TestEachClassHasItsAnswer(t *testing.T) {
	m := New(withSafety(6))
	answers := map[string]string{}
	for _, a := range m.Answers {
		answers[a.Name] = strings.Join(a.Lines, " ")
	}
	if len(m.Answers) != 6 || m.Answers[0].Name != "everything that was asked" {
		t.Errorf("%d answers", len(m.Answers))
	}
	if !strings.Contains(answers["QEMU kill"], "unsafe") || strings.Contains(answers["host crash"], "Fastest SAFE at fsync=1: cache=unsafe") {
		t.Errorf("the answers are %q", answers)
	}
}

func TestALogWithAbsurdFiguresEndsNoReport(t *testing.T) {
	const absurd = math.MaxFloat64
	for _, log := range []results.IOPSLog{
		{IntervalS: absurd, IOPS: []float64{1, 2}}, {IntervalS: 1, IOPS: []float64{absurd, absurd}}, {IntervalS: -1, IOPS: []float64{1}},
		{IntervalS: 1e-300, IOPS: slices.Repeat([]float64{1}, 100)}, {IOPS: []float64{1}},
		{IntervalS: 1, IOPS: slices.Repeat([]float64{absurd}, maxCourseValues)},
	} {
		run := withSafety(6)
		for i := range run.Trials {
			run.Trials[i].IOPSLog = &log
		}
		s := &run.Safety[0]
		s.Seconds, s.Strip[3].MS, s.Strip[3].ExposedMS = absurd, absurd, absurd
		if err := writeHTML(io.Discard, assets, nil, []*Model{New(run)}); err != nil {
			t.Errorf("%v, %d values: %v", log.IntervalS, len(log.IOPS), err)
		}
	}
}

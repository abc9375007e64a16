package reports

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"platter/cell"
	"platter/results"
)

// recordedRun is a run with operation logs: its cells were made by a real guest, one of them under cache=unsafe.
func recordedRun(t testing.TB) *results.Run {
	t.Helper()
	run, err := results.Read("../cmd/platter/testdata/schema1/run")
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// firstWriteRun is a made-up run with the log of a real campaign under QEMU 10.
func firstWriteRun(t testing.TB) *results.Run {
	t.Helper()
	run := withSafety(6)
	run.Dir = t.TempDir()
	run.Manifest.Host.QEMU = "10.0.13"
	run.Manifest.Host.Libvirt = "11.3.0"
	id := "disk.cache=writethrough,fio.fsync=1"
	run.Safety = []results.Safety{{Cell: id, Class: cell.PowerLoss, DriveCache: cell.Volatile, Status: results.OK, Verdict: results.Loses,
		Predicted: results.Safe, CrashPoints: 32, Promises: 5, PromisesLost: 1, Writes: 5, Worst: &results.CrashPoint{Point: 3, MS: 1761.9}}}
	dir := filepath.Join(run.Dir, results.SafetyDir(id))
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS(firstWriteCampaign)); err != nil {
		t.Fatal(err)
	}
	return run
}

func TestTheReportDrawsTheWorstLossOfEachLosingCell(t *testing.T) {
	m := New(recordedRun(t))
	drawn, problems := drawLosses(m)
	if len(drawn) != 1 || len(problems) != 0 {
		t.Fatalf("%d losses are drawn, problems %q", len(drawn), problems)
	}
	l := drawn[0]
	if l.Timeline.Lost == 0 || !strings.Contains(l.Name, "cache=unsafe") || !strings.Contains(l.Text, "CUT") || len(l.Again.Lines) == 0 {
		t.Errorf("%+v", l)
	}
	v := newViewTimeline(l)
	if v.Cut < 0 || v.Near[0] > v.Cut || v.Near[1] < v.Cut || len(v.Lanes) == 0 {
		t.Errorf("looks first at %v, the cut is behind step %d of %d", v.Near, v.Cut, len(v.Events))
	}
	for _, lane := range v.Lanes {
		for _, s := range lane.Spans {
			if from, to := s[1].(int), s[2].(int); from < 0 || to < from || to >= len(v.Events) {
				t.Errorf("a span from step %d to %d of %d", from, to, len(v.Events))
			}
		}
	}
	text, err := json.Marshal(v)
	if err != nil || len(text) > 64<<10 {
		t.Errorf("%d bytes of JSON, %v", len(text), err)
	}
	var page bytes.Buffer
	if err := HTML(&page, nil, m); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"The same drawn in text", "platter powercut host-crash", "lost", `qemu-io -f raw -t unsafe`} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("no %q on the page", want)
		}
	}
}

func TestAReportWithoutTheLogsSaysHowToGetThem(t *testing.T) {
	run := recordedRun(t)
	run.Dir = t.TempDir()
	m := New(run)
	drawn, problems := drawLosses(m)
	if len(drawn) != 0 || len(problems) != 1 || !strings.Contains(problems[0], "oplog.gz is not in the run directory") {
		t.Fatalf("%d drawn, %q", len(drawn), problems)
	}
	// A campaign without its log, and a damaged log.
	dir := filepath.Join(run.Dir, results.SafetyDir(m.Safety.Rows[0].Cell))
	for _, r := range m.Safety.Rows {
		if r.Safety.Verdict == results.Loses {
			dir = filepath.Join(run.Dir, results.SafetyDir(r.Cell))
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"campaign.json", "oplog.gz"} {
		content, err := os.ReadFile(unsafeCampaign + name)
		if err != nil {
			t.Fatal(err)
		}
		if name == "oplog.gz" {
			content = content[:len(content)/2]
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
		_, problems := drawLosses(m)
		want := map[string]string{"campaign.json": "oplog.gz is not in the run directory", "oplog.gz": "the log is cut short"}[name]
		if len(problems) != 1 || !strings.Contains(problems[0], want) {
			t.Errorf("with %s: %q, want %q", name, problems, want)
		}
		var page bytes.Buffer
		if err := HTML(&page, nil, m); err != nil || !strings.Contains(page.String(), "Losses that are not drawn here") {
			t.Errorf("with %s: %v", name, err)
		}
	}
}

func TestABrowserDrawsALoss(t *testing.T) {
	needBrowser(t)
	path := reportFile(t, firstWriteRun(t))
	for _, view := range []struct {
		scheme string
		width  int64
	}{{"light", 1280}, {"dark", 390}} {
		b := newBrowser(t)
		b.open(t, path, view.width, view.scheme)
		var drawn *drawing
		for _, d := range evaluate[[]drawing](t, b, drawingsScript) {
			if d.ID == "run1-timeline" {
				drawn = &d
			}
		}
		if drawn == nil || drawn.Shapes < 10 || drawn.Width != drawn.Room {
			t.Fatalf("%s, %d wide: %+v", view.scheme, view.width, drawn)
		}
		said := strings.Join(drawn.Texts, " ")
		for _, want := range []string{"job 0", "flushes", "page cache", "medium", "cut"} {
			if !strings.Contains(said, want) {
				t.Errorf("%d wide: no %q in the chart: %s", view.width, want, said)
			}
		}
		evaluate[int](t, b, `(() => { const w = document.createElement("div"), f = document.getElementById("run1-timeline").closest("figure");
  w.id = "shot"; f.before(w); w.append(f, document.querySelector(".drawn")); return 1 })()`)
		image, err := chromedp.Run(b.ctx, chromedp.Screenshot(chromedp.CSS("#shot")))
		if err != nil {
			t.Fatal(err)
		}
		keep(t, fmt.Sprintf("timeline-%s-%d.png", view.scheme, view.width), image)
		numbers := b.numbers(t, "run1-timeline-numbers")
		cut := slices.IndexFunc(numbers, func(row []string) bool { return row[0] == "cut" })
		if cut != 4 || !strings.HasPrefix(numbers[cut-1][2], "lost: job 0: writes up to 1 are promised") ||
			!slices.ContainsFunc(numbers[cut:], func(row []string) bool { return strings.HasPrefix(row[2], "flush takes effect: write 1 of job 0") }) {
			t.Errorf("the promise, the cut and the flush do not stand in this order: %q", numbers)
		}
		// The red shapes are the write, the promise and where the write lay: in flight, in the page cache, and later on the medium.
		if red := evaluate[int](t, b, `document.querySelectorAll("#run1-timeline svg path[fill='var(--bad)']").length`); red < 4 {
			t.Errorf("%d red shapes", red)
		}
		// Along time the same operations are drawn.
		b.choose(t, "run1-timeline-axis", 1)
		if name := evaluate[string](t, b, `document.querySelector("#run1-timeline svg").textContent`); !strings.Contains(name, "ms since the log") {
			t.Errorf("across is %s", name)
		}
		if image, err = chromedp.Run(b.ctx, chromedp.Screenshot(chromedp.CSS("#shot"))); err != nil {
			t.Fatal(err)
		}
		keep(t, fmt.Sprintf("timeline-time-%s-%d.png", view.scheme, view.width), image)
		if overflow := evaluate[int](t, b, `document.documentElement.scrollWidth - innerWidth`); overflow > 0 {
			t.Errorf("the page is %d pixels wider than the window", overflow)
		}
		b.quiet(t, path)
	}
}

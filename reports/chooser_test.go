package reports

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"platter/results"
	"platter/text"
)

// choose sets a select as a user does.
func (b *browser) choose(t *testing.T, id string, option int) {
	t.Helper()
	evaluate[int](t, b, fmt.Sprintf(`(() => { const s = document.getElementById(%q); s.value = %q; s.dispatchEvent(new Event("change", { bubbles: true })); return 1 })()`, id, fmt.Sprint(option)))
}

// numbers are the texts of a table, row by row, its head first.
func (b *browser) numbers(t *testing.T, id string) [][]string {
	t.Helper()
	return evaluate[[][]string](t, b,
		fmt.Sprintf(`[...document.getElementById(%q).rows].filter((r) => !r.hidden).map((r) => [...r.cells].map((c) => c.textContent))`, id))
}

func TestEveryOptionOfEveryChooserDrawsAndIsRemembered(t *testing.T) {
	needBrowser(t)
	b := newBrowser(t)
	path := reportFile(t, withSafety(6))
	b.open(t, path, 1280, "light")
	type result struct {
		ID      string
		Options int
		Shapes  []int
		Marked  bool // its value stands in the fragment
	}
	all := evaluate[[]result](t, b, `[...document.querySelectorAll("select[id]")].map((s) => {
  const as = s.value, chart = document.getElementById(s.id.replace(/-[^-]*$/, ""));
  const r = { ID: s.id, Options: s.options.length, Shapes: [], Marked: true };
  for (const o of s.options) {
    s.value = o.value;
    s.dispatchEvent(new Event("change"));
    r.Shapes.push(chart?.querySelectorAll("svg path, svg polygon, svg rect, svg circle").length ?? -1);
    r.Marked &&= s.value === as || new URLSearchParams(location.hash.slice(1)).get(s.id) === s.value;
  }
  s.value = as;
  s.dispatchEvent(new Event("change"));
  return r;
})`)
	if len(all) < 12 {
		t.Errorf("%d choosers, want more", len(all))
	}
	for _, r := range all {
		if !r.Marked {
			t.Errorf("%s: what is chosen is not in the fragment", r.ID)
		}
		for o, n := range r.Shapes {
			if n >= 0 && n < 3 {
				t.Errorf("%s, option %d: %d shapes", r.ID, o, n)
			}
		}
	}
	evaluate[int](t, b, `(() => {
  const chart = document.getElementById("run1-heat"), box = chart.getBoundingClientRect();
  for (const kind of ["pointermove", "mousemove"]) chart.querySelector("svg").dispatchEvent(new PointerEvent(kind, { bubbles: true, clientX: box.left + box.width / 2, clientY: box.top + 80 }));
  return 1;
})()`)
	told := false
	for i := 0; i < 200 && !told; i++ { // it is drawn with the next frame
		told = evaluate[bool](t, b, `document.getElementById("run1-heat").textContent.includes("cache=none, fsync=")`)
	}
	if !told {
		t.Error("the pointer over a cell of the heat map tells nothing")
	}
	if hash := evaluate[string](t, b, `location.hash`); hash != "" {
		t.Errorf("all is as it came, and the fragment is %s", hash)
	}
	b.quiet(t, path)
}

func TestAViewIsLinkedByItsFragmentAndWorksFromTheKeyboard(t *testing.T) {
	needBrowser(t)
	b := newBrowser(t)
	path := reportFile(t, withSafety(6))
	b.open(t, path, 1280, "light")
	if _, err := chromedp.Run(b.ctx, chromedp.SendKeys(chromedp.CSS("#run1-heat-metric"), "b")); err != nil {
		t.Fatal(err)
	}
	if got := evaluate[string](t, b, `location.hash`); got != "#run1-heat-metric=1" {
		t.Errorf("after a key the fragment is %q", got)
	}
	want := b.numbers(t, "run1-heat-numbers")
	if !strings.Contains(fmt.Sprint(want), "MiB/s") {
		t.Errorf("no bandwidth among %q", want)
	}
	evaluate[int](t, b, `(location.hash = "#run1-under=1&run1-heat-metric=1&run1-speed=-2", 1)`)
	if err := chromedp.Do(b.ctx, chromedp.WaitReady(chromedp.CSS("#run1-speed [aria-sort]"))); err != nil {
		t.Fatal(err)
	}
	if got := evaluate[string](t, b,
		`[...document.querySelectorAll("[data-shown]")].filter((e) => !e.hidden).map((e) => e.dataset.value).join()`); got != "1" {
		t.Errorf("shown is answer %s, want the second alone", got)
	}
	rows := b.numbers(t, "run1-speed")[1:]
	model := New(withSafety(6))
	slices.SortStableFunc(model.Cells, func(a, b Cell) int { return int(b.IOPS.Median - a.IOPS.Median) })
	for i, c := range model.Cells {
		if rows[i][2] != text.Number(c.IOPS.Median) {
			t.Errorf("row %d of the sorted table has %s IOPS, want %s", i, rows[i][2], text.Number(c.IOPS.Median))
		}
	}
	if got := evaluate[string](t, b,
		`document.querySelector("#run1-speed [aria-sort]").textContent + document.querySelector("#run1-speed [aria-sort]").ariaSort`); got != "IOPSdescending" {
		t.Errorf("sorted is %q", got)
	}
	b.quiet(t, path)
}

func TestTheNumbersOfTheViewsAreThoseOfTheModel(t *testing.T) {
	needBrowser(t)
	run := withSafety(6)
	m := New(run)
	b := newBrowser(t)
	path := reportFile(t, run)
	b.open(t, path, 1280, "light")
	cell := func(mode, fsync string) Cell {
		return m.Cells[slices.IndexFunc(m.Cells, func(c Cell) bool {
			return c.Axes[0].Value.String() == mode &&
				c.Axes[1].Value.String() == fsync
		})]
	}
	places := newStandings(workloads(m.Cells))
	marked := func(c Cell) string {
		switch place := places.of[c.ID]; {
		case place.fastest:
			return text.Number(c.IOPS.Median) + " ★"
		case place.near():
			return text.Number(c.IOPS.Median) + " ≈"
		}
		return text.Number(c.IOPS.Median)
	}
	for i, figure := range []func(Cell) string{marked, func(c Cell) string { return text.Bytes(c.BW.Median) + "/s" },
		func(c Cell) string { return text.Duration(c.Latency["write"].P50) },
		func(c Cell) string { return text.Duration(c.Latency["write"].P99) }} {
		b.choose(t, "run1-heat-metric", i)
		table := b.numbers(t, "run1-heat-numbers")
		for _, row := range table[1:] {
			for k, line := range row[1:] {
				want := absent
				if row[0] != "unsafe" || table[0][1+k] != "0" {
					want = figure(cell(row[0], table[0][1+k]))
				}
				if line != want {
					t.Errorf("figure %d of %s, fsync=%s is %s, want %s", i, row[0], table[0][1+k], line, want)
				}
			}
		}
	}
	blocks := b.numbers(t, "run1-blocks-numbers")
	if len(blocks) != 7 {
		t.Fatalf("blocks are %q", blocks)
	}
	for k, mode := range blocks[0][1:] {
		for _, r := range cell(mode, "1").Rates {
			if got, want := blocks[1+r.Block][1+k], text.Number(r.IOPS); got != want {
				t.Errorf("%s, block %d: %s, want %s", mode, r.Block, got, want)
			}
		}
	}
	for q, question := range m.Safety.Questions {
		b.choose(t, "run1-pareto-class", q)
		b.choose(t, "run1-strips-class", q)
		drawn := map[string][]string{}
		for _, row := range b.numbers(t, "run1-pareto-numbers")[1:] {
			drawn[row[0]] = row[1:]
		}
		strips := map[string][]string{}
		for _, row := range b.numbers(t, "run1-strips-numbers")[1:] {
			strips[row[0]] = row[1:]
		}
		b.choose(t, "run1-exposure-class", q)
		ages := map[string][]string{}
		for _, row := range b.numbers(t, "run1-exposure-numbers")[1:] {
			ages[row[0]] = row[1:]
		}
		for _, c := range m.Cells {
			r := m.Safety.row(c.ID, question)
			if got, want := ages[labelOf(c.Axes)], exposedFor(r, 0.5, 0.95, 1); !slices.Equal(got, want) {
				t.Errorf("%s, %s: of the time are exposed %q, want %q", c.ID, question, got, want)
			}
			row, shown := drawn[labelOf(c.Axes)]
			if shown != (r.Verdict != results.Invalid) {
				t.Errorf("%s, %s: %s, shown %v", c.ID, question, r.Verdict, shown)
			}
			if shown && (row[0] != text.Number(c.IOPS.Median) || row[1] != r.Safety.Verdict) {
				t.Errorf("%s, %s: drawn as %q", c.ID, question, row)
			}
			lost := absent
			if r.Verdict != results.NoPromise {
				lost = text.Count(r.PromisesLost)
			}
			if got := strips[labelOf(c.Axes)]; got == nil || got[0] != lost {
				t.Errorf("%s, %s: the strip has %q, want %s lost", c.ID, question, got, lost)
			}
		}
		worst := b.numbers(t, "run1-worst")[1:]
		losing := 0
		for _, r := range m.Safety.Rows {
			if r.Answers() == question && (r.PromisesLost > 0 || r.Exposure.Writes > 0) {
				losing++
			}
		}
		if len(worst) != losing {
			t.Errorf("%s: %d worst points, want %d", question, len(worst), losing)
		}
	}
	b.quiet(t, path)
}

// exposedFor are the ages that a crash takes at most for such shares of the log's time, in words. Losses of a generated log grow.
func exposedFor(r *SafetyRow, shares ...float64) []string {
	s := newStrip(*r, 0, 0, 1)
	var texts []string
	for _, share := range shares {
		at := s.MS[0] + share*(s.End-s.MS[0])
		i := slices.IndexFunc(s.MS, func(ms float64) bool { return ms >= at })
		if i < 0 {
			i = len(s.MS) - 1
		}
		age := SafetyRow{Safety: results.Safety{Exposure: results.Exposure{MS: s.Exposed[i], Censored: share == 1 && r.Exposure.Censored}}}.Age()
		if s.Exposed[i] == 0 {
			age = "0"
		}
		texts = append(texts, age)
	}
	return texts
}

func TestTheAnswerStandsOnTheFirstScreenBeforeAnyChart(t *testing.T) {
	needBrowser(t)
	b := newBrowser(t)
	path := reportFile(t, withSafety(6))
	b.open(t, path, 1280, "light")
	for what, bottom := range evaluate[map[string]float64](t, b, `Object.fromEntries([["answer", ".answer"], ["verdicts", ".matrix"], ["claims", ".claims"], ["warnings", ".warnings"]]
  .map(([name, css]) => [name, document.querySelector(css).getBoundingClientRect().bottom]))`) {
		if bottom > 900 {
			t.Errorf("%s end %v pixels down", what, bottom)
		}
	}
	if first := evaluate[float64](t, b,
		`document.querySelector(".chart").getBoundingClientRect().top - document.querySelector(".answers").getBoundingClientRect().bottom`); first < 0 {
		t.Errorf("a chart stands %v pixels above the end of the answer", -first)
	}
	b.quiet(t, path)
}

func TestABrowserOpensReportsOfEveryKind(t *testing.T) {
	needBrowser(t)
	long := generated(2, 1)
	for i := range long.Trials {
		long.Trials[i].IOPSLog = &results.IOPSLog{IntervalS: 1}
		for s := range 90 {
			long.Trials[i].IOPSLog.IOPS = append(long.Trials[i].IOPSLog.IOPS, float64(500+max(0, 20-s)*20))
		}
	}
	failed := withFailedCampaigns()
	failed.Torn = true
	exposed := withSafety(6) // at every point: no exposure is 0, and 5 has no decimals
	for i := range exposed.Safety {
		s := &exposed.Safety[i]
		s.Exposure = results.Exposure{Writes: 1, Bytes: 4096, MS: 5}
		for k := range s.Strip {
			s.Strip[k].ExposedWrites, s.Strip[k].ExposedMS = 1, 5
		}
	}
	for name, test := range map[string]struct {
		run    *results.Run
		charts int
	}{
		"no data": {generated(0, 1), 0}, "every warning": {failed, 9}, "safety without trials": {withoutTrials(), 4},
		"exposed everywhere": {exposed, 9}, "long trials": {long, 7},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBrowser(t)
			path := reportFile(t, test.run)
			b.open(t, path, 390, "dark")
			drawings := evaluate[[]drawing](t, b, drawingsScript)
			if len(drawings) != test.charts {
				t.Errorf("%d charts, want %d", len(drawings), test.charts)
			}
			for _, d := range drawings {
				if d.Shapes < 3 || d.Beyond > 0 {
					t.Errorf("%s: %d shapes, %d beyond its edge", d.ID, d.Shapes, d.Beyond)
				}
			}
			b.quiet(t, path)
		})
	}
}

func TestTheSteadyWindowOfATrialIsShown(t *testing.T) {
	needBrowser(t)
	run := generated(2, 1)
	for i := range run.Trials {
		log := &results.IOPSLog{IntervalS: 1}
		for s := range 120 {
			fast, slow := 1000.0, 100.0
			switch {
			case run.Trials[i].Cell == "disk.cache=none,fio.fsync=1": // never steady
				slow += 10 * float64(s)
			case run.Trials[i].Cell == "disk.cache=writeback,fio.fsync=1": // too short to tell
				log.IntervalS = 0.1
			}
			if s < 40 {
				slow = fast
			}
			log.IOPS = append(log.IOPS, slow)
		}
		run.Trials[i].IOPSLog = log
	}
	b := newBrowser(t)
	path := reportFile(t, run)
	b.open(t, path, 1280, "light")
	words := func() string {
		return evaluate[string](t, b, `document.getElementById("run1-course-words").textContent`)
	}
	shaded := func() bool {
		return slices.Contains(evaluate[[]string](t, b, `[...document.querySelectorAll("#run1-course svg text")].map((t) => t.textContent)`),
			"steady")
	}
	for cell, want := range map[int]struct {
		words  string
		shaded bool
	}{
		0: {"2 of 2 trials end steady, all of these from ", true},
		1: {"0 of 2 trials end steady.", false},
		3: {"too short to tell", false},
	} {
		b.choose(t, "run1-course-cell", cell)
		if got := words(); !strings.Contains(got, want.words) || shaded() != want.shaded {
			t.Errorf("cell %d: %q, shaded %v; want %q, %v", cell, got, shaded(), want.words, want.shaded)
		}
	}
	b.choose(t, "run1-course-cell", 0)
	b.screenshot(t, "steady.png")
	b.quiet(t, path)
}

func withoutTrials() *results.Run {
	run := withSafety(6)
	run.Trials = nil
	return run
}

func TestABrowserOpensTenThousandTrials(t *testing.T) {
	needBrowser(t)
	b := newBrowser(t)
	path := reportFile(t, manyTrials(500))
	if info, err := os.Stat(path); err != nil || info.Size() > 6<<20 {
		t.Errorf("the page has more than 6 MiB: %v, error %v", info, err)
	}
	b.open(t, path, 1280, "light")
	t.Logf("the page is there after %v ms, its last chart after %v ms", evaluate[float64](t, b,
		`Math.round(performance.getEntriesByType("navigation")[0].domContentLoadedEventEnd)`),
		evaluate[float64](t, b, `Math.round(performance.now())`))
	for _, d := range evaluate[[]drawing](t, b, drawingsScript) {
		if d.Shapes < 10 || d.Width != d.Room {
			t.Errorf("%s: %d shapes in an image %v wide, in %v", d.ID, d.Shapes, d.Width, d.Room)
		}
	}
	b.choose(t, "run1-iops-rows", 3)
	if got := b.numbers(t, "run1-speed"); len(got) != 501 {
		t.Errorf("%d rows in the table of speeds", len(got)-1)
	}
	b.quiet(t, path)
}

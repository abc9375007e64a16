package reports

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"platter/results"
	"platter/text"
)

const chromium = "/usr/bin/chromium"

// needBrowser skips, or under PLATTER_REAL fails, where there is no browser or no ECharts.
func needBrowser(t *testing.T) {
	t.Helper()
	missing := t.Skipf
	if os.Getenv("PLATTER_REAL") == "1" {
		missing = t.Fatalf
	}
	if _, err := os.Stat(chromium); err != nil {
		missing("needs a browser: %v; install chromium", err)
	}
	if _, err := assets.ReadFile(echartsFile); err != nil {
		missing("needs ECharts: %v; run make build", err)
	}
}

// browser is one tab, with what the page in it did.
type browser struct {
	ctx context.Context

	mu       sync.Mutex
	noise    []string // exceptions, and what was written to the console or the log
	requests []string
}

// chromiumProcess is the one browser of all tests; each test has a tab of its own in it, with nothing of another test's.
var chromiumProcess = sync.OnceValues(func() (context.Context, error) {
	profile, err := os.MkdirTemp("", "platter-browser-")
	if err != nil {
		return nil, err
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(chromium), chromedp.UserDataDir(profile), chromedp.Headless, chromedp.NoSandbox,
		chromedp.NoFirstRun, chromedp.DisableGPU, chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("hide-scrollbars", true),
	}
	ctx, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, stop := chromedp.NewContext(ctx)
	closeChromium = func() {
		stop()
		stopAllocator()
		os.RemoveAll(profile)
	}
	return ctx, chromedp.Do(ctx) // starts it
})

// closeChromium ends the browser, if a test started it.
var closeChromium = func() {}

func TestMain(m *testing.M) {
	code := m.Run()
	closeChromium()
	os.Exit(code)
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	process, err := chromiumProcess()
	if err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	b := &browser{}
	tab, stop := chromedp.NewContext(process, chromedp.WithNewBrowserContext())
	t.Cleanup(stop)
	b.ctx, stop = context.WithTimeout(tab, 2*time.Minute)
	t.Cleanup(stop)
	_, err = chromedp.Call(b.ctx, network.Enable, network.EnableParams{})
	if err == nil {
		_, err = chromedp.Call(b.ctx, log.Enable, cdp.Empty{})
	}
	if err == nil {
		err = chromedp.Listen(b.ctx, b.listen)
	}
	if err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	return b
}

func (b *browser) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if x := e.ExceptionDetails.Exception; x != nil {
			text += " " + x.Description
		}
		b.noise = append(b.noise, "exception: "+text)
	case *runtime.EventConsoleAPICalled:
		var words []string
		for _, a := range e.Args {
			words = append(words, string(a.Value)+a.Description)
		}
		b.noise = append(b.noise, "console: "+strings.Join(words, " "))
	case *log.EventEntryAdded:
		b.noise = append(b.noise, "log: "+e.Entry.Text)
	case *page.EventJavascriptDialogOpening:
		b.noise = append(b.noise, "dialog: "+e.Message)
		go func() { // a listener must not call
			_, _ = chromedp.Call(b.ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true})
		}()
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	}
}

// open loads a report at a width in CSS pixels, light or dark.
func (b *browser) open(t *testing.T, path string, width int64, scheme string) {
	t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	if err == nil {
		err = chromedp.Do(b.ctx, chromedp.EmulateViewport(width, 900), chromedp.Navigate("file://"+path),
			chromedp.WaitReady(chromedp.CSS("html[data-drawn]")))
	}
	if err != nil {
		t.Fatalf("open %s: %v; the page did: %q", path, err, b.noise)
	}
}

// evaluate runs a script in the page.
func evaluate[T any](t *testing.T, b *browser, script string) T {
	t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](script))
	if err != nil {
		t.Fatalf("evaluate %s: %v", script, err)
	}
	return v
}

func (b *browser) screenshot(t *testing.T, name string) {
	t.Helper()
	image, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatalf("screenshot %s: %v", name, err)
	}
	keep(t, name, image)
}

// quiet fails the test if the page complained, or asked for anything but itself.
func (b *browser) quiet(t *testing.T, path string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, n := range b.noise {
		t.Errorf("the page was not quiet: %s", n)
	}
	for _, r := range b.requests {
		if r != "file://"+path {
			t.Errorf("the page asked for %s", r)
		}
	}
	if !slices.Contains(b.requests, "file://"+path) {
		t.Errorf("requests are not seen: %q", b.requests)
	}
}

// keep stores what a person may want to look at.
func keep(t *testing.T, name string, content []byte) {
	t.Helper()
	dir := filepath.Join("..", "testoutput")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// reportFile writes the report of runs into a file and returns its absolute path.
func reportFile(t *testing.T, runs ...*results.Run) string {
	t.Helper()
	var models []*Model
	for _, r := range runs {
		models = append(models, New(r))
	}
	var c *Comparison
	if len(runs) > 1 {
		c = comparison(t, runs...)
	}
	path := filepath.Join(t.TempDir(), "report.html")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := HTML(f, c, models...); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// drawing is what a chart's element has inside.
type drawing struct {
	ID     string
	Shapes int
	Texts  []string
	Beyond int // shapes and texts that stick out of the chart
	Width  float64
	Room   float64 // the width of the element
}

const drawingsScript = `[...document.querySelectorAll(".chart")].map((e) => {
  const box = e.getBoundingClientRect();
  const marks = [...e.querySelectorAll("svg path, svg circle, svg rect, svg polygon, svg text")];
  return {
    ID: e.id,
    Shapes: e.querySelectorAll("svg path, svg circle, svg polygon").length,
    Texts: [...e.querySelectorAll("svg text")].map((t) => t.textContent),
    Beyond: marks.filter((m) => { const b = m.getBoundingClientRect();
      return b.width > 0 && (b.left < box.left - 1 || b.right > box.right + 1 || b.top < box.top - 1 || b.bottom > box.bottom + 1); }).length,
    Width: e.querySelector("svg")?.getBoundingClientRect().width ?? 0,
    Room: box.width,
  };
})`

func TestABrowserDrawsTheReportWithoutAWordOrARequest(t *testing.T) {
	needBrowser(t)
	for _, view := range []struct {
		scheme string
		width  int64
	}{{"light", 1280}, {"dark", 1280}, {"light", 390}, {"dark", 390}} {
		t.Run(fmt.Sprintf("%s, %d wide", view.scheme, view.width), func(t *testing.T) {
			b := newBrowser(t)
			path := reportFile(t, withFailures(), withSafety(6))
			b.open(t, path, view.width, view.scheme)
			drawings := evaluate[[]drawing](t, b, drawingsScript)
			var drawn []string
			for _, d := range drawings {
				drawn = append(drawn, d.ID)
			}
			want := "comparison-changes run1-heat run1-iops run1-flushes run1-curves run1-latency run1-blocks " +
				"run2-pareto run2-heat run2-iops run2-flushes run2-curves run2-latency run2-blocks run2-strips run2-exposure"
			if got := strings.Join(drawn, " "); got != want {
				t.Fatalf("charts are %s\nwant %s", got, want)
			}
			for _, d := range drawings {
				if d.Shapes < 10 || d.Width != d.Room {
					t.Errorf("%s: %d shapes in an image %v wide, in %v", d.ID, d.Shapes, d.Width, d.Room)
				}
				if d.Beyond > 0 {
					t.Errorf("%s: %d shapes or words stick out", d.ID, d.Beyond)
				}
			}
			verdicts := evaluate[[]string](t, b,
				`[...document.querySelectorAll("[aria-label='Safety of each cell'] td")].map((e) => e.className + " " + e.textContent)`)
			for _, want := range []string{"safe SAFE", "loses LOSES 4\u202f124/4\u202f125", "invalid INVALID", " – ≥5.0\u202fs",
				"loses LOSES 3/3\u202f375 ≠"} {
				if !slices.Contains(verdicts, want) {
					t.Errorf("no verdict %q among %q", want, verdicts)
				}
			}
			if claims := evaluate[int](t, b, `document.querySelectorAll(".claims > li").length`); claims != 7 {
				t.Errorf("%d claims, want 7", claims)
			}
			if overflow := evaluate[int](t, b, `document.documentElement.scrollWidth - innerWidth`); overflow > 0 {
				t.Errorf("the page is %d pixels wider than the window", overflow)
			}
			b.screenshot(t, fmt.Sprintf("report-%s-%d.png", view.scheme, view.width))
			b.quiet(t, path)
		})
	}
}

func TestTheNumbersOfTheChartsAreThoseOfTheModel(t *testing.T) {
	needBrowser(t)
	run := generated(6, 1)
	b := newBrowser(t)
	path := reportFile(t, run)
	b.open(t, path, 1280, "light")
	drawn := map[string][]string{}
	for _, d := range evaluate[[]drawing](t, b, drawingsScript) {
		drawn[d.ID] = d.Texts
	}
	for _, c := range New(run).Cells {
		if want := text.Number(c.IOPS.Median); !slices.Contains(drawn["run1-iops"], want) {
			t.Errorf("%s: %s IOPS are not in the chart: %q", c.ID, want, drawn["run1-iops"])
		}
		if want := text.Duration(c.Latency["write"].P99); !slices.Contains(drawn["run1-latency"], want) {
			t.Errorf("%s: p99 %s is not in the chart: %q", c.ID, want, drawn["run1-latency"])
		}
	}
	if !slices.Contains(drawn["run1-flushes"], absent) || !slices.Contains(drawn["run1-flushes"], "1.00") {
		t.Errorf("flushes are drawn as %q", drawn["run1-flushes"])
	}
	b.quiet(t, path)
}

func TestABrowserShowsHostileNamesAsTheyAre(t *testing.T) {
	needBrowser(t)
	b := newBrowser(t)
	path := reportFile(t, hostileRun())
	b.open(t, path, 1280, "light")
	if title := evaluate[string](t, b, `document.querySelector("h1").textContent`); title != hostile {
		t.Errorf("the title is %q", title)
	}
	if drawn := evaluate[string](t, b, `document.querySelector("#run1-iops svg").textContent`); !strings.Contains(drawn, "</script>") {
		t.Errorf("the chart has no such label: %q", drawn)
	}
	scripts := evaluate[int](t, b, `document.querySelectorAll("script:not([type]), img, iframe, object").length`)
	if scripts != 2 {
		t.Errorf("%d scripts and foreign elements, want the page's own two", scripts)
	}
	b.quiet(t, path)
}

func TestABrowserShowsHostileNamesInAComparisonAsTheyAre(t *testing.T) {
	needBrowser(t)
	b := newBrowser(t)
	other := hostileRun()
	other.Manifest.Storage.Drives[0].Name += "2"
	other.Manifest.Matrix += "\n" + hostile + ": 1"
	path := reportFile(t, hostileRun(), other)
	b.open(t, path, 1280, "light")
	evaluate[int](t, b, `(() => {
  const chart = document.getElementById("comparison-changes"), box = chart.querySelector("svg circle, svg path[d*=A]").getBoundingClientRect();
  for (const kind of ["pointermove", "mousemove"]) chart.querySelector("svg").dispatchEvent(new PointerEvent(kind, { bubbles: true, clientX: box.left + box.width / 2, clientY: box.top + box.height / 2 }));
  return 1;
})()`)
	told := ""
	for i := 0; i < 200 && !strings.Contains(told, "adjusted p"); i++ { // it is drawn with the next frame
		told = evaluate[string](t, b, `document.getElementById("comparison-changes").textContent`)
	}
	if !strings.Contains(told, "alert(1)") || !strings.Contains(told, "adjusted p") {
		t.Errorf("the chart of changes and what it tells are %q", told)
	}
	if n := evaluate[int](t, b, `document.querySelectorAll("script:not([type]), img, iframe, object").length`); n != 2 {
		t.Errorf("%d scripts and foreign elements beside a comparison, want the page's own two", n)
	}
	if facts := evaluate[string](t, b, `document.querySelector(".facts-apart").textContent`); !strings.Contains(facts, hostile) {
		t.Errorf("what differs is %q", facts)
	}
	b.quiet(t, path)
}

func TestAReportPrintsWithItsDetailsUnfolded(t *testing.T) {
	needBrowser(t)
	b := newBrowser(t)
	path := reportFile(t, withSafety(6), withFailures())
	b.open(t, path, 1280, "dark")
	pdf, err := chromedp.Run(b.ctx, chromedp.PrintToPDF(chromedp.PDFPaper(chromedp.PaperA4), chromedp.PDFPrintBackground()))
	if err != nil {
		t.Fatalf("print: %v", err)
	}
	keep(t, "report.pdf", pdf)
	folded := evaluate[int](t, b,
		`dispatchEvent(new Event("beforeprint")), document.querySelectorAll("details:not([open]):not(.licence):not(.raw):not(.numbers)").length`)
	if folded != 0 {
		t.Errorf("%d details stay folded on paper", folded)
	}
	if err := chromedp.Do(b.ctx, chromedp.EmulateViewport(720, 900)); err != nil { // about A4 between its margins
		t.Fatal(err)
	}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print"}); err != nil {
		t.Fatal(err)
	}
	evaluate[int](t, b, `dispatchEvent(new Event("beforeprint")), 1`)
	if over := evaluate[[]string](t, b,
		`[...document.querySelectorAll("table")].filter((e) => e.getBoundingClientRect().width > innerWidth + 1).map((e) => e.id)`); len(over) > 0 {
		t.Errorf("wider than the paper: %q", over)
	}
	b.screenshot(t, "report-print.png")
	b.quiet(t, path)
}

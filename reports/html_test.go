package reports

import (
	"bytes"
	"encoding/json"
	"html"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"platter/cell"
	"platter/internal/golden"
	"platter/results"
)

// hostile would be a script in a page that took it for markup.
const hostile = `</script><script>alert(1)</script><img src=x onerror=alert(2)>'"{{.}}`

// hostileRun has hostile wherever a run has text.
func hostileRun() *results.Run {
	run := withSafety(6)
	m := &run.Manifest
	m.Name, m.Tool, m.Command, m.Matrix, m.MatrixFile, m.Banner = hostile, hostile, []string{hostile}, hostile, hostile, hostile
	m.Host.Name, m.Host.Kernel, m.Host.CPU, m.Host.URI, m.Host.Libvirt, m.Host.QEMU, m.Host.AccelReason = hostile, hostile, hostile, hostile,
		hostile, hostile, hostile
	m.Guest = results.Guest{ImageDigest: hostile, Kernel: hostile, Fio: hostile}
	m.Storage = results.Storage{Directory: hostile, FileSystem: hostile, Device: hostile, Format: hostile,
		Layers: []string{hostile}, Drives: []results.Drive{{Name: hostile, Model: hostile, Firmware: hostile, WriteCache: hostile,
			Scheduler: hostile, Controller: hostile}}}
	axis := "fio." + hostile
	m.Axes[1] = axis
	renamed := map[string]string{}
	for i := range m.Cells {
		c := &m.Cells[i]
		c.Axes = axes("disk.cache", c.Axes.Text("disk.cache")+hostile, axis, c.Axes.Text("fio.fsync"))
		renamed[c.ID] = c.ID + hostile
		c.ID += hostile
		if c.Excluded != "" {
			c.Excluded = hostile
		}
	}
	for i := range run.Trials {
		t := &run.Trials[i]
		t.Cell = renamed[t.Cell]
		t.Guards = []results.Guard{{Name: hostile, Message: hostile}}
		if t.Order == 0 {
			t.Status, t.Metrics = results.Failed, nil
			t.Failure = &results.Failure{Fault: hostile, Message: hostile, Console: []string{hostile, hostile}}
		}
	}
	for i := range run.Safety {
		s := &run.Safety[i]
		s.Cell, s.Predicted, s.Reason = renamed[s.Cell], hostile, hostile
		for j := range s.Controls {
			s.Controls[j].Name = hostile
		}
		if i%3 == 0 {
			s.Status, s.Failure = results.Failed, &results.Failure{Fault: hostile, Message: hostile}
		}
	}
	return run
}

// bare are the assets with an empty style, and with scripts as given for ECharts and the page's own.
func bare(t *testing.T, scripts ...string) fs.FS {
	t.Helper()
	text, err := assets.ReadFile("page.html")
	if err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{"page.html": {Data: text}, "page.css": {}}
	for i, name := range []string{echartsFile, "page.js", licenceFile}[:len(scripts)] {
		files[name] = &fstest.MapFile{Data: []byte(scripts[i])}
	}
	return files
}

func htmlOf(t *testing.T, files fs.FS, runs ...*results.Run) string {
	t.Helper()
	var models []*Model
	for _, r := range runs {
		models = append(models, New(r))
	}
	var b bytes.Buffer
	if err := writeHTML(&b, files, nil, models); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestThePageOfARun(t *testing.T) {
	dsync := generated(6, 1)
	for i := range dsync.Trials {
		f := &dsync.Trials[i].Evidence.FlushPath
		f.FioDsyncWrites, f.Image, f.IncludesRamp = new(int64(40+i)), new(int64(0)), true
	}
	for name, run := range map[string]*results.Run{"page.html": generated(6, 1), "page-safety.html": withSafety(6)} {
		t.Run(name, func(t *testing.T) {
			golden.Equal(t, "testdata/"+name, []byte(htmlOf(t, bare(t), run)))
		})
	}
	for name, test := range map[string]struct {
		run    *results.Run
		pieces string // in which the page is another than page.html
	}{
		"page-few.html":      {generated(2, 1), "head speed"},
		"page-failures.html": {withFailures(), "head failures speed latency excluded"},
		"page-none.html":     {generated(0, 1), "head speed flushes latency measured"},
		"page-dsync.html":    {dsync, "flushes"},
	} {
		t.Run(name, func(t *testing.T) {
			page, err := pageTemplate(assets)
			if err != nil {
				t.Fatal(err)
			}
			s, err := newSection(New(test.run), "run1-", false)
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			for piece := range strings.FieldsSeq(test.pieces) {
				if err := page.ExecuteTemplate(&b, piece, s); err != nil {
					t.Fatal(err)
				}
			}
			golden.Equal(t, "testdata/"+name, b.Bytes())
		})
	}
}

func TestTheChartsOfARun(t *testing.T) {
	for name, run := range map[string]*results.Run{"charts.json": generated(6, 1), "charts-few.json": generated(2, 1),
		"charts-failures.json": withFailures()} {
		t.Run(name, func(t *testing.T) {
			drawn, err := newCharts(New(run), "x-")
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.MarshalIndent(drawn, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			golden.Equal(t, "testdata/"+name, append(text, '\n'))
		})
	}
}

func TestARunWithoutNumbersHasNoCharts(t *testing.T) {
	drawn, err := newCharts(New(generated(0, 1)), "x-")
	if err != nil || len(drawn) != 0 {
		t.Errorf("%d charts, error %v", len(drawn), err)
	}
}

func TestNamesThatLookLikeMarkupAreText(t *testing.T) {
	got := htmlOf(t, bare(t, "/* echarts */", "/* ours */", hostile), hostileRun())
	if strings.Contains(got, "<script>alert") || strings.Contains(got, "<img") || strings.Contains(got, `onerror=alert(2)>'"`) {
		t.Errorf("markup from the run got through:\n%s", got)
	}
	if n := strings.Count(got, "<script>"); n != 2 {
		t.Errorf("%d scripts, want the page's own two", n)
	}
	if n := strings.Count(html.UnescapeString(got), hostile); n < 60 {
		t.Errorf("the name stands in the page %d times; some of it was lost", n)
	}
}

func TestThePolicyAllowsThePagesOwnScriptsAndStyleOnly(t *testing.T) {
	got := htmlOf(t, bare(t, "first()", "second()"), generated(2, 1))
	policy := html.UnescapeString(regexp.MustCompile(`Content-Security-Policy" content="([^"]*)"`).FindStringSubmatch(got)[1])
	want := "default-src 'none'; style-src " + digest("") + "; base-uri 'none'; form-action 'none'; script-src " + digest("first()") + " " +
		digest("second()")
	if policy != want {
		t.Errorf("policy is %s\nwant %s", policy, want)
	}
	for _, script := range []string{"<script>first()</script>", "<script>second()</script>"} {
		if !strings.Contains(got, script) {
			t.Errorf("%s is not in the page as its digest was taken", script)
		}
	}
}

func TestThePageReachesForNothing(t *testing.T) {
	style, err := assets.ReadFile("page.css")
	if err != nil {
		t.Fatal(err)
	}
	got := htmlOf(t, bare(t, "", ""), generated(6, 1), withFailures()) + string(style)
	for _, reach := range []string{" src=", "srcset", "<link", "@import", "url(", "<iframe", " style="} {
		if strings.Contains(got, reach) {
			t.Errorf("the page has %q", reach)
		}
	}
	for _, m := range regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(got, -1) {
		if !strings.HasPrefix(m[1], "#") {
			t.Errorf("a link leaves the page: %s", m[1])
		}
	}
}

func TestEveryLinkInThePageHasItsPlaceAndEveryPlaceOneName(t *testing.T) {
	got := htmlOf(t, bare(t, "", ""), withFailures(), generated(2, 1), generated(2, 1))
	var places []string
	for _, m := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(got, -1) {
		if slices.Contains(places, m[1]) {
			t.Errorf("id %s is there twice", m[1])
		}
		places = append(places, m[1])
	}
	links := regexp.MustCompile(`href="#([^"]*)"`).FindAllStringSubmatch(got, -1)
	if len(links) < 20 {
		t.Fatalf("only %d links: the marks of the warnings are missing", len(links))
	}
	for _, m := range links {
		if !slices.Contains(places, m[1]) {
			t.Errorf("no place for the link %s", m[1])
		}
	}
}

func TestAWarningIsMarkedAtItsCells(t *testing.T) {
	s, err := newSection(New(generated(6, 1)), "x-", false)
	if err != nil {
		t.Fatal(err)
	}
	var marked []string
	for _, c := range s.Cells {
		for _, x := range s.Marks(c.ID) {
			marked = append(marked, x.Mark+" "+x.Name+" "+c.ID)
		}
	}
	want := []string{"a host_memory disk.cache=writeback,fio.fsync=0", "a host_memory disk.cache=writeback,fio.fsync=1"}
	if !slices.Equal(marked, want) {
		t.Errorf("marked are %q, want %q", marked, want)
	}
}

func TestTheBannersStandAtEveryChart(t *testing.T) {
	got := htmlOf(t, bare(t, "", ""), generated(6, 1))
	if n := strings.Count(got, `<p class="figure-banner">demonstration length · emulated (TCG)`); n != 6 {
		t.Errorf("the banners stand at %d of 6 charts", n)
	}
}

func TestWithoutEChartsThePageSaysHowToGetCharts(t *testing.T) {
	got := htmlOf(t, bare(t), generated(6, 1))
	if strings.Contains(got, "<script") || strings.Contains(got, "ECharts") {
		t.Error("there are scripts, or a licence for what is not there")
	}
	if !strings.Contains(got, "make build") {
		t.Error("nothing says how to get charts")
	}
}

func TestTheLicenceOfEChartsTravelsWithIt(t *testing.T) {
	got := htmlOf(t, bare(t, "", "", "the licence's text"), generated(2, 1))
	if !strings.Contains(html.UnescapeString(got), "the licence's text") || !strings.Contains(got, "The Apache Software Foundation") {
		t.Error("notice or licence is missing")
	}
}

func TestAReportOfNoRunIsAnError(t *testing.T) {
	if err := HTML(&bytes.Buffer{}, nil); err == nil {
		t.Error("no error")
	}
}

func TestCellsAreGroupedByTheFirstAxisThatVaries(t *testing.T) {
	of := func(values ...any) Cell {
		var c Cell
		for i, v := range values {
			c.Axes = append(c.Axes, cell.Setting{Name: []string{"disk.bus", "disk.cache", "fio.fsync"}[i], Value: cell.Value{V: v}})
		}
		return c
	}
	for _, test := range []struct {
		name  string
		cells []Cell
		want  []string
	}{
		{"none", nil, nil},
		{"one cell", []Cell{{ID: "id"}}, []string{"id"}},
		{"one axis varies", []Cell{of("virtio", "none", 1), of("virtio", "unsafe", 1)}, []string{"cache=none", "cache=unsafe"}},
		{"two vary", []Cell{of("virtio", "none", 0), of("virtio", "none", 1), of("virtio", "unsafe", 0)},
			[]string{"*cache=none", "fsync=0", "fsync=1", "*cache=unsafe", "fsync=0"}},
		{"cells of a group apart", []Cell{of("virtio", "none", 0), of("virtio", "unsafe", 0), of("virtio", "none", 1)},
			[]string{"*cache=none", "fsync=0", "fsync=1", "*cache=unsafe", "fsync=0"}},
	} {
		var got []string
		for _, r := range rows(test.cells) {
			if r.cell == nil {
				r.label = "*" + r.label
			}
			got = append(got, r.label)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: rows are %q, want %q", test.name, got, test.want)
		}
	}
}

func TestFlushesPerWriteAreNeverZeroByRounding(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 1e-9: "<0.001", 0.0312: "0.031", 0.25: "0.25", 1: "1.00", 2.004: "2.00"} {
		if got := ratio(v); got != want {
			t.Errorf("ratio(%v) is %q, want %q", v, got, want)
		}
	}
}

func TestMarksCountOnAfterZ(t *testing.T) {
	for i, want := range map[int]string{0: "a", 25: "z", 26: "aa", 51: "az", 52: "ba", 701: "zz", 702: "aaa"} {
		if got := letters(i); got != want {
			t.Errorf("mark %d is %q, want %q", i, got, want)
		}
	}
}

func TestACommandIsWrittenAsAShellReadsIt(t *testing.T) {
	for want, words := range map[string][]string{
		"–": nil, "platter run demo": {"platter", "run", "demo"}, `run 'a b' '' 'it'\''s'`: {"run", "a b", "", "it's"},
	} {
		if got := commandText(words); got != want {
			t.Errorf("%q is written %s, want %s", words, got, want)
		}
	}
}

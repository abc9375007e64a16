package reports

import (
	"bytes"
	"errors"
	"fmt"
	"html"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"platter/cell"
	"platter/compare"
	"platter/internal/golden"
	"platter/results"
)

// second is another run of withSafety: on another host, slower in one cell, with a worse verdict and without a record.
func second() *results.Run {
	run := withSafety(7)
	m := &run.Manifest
	run.Dir, m.Started, m.Trials, m.Seed = "second", m.Started.Add(24*time.Hour), 7, 2
	m.Host.Name, m.Host.QEMU, m.Host.Accel = "other", "9.0.0", "kvm"
	m.Matrix = strings.Replace(m.Matrix, "runtime: 1}", "runtime: 60}", 1) + "guest: {memory: 2GiB}\n"
	for i := range run.Trials {
		if w := run.Trials[i].Metrics.Write; run.Trials[i].Cell == "disk.cache=none,fio.fsync=1" {
			w.IOPS /= 2
		}
	}
	var kept []results.Safety
	for _, s := range run.Safety {
		switch {
		case s.Cell == "disk.cache=none,fio.fsync=1" && s.Class == cell.PowerLoss && s.DriveCache == "volatile":
			s.Verdict, s.PromisesLost = results.Loses, 7
		case s.Cell == "disk.cache=none,fio.fsync=0" && s.Class == cell.GuestCrash:
			continue
		}
		kept = append(kept, s)
	}
	run.Safety = kept
	return run
}

func sampled(runs ...*results.Run) []*compare.SampledRun {
	var all []*compare.SampledRun
	for _, run := range runs {
		all = append(all, compare.Sampled(run))
	}
	return all
}

func comparison(t *testing.T, runs ...*results.Run) *Comparison {
	t.Helper()
	c, err := NewComparison(sampled(runs...)...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// piece is the part of a page that shows a comparison, without its figure.
func piece(t *testing.T, c *Comparison) string {
	t.Helper()
	p, err := newComparedPage(c, false)
	if err != nil {
		t.Fatal(err)
	}
	page, err := pageTemplate(assets)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := page.ExecuteTemplate(&b, "comparison", p); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTheComparisonOfRuns(t *testing.T) {
	third := generated(2, 5)
	third.Dir = "third"
	for name, runs := range map[string][]*results.Run{
		"comparison":       {withSafety(7), second()},
		"comparison-three": {withSafety(7), second(), third},
		"comparison-same":  {generated(2, 1), generated(2, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			c := comparison(t, runs...)
			var out bytes.Buffer
			if err := c.Text(&out); err != nil {
				t.Fatal(err)
			}
			golden.Equal(t, "testdata/"+name+".txt", out.Bytes())
			golden.Equal(t, "testdata/"+name+".html", []byte(piece(t, c)))
		})
	}
	if _, err := NewComparison(sampled(third)...); err == nil {
		t.Error("one run is compared with nothing")
	}
}

func TestWhatDiffersIsSaidAndNothingElse(t *testing.T) {
	got := map[string][]string{}
	for _, d := range comparison(t, withSafety(7), second()).Differences {
		got[d.Name] = d.Values
	}
	for name, want := range map[string][2]string{
		"host": {"host", "other"}, "QEMU": {"7.2.0", "9.0.0"}, "acceleration": {"tcg", "kvm"}, "seed": {"1", "2"},
		"matrix: fio":   {"{rw: randwrite, direct: 1, runtime: 1}", "{rw: randwrite, direct: 1, runtime: 60}"},
		"matrix: guest": {"", "{memory: 2GiB}"},
	} {
		if v := got[name]; len(v) != 2 || v[0] != want[0] || v[1] != want[1] {
			t.Errorf("%s: %q, want %q", name, v, want)
		}
		delete(got, name)
	}
	if len(got) > 0 {
		t.Errorf("what does not differ: %q", got)
	}
}

func TestWhatDiffersInTheDomainXMLIsSaidOnceForCellsAlike(t *testing.T) {
	xml := func(run *results.Run, number, machine, cache string) *results.Run {
		run.Dir = t.TempDir()
		for _, c := range run.Manifest.Cells {
			mode := cache
			if c.Axes.Text("fio.fsync") == "0" {
				mode = "none"
			}
			text := fmt.Sprintf(`<domain type='kvm' id='%[1]s'>
  <name>platter-%[1]s</name><uuid>%[1]s</uuid>
  <type machine='%[2]s'/>
  <driver name='qemu' cache='%[3]s'/>
  <source file='/srv/run-%[1]s/scratch-%[1]s.raw' index='%[1]s'/>
  <kernel>/cache/%[1]s/guest-0a/vmlinuz</kernel>
  <source file='/cache/%[1]s/guest-0a/%[2]s.img' index='1'/>
  <qemu:arg value='hostfwd=tcp:127.0.0.1:%[1]s-:22'/>
`, number, machine, mode)
			dir := filepath.Join(run.Dir, "raw", c.ID, "0")
			if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "domain.xml"), []byte(text), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		return run
	}
	a := xml(generated(2, 1), "12", "q35", "none")
	if d := xmlDifferences(sampled(a, xml(generated(2, 2), "34", "q35", "none"))); len(d) > 0 {
		t.Errorf("the same XML but for what is made up differs in %q", d)
	}
	got := xmlDifferences(sampled(a, xml(generated(2, 2), "34", "q35", "unsafe")))
	want := []Difference{{"domain XML of disk.cache=none,fio.fsync=1 and 4 more", []string{"<driver name='qemu' cache='none'/>",
		"<driver name='qemu' cache='unsafe'/>"}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	got = xmlDifferences(sampled(a, xml(generated(2, 2), "34", "pc", "none")))
	if want := "<type machine='pc'/> <source file='…/pc.img'/>"; len(got) != 1 || got[0].Values[1] != want {
		t.Errorf("got %q, want %q", got, want)
	}
	without := generated(2, 3)
	without.Dir = t.TempDir()
	if d := xmlDifferences(sampled(a, without)); len(d) > 0 {
		t.Errorf("a run without raw files differs in %q", d)
	}
}

func TestTheComparisonBeginsWithWhatChangedMost(t *testing.T) {
	said := strings.Join(comparison(t, withSafety(7), second()).Said(), " ")
	for _, want := range []string{"B against A: the largest change of IOPS is disk.cache=none,fio.fsync=1, ×0.5", "1 of 70 verdicts differ"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not in %q", want, said)
		}
	}
}

func TestAComparisonIsAdjustedOverAllRuns(t *testing.T) {
	two := comparison(t, withSafety(7), second())
	three := comparison(t, withSafety(7), second(), second())
	if three.Tests != 2*two.Tests {
		t.Errorf("%d tests in three runs, %d in two", three.Tests, two.Tests)
	}
	find := func(c *Comparison) float64 {
		for _, x := range c.Sides[0].Cells {
			if x.Cell == "disk.cache=none,fio.fsync=1" && x.Metric == compare.IOPS {
				return x.Adjusted
			}
		}
		return math.NaN()
	}
	if a, b := find(two), find(three); !(b > a) {
		t.Errorf("p %v among two runs, and %v among three", a, b)
	}
}

func TestAVerdictThatChangedIsShownAndOneThatIsMissingCounted(t *testing.T) {
	side := comparison(t, withSafety(7), second()).Sides[0]
	if len(side.Safety) != 1 || side.Safety[0].Before != "SAFE" || !strings.HasPrefix(side.Safety[0].After, "LOSES 7/") {
		t.Errorf("changes %+v", side.Safety)
	}
	if side.Judged != 70 || side.OneSided != 2 {
		t.Errorf("%d judged by both and %d by one, want 70 and 2", side.Judged, side.OneSided)
	}
}

var tableRow = regexp.MustCompile(`(?s)<tr>(.*?)</tr>`)

func TestTextAndPageOfAComparisonSayTheSame(t *testing.T) {
	c := comparison(t, withSafety(7), second())
	var text bytes.Buffer
	if err := c.Text(&text); err != nil {
		t.Fatal(err)
	}
	page := piece(t, c)
	rows := 0
	for _, r := range c.Sides[0].Rows() {
		want := []string{r.Metric, r.A, r.B, r.Ratio, r.Adjusted}
		inText := strings.Contains(text.String(), r.Cell+"\n") && strings.Contains(squeezed(text.String()), squeezed(strings.Join(want, " ")))
		inPage := false
		for _, m := range tableRow.FindAllStringSubmatch(page, -1) {
			plain := squeezed(html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(m[1], " ")))
			inPage = inPage || strings.HasPrefix(plain, squeezed(r.Cell+" "+strings.Join(want, " ")))
		}
		if !inText || !inPage {
			t.Errorf("%s %q: in the text %v, on the page %v", r.Cell, want, inText, inPage)
		}
		rows++
	}
	if rows == 0 {
		t.Error("nothing is compared")
	}
}

func squeezed(text string) string { return strings.Join(strings.Fields(text), " ") }

func TestHostileTextInAComparisonIsText(t *testing.T) {
	a, b := withSafety(7), second()
	hostile := "</td><script>alert(1)</script>\x1b[2J"
	b.Manifest.Host.Name, b.Dir, b.Manifest.Banner = hostile, hostile, hostile
	b.Manifest.Matrix += hostile + ": 1\n"
	b.Manifest.Storage.Layers, b.Manifest.Storage.Drives = []string{hostile}, []results.Drive{{Name: hostile}}
	c := comparison(t, a, b)
	var text bytes.Buffer
	if err := c.Text(&text); err != nil {
		t.Fatal(err)
	}
	page := piece(t, c)
	if strings.Contains(text.String(), "\x1b") || strings.Contains(page, "<script") {
		t.Error("text from a run is more than text")
	}
}

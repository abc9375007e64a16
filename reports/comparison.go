package reports

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"platter/cell"
	"platter/compare"
	"platter/results"
	"platter/text"
)

// Comparison is two or more runs side by side, the first against each of the others: an exploration, adjusted over all that is
// compared, and no verdict (compare.Exploration).
type Comparison struct {
	Runs        []ComparedRun
	Differences []Difference   // in matrix, host, versions, storage and domain XML
	Sides       []ComparedSide // of the runs after the first, in order
	Tests       int            // comparisons made in all Sides, over which Adjusted is
	Different   int            // of them whose Adjusted is at most 1 − compare.Confidence
}

// ComparedRun is what tells a run from the others.
type ComparedRun struct {
	Mark    string // "A", "B", …: what stands for it in Sides
	Dir     string
	Name    string
	Trials  int
	Started time.Time
	Host    string
	Accel   string // "kvm" or "tcg"
	Banners []string
}

// Difference is a fact that is not the same in all the runs.
type Difference struct {
	Name   string   // "host: kernel", "matrix: trials"
	Values []string // by run; empty where a run does not say
}

// ComparedSide is a run against the first.
type ComparedSide struct {
	Run    ComparedRun
	Cells  []compare.CellComparison // A is the first run, B this one; Adjusted is over all sides
	Safety []SafetyChange           // where the verdict is another one
	// Judged is of how many cells, classes and drive caches both have a record, and OneSided of how many only one of them.
	Judged, OneSided int
	Warnings         []string
}

// SafetyChange is a verdict that differs between two runs. Exposure alone makes none: it varies from campaign to campaign.
type SafetyChange struct {
	cell.Question
	Before string // the verdict with its figures, as in the table of a run
	After  string
}

// NewComparison compares the first run with each of the others. Fewer than two runs are an error.
func NewComparison(runs ...*compare.SampledRun) (*Comparison, error) {
	if len(runs) < 2 {
		return nil, fmt.Errorf("compare runs: two or more are needed, got %d", len(runs))
	}
	c := &Comparison{}
	for i, run := range runs {
		m := run.Manifest
		c.Runs = append(c.Runs, ComparedRun{strings.ToUpper(letters(i)), run.Dir, m.Name, len(run.Samples), m.Started, m.Host.Name, m.Host.Accel,
			banners(m)})
	}
	c.Differences = differences(runs)
	for i, run := range runs[1:] {
		e := compare.Explore(runs[0], run)
		side := ComparedSide{Run: c.Runs[i+1], Cells: e.Cells, Warnings: e.Warnings}
		side.compareSafety(runs[0].Run, run.Run)
		c.Sides = append(c.Sides, side)
	}
	c.adjust()
	return c, nil
}

// adjust corrects over the comparisons of all sides: whoever looks at three runs looks at more of them than at two.
func (c *Comparison) adjust() {
	var tested []*compare.CellComparison
	var p []float64
	for i := range c.Sides {
		for k := range c.Sides[i].Cells {
			if x := &c.Sides[i].Cells[k]; x.Missing == "" {
				tested, p = append(tested, x), append(p, x.Ratio.P)
			}
		}
	}
	c.Tests = len(tested)
	for i, adjusted := range compare.Holm(p) {
		tested[i].Adjusted = adjusted
		if differs(*tested[i]) {
			c.Different++
		}
	}
}

func differs(x compare.CellComparison) bool {
	return x.Missing == "" && x.Adjusted <= 1-compare.Confidence
}

func (s *ComparedSide) compareSafety(first, other *results.Run) {
	before := map[cell.Question]results.Safety{}
	for _, r := range first.Safety {
		before[r.Key()] = r
	}
	for _, now := range other.Safety {
		was, both := before[now.Key()]
		if !both {
			s.OneSided++
			continue
		}
		delete(before, now.Key())
		s.Judged++
		if was.Status != now.Status || was.Verdict != now.Verdict {
			s.Safety = append(s.Safety, SafetyChange{now.Key(), SafetyRow{Safety: was}.verdict(), SafetyRow{Safety: now}.verdict()})
		}
	}
	s.OneSided += len(before)
}

// differences returns the facts that are not the same in all runs: those of the manifest, the lines of the matrix, and those of the cells'
// domain XML.
func differences(runs []*compare.SampledRun) []Difference {
	var all []Difference
	for _, f := range facts {
		var values []string
		for _, run := range runs {
			values = append(values, f.of(&run.Manifest))
		}
		if unlike(values) {
			all = append(all, Difference{f.name, values})
		}
	}
	all = append(all, matrixDifferences(runs)...)
	return append(all, xmlDifferences(runs)...)
}

func unlike(values []string) bool {
	return slices.ContainsFunc(values, func(v string) bool { return v != values[0] })
}

// facts are what a manifest says beside its matrix and what is another in every run. The processor's clock is left out: it changes
// by itself.
var facts = []struct {
	name string
	of   func(*results.Manifest) string
}{
	{"tool", func(m *results.Manifest) string { return m.Tool }},
	{"matrix", func(m *results.Manifest) string { return m.Name }},
	{"trials planned", func(m *results.Manifest) string { return fmt.Sprint(m.Trials) }},
	{"seed", func(m *results.Manifest) string { return fmt.Sprint(m.Seed) }},
	{"speed measured on a simulated disk", func(m *results.Manifest) string { return yes(m.SimulatedTrials) }},
	{"simulated disk", func(m *results.Manifest) string { return settingsText(m.Device) }},
	{"host", func(m *results.Manifest) string { return m.Host.Name }},
	{"host: kernel", func(m *results.Manifest) string { return m.Host.Kernel }},
	{"host: processor", func(m *results.Manifest) string { return m.Host.CPU }},
	{"host: processors", func(m *results.Manifest) string { return fmt.Sprint(m.Host.CPUs) }},
	{"host: governor", func(m *results.Manifest) string { return m.Host.Governor }},
	{"host: memory", func(m *results.Manifest) string { return text.Bytes(float64(m.Host.MemoryBytes)) }},
	{"libvirt", func(m *results.Manifest) string { return m.Host.Libvirt }},
	{"libvirt URI", func(m *results.Manifest) string { return m.Host.URI }},
	{"QEMU", func(m *results.Manifest) string { return m.QEMUs() }},
	{"acceleration", func(m *results.Manifest) string { return m.Host.Accel }},
	{"guest: image", func(m *results.Manifest) string { return m.Guest.ImageDigest }},
	{"guest: kernel", func(m *results.Manifest) string { return m.Guest.Kernel }},
	{"guest: fio", func(m *results.Manifest) string { return m.Guest.Fio }},
	{"guest: memory", func(m *results.Manifest) string { return text.Bytes(float64(m.Guest.MemoryBytes)) }},
	{"guest: vcpus", func(m *results.Manifest) string { return fmt.Sprint(m.Guest.VCPUs) }},
	{"storage: directory", func(m *results.Manifest) string { return m.Storage.Directory }},
	{"storage: file system", func(m *results.Manifest) string { return m.Storage.FileSystem }},
	{"storage: device", func(m *results.Manifest) string { return m.Storage.Device }},
	{"storage: layers", func(m *results.Manifest) string { return strings.Join(m.Storage.Layers, ", ") }},
	{"storage: drives", func(m *results.Manifest) string { return drivesText(m.Storage.Drives) }},
	{"storage: format", func(m *results.Manifest) string { return m.Storage.Format }},
	{"storage: size", func(m *results.Manifest) string { return text.Bytes(float64(m.Storage.SizeBytes)) }},
}

func drivesText(drives []results.Drive) string {
	var texts []string
	for _, d := range drives {
		texts = append(texts, d.String())
	}
	return strings.Join(texts, "; ")
}

func yes(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}

func settingsText(settings map[string]any) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		parts = append(parts, fmt.Sprintf("%s=%v", name, settings[name]))
	}
	return strings.Join(parts, ", ")
}

// maxMatrixDifferences is how many lines of the matrices are shown side by side: of more these are different matrices.
const maxMatrixDifferences = 20

// matrixDifferences sets the lines side by side that not all matrices have, by what stands before the colon. Name and trials stand
// among the facts.
func matrixDifferences(runs []*compare.SampledRun) []Difference {
	count := map[string]int{} // of the runs that have a line
	lines := make([][]string, len(runs))
	for i, run := range runs {
		for line := range strings.Lines(run.Manifest.Matrix) {
			line = strings.TrimRight(line, " \t\r\n")
			said := strings.TrimSpace(line)
			if said == "" || said[0] == '#' || strings.HasPrefix(line, "name:") || strings.HasPrefix(line, "trials:") ||
				slices.Contains(lines[i], line) {
				continue
			}
			lines[i] = append(lines[i], line)
			count[line]++
		}
	}
	var all []Difference
	for i := range runs {
		for _, line := range lines[i] {
			if count[line] == len(runs) {
				continue
			}
			key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			name := "matrix: " + strings.TrimPrefix(key, "- ")
			at := slices.IndexFunc(all, func(d Difference) bool { return d.Name == name })
			if at < 0 {
				at = len(all)
				all = append(all, Difference{name, make([]string, len(runs))})
			}
			v := &all[at].Values[i]
			if *v != "" {
				*v += "; "
			}
			if *v += strings.TrimSpace(value); *v == "" {
				*v = "there"
			}
		}
	}
	if len(all) > maxMatrixDifferences {
		return []Difference{{fmt.Sprintf("matrix: %d lines", len(all)), slices.Repeat([]string{"another"}, len(runs))}}
	}
	return all
}

// comparedRow is a comparison in words: the same in every drawing.
type comparedRow struct {
	Cell, Metric, A, B, Ratio, Adjusted string
	Differs                             bool
	Missing                             string // why there is none; then A to Adjusted are empty
}

// Rows returns the comparisons of a side in words.
func (s ComparedSide) Rows() []comparedRow {
	var rows []comparedRow
	for _, c := range s.Cells {
		r := comparedRow{Cell: c.Cell, Metric: string(c.Metric), Missing: c.Missing, Differs: differs(c)}
		if c.Missing == "" {
			r.A, r.B, r.Ratio, r.Adjusted = quantity(c.Metric, c.A), quantity(c.Metric, c.B), ratioText(c.Ratio), fmt.Sprintf("%.2g", c.Adjusted)
		}
		rows = append(rows, r)
	}
	return rows
}

// quantity writes a metric: rates as numbers, latencies as durations.
func quantity(m compare.Metric, v float64) string {
	switch {
	case math.IsNaN(v):
		return absent
	case m.MoreIsBetter():
		return text.Number(v)
	}
	return text.Duration(int64(math.Round(v)))
}

// ratioText writes a ratio with its interval.
func ratioText(r compare.Ratio) string {
	if !r.Bounded() {
		return fmt.Sprintf("%.3f", r.Estimate)
	}
	return fmt.Sprintf("%.3f (%.3f to %.3f)", r.Estimate, r.Lo, r.Hi)
}

// AllWarnings returns what is wrong with the comparisons, each once with how many it concerns, then what could not be set side by side.
func (s ComparedSide) AllWarnings() []string {
	warned := map[string]int{}
	var texts []string
	for _, c := range s.Cells {
		for _, w := range c.Ratio.Warnings {
			if warned[w]++; warned[w] == 1 {
				texts = append(texts, w)
			}
		}
	}
	for i, w := range texts {
		texts[i] = fmt.Sprintf("%s (%s)", w, text.Plural(warned[w], "comparison"))
	}
	return append(texts, s.Warnings...)
}

// SafetyText returns a text on how much of safety was compared; empty where neither run has any.
func (s ComparedSide) SafetyText() string {
	if s.Judged+s.OneSided == 0 {
		return ""
	}
	line := fmt.Sprintf("%d of %s differ", len(s.Safety), text.Plural(s.Judged, "verdict"))
	if s.OneSided > 0 {
		line += fmt.Sprintf("; %d are in one of the runs only", s.OneSided)
	}
	return line
}

// ExploratoryText stands above every comparison.
func (c *Comparison) ExploratoryText() string {
	return fmt.Sprintf("Exploratory: %d comparisons, p adjusted over all of them (Holm). Two runs of the same thing differ by more than "+
		"this shows: it is no verdict (platter gate is). Latencies are medians of the trials' own percentiles, and not the percentiles of all "+
		"trials together.", c.Tests)
}

// SharedBanners returns the banners that all the runs have.
func (c *Comparison) SharedBanners() []string {
	return slices.DeleteFunc(slices.Clone(c.Runs[0].Banners), func(b string) bool {
		return slices.ContainsFunc(c.Runs, func(r ComparedRun) bool { return !slices.Contains(r.Banners, b) })
	})
}

// OwnBanners returns the banners of a run that not all runs have.
func (c *Comparison) OwnBanners(r ComparedRun) []string {
	shared := c.SharedBanners()
	return slices.DeleteFunc(slices.Clone(r.Banners), func(b string) bool { return slices.Contains(shared, b) })
}

// Said returns what a reader wants to know first: how many figures differ, the cell whose speed changed most of those that do, and which
// verdicts are others.
func (c *Comparison) Said() []string {
	lines := []string{c.DifferentText()}
	for _, s := range c.Sides {
		of := s.Run.Mark + " against " + c.Runs[0].Mark
		if x := s.largest(); x != nil {
			lines = append(lines, fmt.Sprintf("%s: the largest change of IOPS is %s, ×%s.", of, x.Cell, ratioText(x.Ratio)))
		}
		if text := s.SafetyText(); text != "" {
			lines = append(lines, of+": "+text+".")
		}
	}
	return lines
}

// largest returns the comparison of IOPS that differs by the largest factor; nil where none differs.
func (s ComparedSide) largest() *compare.CellComparison {
	var most *compare.CellComparison
	factor := func(x *compare.CellComparison) float64 { return math.Abs(math.Log(x.Ratio.Estimate)) }
	for i := range s.Cells {
		if x := &s.Cells[i]; x.Metric == compare.IOPS && differs(*x) && (most == nil || factor(x) > factor(most)) {
			most = x
		}
	}
	return most
}

// DifferentText returns how many comparisons stand out.
func (c *Comparison) DifferentText() string {
	return fmt.Sprintf("%d of %d figures differ by more than the trials of these runs explain.", c.Different, c.Tests) + c.tooFew()
}

// tooFew returns how many trials a difference would need to count at all, where no comparison has so many; else "".
func (c *Comparison) tooFew() string {
	most, needed := 0, compare.NeededRuns(1-compare.Confidence, c.Tests, 1)
	for _, s := range c.Sides {
		for _, x := range s.Cells {
			if x.Missing == "" {
				most = max(most, x.Ratio.N)
			}
		}
	}
	if c.Tests == 0 || most >= needed {
		return ""
	}
	return fmt.Sprintf(" %s of a cell are too few for any to count, however large: %d are needed.", upperFirst(text.Plural(most, "trial")),
		needed)
}

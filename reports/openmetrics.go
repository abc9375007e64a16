package reports

import (
	"bufio"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"platter/cell"
	"platter/claims"
	"platter/results"
)

// OpenMetrics writes what a run measured as an OpenMetrics exposition (OpenMetrics 1.0.0, text format): medians with the ends of
// their intervals, percentiles of latency, flushes layer by layer, and safety verdicts as state sets. Samples carry the label run,
// which is the name of the run directory; those of a cell have its id and its axes as labels, "disk.cache" as disk_cache. What was not
// measured has no sample. Samples carry no time: they are of the run, whenever they are read.
func OpenMetrics(w io.Writer, m *Model) error {
	out := bufio.NewWriter(w)
	for _, f := range families(m) {
		f.write(out)
	}
	io.WriteString(out, "# EOF\n")
	return out.Flush()
}

// family is a metric family: its samples stand together, after what is said of them all.
type family struct {
	name string // of the metric, with the unit's at its end
	kind string // gauge, info, stateset or summary
	unit string // may be empty
	help string

	samples []sample
}

// sample is one line. Labels come in pairs of name and value.
type sample struct {
	suffix string // of the name: "_info", "_count"
	labels []string
	value  float64
}

func (f *family) add(value float64, labels ...string) {
	f.samples = append(f.samples, sample{labels: labels, value: value})
}

// info adds a sample whose labels are what it says.
func (f *family) info(labels ...string) {
	f.samples = append(f.samples, sample{"_info", labels, 1})
}

// states adds a state set: a sample for each state, 1 for the one that holds.
func (f *family) states(all []string, is string, labels ...string) {
	for _, s := range all {
		v := 0.0
		if s == is {
			v = 1
		}
		f.add(v, append(slices.Clip(labels), f.name, s)...)
	}
}

func (f *family) write(w *bufio.Writer) {
	if len(f.samples) == 0 {
		return
	}
	fmt.Fprintf(w, "# TYPE %s %s\n", f.name, f.kind)
	if f.unit != "" {
		fmt.Fprintf(w, "# UNIT %s %s\n", f.name, f.unit)
	}
	fmt.Fprintf(w, "# HELP %s %s\n", f.name, metricsText(f.help))
	for _, s := range f.samples {
		w.WriteString(f.name + s.suffix)
		for i := 0; i < len(s.labels); i += 2 {
			mark := ","
			if i == 0 {
				mark = "{"
			}
			w.WriteString(mark + s.labels[i] + `="` + metricsText(s.labels[i+1]) + `"`)
		}
		if len(s.labels) > 0 {
			w.WriteByte('}')
		}
		w.WriteString(" " + strconv.FormatFloat(s.value, 'f', -1, 64) + "\n")
	}
}

// metricsText escapes a label's value or a help text.
func metricsText(text string) string {
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\ufffd")
	}
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(text)
}

// verdicts and statuses are the states of the state sets.
var (
	verdicts = []string{results.Safe, results.Loses, results.NoPromise, results.Invalid}
	statuses = []string{results.OK, results.Failed}
	outcomes = []string{string(claims.Confirmed), string(claims.Refuted), string(claims.ConsistentSimulated),
		string(claims.ConsistentEmulated), string(claims.InconsistentSimulated), string(claims.InconsistentEmulated), string(claims.Inconclusive)}
)

func families(m *Model) []*family {
	run := []string{"run", runName(m)}
	names := labelNames(m.Manifest.Axes)
	labels := map[string][]string{} // by cell
	for _, c := range m.Cells {
		labels[c.ID] = append(slices.Clip(run), append([]string{"cell", c.ID}, axisLabels(names, c.Axes)...)...)
	}
	all := runFamilies(m, run)
	all = append(all, cellFamilies(m, labels)...)
	all = append(all, safetyFamilies(m, labels)...)
	f := &family{name: "platter_claim_outcome", kind: "stateset", help: "What came of a named hypothesis over the cells."}
	for _, c := range m.Safety.Claims {
		f.states(outcomes, string(c.Outcome), append(slices.Clip(run), "claim", c.Name)...)
	}
	return append(all, f)
}

// runName tells one run from another of the same matrix.
func runName(m *Model) string {
	if name := filepath.Base(m.Dir); name != "." && name != ".." && name != "/" {
		return name
	}
	return m.Manifest.Name
}

// labelNames makes labels of the axes' names: letters, digits and underlines. Of names that come out alike the later are numbered.
func labelNames(axes []string) []string {
	var names []string
	for _, a := range axes {
		name := strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
				return r
			}
			return '_'
		}, a)
		if !strings.Contains(a, ".") || a[0] < 'A' { // not to be taken for a label of ours, nor to begin with a digit
			name = "axis_" + name
		}
		unique := name
		for n := 2; slices.Contains(names, unique); n++ {
			unique = name + "_" + strconv.Itoa(n)
		}
		names = append(names, unique)
	}
	return names
}

// axisLabels returns the labels of a cell's axes, name and value in turn.
func axisLabels(names []string, axes cell.Settings) []string {
	var labels []string
	for i, a := range axes {
		labels = append(labels, names[i], a.Value.String())
	}
	return labels
}

func runFamilies(m *Model, run []string) []*family {
	info := &family{name: "platter_run", kind: "info", help: "What was run, and on what."}
	x := m.Manifest
	labels := slices.Clip(run)
	for _, fact := range [][2]string{{"matrix", x.Name}, {"tool", x.Tool}, {"host", x.Host.Name}, {"kernel", x.Host.Kernel},
		{"cpu", x.Host.CPU},
		{"libvirt", x.Host.Libvirt}, {"qemu", x.QEMUs()}, {"accel", x.Host.Accel}, {"guest_kernel", x.Guest.Kernel}, {"fio", x.Guest.Fio}} {
		if fact[1] != "" {
			labels = append(labels, fact[0], fact[1])
		}
	}
	info.info(labels...)
	started := &family{name: "platter_run_start_seconds", kind: "gauge", unit: "seconds", help: "When the run was started, since the epoch."}
	if !x.Started.IsZero() {
		started.add(float64(x.Started.UnixMilli())/1000, run...)
	}
	simulated := &family{name: "platter_run_simulated_trials", kind: "gauge",
		help: "1 where speed, too, was measured on a simulated disk: its figures are settings."}
	emulated := &family{name: "platter_run_emulated", kind: "gauge", help: "1 where guests ran under emulation: compare ratios between " +
		"cells, not absolute numbers."}
	simulated.add(truth(x.SimulatedTrials), run...)
	emulated.add(truth(x.Host.Accel == "tcg"), run...)
	return []*family{info, started, simulated, emulated}
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func cellFamilies(m *Model, labels map[string][]string) []*family {
	gauge := func(name, unit, help string) *family {
		return &family{name: name, kind: "gauge", unit: unit, help: help}
	}
	trials := gauge("platter_cell_trials", "", "Trials of a cell that were made, by status.")
	var summaries []summaryTriple
	for _, r := range trialRates {
		summaries = append(summaries, summaryFamilies(r.metric, r.unit, r.help))
	}
	latency := &family{name: "platter_cell_latency_seconds", kind: "summary", unit: "seconds",
		help: "Latency over the merged histograms of a cell's trials, exact to fio's bins; op flush is fsync and its kin, write a write " +
			"without it."}
	writes := gauge("platter_cell_writes", "", "Writes over a cell's trials.")
	flushes := gauge("platter_cell_flushes", "", "Flushes counted at a layer over a cell's trials.")
	guards := &family{name: "platter_cell_guard", kind: "info", help: "A check of the measurement that the cell violates."}
	for _, c := range m.Cells {
		mine := labels[c.ID]
		with := func(more ...string) []string { return append(slices.Clip(mine), more...) }
		trials.add(float64(c.Trials), with("status", results.OK)...)
		trials.add(float64(c.Failed), with("status", results.Failed)...)
		for i, r := range trialRates {
			summaries[i].add(newJSONSummary(r.of(c)), mine)
		}
		for _, kind := range directions {
			l, ok := c.Latency[kind]
			if !ok {
				continue
			}
			for _, p := range percentiles {
				if ns := *p.of(&l); ns > 0 {
					latency.add(float64(ns)/1e9, with("op", kind, "quantile", p.quantile)...)
				}
			}
			latency.samples = append(latency.samples, sample{"_count", with("op", kind), float64(l.Count)})
		}
		if c.Trials > 0 {
			writes.add(float64(c.Writes), mine...)
		}
		for _, layer := range flushLayers {
			if n := *layer.of(&c.FlushPath); n != nil {
				flushes.add(float64(*n), with("layer", underlined(layer.name))...)
			}
		}
		for _, g := range c.Guards {
			guards.info(with("guard", g.Name, "message", g.Message)...)
		}
	}
	all := []*family{trials}
	for _, s := range summaries {
		all = append(all, s.median, s.lo, s.hi)
	}
	return append(all, latency, writes, flushes, guards)
}

// summaryTriple is the three families of a median with its interval.
type summaryTriple struct{ median, lo, hi *family }

func summaryFamilies(name, unit, what string) summaryTriple {
	end := ""
	if unit != "" {
		end = "_" + unit
	}
	one := func(which, help string) *family {
		return &family{name: name + "_" + which + end, kind: "gauge", unit: unit, help: help}
	}
	return summaryTriple{one("median", "Median over a cell's trials of "+what+"."),
		one("lo", "Lower end of the median's 95 % interval, absent where there are too few trials for one: "+what+"."),
		one("hi", "Upper end of the median's 95 % interval, absent where there are too few trials for one: "+what+".")}
}

func (t summaryTriple) add(s *jsonSummary, labels []string) {
	if s == nil {
		return
	}
	t.median.add(s.Median, labels...)
	if s.Lo != nil && s.Hi != nil {
		t.lo.add(*s.Lo, labels...)
		t.hi.add(*s.Hi, labels...)
	}
}

// underlined returns a name as OpenMetrics writes it.
func underlined(name string) string { return strings.ReplaceAll(name, "-", "_") }

// safetyFamilies returns the families of the judged campaigns; a campaign that failed has its status alone.
func safetyFamilies(m *Model, labels map[string][]string) []*family {
	status := &family{name: "platter_safety_campaign_status", kind: "stateset",
		help: "Whether a cell's crash campaign went well; one that failed has no verdict."}
	verdict := &family{name: "platter_safety_verdict", kind: "stateset", help: "Verdict of a cell under a failure class behind a kind of " +
		"drive cache, on a simulated disk: SAFE no promise broken at any judged crash point, LOSES, NO_PROMISE nothing was promised, INVALID " +
		"a control failed or live cuts and replay disagree."}
	predicted := &family{name: "platter_safety_predicted", kind: "stateset", help: "The verdict that the model of the flush path predicts."}
	all := []*family{status, verdict, predicted}
	figures := make([]*family, len(safetyFigures))
	for i, f := range safetyFigures {
		figures[i] = &family{name: f.metric, kind: "gauge", unit: f.unit, help: f.help}
		if f.metric != "" {
			all = append(all, figures[i])
		}
	}
	cuts := &family{name: "platter_safety_live_cuts", kind: "gauge", help: "Real cuts of the cell's group."}
	lost := &family{name: "platter_safety_live_cuts_lost", kind: "gauge", help: "Real cuts of the cell's group that broke a promise."}
	for _, r := range m.Safety.Rows {
		mine := append(slices.Clip(labels[r.Cell]), "class", r.Class, "drive_cache", r.DriveCache)
		status.states(statuses, r.Status, mine...)
		if r.Status != results.OK {
			continue
		}
		verdict.states(verdicts, r.Safety.Verdict, mine...)
		if r.Predicted != "" {
			predicted.states(verdicts, r.Predicted, mine...)
		}
		for i, f := range safetyFigures {
			if f.metric != "" {
				figures[i].add(f.gauge(r.Safety), mine...)
			}
		}
		if r.Live != nil {
			cuts.add(float64(r.Live.Cuts), mine...)
			lost.add(float64(r.Live.Lost), mine...)
		}
	}
	return append(all, cuts, lost)
}

// Package reports shows runs. New makes one Model of a run, and everything is drawn from it: the terminal's table (Table, Spark), the page
// (HTML, Watch), Markdown, JSON and OpenMetrics; Export writes the trials themselves. The figures that are shown are listed once, in
// figures.go, so that no two outputs disagree about a number. NewComparison sets runs side by side. Nothing here needs libvirt or root.
package reports

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"platter/cell"
	"platter/compare"
	"platter/fiojob"
	"platter/results"
)

// Model is what is shown of one run.
type Model struct {
	Manifest results.Manifest
	Dir      string
	// Banners stand above everything: how far the numbers of this run may be trusted at all.
	Banners []string
	Answer  []string // the run in a few sentences
	// Answers are Answer's sentences on what is SAFE, under everything that was asked and under each class alone; empty for a run
	// without crash campaigns.
	Answers  []ClassAnswer
	Warnings []Warning
	Failures []Failure
	Cells    []Cell // the measured ones, in the order of the matrix
	Excluded []cell.Cell
	Phases   Phases
	Switches int // of hypervisors, each in a phase of a trial
	OK       int // trials that went well
	Failed   int
	Torn     bool
	Safety   Safety
	// ByHypervisor is the promises lost on each hypervisor, where the run has several.
	ByHypervisor HypervisorLosses
	// Sides are what the two sides of a change set on the disk, by their names, in a run that measured both; else nil.
	Sides map[string]string
	// Change says of such a run what the verdict on the change was and what a crash takes only after it; the first lines of Answer.
	Change   []string
	planned  int      // safety verdicts that the run is to have
	standard standard // that the answers compare the best settings with
}

// Cell is what is shown of a measured cell.
type Cell struct {
	ID     string
	Axes   cell.Settings // in the order of the matrix
	Trials int           // that went well
	Failed int
	IOPS   *compare.Summary // of all directions together; nil without a trial that went well, as are the next ones
	BW     *compare.Summary // bytes/s
	// Latency has "read", "write", "flush" and qemuFlush as far as they were measured, over the trials' merged histograms.
	Latency   map[string]Latency
	FlushPath results.FlushPath // totals over the trials
	Writes    int64             // writes over the trials, to relate the flushes to
	Effective *results.CacheFlags
	Guards    []results.Guard
	Missing   []string
	Rates     []Rate // of the trials that went well, in the order of the run
	FUA       string // the guest's queue/fua in them; empty where it was not read
}

// Rate is how fast one trial of a cell was.
type Rate struct {
	Block int              // from 0
	IOPS  float64          // of all directions together
	Log   *results.IOPSLog // nil where the trial has none
}

// steadyFrom returns the second from which on the trial is steady to its end. steady is false where it is not, and long where it did not
// last long enough to tell.
func (r Rate) steadyFrom() (seconds float64, steady, long bool) {
	if r.Log == nil || !(r.Log.IntervalS > 0) || float64(len(r.Log.IOPS))*r.Log.IntervalS < compare.SteadySeconds {
		return 0, false, false
	}
	from, steady := compare.SteadyFrom(r.Log.IOPS, int(math.Ceil(compare.SteadySeconds/r.Log.IntervalS)))
	return float64(from) * r.Log.IntervalS, steady, true
}

// Latency is a distribution's percentiles in ns, each exact to fio's bins.
type Latency struct {
	P50, P99  int64
	P999      int64 // 0, which no operation takes, below minP999 operations
	Count     int64
	Histogram fiojob.Histogram
}

// minP999 is how many operations a 99.9th percentile needs: of fewer it is merely the slowest.
const minP999 = 1000

// Warning is something wrong with the measurement, said once for all cells that it concerns.
type Warning struct {
	Name    string // the guard's, or "missing", "trials"
	Message string
	Cells   []string // ids
	Trials  int      // how many trials it concerns
}

// Failure is a trial without numbers.
type Failure struct {
	Cell    string
	Block   int
	Fault   string
	Message string
	Console []string
}

// Phases is where the wall time of the trials went, in seconds over the run.
type Phases struct {
	results.Phases
	// MeasuringShare is MeasureS over the wall time after boot, 0 to 1; 0 without trials.
	MeasuringShare float64
}

// New makes the model of a run.
func New(run *results.Run) *Model {
	m := &Model{Manifest: run.Manifest, Dir: run.Dir, Torn: run.Torn}
	m.Banners = banners(run.Manifest)
	if run.Unresolved != "" {
		m.Banners = append(m.Banners, run.Unresolved)
	}
	m.Sides = sides(run.Manifest)
	trials := map[string][]*results.Trial{}
	for i := range run.Trials {
		t := &run.Trials[i]
		trials[t.Cell] = append(trials[t.Cell], t)
		m.Phases.add(t.Phases)
		if t.Phases.SwitchS > 0 {
			m.Switches++
		}
		if t.Status == results.OK {
			m.OK++
			continue
		}
		m.Failed++
		f := Failure{Cell: t.Cell, Block: t.Block}
		if t.Failure != nil {
			f.Fault, f.Message, f.Console = t.Failure.Fault, t.Failure.Message, t.Failure.Console
		}
		m.Failures = append(m.Failures, f)
	}
	if after := m.Phases.WallS - m.Phases.BootS; after > 0 {
		m.Phases.MeasuringShare = math.Round(1000*m.Phases.MeasureS/after) / 1000
	}
	for _, c := range run.Manifest.Cells {
		if c.Excluded != "" {
			m.Excluded = append(m.Excluded, c)
			continue
		}
		m.Cells = append(m.Cells, newCell(c, trials[c.ID]))
	}
	m.Warnings = warnings(m, run.Trials)
	m.Safety = newSafety(run, m.Cells)
	m.ByHypervisor = newHypervisorLosses(m)
	m.planned = plannedVerdicts(m)
	m.Change = changeLines(m, run.Judgement)
	m.answerAgainst(theDefault(run.Manifest.Axes))
	return m
}

// add adds a trial's phases, in whole milliseconds: sums of binary fractions carry digits that nobody measured.
func (p *Phases) add(t results.Phases) {
	for _, f := range []struct {
		sum *float64
		s   float64
	}{
		{&p.BootS, t.BootS}, {&p.SwitchS, t.SwitchS}, {&p.AttachS, t.AttachS}, {&p.PrepareS, t.PrepareS}, {&p.PrefillS, t.PrefillS},
		{&p.RampS, t.RampS}, {&p.MeasureS, t.MeasureS}, {&p.CollectS, t.CollectS}, {&p.WallS, t.WallS},
	} {
		*f.sum = math.Round((*f.sum+f.s)*1000) / 1000
	}
}

func banners(m results.Manifest) []string {
	var b []string
	if m.Banner != "" {
		b = append(b, m.Banner)
	}
	if m.Host.Accel == "tcg" {
		b = append(b, "emulated (TCG): compare ratios between cells, not absolute numbers; "+m.Host.AccelReason)
	}
	for _, h := range m.Hypervisors {
		if h.Accel != m.Host.Accel {
			b = append(b, fmt.Sprintf("guests ran under %s on %s and under %s on %s: their speeds do not compare; %s", m.Host.Accel,
				m.Hypervisors[0].Name, h.Accel, h.Name, h.AccelReason))
		}
	}
	if m.SimulatedTrials {
		b = append(b, "speed was measured on a simulated disk: its latencies are settings, and its figures say nothing about a real one")
	}
	return b
}

func newCell(c cell.Cell, trials []*results.Trial) Cell {
	shown := Cell{ID: c.ID, Axes: c.Axes, Latency: map[string]Latency{}}
	var iops, bw []float64
	var paths []results.FlushPath
	histograms := map[string][]fiojob.Histogram{}
	for _, t := range trials {
		if t.Status != results.OK || t.Metrics == nil {
			shown.Failed++
			continue
		}
		shown.Trials++
		for name, d := range map[string]*fiojob.Direction{"read": t.Metrics.Read, "write": t.Metrics.Write, "trim": t.Metrics.Trim} {
			if d != nil {
				histograms[name] = append(histograms[name], d.Latency)
			}
		}
		if t.Metrics.Write != nil {
			shown.Writes += t.Metrics.Write.IOs
		}
		iops, bw = append(iops, trialRates[0].total(t.Metrics)), append(bw, trialRates[1].total(t.Metrics))
		shown.Rates = append(shown.Rates, Rate{t.Block, iops[len(iops)-1], t.IOPSLog})
		if t.Metrics.Sync != nil {
			histograms["flush"] = append(histograms["flush"], t.Metrics.Sync.Latency)
		}
		if h := t.Evidence.QEMUFlushLatency; h != nil {
			histograms[qemuFlush] = append(histograms[qemuFlush], *h)
		}
		paths = append(paths, t.Evidence.FlushPath)
		shown.Effective = t.Evidence.Effective
		shown.FUA = t.Evidence.Guest["queue/fua"]
		for _, g := range t.Guards {
			if !slices.ContainsFunc(shown.Guards, func(o results.Guard) bool { return o.Name == g.Name }) {
				shown.Guards = append(shown.Guards, g)
			}
		}
		for _, name := range t.Missing {
			if !slices.Contains(shown.Missing, name) {
				shown.Missing = append(shown.Missing, name)
			}
		}
	}
	shown.FlushPath = flushTotals(paths)
	if shown.Trials > 0 {
		i, b := compare.Summarize(iops), compare.Summarize(bw)
		shown.IOPS, shown.BW = &i, &b
	}
	for name, h := range histograms {
		if l, ok := newLatency(fiojob.Merge(h...)); ok {
			shown.Latency[name] = l
		}
	}
	return shown
}

func newLatency(h fiojob.Histogram) (Latency, bool) {
	l := Latency{Count: h.Count(), Histogram: h}
	if l.Count == 0 {
		return l, false
	}
	for _, p := range percentiles {
		if l.Count >= p.least {
			*p.of(&l), _ = h.Percentile(p.percent)
		}
	}
	return l, true
}

// flushTotals adds the counts of a cell's trials, layer by layer. A layer that one of them did not measure has no total:
// the sum over the others could not be compared with the other layers.
func flushTotals(trials []results.FlushPath) results.FlushPath {
	var total results.FlushPath
	for _, layer := range flushLayers {
		sum, counted := int64(0), 0
		for i := range trials {
			if n := *layer.of(&trials[i]); n != nil {
				sum += *n
				counted++
			}
		}
		if counted == len(trials) && counted > 0 {
			*layer.of(&total) = &sum
		}
	}
	for _, t := range trials {
		total.FioIdle += t.FioIdle
		total.IncludesRamp = total.IncludesRamp || t.IncludesRamp
	}
	return total
}

// warnings gathers what is wrong with the measurement, each message once, the one that concerns most trials first.
func warnings(m *Model, trials []results.Trial) []Warning {
	var all []Warning
	at := map[string]int{}
	add := func(name, message, cell string, trials int) {
		i, known := at[name+message]
		if !known {
			i = len(all)
			at[name+message] = i
			all = append(all, Warning{Name: name, Message: message})
		}
		if !slices.Contains(all[i].Cells, cell) {
			all[i].Cells = append(all[i].Cells, cell)
		}
		all[i].Trials += trials
	}
	if m.Torn {
		all = append(all, Warning{Name: "torn", Message: "the last line of the journal was cut short, as a crash leaves it; it is not shown"})
	}
	if text := unequalBlocks(m.Cells); text != "" {
		for _, c := range m.Cells {
			if c.Trials > 0 {
				add("blocks", text, c.ID, c.Trials)
			}
		}
	}
	for i := range trials {
		t := &trials[i]
		for _, g := range t.Guards {
			add(g.Name, g.Message, t.Cell, 1)
		}
	}
	for _, c := range m.Cells {
		if c.Trials == 0 && c.Failed > 0 {
			add("trials", "not measured: no trial went well", c.ID, c.Failed)
		}
		if c.IOPS == nil {
			continue
		}
		for _, w := range c.IOPS.Warnings {
			add("trials", w, c.ID, c.Trials)
		}
	}
	slices.SortStableFunc(all, func(a, b Warning) int { return b.Trials - a.Trials })
	return all
}

// maxBlockRatio is by how much the blocks of a run may differ before it is said.
const maxBlockRatio = 1.5

// unequalBlocks returns a sentence on how much the machine's speed changed between two blocks, all cells together; "" where it did not.
func unequalBlocks(cells []Cell) string {
	level, counted := map[int]float64{}, map[int]int{}
	measured := 0
	for _, c := range cells {
		if c.IOPS == nil || !(c.IOPS.Median > 0) {
			continue
		}
		measured++
		for _, r := range c.Rates {
			if r.IOPS > 0 { // a trial without an operation is its cell's, not the machine's
				level[r.Block] += math.Log(r.IOPS / c.IOPS.Median)
				counted[r.Block]++
			}
		}
	}
	slow, fast := -1, -1
	for _, b := range slices.Sorted(maps.Keys(level)) {
		if counted[b] < measured { // a mean over other cells is another figure
			continue
		}
		if slow < 0 || level[b] < level[slow] {
			slow = b
		}
		if fast < 0 || level[b] > level[fast] {
			fast = b
		}
	}
	if slow < 0 || measured == 0 {
		return ""
	}
	ratio := math.Exp((level[slow] - level[fast]) / float64(measured))
	if !(ratio < 1/maxBlockRatio) {
		return ""
	}
	return fmt.Sprintf("all cells together ran ×%.2g as fast in block %d as in block %d: the machine did not keep its speed", ratio, slow+1,
		fast+1)
}

// short returns an axis name without its namespace.
func short(axis string) string {
	_, name, ok := strings.Cut(axis, ".")
	if !ok {
		return axis
	}
	return name
}

// directions are the kinds of latency in the order in which they are shown.
var directions = []string{"read", "write", "trim", "flush", qemuFlush}

// qemuFlush is the latency of the guest's flushes in QEMU: the part of fio's that is spent there and below.
const qemuFlush = "QEMU flush"

// shown returns those kinds of latency that any of the cells has.
func shown(cells []Cell) []string {
	have := map[string]bool{}
	for _, c := range cells {
		for name := range maps.Keys(c.Latency) {
			have[name] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(directions), func(n string) bool { return !have[n] })
}

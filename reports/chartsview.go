package reports

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"platter/cell"
	"platter/results"
)

// viewData is what the charts with choosers draw from: the run's figures, cell by cell. Texts of the run are data here; page.js
// writes them as text.
type viewData struct {
	Axes    []viewAxis   `json:"axes"`
	Works   []string     `json:"works"` // workloads, by their names
	Metrics []viewMetric `json:"metrics"`
	// Questions are the failure classes, each behind its drive cache.
	Questions []string   `json:"questions"`
	Quantiles []float64  `json:"quantiles"` // of the curves of latency
	Kinds     []string   `json:"kinds"`     // of latency
	Cells     []viewCell `json:"cells"`
	places    standings
	// Fronts are by metric of a rate or latency and by question the cells that no cell of their workload beats.
	Fronts map[string][][]int `json:"fronts,omitempty"`
	Strips []strip            `json:"strips,omitempty"`
	Every  int                `json:"every"` // intervals that a value of Course sums up

	Timelines []viewTimeline `json:"timelines,omitempty"`
}

type viewAxis struct {
	Name   string   `json:"name"`
	Values []string `json:"values"`
	Disk   bool     `json:"disk,omitempty"`
}

// viewMetric is a figure that cells have. Units: "rate", "bytes" (of bytes/s), "ns", "part" (of 1) and "ms".
type viewMetric struct {
	Name string `json:"name"`
	Unit string `json:"unit"`
	More bool   `json:"more,omitempty"` // more is better
	Safe bool   `json:"safe,omitempty"` // a figure of safety
}

type viewCell struct {
	Axes    []int         `json:"a"` // positions of its values
	Work    int           `json:"w"`
	Label   string        `json:"l"`
	Place   int           `json:"p,omitempty"` // 1: the fastest of its workload, 2: not set apart from it
	Metrics []*viewFigure `json:"m"`
	Losses  []*viewLoss   `json:"s,omitempty"` // by question
	Curves  [][]int64     `json:"c,omitempty"` // by kind: ns at each of Quantiles
	Blocks  []int         `json:"b,omitempty"`
	Rates   []float64     `json:"r,omitempty"` // IOPS, one for each of Blocks
	Course  []*viewCourse `json:"i,omitempty"` // of each of Blocks
}

// viewFigure is a value, with its interval where it has one.
type viewFigure struct {
	Value, Lo, Hi float64
	Bounded       bool
}

// MarshalJSON writes [value] or [value, lo, hi].
func (f viewFigure) MarshalJSON() ([]byte, error) {
	if !f.Bounded {
		return json.Marshal([]float64{significant(f.Value)})
	}
	return json.Marshal([]float64{significant(f.Value), significant(f.Lo), significant(f.Hi)})
}

// viewLoss is a valid verdict with its figures.
type viewLoss struct {
	Verdict string  `json:"v"`
	Text    string  `json:"t"`
	Lost    float64 `json:"l"` // part of the promised writes
	MS      float64 `json:"e"` // age of the oldest exposed write
	Least   bool    `json:"c,omitempty"`
	writes  int64
}

// Budgets keep a report of very many cells small: what exceeds them is drawn more coarsely.
const (
	maxStripPoints  = 60_000
	maxCourseValues = 150_000
)

func newViewData(m *Model) viewData {
	d := viewData{Kinds: shown(m.Cells), Quantiles: quantiles()}
	for i, name := range m.Manifest.Axes {
		a := viewAxis{Name: short(name), Disk: ofDisk(name)}
		for _, c := range m.Cells {
			if text := c.Axes[i].Value.String(); !slices.Contains(a.Values, text) {
				a.Values = append(a.Values, text)
			}
		}
		d.Axes = append(d.Axes, a)
	}
	d.addMetrics(m)
	values := 0
	for _, c := range m.Cells {
		for _, r := range c.Rates {
			if r.Log != nil {
				values += len(r.Log.IOPS)
			}
		}
	}
	d.Every = 1 + values/maxCourseValues
	d.places = newStandings(workloads(m.Cells))
	for _, c := range m.Cells {
		d.Cells = append(d.Cells, d.newCell(m, c))
	}
	d.addFronts(m)
	d.addStrips(m)
	return d
}

// addMetrics names the figures; newCell gives them in the same order.
func (d *viewData) addMetrics(m *Model) {
	d.Metrics = []viewMetric{{Name: "IOPS", Unit: "rate", More: true}, {Name: "bandwidth", Unit: "bytes", More: true}}
	for _, k := range d.Kinds {
		for _, p := range []string{"p50", "p99", "p99.9"} {
			d.Metrics = append(d.Metrics, viewMetric{Name: k + " " + p, Unit: "ns"})
		}
	}
	for _, q := range m.Safety.Questions {
		d.Questions = append(d.Questions, questionName(m, q))
	}
	for _, name := range d.Questions {
		d.Metrics = append(d.Metrics, viewMetric{Name: "promises lost, " + name, Unit: "part", Safe: true},
			viewMetric{Name: "exposure, " + name, Unit: "ms", Safe: true})
	}
}

// questionName tells apart also the drive caches behind a class that does not ask about them.
func questionName(m *Model, q cell.Question) string {
	same := 0
	for _, o := range m.Safety.Questions {
		if o.String() == q.String() {
			same++
		}
	}
	if same > 1 {
		return q.String() + " (" + q.DriveCache + ")"
	}
	return q.String()
}

func (d *viewData) newCell(m *Model, c Cell) viewCell {
	v := viewCell{Label: labelOf(c.Axes), Work: d.work(c.work())}
	switch place, known := d.places.of[c.ID]; {
	case place.fastest:
		v.Place = 1
	case known && place.near():
		v.Place = 2
	}
	for i, a := range c.Axes {
		v.Axes = append(v.Axes, slices.Index(d.Axes[i].Values, a.Value.String()))
	}
	var rate, bytes *viewFigure
	if c.IOPS != nil {
		rate = &viewFigure{c.IOPS.Median, c.IOPS.Lo, c.IOPS.Hi, c.IOPS.Bounded()}
		bytes = &viewFigure{c.BW.Median, c.BW.Lo, c.BW.Hi, c.BW.Bounded()}
	}
	v.Metrics = []*viewFigure{rate, bytes}
	for _, k := range d.Kinds {
		l, measured := c.Latency[k]
		for _, ns := range []int64{l.P50, l.P99, l.P999} {
			var f *viewFigure
			if measured && ns > 0 {
				f = &viewFigure{Value: float64(ns)}
			}
			v.Metrics = append(v.Metrics, f)
		}
		v.Curves = append(v.Curves, curve(l))
	}
	for _, q := range m.Safety.Questions {
		loss := newViewLoss(m.Safety.row(c.ID, q))
		v.Losses = append(v.Losses, loss)
		var lost, exposed *viewFigure
		if loss != nil {
			exposed = &viewFigure{Value: loss.MS}
			if loss.Verdict != results.NoPromise {
				lost = &viewFigure{Value: loss.Lost}
			}
		}
		v.Metrics = append(v.Metrics, lost, exposed)
	}
	for _, r := range c.Rates {
		v.Blocks, v.Rates = append(v.Blocks, r.Block), append(v.Rates, math.Round(10*r.IOPS)/10)
		v.Course = append(v.Course, newViewCourse(r, d.Every))
	}
	if !slices.ContainsFunc(v.Course, func(c *viewCourse) bool { return c != nil }) {
		v.Course = nil
	}
	return v
}

// viewCourse is how fast a trial was from beginning to end.
type viewCourse struct {
	Each   float64   `json:"u"` // seconds that a value spans
	Values []float64 `json:"v"` // IOPS
	// Steady is from which second on the trial is steady, -1 where it never is; absent where it was too short to tell.
	Steady *float64 `json:"s,omitempty"`
}

// newViewCourse returns nil for a trial without a log.
func newViewCourse(r Rate, every int) *viewCourse {
	if r.Log == nil || len(r.Log.IOPS) < every || !(r.Log.IntervalS > 0) {
		return nil
	}
	c := &viewCourse{Each: math.Round(1000*float64(every)*drawable(r.Log.IntervalS)) / 1000, Values: thinned(r.Log.IOPS, every)}
	if from, steady, long := r.steadyFrom(); long {
		if !steady {
			from = -1
		}
		c.Steady = new(drawable(from))
	}
	return c
}

func (d *viewData) work(name string) int {
	if i := slices.Index(d.Works, name); i >= 0 {
		return i
	}
	d.Works = append(d.Works, name)
	return len(d.Works) - 1
}

// newViewLoss returns nil for a row without a valid verdict.
func newViewLoss(r *SafetyRow) *viewLoss {
	if r == nil || r.Status != results.OK || r.Verdict == results.Invalid {
		return nil
	}
	l := viewLoss{Verdict: r.Verdict, Text: r.verdict(), MS: significant(r.Exposure.MS), Least: r.Exposure.Censored, writes: r.Exposure.Writes}
	if r.Promises > 0 {
		l.Lost = float64(r.PromisesLost) / float64(r.Promises)
	}
	if x := r.Live; x != nil && x.Promises > 0 {
		l.Lost = max(l.Lost, float64(x.PromisesLost)/float64(x.Promises))
	}
	l.Lost = significant(l.Lost)
	return &l
}

// quantiles returns where the curves of latency have their points: denser towards the slowest.
func quantiles() []float64 {
	all := []float64{0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85}
	for _, tail := range []float64{0.1, 0.01, 0.001, 0.0001} {
		for _, f := range []float64{1, 0.6, 0.4, 0.25, 0.16} {
			all = append(all, math.Round((1-tail*f)*1e7)/1e7)
		}
	}
	return all
}

// curve returns a distribution at quantiles, as far as it has operations enough: ten beyond the last.
func curve(l Latency) []int64 {
	var points []int64
	for _, q := range quantiles() {
		if float64(l.Count)*(1-q) < 10 {
			break
		}
		ns, ok := l.Histogram.Percentile(100 * q)
		if !ok {
			break
		}
		points = append(points, ns)
	}
	return points
}

// thinned returns the means of so many values each; a last one of fewer is left out.
func thinned(values []float64, every int) []float64 {
	var all []float64
	for ; len(values) >= every; values = values[every:] {
		sum := 0.0
		for _, v := range values[:every] {
			sum += drawable(v)
		}
		all = append(all, math.Round(sum/float64(every)))
	}
	return all
}

// drawable bounds a figure, so that what is made of some is a number: a journal may say anything.
func drawable(v float64) float64 { return max(-1e15, min(1e15, v)) }

// strip is a crash campaign's log under one question, from left to right; neighbours that are alike are one stretch.
type strip struct {
	Cell     int       `json:"c"`
	Question int       `json:"q"`
	Verdict  string    `json:"v"`
	End      float64   `json:"z"` // of the log, ms
	MS       []float64 `json:"t"` // where the worst point of each stretch is, ms since the log began; where it begins is not recorded
	Lost     []int64   `json:"l"` // promises
	Exposed  []float64 `json:"e"` // age, ms
}

func (d *viewData) addStrips(m *Model) {
	total := 0
	for _, r := range m.Safety.Rows {
		total += len(r.Strip)
	}
	every := 1 + total/maxStripPoints
	at := map[string]int{}
	for i, c := range m.Cells {
		at[c.ID] = i
	}
	for _, r := range m.Safety.Rows {
		if r.Status != results.OK || len(r.Strip) == 0 {
			continue
		}
		d.Strips = append(d.Strips, newStrip(r, at[r.Cell], slices.Index(m.Safety.Questions, r.Answers()), every))
	}
}

func newStrip(r SafetyRow, cell, question, every int) strip {
	s := strip{Cell: cell, Question: question, Verdict: r.Verdict}
	for points := r.Strip; len(points) > 0; points = points[min(every, len(points)):] {
		lost, exposed := int64(0), 0.0
		for _, p := range points[:min(every, len(points))] {
			lost, exposed = max(lost, p.PromisesLost), max(exposed, drawable(p.ExposedMS))
		}
		if exposed > 0 {
			exposed = max(0.01, math.Round(100*exposed)/100)
		}
		s.End = math.Round(drawable(max(points[min(every, len(points))-1].MS, 1000*r.Seconds)))
		if n := len(s.MS); n > 0 && s.Lost[n-1] == lost && s.Exposed[n-1] == exposed {
			continue
		}
		s.MS, s.Lost, s.Exposed = append(s.MS, math.Round(drawable(points[0].MS))), append(s.Lost, lost), append(s.Exposed, exposed)
	}
	return s
}

// chooser is a select of a chart.
type chooser struct {
	Key     string // behind the chart's ID
	Label   string
	Options []string
	Chosen  int
}

func axisChoosers(d viewData, fixed bool) []chooser {
	var all []chooser
	for i, a := range d.Axes {
		if len(a.Values) < 2 {
			continue
		}
		c := chooser{Key: fmt.Sprintf("fix%d", i), Label: a.Name, Options: a.Values}
		if !fixed {
			c.Options = append([]string{"all"}, a.Values...)
		}
		all = append(all, c)
	}
	return all
}

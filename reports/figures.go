package reports

import (
	"fmt"
	"slices"

	"platter/compare"
	"platter/fiojob"
	"platter/results"
	"platter/text"
)

// The figures that are shown are listed in this file, each once. Tables, page, Markdown, CSV, benchfmt and OpenMetrics are drawn from
// these lists; JSON's types have the same figures by name, which a test holds.

// rate is a figure that each trial has, of all directions together, and a cell the median of.
type rate struct {
	export string // a trial's, as a column of the CSV and a unit of benchfmt
	metric string // a cell's, as the beginning of OpenMetrics families
	unit   string // OpenMetrics'
	help   string
	of     func(Cell) *compare.Summary
	trial  func(*fiojob.Direction) float64
}

var trialRates = []rate{
	{"iops", "platter_cell_iops", "", "operations a second, of all directions together",
		func(c Cell) *compare.Summary { return c.IOPS }, func(d *fiojob.Direction) float64 { return d.IOPS }},
	{"bw-B/s", "platter_cell_bandwidth", "bytes_per_second", "bandwidth, of all directions together",
		func(c Cell) *compare.Summary { return c.BW }, func(d *fiojob.Direction) float64 { return d.BW }},
}

// total returns the rate of all directions of a trial together.
func (r rate) total(m *fiojob.Metrics) float64 {
	sum := 0.0
	for _, d := range []*fiojob.Direction{m.Read, m.Write, m.Trim} {
		if d != nil {
			sum += r.trial(d)
		}
	}
	return sum
}

// percentile is one of the percentiles of a latency.
type percentile struct {
	name     string // in exports: "p999"
	label    string // for people: "p99.9"
	percent  float64
	quantile string // OpenMetrics'
	least    int64  // operations that it needs
	of       func(*Latency) *int64
}

var percentiles = []percentile{
	{"p50", "p50", 50, "0.5", 1, func(l *Latency) *int64 { return &l.P50 }},
	{"p99", "p99", 99, "0.99", 1, func(l *Latency) *int64 { return &l.P99 }},
	{"p999", "p99.9", 99.9, "0.999", minP999, func(l *Latency) *int64 { return &l.P999 }},
}

// flushLayer is a place where flushes are counted.
type flushLayer struct {
	name   string // in exports; OpenMetrics' label has it with underlines
	export bool   // whether the CSV has a column for it
	of     func(*results.FlushPath) **int64
}

var flushLayers = []flushLayer{
	{"fio", true, func(f *results.FlushPath) **int64 { return &f.Fio }},
	{"fio-dsync-writes", true, func(f *results.FlushPath) **int64 { return &f.FioDsyncWrites }},
	{"guest", true, func(f *results.FlushPath) **int64 { return &f.Guest }},
	{"qemu", true, func(f *results.FlushPath) **int64 { return &f.QEMU }},
	{"image", true, func(f *results.FlushPath) **int64 { return &f.Image }},
	{"image-dsync-writes", true, func(f *results.FlushPath) **int64 { return &f.ImageDsyncWrites }},
	{"host-device", false, func(f *results.FlushPath) **int64 { return &f.HostDevice }},
}

// safetyFigure is a figure of a judged crash campaign.
type safetyFigure struct {
	export string                       // its column in the CSV
	value  func(results.Safety) any     // for the CSV
	metric string                       // OpenMetrics'; "" where it has none
	unit   string                       // OpenMetrics'
	gauge  func(results.Safety) float64 // in that unit
	help   string
}

var safetyFigures = []safetyFigure{
	counted("crash-points", "Crash points judged; those of one log are not independent and bound no probability.",
		func(s results.Safety) int64 { return s.CrashPoints }),
	{export: "writes", value: func(s results.Safety) any { return s.Writes }},
	counted("promises", "Promised writes of the whole log.", func(s results.Safety) int64 { return s.Promises }),
	counted("promises-lost", "Promised writes that are gone at the worst crash point.",
		func(s results.Safety) int64 { return s.PromisesLost }),
	counted("points-lost", "Crash points at which a promise is broken.", func(s results.Safety) int64 { return s.PointsLost }),
	counted("torn", "Blocks that mix promised and newer sectors at the worst crash point.", func(s results.Safety) int64 { return s.Torn }),
	counted("exposed-writes", "Acknowledged, unpromised writes that are gone at the worst crash point: a lower bound.",
		func(s results.Safety) int64 { return s.Exposure.Writes }),
	{"exposed-bytes", func(s results.Safety) any { return s.Exposure.Bytes }, "platter_safety_exposed_bytes", "bytes",
		func(s results.Safety) float64 { return float64(s.Exposure.Bytes) },
		"Acknowledged, unpromised bytes that are gone at the worst crash point: a lower bound."},
	{"exposed-ms", func(s results.Safety) any { return s.Exposure.MS }, "platter_safety_exposed_age_seconds", "seconds",
		func(s results.Safety) float64 { return s.Exposure.MS / 1000 },
		"Age of the oldest exposed write at the worst crash point: a lower bound, and where platter_safety_exposed_age_censored is 1 no " +
			"more than that it is as old as the campaign."},
	{"exposed-censored", func(s results.Safety) any { return s.Exposure.Censored }, "platter_safety_exposed_age_censored", "",
		func(s results.Safety) float64 { return truth(s.Exposure.Censored) },
		"1 where the oldest exposed write dates from the start of the campaign."},
}

// counted returns a figure that is a number of things.
func counted(name, help string, of func(results.Safety) int64) safetyFigure {
	return safetyFigure{name, func(s results.Safety) any { return of(s) }, "platter_safety_" + underlined(name), "",
		func(s results.Safety) float64 { return float64(of(s)) }, help}
}

// cellColumn is a figure of a cell in a table for people.
type cellColumn struct {
	name string // of the column, and the figure's name in all tables
	page string // its name on the page, where that is another one
	text func(Cell) string
}

// cellColumns returns what tables show of the cells, in the order of the terminal.
func cellColumns(m *Model) []cellColumn {
	all := []cellColumn{
		{"n", "trials ok", func(c Cell) string { return fmt.Sprint(c.Trials) }},
		{"failed", "", func(c Cell) string { return fmt.Sprint(c.Failed) }},
		{"IOPS", "", func(c Cell) string { return iops(c.IOPS) }},
		{"95 % interval", "", func(c Cell) string { return interval(c.IOPS) }},
		{"bandwidth", "", func(c Cell) string { return bandwidth(c.BW) }},
	}
	for _, kind := range shown(m.Cells) {
		all = append(all, cellColumn{kind + " p99", "", func(c Cell) string {
			if l, ok := c.Latency[kind]; ok {
				return text.Duration(l.P99)
			}
			return absent
		}})
	}
	return append(all, cellColumn{"flushes", "", func(c Cell) string { return flushText(c.FlushPath, c.Writes) }})
}

// without returns the columns but for those of some names.
func without(columns []cellColumn, names ...string) []cellColumn {
	return slices.DeleteFunc(slices.Clone(columns), func(c cellColumn) bool { return slices.Contains(names, c.name) })
}

// cellRows returns the header and the rows of a table of the cells: their axes but for the first headed ones, then the columns.
func cellRows(m *Model, headed int, columns []cellColumn) (header []text.Column, rows [][]string) {
	header = axisColumns(m)[headed:]
	for _, c := range columns {
		header = append(header, text.Column{Name: c.name, Right: true})
	}
	for _, c := range m.Cells {
		row := axisTexts(c)[headed:]
		for _, column := range columns {
			row = append(row, column.text(c))
		}
		rows = append(rows, row)
	}
	return header, rows
}

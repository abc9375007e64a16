package reports

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"

	"platter/flushpath"
	"platter/text"
)

// chart is a drawing of some of a run's numbers. Colours in its option are variables of page.css, so that it follows
// light, dark and print by itself; what needs a function (shapes, tick labels) is in page.js under the name Draw.
type chart struct {
	ID      string // of its element, and the stem of its option's
	Title   string
	Caption string // how to read it
	Summary string // what it shows, in words, for those who do not see it
	Draw    string // "iops", "latency", "flushes", or one of newViews
	Height  int    // CSS pixels
	Legend  []legendEntry
	Option  json.RawMessage // of ECharts

	Choosers []chooser // of a view
}

// legendEntry explains one kind of mark.
type legendEntry struct {
	Name  string
	Shape string // "circle", "diamond", "triangle" or "square"
	Class string // of page.css, for the colour
}

// Sizes in CSS pixels.
const (
	axisHeight    = 34 // of the labels of the horizontal axis, with some air
	iopsHeight    = 24 // of a row
	laneHeight    = 14 // of a kind of latency in a row
	flushHeight   = 32 // of a row
	letterWidth   = 7  // of a row's label, about
	boldWidth     = 9  // of a group's name, at most
	maxLabelWidth = 320
)

// newCharts draws a run: the charts for which it has numbers. prefix begins their IDs.
func newCharts(m *Model, prefix string) ([]chart, error) {
	var drawn []chart
	for _, draw := range []func(*Model, string) (*chart, error){iopsChart, latencyChart, flushChart} {
		c, err := draw(m, prefix)
		if err != nil {
			return nil, err
		}
		if c != nil {
			c.paged(len(rows(m.Cells)))
			drawn = append(drawn, *c)
		}
	}
	return drawn, nil
}

// pageRows is how many rows page.js draws at once.
const pageRows = 60

// paged gives a chart of very many rows a chooser of pages.
func (c *chart) paged(rows int) {
	if rows <= pageRows {
		return
	}
	pages := chooser{Key: "rows", Label: "Rows"}
	for from := 1; from <= rows; from += pageRows {
		pages.Options = append(pages.Options, fmt.Sprintf("%d – %d of %d", from, min(from+pageRows-1, rows), rows))
	}
	c.Choosers = append(c.Choosers, pages)
}

// row is a line of a chart: a cell, or the name of the group of cells below it.
type row struct {
	label string
	cell  *Cell // nil for the name of a group
}

// rows groups the cells by their first axis that varies. With one such axis there is nothing to group.
func rows(cells []Cell) []row {
	varying := varyingAxes(cells)
	if len(varying) < 2 {
		return flatRows(cells, varying)
	}
	var order []string
	groups := map[string][]row{}
	for i := range cells {
		name := axesLabel(cells[i], varying[:1])
		if _, known := groups[name]; !known {
			order = append(order, name)
		}
		groups[name] = append(groups[name], row{axesLabel(cells[i], varying[1:]), &cells[i]})
	}
	var all []row
	for _, name := range order {
		all = append(all, row{label: name})
		all = append(all, groups[name]...)
	}
	return all
}

func flatRows(cells []Cell, axes []int) []row {
	var all []row
	for i := range cells {
		name := axesLabel(cells[i], axes)
		if name == "" {
			name = cells[i].ID
		}
		all = append(all, row{name, &cells[i]})
	}
	return all
}

// varyingAxes returns the positions of the axes that have more than one value among the cells.
func varyingAxes(cells []Cell) []int {
	var varying []int
	if len(cells) == 0 {
		return nil
	}
	for i, first := range cells[0].Axes {
		for _, c := range cells[1:] {
			if c.Axes[i].Value.String() != first.Value.String() {
				varying = append(varying, i)
				break
			}
		}
	}
	return varying
}

// axesLabel names a cell by some of its axes.
func axesLabel(c Cell, axes []int) string {
	var some Cell
	for _, i := range axes {
		some.Axes = append(some.Axes, c.Axes[i])
	}
	return labelOf(some.Axes)
}

// categories returns the labels of rows as ECharts wants them on an axis; names of groups are bold and not cut short.
func categories(all []row) []any {
	var data []any
	for _, r := range all {
		if r.cell != nil {
			data = append(data, r.label)
			continue
		}
		data = append(data, map[string]any{"value": r.label, "textStyle": map[string]any{
			"fontWeight": 600, "color": "var(--ink)", "backgroundColor": "var(--paper)", "align": "left",
			"width": boldWidth * utf8.RuneCountInString(r.label)}})
	}
	return data
}

// labelWidth returns about the width that the labels of cells need, in CSS pixels.
func labelWidth(all []row) int {
	longest := 0
	for _, r := range all {
		if r.cell != nil {
			longest = max(longest, utf8.RuneCountInString(r.label))
		}
	}
	return min(letterWidth*longest+16, maxLabelWidth)
}

// rowAxis returns the vertical axis: a row a cell, from the top.
func rowAxis(all []row) opts.YAxis {
	width := labelWidth(all)
	return opts.YAxis{
		Type: "category", Inverse: opts.Bool(true), Data: categories(all),
		AxisLine: &opts.AxisLine{Show: opts.Bool(false)},
		AxisLabel: &opts.AxisLabel{Interval: "0", Align: "left", Margin: float64(width), Width: width, Overflow: "truncate",
			Color: "var(--muted)", FontSize: 12},
	}
}

// valueAxis returns the horizontal axis of numbers.
func valueAxis(kind string, from, to any) opts.XAxis {
	return opts.XAxis{
		Type: kind, Min: from, Max: to, SplitNumber: 4,
		AxisLabel: &opts.AxisLabel{Color: "var(--muted)", FontSize: 12, HideOverlap: opts.Bool(true)},
		SplitLine: &opts.SplitLine{Show: opts.Bool(true), LineStyle: &opts.LineStyle{Color: "var(--rule)"}},
	}
}

// frame returns what the charts have in common.
func frame(id string, x opts.XAxis, y opts.YAxis, right int) []charts.GlobalOpts {
	top, bottom := "8", "26"
	if x.Position == "top" {
		top, bottom = "26", "8"
	}
	return []charts.GlobalOpts{
		charts.WithInitializationOpts(opts.Initialization{ChartID: id}),
		charts.WithAnimation(false),
		charts.WithLegendOpts(opts.Legend{Show: opts.Bool(false)}),
		charts.WithTooltipOpts(opts.Tooltip{Show: opts.Bool(false)}),
		charts.WithGridOpts(opts.Grid{Left: strconv.Itoa(int(y.AxisLabel.Margin)), Top: top, Right: strconv.Itoa(right), Bottom: bottom}),
		charts.WithXAxisOpts(x),
		charts.WithYAxisOpts(y),
	}
}

// iopsChart draws each cell's median as a bar, with the interval over it.
func iopsChart(m *Model, prefix string) (*chart, error) {
	all := rows(m.Cells)
	bars, whiskers, measured := iopsData(all)
	if !measured {
		return nil, nil
	}
	c := &chart{
		ID: prefix + "iops", Title: "IOPS by cell", Draw: "iops", Height: axisHeight + iopsHeight*len(all),
		Caption: "Bars: median over the trials. Whiskers: 95\u202f% interval of the median; a bar without whiskers has too few trials for one.",
		Summary: "Bar chart of the median IOPS of each cell. " + strings.Join(m.Answer, " "),
	}
	bar := charts.NewBar()
	bar.SetGlobalOptions(frame(c.ID, valueAxis("value", 0, nil), rowAxis(all), 72)...)
	bar.SetXAxis(categories(all)).XYReversal()
	bar.AddSeries("IOPS", bars, charts.WithItemStyleOpts(opts.ItemStyle{Color: "var(--bar)"}),
		charts.WithBarChartOpts(opts.BarChart{BarWidth: "58%"}))
	bar.Overlap(custom("interval", whiskers, opts.Encode{X: []int{1, 2, 3}, Y: 0}))
	bar.Validate()
	return c.withOption(bar.JSON())
}

// iopsData returns a bar and whiskers for each row, and whether there is anything to see.
func iopsData(all []row) (bars []opts.BarData, whiskers []opts.CustomData, measured bool) {
	for i, r := range all {
		bar := opts.BarData{Value: "-"} // ECharts' word for nothing
		switch {
		case r.cell == nil:
		case r.cell.IOPS == nil:
			whiskers = append(whiskers, opts.CustomData{Name: "not measured", Value: []any{i, nil, nil, nil}})
		default:
			s := r.cell.IOPS
			var lo, hi any
			if s.Bounded() {
				lo, hi = significant(s.Lo), significant(s.Hi)
			}
			bar.Value = significant(s.Median)
			whiskers = append(whiskers, opts.CustomData{Name: text.Number(s.Median), Value: []any{i, bar.Value, lo, hi}})
			measured = true
		}
		bars = append(bars, bar)
	}
	return bars, whiskers, measured
}

// custom returns a series whose shapes page.js draws. Its data are [row, …] with a label as name.
func custom(name string, data []opts.CustomData, encode opts.Encode, more ...charts.SeriesOpts) *charts.Custom {
	c := charts.NewCustom()
	c.AddSeries(name, data, append(more, charts.WithEncodeOpts(encode))...)
	return c
}

// markOf returns how a kind of latency looks: kinds are told apart by shape as well as by colour.
func markOf(kind string) legendEntry {
	shape := map[string]string{"read": "triangle", "write": "circle", "trim": "square", "flush": "diamond"}[kind]
	return legendEntry{Name: kind, Shape: shape, Class: kind}
}

// latencyChart draws p50 and p99 of each kind of latency on a logarithmic scale, the kinds of a cell below each other.
func latencyChart(m *Model, prefix string) (*chart, error) {
	kinds := shown(m.Cells)
	if len(kinds) == 0 {
		return nil, nil
	}
	all := rows(m.Cells)
	lowest, highest := decades(m.Cells)
	c := &chart{
		ID: prefix + "latency", Title: "Latency by cell", Draw: "latency",
		Height: axisHeight + (laneHeight*len(kinds)+10)*len(all),
		Caption: "Boxes: the middle half of the operations (p25 to p75). Hollow marks: median. Filled marks with their value: p99. The scale " +
			"is logarithmic: each line is ten times the one before.",
		Summary: "Chart of the latencies of each cell on a logarithmic scale; the values stand in the table of latencies.",
	}
	drawing := charts.NewCustom()
	drawing.SetGlobalOptions(frame(c.ID, valueAxis("log", lowest, highest), rowAxis(all), 66)...)
	for lane, kind := range kinds {
		mark := markOf(kind)
		c.Legend = append(c.Legend, mark)
		var data []opts.CustomData
		for i, r := range all {
			if r.cell == nil {
				continue
			}
			if l, ok := r.cell.Latency[kind]; ok {
				p25, _ := l.Histogram.Percentile(25)
				p75, _ := l.Histogram.Percentile(75)
				data = append(data, opts.CustomData{Name: text.Duration(l.P99),
					Value: []any{i, max(l.P50, 1), max(l.P99, 1), lane, len(kinds), max(p25, 1), max(p75, 1)}})
			}
		}
		drawing.Overlap(custom(kind, data, opts.Encode{X: []int{1, 2}, Y: 0},
			charts.WithItemStyleOpts(opts.ItemStyle{Color: "var(--" + mark.Class + ")"}),
			charts.WithSeriesOpts(func(s *charts.SingleSeries) { s.Symbol = mark.Shape })))
	}
	drawing.Validate()
	return c.withOption(drawing.JSON())
}

// decades returns the powers of ten around all p50 and p99, in ns.
func decades(cells []Cell) (lowest, highest float64) {
	lo, hi := int64(math.MaxInt64), int64(1)
	for _, c := range cells {
		for _, l := range c.Latency {
			p25, _ := l.Histogram.Percentile(25)
			lo, hi = min(lo, max(p25, 1)), max(hi, l.P99)
		}
	}
	lowest = math.Pow(10, math.Floor(math.Log10(float64(lo))))
	highest = math.Pow(10, math.Ceil(math.Log10(float64(hi))))
	if highest <= lowest {
		highest = 10 * lowest
	}
	return lowest, highest
}

// layer is a place where flushes are counted.
type layer struct {
	Name  string
	Count func(Cell) *int64
}

// perWrite returns a count over the writes that it belongs to; nil where it was not measured.
func perWrite(n *int64, writes int64) *float64 {
	if n == nil || writes == 0 {
		return nil
	}
	v := float64(*n) / float64(writes)
	return &v
}

// flushPoint is what was counted at a layer and what the model expects there, in flushes a write; nil where it is not known.
type flushPoint struct{ measured, expected *float64 }

// flushPoints returns those of a cell at each layer. What no trial counts at the image, the cell's crash campaign does.
func flushPoints(c Cell, r flushRow, path []layer) []flushPoint {
	points := make([]flushPoint, len(path))
	for i, l := range path {
		points[i].measured = perWrite(l.Count(c), c.Writes)
	}
	image := len(path) - 1
	if c.FlushPath.Image != nil {
		points[image].measured = perWrite(sum(c.FlushPath.Image, c.FlushPath.ImageDsyncWrites), c.Writes)
	}
	var ofCampaign *float64
	if points[image].measured == nil && r.Campaign != nil {
		points[image].measured = perWrite(sum(r.Campaign.FlushPath.Image, r.Campaign.FlushPath.ImageDsyncWrites), r.Campaign.Writes)
		ofCampaign = perWrite(r.Campaign.FlushPath.QEMU, r.Campaign.Writes)
	}
	if r.Expected == nil {
		return points
	}
	above := perWrite(sum(c.FlushPath.Fio, c.FlushPath.FioDsyncWrites), c.Writes)
	for i, e := range []flushpath.Expect{r.Expected.Guest, r.Expected.QEMU, r.Expected.Image} {
		p := &points[image-2+i]
		if i == 2 && ofCampaign != nil {
			above = ofCampaign
		}
		switch e {
		case flushpath.Arrive:
			p.expected = above
		case flushpath.EachWrite, flushpath.DsyncEach:
			p.expected = new(1.0)
		case flushpath.NotCounted:
			continue // and what is above the image is what the guest has sent
		default:
			p.expected = new(0.0)
		}
		above = p.measured
	}
	return points
}

// layers returns the places where flushes are counted, from the application down. Writes with O_DSYNC are one where there
// are any.
func layers(cells []Cell) []layer {
	all := []layer{
		{"fio", func(c Cell) *int64 { return c.FlushPath.Fio }},
		{"guest", func(c Cell) *int64 { return c.FlushPath.Guest }},
		{"QEMU", func(c Cell) *int64 { return c.FlushPath.QEMU }},
		{"image", func(c Cell) *int64 { return c.FlushPath.Image }},
	}
	for _, c := range cells {
		if n := c.FlushPath.FioDsyncWrites; n != nil && *n > 0 {
			return append([]layer{{"O_DSYNC", func(c Cell) *int64 { return c.FlushPath.FioDsyncWrites }}}, all...)
		}
	}
	return all
}

// flushChart draws how many flushes a write there were at each layer: a bar that ends on the way was swallowed there.
func flushChart(m *Model, prefix string) (*chart, error) {
	all, path := rows(m.Cells), layers(m.Cells)
	points := make([][]flushPoint, len(m.Cells))
	most := 1e-9
	for i, r := range flushRows(m) {
		points[i] = flushPoints(m.Cells[i], r, path)
		for _, p := range points[i] {
			if p.measured != nil {
				most = max(most, *p.measured)
			}
		}
	}
	part := func(v *float64) any {
		if v == nil {
			return nil
		}
		return significant(min(1, *v/most))
	}
	var data []opts.CustomData
	for i, r := range all {
		if r.cell == nil {
			continue
		}
		cell := slices.IndexFunc(m.Cells, func(c Cell) bool { return c.ID == r.cell.ID })
		for x, p := range points[cell] {
			name := absent
			if p.measured != nil {
				name = ratio(*p.measured)
			} else if r.cell.Writes == 0 {
				continue
			}
			data = append(data, opts.CustomData{Name: name, Value: []any{i, x, part(p.measured), part(p.expected)}})
		}
	}
	if len(data) == 0 {
		return nil, nil
	}
	var names []string
	for _, l := range path {
		names = append(names, l.Name)
	}
	c := &chart{
		ID: prefix + "flushes", Title: "Flushes per write, layer by layer", Draw: "flushes", Height: axisHeight + flushHeight*len(all),
		Caption: fmt.Sprintf("From the application down: bars are what was counted, the tick on each what the model expects of what came from "+
			"above. A full bar is %s a write; %s was not measured.%s %s",
			ratio(most), absent, campaignNote(m), flushNote(m.Cells)),
		Summary: "Chart of the flushes per write at each layer of each cell; the counts stand in the table of the flush path.",
	}
	x := opts.XAxis{Type: "category", Data: names, Position: "top", AxisLine: &opts.AxisLine{Show: opts.Bool(false)},
		AxisTick: &opts.AxisTick{Show: opts.Bool(false)}, AxisLabel: &opts.AxisLabel{Interval: "0", Color: "var(--ink)", FontSize: 12}}
	drawing := charts.NewCustom()
	drawing.SetGlobalOptions(frame(c.ID, x, rowAxis(all), 8)...)
	drawing.SetXAxis(names)
	drawing.Overlap(custom("flushes per write", data, opts.Encode{X: 1, Y: 0},
		charts.WithItemStyleOpts(opts.ItemStyle{Color: "var(--flush)"})))
	drawing.Validate()
	return c.withOption(drawing.JSON())
}

// campaignNote says where the counts at the image are from.
func campaignNote(m *Model) string {
	if len(m.Safety.Rows) == 0 {
		return ""
	}
	return " Those at the image are the crash campaign’s, on the simulated disk, where the trials’ cannot be counted."
}

// flushNote returns what the counts of a run have in them beside what fio counts.
func flushNote(cells []Cell) string {
	for _, c := range cells {
		if c.FlushPath.IncludesRamp {
			return "The layers below fio counted during its ramp time too, which fio itself leaves out."
		}
	}
	return ""
}

// ratio writes flushes per write; only none at all is 0.
func ratio(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 0.0005:
		return "<0.001"
	case v < 0.0995:
		return strconv.FormatFloat(v, 'f', 3, 64)
	default:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
}

// withOption puts the option that go-echarts made into the chart.
func (c *chart) withOption(option map[string]any) (*chart, error) {
	text, err := json.Marshal(option)
	if err != nil {
		return nil, fmt.Errorf("draw %s: %w", c.ID, err)
	}
	c.Option = text
	return c, nil
}

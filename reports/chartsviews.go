package reports

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"
	"github.com/go-echarts/go-echarts/v2/types"

	"platter/compare"
)

// viewHeight is of a chart with choosers, in CSS pixels, where the number of its rows does not make it.
const viewHeight = 380

// newViews returns the charts with choosers for which the run has figures. Their options have axes and empty series: page.js fills them
// from the data as the choosers say.
func newViews(d viewData, prefix string) ([]chart, error) {
	var drawn []chart
	for _, draw := range []func(viewData) (*chart, *charts.RectChart){paretoView, heatView, curvesView, blocksView, courseView, stripsView,
		exposureView, timelineView} {
		c, skeleton := draw(d)
		if c == nil {
			continue
		}
		c.ID = prefix + c.Draw
		done, err := c.over(skeleton)
		if err != nil {
			return nil, err
		}
		drawn = append(drawn, *done)
	}
	return drawn, nil
}

// over takes the axes and empty series of a skeleton as the chart's option.
func (c *chart) over(skeleton *charts.RectChart) (*chart, error) {
	skeleton.ChartID = c.ID
	skeleton.XAxisList[0].Data = nil
	return c.withOption(skeleton.JSON())
}

// skeleton returns what the views have in common.
func skeleton(series string, xKind, yKind, xName, yName string) *charts.RectChart {
	c := &charts.NewLine().RectChart
	label := &opts.AxisLabel{Color: "var(--muted)", FontSize: 12, HideOverlap: opts.Bool(true)}
	line := &opts.SplitLine{Show: opts.Bool(true), LineStyle: &opts.LineStyle{Color: "var(--rule)"}}
	c.SetGlobalOptions(
		charts.WithAnimation(false),
		charts.WithLegendOpts(opts.Legend{Show: opts.Bool(false)}),
		charts.WithTooltipOpts(opts.Tooltip{Show: opts.Bool(true), Trigger: "item"}),
		charts.WithGridOpts(opts.Grid{Left: "64", Top: "26", Right: "24", Bottom: "44"}),
		charts.WithXAxisOpts(opts.XAxis{Type: xKind, Name: xName, AxisLabel: label, SplitLine: line}),
		charts.WithYAxisOpts(opts.YAxis{Type: yKind, Name: yName, AxisLabel: label, SplitLine: line}),
	)
	c.MultiSeries = append(c.MultiSeries, charts.SingleSeries{Type: series, Data: []any{}})
	return c
}

func paretoView(d viewData) (*chart, *charts.RectChart) {
	if len(d.Questions) == 0 || !d.has(0) {
		return nil, nil
	}
	var metrics []string
	for _, m := range d.Metrics {
		if !m.Safe {
			metrics = append(metrics, m.Name)
		}
	}
	c := &chart{Draw: "pareto", Title: "Speed and loss of each cell", Height: viewHeight,
		Caption: "One mark a cell: ● SAFE, ◆ LOSES, ○ nothing promised. The line joins the unbeaten cells of a workload: no other is as fast " +
			"and as safe (promises lost, then exposure). Dimmed cells are beaten. Cells that lose promises stand above all others. Medians alone " +
			"decide.",
		Summary: "Scatter chart of speed against what a crash takes; the table below it has its numbers.",
		Choosers: []chooser{{Key: "class", Label: "Failure", Options: d.Questions, Chosen: d.worstQuestion()},
			{Key: "metric", Label: "Speed", Options: metrics},
			{Key: "loss", Label: "Loss", Options: []string{"exposure", "promises lost"}},
			{Key: "work", Label: "Workload", Options: append([]string{"all"}, d.Works...)}}}
	return c, skeleton(types.ChartScatter, "value", "value", "", "")
}

// worstQuestion returns the one under which most is exposed or lost: the last with the most cells that lose anything.
func (d viewData) worstQuestion() int {
	worst, most := 0, -1
	for q := range d.Questions {
		n := 0
		for _, c := range d.Cells {
			if l := c.Losses[q]; l != nil && (l.Lost > 0 || l.MS > 0) {
				n++
			}
		}
		if n > most {
			worst, most = q, n
		}
	}
	return worst
}

// has reports whether any cell has a figure.
func (d viewData) has(metric int) bool {
	return slices.ContainsFunc(d.Cells, func(c viewCell) bool { return c.Metrics[metric] != nil })
}

// varying returns the axes with more than one value, by name and position.
func (d viewData) varying() (names []string, at []int) {
	for i, a := range d.Axes {
		if len(a.Values) > 1 {
			names, at = append(names, a.Name), append(at, i)
		}
	}
	return names, at
}

// firstAxes returns the varying axes to begin with, as positions among varying: the cache mode and what promises.
func (d viewData) firstAxes() (disk, work int) {
	names, at := d.varying()
	disk = max(0, slices.Index(names, "cache"))
	work = slices.IndexFunc(names, func(n string) bool { return n == "fsync" || n == "fdatasync" })
	if work < 0 {
		work = slices.IndexFunc(at, func(i int) bool { return !d.Axes[i].Disk })
	}
	if work < 0 || work == disk {
		work = (disk + 1) % len(names)
	}
	return disk, work
}

func heatView(d viewData) (*chart, *charts.RectChart) {
	names, _ := d.varying()
	if len(names) < 2 || !d.has(0) && len(d.Questions) == 0 {
		return nil, nil
	}
	disk, work := d.firstAxes()
	var metrics []string
	for _, m := range d.Metrics {
		metrics = append(metrics, m.Name)
	}
	c := &chart{Draw: "heat", Title: "Any two axes", Height: viewHeight,
		Caption: "The darker, the more. For IOPS: ★ the fastest of its workload, ≈ not set apart from it " + d.places.text() + ".",
		Summary: "Heat map of a figure over two axes; the table below it has its numbers.",
		Choosers: append([]chooser{{Key: "metric", Label: "Figure", Options: metrics}, {Key: "y", Label: "Rows", Options: names, Chosen: disk},
			{Key: "x", Label: "Columns", Options: names, Chosen: work}}, axisChoosers(d, true)...)}
	return c, skeleton(types.ChartCustom, "category", "category", "", "")
}

// lineChoosers choose which axis makes the lines, and the values of the others.
func lineChoosers(d viewData) []chooser {
	names, _ := d.varying()
	if len(names) == 0 {
		return nil
	}
	disk, work := d.firstAxes()
	all := []chooser{{Key: "lines", Label: "Lines", Options: names, Chosen: disk}}
	for _, c := range axisChoosers(d, true) {
		if c.Label == names[work] {
			c.Chosen = len(c.Options) - 1
			if i := slices.IndexFunc(c.Options, func(o string) bool { return o == "1" || strings.HasSuffix(o, "fsync_1") }); i >= 0 {
				c.Chosen = i
			}
		}
		all = append(all, c)
	}
	return all
}

func curvesView(d viewData) (*chart, *charts.RectChart) {
	if !slices.ContainsFunc(d.Cells, func(c viewCell) bool {
		return slices.ContainsFunc(c.Curves, func(p []int64) bool { return len(p) > 0 })
	}) {
		return nil, nil
	}
	c := &chart{Draw: "curves", Title: "Latency by percentile", Height: viewHeight,
		Caption: "From the merged histograms of all trials of a cell. Both scales are logarithmic, towards the slowest operations; a curve " +
			"ends where fewer than ten operations are slower.",
		Summary: "Curves of latency by percentile; the table below has their numbers.",
		Choosers: append([]chooser{{Key: "kind", Label: "Operation", Options: d.Kinds, Chosen: max(0, slices.Index(d.Kinds, "write"))}},
			lineChoosers(d)...)}
	return c, skeleton(types.ChartLine, "value", "log", "percentile", "")
}

func blocksView(d viewData) (*chart, *charts.RectChart) {
	if !slices.ContainsFunc(d.Cells, func(c viewCell) bool { return len(c.Blocks) > 1 }) {
		return nil, nil
	}
	c := &chart{Draw: "blocks", Title: "IOPS from block to block", Height: viewHeight,
		Caption:  "A block measures each cell once, in random order: a line that rises or falls shows drift.",
		Summary:  "Lines of each cell's IOPS from block to block; the table below has their numbers.",
		Choosers: lineChoosers(d)}
	return c, skeleton(types.ChartLine, "value", "value", "block", "IOPS")
}

func courseView(d viewData) (*chart, *charts.RectChart) {
	var cells []string
	for _, c := range d.Cells {
		if len(c.Course) > 0 {
			cells = append(cells, c.Label)
		}
	}
	if len(cells) == 0 {
		return nil, nil
	}
	c := &chart{Draw: "course", Title: "IOPS in the course of each trial", Height: viewHeight,
		Caption: fmt.Sprintf("A line for each trial of the cell, without fio’s ramp time. Shaded is where all of them are steady by SNIA’s "+
			"rule: five rounds to the end that differ by at most %.0f\u202f%% and drift by at most %.0f\u202f%%.", 100*compare.SteadyRange,
			100*compare.SteadyDrift),
		Summary:  "Lines of the IOPS in the course of each trial; the table below has their numbers.",
		Choosers: []chooser{{Key: "cell", Label: "Cell", Options: cells}}}
	return c, skeleton(types.ChartLine, "value", "value", "seconds", "IOPS")
}

func stripsView(d viewData) (*chart, *charts.RectChart) {
	if len(d.Strips) == 0 {
		return nil, nil
	}
	c := &chart{Draw: "strips", Title: "What each crash point takes", Height: viewHeight,
		Caption: "Each cell’s operation log from its first event to its last: the higher, the more is lost if the failure happens there. " +
			"Heights are relative to the most of any cell, or of the logs’ length.",
		Summary: "Strips of losses over the operation log of each cell; the table below names the worst points.",
		Choosers: []chooser{{Key: "class", Label: "Failure", Options: d.Questions, Chosen: d.worstQuestion()},
			{Key: "loss", Label: "Loss", Options: []string{"promises lost", "exposure"}},
			{Key: "work", Label: "Workload", Options: append([]string{"all"}, d.Works...)}}}
	return c, skeleton(types.ChartCustom, "value", "category", "ms since the log began", "")
}

func exposureView(d viewData) (*chart, *charts.RectChart) {
	if !slices.ContainsFunc(d.Strips, func(s strip) bool { return slices.Max(s.Exposed) > 0 }) {
		return nil, nil
	}
	c := &chart{Draw: "exposure", Title: "How old the unpromised writes are that a crash takes", Height: viewHeight,
		Caption: "A line for each cell: for so much of its log’s time a crash takes no acknowledged writes that are older. They were not " +
			"promised, so no verdict counts them. Each of the log’s stretches, of which there are at most 200, counts with the worst of its " +
			"crash points; ages are lower bounds.",
		Summary: "Curves of the age of exposed writes over the share of the log’s time; the table below has their numbers.",
		Choosers: []chooser{{Key: "class", Label: "Failure", Options: d.Questions, Chosen: d.worstQuestion()},
			{Key: "work", Label: "Workload", Options: append([]string{"all"}, d.Works...)}}}
	return c, skeleton(types.ChartLine, "value", "log", "share of the log’s time", "")
}

func timelineView(d viewData) (*chart, *charts.RectChart) {
	if len(d.Timelines) == 0 {
		return nil, nil
	}
	var names []string
	for _, t := range d.Timelines {
		names = append(names, t.Name)
	}
	c := &chart{Draw: "timeline", Title: "A loss, operation by operation", Height: viewHeight,
		Caption: "What was asked of the disk around the worst crash point, from its operation log. Bars: ▭ writes from their arrival at the " +
			"image to its answer (dark: with DSYNC), flushes; what overlaps has a line of its own. ▲ promise, ● the writes are seen to " +
			"return, ◆ a flush takes effect or data move down. Below: how much lies in each cache alone. Red: the promised write that the " +
			"crash takes, the promise that it breaks, and where the write lay. Behind the cut stands what would have come. The sliders zoom.",
		Summary: "Lanes of operations around a crash point; the table below lists them.",
		Choosers: []chooser{{Key: "loss", Label: "Loss", Options: names},
			{Key: "axis", Label: "Across", Options: []string{"events of the log", "time"}}}}
	return c, skeleton(types.ChartCustom, "value", "category", "event of the log", "")
}

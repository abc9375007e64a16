package reports

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/go-echarts/go-echarts/v2/types"
)

// comparisonFragment defines the template "comparison" of the page, over a *comparedPage.
//
//go:embed comparison.html
var comparisonFragment string

// comparedPage is what the page shows of a comparison.
type comparedPage struct {
	*Comparison
	Figure *framed         // nil without charts, or where nothing is compared
	Data   json.RawMessage // of the figure
}

// comparedData is the id of the element that the figure draws from.
const comparedData = "comparison-data"

func newComparedPage(c *Comparison, draw bool) (*comparedPage, error) {
	p := &comparedPage{Comparison: c}
	d := newChangesData(c)
	if !draw || len(d.Metrics) == 0 {
		return p, nil
	}
	text, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("write report: %w", err)
	}
	figure, err := changesChart(d)
	if err != nil {
		return nil, err
	}
	p.Data, p.Figure = text, &framed{chart: figure, Data: comparedData, Table: true}
	return p, nil
}

// changesData is what the figure of a comparison draws from.
type changesData struct {
	Sides   []string     `json:"sides"` // "B / A"
	Metrics []string     `json:"metrics"`
	Changes []changeData `json:"changes"`
}

// changeData is a comparison of one cell. Texts are those of the table.
type changeData struct {
	Side   int       `json:"s"`
	Metric int       `json:"m"`
	Cell   string    `json:"c"`
	Texts  [4]string `json:"t"` // A, B, ratio with interval, adjusted p
	Ratio  []float64 `json:"r"` // [ratio], or [ratio, lo, hi]
	Differ bool      `json:"d,omitempty"`
}

func newChangesData(c *Comparison) changesData {
	var d changesData
	for i, s := range c.Sides {
		d.Sides = append(d.Sides, s.Run.Mark+" / "+c.Runs[0].Mark)
		rows := s.Rows()
		for k, x := range s.Cells {
			if x.Missing != "" || math.IsNaN(x.Ratio.Estimate) {
				continue
			}
			at := slices.Index(d.Metrics, rows[k].Metric)
			if at < 0 {
				at, d.Metrics = len(d.Metrics), append(d.Metrics, rows[k].Metric)
			}
			ratio := []float64{significant(x.Ratio.Estimate)}
			if x.Ratio.Bounded() {
				ratio = append(ratio, significant(x.Ratio.Lo), significant(x.Ratio.Hi))
			}
			d.Changes = append(d.Changes, changeData{i, at, x.Cell, [4]string{rows[k].A, rows[k].B, rows[k].Ratio, rows[k].Adjusted}, ratio,
				rows[k].Differs})
		}
	}
	return d
}

func changesChart(d changesData) (*chart, error) {
	c := &chart{ID: "comparison-changes", Draw: "changes", Title: "Each cell’s change", Height: viewHeight,
		Caption: "How many times the first run’s figure the other’s is, with its 95\u202f% interval where the trials suffice for one. ● " +
			"differs after Holm’s adjustment over all comparisons; ○ does not.",
		Summary: "Chart of the ratio of each cell’s figures in two runs; the table below it has its numbers.",
		Choosers: []chooser{{Key: "side", Label: "Runs", Options: d.Sides}, {Key: "metric", Label: "Figure", Options: d.Metrics},
			{Key: "show", Label: "Cells", Options: []string{"all", "those that differ"}}}}
	return c.over(skeleton(types.ChartCustom, "value", "category", "", ""))
}

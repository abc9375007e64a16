package reports

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/perf/benchfmt"

	"platter/cell"
	"platter/fiojob"
	"platter/results"
)

// Formats returns what Export writes.
func Formats() []string { return []string{"csv", "safety-csv", "json", "benchfmt", "openmetrics"} }

// Export writes the trials of a run, one by one: as CSV with a header, as one JSON object, or in the Go benchmark format
// that benchstat reads; or what they come to, as OpenMetrics. The safety records are in the JSON object, and as CSV in a table of their
// own. A format that is not among Formats() is an error.
func Export(w io.Writer, run *results.Run, format string) error {
	switch format {
	case "csv":
		return exportCSV(w, run)
	case "safety-csv":
		return exportSafetyCSV(w, run)
	case "json":
		enc := json.NewEncoder(w)
		enc.SetIndent("", " ")
		return enc.Encode(struct {
			Schema   int              `json:"schema"`
			Manifest results.Manifest `json:"manifest"`
			Trials   []results.Trial  `json:"trials"`
			Safety   []results.Safety `json:"safety,omitempty"`
		}{results.Schema, run.Manifest, run.Trials, run.Safety})
	case "benchfmt":
		return exportBenchfmt(w, run)
	case "openmetrics":
		return OpenMetrics(w, New(run))
	default:
		return fmt.Errorf("no such format: %q", format)
	}
}

// figure is a number of a trial with its unit's name: a column of the CSV, a value of a benchmark.
type figure struct {
	name  string
	value float64
	ok    bool // whether it was measured
}

// figures returns the numbers of a trial in a fixed order; IOPS and bandwidth are of all directions together.
func figures(t results.Trial) []figure {
	m := t.Metrics
	measured := m != nil
	if !measured {
		m = &fiojob.Metrics{}
	}
	var all []figure
	for _, r := range trialRates {
		all = append(all, figure{r.export, r.total(m), measured})
	}
	histograms := []struct {
		name string
		h    fiojob.Histogram
	}{{name: "read"}, {name: "write"}, {name: "flush"}}
	if m.Read != nil {
		histograms[0].h = m.Read.Latency
	}
	if m.Write != nil {
		histograms[1].h = m.Write.Latency
	}
	if m.Sync != nil {
		histograms[2].h = m.Sync.Latency
	}
	for _, h := range histograms {
		for _, p := range percentiles {
			ns, ok := h.h.Percentile(p.percent)
			all = append(all, figure{h.name + "-" + p.name + "-ns", float64(ns), ok && h.h.Count() >= p.least})
		}
	}
	path := t.Evidence.FlushPath
	for _, l := range flushLayers {
		if !l.export {
			continue
		}
		f := figure{name: "flushes-" + l.name}
		if n := *l.of(&path); n != nil {
			f.value, f.ok = float64(*n), true
		}
		all = append(all, f)
	}
	return all
}

// axesOf returns the axis values of each cell, by its id.
func axesOf(run *results.Run) map[string]cell.Settings {
	axes := map[string]cell.Settings{}
	for _, c := range run.Manifest.Cells {
		axes[c.ID] = c.Axes
	}
	return axes
}

func exportCSV(w io.Writer, run *results.Run) error {
	out := csv.NewWriter(w)
	header := append([]string{"order", "block"}, run.Manifest.Axes...)
	header = append(header, "status", "guards", "includes-ramp")
	for _, f := range figures(results.Trial{}) {
		header = append(header, f.name)
	}
	if err := out.Write(header); err != nil {
		return err
	}
	axes := axesOf(run)
	for _, t := range run.Trials {
		row := []string{strconv.Itoa(t.Order), strconv.Itoa(t.Block)}
		for _, a := range axes[t.Cell] {
			row = append(row, a.Value.String())
		}
		var guards []string
		for _, g := range t.Guards {
			guards = append(guards, g.Name)
		}
		row = append(row, t.Status, strings.Join(guards, " "), strconv.FormatBool(t.Evidence.FlushPath.IncludesRamp))
		for _, f := range figures(t) {
			text := "" // not measured
			if f.ok {
				text = strconv.FormatFloat(f.value, 'f', -1, 64)
			}
			row = append(row, text)
		}
		if err := out.Write(row); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// exportSafetyCSV writes a row for each safety record. The figures of a campaign that failed are empty.
func exportSafetyCSV(w io.Writer, run *results.Run) error {
	out := csv.NewWriter(w)
	header := append([]string{"class", "drive-cache"}, run.Manifest.Axes...)
	header = append(header, "status", "method", "verdict", "predicted")
	for _, f := range safetyFigures {
		header = append(header, f.export)
	}
	if err := out.Write(header); err != nil {
		return err
	}
	axes := axesOf(run)
	for _, s := range run.Safety {
		row := []string{s.Class, s.DriveCache}
		for _, a := range axes[s.Cell] {
			row = append(row, a.Value.String())
		}
		row = append(row, s.Status, s.Method, s.Verdict, s.Predicted)
		for _, f := range safetyFigures {
			text := ""
			if s.Status == results.OK {
				text = cell.Value{V: f.value(s)}.String()
			}
			row = append(row, text)
		}
		if err := out.Write(row); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// exportBenchfmt names a benchmark for each cell, "Cell/cache=none/fsync=1", so that benchstat can pivot on the axes.
// Failed trials are left out: the format has no word for them.
func exportBenchfmt(w io.Writer, run *results.Run) error {
	out := benchfmt.NewWriter(w)
	axes := axesOf(run)
	for _, t := range run.Trials {
		if t.Status != results.OK {
			continue
		}
		name := "Cell"
		for _, a := range axes[t.Cell] {
			name += "/" + benchName(short(a.Name)) + "=" + benchName(a.Value.String())
		}
		r := &benchfmt.Result{Name: benchfmt.Name(name), Iters: 1}
		for _, c := range [][2]string{{"matrix", run.Manifest.Name}, {"host", run.Manifest.Host.Name}, {"qemu", run.Manifest.QEMUs()},
			{"accel", run.Manifest.Host.Accel}} {
			r.Config = append(r.Config, benchfmt.Config{Key: c[0], Value: []byte(strings.Join(strings.Fields(c[1]), " ")), File: true})
		}
		for _, f := range figures(t) {
			if f.ok {
				r.Values = append(r.Values, benchfmt.Value{Value: f.value, Unit: f.name})
			}
		}
		if err := out.Write(r); err != nil {
			return err
		}
	}
	return nil
}

// benchName keeps what separates the parts of a benchmark's name out of one.
func benchName(text string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r == '/' || r == '=' || r == 0x7f {
			return '_'
		}
		return r
	}, text)
}

package reports

import (
	"encoding/json"
	"io"
	"strconv"

	"platter/compare"
	"platter/results"
)

// The types below are the object that JSON writes: the machine-readable face of a run. Latencies are in ns, bandwidth in
// bytes/s, times in RFC 3339, phases in s. What was not measured is absent and named in missing.
type (
	jsonRun struct {
		Schema   int           `json:"schema"`
		Run      jsonFacts     `json:"run"`
		Phases   jsonPhases    `json:"phases"`
		Cells    []jsonCell    `json:"cells"`
		Excluded []jsonExclude `json:"excluded,omitempty"`
	}
	jsonFacts struct {
		Name    string          `json:"name"`
		Tool    string          `json:"tool"`
		Started string          `json:"started"`
		Seed    uint64          `json:"seed"`
		Trials  int             `json:"trials"` // planned for each cell
		Banners []string        `json:"banners,omitempty"`
		Host    results.Host    `json:"host"`
		Guest   results.Guest   `json:"guest"`
		Storage results.Storage `json:"storage"`
	}
	jsonPhases struct {
		results.Phases
		MeasuringShare float64 `json:"measuring_share"` // of the wall time after boot
	}
	jsonCell struct {
		ID        string                 `json:"id"`
		Axes      map[string]any         `json:"axes"`
		Trials    int                    `json:"trials"`
		IOPS      *jsonSummary           `json:"iops,omitempty"`
		BW        *jsonSummary           `json:"bw,omitempty"`
		Latency   map[string]jsonLatency `json:"latency,omitempty"`
		FlushPath results.FlushPath      `json:"flush_path"` // totals over the trials
		Writes    int64                  `json:"writes"`     // over the trials
		Effective *results.CacheFlags    `json:"effective,omitempty"`
		Guards    []results.Guard        `json:"guards"`
		Failures  []jsonFailure          `json:"failures"`
		Warnings  []string               `json:"warnings,omitempty"`
		Missing   []string               `json:"missing,omitempty"`
	}
	jsonSummary struct {
		Median float64  `json:"median"`
		Lo     *float64 `json:"lo,omitempty"` // absent when there are too few trials for an interval
		Hi     *float64 `json:"hi,omitempty"`
	}
	jsonLatency struct {
		P50  int64 `json:"p50_ns"`
		P99  int64 `json:"p99_ns"`
		P999 int64 `json:"p999_ns,omitempty"` // absent below 1000 operations
	}
	jsonFailure struct {
		Block   int      `json:"block"`
		Fault   string   `json:"fault"`
		Message string   `json:"message"`
		Console []string `json:"console,omitempty"`
	}
	jsonExclude struct {
		ID     string         `json:"id"`
		Axes   map[string]any `json:"axes"`
		Reason string         `json:"reason"`
	}
)

// JSON writes a run as one JSON object.
func JSON(w io.Writer, m *Model) error {
	r := jsonRun{
		Schema: results.Schema,
		Run: jsonFacts{Name: m.Manifest.Name, Tool: m.Manifest.Tool, Started: m.Manifest.Started.Format("2006-01-02T15:04:05Z07:00"),
			Seed: m.Manifest.Seed, Trials: m.Manifest.Trials, Banners: m.Banners,
			Host: m.Manifest.Host, Guest: m.Manifest.Guest, Storage: m.Manifest.Storage},
		Phases: jsonPhases{m.Phases.Phases, m.Phases.MeasuringShare},
		Cells:  []jsonCell{},
	}
	failures := map[string][]jsonFailure{}
	for _, f := range m.Failures {
		failures[f.Cell] = append(failures[f.Cell], jsonFailure{f.Block, f.Fault, f.Message, f.Console})
	}
	for _, c := range m.Cells {
		r.Cells = append(r.Cells, newJSONCell(c, failures[c.ID]))
	}
	for _, c := range m.Excluded {
		r.Excluded = append(r.Excluded, jsonExclude{c.ID, c.Axes, c.Excluded})
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

func newJSONCell(c Cell, failures []jsonFailure) jsonCell {
	j := jsonCell{
		ID: c.ID, Axes: map[string]any{}, Trials: c.Trials, IOPS: newJSONSummary(c.IOPS), BW: newJSONSummary(c.BW),
		FlushPath: c.FlushPath, Writes: c.Writes, Effective: c.Effective, Guards: c.Guards, Failures: failures, Missing: c.Missing,
	}
	if c.IOPS != nil {
		j.Warnings = c.IOPS.Warnings
	}
	if j.Guards == nil {
		j.Guards = []results.Guard{}
	}
	if j.Failures == nil {
		j.Failures = []jsonFailure{}
	}
	for _, a := range c.Axes {
		j.Axes[a.Name] = a.Value
	}
	for name, l := range c.Latency {
		if j.Latency == nil {
			j.Latency = map[string]jsonLatency{}
		}
		j.Latency[name] = jsonLatency{l.P50, l.P99, l.P999}
	}
	return j
}

func newJSONSummary(s *compare.Summary) *jsonSummary {
	if s == nil {
		return nil
	}
	j := &jsonSummary{Median: significant(s.Median)}
	if s.Bounded() {
		lo, hi := significant(s.Lo), significant(s.Hi)
		j.Lo, j.Hi = &lo, &hi
	}
	return j
}

// significant rounds to nine significant digits: sums of rates carry digits that nobody measured.
func significant(v float64) float64 {
	r, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 9, 64), 64)
	return r
}

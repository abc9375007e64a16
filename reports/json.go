package reports

import (
	"encoding/json"
	"io"
	"strconv"

	"platter/cell"
	"platter/claims"
	"platter/compare"
	"platter/results"
)

// jsonSchema is the version of what JSON writes; it is not that of the run directory.
const jsonSchema = 1

// The types below are the object that JSON writes: the machine-readable face of a run. Latencies are in ns, bandwidth in
// bytes/s, times in RFC 3339, phases in s. What was not measured is absent and named in missing.
type (
	jsonRun struct {
		Schema   int           `json:"schema"`
		Run      jsonFacts     `json:"run"`
		Phases   jsonPhases    `json:"phases"`
		Cells    []jsonCell    `json:"cells"`
		Excluded []jsonExclude `json:"excluded,omitempty"`
		Safety   []jsonSafety  `json:"safety"` // empty for a run without crash campaigns
		Claims   []jsonClaim   `json:"claims"` // those that the run has cells for
		Answer   []string      `json:"answer"` // in sentences
	}
	// jsonOn is there where a run has several hypervisors.
	jsonOn struct {
		Hypervisor string `json:"hypervisor"`
		Emulator   string `json:"emulator,omitempty"`
		QEMU       string `json:"qemu_version"`
	}
	jsonSafety struct {
		Cell string `json:"cell"`
		*jsonOn
		Axes         map[string]any   `json:"axes"`
		Class        string           `json:"class"`
		DriveCache   string           `json:"drive_cache"`
		Method       string           `json:"method"`
		Status       string           `json:"status"`
		Failure      *results.Failure `json:"failure,omitempty"`
		Verdict      string           `json:"verdict,omitempty"` // absent when the campaign failed, as are all figures
		Reason       string           `json:"reason,omitempty"`  // why it is INVALID
		Predicted    string           `json:"predicted,omitempty"`
		PredictedExp *bool            `json:"predicted_exposed,omitempty"`
		PredictedNew bool             `json:"predicted_newest,omitempty"` // of a predicted LOSES: the newest promises alone, rarely
		Surprise     string           `json:"surprise,omitempty"`         // how it differs from the prediction
		FewPromises  bool             `json:"few_promises,omitempty"`     // SAFE of fewer than results.EnoughPromises
		*jsonJudged
		Worst    *results.CrashPoint `json:"worst,omitempty"`
		Replay   string              `json:"replay,omitempty"` // makes the survivor of the worst point again
		Live     *results.LiveCuts   `json:"live,omitempty"`
		Controls []results.Control   `json:"controls,omitempty"`
	}
	// jsonJudged is what there is of a campaign that went well.
	jsonJudged struct {
		CrashPoints  int64               `json:"crash_points"`
		Writes       int64               `json:"writes"`
		Promises     int64               `json:"promises"`
		PromisesLost int64               `json:"promises_lost"`
		PointsLost   int64               `json:"points_lost"`
		Torn         int64               `json:"torn"`
		Exposure     results.Exposure    `json:"exposure"`
		Filesystem   string              `json:"filesystem,omitempty"`
		IODepth      int                 `json:"iodepth,omitempty"` // where it is not the cell's
		Seconds      float64             `json:"seconds"`
		FlushPath    results.FlushPath   `json:"flush_path"` // of the campaign: the image is the simulated disk
		Effective    *results.CacheFlags `json:"effective,omitempty"`
	}
	jsonClaim struct {
		Name    string         `json:"name"`
		Text    string         `json:"text"`
		Kind    string         `json:"kind"`
		Over    string         `json:"over"`
		Outcome claims.Outcome `json:"outcome"`
		Figures []string       `json:"figures"`
		Why     string         `json:"why,omitempty"`
	}
	jsonFacts struct {
		Name    string       `json:"name"`
		Tool    string       `json:"tool"`
		Started string       `json:"started"`
		Seed    uint64       `json:"seed"`
		Trials  int          `json:"trials"` // planned for each cell
		Banners []string     `json:"banners,omitempty"`
		Host    results.Host `json:"host"`
		// Hypervisors are those that the cells name; absent where they name none. Of several each cell and record says its own.
		Hypervisors []results.Hypervisor `json:"hypervisors,omitempty"`
		Guest       results.Guest        `json:"guest"`
		Storage     results.Storage      `json:"storage"`
	}
	jsonPhases struct {
		results.Phases
		MeasuringShare float64 `json:"measuring_share"` // of the wall time after boot
	}
	jsonCell struct {
		ID string `json:"id"`
		*jsonOn
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
		Schema: jsonSchema,
		Run: jsonFacts{Name: m.Manifest.Name, Tool: m.Manifest.Tool, Started: m.Manifest.Started.Format("2006-01-02T15:04:05Z07:00"),
			Seed: m.Manifest.Seed, Trials: m.Manifest.Trials, Banners: m.Banners,
			Host: m.Manifest.Host, Hypervisors: m.Manifest.Hypervisors, Guest: m.Manifest.Guest, Storage: m.Manifest.Storage},
		Phases: jsonPhases{m.Phases.Phases, m.Phases.MeasuringShare},
		Cells:  []jsonCell{},
	}
	failures := map[string][]jsonFailure{}
	for _, f := range m.Failures {
		failures[f.Cell] = append(failures[f.Cell], jsonFailure{f.Block, f.Fault, f.Message, f.Console})
	}
	on := map[string]*jsonOn{}
	if len(m.Manifest.Hypervisors) > 1 {
		for _, c := range m.Manifest.Cells {
			h := m.Manifest.HypervisorOf(c)
			on[c.ID] = &jsonOn{h.Name, h.Emulator, h.QEMU}
		}
	}
	for _, c := range m.Cells {
		j := newJSONCell(c, failures[c.ID])
		j.jsonOn = on[c.ID]
		r.Cells = append(r.Cells, j)
	}
	for _, c := range m.Excluded {
		r.Excluded = append(r.Excluded, jsonExclude{c.ID, axisValues(c.Axes), c.Excluded})
	}
	r.Safety, r.Claims, r.Answer = []jsonSafety{}, []jsonClaim{}, m.Answer
	for _, row := range m.Safety.Rows {
		j := newJSONSafety(row)
		j.jsonOn = on[row.Cell]
		r.Safety = append(r.Safety, j)
	}
	for _, c := range m.Safety.Claims {
		r.Claims = append(r.Claims, jsonClaim{c.Name, c.Text, c.Kind, c.Over, c.Outcome, c.Figures, c.Why})
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

func newJSONCell(c Cell, failures []jsonFailure) jsonCell {
	j := jsonCell{
		ID: c.ID, Trials: c.Trials, IOPS: newJSONSummary(c.IOPS), BW: newJSONSummary(c.BW),
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
	j.Axes = axisValues(c.Axes)
	for name, l := range c.Latency {
		if j.Latency == nil {
			j.Latency = map[string]jsonLatency{}
		}
		j.Latency[name] = jsonLatency{l.P50, l.P99, l.P999}
	}
	return j
}

func axisValues(axes cell.Settings) map[string]any {
	values := map[string]any{}
	for _, a := range axes {
		values[a.Name] = a.Value.V
	}
	return values
}

func newJSONSafety(r SafetyRow) jsonSafety {
	j := jsonSafety{Cell: r.Cell, Axes: axisValues(r.Axes), Class: r.Class, DriveCache: r.DriveCache, Method: r.Method, Status: r.Status,
		Failure: r.Failure}
	if r.Status != results.OK {
		return j
	}
	j.Verdict, j.Reason, j.Predicted, j.Surprise = r.Safety.Verdict, r.Reason, r.Predicted, r.Surprise()
	if r.Predicted != "" {
		j.PredictedExp = &r.PredictedExposed
	}
	j.PredictedNew, j.FewPromises = r.PredictedNewest, r.FewPromises()
	j.jsonJudged = &jsonJudged{r.CrashPoints, r.Writes, r.Promises, r.PromisesLost, r.PointsLost, r.Torn, r.Exposure, r.Filesystem, r.IODepth,
		r.Seconds, r.FlushPath, r.Effective}
	j.Worst, j.Replay, j.Live, j.Controls = r.Worst, r.Replay, r.Live, r.Controls
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

// Package claims holds what people say about cache modes against a run. The claims stand in claims.yaml; a run has
// evidence on a claim when it has the claim's cells.
package claims

import (
	"fmt"
	"slices"

	"platter/cell"
	"platter/fiojob"
	"platter/results"
)

// Outcome is what a run says of a claim.
type Outcome string

// The outcomes. A figure of speed that was measured under emulation or on the simulated disk neither confirms nor refutes: then
// the word is consistent or inconsistent.
const (
	Confirmed             Outcome = "CONFIRMED"
	Refuted               Outcome = "REFUTED"
	ConsistentSimulated   Outcome = "CONSISTENT (simulated)"
	ConsistentEmulated    Outcome = "CONSISTENT (emulated)"
	InconsistentSimulated Outcome = "INCONSISTENT (simulated)"
	InconsistentEmulated  Outcome = "INCONSISTENT (emulated)"
	Inconclusive          Outcome = "INCONCLUSIVE"
)

// Claim is a named hypothesis and what became of it.
type Claim struct {
	Name    string
	Text    string
	Kind    string // safety, performance or both
	Over    string // over which cells, in words
	Outcome Outcome
	Figures []string // the numbers behind it, those that decide first
	Why     string   // why it is not confirmed, in a line; empty when it is
}

// Evaluate returns the claims that the run has cells for, in the order of the file. It needs the run directory alone; of a run
// whose cells have no settings (results.Run.Unresolved) it returns none.
func Evaluate(run *results.Run) []Claim {
	if run.Unresolved != "" {
		return nil
	}
	return newEvidence(run).evaluate(hypotheses())
}

// evidence is a run, laid out for claims.
type evidence struct {
	manifest results.Manifest
	cells    []cell.Cell // the measured ones
	records  map[cell.Question]results.Safety
	iops     map[string]map[int]float64 // of a cell in a block
	classes  []string                   // that were asked for, or that there are records of
	drives   []string
}

func newEvidence(run *results.Run) *evidence {
	e := &evidence{manifest: run.Manifest, records: map[cell.Question]results.Safety{}, iops: map[string]map[int]float64{},
		classes: slices.Clone(run.Manifest.SafetyClasses), drives: slices.Clone(run.Manifest.DriveCaches)}
	for _, c := range run.Manifest.Cells {
		if c.Excluded == "" {
			e.cells = append(e.cells, c)
		}
	}
	for _, r := range run.Safety {
		e.records[r.Key()] = r
		e.classes, e.drives = with(e.classes, r.Class), with(e.drives, r.DriveCache)
	}
	for _, t := range run.Trials {
		if t.Status != results.OK || t.Metrics == nil {
			continue
		}
		if e.iops[t.Cell] == nil {
			e.iops[t.Cell] = map[int]float64{}
		}
		for _, d := range []*fiojob.Direction{t.Metrics.Read, t.Metrics.Write, t.Metrics.Trim} {
			if d != nil {
				e.iops[t.Cell][t.Block] += d.IOPS
			}
		}
	}
	return e
}

// with adds a word that is not there yet.
func with(words []string, word string) []string {
	if slices.Contains(words, word) {
		return words
	}
	return append(words, word)
}

func (e *evidence) evaluate(all []hypothesis) []Claim {
	var claims []Claim
	for _, h := range all {
		if c, ok := e.claim(h); ok {
			claims = append(claims, c)
		}
	}
	return claims
}

// finding is what one comparison or record says of a claim.
type finding struct {
	state  state
	speed  bool // it is about speed, not safety
	figure string
	why    string // it does not hold
}

type state int

const (
	holds state = iota
	open
	fails
)

// maxFigures is how many of its figures a claim shows.
const maxFigures = 12

// claim puts the findings of a claim together; false when the run has no cells for it.
func (e *evidence) claim(h hypothesis) (Claim, bool) {
	cells := h.Cells.of(e.cells)
	safety, safetyMissing := e.safety(h, cells)
	speed, speedMissing := e.speed(h, cells)
	if len(safety)+len(speed) == 0 {
		return Claim{}, false
	}
	all := slices.Concat(safety, speed)
	slices.SortStableFunc(all, func(a, b finding) int { return int(b.state) - int(a.state) }) // what decides stands first, safety before speed
	c := Claim{Name: h.Name, Text: h.Text, Kind: h.Kind, Over: h.Over}
	for _, f := range all[:min(len(all), maxFigures)] {
		c.Figures = append(c.Figures, f.figure)
	}
	if more := len(all) - maxFigures; more > 0 {
		c.Figures = append(c.Figures, fmt.Sprintf("and %d more", more))
	}
	emulated := e.manifest.Host.Accel == "tcg"
	switch {
	case all[0].state == fails && all[0].speed && e.manifest.SimulatedTrials:
		c.Outcome, c.Why = InconsistentSimulated, all[0].why+", on the simulated disk"
	case all[0].state == fails && all[0].speed && emulated:
		c.Outcome, c.Why = InconsistentEmulated, all[0].why+", under emulation (TCG)"
	case all[0].state == fails:
		c.Outcome, c.Why = Refuted, all[0].why
	case all[0].state == open:
		c.Outcome, c.Why = Inconclusive, all[0].why
	case safetyMissing:
		c.Outcome, c.Why = Inconclusive, "not all that it says of safety is asked in this matrix"
	case speedMissing:
		c.Outcome, c.Why = Inconclusive, "what it says of speed has no cells in this matrix"
	case len(speed) > 0 && e.manifest.SimulatedTrials:
		c.Outcome, c.Why = ConsistentSimulated, "speed was measured on the simulated disk"
	case len(speed) > 0 && emulated:
		c.Outcome, c.Why = ConsistentEmulated, "speed was measured under emulation (TCG)"
	default:
		c.Outcome = Confirmed
	}
	return c, true
}

// safety gives the findings of the checks of safety; missing says that there are checks and one has no cells.
func (e *evidence) safety(h hypothesis, cells []cell.Cell) (all []finding, missing bool) {
	for _, check := range h.Safety {
		found := e.checkSafety(check, check.Of.of(cells))
		missing = missing || len(found) == 0
		all = append(all, found...)
	}
	return all, missing
}

func (e *evidence) speed(h hypothesis, cells []cell.Cell) (all []finding, missing bool) {
	found := false
	for _, check := range h.Speed {
		f := e.checkSpeed(check, check.Of.of(cells))
		found = found || len(f) > 0
		all = append(all, f...)
	}
	return all, len(h.Speed) > 0 && !found
}

// of are those of the cells that it picks.
func (s selector) of(cells []cell.Cell) []cell.Cell {
	return slices.DeleteFunc(slices.Clone(cells), func(c cell.Cell) bool { return !s.picks(c) })
}

// unknown is a finding about what was not, or not validly, measured.
func unknown(format string, args ...any) finding {
	why := fmt.Sprintf(format, args...)
	return finding{state: open, why: why, figure: why}
}

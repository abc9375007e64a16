// Package gate judges a change: from a policy and from what was measured of both sides it makes one outcome, which can stop a pull
// request.
package gate

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"platter/cell"
	"platter/policy"
	"platter/results"
	"platter/text"
)

// Outcome of a judgement.
type Outcome string

// The outcomes. Pass means that everything the policy asks for was looked at and is within it.
const (
	Pass         Outcome = "PASS"
	Fail         Outcome = "FAIL"
	Inconclusive Outcome = "INCONCLUSIVE"
)

// Verdict is what the gate found. Its JSON is what platter gate --json prints.
type Verdict struct {
	Schema  int      `json:"schema"`
	Outcome Outcome  `json:"outcome"`
	Reasons []Reason `json:"reasons"` // for the outcome, what failed first; of PASS what was looked at
	Policy  string   `json:"policy"`
	// Paired says that both sides were measured in one run, interleaved, and were compared within its blocks. Otherwise each run
	// is one value.
	Paired    bool     `json:"paired"`
	Baseline  []Source `json:"baseline"`
	Candidate []Source `json:"candidate"`
	Banners   []string `json:"banners,omitempty"` // how far the figures may be trusted at all
	// Changes is what differs between the sides, a line each: settings of the disk, or facts of the runs.
	Changes []string `json:"changes,omitempty"`
	// Upgrade is the line of Changes on the hypervisors of both sides; empty where they are one.
	Upgrade string `json:"-"`
	// Alpha is the family-wise level, Tests by how many rules and Looks by how many looks it is shared; Level is that of each
	// interval, which leaves so much out.
	Alpha    float64        `json:"alpha"`
	Tests    int            `json:"tests"`
	Looks    int            `json:"looks"`
	Level    float64        `json:"level"`
	Rules    []RuleResult   `json:"rules"`
	Cells    []CellResult   `json:"cells"`
	Safety   []SafetyResult `json:"safety"`
	Warnings []string       `json:"warnings,omitempty"` // they decide nothing
}

// Reason is a line that decides the outcome.
type Reason struct {
	Outcome Outcome `json:"outcome"`
	Text    string  `json:"text"`
}

// Source is a run that was judged.
type Source struct {
	Dir     string    `json:"dir"`
	Name    string    `json:"name"`
	Tool    string    `json:"tool"`
	Started time.Time `json:"started"`
	Host    string    `json:"host"`
	QEMU    string    `json:"qemu"`
	Kernel  string    `json:"kernel"`
	Trials  int       `json:"trials"`
	Safety  int       `json:"safety"` // records of crash campaigns
	Command []string  `json:"command"`
}

// Facts are what is known of the host that the verdict is for; what is empty is not known. Results that were measured on the host of
// that name with something else have expired, where the policy asks for the same.
type Facts struct{ Host, QEMU, Kernel, GuestImage string }

// Judge judges the candidate's runs by a policy: safety by themselves, performance against the baseline's runs. Whatever is wrong
// with the runs can turn a PASS into INCONCLUSIVE, and never a FAIL into anything: it is among the Reasons.
func Judge(p *policy.Policy, baseline, candidate []*results.Run, now time.Time, here Facts) *Verdict {
	j := newJudge(p, now, here)
	j.baseline, j.candidate = views(baseline), views(candidate)
	switch {
	case len(candidate) == 0:
		j.inconclusive("there is no candidate")
	case len(baseline) == 0:
		j.inconclusive("there is no baseline")
	}
	for _, run := range candidate {
		if _, err := sideOf(run); err == nil && len(baseline) > 0 {
			j.inconclusive("%s holds both sides of a change itself: judge it alone", run.Dir)
		}
	}
	j.sides()
	if len(j.candidate) > 0 {
		j.pairs = sameCells(j.candidate[0].run)
	}
	return j.judge()
}

// JudgeAB judges a run that measured both sides of a change: its cells have the axis variant.side with the values before and after,
// and are compared within blocks.
func JudgeAB(p *policy.Policy, run *results.Run, now time.Time, here Facts) *Verdict {
	j := newJudge(p, now, here)
	j.v.Paired = true
	j.baseline = views([]*results.Run{run})
	j.candidate = j.baseline
	pairs, err := sideOf(run)
	if err != nil {
		j.inconclusive("%s: %v", run.Dir, err)
		j.unfit = append(j.unfit, "the run did not measure both sides of every cell")
	}
	j.pairs = pairs
	j.v.Upgrade = upgrade(run.Manifest, pairs)
	j.v.Changes = changes(pairs)
	if j.v.Upgrade != "" {
		j.v.Changes = append([]string{j.v.Upgrade}, j.v.Changes...)
	}
	j.sameAccel(run.Manifest)
	j.looksFit(run)
	j.facts()
	return j.judge()
}

// NewVerdict is a verdict by a policy that rests on no measurement: what lint or the change itself decides.
func NewVerdict(p *policy.Policy, outcome Outcome) *Verdict {
	v := newJudge(p, time.Time{}, Facts{}).v
	v.Outcome, v.Baseline, v.Candidate = outcome, []Source{}, []Source{}
	return v
}

// unmeasured tells that the verdict rests on no run.
func (v *Verdict) unmeasured() bool { return len(v.Baseline)+len(v.Candidate) == 0 }

// judge is a judgement in the making.
type judge struct {
	policy              *policy.Policy
	now                 time.Time
	here                Facts
	v                   *Verdict
	baseline, candidate []*view
	pairs               []cellPair
	unfit               []string // why the speed of the two sides cannot be compared at all
}

func newJudge(p *policy.Policy, now time.Time, here Facts) *judge {
	looks := max(1, len(p.Performance.Looks))
	return &judge{policy: p, now: now, here: here, v: &Verdict{Schema: results.Schema, Policy: p.Name, Alpha: alphaOf(p), Looks: looks,
		Rules: []RuleResult{}, Cells: []CellResult{}, Safety: []SafetyResult{}}}
}

const defaultAlpha = 0.05

// alphaOf is the policy's level, which one that was not read from a file may leave out.
func alphaOf(p *policy.Policy) float64 {
	if p.Performance.Alpha <= 0 {
		return defaultAlpha
	}
	return p.Performance.Alpha
}

// view is a run with its records by cell.
type view struct {
	run    *results.Run
	trials map[string][]*results.Trial
	safety map[string][]*results.Safety
}

func views(runs []*results.Run) []*view {
	var all []*view
	for _, run := range runs {
		v := &view{run, map[string][]*results.Trial{}, map[string][]*results.Safety{}}
		for i := range run.Trials {
			v.trials[run.Trials[i].Cell] = append(v.trials[run.Trials[i].Cell], &run.Trials[i])
		}
		for i := range run.Safety {
			v.safety[run.Safety[i].Cell] = append(v.safety[run.Safety[i].Cell], &run.Safety[i])
		}
		all = append(all, v)
	}
	return all
}

// cellPair is a cell on both sides. In runs with the same matrix it is the same cell.
type cellPair struct {
	name          string        // the id without the side
	axes          cell.Settings // without the side
	before, after cell.Cell
}

func sameCells(run *results.Run) []cellPair {
	var pairs []cellPair
	for _, c := range run.Manifest.Cells {
		pairs = append(pairs, cellPair{c.ID, c.Axes, c, c})
	}
	return pairs
}

// sideOf pairs the cells of a run that has both sides. A cell without a partner is an error.
func sideOf(run *results.Run) ([]cellPair, error) {
	var pairs []cellPair
	at := map[string]int{}
	for _, c := range run.Manifest.Cells {
		axes := c.Axes.Without(cell.SideAxis)
		key := axes.String()
		i, known := at[key]
		if !known {
			i = len(pairs)
			at[key] = i
			pairs = append(pairs, cellPair{name: withoutSide(c), axes: axes})
		}
		side := &pairs[i].before
		switch c.Side() {
		case cell.SideBefore:
		case cell.SideAfter:
			side = &pairs[i].after
		default:
			return nil, fmt.Errorf("cell %s has not %s=%s or %s: the run did not measure both sides of a change", c.ID, cell.SideAxis,
				cell.SideBefore, cell.SideAfter)
		}
		if side.ID != "" {
			return nil, fmt.Errorf("cell %s is there twice", c.ID)
		}
		*side = c
	}
	for _, p := range pairs {
		if p.before.ID == "" || p.after.ID == "" {
			return nil, fmt.Errorf("cell %s is there on one side only", p.before.ID+p.after.ID)
		}
	}
	if len(pairs) == 0 {
		return nil, fmt.Errorf("the run has no cells")
	}
	return pairs, nil
}

// withoutSide is the id of a cell without its side.
func withoutSide(c cell.Cell) string {
	return cmp.Or(cell.ID(c.Axes.Without(cell.SideAxis)), "the only cell")
}

func (j *judge) inconclusive(format string, args ...any) {
	j.because(Inconclusive, fmt.Sprintf(format, args...))
}

// because adds a reason, once.
func (j *judge) because(o Outcome, text string) {
	if r := (Reason{o, text}); !slices.Contains(j.v.Reasons, r) {
		j.v.Reasons = append(j.v.Reasons, r)
	}
}

func (j *judge) warn(format string, args ...any) {
	if w := fmt.Sprintf(format, args...); !slices.Contains(j.v.Warnings, w) {
		j.v.Warnings = append(j.v.Warnings, w)
	}
}

// judge looks at everything and then decides: one FAIL decides, then one INCONCLUSIVE.
func (j *judge) judge() *Verdict {
	j.fitness()
	j.performance()
	j.explore()
	j.risk()
	applied := slices.ContainsFunc(j.v.Rules, func(r RuleResult) bool { return !r.NotApplicable })
	if !applied && len(j.v.Safety) == 0 {
		j.inconclusive("nothing was judged: no rule of performance applies, and no safety was measured")
	}
	rank := []Outcome{Fail, Inconclusive, Pass}
	slices.SortStableFunc(j.v.Reasons, func(a, b Reason) int { return slices.Index(rank, a.Outcome) - slices.Index(rank, b.Outcome) })
	j.v.Outcome = Pass
	if len(j.v.Reasons) > 0 {
		j.v.Outcome = j.v.Reasons[0].Outcome
	} else {
		j.v.Reasons = []Reason{{Pass, j.looked()}}
	}
	return j.v
}

// looked says what a PASS rests on.
func (j *judge) looked() string {
	var parts []string
	applied := 0
	for _, r := range j.v.Rules {
		if !r.NotApplicable {
			applied++
		}
	}
	if applied > 0 {
		parts = append(parts, fmt.Sprintf("%s of performance within what the policy allows", text.Plural(applied, "rule")))
	}
	points := int64(0)
	for _, s := range j.v.Safety {
		points += s.CrashPoints
	}
	if n := len(j.v.Safety); n > 0 {
		parts = append(parts, fmt.Sprintf("no more promises broken than allowed at %s crash points in %s", text.Count(points),
			text.Plural(n, "record")))
	} else {
		parts = append(parts, "safety was not measured, and the policy does not ask for it")
	}
	return strings.Join(parts, "; ")
}

// sameAccel refuses to compare the speed of two sides of which one was emulated.
func (j *judge) sameAccel(m results.Manifest) {
	for _, p := range j.pairs {
		before, after := m.HypervisorOf(p.before), m.HypervisorOf(p.after)
		if before.Accel != after.Accel {
			j.inconclusive("guests ran under %s on %s and under %s on %s: their speeds are not compared", before.Accel, before.Name, after.Accel,
				after.Name)
			j.unfit = append(j.unfit, "the sides ran under different accelerators")
			return
		}
	}
}

// upgrade says which hypervisors the two sides ran on, by the first pair of cells; empty where it was the same.
func upgrade(m results.Manifest, pairs []cellPair) string {
	if len(pairs) == 0 {
		return ""
	}
	before, after := m.HypervisorOf(pairs[0].before), m.HypervisorOf(pairs[0].after)
	if before == after {
		return ""
	}
	return fmt.Sprintf("hypervisor: %s → %s", before, after)
}

// changes are the settings that differ between the two sides, by the first pair of cells that has both.
func changes(pairs []cellPair) []string {
	if len(pairs) == 0 {
		return nil
	}
	var lines []string
	for _, d := range cell.Differences(pairs[0].before, pairs[0].after) {
		if cell.RunsGuest(d.Name) {
			continue
		}
		lines = append(lines, fmt.Sprintf("%s: %s → %s", d.Name, orUnset(d.Before), orUnset(d.After)))
	}
	return lines
}

// differences are lines "name: old → new" for what is not the same on both sides.
func differences(before, after map[string]string) []string {
	names := maps.Clone(before)
	if names == nil {
		names = map[string]string{}
	}
	maps.Copy(names, after)
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if before[name] != after[name] {
			lines = append(lines, fmt.Sprintf("%s: %s → %s", name, orUnset(before[name]), orUnset(after[name])))
		}
	}
	return lines
}

func orUnset(text string) string {
	if text == "" {
		return "(not set)"
	}
	return text
}

package gate

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"platter/cell"
	"platter/compare"
	"platter/policy"
	"platter/results"
	"platter/text"
)

// minRuns is how many runs a side needs, so that runs can be tested against runs.
const minRuns = 6

// exposureMetric is the one metric of a rule that is no figure of trials.
const exposureMetric = "exposure_ms"

// RuleResult is what became of a rule of the policy.
type RuleResult struct {
	Rule    string            `json:"rule"` // in words
	Metric  string            `json:"metric"`
	Cells   map[string]string `json:"cells,omitempty"`
	Allowed float64           `json:"allowed"` // the largest regression, as a ratio: 0.05 is 5 %
	Outcome Outcome           `json:"outcome"`
	Why     string            `json:"why"`
	// Ratio is after/before, Lo and Hi its interval at the verdict's Level; absent where there is none.
	Ratio *float64 `json:"ratio,omitempty"`
	Lo    *float64 `json:"lo,omitempty"`
	Hi    *float64 `json:"hi,omitempty"`
	// Worse is by how much it got worse, as a ratio; WorseLo and WorseHi its interval. Negative is better.
	Worse   *float64 `json:"worse,omitempty"`
	WorseLo *float64 `json:"worse_lo,omitempty"`
	WorseHi *float64 `json:"worse_hi,omitempty"`
	// P is the test's and Adjusted Holm's over the family of rules; absent where no test was made.
	P        *float64 `json:"p,omitempty"`
	Adjusted *float64 `json:"p_adjusted,omitempty"`
	N        int      `json:"n"` // blocks, or runs on the smaller side
	// Needed is how many of them would decide, as far as can be said; 0 when it is decided or cannot be said.
	Needed int `json:"needed,omitempty"`
	// Equivalent says that the interval lies within the allowed regression on either side: it is as before, and not merely not
	// seen to differ.
	Equivalent bool     `json:"equivalent"`
	Measured   []string `json:"measured,omitempty"` // cells, without the side
	Skipped    []string `json:"skipped,omitempty"`  // cells where nothing of the kind was done or that are excluded on both sides
	Warnings   []string `json:"warnings,omitempty"`

	// NotApplicable says that the rule is optional and nothing of the kind was done on either side: it decides nothing.
	NotApplicable bool `json:"not_applicable,omitempty"`

	optional bool
	tested   bool // by a rank test
	problems []string
}

// worse is by how much a ratio of after to before is worse, as a ratio.
func worse(m compare.Metric, ratio float64) float64 {
	if m.MoreIsBetter() {
		return 1 - ratio
	}
	return ratio - 1
}

// performance judges the rules. They are one family: those over the same cells that are the same figure in another unit take one
// place in it together.
func (j *judge) performance() {
	rules := j.policy.Performance.Rules
	places := places(rules)
	j.v.Tests = len(places)
	j.v.Level = compare.Level(j.v.Alpha, j.v.Tests, j.v.Looks)
	p := make([]float64, len(places))
	for _, r := range rules {
		result, place := j.rule(r), places[hypothesis(r)]
		j.v.Rules = append(j.v.Rules, result)
		if result.tested {
			p[place] = max(p[place], *result.P) // of two in one place the weaker counts
		} else {
			p[place] = 1
		}
	}
	// Looks share alpha too: each look has its part, and Holm works within it.
	adjusted := compare.Holm(p)
	for i := range j.v.Rules {
		r := &j.v.Rules[i]
		if r.tested {
			a := min(1, adjusted[places[hypothesis(rules[i])]]*float64(j.v.Looks))
			r.Adjusted = &a
		}
		j.decide(r)
		if r.Outcome != Pass && len(j.unfit) == 0 { // what is unfit has said so
			j.because(r.Outcome, r.Rule+": "+r.Why)
		}
	}
}

// places are the places of rules in their family, by what they test.
func places(rules []policy.Rule) map[string]int {
	places := map[string]int{}
	for _, r := range rules {
		if _, known := places[hypothesis(r)]; !known {
			places[hypothesis(r)] = len(places)
		}
	}
	return places
}

// hypothesis is what a rule tests: iops and bw are one figure in two units.
func hypothesis(r policy.Rule) string {
	metric := r.Metric
	if metric == string(compare.BW) {
		metric = string(compare.IOPS)
	}
	return fmt.Sprint(metric, r.Cells)
}

func ruleText(r policy.Rule) string {
	if len(r.Cells) == 0 {
		return r.Metric + " over all cells"
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(r.Cells)) {
		parts = append(parts, name+"="+r.Cells[name])
	}
	return r.Metric + " over " + strings.Join(parts, ", ")
}

// rule measures what a rule is about.
func (j *judge) rule(r policy.Rule) RuleResult {
	result := RuleResult{Rule: ruleText(r), Metric: r.Metric, Cells: r.Cells, Allowed: r.Regression, optional: r.Optional}
	if len(j.unfit) > 0 {
		result.problem("not compared: %s", j.unfit[0])
		return result
	}
	pairs := j.chosen(r, &result)
	switch {
	case len(pairs) == 0 && len(result.problems) > 0:
	case len(pairs) == 0:
		result.problem("no measured cell matches it")
	case r.Metric == exposureMetric:
		j.exposureRule(pairs, &result)
	case !compare.Metric(r.Metric).Known():
		result.problem("there is no such metric")
	case j.v.Paired:
		j.pairedRule(compare.Metric(r.Metric), pairs, &result)
	default:
		j.runsRule(compare.Metric(r.Metric), pairs, &result)
	}
	return result
}

func (r *RuleResult) problem(format string, args ...any) {
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
}

// nothingDone says that no cell of the rule did anything of its kind on either side. The policy says whether that may be.
func (r *RuleResult) nothingDone() {
	if r.optional && len(r.problems) == 0 {
		r.NotApplicable = true
		return
	}
	r.problem("%s was not measured: nothing of the kind was done in any of its cells", r.Metric)
}

// chosen are the measured cells that a rule is about.
func (j *judge) chosen(r policy.Rule, result *RuleResult) []cellPair {
	var pairs []cellPair
	for _, p := range j.pairs {
		matches := true
		for name, value := range r.Cells {
			matches = matches && p.axes.Text(name) == value
		}
		switch {
		case !matches:
		case p.before.Excluded != "" && p.after.Excluded != "":
			result.Skipped = append(result.Skipped, p.name)
		case p.before.Excluded != "" || p.after.Excluded != "":
			result.problem("cell %s can be measured on one side only: %s", p.name, p.before.Excluded+p.after.Excluded)
		default:
			pairs = append(pairs, p)
		}
	}
	return pairs
}

// series is a metric of a cell in a run by block.
type series struct {
	values  map[int]float64
	notDone bool   // no trial that went well did anything of the kind, and one did go well
	problem string // why a trial has no value; empty when all have
}

func (v *view) series(m compare.Metric, cell string) series {
	trials := v.trials[cell]
	s := series{values: make(map[int]float64, len(trials))}
	if len(trials) == 0 {
		s.problem = "there is no trial"
		return s
	}
	without, notDone, failed, first := 0, 0, 0, error(nil)
	for _, t := range trials {
		value, err := m.Of(t)
		if err == nil {
			s.values[t.Block] = value
			continue
		}
		without++
		switch {
		case errors.Is(err, compare.ErrNotDone):
			notDone++
		case t.Status != results.OK:
			failed++
		}
		if first == nil || errors.Is(first, compare.ErrNotDone) {
			first = err
		}
	}
	s.notDone = notDone > 0 && notDone+failed == len(trials)
	if without > 0 {
		s.problem = fmt.Sprintf("%d of %d trials have no %s: %v", without, len(trials), m, first)
	}
	return s
}

// pairedRule compares the sides of one run within its blocks.
func (j *judge) pairedRule(m compare.Metric, chosen []cellPair, result *RuleResult) {
	run := j.candidate[0]
	var pairs []compare.Pair
	for _, p := range chosen {
		before, after := run.series(m, p.before.ID), run.series(m, p.after.ID)
		if before.notDone && after.notDone {
			result.Skipped = append(result.Skipped, p.name)
			continue
		}
		for side, s := range map[string]series{cell.SideBefore: before, cell.SideAfter: after} {
			if s.problem != "" {
				result.problem("cell %s, %s: %s", p.name, side, s.problem)
			}
		}
		result.Measured = append(result.Measured, p.name)
		pairs = append(pairs, compare.Pair{Cell: p.name, Before: before.values, After: after.values})
	}
	slices.Sort(result.problems)
	if len(pairs) == 0 {
		result.nothingDone()
		return
	}
	ratio := compare.Grouped(pairs, 1-j.v.Level)
	result.take(m, ratio)
	result.tested = result.P != nil
	needed := compare.Needed(j.v.Alpha, j.v.Tests, j.v.Looks)
	result.enough(ratio.N, max(needed, j.policy.Evidence.Trials), "block")
}

// enough demands so many of something; fewer may still FAIL, and cannot pass.
func (r *RuleResult) enough(have, need int, what string) {
	if have < need {
		r.Needed = need
		r.problem("it has %s and needs %d", text.Plural(have, what), need)
	}
}

// take takes a ratio over, without what is no number.
func (r *RuleResult) take(m compare.Metric, ratio compare.Ratio) {
	r.N, r.Warnings = ratio.N, ratio.Warnings
	if math.IsNaN(ratio.Estimate) {
		return
	}
	p := ratio.P
	r.P = &p
	r.setRatio(m, ratio.Estimate, ratio.Lo, ratio.Hi, ratio.Bounded())
	r.Equivalent = ratio.Within(r.Allowed)
}

func (r *RuleResult) setRatio(m compare.Metric, estimate, lo, hi float64, bounded bool) {
	w := worse(m, estimate)
	r.Ratio, r.Worse = &estimate, &w
	if !bounded {
		return
	}
	a, b := worse(m, lo), worse(m, hi)
	if m.MoreIsBetter() {
		a, b = b, a
	}
	r.Lo, r.Hi, r.WorseLo, r.WorseHi = &lo, &hi, &a, &b
}

// runsRule compares runs with runs: each is one value, since trials of one run are alike in ways that two runs are not.
func (j *judge) runsRule(m compare.Metric, chosen []cellPair, result *RuleResult) {
	var measured []cellPair
	for _, p := range chosen {
		done := false
		for _, v := range slices.Concat(j.baseline, j.candidate) {
			done = done || !v.series(m, p.after.ID).notDone
		}
		if done {
			measured = append(measured, p)
			result.Measured = append(result.Measured, p.name)
		} else {
			result.Skipped = append(result.Skipped, p.name)
		}
	}
	if len(measured) == 0 {
		result.nothingDone()
		return
	}
	before := j.runValues(m, measured, j.baseline, result)
	after := j.runValues(m, measured, j.candidate, result)
	j.betweenRuns(m, before, after, result)
}

// runValues are the values of the runs of a side: of each the geometric mean over the cells of the median over the trials.
func (j *judge) runValues(m compare.Metric, cells []cellPair, side []*view, result *RuleResult) []float64 {
	var values []float64
	for _, v := range side {
		sum, whole := 0.0, true
		for _, p := range cells {
			s := v.series(m, p.after.ID)
			if s.problem != "" {
				result.problem("%s, cell %s: %s", v.run.Dir, p.name, s.problem)
			}
			if n, need := len(s.values), max(1, j.policy.Evidence.Trials); n < need {
				result.problem("%s, cell %s has %s and needs %d", v.run.Dir, p.name, text.Plural(n, "trial"), need)
			}
			if len(s.values) == 0 {
				whole = false
				continue
			}
			sum += math.Log(compare.Median(slices.Collect(maps.Values(s.values))))
		}
		if whole {
			values = append(values, math.Exp(sum/float64(len(cells))))
		}
	}
	return values
}

// betweenRuns judges by a test between runs, else by the policy's margin, else not at all.
func (j *judge) betweenRuns(m compare.Metric, before, after []float64, result *RuleResult) {
	ratio := compare.Unpaired(before, after, 1-j.v.Level)
	margin := j.policy.Performance.Margin
	switch {
	case ratio.N >= minRuns:
		result.take(m, ratio)
		result.tested = result.P != nil
		result.enough(ratio.N, compare.NeededRuns(j.v.Alpha, j.v.Tests, j.v.Looks), "run")
	case margin > 0 && ratio.N > 0 && !math.IsNaN(ratio.Estimate):
		lo, hi := ratio.Estimate/(1+margin), ratio.Estimate*(1+margin)
		result.N = ratio.N
		result.setRatio(m, ratio.Estimate, lo, hi, true)
		result.Equivalent = compare.Ratio{Lo: lo, Hi: hi}.Within(result.Allowed)
		result.Warnings = append(result.Warnings, fmt.Sprintf("no test was made: the interval is the policy's margin of %s between runs",
			share(margin)))
	default:
		result.take(m, ratio)
		result.Lo, result.Hi, result.WorseLo, result.WorseHi, result.P, result.Equivalent = nil, nil, nil, nil, nil, false
		result.Warnings = nil // of the test that is not made
		result.Needed = minRuns
		result.problem("runs differ by more than their trials show: with %s and %s it needs %d on each side, or the policy's margin, or both "+
			"sides in one run (platter ab)",
			text.Plural(len(before), "baseline run"), text.Plural(len(after), "candidate run"), minRuns)
	}
}

// exposureRule compares what crashes take of acknowledged data. A run has one figure for each campaign, so it is judged between runs
// also where both sides are in one.
func (j *judge) exposureRule(pairs []cellPair, result *RuleResult) {
	m := compare.Metric(exposureMetric)
	before, censoredBefore := j.worstExposures(pairs, j.baseline, func(p cellPair) string { return p.before.ID }, result)
	after, censoredAfter := j.worstExposures(pairs, j.candidate, func(p cellPair) string { return p.after.ID }, result)
	for _, p := range pairs {
		result.Measured = append(result.Measured, p.name)
	}
	if len(before) == 0 || len(after) == 0 {
		return // the problem says why
	}
	result.N = min(len(before), len(after))
	one := 1.0
	switch {
	case slices.Max(before) == 0 && slices.Max(after) == 0:
		result.setRatio(m, one, one, one, true)
		result.Equivalent = true
	case censoredBefore || censoredAfter:
		result.problem("an exposure is at least as long as its campaign, so no ratio is known: limit it in safety.exposure_ms, or make " +
			"campaigns longer")
	case slices.Min(before) == 0 || slices.Min(after) == 0:
		result.problem("no ratio is known where nothing was exposed (up to %s ms before, %s ms now): limit it in safety.exposure_ms",
			round(slices.Max(before)), round(slices.Max(after)))
	default:
		j.betweenRuns(m, before, after, result)
	}
}

// worstExposures are the longest exposures of each run of a side, over the cells and all classes.
func (j *judge) worstExposures(pairs []cellPair, side []*view, id func(cellPair) string, result *RuleResult) (worst []float64,
	censored bool) {
	for _, v := range side {
		ms, found := 0.0, false
		for _, p := range pairs {
			for _, s := range v.safety[id(p)] {
				if s.Status != results.OK || s.Verdict == results.Invalid || math.IsNaN(s.Exposure.MS) || s.Exposure.MS < 0 {
					result.problem("%s: the campaign of %s under %s has no exposure", v.run.Dir, p.name, s.Class)
					continue
				}
				found = true
				ms = max(ms, s.Exposure.MS)
				censored = censored || s.Exposure.Censored
			}
		}
		if !found {
			result.problem("%s: no exposure was measured", v.run.Dir)
			continue
		}
		worst = append(worst, ms)
	}
	return worst, censored
}

// decide decides about a rule: FAIL where the test rejects and the estimate is beyond the limit, PASS where the whole interval is
// within it and nothing is missing.
func (j *judge) decide(r *RuleResult) {
	r.Outcome = Inconclusive
	beyond := r.Worse != nil && *r.Worse > r.Allowed
	switch {
	case r.NotApplicable:
		r.Outcome, r.Why = Pass, "it does not apply: nothing of the kind was done on either side"
	case beyond && r.tested && *r.Adjusted <= j.v.Alpha, beyond && !r.tested && r.WorseLo != nil && *r.WorseLo > r.Allowed:
		r.Outcome = Fail
		r.Why = fmt.Sprintf("%s; %s is allowed", r.found(), share(r.Allowed))
	case len(r.problems) > 0:
		r.Why = strings.Join(abridged(r.problems), "; ")
	case r.WorseHi == nil:
		r.Why = "there is no interval: " + strings.Join(r.Warnings, "; ")
	case *r.WorseHi <= r.Allowed:
		r.Outcome = Pass
		r.Why = fmt.Sprintf("%s; %s is allowed", r.found(), share(r.Allowed))
	default:
		r.Why = fmt.Sprintf("%s; %s is allowed, and it may be either side of it%s", r.found(), share(r.Allowed), j.moreWould(r))
	}
}

// abridged keeps the first few of many problems.
func abridged(problems []string) []string {
	const most = 3
	if len(problems) <= most {
		return problems
	}
	return append(slices.Clone(problems[:most]), fmt.Sprintf("and %d more", len(problems)-most))
}

// found says the estimate with what is known of it.
func (r *RuleResult) found() string {
	text := direction(*r.Worse)
	if r.WorseLo != nil {
		text += " (" + spread(*r.WorseLo, *r.WorseHi) + ")"
	}
	if r.Adjusted != nil {
		text += fmt.Sprintf(", adjusted p %.2g, n=%d", *r.Adjusted, r.N)
	}
	return text
}

// spread is an interval of changes in words, the smaller change first where both ends are in one direction.
func spread(lo, hi float64) string {
	switch {
	case lo == 0 && hi == 0:
		return direction(0)
	case lo >= 0:
		return share(lo) + " to " + direction(hi)
	case hi <= 0:
		return share(math.Abs(hi)) + " to " + direction(lo)
	}
	return direction(lo) + " to " + direction(hi)
}

// direction is a change in words.
func direction(worse float64) string {
	switch {
	case worse > 0:
		return share(worse) + " worse"
	case worse < 0:
		return share(-worse) + " better"
	}
	return "unchanged"
}

// moreWould says how many blocks or runs would probably decide, if the estimate stays: an interval narrows with the root of n.
func (j *judge) moreWould(r *RuleResult) string {
	distance := math.Abs(r.Allowed - *r.Worse)
	half := max(*r.WorseHi-*r.Worse, *r.Worse-*r.WorseLo)
	const most = 1000
	n := float64(r.N) * (half / distance) * (half / distance)
	if !r.tested || math.IsNaN(n) || n > most {
		return ""
	}
	r.Needed = max(r.N+1, int(math.Ceil(n)))
	what := "runs a side"
	if j.v.Paired {
		what = "blocks"
	}
	return fmt.Sprintf("; about %d %s would tell", r.Needed, what)
}

// share writes a ratio in percent.
func share(ratio float64) string { return round(100*ratio) + " %" }

// round writes a number as a person does: three digits where it is below 1000, and no zeros at its end.
func round(v float64) string {
	switch {
	case math.Abs(v) >= 100:
		return text.Number(v)
	case math.Abs(v) >= 10:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0")
	}
	line := fmt.Sprintf("%.2f", v)
	return strings.TrimSuffix(strings.TrimRight(line, "0"), ".")
}

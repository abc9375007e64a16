package reports

import (
	"fmt"
	"slices"
	"strings"

	"platter/cell"
	"platter/results"
	"platter/text"
)

// changeLines say of a run that measured both sides of a change what the sides are, what the policy's verdict on it was, and what a
// crash takes after it that it did not take before. Other runs have none.
func changeLines(m *Model, verdict *results.Judgement) []string {
	if !slices.Contains(m.Manifest.Axes, cell.SideAxis) {
		return nil
	}
	var lines []string
	if m.Sides != nil {
		lines = append(lines, fmt.Sprintf("Before: %s. After: %s.", m.Sides[cell.SideBefore], m.Sides[cell.SideAfter]))
	}
	if verdict != nil {
		line := fmt.Sprintf("%s by the policy %s", verdict.Outcome, verdict.Policy)
		if len(verdict.Reasons) > 0 {
			line += ": " + verdict.Reasons[0]
		}
		if more := len(verdict.Reasons) - 1; more > 0 {
			line += " (and " + text.Plural(more, "reason") + " more)"
		}
		lines = append(lines, line+".")
	}
	return append(lines, newRisks(m)...)
}

// risk is what some failure takes only after a change.
type risk struct {
	failure string
	works   []string // where
	ages    []string // of what is exposed there: "≥1.0 s at fsync=0"
}

// newRisks returns what a crash takes after the change and did not take before: a line for the promises, then one for each failure that
// exposes what it did not expose.
func newRisks(m *Model) []string {
	before := standard{values: map[string]string{cell.SideAxis: cell.SideBefore}}
	var promises, exposures []risk
	for _, c := range m.Cells {
		was, ok := before.cell(workload{cells: m.Cells}, c)
		if !ok || was.ID == c.ID {
			continue
		}
		for _, q := range m.Safety.Questions {
			x, y := m.Safety.row(was.ID, q), m.Safety.row(c.ID, q)
			if x == nil || y == nil || x.Status != results.OK || y.Status != results.OK {
				continue
			}
			switch {
			case y.Verdict == results.Loses && x.Verdict != results.Loses:
				promises = addRisk(promises, q.String(), c.work(), y)
			case x.Exposure.Writes == 0 && y.Exposure.Writes > 0:
				exposures = addRisk(exposures, q.String(), c.work(), y)
			}
		}
	}
	var lines []string
	if len(promises) > 0 {
		var failures, works []string
		for _, r := range promises {
			failures = append(failures, r.failure)
			works = append(works, r.works...)
		}
		slices.Sort(works)
		lines = append(lines, "New with the change: promises are broken by "+strings.Join(failures, ", ")+atAll(slices.Compact(works))+".")
	}
	for _, r := range exposures {
		lines = append(lines, fmt.Sprintf("New with the change: a %s takes unpromised writes (before: none), as old as %s.", r.failure,
			named(r.ages)))
	}
	return lines
}

// addRisk adds a row to the risk of its failure; a work that another drive cache has brought there stays as it is.
func addRisk(risks []risk, failure, work string, r *SafetyRow) []risk {
	i := slices.IndexFunc(risks, func(k risk) bool { return k.failure == failure })
	if i < 0 {
		i = len(risks)
		risks = append(risks, risk{failure: failure})
	}
	k := &risks[i]
	if !slices.Contains(k.works, work) {
		k.works = append(k.works, work)
		k.ages = append(k.ages, r.Age()+workload{name: work}.at())
	}
	return risks
}

// atAll returns " at fsync=0; fsync=1", or nothing.
func atAll(works []string) string {
	if len(works) == 0 || len(works) == 1 && works[0] == "" {
		return ""
	}
	return " at " + named(works)
}

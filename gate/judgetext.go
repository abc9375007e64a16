package gate

import (
	"fmt"
	"io"

	"platter/text"
)

// Text writes the verdict for a terminal: the outcome, what decided it, and a line for each rule and each record of safety that does
// not simply pass.
func (v *Verdict) Text(w io.Writer) error {
	p := &text.Printer{W: w}
	p.Linef("%s (policy %s)", v.Outcome, v.Policy)
	item := func(format string, args ...any) { p.Hang("  ", "    ", fmt.Sprintf(format, args...)) }
	for _, r := range v.Reasons {
		item("%s", r.Text)
	}
	for _, banner := range v.Banners {
		p.Hang("note: ", "        ", banner)
	}
	if len(v.Changes) > 0 {
		p.Linef("\nWhat changed")
		for _, c := range v.Changes {
			item("%s", c)
		}
	}
	if len(v.Rules) > 0 {
		p.Linef("\nWhat it costs")
		for _, r := range v.Rules {
			item("%s: %s: %s", r.Outcome, r.Rule, r.Why)
		}
	}
	p.Linef("\nWhat it risks")
	passed, points := 0, int64(0)
	for _, g := range grouped(v.Safety, func(s SafetyResult) bool {
		points += s.CrashPoints
		clean := s.Outcome == Pass && s.PromisesLost == 0 && s.Exposure.Writes == 0 && s.Exposure.MS == 0
		if clean {
			passed++
		}
		return !clean
	}) {
		item("%s: %s", g[0].Outcome, groupText(g))
	}
	switch {
	case len(v.Safety) == 0:
		item("Safety was not measured.")
	case passed > 0:
		item("%s lost nothing; %s crash points were judged in all", text.Plural(passed, "record"), text.Count(points))
	}
	if len(v.Warnings) > 0 {
		p.Linef("\nTo know")
		for _, warning := range v.Warnings {
			item("%s", warning)
		}
	}
	return p.Err
}

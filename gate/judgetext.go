package gate

import (
	"fmt"
	"io"
	"strings"
)

// textWidth is the width of a terminal.
const textWidth = 80

// Text writes the verdict for a terminal: the outcome, what decided it, and a line for each rule and each record of safety that does
// not simply pass.
func (v *Verdict) Text(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (policy %s)\n", v.Outcome, v.Policy)
	for _, r := range v.Reasons {
		wrap(&b, "  ", r.Text)
	}
	for _, banner := range v.Banners {
		wrap(&b, "note: ", banner)
	}
	if len(v.Changes) > 0 {
		b.WriteString("\nWhat changed\n")
		for _, c := range v.Changes {
			wrap(&b, "  ", c)
		}
	}
	if len(v.Rules) > 0 {
		b.WriteString("\nWhat it costs\n")
		for _, r := range v.Rules {
			wrap(&b, "  ", fmt.Sprintf("%s: %s: %s", r.Outcome, r.Rule, r.Why))
		}
	}
	b.WriteString("\nWhat it risks\n")
	v.textRisks(&b)
	if len(v.Warnings) > 0 {
		b.WriteString("\nTo know\n")
		for _, warning := range v.Warnings {
			wrap(&b, "  ", warning)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (v *Verdict) textRisks(b *strings.Builder) {
	passed, points := 0, int64(0)
	for _, g := range grouped(v.Safety, func(s SafetyResult) bool {
		points += s.CrashPoints
		clean := s.Outcome == Pass && s.PromisesLost == 0 && s.Exposure.Writes == 0 && s.Exposure.MS == 0
		if clean {
			passed++
		}
		return !clean
	}) {
		wrap(b, "  ", fmt.Sprintf("%s: %s", g[0].Outcome, groupText(g)))
	}
	switch {
	case len(v.Safety) == 0:
		b.WriteString("  Safety was not measured.\n")
	case passed > 0:
		wrap(b, "  ", fmt.Sprintf("%s lost nothing; %s crash points were judged in all", plural(passed, "record"), digits(points)))
	}
}

// wrap writes a text in lines of at most textWidth characters, the later ones indented; a word that is longer has a line of its own and is
// cut after its commas, as cells' ids are.
func wrap(b *strings.Builder, lead, text string) {
	line, indent := lead, strings.Repeat(" ", len(lead)+2)
	empty := true
	flush := func() {
		b.WriteString(strings.TrimRight(line, " ") + "\n")
		line, empty = indent, true
	}
	for _, word := range strings.Fields(text) {
		for part, rest := word, ""; part != ""; part = rest {
			part, rest = cutWord(part, textWidth-len(indent))
			space := 0
			if !empty {
				space = 1
			}
			if !empty && len([]rune(line))+space+len([]rune(part)) > textWidth {
				flush()
				space = 0
			}
			line += strings.Repeat(" ", space) + part
			empty = false
			if rest != "" {
				flush()
			}
		}
	}
	flush()
}

// cutWord cuts a word that is too long, behind its last comma that fits or where it must.
func cutWord(word string, width int) (part, rest string) {
	r := []rune(word)
	if len(r) <= width {
		return word, ""
	}
	cut := string(r[:width])
	if i := strings.LastIndexByte(cut, ','); i > 0 {
		return cut[:i+1], cut[i+1:] + string(r[width:])
	}
	return cut, string(r[width:])
}

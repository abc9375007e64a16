package gate

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"platter/text"
)

// Markdown writes the verdict for a CI step summary: the verdict first, then what changed, what it costs, what it risks, how sure it is
// and how to reproduce it; at most 1 MiB.
func (v *Verdict) Markdown(w io.Writer) error {
	d := &document{}
	d.verdict(v)
	d.changes(v)
	d.costs(v)
	d.risks(v)
	d.sureness(v)
	d.reproduce(v)
	_, err := io.WriteString(w, d.Text("platter gate --json"))
	return err
}

// document is a verdict in Markdown.
type document struct{ text.Markdown }

// left returns columns of texts.
func left(names ...string) []text.Column {
	columns := make([]text.Column, len(names))
	for i, name := range names {
		columns[i].Name = name
	}
	return columns
}

func (d *document) verdict(v *Verdict) {
	d.Linef("## platter: %s\n", v.Outcome)
	for _, r := range v.Reasons {
		d.Linef("- **%s** %s", r.Outcome, text.EscapeMarkdown(r.Text))
	}
	d.Linef("")
	for _, b := range v.Banners {
		d.Linef("> %s\n", text.EscapeMarkdown(b))
	}
}

func (d *document) changes(v *Verdict) {
	d.Linef("### What changed\n")
	if len(v.Changes) == 0 {
		d.Linef("Nothing that the runs record differs, or they do not say what does.\n")
	}
	d.List(v.Changes)
}

func (d *document) costs(v *Verdict) {
	d.Linef("### What it costs\n")
	if v.unmeasured() {
		d.Linef("No trial was made.\n")
		return
	}
	if len(v.Rules) == 0 {
		d.Linef("The policy has no rules of performance.\n")
		return
	}
	var rows [][]string
	for _, r := range v.Rules {
		rows = append(rows, []string{string(r.Outcome), r.Rule, change(r.Worse), interval(r.WorseLo, r.WorseHi), share(r.Allowed),
			figure(r.Adjusted), fmt.Sprint(r.N)})
	}
	d.Table(left("", "rule", "change", fmt.Sprintf("interval (%s %%)", round(100*(1-v.Level))), "allowed", "adjusted p", "n"), rows)
	d.cells(v)
}

// cells are folded away: they are explorations.
func (d *document) cells(v *Verdict) {
	var rows [][]string
	for _, c := range v.Cells {
		note := c.Error + c.Skipped
		rows = append(rows, []string{c.Cell, c.Metric, value(c.Metric, c.Before), value(c.Metric, c.After), change(c.Worse), figure(c.Adjusted),
			note})
	}
	if len(rows) == 0 {
		return
	}
	how := "blocks of one run"
	if !v.Paired {
		how = "runs, or trials where a side has one run"
	}
	d.Linef("<details><summary>Cell by cell: exploratory, adjusted apart from the rules, decides nothing (%s)</summary>\n", how)
	d.Table(left("cell", "metric", "before", "after", "change", "adjusted p", ""), rows)
	d.Linef("</details>\n")
}

func (d *document) risks(v *Verdict) {
	d.Linef("### What it risks\n")
	if len(v.Safety) == 0 {
		d.Linef("Safety was not measured: nothing here says that a write survives anything.\n")
		return
	}
	var rows [][]string
	for _, s := range v.Safety {
		was := s.Baseline
		if s.BaselineExposure != nil {
			was += ", " + exposureText(*s.BaselineExposure) + " exposed"
		}
		rows = append(rows, []string{string(s.Outcome), s.Cell, classText(s), was, orUnset(s.Verdict),
			fmt.Sprintf("%s of %s", text.Count(s.PromisesLost), text.Count(s.Promises)), exposureText(s.Exposure), s.Why})
	}
	d.Table(left("", "cell", "failure", "before", "after", "broken promises", "exposed", "why"), rows)
}

func (d *document) sureness(v *Verdict) {
	d.Linef("### How sure\n")
	if v.unmeasured() {
		d.Linef("Nothing was measured: the verdict rests on what the files say.\n")
	}
	var lines []string
	if len(v.Rules) > 0 {
		how := "Both sides were measured interleaved in one run and are compared within its blocks (exact Wilcoxon signed-rank test, " +
			"Hodges-Lehmann estimate)"
		if !v.Paired {
			how = fmt.Sprintf("Each run is one value: %s against %s (exact Mann-Whitney test, or the policy's margin)",
				text.Plural(len(v.Baseline), "run"), text.Plural(len(v.Candidate), "run"))
		}
		lines = append(lines, fmt.Sprintf("%s. A false alarm in any of the rules has a probability of at most %s (Holm, %s, %s).", how,
			share(v.Alpha), text.Plural(v.Tests, "test"), text.Plural(v.Looks, "look")))
	}
	if len(v.Safety) > 0 {
		points, cuts := int64(0), 0
		for _, s := range v.Safety {
			points += s.CrashPoints
			cuts += s.LiveCuts
		}
		live := "no live cuts"
		if cuts > 0 {
			live = text.Plural(cuts, "live cut")
			if bound := 1 - math.Pow(0.05, 1/float64(cuts)); cuts < minCuts {
				live += ", too few for a bound: a cross-check"
			} else {
				live += fmt.Sprintf(" (if none lost anything, a cut loses with a probability of at most %s at 95 %%)", share(bound))
			}
		}
		lines = append(lines, fmt.Sprintf("%s crash points were judged, which are not independent and give no bound; %s.", text.Count(points),
			live))
	}
	for _, r := range v.Rules {
		for _, w := range r.Warnings {
			lines = append(lines, r.Rule+": "+w)
		}
	}
	d.List(append(lines, v.Warnings...))
}

// minCuts is how many live cuts say something about a probability (docs/SAFETY.md).
const minCuts = 30

func (d *document) reproduce(v *Verdict) {
	d.Linef("### How to reproduce\n")
	if v.unmeasured() {
		d.Linef("Judge the same two files by the same policy again: nothing else went into it.\n")
		return
	}
	seen := map[string]bool{}
	for _, s := range slices.Concat(v.Baseline, v.Candidate) {
		seen[fmt.Sprintf("%s  # %s, %s, host %s, QEMU %s, kernel %s", text.Command(s.Command), s.Started.UTC().Format("2006-01-02 15:04"),
			s.Tool, s.Host, s.QEMU, s.Kernel)] = true
	}
	d.Linef("```sh")
	for _, line := range slices.Sorted(maps.Keys(seen)) {
		d.Linef("%s", strings.ReplaceAll(text.Visible(strings.Join(strings.Fields(line), " ")), "`", "'"))
	}
	d.Linef("```")
}

// change writes by how much something got worse.
func change(worse *float64) string {
	if worse == nil {
		return "–"
	}
	return direction(*worse)
}

func interval(lo, hi *float64) string {
	if lo == nil || hi == nil {
		return "–"
	}
	return spread(*lo, *hi)
}

func figure(p *float64) string {
	if p == nil {
		return "–"
	}
	return fmt.Sprintf("%.2g", *p)
}

// value writes a metric: rates as they are, latencies in µs.
func value(metric string, v *float64) string {
	switch {
	case v == nil:
		return "–"
	case metric == "bw":
		return round(*v/(1<<20)) + " MiB/s"
	case metric == "iops":
		return round(*v)
	}
	return round(*v/1000) + " µs"
}

package gate

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
)

// maxMarkdown is how long a CI step summary may be; GitHub refuses longer ones.
const maxMarkdown = 1 << 20

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
	_, err := io.WriteString(w, d.text())
	return err
}

// document is a text whose tables are cut where they would make it too long.
type document struct {
	strings.Builder
	cut bool
}

// room is what is kept for what stands behind the tables.
const room = 64 << 10

func (d *document) line(format string, args ...any) {
	if d.Len() < maxMarkdown-room/2 {
		fmt.Fprintf(d, format+"\n", args...)
	} else {
		d.cut = true
	}
}

func (d *document) text() string {
	if d.cut {
		d.WriteString("\nThis summary was cut; `platter gate --json` prints all of it.\n")
	}
	return d.String()
}

// table writes rows as long as there is room.
func (d *document) table(head []string, rows [][]string) {
	d.line("| %s |", strings.Join(head, " | "))
	d.line("|%s", strings.Repeat(" --- |", len(head)))
	for i, row := range rows {
		if d.Len() > maxMarkdown-room {
			d.line("\n… and %s more.", plural(len(rows)-i, "row"))
			d.cut = true
			break
		}
		for k := range row {
			row[k] = escaped(row[k])
		}
		d.line("| %s |", strings.Join(row, " | "))
	}
	d.line("")
}

// maxCellText is how many characters of a text are shown: a message may be as long as a console.
const maxCellText = 500

// escaped is a text that Markdown shows as it is, on one line.
func escaped(text string) string {
	if r := []rune(text); len(r) > maxCellText {
		text = string(r[:maxCellText]) + "…"
	}
	text = strings.Join(strings.Fields(text), " ")
	return strings.NewReplacer(`\`, `\\`, "|", `\|`, "<", "&lt;", ">", "&gt;", "&", "&amp;", "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "~", `\~`, "@", "&#64;", "#", `\#`, "!", `\!`).Replace(text)
}

func (d *document) list(lines []string) {
	for _, l := range lines {
		d.line("- %s", escaped(l))
	}
	if len(lines) > 0 {
		d.line("")
	}
}

func (d *document) verdict(v *Verdict) {
	d.line("## platter: %s\n", v.Outcome)
	for _, r := range v.Reasons {
		d.line("- **%s** %s", r.Outcome, escaped(r.Text))
	}
	d.line("")
	for _, b := range v.Banners {
		d.line("> %s\n", escaped(b))
	}
}

func (d *document) changes(v *Verdict) {
	d.line("### What changed\n")
	if len(v.Changes) == 0 {
		d.line("Nothing that the runs record differs, or they do not say what does.\n")
	}
	d.list(v.Changes)
}

func (d *document) costs(v *Verdict) {
	d.line("### What it costs\n")
	if v.unmeasured() {
		d.line("No trial was made.\n")
		return
	}
	if len(v.Rules) == 0 {
		d.line("The policy has no rules of performance.\n")
		return
	}
	var rows [][]string
	for _, r := range v.Rules {
		rows = append(rows, []string{string(r.Outcome), r.Rule, change(r.Worse), interval(r.WorseLo, r.WorseHi), share(r.Allowed), figure(r.Adjusted), fmt.Sprint(r.N)})
	}
	d.table([]string{"", "rule", "change", fmt.Sprintf("interval (%s %%)", round(100*(1-v.Level))), "allowed", "adjusted p", "n"}, rows)
	d.cells(v)
}

// cells are folded away: they are explorations.
func (d *document) cells(v *Verdict) {
	var rows [][]string
	for _, c := range v.Cells {
		note := c.Error + c.Skipped
		rows = append(rows, []string{c.Cell, c.Metric, value(c.Metric, c.Before), value(c.Metric, c.After), change(c.Worse), figure(c.Adjusted), note})
	}
	if len(rows) == 0 {
		return
	}
	how := "blocks of one run"
	if !v.Paired {
		how = "runs, or trials where a side has one run"
	}
	d.line("<details><summary>Cell by cell: exploratory, adjusted apart from the rules, decides nothing (%s)</summary>\n", how)
	d.table([]string{"cell", "metric", "before", "after", "change", "adjusted p", ""}, rows)
	d.line("</details>\n")
}

func (d *document) risks(v *Verdict) {
	d.line("### What it risks\n")
	if len(v.Safety) == 0 {
		d.line("Safety was not measured: nothing here says that a write survives anything.\n")
		return
	}
	var rows [][]string
	for _, s := range v.Safety {
		was := s.Baseline
		if s.BaselineExposure != nil {
			was += ", " + exposureText(*s.BaselineExposure) + " exposed"
		}
		rows = append(rows, []string{string(s.Outcome), s.Cell, classText(s), was, orUnset(s.Verdict), fmt.Sprintf("%s of %s", digits(s.PromisesLost), digits(s.Promises)), exposureText(s.Exposure), s.Why})
	}
	d.table([]string{"", "cell", "failure", "before", "after", "broken promises", "exposed", "why"}, rows)
}

func (d *document) sureness(v *Verdict) {
	d.line("### How sure\n")
	if v.unmeasured() {
		d.line("Nothing was measured: the verdict rests on what the files say.\n")
	}
	var lines []string
	if len(v.Rules) > 0 {
		how := "Both sides were measured interleaved in one run and are compared within its blocks (exact Wilcoxon signed-rank test, Hodges-Lehmann estimate)"
		if !v.Paired {
			how = fmt.Sprintf("Each run is one value: %s against %s (exact Mann-Whitney test, or the policy's margin)", plural(len(v.Baseline), "run"), plural(len(v.Candidate), "run"))
		}
		lines = append(lines, fmt.Sprintf("%s. A false alarm in any of the rules has a probability of at most %s (Holm, %s, %s).", how, share(v.Alpha), plural(v.Tests, "test"), plural(v.Looks, "look")))
	}
	if len(v.Safety) > 0 {
		points, cuts := int64(0), 0
		for _, s := range v.Safety {
			points += s.CrashPoints
			cuts += s.LiveCuts
		}
		live := "no live cuts"
		if cuts > 0 {
			live = plural(cuts, "live cut")
			if bound := 1 - math.Pow(0.05, 1/float64(cuts)); cuts < minCuts {
				live += ", too few for a bound: a cross-check"
			} else {
				live += fmt.Sprintf(" (if none lost anything, a cut loses with a probability of at most %s at 95 %%)", share(bound))
			}
		}
		lines = append(lines, fmt.Sprintf("%s crash points were judged, which are not independent and give no bound; %s.", digits(points), live))
	}
	for _, r := range v.Rules {
		for _, w := range r.Warnings {
			lines = append(lines, r.Rule+": "+w)
		}
	}
	d.list(append(lines, v.Warnings...))
}

// minCuts is how many live cuts say something about a probability (docs/SAFETY.md).
const minCuts = 30

func (d *document) reproduce(v *Verdict) {
	d.line("### How to reproduce\n")
	if v.unmeasured() {
		d.line("Judge the same two files by the same policy again: nothing else went into it.\n")
		return
	}
	seen := map[string]bool{}
	for _, s := range slices.Concat(v.Baseline, v.Candidate) {
		seen[fmt.Sprintf("%s  # %s, %s, host %s, QEMU %s, kernel %s", commandLine(s.Command), s.Started.UTC().Format("2006-01-02 15:04"), s.Tool, s.Host, s.QEMU, s.Kernel)] = true
	}
	d.line("```sh")
	for _, line := range slices.Sorted(maps.Keys(seen)) {
		d.line("%s", strings.ReplaceAll(strings.Join(strings.Fields(line), " "), "`", "'"))
	}
	d.line("```")
}

// commandLine quotes words for a shell.
func commandLine(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = w
		if w == "" || strings.ContainsAny(w, " \t\n'\"\\$&|;<>()*?[]#~!{}") {
			quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
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

package reports

import (
	"fmt"
	"slices"
	"strings"

	"platter/cell"
	"platter/compare"
	"platter/results"
	"platter/text"
)

// maxAnswers is for how many workloads the answer has a line of its own; of more it counts them.
const maxAnswers = 3

// answer returns in a few lines what the run found: for each workload, since only cells that do the same work compare, the fastest of
// the disk's settings, and where safety was measured the fastest that is SAFE under everything that was asked.
func answer(m *Model) []string {
	groups := workloads(m.Cells)
	switch {
	case m.OK+m.Failed == 0 && len(m.Safety.Rows) == 0:
		return []string{"No trial has been made yet."}
	case m.OK == 0 && len(m.Safety.Rows) == 0:
		return []string{fmt.Sprintf("Nothing was measured: %s failed.", text.Plural(m.Failed, "trial"))}
	case len(groups) == 0:
		return []string{fmt.Sprintf("No speed was measured, so no cell is the fastest (%s).", scope(m))}
	}
	lines := slices.Clone(m.Change)
	switch varies := groups[0].cells[0].settings() != ""; {
	case len(m.Safety.Rows) > 0:
		lines = append(lines, safeAnswers(m, groups, m.asked())...)
	case m.awaited() != "": // the fastest may be the one that loses everything
		lines = append(lines, "No setting is called the fastest yet: crash campaigns are planned, and none has been judged.")
	case !varies && len(groups) > maxAnswers:
		lines = append(lines, fmt.Sprintf("Measured: %s on one disk's settings.", text.Plural(len(groups), "workload")))
	case !varies: // there is nothing to choose between
		for _, g := range groups {
			lines = append(lines, "Measured"+g.at()+": "+number(g.cells[0])+".")
		}
	case len(groups) > maxAnswers:
		lines = append(lines, tally("Fastest", groups, groups, m.standard)...)
	default:
		places := newStandings(groups)
		for _, g := range groups {
			best, _ := g.fastest()
			lines = append(lines, "Fastest"+g.at()+": "+g.describeBest(best, places)+".")
		}
	}
	last := scope(m) + "."
	if len(m.Safety.Rows) == 0 && m.awaited() == "" {
		last += " Safety is not measured in this run."
	}
	return append(lines, last)
}

// scope returns the number of trials, cells and crash points that the answer rests on, as a sentence without its point.
func scope(m *Model) string {
	line := fmt.Sprintf("%s, %s", text.Plural(m.OK, "trial"), text.Plural(len(m.Cells), "cell"))
	if m.Manifest.Host.Accel == "tcg" {
		line += ", emulated"
	}
	if m.Manifest.SimulatedTrials {
		line += ", on the simulated disk"
	}
	if len(m.Safety.Rows) > 0 {
		line += fmt.Sprintf("; %s crash points judged on a simulated disk", text.Count(m.Safety.Points))
	}
	if some := m.awaited(); some != "" {
		line += "; " + some + ", the run is not done"
	}
	return line
}

// plannedVerdicts returns how many safety verdicts the run is to have: of the measured cells whose workload the probe can do.
func plannedVerdicts(m *Model) int {
	n := 0
	for _, c := range m.Manifest.Cells {
		if c.Excluded == "" && c.Unprobed == "" && c.Settings != nil {
			n += len(m.Manifest.SafetyClasses) * len(m.Manifest.DriveCaches)
		}
	}
	return n
}

// awaited returns how much of the crash campaigns is there, in a run that is to have more; "" where all is.
func (m *Model) awaited() string {
	if len(m.Safety.Rows) >= m.planned {
		return ""
	}
	return fmt.Sprintf("%d of %d safety verdicts are in", len(m.Safety.Rows), m.planned)
}

// safeAnswers names the fastest cell of each workload that is SAFE under every class and drive cache that was asked for. A cell
// to which nothing was promised is never the answer.
func safeAnswers(m *Model, groups []workload, asked []cell.Question) []string {
	isSafe := func(c Cell) bool { return m.safe(c, asked) }
	rivals := make([]workload, len(groups))
	for i, g := range groups {
		rivals[i] = workload{g.name, slices.DeleteFunc(slices.Clone(g.cells), func(c Cell) bool { return !isSafe(c) })}
	}
	if len(groups) > maxAnswers {
		lines := tally("Fastest SAFE", rivals, groups, m.standard)
		none := map[string][]string{}
		var reasons []string
		for i, g := range groups {
			if len(rivals[i].cells) > 0 {
				continue
			}
			why := m.whyNone(g, asked)
			if none[why] == nil {
				reasons = append(reasons, why)
			}
			none[why] = append(none[why], g.name)
		}
		for _, why := range reasons {
			lines = append(lines, fmt.Sprintf("No SAFE answer at %s: %s.", strings.Join(none[why], "; "), why))
		}
		return lines
	}
	var lines []string
	places := newStandings(rivals)
	for i, g := range groups {
		best, ok := rivals[i].fastest()
		if !ok {
			lines = append(lines, "No SAFE answer"+g.at()+": "+m.whyNone(g, asked)+".")
			continue
		}
		lines = append(lines, "Fastest SAFE"+g.at()+": "+rivals[i].describeBest(best, places)+m.standard.against(g, best, isSafe).String()+".")
	}
	return lines
}

// ClassAnswer is what is SAFE under some of the questions.
type ClassAnswer struct {
	Name      string // "everything asked for", or the question
	Questions []cell.Question
	Lines     []string
}

// classAnswers answer for all the questions together and, where there are several, for each alone.
func classAnswers(m *Model) []ClassAnswer {
	if len(m.Safety.Rows) == 0 {
		return nil
	}
	groups, asked := workloads(m.Cells), m.asked()
	all := []ClassAnswer{{Name: "everything that was asked", Questions: asked}}
	names := []string{}
	for _, q := range asked {
		i := slices.Index(names, q.String())
		if i < 0 {
			i = len(names)
			names, all = append(names, q.String()), append(all, ClassAnswer{Name: q.String()})
		}
		all[i+1].Questions = append(all[i+1].Questions, q)
	}
	if len(names) == 1 {
		all = all[1:]
	}
	for i := range all {
		if len(groups) > 0 {
			all[i].Lines = safeAnswers(m, groups, all[i].Questions)
		}
	}
	return all
}

// asked returns the questions of the matrix; those of a run that does not say are the ones that any cell answers.
func (m *Model) asked() []cell.Question {
	var all []cell.Question
	for _, class := range m.Manifest.SafetyClasses {
		for _, drive := range m.Manifest.DriveCaches {
			all = append(all, cell.Question{Class: class, DriveCache: drive})
		}
	}
	if len(all) == 0 {
		return m.Safety.Questions
	}
	return all
}

// safe reports whether the cell is SAFE under all the questions, each of which it must have answered.
func (m *Model) safe(c Cell, asked []cell.Question) bool {
	return len(asked) > 0 && !slices.ContainsFunc(asked, func(q cell.Question) bool {
		r := m.Safety.row(c.ID, q)
		return r == nil || r.Status != results.OK || r.Verdict != results.Safe
	})
}

// whyNone returns a text on why no cell of a workload is SAFE under all the questions, and under which classes some are.
func (m *Model) whyNone(g workload, asked []cell.Question) string {
	counts := map[string]int{} // by the worst that is said of a cell
	for _, c := range g.cells {
		counts[m.worst(c, asked)]++
	}
	if counts[results.NoPromise] == len(g.cells) {
		return "nothing is promised, so only the exposure below says what a crash takes"
	}
	var parts []string
	for _, w := range []struct{ verdict, text string }{
		{results.Loses, "lose promises"}, {results.Invalid, "are not validly judged"}, {"", "are not judged under everything"},
		{results.NoPromise, "promise nothing"},
	} {
		if n := counts[w.verdict]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d of %d cells %s", n, len(g.cells), w.text))
		}
	}
	text := strings.Join(parts, ", ")
	var partly []string
	for _, q := range asked {
		if slices.ContainsFunc(g.cells, func(c Cell) bool { return m.safe(c, []cell.Question{q}) }) {
			partly = append(partly, q.String())
		}
	}
	if partly = slices.Compact(partly); len(partly) > 0 {
		text += " (some are SAFE under " + strings.Join(partly, ", ") + ")"
	}
	return text
}

// worst returns the verdict that keeps a cell from being SAFE: LOSES, INVALID, "" for one that is missing, NO_PROMISE, SAFE.
func (m *Model) worst(c Cell, asked []cell.Question) string {
	have := map[string]bool{}
	for _, q := range asked {
		r := m.Safety.row(c.ID, q)
		if r == nil || r.Status != results.OK {
			have[""] = true
			continue
		}
		have[r.Verdict] = true
	}
	for _, v := range []string{results.Loses, results.Invalid, "", results.NoPromise} {
		if have[v] {
			return v
		}
	}
	return results.Safe
}

// tally counts for how many workloads each of the disk's settings is the fastest of some of their cells, the most frequent first, names
// them, and says how much faster it is there than the standard.
func tally(what string, groups, whole []workload, present standard) []string {
	var settings []string
	wins := map[string][]string{}
	against := map[string][]float64{} // where there are blocks enough for an interval
	for i, g := range groups {
		best, ok := g.fastest()
		if !ok {
			continue
		}
		text := best.settings()
		if other, ok := present.cell(whole[i], best); ok && other.ID != best.ID {
			if r := pairedRates(other, best); r.Bounded() {
				against[text] = append(against[text], r.Estimate)
			}
		}
		if wins[text] == nil {
			settings = append(settings, text)
		}
		wins[text] = append(wins[text], g.name)
	}
	slices.SortStableFunc(settings, func(a, b string) int { return len(wins[b]) - len(wins[a]) })
	var lines []string
	for _, text := range settings {
		line := fmt.Sprintf("%s in %d of %d workloads: %s (%s)", what, len(wins[text]), len(groups), text, named(wins[text]))
		if ratios := against[text]; len(ratios) > 0 {
			least, most := fmt.Sprintf("×%.3g", slices.Min(ratios)), fmt.Sprintf("×%.3g", slices.Max(ratios))
			if least != most {
				least += " to " + most
			}
			line += "; " + least + " of " + present.name
		}
		lines = append(lines, line+".")
	}
	if few := countStandings(groups).tooFew(); few != "" {
		lines = append(lines, upperFirst(few)+".")
	}
	return lines
}

// maxNamed is how many workloads a line names.
const maxNamed = 6

func named(workloads []string) string { return firstOf(workloads, maxNamed, "; ") }

// firstOf joins the first so many of some names, and says how many more there are.
func firstOf(names []string, most int, separator string) string {
	if more := len(names) - most; more > 0 {
		return strings.Join(names[:most], separator) + fmt.Sprintf("%sand %d more", separator, more)
	}
	return strings.Join(names, separator)
}

// workload is the cells that do the same work: they differ in disk.* and storage.* alone.
type workload struct {
	name  string // its axis values, "fsync=1"; empty when no axis but the disk's varies
	cells []Cell
}

func workloads(cells []Cell) []workload {
	var groups []workload
	for _, c := range cells {
		if c.IOPS == nil {
			continue
		}
		var axes cell.Settings
		for _, a := range c.Axes {
			if !ofDisk(a.Name) {
				axes = append(axes, a)
			}
		}
		name := labelOf(axes)
		i := slices.IndexFunc(groups, func(g workload) bool { return g.name == name })
		if i < 0 {
			i = len(groups)
			groups = append(groups, workload{name: name})
		}
		groups[i].cells = append(groups[i].cells, c)
	}
	return groups
}

func ofDisk(axis string) bool {
	return strings.HasPrefix(axis, "disk.") || strings.HasPrefix(axis, "storage.") || axis == cell.SideAxis
}

// at returns " at fsync=1", or nothing.
func (w workload) at() string {
	if w.name == "" {
		return ""
	}
	return " at " + w.name
}

// fastest returns the workload's cell with the highest median; false when it has no cells.
func (w workload) fastest() (Cell, bool) {
	if len(w.cells) == 0 {
		return Cell{}, false
	}
	best := w.cells[0]
	for _, c := range w.cells {
		if c.IOPS.Median > best.IOPS.Median {
			best = c
		}
	}
	return best, true
}

// settings returns the values of the cell's axes that are the disk's: "cache=none, io=native".
func (c Cell) settings() string {
	var axes cell.Settings
	for _, a := range c.Axes {
		if ofDisk(a.Name) {
			axes = append(axes, a)
		}
	}
	return labelOf(axes)
}

func number(c Cell) string { return text.Number(c.IOPS.Median) + " IOPS" }

// describeBest names a cell and says how many others of the workload are not set apart from it.
func (w workload) describeBest(best Cell, places standings) string {
	var near []string
	for _, c := range w.cells {
		if places.of[c.ID].near() {
			near = append(near, c.settings())
		}
	}
	text := strings.TrimPrefix(best.settings()+" with "+number(best), " with ")
	switch {
	case len(near) == 0:
	case places.tooFew() != "":
		text += fmt.Sprintf(" (%s)", places.tooFew())
	default:
		text += ", not clearly apart from " + firstOf(near, 3, ", ")
	}
	return text
}

// pairedRates compares b's IOPS with a's within the blocks that have both.
func pairedRates(a, b Cell) compare.Ratio {
	var x, y []float64
	for _, r := range a.Rates {
		if i := slices.IndexFunc(b.Rates, func(o Rate) bool { return o.Block == r.Block }); i >= 0 {
			x, y = append(x, r.IOPS), append(y, b.Rates[i].IOPS)
		}
	}
	return compare.Paired(x, y)
}

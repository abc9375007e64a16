package reports

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"platter/cell"
	"platter/compare"
	"platter/results"
	"platter/text"
)

// defaultCache is what QEMU does with a disk for which libvirt's XML names no cache mode (QEMU's manual, cache.writeback=on).
const defaultCache = "writeback"

// standard is the settings that the best of a workload is compared with.
type standard struct {
	values map[string]string // by axis
	name   string            // "cache=writeback, QEMU's default"
	is     string            // what is said of a best that is it
}

// theDefault returns the setting before a change, where the run measured both sides of one, else the default cache mode.
func theDefault(axes []string) standard {
	if slices.Contains(axes, cell.SideAxis) {
		return standard{map[string]string{cell.SideAxis: cell.SideBefore}, "before, the present setting", "it is the present setting"}
	}
	return standard{map[string]string{"disk.cache": defaultCache}, "cache=" + defaultCache + ", QEMU's default", "it is QEMU's default"}
}

// Present compares the best settings with those that are in force, and not with a default. Each setting is
// AXIS=VALUE, of an axis of the disk (disk.*, storage.*) and a value that the run has; others are an error. None changes nothing.
func (m *Model) Present(settings ...string) error {
	if len(settings) == 0 {
		return nil
	}
	present := standard{map[string]string{}, "the present setting", "it is the present setting"}
	var axes cell.Settings
	var mine []string
	for _, a := range m.Manifest.Axes {
		if ofDisk(a) {
			mine = append(mine, a)
		}
	}
	for _, s := range settings {
		name, value, _ := strings.Cut(s, "=")
		if i := slices.IndexFunc(mine, func(a string) bool { return short(a) == name }); i >= 0 {
			name = mine[i] // as tables have it
		}
		at := slices.Index(m.Manifest.Axes, name)
		if !slices.Contains(mine, name) {
			return fmt.Errorf("%s is no setting of a disk that this run varies: those are %s", s, orAbsent(len(mine) > 0, strings.Join(mine, ", ")))
		}
		var have []string
		for _, c := range m.Cells {
			if text := c.Axes[at].Value.String(); !slices.Contains(have, text) {
				have = append(have, text)
			}
		}
		if !slices.Contains(have, value) {
			return fmt.Errorf("%s was not measured: %s is one of %s", s, name, strings.Join(have, ", "))
		}
		if _, twice := present.values[name]; twice {
			return fmt.Errorf("%s is said twice", name)
		}
		present.values[name] = value
		axes = append(axes, cell.Setting{Name: name, Value: cell.Value{V: value}})
	}
	present.name = labelOf(axes) + ", " + present.name
	m.answerAgainst(present)
	return nil
}

// answerAgainst writes the answers, which compare the best settings with a standard.
func (m *Model) answerAgainst(s standard) {
	m.standard = s
	m.Answer = answer(m)
	m.Answers = classAnswers(m)
}

// cell returns the workload's cell that differs from another one in having the standard's values alone; it may be the same.
func (s standard) cell(w workload, other Cell) (Cell, bool) {
	i := slices.IndexFunc(w.cells, func(c Cell) bool {
		found := 0
		alike := slices.EqualFunc(c.Axes, other.Axes, func(a, b cell.Setting) bool {
			if value, mine := s.values[a.Name]; mine {
				found++
				return a.Value.String() == value
			}
			return a.Value.String() == b.Value.String()
		})
		return alike && found == len(s.values)
	})
	if i < 0 {
		return Cell{}, false
	}
	return w.cells[i], true
}

// advantage is how fast a workload's best cell is beside the standard.
type advantage struct {
	over  standard
	isIt  bool          // the best is the standard
	ratio compare.Ratio // of the best to the standard; where the best is the standard, of the side after the change to it
	safe  bool          // whether the other cell of the ratio is SAFE
}

// against compares a cell with the one that differs from it in the standard alone; nil where the workload has no such cell.
func (s standard) against(w workload, best Cell, safe func(Cell) bool) *advantage {
	other, ok := s.cell(w, best)
	switch {
	case !ok:
		return nil
	case other.ID != best.ID:
		return &advantage{over: s, ratio: pairedRates(other, best), safe: safe(other)}
	}
	a := &advantage{over: s, isIt: true, ratio: compare.Ratio{Estimate: math.NaN()}}
	if s.values[cell.SideAxis] == cell.SideBefore {
		if after, ok := (standard{values: map[string]string{cell.SideAxis: cell.SideAfter}}).cell(w, best); ok {
			a.ratio, a.safe = pairedRates(best, after), safe(after)
		}
	}
	return a
}

// String returns the end of a sentence about the best cell: "; ×1.5 of cache=writeback, QEMU's default, …"; "" where there is nothing to
// say.
func (a *advantage) String() string {
	if a == nil {
		return ""
	}
	if !a.isIt {
		times := timesText(a.ratio, a.over.name)
		switch {
		case times == "":
			return ""
		case !a.safe:
			return "; " + times + ", which is not SAFE"
		}
		return "; " + times
	}
	times := timesText(a.ratio, "it")
	switch {
	case times == "":
		return "; " + a.over.is
	case !a.safe:
		return "; " + a.over.is + ", and after, which is not SAFE, is " + times
	}
	return "; " + a.over.is + ", and after is " + times
}

// note returns the ratio alone, "×1.49 [1.48 – 1.51]"; "" where the best is the standard, and where there is no interval.
func (a *advantage) note() string {
	if a == nil || a.isIt || math.IsNaN(a.ratio.Estimate) || !a.ratio.Bounded() {
		return ""
	}
	return fmt.Sprintf("×%.3g [%.3g – %.3g]", a.ratio.Estimate, a.ratio.Lo, a.ratio.Hi)
}

// timesText returns "×1.5 of what, block by block [1.4 – 1.6]"; "" where there is nothing to compare.
func timesText(r compare.Ratio, what string) string {
	line := fmt.Sprintf("×%.3g of %s, block by block", r.Estimate, what)
	switch {
	case math.IsNaN(r.Estimate):
		return ""
	case !r.Bounded():
		return line + fmt.Sprintf(" (%s, too few for an interval)", text.Plural(r.N, "block"))
	}
	return line + fmt.Sprintf(" [%.3g – %.3g]", r.Lo, r.Hi)
}

// sides say what the two sides of a change set where they differ, by their names; nil for a run that has none or in which they do not
// differ.
func sides(m results.Manifest) map[string]string {
	i := slices.IndexFunc(m.Cells, func(c cell.Cell) bool { return c.Side() == cell.SideBefore })
	if i < 0 {
		return nil
	}
	before := m.Cells[i]
	work := before.Axes.Without(cell.SideAxis).String()
	j := slices.IndexFunc(m.Cells, func(c cell.Cell) bool {
		return c.Side() == cell.SideAfter && c.Axes.Without(cell.SideAxis).String() == work
	})
	if j < 0 {
		return nil
	}
	all := cell.Differences(before, m.Cells[j])
	if len(all) == 0 {
		return nil
	}
	sideText := func(value func(cell.Difference) string) string {
		var parts []string
		for _, d := range all {
			name, ofDisk := strings.CutPrefix(d.Name, "disk.")
			switch text := value(d); {
			case text != "":
				parts = append(parts, name+"="+text)
			case ofDisk:
				parts = append(parts, name+" not set")
			}
		}
		return cmp.Or(strings.Join(parts, ", "), "as the rest of the matrix says")
	}
	return map[string]string{
		cell.SideBefore: sideText(func(d cell.Difference) string { return d.Before }),
		cell.SideAfter:  sideText(func(d cell.Difference) string { return d.After }),
	}
}

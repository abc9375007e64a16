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

// standard is the settings that a workload's best is held against.
type standard struct {
	values map[string]string // by axis
	name   string            // "cache=writeback, QEMU's default"
	is     string            // what is said of a best that is it
}

// theDefault is the setting before a change, where the run measured both sides of one, else the default cache mode.
func theDefault(axes []string) standard {
	if slices.Contains(axes, cell.SideAxis) {
		return standard{map[string]string{cell.SideAxis: cell.SideBefore}, "before, the present setting", "it is the present setting"}
	}
	return standard{map[string]string{"disk.cache": defaultCache}, "cache=" + defaultCache + ", QEMU's default", "it is QEMU's default"}
}

// Present has the model hold the best settings against those that are in force, and not against a default. Each setting is
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
	m.hold(present)
	return nil
}

// hold makes the answers against a standard.
func (m *Model) hold(s standard) {
	m.standard = s
	m.Answer = answer(m)
	m.Answers = classAnswers(m)
}

// cell is the workload's cell that differs from another one in having the standard's values alone; it may be the same.
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

// against says by how much a cell is faster than the one that differs from it in the standard alone: "" where the workload has no such
// cell.
func (s standard) against(w workload, best Cell, safe func(Cell) bool) string {
	other, ok := s.cell(w, best)
	if !ok {
		return ""
	}
	if other.ID == best.ID {
		return "; " + s.is + s.change(w, best, safe)
	}
	times := timesText(pairedRates(other, best), s.name)
	if times == "" {
		return ""
	}
	text := "; " + times
	if !safe(other) {
		text += ", which is not SAFE"
	}
	return text
}

// change says what becomes of the present setting's speed with the change; "" for a run that measured none.
func (s standard) change(w workload, present Cell, safe func(Cell) bool) string {
	if s.values[cell.SideAxis] != cell.SideBefore {
		return ""
	}
	after, ok := standard{values: map[string]string{cell.SideAxis: cell.SideAfter}}.cell(w, present)
	if !ok {
		return ""
	}
	times := timesText(pairedRates(present, after), "it")
	switch {
	case times == "":
		return ""
	case !safe(after):
		return ", and after, which is not SAFE, is " + times
	}
	return ", and after is " + times
}

// timesText is "×1.5 of what [1.4 – 1.6]"; "" where there is nothing to compare.
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

package matrices

import (
	"slices"
	"strings"

	"platter/cell"
)

// ExcludedByMatrix is the reason of cells that the file's own exclude section takes out.
const ExcludedByMatrix = "excluded by the matrix"

// Cells are all combinations of the axis values, in the order of the matrix: the first axis changes slowest. Cells that
// mean nothing or that libvirt refuses are among them and carry the reason in Excluded.
func (m *Matrix) Cells() []cell.Cell {
	return m.cells(newVocabulary(m.fio))
}

func (m *Matrix) cells(v vocabulary) []cell.Cell {
	chosen := []cell.Settings{nil}
	for _, axis := range m.Axes {
		chosen = combine(chosen, axis)
	}
	cells := make([]cell.Cell, len(chosen))
	for i, axes := range chosen {
		cells[i] = m.cell(v, axes)
		cells[i].Excluded = m.exclusion(cells[i], v.rules)
		cells[i].Unprobed = unprobed(cells[i])
	}
	return cells
}

// combine follows each combination so far with each value of one more axis.
func combine(sofar []cell.Settings, axis Axis) []cell.Settings {
	longer := make([]cell.Settings, 0, len(sofar)*len(axis.Values))
	for _, settings := range sofar {
		for _, v := range axis.Values {
			longer = append(longer, append(slices.Clip(settings), cell.Setting{Name: axis.Name, Value: v}))
		}
	}
	return longer
}

// cell works out what follows from a combination of axis values.
func (m *Matrix) cell(v vocabulary, axes cell.Settings) cell.Cell {
	c := cell.Cell{ID: cell.ID(axes), Axes: axes, Settings: slices.Clone(m.Fixed)}
	set := func(s cell.Setting) { c.Settings.Set(s.Name, v.normal(s.Name, s.Value)) }
	for _, s := range m.Fio {
		set(cell.Setting{Name: "fio." + s.Name, Value: s.Value})
	}
	for i, axis := range m.Axes {
		for _, s := range axis.settings(axes[i].Value) {
			set(s)
		}
	}
	return c
}

// exclusion is why a cell is not measured; the file's own word comes first.
func (m *Matrix) exclusion(c cell.Cell, all []rule) string {
	for _, pattern := range m.Exclude {
		of := func(want cell.Setting) bool {
			v, ok := c.Axes.Get(want.Name)
			return ok && v.Equal(want.Value)
		}
		if !slices.ContainsFunc(pattern, func(want cell.Setting) bool { return !of(want) }) {
			return ExcludedByMatrix
		}
	}
	for _, r := range all {
		if r.cell != nil && r.effect == exclude && r.cell(c) {
			return r.reason
		}
	}
	return ""
}

// extent is how large the file of a workload on a file system becomes: what is appended comes on top.
func extent(c cell.Cell) float64 {
	if c.Appends() {
		return c.Reach() + float64(size(c, "size"))
	}
	return c.Reach()
}

// size is a fio option as a whole number with fio's units; 0 when it is not set.
func size(c cell.Cell, option string) int64 {
	n, err := cell.ParseFioSize(c.Settings.Text("fio." + option))
	if err != nil {
		return 0
	}
	return n
}

// unaligned reports whether a block size is not a multiple of 512 bytes.
func unaligned(c cell.Cell) bool {
	return slices.ContainsFunc(strings.Split(c.Settings.Text("fio.bs"), ","), func(part string) bool {
		n, err := cell.ParseFioSize(part)
		return err == nil && n%512 != 0
	})
}

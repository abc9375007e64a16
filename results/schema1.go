package results

import (
	"fmt"

	"platter/cell"
	"platter/matrices"
)

// resolve gives the cells of a manifest of schema 1, which has their axis values alone, the settings that follow from the matrix.
// It says why it cannot where this version reads the matrix otherwise, or not at all; the cells are then as the manifest has them.
func (m *Manifest) resolve() (why string) {
	_, cells, err := matrices.ParseCells(m.MatrixFile, []byte(m.Matrix))
	if err != nil {
		return fmt.Sprintf("its manifest is of schema 1, and this version cannot read its matrix (%v): what follows from it is left out", err)
	}
	known := map[string]cell.Cell{}
	for _, c := range cells {
		known[c.ID] = c
	}
	resolved := make([]cell.Cell, len(m.Cells))
	for i, c := range m.Cells {
		r, ok := known[c.ID]
		if !ok {
			return fmt.Sprintf("its manifest is of schema 1, and this version finds no cell %s in its matrix: what follows from it is left out",
				c.ID)
		}
		r.Excluded = c.Excluded // what that version could not measure was not measured
		resolved[i] = r
	}
	m.Cells = resolved
	return ""
}

// Package cell defines what a cell is and what it means: its settings, resolved once when the matrix is read, the questions that a
// crash campaign asks of it, and the words of failure classes and drive caches.
//
// Package matrices makes cells of a matrix file, the manifest of a run keeps them, and everything else reads them. A cell's settings
// have full names: "host." for the hypervisor, "disk." for libvirt's driver attributes, the bus and the emulator, "guest." for what the
// guest does to the disk, "storage." for the image, "device." for the simulated disk, "fio." for fio's options in fio's spelling. The
// methods of Cell say what settings mean, with the defaults of libvirt and fio; nobody else reads a setting's text.
package cell

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Cell is one combination of axis values with everything that follows from it.
type Cell struct {
	ID   string   `json:"id"`   // made of its axis values: "disk.cache=none,fio.fsync=1"; safe as a file name
	Axes Settings `json:"axes"` // this cell's axis values, in the order of the matrix
	// Settings is everything that the cell sets, by full names: what the matrix sets for all its cells, with the defaults of
	// guest and storage, and this cell's axes laid over it. Sizes are in bytes, variants are spelled out.
	Settings Settings `json:"settings,omitempty"`
	Excluded string   `json:"excluded,omitempty"` // why the cell is not measured; empty when it is
	// Unprobed is why the probe of a crash campaign cannot do the cell's workload; empty when it can. Such a cell is measured
	// for speed all the same.
	Unprobed string `json:"unprobed,omitempty"`
}

// maxIDBytes leaves room for a suffix within the 255 bytes that a file name may have.
const maxIDBytes = 200

// ID returns the id of a cell with these axis values: "disk.cache=none,fio.fsync=1". Long ids are cut and end in "~" and the first 16 hex
// digits of the SHA-256 of the whole; no other id has a "~", for it is escaped in values.
func ID(axes Settings) string {
	parts := make([]string, len(axes))
	for i, s := range axes {
		parts[i] = s.Name + "=" + escapeID(s.Value.String())
	}
	id := strings.Join(parts, ",")
	if len(id) <= maxIDBytes {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	suffix := "~" + hex.EncodeToString(sum[:8])
	return id[:maxIDBytes-len(suffix)] + suffix
}

// escapeID writes all bytes but letters, digits and ._+- as %XX.
func escapeID(text string) string {
	var b strings.Builder
	for i := range len(text) {
		c := text[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("._+-", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// Axes of a matrix that measures both sides of a change, interleaved.
const (
	SideAxis   = "variant.side"
	SideBefore = "before"
	SideAfter  = "after"
)

// Side returns the cell's side of a change, SideBefore or SideAfter; "" in a run that measures no change.
func (c Cell) Side() string { return c.Axes.Text(SideAxis) }

// Difference is a setting that two cells do not have alike.
type Difference struct {
	Name          string // its full name
	Before, After string // its values as text; empty where the cell does not set it
}

// Differences returns the settings in which two cells differ, in the order of their names.
func Differences(before, after Cell) []Difference {
	var all []Difference
	names := map[string]bool{}
	for _, s := range slices.Concat(before.Settings, after.Settings) {
		if d := (Difference{s.Name, before.Settings.Text(s.Name), after.Settings.Text(s.Name)}); !names[s.Name] && d.Before != d.After {
			all = append(all, d)
		}
		names[s.Name] = true
	}
	slices.SortFunc(all, func(a, b Difference) int { return strings.Compare(a.Name, b.Name) })
	return all
}

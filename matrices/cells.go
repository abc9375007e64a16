package matrices

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ExcludedByMatrix is the reason of cells that the file's own exclude section takes out.
const ExcludedByMatrix = "excluded by the matrix"

// Cells are all combinations of the axis values, in the order of the matrix: the first axis changes slowest. Cells that
// mean nothing or that libvirt refuses are among them and carry the reason in Excluded.
func (m *Matrix) Cells() []Cell {
	return m.cells(rules(fioOptions()))
}

func (m *Matrix) cells(all []rule) []Cell {
	chosen := [][]Setting{nil}
	for _, axis := range m.Axes {
		chosen = combine(chosen, axis)
	}
	cells := make([]Cell, len(chosen))
	for i, axes := range chosen {
		cells[i] = m.cell(axes)
		cells[i].Excluded = m.exclusion(cells[i], all)
	}
	return cells
}

// combine follows each combination so far with each value of one more axis.
func combine(sofar [][]Setting, axis Axis) [][]Setting {
	longer := make([][]Setting, 0, len(sofar)*len(axis.Values))
	for _, settings := range sofar {
		for _, v := range axis.Values {
			longer = append(longer, append(slices.Clip(settings), Setting{axis.Name, v}))
		}
	}
	return longer
}

// cell works out what follows from a combination of axis values.
func (m *Matrix) cell(axes []Setting) Cell {
	c := Cell{ID: cellID(axes), Axes: axes, Fio: slices.Clone(m.Fio), Storage: m.Storage, Guest: m.Guest, Device: m.Device}
	for i, axis := range m.Axes {
		for _, s := range axis.settings(axes[i].Value) {
			c.set(s)
		}
	}
	for i, s := range c.Fio {
		if text, ok := s.Value.V.(string); ok {
			c.Fio[i].Value.V = fioSpelling(text)
		}
	}
	return c
}

// set lays one setting of an axis over what the cell has from the matrix.
func (c *Cell) set(s Setting) {
	prefix, name, _ := strings.Cut(s.Name, ".")
	switch prefix {
	case "disk":
		c.Disk = append(c.Disk, Setting{name, s.Value})
	case "guest":
		c.Guest.set(name, s.Value)
	case "storage":
		c.Storage.set(name, s.Value)
	case "device":
		c.Device.set(name, s.Value)
	case "fio":
		c.Fio = overlay(c.Fio, Setting{name, s.Value})
	}
}

// overlay replaces a setting in its place, or adds it at the end.
func overlay(settings []Setting, s Setting) []Setting {
	if i := slices.IndexFunc(settings, func(t Setting) bool { return t.Name == s.Name }); i >= 0 {
		settings[i] = s
		return settings
	}
	return append(settings, s)
}

// exclusion is why a cell is not measured; the file's own word comes first.
func (m *Matrix) exclusion(c Cell, all []rule) string {
	for _, pattern := range m.Exclude {
		if c.has(pattern) {
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

// has says whether the cell has all these axis values.
func (c Cell) has(pattern []Setting) bool {
	for _, want := range pattern {
		if !slices.ContainsFunc(c.Axes, func(s Setting) bool { return s.Name == want.Name && s.Value.Equal(want.Value) }) {
			return false
		}
	}
	return true
}

// maxIDBytes leaves room for a suffix within the 255 bytes that a file name may have.
const maxIDBytes = 200

// cellID makes "disk.cache=none,fio.fsync=1" of the axis values. Long ids are cut and end in "~" and the first 16 hex
// digits of the SHA-256 of the whole; no other id has a "~", for it is escaped in values.
func cellID(axes []Setting) string {
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

// Get looks up what the cell sets by its namespaced name, for example "disk.cache" or "fio.bs"; settings of the matrix's
// sections are found like those of axes. Those of "guest." and "storage." are found with their defaults, sizes in bytes.
// False means that the cell does not set it: that libvirt, fio, the simulated disk or (storage.cluster_size) qemu-img chooses.
func (c Cell) Get(full string) (Value, bool) {
	prefix, name, _ := strings.Cut(full, ".")
	switch prefix {
	case "disk":
		return find(c.Disk, name)
	case "guest":
		return c.Guest.get(name)
	case "storage":
		return c.Storage.get(name)
	case "device":
		return c.Device.get(name)
	case "fio":
		return find(c.Fio, name)
	}
	return Value{}, false
}

func find(settings []Setting, name string) (Value, bool) {
	i := slices.IndexFunc(settings, func(s Setting) bool { return s.Name == name })
	if i < 0 {
		return Value{}, false
	}
	return settings[i].Value, true
}

// Runtime is fio's runtime; 0 when the workload ends by size alone. The cell is one of a matrix that Parse has checked,
// as for all the following.
func (c Cell) Runtime() time.Duration { return c.duration("runtime") }

// Ramp is fio's ramp_time, which comes before the runtime and is not measured.
func (c Cell) Ramp() time.Duration { return c.duration("ramp_time") }

// WorkingSet is how many bytes of the scratch disk one job works on: fio's size, or without one the disk from fio's
// offset on. Jobs of one cell share it unless offset_increment sets them apart.
func (c Cell) WorkingSet() int64 {
	if size := c.size("size"); size > 0 {
		return size
	}
	return max(0, c.Storage.SizeBytes-c.size("offset"))
}

// FileBytes is how large the one file must be that the workload runs on, before fio begins: up to where its last job ends.
// 0 without a file system. With fio's file_append=1 fio makes the file longer, and each trial needs it short again.
func (c Cell) FileBytes() int64 {
	if c.Guest.Filesystem == "none" {
		return 0
	}
	return int64(c.reach())
}

// disk is the text of a driver attribute, empty when it is not set.
func (c Cell) disk(name string) string { return c.text("disk." + name) }

// fio is the text of a fio option, empty when it is not set.
func (c Cell) fio(name string) string { return c.text("fio." + name) }

func (c Cell) text(full string) string {
	v, ok := c.Get(full)
	if !ok {
		return ""
	}
	return v.String()
}

func (c Cell) duration(name string) time.Duration {
	d, p := parseFioTime(c.fio(name))
	if p != nil {
		return 0
	}
	return d
}

// size is a fio option as a whole number with fio's units; 0 when it is not set.
func (c Cell) size(name string) int64 {
	n, p := parseFioSize(c.fio(name))
	if p != nil {
		return 0
	}
	return n
}

// reach is where the workload of the last job ends on the disk, in bytes; exact up to 8 PiB. Without a size it is the
// first byte of that job.
func (c Cell) reach() float64 {
	jobs := max(1, c.size("numjobs"))
	return float64(c.size("offset")) + float64(jobs-1)*float64(c.size("offset_increment")) + float64(max(1, c.size("size")))
}

// room is how many bytes of the scratch disk a workload may use: all, or what a file system leaves.
func (c Cell) room() int64 {
	if c.Guest.Filesystem == "none" {
		return c.Storage.SizeBytes
	}
	return max(0, c.Storage.SizeBytes-c.Storage.SizeBytes/10-64<<20)
}

// extent is how large the file of a workload on a file system becomes: what is appended comes on top.
func (c Cell) extent() float64 {
	if c.appends() {
		return c.reach() + float64(c.size("size"))
	}
	return c.reach()
}

// appends says whether the workload writes behind the end of its file.
func (c Cell) appends() bool { return c.fio("file_append") == "1" }

// direction is fio's rw without its suffix; fio's default is read.
func (c Cell) direction() string {
	rw, _, _ := strings.Cut(c.fio("rw"), ":")
	if rw == "" {
		return "read"
	}
	return rw
}

// engine is fio's ioengine; its default on Linux is psync.
func (c Cell) engine() string {
	if engine := c.fio("ioengine"); engine != "" {
		return engine
	}
	return "psync"
}

// unaligned says whether a block size is not a multiple of 512 bytes.
func (c Cell) unaligned() bool {
	return slices.ContainsFunc(strings.Split(c.fio("bs"), ","), func(part string) bool {
		n, p := parseFioSize(part)
		return p == nil && n%512 != 0
	})
}

package claims

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"platter/matrices"
)

// selector picks cells: each of its settings has one of the values.
type selector map[string]any

// picks says whether it picks the cell.
func (s selector) picks(c matrices.Cell) bool {
	for name, want := range s {
		if !slices.Contains(alternatives(want), valueOf(c, name)) {
			return false
		}
	}
	return true
}

// alternatives are one value or several, as text.
func alternatives(want any) []string {
	list, ok := want.([]any)
	if !ok {
		list = []any{want}
	}
	var all []string
	for _, v := range list {
		all = append(all, fmt.Sprint(v))
	}
	return all
}

// defaults are fio's own, for the settings that claims speak of.
var defaults = map[string]string{"fio.direct": "0", "fio.fsync": "0", "fio.fdatasync": "0", "fio.sync": "none", "fio.loops": "1", "fio.rw": "read"}

// valueOf is a setting of a cell as text, or one of the two derived words.
func valueOf(c matrices.Cell, name string) string {
	switch name {
	case "commits":
		return commits(c)
	case "flushes":
		if valueOf(c, "guest.barrier") == "off" || valueOf(c, "guest.write_cache") == "write through" || valueOf(c, "guest.cache_type") == "write through" {
			return "stopped"
		}
		return "passed"
	}
	text := defaults[name]
	if v, ok := c.Get(name); ok {
		text = v.String()
	}
	if name == "fio.sync" { // fio's older spellings
		text = strings.NewReplacer("0", "none", "1", "sync").Replace(text)
	}
	return text
}

// commits says how often the cell's application asks for durability.
func commits(c matrices.Cell) string {
	interval := map[string]bool{valueOf(c, "fio.fsync"): true, valueOf(c, "fio.fdatasync"): true}
	delete(interval, "0")
	switch {
	case valueOf(c, "fio.sync") != "none" || interval["1"]:
		return "each"
	case len(interval) > 0:
		return "sometimes"
	}
	return "never"
}

// but names a cell by all that it sets but for one setting: cells of one name are alike in everything else.
func but(c matrices.Cell, by string) string {
	all := maps.Clone(defaults)
	for _, s := range c.Disk {
		all["disk."+s.Name] = s.Value.String()
	}
	for _, s := range c.Fio {
		all["fio."+s.Name] = valueOf(c, "fio."+s.Name)
	}
	delete(all, by)
	guest, storage, device := c.Guest, c.Storage, c.Device
	switch by { // the settings of claims that are not options of fio or the disk
	case "guest.barrier":
		guest.Barrier = ""
	case "device.dirty_background":
		device.DirtyBackground = 0
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		parts = append(parts, name+"="+all[name])
	}
	return fmt.Sprint(parts, guest, storage, device)
}

// family is cells that are alike but for one setting, by its values.
type family map[string]matrices.Cell

// families are those of the cells, in their order.
func families(cells []matrices.Cell, by string) []family {
	var all []family
	at := map[string]int{}
	for _, c := range cells {
		key := but(c, by)
		i, known := at[key]
		if !known {
			i = len(all)
			at[key] = i
			all = append(all, family{})
		}
		all[i][valueOf(c, by)] = c
	}
	return all
}

// has says whether it has all these values.
func (f family) has(values []string) bool {
	return !slices.ContainsFunc(values, func(v string) bool { _, ok := f[v]; return !ok })
}

// ascending are the values of the family's setting, the smallest first. fio.fsync=0 is never, and the largest.
func (f family) ascending(by string) []string {
	size := func(v string) float64 {
		n, err := strconv.ParseFloat(v, 64)
		if err != nil || by == "fio.fsync" && n == 0 {
			return 1e300
		}
		return n
	}
	return slices.SortedFunc(maps.Keys(f), func(a, b string) int {
		if x, y := size(a), size(b); x != y {
			return map[bool]int{true: -1, false: 1}[x < y]
		}
		return strings.Compare(a, b)
	})
}

// label is what its cells share, in the words of the axes: "fsync=1"; empty when no other axis varies.
func (f family) label() string {
	var shared []matrices.Setting
	for i, v := range slices.Sorted(maps.Keys(f)) {
		axes := f[v].Axes
		if i == 0 {
			shared = slices.Clone(axes)
		}
		shared = slices.DeleteFunc(shared, func(s matrices.Setting) bool {
			return !slices.ContainsFunc(axes, func(t matrices.Setting) bool { return s.Name == t.Name && s.Value.Equal(t.Value) })
		})
	}
	return label(shared)
}

// label writes axis values for people: "cache=none, fsync=1".
func label(axes []matrices.Setting) string {
	var parts []string
	for _, a := range axes {
		_, name, _ := strings.Cut(a.Name, ".")
		parts = append(parts, name+"="+a.Value.String())
	}
	return strings.Join(parts, ", ")
}

package claims

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"platter/cell"
)

// selector picks cells: each of its settings has one of the values.
type selector map[string]any

// picks reports whether it picks the cell.
func (s selector) picks(c cell.Cell) bool {
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
var defaults = map[string]string{"fio.direct": "0", "fio.fsync": "0", "fio.fdatasync": "0", "fio.sync": "none", "fio.loops": "1",
	"fio.rw": "read"}

// valueOf is a setting of a cell as text, or one of the two derived words.
func valueOf(c cell.Cell, name string) string {
	switch name {
	case "commits":
		return c.Commits()
	case "flushes":
		if c.FlushesStopped() {
			return "stopped"
		}
		return "passed"
	case "fio.sync": // with fio's older spellings
		return c.Sync()
	}
	if v, ok := c.Settings.Get(name); ok {
		return v.String()
	}
	return defaults[name]
}

// allBut names a cell by all that it sets but for one setting: cells of one name are alike in everything else.
func allBut(c cell.Cell, by string) string {
	all := maps.Clone(defaults)
	for _, s := range c.Settings {
		all[s.Name] = valueOf(c, s.Name)
	}
	delete(all, by)
	return fmt.Sprint(all) // maps print in the order of their keys
}

// family is cells that are alike but for one setting, by its values.
type family map[string]cell.Cell

// families are those of the cells, in their order.
func families(cells []cell.Cell, by string) []family {
	var all []family
	at := map[string]int{}
	for _, c := range cells {
		key := allBut(c, by)
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

// has reports whether it has all these values.
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
		return cmp.Or(cmp.Compare(size(a), size(b)), strings.Compare(a, b))
	})
}

// label is what its cells share, in the words of the axes: "fsync=1"; empty when no other axis varies.
func (f family) label() string {
	var shared cell.Settings
	for i, v := range slices.Sorted(maps.Keys(f)) {
		axes := f[v].Axes
		if i == 0 {
			shared = slices.Clone(axes)
		}
		shared = slices.DeleteFunc(shared, func(s cell.Setting) bool {
			return !slices.ContainsFunc(axes, func(t cell.Setting) bool { return s.Name == t.Name && s.Value.Equal(t.Value) })
		})
	}
	return label(shared)
}

// label writes axis values for people: "cache=none, fsync=1".
func label(axes cell.Settings) string {
	var parts []string
	for _, a := range axes {
		_, name, _ := strings.Cut(a.Name, ".")
		parts = append(parts, name+"="+a.Value.String())
	}
	return strings.Join(parts, ", ")
}

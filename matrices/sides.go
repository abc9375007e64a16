package matrices

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"platter/cell"
)

// Sides is m's text changed into a matrix that measures each of its cells with the settings before a change and with those after it,
// interleaved in one run: the disk's ("disk.cache" and so on), and the hypervisor where it is what changes. They take the place of m's own
// axes of these; exclusions that name one of them go with them. It fails when a variant of m sets one, or when what comes out is no
// matrix: that error is a *strictyaml.Error.
func Sides(m *Matrix, before, after cell.Settings) (*Matrix, error) {
	var doc yaml.MapSlice
	if err := yaml.UnmarshalWithOptions([]byte(m.Text), &doc, yaml.UseOrderedMap()); err != nil {
		return nil, fmt.Errorf("read matrix %s: %w", m.Name, err)
	}
	ofSides := isDisk
	if _, set := after.Get(cell.HypervisorSetting); set {
		ofSides = func(full string) bool { return isDisk(full) || full == cell.HypervisorSetting }
		doc = slices.DeleteFunc(doc, func(item yaml.MapItem) bool { return item.Key == "host" }) // it has nothing else
	}
	if axis, full, ok := m.variantOf(ofSides); ok {
		return nil, fmt.Errorf("matrix %s: its axis %s sets %s, and so do the sides of the change: take another matrix", m.Name, axis, full)
	}
	for i, item := range doc {
		switch item.Key {
		case "name":
			doc[i].Value = m.Name + "-ab"
		case "axes":
			sides := yaml.MapItem{Key: cell.SideAxis, Value: yaml.MapSlice{{Key: cell.SideBefore, Value: mapped(before)},
				{Key: cell.SideAfter, Value: mapped(after)}}}
			doc[i].Value = append(yaml.MapSlice{sides}, without(item.Value, ofSides)...)
		case "exclude":
			doc[i].Value = withoutPatterns(item.Value, ofSides)
		}
	}
	text, err := yaml.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("write matrix %s: %w", m.Name, err)
	}
	return m.fio.Parse(m.Name+"-ab.yaml", text)
}

// variantOf finds an axis of variants that sets one of some settings.
func (m *Matrix) variantOf(some func(full string) bool) (axis, full string, ok bool) {
	for _, a := range m.Axes {
		for _, settings := range a.Settings {
			for _, s := range settings {
				if some(s.Name) {
					return a.Name, s.Name, true
				}
			}
		}
	}
	return "", "", false
}

func mapped(settings cell.Settings) yaml.MapSlice {
	var s yaml.MapSlice
	for _, x := range settings {
		s = append(s, yaml.MapItem{Key: x.Name, Value: x.Value.V})
	}
	return s
}

// isDisk reports whether a setting is one of those that two domains' disks are compared by.
func isDisk(full string) bool {
	name, is := strings.CutPrefix(full, "disk.")
	return is && slices.Contains(DiskSettings(), name)
}

// without leaves some settings out of a mapping. m was parsed: it is one.
func without(axes any, some func(full string) bool) yaml.MapSlice {
	s, _ := axes.(yaml.MapSlice)
	return slices.DeleteFunc(s, func(item yaml.MapItem) bool { return some(fmt.Sprint(item.Key)) })
}

// withoutPatterns leaves out the exclusions that name one of some settings.
func withoutPatterns(patterns any, some func(full string) bool) []any {
	all, _ := patterns.([]any)
	return slices.DeleteFunc(all, func(p any) bool {
		s, _ := p.(yaml.MapSlice)
		return slices.ContainsFunc(s, func(item yaml.MapItem) bool { return some(fmt.Sprint(item.Key)) })
	})
}

// DiskSettings are the names of the disk's settings that may vary, without the "disk." before them.
func DiskSettings() []string {
	var names []string
	for _, a := range attributes() {
		names = append(names, a.name)
	}
	return names
}

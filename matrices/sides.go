package matrices

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"platter/cell"
)

// Sides is m's text changed into a matrix that measures each of its cells with the disk's settings before a change and with those after
// it ("disk.cache" and so on), interleaved in one run. They take the place of m's own axes of the disk; exclusions that name one of
// these go with them. It fails when a variant of m sets the disk, or when what comes out is no matrix: that error is a *strictyaml.Error.
func Sides(m *Matrix, before, after cell.Settings) (*Matrix, error) {
	var doc yaml.MapSlice
	if err := yaml.UnmarshalWithOptions([]byte(m.Text), &doc, yaml.UseOrderedMap()); err != nil {
		return nil, fmt.Errorf("read matrix %s: %w", m.Name, err)
	}
	if axis, ok := m.diskVariant(); ok {
		return nil, fmt.Errorf("matrix %s: its axis %s sets the disk, and so do the sides of the change: take another matrix", m.Name, axis)
	}
	for i, item := range doc {
		switch item.Key {
		case "name":
			doc[i].Value = m.Name + "-ab"
		case "axes":
			sides := yaml.MapItem{Key: cell.SideAxis, Value: yaml.MapSlice{{Key: cell.SideBefore, Value: mapped(before)},
				{Key: cell.SideAfter, Value: mapped(after)}}}
			doc[i].Value = append(yaml.MapSlice{sides}, withoutDisk(item.Value)...)
		case "exclude":
			doc[i].Value = withoutDiskPatterns(item.Value)
		}
	}
	text, err := yaml.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("write matrix %s: %w", m.Name, err)
	}
	return Parse(m.Name+"-ab.yaml", text)
}

// diskVariant finds an axis of variants that sets the disk.
func (m *Matrix) diskVariant() (name string, ok bool) {
	i := slices.IndexFunc(m.Axes, func(a Axis) bool {
		return strings.HasPrefix(a.Name, "variant.") && slices.ContainsFunc(a.Values, func(v cell.Value) bool {
			return slices.ContainsFunc(a.settings(v), func(s cell.Setting) bool { return strings.HasPrefix(s.Name, "disk.") })
		})
	})
	if i < 0 {
		return "", false
	}
	return m.Axes[i].Name, true
}

func mapped(settings cell.Settings) yaml.MapSlice {
	var s yaml.MapSlice
	for _, x := range settings {
		s = append(s, yaml.MapItem{Key: x.Name, Value: x.Value.V})
	}
	return s
}

func ofDisk(item yaml.MapItem) bool {
	key, ok := item.Key.(string)
	return ok && strings.HasPrefix(key, "disk.")
}

// withoutDisk leaves the disk's axes out of a mapping. m was parsed: it is one.
func withoutDisk(axes any) yaml.MapSlice {
	s, _ := axes.(yaml.MapSlice)
	return slices.DeleteFunc(s, ofDisk)
}

func withoutDiskPatterns(patterns any) []any {
	all, _ := patterns.([]any)
	return slices.DeleteFunc(all, func(p any) bool {
		s, _ := p.(yaml.MapSlice)
		return slices.ContainsFunc(s, ofDisk)
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

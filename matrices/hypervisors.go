package matrices

import (
	"fmt"
	"slices"

	"github.com/goccy/go-yaml"

	"platter/cell"
)

// On is m's text changed into a matrix that measures all of its cells on one hypervisor, or each of them on several, which become its
// first axis: cell.HostHypervisor, or the names of root trees. It fails when m names hypervisors itself, or for a name that no hypervisor
// can have: that error is a *strictyaml.Error.
func On(m *Matrix, names ...string) (*Matrix, error) {
	own := slices.ContainsFunc(m.Axes, func(a Axis) bool { return a.sets(cell.HypervisorSetting) > 0 })
	if _, fixed := m.Fixed.Get(cell.HypervisorSetting); own || fixed {
		return nil, fmt.Errorf("matrix %s says itself on which hypervisors it is measured: take %s out there, or leave --hypervisor out", m.Name,
			cell.HypervisorSetting)
	}
	if slices.Equal(names, []string{cell.HostHypervisor}) {
		return m, nil
	}
	var doc yaml.MapSlice
	if err := yaml.UnmarshalWithOptions([]byte(m.Text), &doc, yaml.UseOrderedMap()); err != nil {
		return nil, fmt.Errorf("read matrix %s: %w", m.Name, err)
	}
	if len(names) == 1 {
		doc = append(doc, yaml.MapItem{Key: "host", Value: yaml.MapSlice{{Key: "hypervisor", Value: names[0]}}})
	}
	for i, item := range doc {
		if axes, ok := item.Value.(yaml.MapSlice); ok && item.Key == "axes" && len(names) > 1 {
			doc[i].Value = append(yaml.MapSlice{{Key: cell.HypervisorSetting, Value: names}}, axes...)
		}
	}
	text, err := yaml.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("write matrix %s: %w", m.Name, err)
	}
	return m.fio.Parse(m.File, text)
}

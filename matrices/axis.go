package matrices

import (
	"regexp"
	"slices"
	"strings"

	"platter/cell"
	"platter/strictyaml"
)

// Axis is one thing that varies: a namespaced name ("disk.cache", "fio.fsync") and its values. The values of an axis
// "variant.NAME" are names, and each stands for some settings of the other namespaces.
type Axis struct {
	Name   string
	Values []cell.Value
	// Settings are what each value of a variant stands for, with full names; nil for every other axis.
	Settings []cell.Settings `json:",omitempty"`
}

// variantPrefix is what the names of axes begin with whose values stand for several settings.
const variantPrefix = "variant"

// settings are what a value of the axis stands for.
func (a Axis) settings(v cell.Value) cell.Settings {
	if a.Settings == nil {
		return cell.Settings{{Name: a.Name, Value: v}}
	}
	return a.Settings[slices.IndexFunc(a.Values, v.Equal)]
}

// sets says for a setting by how many of its values the axis makes it.
func (a Axis) sets(full string) int {
	if a.Settings == nil {
		if a.Name == full {
			return len(a.Values)
		}
		return 0
	}
	n := 0
	for _, settings := range a.Settings {
		if slices.ContainsFunc(settings, func(s cell.Setting) bool { return s.Name == full }) {
			n++
		}
	}
	return n
}

func (r *reader) axes(_ string, n *node) error {
	if n.kind != mapping || len(n.entries) == 0 {
		return r.at(n.pos, problemf("axes should be a mapping of names to lists of values").withHint("for example disk.cache: [none, writeback]"))
	}
	cells := 1
	for _, e := range n.entries {
		axis, err := r.axis(e)
		if err != nil {
			return err
		}
		if err := r.checkOverlap(axis, e); err != nil {
			return err
		}
		r.matrix.Axes = append(r.matrix.Axes, axis)
		if cells *= len(axis.Values); cells > maxCells {
			return r.at(e.pos, problemf("with this axis there are more than %d cells",
				maxCells).withHint("take values or axes out, or write two matrices"))
		}
	}
	return nil
}

// checkOverlap refuses an axis with a setting that an axis before it makes, too.
func (r *reader) checkOverlap(axis Axis, e *entry) error {
	for _, v := range axis.Values {
		for _, s := range axis.settings(v) {
			for _, other := range r.matrix.Axes {
				if other.sets(s.Name) > 0 {
					return r.at(e.pos, problemf("the axes %s and %s both set %s", other.Name, axis.Name, s.Name).withHint("leave it to one of them"))
				}
			}
		}
	}
	return nil
}

func (r *reader) axis(e *entry) (Axis, error) {
	axis := Axis{Name: e.key}
	if prefix, _, _ := strings.Cut(e.key, "."); prefix == variantPrefix {
		return r.variant(e)
	}
	if p := r.checkName(e.key); p != nil {
		return axis, r.at(e.pos, p)
	}
	r.places[e.key] = e.pos
	if e.kind != list {
		return axis, r.at(e.node.pos, problemf("the axis %s has %s and should have a list", e.key,
			e.kind).withHint("write the values in brackets: [a, b]"))
	}
	if len(e.items) == 0 {
		return axis, r.at(e.node.pos, problemf("the axis %s has no values", e.key).withHint("give it one or more, or remove it"))
	}
	for _, item := range e.items {
		if err := r.axisValue(&axis, item); err != nil {
			return axis, err
		}
	}
	return axis, nil
}

func (r *reader) axisValue(axis *Axis, n *node) error {
	if err := r.setting(axis.Name, n); err != nil {
		return err
	}
	if slices.ContainsFunc(axis.Values, n.value.Equal) {
		return r.at(n.pos, problemf("the axis %s has %q twice", axis.Name, n.value).withHint("remove one"))
	}
	r.places[valuePlace(axis.Name, n.value, axis.Name)] = n.pos
	axis.Values = append(axis.Values, n.value)
	return nil
}

// valuePlace is the key of reader.places for a setting that a value of an axis makes.
func valuePlace(axis string, v cell.Value, full string) string {
	return axis + "=" + v.String() + " " + full
}

// variantName is what variants and their values may be called.
var variantName = regexp.MustCompile(variantNamePattern)

const variantNamePattern = `^[a-z0-9][a-z0-9_-]{0,39}$`

// variant reads an axis whose values are names for settings.
func (r *reader) variant(e *entry) (Axis, error) {
	axis := Axis{Name: e.key}
	const example = "for example variant.sync: {buffered: {}, o_direct: {fio.direct: 1}}"
	if _, name, _ := strings.Cut(e.key, "."); !variantName.MatchString(name) {
		return axis, r.at(e.pos, problemf("%q cannot be the name of a variant", e.key).withHint("%s", example))
	}
	if e.kind != mapping {
		return axis, r.at(e.node.pos, problemf("the axis %s has %s and should have a mapping of names to settings", e.key, e.kind).withHint("%s",
			example))
	}
	if len(e.entries) == 0 {
		return axis, r.at(e.node.pos, problemf("the axis %s has no values", e.key).withHint("%s", example))
	}
	r.places[e.key] = e.pos
	for _, value := range e.entries {
		settings, err := r.variantValue(axis, value)
		if err != nil {
			return axis, err
		}
		axis.Values = append(axis.Values, cell.Value{V: value.key})
		axis.Settings = append(axis.Settings, settings)
	}
	return axis, nil
}

func (r *reader) variantValue(axis Axis, e *entry) (cell.Settings, error) {
	if !variantName.MatchString(e.key) {
		return nil, r.at(e.pos, problemf("%q cannot be the name of a value of %s", e.key, axis.Name).
			withHint("write at most 40 lower-case letters, digits, dashes and underscores"))
	}
	if e.kind != mapping {
		return nil, r.at(e.node.pos, problemf("the value %s of %s is %s and should be a mapping of settings", e.key, axis.Name, e.kind).
			withHint("write {} if it sets nothing, or for example {fio.direct: 1}"))
	}
	settings := cell.Settings{}
	for _, s := range e.entries {
		if prefix, _, _ := strings.Cut(s.key, "."); prefix == variantPrefix {
			return nil, r.at(s.pos, problemf("a variant cannot set another variant").withHint("write the settings themselves"))
		}
		if p := r.checkName(s.key); p != nil {
			return nil, r.at(s.pos, p)
		}
		if err := r.setting(s.key, s.node); err != nil {
			return nil, err
		}
		r.places[valuePlace(axis.Name, cell.Value{V: e.key}, s.key)] = s.node.pos
		settings = append(settings, cell.Setting{Name: s.key, Value: s.value})
	}
	for i, other := range axis.Settings {
		if sameSettings(other, settings) {
			return nil, r.at(e.pos, problemf("%s and %s of %s set the same", axis.Values[i], e.key, axis.Name).withHint("remove one"))
		}
	}
	return settings, nil
}

// sameSettings reports whether two lists have the same settings in any order; neither has a name twice.
func sameSettings(a, b cell.Settings) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(s cell.Setting) bool {
		return !slices.ContainsFunc(b, func(t cell.Setting) bool { return s.Name == t.Name && s.Value.Equal(t.Value) })
	})
}

// checkAxisToo refuses a fixed setting that an axis makes in every cell.
func (r *reader) checkAxisToo(full, where string, pos strictyaml.Position) error {
	for _, a := range r.matrix.Axes {
		if a.sets(full) < len(a.Values) {
			continue
		}
		if a.Name == full {
			return r.at(pos, problemf("%s is an axis and stands in %s, too", full, where).withHint("remove it here: the axis gives it its values"))
		}
		return r.at(pos, problemf("every value of %s sets %s, and it stands in %s, too", a.Name, full,
			where).withHint("remove it here, or from one of the values"))
	}
	return nil
}

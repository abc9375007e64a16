package matrices

import (
	"regexp"
	"slices"
	"strings"

	"platter/cell"
	"platter/strictyaml"
)

// namespace is one family of settings: what stands before the dot in an axis name. A new family of axes is one more
// entry in newVocabulary, which is all that reading and checking know of it; what it does to a cell is said in
// Matrix.cell and Cell.Get. (Variants are no family of settings but names for some: axis.go.)
type namespace struct {
	prefix string
	names  []string                                     // every setting it has
	owner  string                                       // whose they are, where that is not plain: " in fio 3.33"
	advice string                                       // where else to look for names
	value  func(name string, value cell.Value) *problem // is this a value of it?
	schema func(name string) schema                     // what its values are, for editors
	normal func(name string, v cell.Value) cell.Value   // a checked value as cells have it; nil keeps it
	other  func(name string) (instead string, is bool)  // another spelling of one of names; may be nil
}

// vocabulary is everything that a matrix may say of a cell: the namespaces and the rules.
type vocabulary struct {
	namespaces []namespace
	rules      []rule
}

func newVocabulary(f *Fio) vocabulary {
	return vocabulary{
		namespaces: []namespace{diskNamespace(), guestNamespace(), storageNamespace(), deviceNamespace(), hostNamespace(),
			fioNamespace(f)},
		rules: rules(f.options),
	}
}

// settingName is what any name of a setting is made of.
var settingName = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// checkName says what is wrong with the name of a setting, written with its namespace: "disk.cache".
func (v vocabulary) checkName(full string) *problem {
	if !settingName.MatchString(full) {
		return v.unknownAxis(full)
	}
	for _, r := range v.rules {
		if r.refusesName(full) {
			return problemf("%s is not allowed: %s", full, r.reason).withHint("%s", r.hint)
		}
	}
	prefix, name, dotted := strings.Cut(full, ".")
	space, ok := v.namespace(prefix)
	if !dotted || !ok {
		return v.unknownAxis(full)
	}
	if slices.Contains(space.names, name) {
		return nil
	}
	if space.other != nil {
		if instead, is := space.other(name); is {
			return problemf("%s is another name of %s.%s", full, prefix, instead).withHint("write %s.%s: one option has one name here", prefix,
				instead)
		}
	}
	return problemf("there is no %s%s", full, space.owner).withHint("%s", strictyaml.DidYouMean(full, space.settings(), space.advice))
}

// checkValue says what is wrong with the value of a setting whose name is known.
func (v vocabulary) checkValue(full string, value cell.Value) *problem {
	for _, r := range v.rules {
		if r.refusesValue(full, value) {
			return problemf("%s cannot be %q: %s", full, value, r.reason).withHint("%s", r.hint)
		}
	}
	prefix, name, _ := strings.Cut(full, ".")
	space, _ := v.namespace(prefix)
	return space.value(name, value)
}

// normal is the value of a setting, which was checked, as cells have it.
func (v vocabulary) normal(full string, value cell.Value) cell.Value {
	prefix, name, _ := strings.Cut(full, ".")
	if space, ok := v.namespace(prefix); ok && space.normal != nil {
		return space.normal(name, value)
	}
	return value
}

func (v vocabulary) namespace(prefix string) (namespace, bool) {
	i := slices.IndexFunc(v.namespaces, func(n namespace) bool { return n.prefix == prefix })
	if i < 0 {
		return namespace{}, false
	}
	return v.namespaces[i], true
}

// unknownAxis names the namespaces, and the setting that may have been meant.
func (v vocabulary) unknownAxis(full string) *problem {
	var prefixes, known []string
	for _, n := range v.namespaces {
		prefixes = append(prefixes, n.prefix+".")
		known = append(known, n.settings()...)
	}
	p := problemf("unknown axis %q: axes begin with %s or %s.", full, strings.Join(prefixes, ", "), variantPrefix)
	if i := slices.IndexFunc(known, func(k string) bool { return strings.HasSuffix(k, "."+full) }); i >= 0 {
		return p.withHint("did you mean %q?", known[i])
	}
	return p.withHint("%s", strictyaml.DidYouMean(full, known, "for example disk.cache or fio.fsync"))
}

// settings are the names with their namespace.
func (n namespace) settings() []string {
	full := make([]string, len(n.names))
	for i, name := range n.names {
		full[i] = n.prefix + "." + name
	}
	return full
}

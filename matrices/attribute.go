package matrices

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"platter/cell"
	"platter/strictyaml"
)

// attribute is one setting of the namespaces host, disk, guest, storage and device. It takes some words, or text of a pattern, or
// whole numbers from min to max, or sizes that are a multiple of some bytes, or times.
type attribute struct {
	name     string
	about    string // what it is, in one line
	values   []string
	pattern  *regexp.Regexp // of text; nil for the others
	example  string         // of such a text, with what it is
	min, max int64
	multiple int64 // of a size, in bytes; 0 for the others
	// shortest and longest bound a time; longest is 0 for the others
	shortest, longest time.Duration
}

// onOff are the words of a switch, as libvirt writes them. YAML's true and false are refused, here as in disk attributes:
// one thing has one spelling.
func onOff() []string { return []string{"on", "off"} }

// attributeNamespace is the family of some attributes.
func attributeNamespace(prefix, plural string, known []attribute) namespace {
	n := namespace{prefix: prefix}
	for _, a := range known {
		n.names = append(n.names, a.name)
	}
	find := func(name string) attribute { return known[slices.Index(n.names, name)] }
	n.advice = "the " + plural + " are " + strings.Join(n.names, ", ")
	n.value = func(name string, value cell.Value) *problem { return find(name).check(prefix, value) }
	n.schema = func(name string) schema { return find(name).schema() }
	n.normal = func(name string, value cell.Value) cell.Value { return find(name).normal(value) }
	return n
}

func (a attribute) check(prefix string, value cell.Value) *problem {
	full := prefix + "." + a.name
	switch {
	case a.values != nil:
		return a.checkWord(full, value)
	case a.pattern != nil:
		if text, is := value.V.(string); !is || !a.pattern.MatchString(text) {
			return problemf("%s cannot be %q", full, value).withHint("write %s", a.example)
		}
		return nil
	case a.multiple > 0:
		_, p := checkBytes(full, value, a.multiple)
		return p
	case a.longest > 0:
		return a.checkTime(full, value)
	}
	return checkWhole(full, value, a.min, a.max)
}

// schema has the same bounds as check. In a JSON schema minimum and multipleOf are about numbers alone, pattern about text.
func (a attribute) schema() schema {
	switch {
	case a.values != nil:
		return schema{"description": a.about, "enum": spellings(a.values)}
	case a.pattern != nil:
		return schema{"description": a.about, "type": "string", "pattern": a.pattern.String()}
	case a.multiple > 0:
		return sizeSchema(a.about, a.multiple)
	case a.longest > 0:
		return schema{"description": a.about, "type": "string", "pattern": deviceTimeText.String()}
	}
	return schema{"description": a.about, "type": []string{"integer", "string"}, "minimum": a.min, "maximum": a.max,
		"pattern": "^[1-9][0-9]*$"}
}

// spellings are words as JSON has them: numbers as text and as themselves.
func spellings(words []string) []any {
	var all []any
	for _, w := range words {
		all = append(all, w)
		if n, ok := number(w).V.(int64); ok {
			all = append(all, n)
		}
	}
	return all
}

func (a attribute) checkTime(full string, value cell.Value) *problem {
	d, p := parseDeviceTime(value.String())
	if p != nil {
		return problemf("%s cannot be %s", full, p.message).withHint("%s", p.hint)
	}
	if d < a.shortest || d > a.longest {
		return problemf("%s cannot be %q", full, value).withHint("write a time from %v to %v", a.shortest, a.longest)
	}
	return nil
}

func (a attribute) checkWord(full string, value cell.Value) *problem {
	if slices.Contains(a.values, value.String()) {
		return nil
	}
	p := problemf("%s cannot be %q", full, value)
	all := "its values are " + strings.Join(a.values, ", ")
	if near, ok := strictyaml.Nearest(value.String(), a.values); ok {
		return p.withHint("did you mean %q? %s", near, all)
	}
	return p.withHint("%s", all)
}

// checkBytes reads a size, a positive multiple of some bytes.
func checkBytes(full string, value cell.Value, multiple int64) (int64, *problem) {
	size, err := cell.ParseSize(value.String())
	if err != nil {
		p := unreadable(err)
		return 0, problemf("%s cannot be %s", full, p.message).withHint("%s", p.hint)
	}
	if size <= 0 || size%multiple != 0 {
		return 0, problemf("%s cannot be %q: it is not a positive multiple of %d bytes", full, value, multiple)
	}
	return size, nil
}

// normal returns a value that check took as cells have it: sizes in bytes, whole numbers as numbers, times as Go writes them.
func (a attribute) normal(value cell.Value) cell.Value {
	switch {
	case a.values != nil || a.pattern != nil:
		return value
	case a.multiple > 0:
		size, _ := cell.ParseSize(value.String())
		return cell.Value{V: size}
	case a.longest > 0:
		d, _ := parseDeviceTime(value.String())
		return cell.Value{V: d.String()}
	}
	n, _ := whole(value)
	return cell.Value{V: n}
}

// checkWhole wants a whole number from low to high.
func checkWhole(full string, value cell.Value, low, high int64) *problem {
	n, ok := whole(value)
	if !ok || n < low || n > high {
		return problemf("%s cannot be %q", full, value).withHint("write a whole number from %d to %d", low, high)
	}
	return nil
}

// whole is a whole number, also one that is written as text.
func whole(value cell.Value) (int64, bool) {
	if text, isText := value.V.(string); isText && plainNumber.MatchString(text) {
		value = number(text)
	}
	n, ok := value.V.(int64)
	return n, ok
}

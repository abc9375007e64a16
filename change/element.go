package change

import (
	"fmt"
	"math/big"
	"slices"
	"strings"

	"platter/libvirtxml"
)

// element is an element of a domain XML as far as it means something: the order of attributes and children, white space around text, and
// comments do not. (The arguments in <qemu:commandline> are the exception: they keep their order.)
type element struct {
	name     string
	attrs    []string // "name='value'", sorted
	chars    string
	children []*element
	written  string // text(), once it was asked for
}

// meaning returns what an element and all that is in it mean.
func meaning(from *libvirtxml.Element) *element {
	e := &element{name: spaced(from.Space, from.Name), chars: from.Text}
	for _, a := range from.Attrs {
		e.attrs = append(e.attrs, fmt.Sprintf("%s=%q", spaced(a.Name.Space, a.Name.Local), a.Value))
	}
	slices.Sort(e.attrs)
	for _, child := range from.Children {
		e.children = append(e.children, meaning(child))
	}
	e.bytes()
	return e
}

// spaced is a name with its namespace, which is not libvirt's own.
func spaced(space, name string) string {
	if space == "" {
		return name
	}
	return space + " " + name
}

// units are libvirt's of memory (formatdomain, "Memory Allocation"); KiB is the default.
var units = map[string]int64{
	"b": 1, "bytes": 1, "KB": 1e3, "k": 1 << 10, "KiB": 1 << 10, "MB": 1e6, "M": 1 << 20, "MiB": 1 << 20,
	"GB": 1e9, "G": 1 << 30, "GiB": 1 << 30, "TB": 1e12, "T": 1 << 40, "TiB": 1 << 40,
}

// bytes writes an amount of memory in bytes, so that 1 GiB is 1048576 KiB.
func (e *element) bytes() {
	if !slices.Contains([]string{"memory", "currentMemory", "maxMemory"}, e.name) || len(e.children) > 0 {
		return
	}
	unit := "KiB"
	i := slices.IndexFunc(e.attrs, func(a string) bool { return strings.HasPrefix(a, "unit=") })
	if i >= 0 {
		unit = strings.Trim(strings.TrimPrefix(e.attrs[i], "unit="), `"`)
	}
	amount, ok := new(big.Int).SetString(e.chars, 10)
	if factor := units[unit]; ok && factor > 0 {
		if i >= 0 {
			e.attrs = slices.Delete(e.attrs, i, i+1)
		}
		e.chars = amount.Mul(amount, big.NewInt(factor)).String()
	}
}

// text is what the element means: equal for elements that mean the same.
func (e *element) text() string {
	if e.written == "" {
		e.written = fmt.Sprintf("<%s %s %q%s>", e.name, strings.Join(e.attrs, " "), e.chars, texts(e.children))
	}
	return e.written
}

// texts are the elements in one order, but for those whose order means something.
func texts(elements []*element) string {
	all := make([]string, len(elements))
	for i, e := range elements {
		all[i] = e.text()
	}
	if !slices.ContainsFunc(elements, func(e *element) bool { return strings.HasSuffix(e.name, " arg") }) {
		slices.Sort(all)
	}
	return strings.Join(all, "")
}

// named are the children of that name; those of nil are none.
func (e *element) named(name string) []*element {
	var all []*element
	if e != nil {
		for _, child := range e.children {
			if child.name == name {
				all = append(all, child)
			}
		}
	}
	return all
}

// only is all that the children of that name hold, as one element.
func (e *element) only(name string) *element {
	all := &element{name: name}
	for _, child := range e.named(name) {
		all.attrs = append(all.attrs, child.attrs...)
		all.children = append(all.children, child.children...)
	}
	return all
}

// below is what stands inside the children of that name, without their own attributes.
func (e *element) below(name string) string { return texts(e.only(name).children) }

// without is what the children of that name mean without some of their attributes.
func (e *element) without(name string, attrs []string) string {
	all := e.only(name)
	all.attrs = slices.DeleteFunc(all.attrs, func(a string) bool {
		n, _, _ := strings.Cut(a, "=")
		return slices.Contains(attrs, n)
	})
	return all.text()
}

// differing names what differs between two elements, sorted: children, attributes as "@name", and their own text as "text".
func (e *element) differing(other *element) []string {
	var names []string
	for _, x := range []*element{e, other} {
		for _, child := range x.children {
			names = append(names, child.name)
		}
	}
	slices.Sort(names)
	names = slices.DeleteFunc(slices.Compact(names), func(name string) bool { return texts(e.named(name)) == texts(other.named(name)) })
	for _, pair := range [][2]*element{{e, other}, {other, e}} {
		for _, a := range pair[0].attrs {
			if name, _, _ := strings.Cut(a, "="); !slices.Contains(pair[1].attrs, a) && !slices.Contains(names, "@"+name) {
				names = append(names, "@"+name)
			}
		}
	}
	if e.chars != other.chars {
		names = append(names, "text")
	}
	slices.Sort(names)
	return names
}

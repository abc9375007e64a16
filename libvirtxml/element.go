package libvirtxml

import (
	"encoding/xml"
	"iter"
)

// Element is an element of a domain XML as it was read, with its place. The methods that look for attributes and children
// find none in a nil *Element, so that a path may be followed without asking at each step.
type Element struct {
	Name     string     // without its prefix
	Space    string     // the URI of its namespace, or the prefix where none declares it; empty for libvirt's own elements
	Attrs    []xml.Attr // in the order of the document, without declarations of namespaces
	Text     string     // its own character data, without white space around it
	Children []*Element // in the order of the document

	document   *document
	start, end int // from "<" to behind its end tag, in document.text
}

// Parse reads a domain XML once and returns its root element and its disks, in the order of the document; name is what doc is called in
// errors. Those are of type *Error: the document is malformed, too large or no domain. Two disks with the same target are both returned.
func Parse(name string, doc []byte) (root *Element, disks []Disk, err error) {
	d, err := read(name, doc)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range d.disks {
		disks = append(disks, d.summary(e))
	}
	return d.root, disks, nil
}

// Attr returns the value of the attribute with that name in no namespace, references resolved; empty where there is none.
func (e *Element) Attr(name string) string {
	if e != nil {
		for _, a := range e.Attrs {
			if a.Name == (xml.Name{Local: name}) {
				return a.Value
			}
		}
	}
	return ""
}

// All returns the children with that name in libvirt's own namespace.
func (e *Element) All(name string) []*Element {
	var all []*Element
	if e != nil {
		for _, child := range e.Children {
			if child.Name == name && child.Space == "" {
				all = append(all, child)
			}
		}
	}
	return all
}

// Child returns the first of All, or nil.
func (e *Element) Child(name string) *Element {
	if all := e.All(name); len(all) > 0 {
		return all[0]
	}
	return nil
}

// TextOf returns the Text of Child; empty where there is no such child.
func (e *Element) TextOf(name string) string {
	if child := e.Child(name); child != nil {
		return child.Text
	}
	return ""
}

// Below returns all elements inside of e, at any depth, in the order of the document.
func (e *Element) Below() iter.Seq[*Element] {
	return func(yield func(*Element) bool) { e.below(yield) }
}

func (e *Element) below(yield func(*Element) bool) bool {
	if e == nil {
		return true
	}
	for _, child := range e.Children {
		if !yield(child) || !child.below(yield) {
			return false
		}
	}
	return true
}

// Position returns the line and the column of the element's "<", both from 1; columns count characters.
func (e *Element) Position() (line, column int) { return e.document.position(e.start) }

// Source returns the element as the document writes it, in UTF-8.
func (e *Element) Source() string { return string(e.document.text[e.start:e.end]) }

// newElement is what a start tag at an offset says of its element.
func newElement(d *document, t xml.StartElement, start int) *Element {
	e := &Element{Name: t.Name.Local, Space: t.Name.Space, document: d, start: start}
	for _, a := range t.Attr {
		if a.Name.Space != "xmlns" && a.Name != (xml.Name{Local: "xmlns"}) {
			e.Attrs = append(e.Attrs, a)
		}
	}
	return e
}

// Package libvirtxml edits the disks of a libvirt domain XML and leaves every other byte alone, and it builds the
// throw-away domain and the scratch disk that a measurement runs on.
//
// An edit does not write the document anew. The document is read once to find where the start tag of the disk's
// <driver> (or <target>) stands, and only the bytes inside that tag change. Comments, unknown elements, quotes, order,
// white space, entities, CDATA, a byte order mark and line ends therefore survive by construction.
package libvirtxml

import (
	"fmt"
	"slices"
)

// Attr is an attribute of a disk's <driver> element in libvirt's spelling, for example cache=none, or "bus", which
// libvirt keeps on <target>.
type Attr struct {
	Name  string
	Value string
}

// String returns the attribute as it is written on a command line: name=value.
func (a Attr) String() string { return a.Name + "=" + a.Value }

// Rewrite returns doc with the attributes in set laid over those of the disk whose <target dev='…'> is disk; name is
// what doc is called in errors. An attribute with an empty value is removed; one that already has the value stays as it
// is written. A new attribute follows the last one and takes over its quotes and the white space before it.
//
// A disk without <driver> gets one before <source>, with name='qemu' under QEMU and KVM and, where libvirt would assume
// the raw format, type='raw'. What only removes attributes adds no element, and never takes one away.
//
// Errors are of type *Error: the document is malformed, too large or no domain, the disk is not there or there twice, an
// attribute or value is unknown, or the result is one that libvirt refuses (see Disk.Refusals). Contradictions that the
// edit does not touch are not complained of.
func Rewrite(name string, doc []byte, disk string, set []Attr) ([]byte, error) {
	if err := checkSet(set); err != nil {
		return nil, &Error{File: name, Problem: err.Error()}
	}
	d, err := read(name, doc)
	if err != nil {
		return nil, err
	}
	found, err := d.find(disk)
	if err != nil {
		return nil, err
	}
	if err := d.checkRefusals(found, set); err != nil {
		return nil, err
	}
	return d.spliced(doc, d.edits(found, set)), nil
}

// checkSet refuses unknown names and values and names that are given twice.
func checkSet(set []Attr) error {
	seen := map[string]bool{}
	for _, a := range set {
		if seen[a.Name] {
			return fmt.Errorf("attribute %s is set twice; set it once", a.Name)
		}
		seen[a.Name] = true
		if err := checkAttr(a); err != nil {
			return err
		}
	}
	return nil
}

// checkRefusals returns an error if libvirt would refuse the disk after the edit, for an attribute that the edit touches.
func (d *document) checkRefusals(found *diskElement, set []Attr) error {
	touched := map[string]bool{}
	for _, a := range set {
		touched[a.Name] = true
	}
	for _, r := range d.summary(found).with(set).Refusals() {
		for _, name := range r.Attrs {
			if touched[name] {
				return d.errorf(found.where(name), "disk %s: %s", found.dev(), r.Reason)
			}
		}
	}
	return nil
}

// edits returns the bytes to change so that the disk has the attributes in set.
func (d *document) edits(found *diskElement, set []Attr) []splice {
	var driver []Attr
	var out []splice
	for _, a := range set {
		if a.Name == busAttr {
			out = append(out, found.target.edits([]Attr{a})...)
		} else {
			driver = append(driver, a)
		}
	}
	if found.driver != nil {
		return append(out, found.driver.edits(driver)...)
	}
	return append(out, d.newDriver(found, driver)...)
}

// newDriver returns the <driver> element that the disk lacks, where libvirt writes it: before <source>, indented alike.
func (d *document) newDriver(found *diskElement, set []Attr) []splice {
	if !slices.ContainsFunc(set, func(a Attr) bool { return a.Value != "" }) {
		return nil
	}
	_, _, quote := found.target.style()
	text := "<driver"
	for _, a := range append(d.driverDefaults(found, set), set...) {
		if a.Value != "" {
			text += " " + a.Name + "=" + quote + a.Value + quote
		}
	}
	at := found.firstChild
	if found.source != nil {
		at = found.source.start
	}
	return []splice{{at: at, insert: text + "/>" + d.indentation(at)}}
}

// driverDefaults returns the attributes that libvirt itself would write into a new <driver>, without those in set.
func (d *document) driverDefaults(found *diskElement, set []Attr) []Attr {
	asked := func(name string) bool {
		return slices.ContainsFunc(set, func(a Attr) bool { return a.Name == name })
	}
	var attrs []Attr
	if d.isQEMU() && !asked("name") {
		attrs = append(attrs, Attr{"name", "qemu"})
	}
	if found.assumedRaw() && !asked("type") {
		attrs = append(attrs, Attr{"type", "raw"})
	}
	return attrs
}

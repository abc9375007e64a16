package lint

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"platter/libvirtxml"
)

// labelNamespace is that of disk labels in a domain's metadata:
//
//	<metadata><platter:disks xmlns:platter="urn:platter:disks"><platter:disk target="vdb" label="ephemeral"/></platter:disks></metadata>
//
// libvirt keeps one element for each namespace, so that all labels stand in one; virsh metadata can set it.
const labelNamespace = "urn:platter:disks"

// place is a position in the XML: line and column from 1, the column in characters.
type place struct{ line, column int }

// domain is what lint reads of a domain XML beside what libvirtxml.Disks gives.
type domain struct {
	kind   string // "kvm", "qemu", "xen", …
	name   string
	place  place
	labels []diskLabel
	disks  []diskParts // those of libvirtxml.Disks, in the same order
	// noConfigWCE says that <qemu:commandline> turns virtio's config-wce off; withoutWCE are the aliases of the disks for
	// which <qemu:override> does.
	noConfigWCE bool
	withoutWCE  []string
}

// diskLabel is a label of the domain's metadata.
type diskLabel struct {
	target, label string
	place         place
}

// diskParts is what lint reads of one disk.
type diskParts struct {
	serial, alias        string
	shareable, transient bool
	target               place // of its <target>, else of the disk
}

// isQEMU says whether QEMU runs the domain: under libvirt's drivers for KVM, plain emulation, and macOS's and NetBSD's
// accelerators.
func (d domain) isQEMU() bool { return slices.Contains([]string{"kvm", "qemu", "hvf", "nvmm"}, d.kind) }

// label is the disk's; empty when it has none.
func (d domain) label(target string) string {
	for _, l := range d.labels {
		if l.target == target {
			return l.label
		}
	}
	return ""
}

// domainReader walks over the tokens of a document that libvirtxml.Disks has accepted.
type domainReader struct {
	domain
	text   []byte
	dec    *xml.Decoder
	path   []xml.Name
	device string // the alias of the <qemu:device> that is open

	at     place // of the byte at offset
	offset int
}

// readDomain reads what libvirtxml.Disks does not give. A document that is not UTF-8 counts one character a byte, as there.
func readDomain(name string, doc []byte) (domain, error) {
	text := doc
	if !utf8.Valid(doc) {
		text = widened(doc)
	}
	r := domainReader{text: text, dec: xml.NewDecoder(bytes.NewReader(text)), at: place{1, 1}}
	r.dec.Strict = false // libvirtxml has read it strictly; here a document's own entities may stay as they are
	r.dec.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	for {
		start := int(r.dec.InputOffset())
		tk, err := r.dec.Token()
		if errors.Is(err, io.EOF) {
			return r.domain, nil
		}
		if err != nil {
			return domain{}, &libvirtxml.Error{File: name, Problem: fmt.Sprintf("read the domain: %v", err)}
		}
		switch tk := tk.(type) {
		case xml.StartElement:
			r.open(tk, start)
			r.path = append(r.path, tk.Name)
		case xml.EndElement:
			r.path = r.path[:max(0, len(r.path)-1)]
		case xml.CharData:
			r.chars(string(tk))
		}
	}
}

// widened turns each byte beyond ASCII into one character.
func widened(doc []byte) []byte {
	var out []byte
	for _, b := range doc {
		if b < utf8.RuneSelf {
			out = append(out, b)
		} else {
			out = utf8.AppendRune(out, utf8.RuneError)
		}
	}
	return out
}

// placeOf is the place of an offset, which must not lie before the one asked for last.
func (r *domainReader) placeOf(offset int) place {
	passed := r.text[r.offset:offset]
	if i := bytes.LastIndexByte(passed, '\n'); i >= 0 {
		r.at = place{r.at.line + bytes.Count(passed, []byte("\n")), 1}
		passed = passed[i+1:]
	}
	r.at.column += utf8.RuneCount(bytes.TrimPrefix(passed, []byte("\ufeff")))
	r.offset = offset
	return r.at
}

// in says whether the open elements are these, in no namespace.
func (r *domainReader) in(names ...string) bool {
	return slices.EqualFunc(r.path, names, func(n xml.Name, name string) bool { return n == xml.Name{Local: name} })
}

func (r *domainReader) open(e xml.StartElement, start int) {
	value := func(name string) string {
		for _, a := range e.Attr {
			if a.Name.Local == name && a.Name.Space == "" {
				return a.Value
			}
		}
		return ""
	}
	switch local := e.Name.Local; {
	case len(r.path) == 0:
		r.kind, r.place = value("type"), r.placeOf(start)
	case e.Name.Space == labelNamespace && local == "disk" && len(r.path) > 1 && r.path[1].Local == "metadata":
		r.labels = append(r.labels, diskLabel{value("target"), value("label"), r.placeOf(start)})
	case e.Name.Space != "":
		r.qemu(local, value)
	case r.in("domain", "devices") && local == "disk":
		r.disks = append(r.disks, diskParts{target: r.placeOf(start)})
	case r.in("domain", "devices", "disk"):
		r.disks[len(r.disks)-1].part(local, value, func() place { return r.placeOf(start) })
	}
}

// qemu takes note of elements of libvirt's QEMU namespace that turn config-wce off.
func (r *domainReader) qemu(local string, value func(string) string) {
	off := func(v string) bool { return v == "off" || v == "false" || v == "no" }
	switch local {
	case "device":
		r.device = value("alias")
	case "property":
		if value("name") == "config-wce" && off(value("value")) {
			r.withoutWCE = append(r.withoutWCE, r.device)
		}
	case "arg":
		_, set, found := strings.Cut(value("value"), "config-wce=")
		r.noConfigWCE = r.noConfigWCE || found && off(set)
	}
}

// part takes note of a child of a disk.
func (d *diskParts) part(local string, value func(string) string, at func() place) {
	switch local {
	case "shareable":
		d.shareable = true
	case "transient":
		d.transient = true
	case "alias":
		d.alias = value("name")
	case "target":
		d.target = at()
	}
}

func (r *domainReader) chars(text string) {
	switch {
	case r.in("domain", "name"):
		r.name += strings.TrimSpace(text)
	case r.in("domain", "devices", "disk", "serial"):
		r.disks[len(r.disks)-1].serial += strings.TrimSpace(text)
	}
}

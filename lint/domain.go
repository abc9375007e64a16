package lint

import (
	"slices"
	"strings"

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

func placeOf(e *libvirtxml.Element) place {
	line, column := e.Position()
	return place{line, column}
}

// domain is what the rules need of a domain XML beside its disks.
type domain struct {
	kind    string // "kvm", "qemu", "xen", …
	name    string
	machine string // the machine type: "pc-q35-10.1"
	place   place
	labels  []diskLabel
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

// isQEMU reports whether QEMU runs the domain: under libvirt's drivers for KVM, plain emulation, and macOS's and NetBSD's
// accelerators.
func (d domain) isQEMU() bool { return slices.Contains([]string{"kvm", "qemu", "hvf", "nvmm"}, d.kind) }

// label returns the label of the disk with that target; empty when it has none.
func (d domain) label(target string) string {
	for _, l := range d.labels {
		if l.target == target {
			return l.label
		}
	}
	return ""
}

// readDomain returns what the root element of a domain XML says of the domain.
func readDomain(root *libvirtxml.Element) domain {
	d := domain{kind: root.Attr("type"), name: root.TextOf("name"), machine: root.Child("os").Child("type").Attr("machine"),
		place: placeOf(root)}
	for _, metadata := range root.All("metadata") {
		for e := range metadata.Below() {
			if e.Space == labelNamespace && e.Name == "disk" {
				d.labels = append(d.labels, diskLabel{e.Attr("target"), e.Attr("label"), placeOf(e)})
			}
		}
	}
	off := func(v string) bool { return v == "off" || v == "false" || v == "no" }
	for e := range root.Below() {
		switch {
		case e.Space == "":
		case e.Name == "arg":
			_, set, found := strings.Cut(e.Attr("value"), "config-wce=")
			d.noConfigWCE = d.noConfigWCE || found && off(set)
		case e.Name == "device":
			for p := range e.Below() {
				if p.Space != "" && p.Name == "property" && p.Attr("name") == "config-wce" && off(p.Attr("value")) {
					d.withoutWCE = append(d.withoutWCE, e.Attr("alias"))
				}
			}
		}
	}
	return d
}

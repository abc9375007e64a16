// Package lint looks at a domain XML and at nothing else: it finds disks that a policy forbids, that libvirt refuses, or that lose what
// the guest was promised.
package lint

import (
	"cmp"
	"slices"

	"platter/libvirtxml"
	"platter/policy"
	"platter/version"
)

// Levels of a finding, in SARIF's words. An error stops a change.
const (
	LevelError   = "error"
	LevelWarning = "warning"
	LevelNote    = "note"
)

// Finding is one fault of a disk or of the domain, with its place in the domain XML.
type Finding struct {
	Rule    string `json:"rule"`  // the ID of one of Rules
	Level   string `json:"level"` // LevelError, LevelWarning or LevelNote
	Message string `json:"message"`
	File    string `json:"file"`
	Line    int    `json:"line"`   // from 1
	Column  int    `json:"column"` // from 1, in characters
	Domain  string `json:"domain"` // its name; empty when the XML gives none
	Disk    string `json:"disk"`   // its target; empty for what is about the domain
}

// Hypervisor is what a domain is taken to run on. The zero value is one of which nothing is known.
type Hypervisor struct {
	QEMU, Libvirt version.Version
	Assumed       bool // nobody named QEMU's version: it is that of the QEMU which is installed here
}

// Check applies a policy and the Rules to the disks of a domain XML that is to run on h. It reads doc and nothing else; name is what doc is
// called in errors and findings. Findings are in the order of the document. The error, a *libvirtxml.Error, is for what is no domain XML:
// malformed, too large, another root element.
func Check(policy *policy.Policy, h Hypervisor, name string, doc []byte) ([]Finding, error) {
	root, disks, err := libvirtxml.Parse(name, doc)
	if err != nil {
		return nil, err
	}
	d := readDomain(root)
	l := linter{policy: policy, hypervisor: h, file: name, domain: d}
	if !d.isQEMU() {
		if len(disks) > 0 {
			l.add(ruleNotJudged, LevelNote, d.place, "", "a domain of type %q is not run by QEMU, which is all that the rules are about", d.kind)
		}
		return l.findings, nil
	}
	for _, disk := range disks {
		l.disk(lintDisk{disk})
	}
	l.duplicates(disks)
	l.labels(disks)
	slices.SortStableFunc(l.findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return l.findings, nil
}

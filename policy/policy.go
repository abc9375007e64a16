// Package policy reads policy files. A policy states what a change of a disk may cost, what it may risk, which cache modes disks may
// have, and what evidence a verdict needs. Lint and gate apply it.
package policy

import (
	"path"
	"time"
)

// Policy is a policy file, checked: what a change may cost and what it may risk.
type Policy struct {
	Name string
	File string // the name it was read from, for messages
	Text string // the file itself
	// Performance says how much slower a change may make the disk.
	Performance Performance
	Safety      Safety
	Disks       []DiskRule // the first that matches a disk decides about it
	Evidence    Evidence
}

// Performance is the family of tests: its rules share Alpha by Holm's method.
type Performance struct {
	Alpha float64 // family-wise, 0 to 0.5; 0.05 unless said
	Rules []Rule
	// Margin is the between-run margin measured by A/A comparisons, as a ratio: 0.1 is 10 %. 0: none was measured.
	Margin float64
	// Looks are the blocks after which run --until-decided looks; empty for one look at the end.
	Looks []int
}

// Rule allows one metric to get worse by so much over a group of cells.
type Rule struct {
	Metric     string            // iops, bw, write_p50, write_p99, write_p999, read_…, flush_…, exposure_ms
	Cells      map[string]string // axis values that a cell must have; empty: all cells
	Regression float64           // the largest allowed, as a ratio: 0.05 is 5 %
	Optional   bool              // it passes where nothing of the kind was done on either side; without it that is INCONCLUSIVE
	Line       int               // of the rule in the file, from 1
}

// Safety is how many broken promises each failure class may cost: 0 unless said.
type Safety struct {
	BrokenPromises map[string]int64   // by failure class
	ExposureMS     map[string]float64 // by failure class; absent: any
	Classes        []string           // that must have been judged
}

// DiskRule allows cache modes on the disks that it matches. An empty field matches all.
type DiskRule struct {
	Target, Serial, Label string // Label: of the domain's metadata (see docs)
	Domain                string // the domain's name, a shell pattern
	Cache                 []string
	Reason                string // why: required where unsafe is allowed
	Line                  int
}

// RuleFor returns the first rule that matches a disk, or nil when none does. The arguments are the domain's name and the disk's target,
// serial and label; what the domain does not state is empty.
func (p *Policy) RuleFor(domain, target, serial, label string) *DiskRule {
	same := func(want, have string) bool { return want == "" || want == have }
	for i, r := range p.Disks {
		if r.Domain != "" {
			if ok, err := path.Match(r.Domain, domain); err != nil || !ok {
				continue
			}
		}
		if same(r.Target, target) && same(r.Serial, serial) && same(r.Label, label) {
			return &p.Disks[i]
		}
	}
	return nil
}

// Evidence is what a verdict must rest on.
type Evidence struct {
	Trials int
	// MissingTrials is how large a part of a cell's planned trials may be missing, from 0 to 0.99: of a run that was stopped, for example.
	MissingTrials float64
	CrashPoints   int64
	LiveCuts      int
	MaxAge        time.Duration // 0: any
	// Same are facts that must be those of the present host, or of both sides: "qemu", "kernel", "guest_image".
	Same []string
}

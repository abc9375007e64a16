// Package selftest measures platter's own error rates on this machine: how often the gate calls a change slower where nothing was
// changed, how often it misses a slowdown, and whether simulated disks that lose data are caught.
package selftest

import (
	"fmt"
	"io"
	"math"
	"slices"

	"platter/compare"
	"platter/gate"
	"platter/matrices"
	"platter/powercut"
	"platter/results"
	"platter/text"
)

// Report is the object of selftest --json.
type Report struct {
	Schema int          `json:"schema"`
	Tool   string       `json:"tool"`
	Host   results.Host `json:"host"`
	// Noise is the standard deviation of the logarithm of a trial's iops, without what moves a whole block.
	Noise float64 `json:"noise"`
	IOPS  float64 `json:"iops"` // the median of the trials with nothing changed
	Rates []Rate  `json:"rates"`
	OK    bool    `json:"ok"` // every promise was kept
}

// Size is how much a selftest measures.
type Size struct {
	Same, Slower int      // blocks
	Runtime      string   // of a trial, fio's spelling
	Seconds      float64  // of a crash campaign
	Cuts         int      // live ones, of each mutant
	Gates        int      // that are judged for each rate
	Mutants      []string // the faults of the simulated disk, in powercut's words
}

// Quick returns the size of a selftest of a few minutes under emulation.
func Quick() Size {
	return Size{Same: 7, Slower: 7, Runtime: "1", Seconds: 1, Cuts: 1, Gates: 2000, Mutants: mutants()}
}

// Full returns the size of a selftest whose rates count.
func Full() Size {
	return Size{Same: 30, Slower: 20, Runtime: "3", Seconds: 3, Cuts: 3, Gates: 2000, Mutants: mutants()}
}

// slowdowns are injected, as ratios below the median.
var slowdowns = []float64{0.05, 0.10, 0.20}

// honest is the cell of the disk that does as it should.
const honest = "honest"

// selftestMatrix is the text of a matrix of variants of one cell.
func selftestMatrix(name, axis, rest, runtime string) string {
	return fmt.Sprintf(`name: selftest-%s
storage: {type: file, format: raw, size: 128MiB}
guest: {memory: 512MiB}
axes: {%s}
fio: {rw: randwrite, bs: 4k, ioengine: psync, direct: 1, size: 64m, time_based: 1, runtime: %s%s
`, name, axis, runtime, rest)
}

// sameMatrix has the same on both sides, fio's default written out on one, since a matrix does not measure one thing twice; and a
// campaign whose control is a probe that lies.
func sameMatrix(z Size) string {
	return selftestMatrix("same", "variant.side: {before: {disk.cache: none}, after: {disk.cache: none, fio.thinktime: 0}}",
		fmt.Sprintf("}\nsafety: {classes: [guest_crash], seconds: %g, size: 4MiB}", z.Seconds), z.Runtime)
}

// slowerMatrix limits all sides but the first.
func slowerMatrix(z Size, limits []int) string {
	axis := "variant.side: {before: {disk.cache: none}"
	for i, limit := range limits {
		axis += fmt.Sprintf(", %s: {disk.cache: none, fio.rate_iops: %d}", slowerValue(slowdowns[i]), limit)
	}
	return selftestMatrix("slower", axis+"}", "}", z.Runtime)
}

func slowerValue(slowdown float64) string { return fmt.Sprintf("slower-%.0f", 100*slowdown) }

// mutantsMatrix has the same cell for each disk.
func mutantsMatrix(z Size) string {
	axis := "variant.disk: {" + honest + ": {disk.cache: none}"
	for _, m := range z.Mutants {
		axis += fmt.Sprintf(", %s: {disk.cache: none, fio.description: %s}", m, m)
	}
	return selftestMatrix("mutants", axis+"}", fmt.Sprintf(", fsync: 8}\nsafety: {classes: [power_loss], seconds: %g, size: 4MiB, live: %d}",
		z.Seconds, z.Cuts), z.Runtime)
}

func mutants() []string {
	return []string{powercut.IgnoreFlush, powercut.LateFlush, powercut.Tear, powercut.Reorder}
}

// Run measures a matrix and returns what was measured: so many blocks, and crash campaigns as the matrix wants them. Mutants maps cells
// to faults of powercut that their simulated disks have; "" is a disk without one. Where a trial or campaign failed it is an error.
type Run func(m *matrices.Matrix, blocks int, mutants map[string]string) (*results.Run, error)

// Measure makes the three runs of a selftest and counts; tool is what measured, with its version.
func Measure(size Size, tool string, measure Run) (*Report, error) {
	run := func(text string, blocks int, mutants map[string]string) (*results.Run, error) {
		m, err := matrices.Parse("selftest.yaml", []byte(text))
		if err != nil {
			return nil, err
		}
		return measure(m, blocks, mutants)
	}
	same, err := run(sameMatrix(size), size.Same, nil)
	if err != nil {
		return nil, err
	}
	blocks := blocksOf(same, "variant.side=before", "variant.side=after")
	report := &Report{Schema: 1, Tool: tool, Host: same.Manifest.Host, Noise: noiseOf(blocks), IOPS: medianOf(blocks), OK: true}
	report.add(sameRates(blocks, size.Gates)...)
	var limits []int
	for _, s := range slowdowns {
		limits = append(limits, max(1, int(math.Round(report.IOPS*(1-s)))))
	}
	slower, err := run(slowerMatrix(size, limits), size.Slower, nil)
	if err != nil {
		return nil, err
	}
	for i, s := range slowdowns {
		report.add(slowerRate(blocksOf(slower, "variant.side=before", "variant.side="+slowerValue(s)), size.Gates, s, float64(limits[i])))
	}
	misbehaves := map[string]string{"variant.disk=" + honest: ""}
	for _, m := range size.Mutants {
		misbehaves["variant.disk="+m] = m
	}
	crashed, err := run(mutantsMatrix(size), 0, misbehaves)
	if err != nil {
		return nil, err
	}
	report.add(mutantRates(crashed.Safety, size.Mutants)...)
	report.add(controlRates(append(same.Safety, crashed.Safety...))...)
	return report, nil
}

func medianOf(blocks []block) float64 {
	var all []float64
	for _, b := range blocks {
		all = append(all, b.before, b.after)
	}
	return compare.Median(all)
}

// mutantRates counts the disks that were judged as they should.
func mutantRates(records []results.Safety, mutants []string) []Rate {
	says := map[string]string{
		powercut.IgnoreFlush: "disk that ignores flushes: caught", powercut.LateFlush: "disk that flushes late: caught",
		powercut.Tear: "disk that tears: caught", powercut.Reorder: "disk that reorders: caught",
	}
	var rates []Rate
	for _, name := range append([]string{honest}, mutants...) {
		tried, right, verdict := 0, 0, "not judged"
		for _, r := range records {
			if r.Cell != "variant.disk="+name {
				continue
			}
			tried++
			verdict = r.Verdict
			if name == honest == (r.Verdict == results.Safe) && r.Verdict != results.NoPromise {
				right++
			}
		}
		what := says[name]
		if name == honest {
			what = "disk as it should be: called SAFE"
		}
		rates = append(rates, newRate(what, right, tried).atLeast(1).noted("%s", verdict))
	}
	return rates
}

// controlRates counts the controls that were seen to lose, by name.
func controlRates(records []results.Safety) []Rate {
	var names []string
	tried, lost := map[string]int{}, map[string]int{}
	seen := map[string]bool{}
	for _, r := range records {
		for _, k := range r.Controls {
			key := fmt.Sprint(k, r.Class)
			if seen[key] {
				continue // one control serves many records
			}
			seen[key] = true
			if !slices.Contains(names, k.Name) {
				names = append(names, k.Name)
			}
			tried[k.Name]++
			if k.Lost {
				lost[k.Name]++
			}
		}
	}
	var rates []Rate
	for _, name := range names {
		rates = append(rates, newRate("control, "+name+": loss seen", lost[name], tried[name]).atLeast(1))
	}
	return rates
}

func (s *Report) add(rates ...Rate) {
	for _, r := range rates {
		s.Rates = append(s.Rates, r)
		s.OK = s.OK && (r.Kept == nil || *r.Kept)
	}
}

// Outcome returns gate.Pass when every promise was kept and there was one about slowdowns, and otherwise gate.Fail or
// gate.Inconclusive with the reason.
func (s *Report) Outcome() (gate.Outcome, string) {
	if !s.OK {
		return gate.Fail, "platter is wrong more often on this machine than it promises: see the lines marked NO"
	}
	for _, r := range s.Rates {
		if r.AtLeast != nil && *r.AtLeast == promisedFound {
			return gate.Pass, ""
		}
	}
	return gate.Inconclusive,
		fmt.Sprintf("trials vary by %.1f %% here, and that is too much to find a slowdown of %.0f %% in %d blocks for certain: longer trials "+
			"vary less",
			100*s.Noise, 100*slowdowns[len(slowdowns)-1], gateBlocks)
}

// Text writes the rates as a table of at most 80 columns.
func (s *Report) Text(w io.Writer) error {
	accel := ""
	switch s.Host.Accel {
	case "tcg":
		accel = "emulated (TCG)"
	case "kvm":
		accel = "KVM"
	}
	p := &text.Printer{W: w}
	p.Linef("%s, QEMU %s: %s IOPS, noise of a trial %.1f %%\n", accel, s.Host.QEMU, text.Number(s.IOPS), 100*s.Noise)
	var rows [][]string
	for _, r := range s.Rates {
		promise, kept := "none", ""
		switch {
		case r.AtMost != nil:
			promise = fmt.Sprintf("≤ %.0f %%", 100**r.AtMost)
		case r.AtLeast != nil:
			promise = fmt.Sprintf("≥ %.0f %%", 100**r.AtLeast)
		}
		if r.Kept != nil {
			kept = "NO"
			if *r.Kept {
				kept = "yes"
			}
		}
		rows = append(rows, []string{r.What, fmt.Sprint(r.Tried), fmt.Sprint(r.Count), fmt.Sprintf("%.1f %%", 100*r.Rate), promise, kept})
	}
	lines, err := text.Table([]text.Column{{Name: "what was tried", Width: 42}, {Name: "tried", Right: true},
		{Name: "seen", Right: true, Width: 5},
		{Name: "rate", Right: true, Width: 6}, {Name: "promise"}, {Name: "kept"}}, rows)
	if err != nil {
		return err
	}
	p.Linef("%s", lines[0])
	for i, r := range s.Rates {
		p.Linef("%s", lines[1+i])
		if r.Note != "" {
			p.Linef("    %s", r.Note)
		}
	}
	p.Linef("\nGates of %d blocks drawn from real ones, one rule: iops, floor %.0f %%.", gateBlocks, 100*gateFloor)
	return p.Err
}

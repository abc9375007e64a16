package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"github.com/urfave/cli/v2"

	"platter/compare"
	"platter/matrices"
	"platter/orchestrator"
	"platter/powercut"
	"platter/results"
	"platter/text"
)

func selftestCommand() *cli.Command {
	return &cli.Command{
		Name:      "selftest",
		Usage:     "measure platter's own error rates on this machine",
		ArgsUsage: " ",
		Category:  "judge",
		Description: `Measures on real guests how often platter is wrong here:
 - false alarms: two sides with equal settings are measured, interleaved, and judged as a change by 2,000 gates of 10 blocks
   each, drawn from those measured, their labels exchanged by chance;
 - slowdowns that are missed: one side is limited by fio's rate_iops to 5, 10 and 20 % below the median;
 - losses that are missed: a simulated disk that ignores flushes, does them late, tears or reorders must not be called SAFE,
   one that does as it should must be, and the controls (a probe that lies, cache=unsafe) must be seen to lose.
How much of a slowdown must be found depends on how much trials vary here: 95 %, or what 99 of 100 selftests find that are
simulated with as much noise and as few blocks.

EXAMPLES:
   platter selftest --quick
   platter selftest --json -o selftest-runs

EXIT STATUS:
   0    every rate is within what is promised, and every mutant was caught
   1    one is not
   2    usage or bad input; nothing was touched
   3    the rig failed: libvirt, QEMU, storage, the guest image
   4    trials or crash campaigns failed
   5    this machine is too noisy to find any of the slowdowns for certain; the rest is as promised
   130  interrupted, and cleaned up`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "quick", Usage: "fewer and shorter trials: about 3 minutes under emulation instead of 15"},
			&cli.BoolFlag{Name: "json", Usage: "print one JSON object"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "keep the run directories in `DIR`; default: nothing is kept"},
			uriFlag(), storageFlag(), accelFlag(),
		},
		Action: selftestAction,
	}
}

// selftestSize is how much a selftest measures.
type selftestSize struct {
	same, slower int     // blocks
	runtime      string  // of a trial, fio's spelling
	seconds      float64 // of a crash campaign
	cuts         int     // live ones, of each mutant
	gates        int
	mutants      []string
}

var (
	quickSelftest = selftestSize{same: 7, slower: 7, runtime: "1", seconds: 1, cuts: 1, gates: 2000, mutants: mutants()}
	fullSelftest  = selftestSize{same: 30, slower: 20, runtime: "3", seconds: 3, cuts: 3, gates: 2000, mutants: mutants()}
)

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

// sameMatrix has the same on both sides, fio's default written out on one, since a matrix does not measure one thing twice; and a campaign whose control is a probe that lies.
func sameMatrix(z selftestSize) string {
	return selftestMatrix("same", "variant.side: {before: {disk.cache: none}, after: {disk.cache: none, fio.thinktime: 0}}",
		fmt.Sprintf("}\nsafety: {classes: [guest_crash], seconds: %g, size: 4MiB}", z.seconds), z.runtime)
}

// slowerMatrix limits all sides but the first.
func slowerMatrix(z selftestSize, limits []int) string {
	axis := "variant.side: {before: {disk.cache: none}"
	for i, limit := range limits {
		axis += fmt.Sprintf(", %s: {disk.cache: none, fio.rate_iops: %d}", slowerValue(slowdowns[i]), limit)
	}
	return selftestMatrix("slower", axis+"}", "}", z.runtime)
}

func slowerValue(slowdown float64) string { return fmt.Sprintf("slower-%.0f", 100*slowdown) }

// mutantsMatrix has the same cell for each disk.
func mutantsMatrix(z selftestSize) string {
	axis := "variant.disk: {" + honest + ": {disk.cache: none}"
	for _, m := range z.mutants {
		axis += fmt.Sprintf(", %s: {disk.cache: none, fio.description: %s}", m, m)
	}
	return selftestMatrix("mutants", axis+"}", fmt.Sprintf(", fsync: 8}\nsafety: {classes: [power_loss], seconds: %g, size: 4MiB, live: %d}", z.seconds, z.cuts), z.runtime)
}

func mutants() []string {
	return []string{powercut.IgnoreFlush, powercut.LateFlush, powercut.Tear, powercut.Reorder}
}

// selftestReport is the object of selftest --json.
type selftestReport struct {
	Schema int          `json:"schema"`
	Tool   string       `json:"tool"`
	Host   results.Host `json:"host"`
	// Noise is the standard deviation of the logarithm of a trial's iops, without what moves a whole block.
	Noise float64 `json:"noise"`
	IOPS  float64 `json:"iops"` // the median of the trials with nothing changed
	Rates []rate  `json:"rates"`
	OK    bool    `json:"ok"` // every promise was kept
}

func selftestAction(c *cli.Context) (err error) {
	if err := noArgs(c); err != nil {
		return err
	}
	size := fullSelftest
	if c.Bool("quick") {
		size = quickSelftest
	}
	dir := c.String("output")
	if dir == "" {
		if dir, err = os.MkdirTemp("", "platter-selftest-"); err != nil {
			return fmt.Errorf("make directory for runs: %w", err)
		}
		defer os.RemoveAll(dir)
	}
	base, err := baseSettings(c)
	if err != nil {
		return err
	}
	report, err := selftest(c.Context, base, size, dir, c.App.ErrWriter)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		enc := json.NewEncoder(c.App.Writer)
		enc.SetIndent("", "  ")
		err = enc.Encode(report)
	} else {
		err = report.text(c.App.Writer)
	}
	if err != nil {
		return fmt.Errorf("write rates: %w", err)
	}
	return report.verdict()
}

// selftest measures into dir and counts.
func selftest(ctx context.Context, base orchestrator.Settings, size selftestSize, dir string, progress io.Writer) (*selftestReport, error) {
	run := func(name, matrix string, blocks int, misbehaves map[string]string) (*results.Run, error) {
		s := base
		s.Dir, s.Trials, s.Mutants = filepath.Join(dir, name), blocks, misbehaves
		return selftestRun(ctx, s, matrix, progress)
	}
	same, err := run("same", sameMatrix(size), size.same, nil)
	if err != nil {
		return nil, err
	}
	blocks := blocksOf(same, "variant.side=before", "variant.side=after")
	report := &selftestReport{Schema: 1, Tool: "platter " + version(), Host: same.Manifest.Host, Noise: noiseOf(blocks), IOPS: medianOf(blocks), OK: true}
	report.add(sameRates(blocks, size.gates)...)
	var limits []int
	for _, s := range slowdowns {
		limits = append(limits, max(1, int(math.Round(report.IOPS*(1-s)))))
	}
	slower, err := run("slower", slowerMatrix(size, limits), size.slower, nil)
	if err != nil {
		return nil, err
	}
	for i, s := range slowdowns {
		report.add(slowerRate(blocksOf(slower, "variant.side=before", "variant.side="+slowerValue(s)), size.gates, s, float64(limits[i])))
	}
	misbehaves := map[string]string{"variant.disk=" + honest: ""}
	for _, m := range size.mutants {
		misbehaves["variant.disk="+m] = m
	}
	crashed, err := run("mutants", mutantsMatrix(size), 0, misbehaves)
	if err != nil {
		return nil, err
	}
	report.add(mutantRates(crashed.Safety, size.mutants)...)
	report.add(controlRates(append(same.Safety, crashed.Safety...))...)
	return report, nil
}

// selftestRun makes a run of a matrix and reads it.
func selftestRun(ctx context.Context, s orchestrator.Settings, matrix string, progress io.Writer) (_ *results.Run, err error) {
	if s.Matrix, err = matrices.Parse("selftest.yaml", []byte(matrix)); err != nil {
		return nil, err
	}
	s.Seed = rand.Uint64() >> 12
	p := newProgress(progress)
	s.Tell = p.tell
	outcome, err := orchestrator.Execute(ctx, s)
	p.finish()
	switch {
	case err != nil:
		return nil, err
	case outcome.Failed > 0:
		return nil, &errUnmeasured{outcome.Failed, outcome.Done, "trials", filepath.Join(s.Dir, results.TrialsFile)}
	case outcome.Unjudged > 0:
		return nil, &errUnmeasured{outcome.Unjudged, outcome.Campaigns, "crash campaigns", filepath.Join(s.Dir, results.SafetyFile)}
	}
	return results.Read(s.Dir)
}

func medianOf(blocks []block) float64 {
	var all []float64
	for _, b := range blocks {
		all = append(all, b.before, b.after)
	}
	return compare.Median(all)
}

// mutantRates counts the disks that were judged as they should.
func mutantRates(records []results.Safety, mutants []string) []rate {
	says := map[string]string{
		powercut.IgnoreFlush: "disk that ignores flushes: caught", powercut.LateFlush: "disk that flushes late: caught",
		powercut.Tear: "disk that tears: caught", powercut.Reorder: "disk that reorders: caught",
	}
	var rates []rate
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
func controlRates(records []results.Safety) []rate {
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
	var rates []rate
	for _, name := range names {
		rates = append(rates, newRate("control, "+name+": loss seen", lost[name], tried[name]).atLeast(1))
	}
	return rates
}

func (s *selftestReport) add(rates ...rate) {
	for _, r := range rates {
		s.Rates = append(s.Rates, r)
		s.OK = s.OK && (r.Kept == nil || *r.Kept)
	}
}

// verdict is nil when every promise was kept, and there was one about slowdowns.
func (s *selftestReport) verdict() error {
	if !s.OK {
		return &errFindings{"selftest: platter is wrong more often on this machine than it promises: see the lines marked NO"}
	}
	for _, r := range s.Rates {
		if r.AtLeast != nil && *r.AtLeast == promisedFound {
			return nil
		}
	}
	return &errInconclusive{fmt.Sprintf("selftest: trials vary by %.1f %% here, and that is too much to find a slowdown of %.0f %% in %d blocks for certain: longer trials vary less",
		100*s.Noise, 100*slowdowns[len(slowdowns)-1], gateBlocks)}
}

// text writes the rates as a table of at most 80 columns.
func (s *selftestReport) text(w io.Writer) error {
	accel := map[string]string{"tcg": "emulated (TCG)", "kvm": "KVM"}[s.Host.Accel]
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
			kept = map[bool]string{true: "yes", false: "NO"}[*r.Kept]
		}
		rows = append(rows, []string{r.What, fmt.Sprint(r.Tried), fmt.Sprint(r.Count), fmt.Sprintf("%.1f %%", 100*r.Rate), promise, kept})
	}
	lines, err := text.Table([]text.Column{{Name: "what was tried", Width: 42}, {Name: "tried", Right: true}, {Name: "seen", Right: true, Width: 5},
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

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"platter/gate"
	"platter/libvirtxml"
	"platter/matrices"
	"platter/orchestrator"
	"platter/results"
)

func abCommand() *cli.Command {
	return &cli.Command{
		Name:      "ab",
		Usage:     "measure both sides of a change of domain XML, interleaved, and judge it by a policy",
		ArgsUsage: "MATRIX",
		Category:  "judge",
		Description: `Reads a domain XML from before a change and one with it, finds what differs for each disk, measures every cell of MATRIX with both
on platter's own guest and a scratch disk, interleaved in one run, and judges. The disk's settings of the two files take the place of
MATRIX's own. Nothing of the domain itself is touched or needed.

A change that means nothing to a disk is PASS, and one that lint calls an error FAIL, both without a run. What differs elsewhere (machine
type, CPU, memory, …) is named and not measured: alone it is INCONCLUSIVE.

EXAMPLES:
   platter ab --before old.xml --after new.xml ab-quick
   platter ab --before old.xml --after new.xml --disk vdb --policy policy.yaml --markdown "$GITHUB_STEP_SUMMARY" -o ab my-matrix.yaml

EXIT STATUS:
   0    PASS
   1    FAIL
   2    usage or bad input; nothing was touched
   3    the rig failed: libvirt, QEMU, storage, the guest image
   5    INCONCLUSIVE
   130  interrupted, and cleaned up`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "before", Usage: "domain XML `FILE` from before the change"},
			&cli.StringFlag{Name: "after", Usage: "domain XML `FILE` with the change"},
			&cli.StringFlag{Name: "disk", Usage: "judge this `TARGET` alone, for example vdb"},
			policyFlag(), uriFlag(), storageFlag(),
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "run `DIR`; default ./NAME-YYYYMMDD-HHMMSS; of several changed disks DIR-TARGET"},
			&cli.IntFlag{Name: "trials", Usage: "trials of each cell, `N`; default the matrix's"},
			&cli.Uint64Flag{Name: "seed", Usage: "seed `N` of the order of trials; default a random one"},
			accelFlag(),
			&cli.BoolFlag{Name: "measure-anyway", Usage: "measure also what lint calls an error"},
			&cli.StringFlag{Name: "junit", Usage: "write the verdict to `FILE` as JUnit, too"},
			&cli.StringFlag{Name: "markdown", Usage: "write the verdict to `FILE` as a CI step summary, too"},
			&cli.BoolFlag{Name: "json", Usage: "print one JSON object"},
		},
		Action: ab,
	}
}

// ab is the command's action.
func ab(c *cli.Context) error {
	base, err := baseSettings(c)
	if err != nil {
		return err
	}
	policy, err := readPolicy(c)
	if err != nil {
		return err
	}
	name, err := oneArg(c, "MATRIX", "a file or a built-in name, for example ab-quick; platter matrices lists those")
	if err != nil {
		return err
	}
	matrix, err := openMatrix(name)
	if err != nil {
		return err
	}
	change, err := readChange(c.String("before"), c.String("after"), c.String("disk"))
	if err != nil {
		return err
	}
	if len(change.disks) == 0 {
		return tell(c, unmeasured(policy, change))
	}
	if v := lintedVerdict(c, policy, change); v != nil {
		return tell(c, v)
	}
	out := c.String("output")
	if out == "" {
		out = fmt.Sprintf("%s-ab-%s", matrix.Name, time.Now().Format("20060102-150405"))
	}
	var worst *gate.Verdict
	for _, d := range change.disks {
		dir := out
		if len(change.disks) > 1 {
			dir = out + "-" + d.target
		}
		v, err := abDisk(c, base, policy, matrix, change, d, dir)
		if err != nil {
			return err
		}
		if worst == nil || severity(v.Outcome) > severity(worst.Outcome) {
			worst = v
		}
	}
	return tell(c, worst)
}

// severity orders outcomes: of several changed disks the worst decides.
func severity(o gate.Outcome) int {
	switch o {
	case gate.Pass:
		return 0
	case gate.Fail:
		return 2
	default:
		return 1
	}
}

// abDisk measures both sides of a change of one disk into a run directory and judges them.
func abDisk(c *cli.Context, s orchestrator.Settings, policy *gate.Policy, matrix *matrices.Matrix, change *change, d diskChange, dir string) (*gate.Verdict, error) {
	var err error
	if s.Matrix, err = matrices.Sides(matrix, d.before, d.after); err != nil {
		return nil, &errUsage{fmt.Sprintf("ab: disk %s: %s", d.target, err)}
	}
	s.Dir, s.Trials, s.Seed = dir, s.Matrix.Trials, rand.Uint64()>>12
	if c.IsSet("trials") {
		if s.Trials = c.Int("trials"); s.Trials < 1 {
			return nil, &errUsage{fmt.Sprintf("--trials %d: at least 1", s.Trials)}
		}
	}
	if c.IsSet("seed") {
		s.Seed = c.Uint64("seed")
	}
	p := newProgress(c.App.ErrWriter)
	s.Tell = p.tell
	_, err = orchestrator.Execute(c.Context, s)
	p.finish()
	if err != nil {
		return nil, err
	}
	run, err := results.Read(dir)
	if err != nil {
		return nil, err
	}
	v := gate.JudgeAB(policy, run, time.Now(), thisHost())
	v.Changes = append(d.lines(), change.elsewhere...)
	return v, nil
}

// lintedVerdict is FAIL when lint has an error against a changed disk with the change; nil where it has none, or is to be passed over.
func lintedVerdict(c *cli.Context, policy *gate.Policy, change *change) *gate.Verdict {
	if c.Bool("measure-anyway") {
		return nil
	}
	findings, err := gate.Lint(policy, change.afterName, change.afterDoc)
	if err != nil {
		return nil // it was read as a domain: what lint cannot judge is measured
	}
	v := gate.NewVerdict(policy, gate.Fail)
	for _, d := range change.disks {
		v.Changes = append(v.Changes, d.lines()...)
	}
	v.Changes = append(v.Changes, change.elsewhere...)
	for _, f := range findings {
		if f.Level == gate.LevelError && change.has(f.Disk) {
			v.Reasons = append(v.Reasons, gate.Reason{Outcome: gate.Fail, Text: fmt.Sprintf("lint, %s:%d:%d: %s [%s]", f.File, f.Line, f.Column, f.Message, f.Rule)})
		}
	}
	if len(v.Reasons) == 0 {
		return nil
	}
	return v
}

// unmeasured is the verdict on a change that changes no disk in a way that can be measured.
func unmeasured(policy *gate.Policy, change *change) *gate.Verdict {
	if len(change.elsewhere) == 0 {
		v := gate.NewVerdict(policy, gate.Pass)
		v.Reasons = []gate.Reason{{Outcome: gate.Pass, Text: "nothing that matters to a disk differs between the two files: nothing was measured"}}
		return v
	}
	v := gate.NewVerdict(policy, gate.Inconclusive)
	v.Changes = change.elsewhere
	v.Reasons = []gate.Reason{{Outcome: gate.Inconclusive, Text: "what differs is nothing that platter's guest can follow: nothing was measured"}}
	return v
}

// readChange reads both files and finds what differs.
func readChange(before, after, only string) (*change, error) {
	if before == "" || after == "" {
		return nil, &errUsage{"ab: --before and --after are needed: the domain XML files from before the change and with it"}
	}
	read := func(path string) ([]byte, []libvirtxml.Disk, error) {
		doc, err := os.ReadFile(path)
		if err != nil {
			return nil, nil, &errUsage{fmt.Sprintf("ab: read domain XML: %v", err)}
		}
		disks, err := libvirtxml.Disks(path, doc)
		return doc, disks, err
	}
	oldDoc, oldDisks, err := read(before)
	if err != nil {
		return nil, err
	}
	newDoc, newDisks, err := read(after)
	if err != nil {
		return nil, err
	}
	ch := &change{afterName: filepath.Clean(after), afterDoc: newDoc}
	if err := ch.find(oldDisks, newDisks, only); err != nil {
		return nil, err
	}
	if only == "" {
		elsewhere, err := differences(oldDoc, newDoc)
		if err != nil {
			return nil, &errUsage{"ab: " + err.Error()}
		}
		ch.elsewhere = append(ch.elsewhere, elsewhere...)
	}
	return ch, nil
}

// change is what differs between two domain XML files.
type change struct {
	afterName string
	afterDoc  []byte
	disks     []diskChange
	elsewhere []string // what differs and is not measured, a line each
}

func (ch *change) has(target string) bool {
	for _, d := range ch.disks {
		if d.target == target {
			return true
		}
	}
	return false
}

// diskChange is a disk whose settings differ, with all its settings on both sides as a matrix has them.
type diskChange struct {
	target        string
	before, after []matrices.Setting
}

// lines says what differs: "vdb: cache none → unsafe".
func (d diskChange) lines() []string {
	of := func(settings []matrices.Setting, name string) string {
		for _, s := range settings {
			if s.Name == name {
				return s.Value.String()
			}
		}
		return "(not set)"
	}
	var lines []string
	for _, name := range matrices.DiskSettings() {
		if a, b := of(d.before, "disk."+name), of(d.after, "disk."+name); a != b {
			lines = append(lines, fmt.Sprintf("%s: %s %s → %s", d.target, name, a, b))
		}
	}
	return lines
}

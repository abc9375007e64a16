package main

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"platter/cell"
	"platter/change"
	"platter/gate"
	"platter/lint"
	"platter/matrices"
	"platter/orchestrator"
	"platter/policy"
	"platter/results"
)

func abCommand() *cli.Command {
	return &cli.Command{
		Name:      "ab",
		Usage:     "measure both sides of a change of domain XML or of the hypervisor, interleaved, and judge it by a policy",
		ArgsUsage: "[DOMAIN-XML] MATRIX",
		Category:  "judge",
		Description: `Reads a domain XML from before a change and one with it, finds what differs for each disk, measures every cell of
MATRIX with both on platter's own guest and a scratch disk, interleaved in one run, and judges. The disk's settings of the two files
take the place of MATRIX's own. Nothing of the domain itself is touched or needed.

An upgrade of the hypervisor is a change like any other: with --hypervisor-before and --hypervisor-after each disk of DOMAIN-XML is
measured as it is on both (host is the installed one, the others are root trees: platter hypervisor build). With --before and --after the
XML changes with it, and every disk is measured, changed or not.

What lint calls an error in the new file is FAIL, and a change that means nothing to a disk PASS, both without a run. What may matter to
a disk and cannot be measured (machine type, CPU, iotune, …) is named, and nothing with it passes: it is INCONCLUSIVE, or FAIL by
what was measured.

EXAMPLES:
   platter ab --before old.xml --after new.xml ab-quick
   platter ab --hypervisor-before host --hypervisor-after trixie-backports domain.xml ab-quick
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
			&cli.StringFlag{Name: "hypervisor-before", Usage: "hypervisor `NAME` from before the change; default host"},
			&cli.StringFlag{Name: "hypervisor-after", Usage: "hypervisor `NAME` after it; default that from before"},
			&cli.StringFlag{Name: "disk", Usage: "judge this `TARGET` alone, for example vdb"},
			policyFlag(), uriFlag(), storageFlag(),
			&cli.StringFlag{Name: "output", Aliases: []string{"o"},
				Usage: "run `DIR`; default ./NAME-YYYYMMDD-HHMMSS; of several changed disks DIR-TARGET"},
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
	sides, err := readSides(c)
	if err != nil {
		return err
	}
	matrix, err := openMatrix(c, sides.matrix)
	if err != nil {
		return err
	}
	diff, afterDoc, err := sides.change(c.String("disk"))
	if err != nil {
		return err
	}
	if !c.Bool("measure-anyway") {
		if v, err := lintedVerdict(policy, diff, filepath.Clean(sides.after), afterDoc, c.String("disk")); v != nil || err != nil {
			return orTell(c, v, err)
		}
	}
	if len(diff.Disks) == 0 {
		return tell(c, unmeasured(policy, diff))
	}
	out := c.String("output")
	if out == "" {
		out = fmt.Sprintf("%s-ab-%s", matrix.Name, time.Now().Format("20060102-150405"))
	}
	v, err := measured(c, base, policy, matrix, diff, out)
	return orTell(c, v, err)
}

func orTell(c *cli.Context, v *gate.Verdict, err error) error {
	if err != nil {
		return err
	}
	return tell(c, v)
}

// measured measures each changed disk, those that change alike once, and gives the worst verdict, with the others' reasons.
func measured(c *cli.Context, s orchestrator.Settings, policy *policy.Policy, matrix *matrices.Matrix, diff *change.Change,
	out string) (*gate.Verdict, error) {
	alike := diff.Alike()
	var upgrade []string
	var worst *gate.Verdict
	var reasons []gate.Reason
	for _, disks := range alike {
		dir := out
		if len(alike) > 1 {
			dir = out + "-" + disks[0].Target
		}
		v, err := abDisk(c, s, policy, matrix, disks[0], dir)
		if err != nil {
			return nil, err
		}
		if err := judgement(diff, v).Write(dir); err != nil {
			return nil, err
		}
		for _, r := range v.Reasons {
			if len(alike) > 1 {
				r.Text = disks[0].Target + ": " + r.Text + " (platter gate --candidate " + dir + ")"
			}
			reasons = append(reasons, r)
		}
		if v.Upgrade != "" && !slices.Contains(upgrade, v.Upgrade) { // the settings are diff's to say, and only the run knows versions
			upgrade = append(upgrade, v.Upgrade)
		}
		if worst == nil || severity(v.Outcome) > severity(worst.Outcome) {
			worst = v
		}
	}
	if r, some := notMeasured(diff); some {
		reasons = append(reasons, r)
		if worst.Outcome == gate.Pass {
			worst.Outcome = gate.Inconclusive
		}
	}
	slices.SortStableFunc(reasons, func(a, b gate.Reason) int { return severity(b.Outcome) - severity(a.Outcome) })
	if worst.Outcome != gate.Pass {
		reasons = slices.DeleteFunc(reasons, func(r gate.Reason) bool { return r.Outcome == gate.Pass })
	}
	worst.Reasons, worst.Changes = reasons, append(upgrade, diff.Lines()...)
	return worst, nil
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
func abDisk(c *cli.Context, s orchestrator.Settings, policy *policy.Policy, matrix *matrices.Matrix, d change.Disk,
	dir string) (*gate.Verdict, error) {
	var err error
	if s.Matrix, err = matrices.Sides(matrix, d.Before, d.After); err != nil {
		return nil, &errUsage{fmt.Sprintf("ab: disk %s: %s", d.Target, err)}
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
	return gate.JudgeAB(policy, run, time.Now(), thisHost(c.Context, policy, s.URI, run)), nil
}

// notMeasured is the reason for which a change of which not all was measured is not PASS; false where all was.
func notMeasured(diff *change.Change) (gate.Reason, bool) {
	return gate.Reason{Outcome: gate.Inconclusive, Text: "not all that differs was measured: " + strings.Join(diff.Elsewhere, "; ")},
		len(diff.Elsewhere) > 0
}

// judgement is what the run directory of a disk keeps of the verdict on it: no better than the change as a whole can have.
func judgement(diff *change.Change, v *gate.Verdict) results.Judgement {
	outcome, reasons := v.Outcome, v.Reasons
	if r, some := notMeasured(diff); some {
		reasons = append(slices.Clone(reasons), r)
		if outcome == gate.Pass {
			outcome = gate.Inconclusive
		}
	}
	j := results.Judgement{Policy: v.Policy, Outcome: string(outcome)}
	for _, r := range reasons {
		if r.Outcome == outcome {
			j.Reasons = append(j.Reasons, r.Text)
		}
	}
	return j
}

// lintedVerdict is FAIL when lint has an error against the domain with the change, whatever the change is; only the disk that was asked
// for, and the domain itself, where one was. Nil without an error.
func lintedVerdict(policy *policy.Policy, diff *change.Change, name string, doc []byte, only string) (*gate.Verdict, error) {
	findings, err := lint.Check(policy, lint.Hypervisor{}, name, doc)
	if err != nil {
		return nil, err
	}
	v := gate.NewVerdict(policy, gate.Fail)
	for _, f := range findings {
		if f.Level == lint.LevelError && (only == "" || f.Disk == only || f.Disk == "") {
			v.Reasons = append(v.Reasons, gate.Reason{Outcome: gate.Fail, Text: fmt.Sprintf("lint, %s:%d:%d: %s [%s]", f.File, f.Line, f.Column,
				f.Message, f.Rule)})
		}
	}
	if len(v.Reasons) == 0 {
		return nil, nil
	}
	v.Changes = diff.Lines()
	return v, nil
}

// unmeasured is the verdict on a change that changes no disk in a way that can be measured.
func unmeasured(policy *policy.Policy, diff *change.Change) *gate.Verdict {
	v := gate.NewVerdict(policy, gate.Pass)
	v.Reasons = []gate.Reason{{Outcome: gate.Pass, Text: "nothing that matters to a disk differs between the two files: nothing was measured"}}
	if len(diff.Elsewhere) > 0 {
		v = gate.NewVerdict(policy, gate.Inconclusive)
		v.Reasons = []gate.Reason{{Outcome: gate.Inconclusive,
			Text: "what differs is nothing that platter's guest can follow: nothing was measured"}}
	}
	v.Changes = diff.Lines()
	return v
}

// sides are the two sides of a change as the command line names them.
type sides struct {
	before, after         string // domain XML files
	hypervisors           bool   // whether the hypervisor is part of the change
	hypervisor, candidate string // its names on both sides
	matrix                string
}

// readSides reads what the command line says of both sides.
func readSides(c *cli.Context) (sides, error) {
	s := sides{before: c.String("before"), after: c.String("after")}
	s.hypervisors = c.IsSet("hypervisor-before") || c.IsSet("hypervisor-after")
	s.hypervisor = cmp.Or(c.String("hypervisor-before"), cell.HostHypervisor)
	s.candidate = cmp.Or(c.String("hypervisor-after"), s.hypervisor)
	words, err := arguments(c)
	switch {
	case err != nil:
		return s, err
	case s.hypervisors && s.before == "" && s.after == "":
		if len(words) != 2 {
			return s, &errUsage{"ab: with --hypervisor-before and --hypervisor-after and without --before and --after it takes DOMAIN-XML " +
				"and MATRIX"}
		}
		if s.hypervisor == s.candidate {
			return s, &errUsage{fmt.Sprintf("ab: both sides are on %s: name another with --hypervisor-after", s.hypervisor)}
		}
		s.before, s.after = words[0], words[0]
		words = words[1:]
	case s.before == "" || s.after == "":
		return s, &errUsage{"ab: --before and --after are needed: the domain XML files from before the change and with it; or " +
			"--hypervisor-before and --hypervisor-after"}
	}
	if len(words) != 1 {
		s.matrix, err = oneArg(c, "MATRIX", "a file or a built-in name, for example ab-quick; platter matrices lists those")
		return s, err
	}
	s.matrix = words[0]
	return s, nil
}

// change reads the files and finds what differs, of all disks or of one. Where the hypervisor is part of the change its disks are all
// those that can be measured, and each has its side's.
func (s sides) change(only string) (found *change.Change, afterDoc []byte, err error) {
	var docs [2][]byte
	for i, path := range []string{s.before, s.after} {
		if docs[i], err = os.ReadFile(path); err != nil {
			return nil, nil, &errUsage{fmt.Sprintf("ab: read domain XML: %v", err)}
		}
	}
	between := change.Between
	if s.hypervisors {
		between = change.BetweenAll
	}
	found, err = between(s.before, docs[0], s.after, docs[1], only)
	var noDisk *change.NoDiskError
	if errors.As(err, &noDisk) {
		return nil, nil, &errUsage{"ab: " + noDisk.Error()}
	}
	if err == nil && s.hypervisors {
		for i, d := range found.Disks {
			found.Disks[i].Before = d.Before.With(cell.HypervisorSetting, cell.Value{V: s.hypervisor})
			found.Disks[i].After = d.After.With(cell.HypervisorSetting, cell.Value{V: s.candidate})
		}
	}
	return found, docs[1], err
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"platter/gate"
	"platter/orchestrator/guest"
	"platter/orchestrator/hypervisor"
	"platter/policy"
	"platter/results"
)

func gateCommand() *cli.Command {
	return &cli.Command{
		Name:      "gate",
		Usage:     "judge what was measured by a policy: PASS, FAIL or INCONCLUSIVE",
		ArgsUsage: " ",
		Category:  "judge",
		Description: `Reads run directories and judges the candidate: safety fully, by itself; performance against the baseline, where each side
has at least 6 runs or the policy gives a margin between runs. A run that measured both sides of a change, interleaved
(platter ab makes one), is given alone as the candidate. Needs neither libvirt nor root: only a policy that wants the same QEMU
asks libvirt for this host's, where a run was measured here. docs/gate.md has the rules.

The summary for a CI step says the verdict first; JUnit has one test case for each cell and metric and for each cell and
failure class: failure is the policy's word, error the rig's, skipped what cannot be measured.

EXAMPLES:
   platter gate --policy policy.yaml --candidate ab-run
   platter gate --policy policy.yaml --baseline old-*/ --candidate new-*/ --markdown "$GITHUB_STEP_SUMMARY"

EXIT STATUS:
   0    PASS
   1    FAIL
   2    usage or bad input: a policy with a mistake, no run directory
   3    the verdict could not be written
   5    INCONCLUSIVE`,
		Flags: []cli.Flag{
			policyFlag(),
			&cli.GenericFlag{Name: "baseline", Usage: "`RUNDIR...` from before the change", Value: new(runDirs)},
			&cli.GenericFlag{Name: "candidate", Usage: "`RUNDIR...` with the change", Value: new(runDirs)},
			&cli.StringFlag{Name: "junit", Usage: "write the verdict to `FILE` as JUnit, too"},
			&cli.StringFlag{Name: "markdown", Usage: "write the verdict to `FILE` as a CI step summary, too"},
			&cli.BoolFlag{Name: "json", Usage: "print one JSON object"},
		},
		Action: judge,
	}
}

// runDirs is the value of a flag that is given with one or more directories.
type runDirs []string

// Set adds a directory.
func (d *runDirs) Set(dir string) error {
	if dir == "" {
		return fmt.Errorf("the name of a run directory is empty")
	}
	*d = append(*d, dir)
	return nil
}

func (d *runDirs) String() string { return strings.Join(*d, " ") }

// spread repeats a flag of gate that takes several directories for each of them, since the flag package knows one value a flag:
// "--baseline a b" becomes "--baseline a --baseline b". The shell has made many words of one pattern.
func spread(args []string) []string {
	if len(args) < 2 || args[1] != "gate" {
		return args
	}
	var out []string
	flag, values := "", 0
	for _, word := range args {
		name := strings.TrimPrefix(strings.TrimPrefix(word, "-"), "-")
		switch {
		case strings.HasPrefix(word, "-") && word != "-":
			flag, values = "", 0
			if name == "baseline" || name == "candidate" {
				flag = word
			}
		case flag != "":
			if values++; values > 1 {
				out = append(out, flag)
			}
		}
		out = append(out, word)
	}
	return out
}

// errInconclusive says that a verdict could not be reached. It is nobody's fault, or everybody's.
type errInconclusive struct{ message string }

func (e *errInconclusive) Error() string { return e.message }

// judge is the command's action.
func judge(c *cli.Context) error {
	if err := noArgs(c); err != nil {
		return err
	}
	baseline, candidate := *c.Generic("baseline").(*runDirs), *c.Generic("candidate").(*runDirs)
	if len(candidate) == 0 {
		return &errUsage{"gate: --candidate is missing: the directories of the runs to judge"}
	}
	if len(baseline) == 0 && len(candidate) > 1 {
		return &errUsage{"gate: --baseline is missing: without one the candidate is a single run that measured both sides of a change"}
	}
	policy, err := readPolicy(c)
	if err != nil {
		return err
	}
	before, err := readRuns(baseline, results.Read)
	if err != nil {
		return err
	}
	after, err := readRuns(candidate, results.Read)
	if err != nil {
		return err
	}
	uri := after[0].Manifest.Host.URI // of the libvirt that the run was measured with
	if uri == "" {
		if uri, err = libvirtURI(c); err != nil {
			return err
		}
	}
	now := time.Now()
	here := thisHost(c.Context, policy, uri, slices.Concat(before, after)...)
	var verdict *gate.Verdict
	if len(before) == 0 {
		verdict = gate.JudgeAB(policy, after[0], now, here)
	} else {
		verdict = gate.Judge(policy, before, after, now, here)
	}
	return tell(c, verdict)
}

// readRuns reads run directories side by side: large journals take longer to read than to compare.
func readRuns[R any](dirs []string, read func(dir string) (R, error)) ([]R, error) {
	runs, errs := make([]R, len(dirs)), make([]error, len(dirs))
	var reading sync.WaitGroup
	for i, dir := range dirs {
		reading.Go(func() { runs[i], errs[i] = read(dir) })
	}
	reading.Wait()
	for _, err := range errs { // the first in the order given
		if err != nil {
			return nil, err
		}
	}
	return runs, nil
}

// askLibvirt is how long a verdict waits for libvirt to state the version of QEMU.
const askLibvirt = 5 * time.Second

// thisHost returns what is known of this host for a verdict on the runs; what cannot be found out is empty. QEMU is the one that the
// libvirt at uri starts; libvirt is asked only where the policy wants the same QEMU and a run was measured here.
func thisHost(ctx context.Context, p *policy.Policy, uri string, runs ...*results.Run) gate.Facts {
	var f gate.Facts
	f.Host, _ = os.Hostname()
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		f.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	if image, err := guest.Open(cacheDir()); err == nil {
		f.GuestImage = image.Digest
	}
	here := slices.ContainsFunc(runs, func(r *results.Run) bool { return r.Manifest.Host.Name == f.Host })
	if !here || !slices.Contains(p.Evidence.Same, "qemu") {
		return f
	}
	ctx, cancel := context.WithTimeout(ctx, askLibvirt)
	defer cancel()
	host, err := hypervisor.Connect(ctx, uri)
	if err != nil {
		return f
	}
	defer host.Close()
	if facts, err := host.Facts(ctx); err == nil {
		f.QEMU = facts.QEMU
	}
	return f
}

// tell writes a verdict in all the ways that were asked for and gives the error that is its exit code.
func tell(c *cli.Context, v *gate.Verdict) error {
	for _, out := range []struct {
		flag  string
		write func(io.Writer) error
	}{{"junit", v.JUnit}, {"markdown", v.Markdown}} {
		file := c.String(out.flag)
		if file == "" {
			continue
		}
		var text bytes.Buffer
		err := out.write(&text)
		if err == nil {
			err = os.WriteFile(file, text.Bytes(), 0o644)
		}
		if err != nil {
			return fmt.Errorf("write verdict as %s: %w", out.flag, err)
		}
	}
	write := v.Text
	if c.Bool("json") {
		write = func(w io.Writer) error {
			e := json.NewEncoder(w)
			e.SetIndent("", "  ")
			return e.Encode(v)
		}
	}
	if err := write(c.App.Writer); err != nil {
		return fmt.Errorf("write verdict: %w", err)
	}
	return verdictError(v)
}

// verdictError is nil for PASS.
func verdictError(v *gate.Verdict) error {
	switch v.Outcome {
	case gate.Pass:
		return nil
	case gate.Fail:
		return &errFindings{"gate: FAIL: " + v.Reasons[0].Text}
	default:
		return &errInconclusive{"gate: INCONCLUSIVE: " + v.Reasons[0].Text}
	}
}

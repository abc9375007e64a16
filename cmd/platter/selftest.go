package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"platter/gate"
	"platter/matrices"
	"platter/orchestrator"
	"platter/results"
	"platter/selftest"
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

func selftestAction(c *cli.Context) (err error) {
	if err := noArgs(c); err != nil {
		return err
	}
	size := selftest.Full()
	if c.Bool("quick") {
		size = selftest.Quick()
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
	report, err := selftest.Measure(size, base.Tool, selftestRun(c.Context, base, dir, c.App.ErrWriter))
	if err != nil {
		return err
	}
	if c.Bool("json") {
		enc := json.NewEncoder(c.App.Writer)
		enc.SetIndent("", "  ")
		err = enc.Encode(report)
	} else {
		err = report.Text(c.App.Writer)
	}
	if err != nil {
		return fmt.Errorf("write rates: %w", err)
	}
	switch outcome, why := report.Outcome(); outcome {
	case gate.Pass:
		return nil
	case gate.Fail:
		return &errFindings{"selftest: " + why}
	default:
		return &errInconclusive{"selftest: " + why}
	}
}

// selftestRun makes the runs of a selftest, each in a directory of dir that is named for its matrix.
func selftestRun(ctx context.Context, base orchestrator.Settings, dir string, progress io.Writer) selftest.Run {
	return func(m *matrices.Matrix, blocks int, mutants map[string]string) (*results.Run, error) {
		s := base
		s.Matrix, s.Trials, s.Mutants, s.Seed = m, blocks, mutants, rand.Uint64()>>12
		s.Dir = filepath.Join(dir, strings.TrimPrefix(m.Name, "selftest-"))
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
}

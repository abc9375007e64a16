package main

import (
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/urfave/cli/v2"

	"platter/compare"
	"platter/reports"
	"platter/results"
)

func compareCommand() *cli.Command {
	return &cli.Command{
		Name:      "compare",
		Usage:     "look at two runs cell by cell",
		ArgsUsage: "RUNDIR RUNDIR",
		Category:  "read",
		Description: `Prints the medians of two runs and how the second differs from the first, cell by cell: an exploration, adjusted over all its
comparisons (Holm), and no verdict. Two runs of the same thing differ by more than their trials show; platter gate takes
that into account, and platter ab measures both sides in one run. Needs neither libvirt nor root.

EXAMPLES:
   platter compare old-run new-run
` + exitStatusHelp,
		Action: func(c *cli.Context) error {
			dirs, err := arguments(c)
			if err != nil {
				return err
			}
			if len(dirs) != 2 {
				return &errUsage{fmt.Sprintf("compare: takes two run directories, got %q", dirs)}
			}
			runs, err := readRuns(dirs)
			if err != nil {
				return err
			}
			return printExploration(c.App.Writer, runs[0], runs[1], compare.Explore(runs[0], runs[1]))
		},
	}
}

// printExploration prints an exploration in at most 80 columns, unless a cell's id is longer.
func printExploration(w io.Writer, a, b *results.Run, e *compare.Exploration) error {
	var out strings.Builder
	for i, run := range []*results.Run{a, b} {
		m := run.Manifest
		fmt.Fprintf(&out, "%c  %s: %d trials, %s, host %s, %s\n", 'A'+i, run.Dir, len(run.Trials), m.Started.UTC().Format("2006-01-02 15:04"), m.Host.Name, m.Host.Accel)
	}
	fmt.Fprintf(&out, `
Exploratory: %d comparisons, p adjusted over all of them (Holm). Two runs of the
same thing differ by more than this shows: it is no verdict (platter gate is).

%-12s %12s %12s  %-25s %8s
`, e.Tests, "", "A", "B", "B/A (95 %)", "p adj.")
	cell, different := "", 0
	warned := map[string]int{}
	var warnings []string // of the comparisons, each once
	for _, c := range e.Cells {
		if c.Cell != cell {
			cell = c.Cell
			out.WriteString(cell + "\n")
		}
		if c.Missing != "" {
			fmt.Fprintf(&out, "  %-10s %s\n", c.Metric, shortened(c.Missing, 66))
			continue
		}
		mark := ""
		if c.Adjusted <= 1-compare.Confidence {
			mark = " *"
			different++
		}
		fmt.Fprintf(&out, "  %-10s %12s %12s  %-25s %8.2g%s\n", c.Metric, quantity(c.Metric, c.A), quantity(c.Metric, c.B), ratioText(c.Ratio), c.Adjusted, mark)
		for _, warning := range c.Ratio.Warnings {
			if warned[warning]++; warned[warning] == 1 {
				warnings = append(warnings, warning)
			}
		}
	}
	fmt.Fprintf(&out, "\n* %d of %d differ by more than the trials of these two runs explain.\n", different, e.Tests)
	for _, warning := range warnings {
		fmt.Fprintf(&out, "warning (%d of them): %s\n", warned[warning], warning)
	}
	for _, warning := range e.Warnings {
		out.WriteString("warning: " + warning + "\n")
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// quantity writes a metric: rates as numbers, latencies as durations.
func quantity(m compare.Metric, v float64) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case m.MoreIsBetter():
		return reports.Number(v)
	}
	return reports.Duration(int64(math.Round(v)))
}

// ratioText writes a ratio with its interval.
func ratioText(r compare.Ratio) string {
	if !r.Bounded() {
		return fmt.Sprintf("%.3f", r.Estimate)
	}
	return fmt.Sprintf("%.3f (%.3f to %.3f)", r.Estimate, r.Lo, r.Hi)
}

// shortened cuts a text for a line of the table.
func shortened(text string, width int) string {
	r := []rune(strings.Join(strings.Fields(text), " "))
	if len(r) > width {
		r = append(r[:width-1], '…')
	}
	return string(r)
}

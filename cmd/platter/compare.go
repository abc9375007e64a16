package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"platter/compare"
	"platter/reports"
)

func compareCommand() *cli.Command {
	return &cli.Command{
		Name:      "compare",
		Usage:     "look at two or more runs cell by cell",
		ArgsUsage: "RUNDIR RUNDIR...",
		Category:  "read",
		Description: `Prints what differs between runs in matrix, host, versions and storage, the medians of the first and of each other one and
how they differ, cell by cell, and the safety verdicts that changed: an exploration, adjusted over all its comparisons (Holm), and
no verdict. Two runs of the same thing differ by more than their trials show; platter gate takes that into account, and platter ab
measures both sides in one run. Needs neither libvirt nor root.

EXAMPLES:
   platter compare old-run new-run
   platter compare host-a host-b host-c
` + exitStatusHelp,
		Action: func(c *cli.Context) error {
			dirs, err := arguments(c)
			if err != nil {
				return err
			}
			if len(dirs) < 2 {
				return &errUsage{fmt.Sprintf("compare: takes two run directories or more, got %q", dirs)}
			}
			runs, err := readRuns(dirs, compare.ReadSamples)
			if err != nil {
				return err
			}
			comparison, err := reports.NewComparison(runs...)
			if err != nil {
				return err
			}
			return comparison.Text(c.App.Writer)
		},
	}
}

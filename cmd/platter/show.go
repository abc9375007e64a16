package main

import (
	"github.com/urfave/cli/v2"

	"platter/reports"
	"platter/results"
)

func showCommand() *cli.Command {
	return &cli.Command{
		Name:      "show",
		Usage:     "print what a run measured",
		ArgsUsage: "RUNDIR",
		Category:  "read",
		Description: `Reads a run directory, also one that is being written, and prints a table, or with --json one object for
programs. Needs neither libvirt nor root.

EXAMPLES:
   platter show demo
   platter show demo --json | jq '.cells[] | {id, iops: .iops.median}'
` + exitStatusHelp,
		Flags: []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "print one JSON object"}},
		Action: func(c *cli.Context) error {
			dir, err := oneArg(c, "RUNDIR", "the directory that platter run wrote")
			if err != nil {
				return err
			}
			run, err := results.Read(dir)
			if err != nil {
				return err
			}
			m := reports.New(run)
			if c.Bool("json") {
				return reports.JSON(c.App.Writer, m)
			}
			return reports.Table(c.App.Writer, m)
		},
	}
}

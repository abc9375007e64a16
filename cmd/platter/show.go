package main

import (
	"io"

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
		Description: `Reads a run directory, also one that is being written, and prints a table; with --json one object for programs,
with --markdown a text for a pull request or a CI step summary (at most 1 MiB). They are drawings of one model, with the same
numbers. Needs neither libvirt nor root.

EXAMPLES:
   platter show demo
   platter show demo --json | jq '.cells[] | {id, iops: .iops.median}'
   platter show demo --markdown >> "$GITHUB_STEP_SUMMARY"
` + exitStatusHelp,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "json", Usage: "print one JSON object"},
			&cli.BoolFlag{Name: "markdown", Usage: "print GitHub's Markdown"},
		},
		Action: func(c *cli.Context) error {
			dir, err := oneArg(c, "RUNDIR", "the directory that platter run wrote")
			if err != nil {
				return err
			}
			draw, err := drawing(c)
			if err != nil {
				return err
			}
			run, err := results.Read(dir)
			if err != nil {
				return err
			}
			return draw(c.App.Writer, reports.New(run))
		},
	}
}

// drawing is the one that the flags ask for.
func drawing(c *cli.Context) (func(io.Writer, *reports.Model) error, error) {
	draw, asked := reports.Table, 0
	for _, d := range []struct {
		flag string
		draw func(io.Writer, *reports.Model) error
	}{{"json", reports.JSON}, {"markdown", reports.Markdown}} {
		if c.Bool(d.flag) {
			draw = d.draw
			asked++
		}
	}
	if asked > 1 {
		return nil, &errUsage{"show: --json and --markdown are two drawings: ask for one at a time"}
	}
	return draw, nil
}

package main

import (
	"fmt"
	"io"
	"os"

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
with --markdown a text for a pull request or a CI step summary (at most 1 MiB), with --spark at most 8 lines on how fast the
cells were over time. They are drawings of one model, with the same numbers. NO_COLOR is respected. Needs neither libvirt nor root.

EXAMPLES:
   platter show demo
   platter show demo --json | jq '.cells[] | {id, iops: .iops.median}'
   platter show demo --markdown >> "$GITHUB_STEP_SUMMARY"
   platter show demo --present disk.cache=none
   watch platter show demo --spark
` + exitStatusHelp,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "json", Usage: "print one JSON object"},
			&cli.BoolFlag{Name: "markdown", Usage: "print GitHub's Markdown"},
			&cli.BoolFlag{Name: "spark", Usage: "print IOPS over the run in at most 8 lines"},
			&cli.BoolFlag{Name: "ascii", Usage: "with --spark: nothing but ASCII, as under TERM=dumb"},
			presentFlag(),
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
			m, err := model(c, run)
			if err != nil {
				return err
			}
			return draw(c.App.Writer, m)
		},
	}
}

// presentFlag is the flag that model reads.
func presentFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "present",
		Usage: "hold the answer against the setting `AXIS=VALUE` that is in force, for example disk.cache=none; " +
			"default QEMU's writeback, in a run of platter ab the side before. May be repeated"}
}

// model is the part of a run that show prints.
func model(c *cli.Context, run *results.Run) (*reports.Model, error) {
	m := reports.New(run)
	if err := m.Present(c.StringSlice("present")...); err != nil {
		return nil, &errUsage{fmt.Sprintf("%s: --present: %v", c.Command.Name, err)}
	}
	return m, nil
}

// drawing is the one that the flags ask for.
func drawing(c *cli.Context) (func(io.Writer, *reports.Model) error, error) {
	draw, asked := reports.Table, 0
	for _, d := range []struct {
		flag string
		draw func(io.Writer, *reports.Model) error
	}{{"json", reports.JSON}, {"markdown", reports.Markdown}, {"spark", sparkFor(c)}} {
		if c.Bool(d.flag) {
			draw = d.draw
			asked++
		}
	}
	if asked > 1 {
		return nil, &errUsage{"show: --json, --markdown and --spark are different drawings: ask for one at a time"}
	}
	if c.Bool("ascii") && !c.Bool("spark") {
		return nil, &errUsage{"show: --ascii says how --spark draws: ask for both"}
	}
	return draw, nil
}

// sparkFor draws for where the output goes: colours for a terminal that has them and a user that wants them (no-color.org).
func sparkFor(c *cli.Context) func(io.Writer, *reports.Model) error {
	dumb := os.Getenv("TERM") == "dumb"
	_, onTerminal := terminal(c.App.Writer)
	look := reports.SparkLook{Color: onTerminal && !dumb && os.Getenv("NO_COLOR") == "", ASCII: dumb || c.Bool("ascii")}
	return func(w io.Writer, m *reports.Model) error { return reports.Spark(w, m, look) }
}

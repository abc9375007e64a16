package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"platter/reports"
	"platter/results"
)

func exportCommand() *cli.Command {
	return &cli.Command{
		Name:      "export",
		Usage:     "write a run for other programs",
		ArgsUsage: "RUNDIR",
		Category:  "read",
		Description: `Every trial, one by one, to standard output: csv with a header, one json object, or benchfmt, which benchstat
reads. safety-csv has a line for each verdict. openmetrics is what the run comes to, for a Prometheus: medians with the ends of their
intervals, percentiles, flushes, verdicts (docs/reports.md). What was not measured is empty or absent, never 0.

EXAMPLES:
   platter export demo --format csv > demo.csv
   platter export demo --format benchfmt > demo.bench && benchstat -col /fsync -row /cache demo.bench
   platter export demo --format openmetrics > demo.openmetrics
` + exitStatusHelp,
		Flags: []cli.Flag{&cli.StringFlag{Name: "format", Usage: "`" + strings.Join(reports.Formats(), ", ") + "`", Value: "csv"}},
		Action: func(c *cli.Context) error {
			dir, err := oneArg(c, "RUNDIR", "the directory that platter run wrote")
			if err != nil {
				return err
			}
			if f := c.String("format"); !slices.Contains(reports.Formats(), f) {
				return &errUsage{fmt.Sprintf("export: format %q: it is one of %s", f, strings.Join(reports.Formats(), ", "))}
			}
			run, err := results.Read(dir)
			if err != nil {
				return err
			}
			return reports.Export(c.App.Writer, run, c.String("format"))
		},
	}
}

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"platter/reports"
	"platter/results"
)

// reportFile is the name of a run's report in the run directory.
const reportFile = "report.html"

func reportCommand() *cli.Command {
	return &cli.Command{
		Name:      "report",
		Usage:     "make an HTML report of runs",
		ArgsUsage: "RUNDIR...",
		Category:  "read",
		Description: `Reads run directories, also ones that are being written, and writes one HTML file with a section for each run. The
file needs no network and nothing beside it, so it can be attached to a mail or a change request. Prints the file's
path. Needs neither libvirt nor root.

EXAMPLES:
   platter report demo
   platter report demo -o demo.html
   platter report before after -o both.html
` + exitStatusHelp,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`FILE` to write; default RUNDIR/" + reportFile + ", for several runs it must be said"},
		},
		Action: func(c *cli.Context) error {
			dirs, err := arguments(c)
			if err != nil {
				return err
			}
			path, err := reportPath(dirs, c.String("output"))
			if err != nil {
				return err
			}
			models, err := readModels(dirs)
			if err != nil {
				return err
			}
			if err := writeReport(path, models); err != nil {
				return err
			}
			fmt.Fprintln(c.App.Writer, path)
			return nil
		},
	}
}

// reportPath is the file that a report of the runs in dirs is written to.
func reportPath(dirs []string, output string) (string, error) {
	switch {
	case len(dirs) == 0:
		return "", &errUsage{"report: RUNDIR is missing: the directory that platter run wrote"}
	case output != "":
		return output, nil
	case len(dirs) > 1:
		return "", &errUsage{fmt.Sprintf("report: a report of %d runs lies in none of them: say where with -o FILE", len(dirs))}
	default:
		return filepath.Join(dirs[0], reportFile), nil
	}
}

func readModels(dirs []string) ([]*reports.Model, error) {
	var models []*reports.Model
	for _, dir := range dirs {
		run, err := results.Read(dir)
		if err != nil {
			return nil, err
		}
		models = append(models, reports.New(run))
	}
	return models, nil
}

// writeReport writes the report beside its place and moves it there when it is whole: whoever looks at the path sees
// the old report or the new one.
func writeReport(path string, models []*reports.Model) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write report %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("write report %s: %w", path, err), os.Remove(f.Name()))
		}
	}()
	if err := errors.Join(reports.HTML(f, models...), f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

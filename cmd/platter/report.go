package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"platter/compare"
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
		Description: `Reads run directories, also ones that are being written, and writes one HTML file with a section for each run; of
several, it first compares each with the first one, as platter compare does. The file needs no network and nothing beside it, so
it can be attached to a mail or a change request. Prints the file's path. Needs neither libvirt nor root.

With --watch nothing is written: the growing report of a run in progress is served on a loopback address, whose URL is printed, and
reloads itself when trials come in, until it is interrupted.

EXAMPLES:
   platter report demo
   platter report demo -o demo.html
   platter report demo --present disk.cache=none
   platter report before after -o both.html
   platter report demo --watch
   platter report demo --watch --listen 127.0.0.1:8080
` + exitStatusHelp,
		Flags: []cli.Flag{
			presentFlag(),
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`FILE` to write; default RUNDIR/" + reportFile +
				", for several runs it must be said"},
			&cli.BoolFlag{Name: "watch", Usage: "serve the growing report of one run until interrupted"},
			&cli.StringFlag{Name: "listen", Usage: "with --watch: loopback `HOST:PORT` to serve on; port 0 is any that is free",
				Value: "127.0.0.1:0"},
		},
		Action: func(c *cli.Context) error {
			dirs, err := arguments(c)
			if err != nil {
				return err
			}
			if c.Bool("watch") || c.IsSet("listen") {
				return watchReport(c, dirs)
			}
			path, err := reportPath(dirs, c.String("output"))
			if err != nil {
				return err
			}
			runs, err := readRuns(dirs, results.Read)
			if err != nil {
				return err
			}
			var models []*reports.Model
			for _, run := range runs {
				m, err := model(c, run)
				if err != nil {
					return err
				}
				models = append(models, m)
			}
			if err := writeReport(path, runs, models); err != nil {
				return err
			}
			fmt.Fprintln(c.App.Writer, path)
			return nil
		},
	}
}

// watchReport serves the report of a run until the command is interrupted, which is how a watch ends and no failure.
func watchReport(c *cli.Context, dirs []string) error {
	switch {
	case !c.Bool("watch"):
		return &errUsage{"report: --listen says where --watch serves: ask for both"}
	case len(dirs) != 1:
		return &errUsage{fmt.Sprintf("report: --watch takes one run directory, got %q", dirs)}
	case c.IsSet("output"):
		return &errUsage{"report: --watch writes no file: leave -o out"}
	case c.IsSet("present"):
		return &errUsage{"report: --watch serves the report as it is: leave --present out"}
	}
	if _, err := readRuns(dirs, results.Read); err != nil {
		return err
	}
	l, err := reports.ListenLoopback(c.String("listen"))
	if err != nil {
		return &errUsage{"report: " + err.Error()}
	}
	fmt.Fprintf(c.App.Writer, "http://%s/\n", l.Addr())
	return reports.Watch(c.Context, l, dirs[0])
}

// reportPath is the file that a report of the runs in dirs is written to.
func reportPath(dirs []string, output string) (string, error) {
	switch {
	case len(dirs) == 0:
		return "", &errUsage{"report: RUNDIR is missing: the directory that platter run wrote"}
	case output != "":
		if info, err := os.Stat(output); err == nil && info.IsDir() {
			return "", &errUsage{fmt.Sprintf("report: -o %s is a directory: name a file", output)}
		}
		if _, err := os.Stat(filepath.Dir(output)); err != nil {
			return "", &errUsage{fmt.Sprintf("report: -o %s: there is no directory %s", output, filepath.Dir(output))}
		}
		return output, nil
	case len(dirs) > 1:
		return "", &errUsage{fmt.Sprintf("report: a report of %d runs lies in none of them: say where with -o FILE", len(dirs))}
	default:
		return filepath.Join(dirs[0], reportFile), nil
	}
}

// writeReport writes the report beside its place and moves it there when it is whole: whoever looks at the path sees
// the old report or the new one.
func writeReport(path string, runs []*results.Run, models []*reports.Model) (err error) {
	var comparison *reports.Comparison
	if len(runs) > 1 {
		var sampled []*compare.SampledRun
		for _, run := range runs {
			sampled = append(sampled, compare.Sampled(run))
		}
		if comparison, err = reports.NewComparison(sampled...); err != nil {
			return err
		}
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write report %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("write report %s: %w", path, err), os.Remove(f.Name()))
		}
	}()
	if err := errors.Join(reports.HTML(f, comparison, models...), f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

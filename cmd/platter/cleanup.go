package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"platter/orchestrator"
	"platter/orchestrator/hypervisor"
	"platter/orchestrator/tree"
	"platter/text"
)

func cleanupCommand() *cli.Command {
	return &cli.Command{
		Name:     "cleanup",
		Usage:    "remove what a run that was killed left behind",
		Category: "set up",
		Description: `Finds the domains that bear platter's mark and the work directories in the storage directory, and removes those
whose run is dead; half-built hypervisors, too. Runs that are alive, other domains and other files are not touched.
A new run does the same when it starts, but for the hypervisors.

EXAMPLES:
   platter cleanup --dry-run
   platter cleanup --storage /srv/ssd
` + exitStatusHelp,
		Flags: []cli.Flag{
			uriFlag(), storageFlag(),
			&cli.BoolFlag{Name: "dry-run", Usage: "only say what would be removed"},
		},
		Action: func(c *cli.Context) error {
			if err := noArgs(c); err != nil {
				return err
			}
			uri, storage, err := place(c)
			if err != nil {
				return err
			}
			host, err := hypervisor.Connect(c.Context, uri)
			if c.Context.Err() != nil {
				return c.Context.Err()
			}
			if err != nil {
				return &errUsage{err.Error()}
			}
			defer host.Close()
			found, err := orchestrator.Leftovers(c.Context, host, storage)
			if err != nil {
				return err
			}
			verb := "removed"
			if c.Bool("dry-run") {
				orchestrator.Release(found)
				verb = "would remove"
			} else if err := orchestrator.RemoveLeftovers(c.Context, host, found); err != nil {
				return err
			}
			trees := tree.Unfinished(cacheDir())
			if !c.Bool("dry-run") {
				if err := tree.RemoveUnfinished(cacheDir()); err != nil {
					return err
				}
			}
			for _, l := range found {
				fmt.Fprintln(c.App.Writer, text.Line(fmt.Sprint(verb, " ", l)))
			}
			for _, dir := range trees {
				fmt.Fprintln(c.App.Writer, text.Line(verb+" half-built hypervisor "+dir))
			}
			if len(found)+len(trees) == 0 {
				fmt.Fprintln(c.App.Writer, "nothing was left behind")
			}
			return nil
		},
	}
}

package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"platter/matrices"
)

func matricesCommand() *cli.Command {
	return &cli.Command{
		Name:     "matrices",
		Usage:    "list the built-in matrices, or print one to copy",
		Category: "plan",
		Description: `EXAMPLES:
   platter matrices
   platter matrices show cache-modes > mine.yaml
` + exitStatusHelp,
		Action: func(c *cli.Context) error {
			if err := noArgs(c); err != nil {
				return err
			}
			builtins, err := matrices.Builtins()
			if err != nil {
				return err
			}
			for _, m := range builtins {
				fmt.Fprintf(c.App.Writer, "%-16s %s\n", m.Name, m.Description)
			}
			return nil
		},
		Subcommands: []*cli.Command{{
			Name:        "show",
			Usage:       "print a built-in matrix",
			ArgsUsage:   "NAME",
			Description: "EXAMPLES:\n   platter matrices show demo\n" + exitStatusHelp,
			Action: func(c *cli.Context) error {
				name, err := oneArg(c, "NAME", "one of those that platter matrices lists")
				if err != nil {
					return err
				}
				m, err := matrices.Builtin(name)
				if err != nil {
					return &errUsage{err.Error()}
				}
				fmt.Fprint(c.App.Writer, m.Text)
				return nil
			},
		}},
	}
}

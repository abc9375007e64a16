package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"platter/matrices"
)

func matricesCommand() *cli.Command {
	return &cli.Command{
		Name:     "matrices",
		Usage:    "list the built-in matrices and workloads, print one to copy, or the schema of matrix files",
		Category: "plan",
		Description: `EXAMPLES:
   platter matrices
   platter matrices show cache-modes > mine.yaml
   platter matrices show etcd-wal
   platter matrices schema > matrix.schema.json
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
			workloads, err := matrices.Workloads()
			if err != nil {
				return err
			}
			fmt.Fprintln(c.App.Writer, "\nworkloads, for \"workload: NAME\" in a matrix:")
			for _, w := range workloads {
				fmt.Fprintf(c.App.Writer, "%-16s %s\n", w.Name, w.Description)
			}
			return nil
		},
		Subcommands: []*cli.Command{{
			Name:        "show",
			Usage:       "print a built-in matrix or workload",
			ArgsUsage:   "NAME",
			Description: "EXAMPLES:\n   platter matrices show demo\n" + exitStatusHelp,
			Action: func(c *cli.Context) error {
				name, err := oneArg(c, "NAME", "one of those that platter matrices lists")
				if err != nil {
					return err
				}
				text, err := builtinText(name)
				if err != nil {
					return err
				}
				fmt.Fprint(c.App.Writer, text)
				return nil
			},
		}, {
			Name:  "schema",
			Usage: "print the JSON schema of matrix files, for editors",
			Description: "It has the options of the guest's fio, or where there is no guest image those of fio 3.33.\n\n" +
				"EXAMPLES:\n   platter matrices schema > matrix.schema.json\n" + exitStatusHelp,
			Action: func(c *cli.Context) error {
				if err := noArgs(c); err != nil {
					return err
				}
				fio, err := guestFio(c)
				if err != nil {
					return err
				}
				text, err := fio.Schema()
				if err != nil {
					return err
				}
				_, err = c.App.Writer.Write(text)
				return err
			},
		}},
	}
}

// builtinText is the file of a built-in matrix or workload.
func builtinText(name string) (string, error) {
	workloads, err := matrices.Workloads()
	if err != nil {
		return "", err
	}
	for _, w := range workloads {
		if w.Name == name {
			return w.Text, nil
		}
	}
	m, err := matrices.Builtin(name)
	if err != nil {
		return "", &errUsage{err.Error()}
	}
	return m.Text, nil
}

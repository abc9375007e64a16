package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"platter/orchestrator/guest"
)

func guestCommand() *cli.Command {
	return &cli.Command{
		Name:     "guest",
		Usage:    "the measuring guest",
		Category: "set up",
		Subcommands: []*cli.Command{{
			Name:  "build",
			Usage: "build the guest image from packages of this host's distribution",
			Description: `Installs kernel, sshd, fio, e2fsprogs and xfsprogs into a tree with mmdebstrap and makes a read-only root of
it. The image is named by the digest of what went in; building it again when nothing changed takes a second.

EXAMPLES:
   platter guest build
` + exitStatusHelp,
			Action: func(c *cli.Context) error {
				if err := noArgs(c); err != nil {
					return err
				}
				img, err := guest.Build(c.Context, cacheDir(), c.App.ErrWriter)
				if err != nil {
					return err
				}
				fmt.Fprintln(c.App.Writer, img.Dir)
				return nil
			},
		}},
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return &errUsage{fmt.Sprintf("no such command: guest %s: platter guest --help lists them", c.Args().First())}
			}
			return cli.ShowSubcommandHelp(c)
		},
	}
}

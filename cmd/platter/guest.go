package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"platter/cell"
	"platter/libvirtxml"
	"platter/orchestrator"
	"platter/orchestrator/guest"
	"platter/orchestrator/scratch"
	"platter/text"
)

func guestCommand() *cli.Command {
	return &cli.Command{
		Name:     "guest",
		Usage:    "the measuring guest",
		Category: "set up",
		Subcommands: []*cli.Command{{
			Name:  "build",
			Usage: "build the guest image from packages of this host's distribution",
			Description: `Installs kernel, sshd, fio and the tools of ext4, xfs, btrfs and f2fs into a tree with mmdebstrap and makes a
read-only root of it. The image is named by the digest of what went in; building it again when nothing changed takes a second. Runs
take the image that was built last.

Debian's cloud kernel boots fastest and has no f2fs. Its general one has, and takes twice the space.

EXAMPLES:
   platter guest build
   platter guest build --kernel linux-image-amd64
` + exitStatusHelp,
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "kernel", Usage: "`PACKAGE` of the guest's kernel", DefaultText: "the distribution's small one"},
			},
			Action: func(c *cli.Context) error {
				if err := noArgs(c); err != nil {
					return err
				}
				img, err := guest.Build(c.Context, cacheDir(), c.String("kernel"), c.App.ErrWriter)
				if err != nil {
					return err
				}
				if _, err := img.FioHelp(c.Context, c.App.ErrWriter); err != nil {
					fmt.Fprintln(c.App.ErrWriter, err) // the image is good all the same
				}
				fmt.Fprintln(c.App.Writer, img.Dir)
				return nil
			},
		}, guestShellCommand()},
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return &errUsage{fmt.Sprintf("no such command: guest %s: platter guest --help lists them", c.Args().First())}
			}
			return cli.ShowSubcommandHelp(c)
		},
	}
}

func guestShellCommand() *cli.Command {
	return &cli.Command{
		Name:  "shell",
		Usage: "boot the guest with a scratch disk and give a prompt in it",
		Description: `The scratch disk has the settings asked for and is filled with noise. When the shell ends, guest and disk are gone.
A command of --run that fails makes the exit status 4.

EXAMPLES:
   platter guest shell --set cache=none --set io=native
   platter guest shell --filesystem ext4 --size 1GiB
   platter guest shell --set cache=unsafe --run 'fio --name=x --filename=/dev/vdb --rw=write --size=64m --fsync=1'
` + exitStatusHelp,
		Flags: []cli.Flag{
			uriFlag(), storageFlag(), accelFlag(),
			&cli.StringSliceFlag{Name: "set", Usage: "libvirt driver attribute of the scratch disk, or bus, as `NAME=VALUE`"},
			&cli.StringFlag{Name: "size", Usage: "of the scratch disk, `SIZE`", Value: "512MiB"},
			&cli.StringFlag{Name: "filesystem", Usage: "make file system `NAME` on it: ext4, xfs, btrfs or f2fs", Value: "none"},
			&cli.StringFlag{Name: "run", Usage: "run `COMMAND` instead of a prompt"},
		},
		Action: func(c *cli.Context) error {
			if err := noArgs(c); err != nil {
				return err
			}
			s, err := shellSettings(c)
			if err != nil {
				return err
			}
			return orchestrator.Shell(c.Context, s)
		},
	}
}

func shellSettings(c *cli.Context) (orchestrator.ShellSettings, error) {
	var s orchestrator.ShellSettings
	uri, storage, err := place(c)
	if err != nil {
		return s, err
	}
	bytes, err := cell.ParseSize(c.String("size"))
	if err != nil {
		return s, &errUsage{fmt.Sprintf("--size %s", err)}
	}
	filesystem := c.String("filesystem")
	if !slices.Contains(cell.Filesystems(), filesystem) {
		return s, &errUsage{fmt.Sprintf("--filesystem %s: it is one of %s", filesystem, strings.Join(cell.Filesystems(), ", "))}
	}
	s.Settings = orchestrator.Settings{URI: uri, Storage: storage, Cache: cacheDir(), Accel: c.String("accel"),
		Tell: func(e orchestrator.Event) { fmt.Fprintln(c.App.ErrWriter, text.Line(e.Message)) }}
	s.Boot = orchestrator.Boot{MemoryBytes: 1 << 30, VCPUs: 2}
	s.Shape = scratch.Shape{Format: "raw", SizeBytes: bytes, Filesystem: filesystem, FileBytes: 1 << 20}
	s.Bus = "virtio"
	for _, set := range c.StringSlice("set") {
		name, value, ok := strings.Cut(set, "=")
		switch {
		case !ok:
			return s, &errUsage{fmt.Sprintf("--set %s: write NAME=VALUE", set)}
		case name == "bus":
			s.Bus = value
		default:
			s.Driver = append(s.Driver, libvirtxml.Attr{Name: name, Value: value})
		}
	}
	s.Stdin, s.Stdout, s.Stderr, s.Command = c.App.Reader, c.App.Writer, c.App.ErrWriter, c.String("run")
	if f, ok := terminal(c.App.Writer); ok && s.Command == "" {
		s.Terminal = f
	}
	return s, nil
}

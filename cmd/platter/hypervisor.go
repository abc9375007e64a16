package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"platter/orchestrator/tree"
	"platter/text"
)

const hypervisorExitHelp = `
EXIT STATUS:
   0    done
   2    usage or bad input; nothing was touched
   3    the rig failed: mmdebstrap, the network, the tree, its libvirt
   130  interrupted, and cleaned up`

func hypervisorCommand() *cli.Command {
	return &cli.Command{
		Name:     "hypervisor",
		Usage:    "the QEMU and libvirt of other Debian suites, beside the installed ones",
		Category: "set up",
		Description: `A hypervisor is a root tree of a Debian suite with its QEMU, libvirt and fio: ` + strings.Join(tree.Names(), ", ") + `.
It is made once and run in mount and PID namespaces of its own: nothing of it is visible on the host.

EXAMPLES:
   platter hypervisor build trixie
   platter hypervisor run trixie -- platter run safety-quick
   platter hypervisor list
` + hypervisorExitHelp,
		Subcommands: []*cli.Command{
			hypervisorBuildCommand(), hypervisorRunCommand(), hypervisorListCommand(), hypervisorRemoveCommand(), hypervisorInitCommand(),
		},
		Action: func(c *cli.Context) error {
			if name := c.Args().First(); name != "" {
				return &errUsage{fmt.Sprintf("no such command: hypervisor %s: platter hypervisor --help lists them", name)}
			}
			return cli.ShowSubcommandHelp(c)
		},
	}
}

func hypervisorBuildCommand() *cli.Command {
	return &cli.Command{
		Name:      "build",
		Usage:     "make the root tree of a hypervisor from Debian's packages",
		ArgsUsage: "NAME...",
		Description: `NAME is one of ` + strings.Join(tree.Names(), ", ") + `. The packages come from the mirrors that the host's apt uses, with
its options; which ones, and every version, is recorded (platter hypervisor list --json). What is there already stays as it is.

EXAMPLES:
   platter hypervisor build trixie trixie-backports
   platter hypervisor build --force sid      anew, with today's packages
` + hypervisorExitHelp,
		Flags: []cli.Flag{&cli.BoolFlag{Name: "force", Usage: "build anew what is there already"}},
		Action: func(c *cli.Context) error {
			names, err := hypervisorNames(c)
			if err != nil {
				return err
			}
			exe, err := os.Executable()
			if err != nil {
				return err
			}
			for _, name := range names {
				t, err := tree.Build(c.Context, cacheDir(), name,
					tree.BuildOptions{Program: exe, Force: c.Bool("force"), Log: c.App.ErrWriter})
				if err != nil {
					return err
				}
				fmt.Fprintln(c.App.Writer, t.Path)
			}
			return nil
		},
	}
}

// hypervisorNames are the command's arguments, at least one.
func hypervisorNames(c *cli.Context) ([]string, error) {
	names, err := arguments(c)
	if err == nil && len(names) == 0 {
		err = &errUsage{fmt.Sprintf("%s: NAME is missing: %s", c.Command.Name, strings.Join(tree.Names(), ", "))}
	}
	return names, err
}

func hypervisorRunCommand() *cli.Command {
	return &cli.Command{
		Name:      "run",
		Usage:     "run a command where the hypervisor is the installed one",
		ArgsUsage: "NAME -- COMMAND [ARGUMENT...]",
		Description: `Starts the tree's libvirt and runs COMMAND beside it, in the directory where you are. The host's files are visible in this
directory, in the cache and storage directories, where the platter binary lies, and in each --share; the network is the host's. What
COMMAND writes elsewhere is gone when it ends, unless --keep is given: so packages are installed for good. When it ends, or this
command does, every process in the tree ends. Several commands may run in one tree, but for --keep.

EXAMPLES:
   platter hypervisor run trixie -- platter guest build
   platter hypervisor run trixie -- platter run safety-quick -o safety-trixie
   platter hypervisor run trixie-backports -- qemu-system-x86_64 --version
   platter hypervisor run --keep trixie -- apt-get install -y make npm
   platter hypervisor run --share /usr/local/go --share ~/go --share /var/tmp trixie -- env TMPDIR=/var/tmp make test

EXIT STATUS:
   that of COMMAND, 128+N when signal N ended it; or
   2    usage or bad input: there is no such hypervisor or command
   3    the rig failed: the tree is not built or cannot be entered, its libvirt did not start or died
   130  interrupted, and cleaned up`,
		Flags: []cli.Flag{
			storageFlag(),
			&cli.StringSliceFlag{Name: "share", Usage: "`DIR` of the host that is visible at the same path; may be repeated"},
			&cli.BoolFlag{Name: "keep", Usage: "what is written to the tree stays; then it must be the only run in the tree"},
			&cli.BoolFlag{Name: "no-libvirt", Usage: "do not start libvirt"},
		},
		Action: hypervisorRun,
	}
}

func hypervisorRun(c *cli.Context) error {
	words, err := arguments(c)
	if err != nil {
		return err
	}
	if len(words) == 0 {
		return &errUsage{fmt.Sprintf("run: NAME is missing: %s", strings.Join(tree.Names(), ", "))}
	}
	if len(words) == 1 {
		return &errUsage{fmt.Sprintf("run: COMMAND is missing: platter hypervisor run %s -- COMMAND", words[0])}
	}
	t, err := tree.Open(cacheDir(), words[0])
	if err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	share, dir, err := hypervisorShare(c)
	if err != nil {
		return err
	}
	enter := t.Enter
	if c.Bool("keep") {
		enter = t.Change
	}
	s, err := enter(c.Context, exe, share)
	if err != nil {
		return err
	}
	defer s.Close()
	if !c.Bool("no-libvirt") {
		if err := s.StartLibvirt(c.Context); err != nil {
			return err
		}
	}
	ended := make(chan struct{})
	defer close(ended)
	go func() { // a command that goes on without libvirt may never end; of one that ends it is the reason
		<-s.Dead()
		select {
		case <-ended:
		case <-time.After(2 * time.Second):
			if err := s.Err(); err != nil {
				fmt.Fprintf(c.App.ErrWriter, "platter: %s\n", text.Line(err.Error()))
			}
		}
	}()
	args := words[1:]
	if args[0] == "platter" { // this binary, whether it is in the PATH or not
		args = append([]string{exe}, args[1:]...)
	}
	err = s.Run(c.Context, tree.Command{Args: args, Dir: dir, Stdin: c.App.Reader, Stdout: c.App.Writer, Stderr: c.App.ErrWriter})
	return errors.Join(err, s.Close())
}

// hypervisorShare is what of the host's is visible in the tree, and the directory to run in.
func hypervisorShare(c *cli.Context) (share []string, dir string, err error) {
	storage, err := storageDir(c)
	if err != nil {
		return nil, "", err
	}
	for _, d := range []string{cacheDir(), storage} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, "", &errUsage{fmt.Sprintf("%s: %v", d, err)}
		}
	}
	share = append(c.StringSlice("share"), cacheDir(), storage)
	dir, err = os.Getwd()
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return nil, "", &errUsage{fmt.Sprintf("the current directory: %v", err)}
	}
	if tree.Shareable(dir) { // else the tree has one of its own there
		share = append(share, dir)
	}
	return share, dir, nil
}

func hypervisorListCommand() *cli.Command {
	return &cli.Command{
		Name:  "list",
		Usage: "show the hypervisors that are built",
		Description: `EXAMPLES:
   platter hypervisor list
   platter hypervisor list --json      with the repositories and every package
` + hypervisorExitHelp,
		Flags: []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "print one JSON object"}},
		Action: func(c *cli.Context) error {
			if err := noArgs(c); err != nil {
				return err
			}
			found, problems := tree.List(cacheDir())
			unfinished := tree.Unfinished(cacheDir())
			if c.Bool("json") {
				type listed struct {
					*tree.Tree
					Path string `json:"path"`
				}
				list := []listed{}
				for _, t := range found {
					list = append(list, listed{t, t.Path})
				}
				e := json.NewEncoder(c.App.Writer)
				e.SetIndent("", "  ")
				err := e.Encode(struct {
					Schema      int      `json:"schema"`
					Hypervisors []listed `json:"hypervisors"`
					Unfinished  []string `json:"unfinished,omitempty"`
				}{1, list, unfinished})
				return errors.Join(err, problems)
			}
			p := &text.Printer{W: c.App.Writer}
			rows := [][]string{}
			for _, t := range found {
				rows = append(rows, []string{t.Name, t.QEMU, t.Libvirt, t.Fio, t.Built.Local().Format(time.DateTime), t.Path})
			}
			if len(rows) > 0 {
				columns := []text.Column{{Name: "name"}, {Name: "QEMU"}, {Name: "libvirt"}, {Name: "fio"}, {Name: "built"}, {Name: "directory"}}
				p.Table(columns, rows)
			} else if problems == nil {
				p.Linef("no hypervisor is built; next: platter hypervisor build trixie")
			}
			for _, dir := range unfinished {
				p.Linef("half built: %s; next: build it again, or platter cleanup", dir)
			}
			return errors.Join(p.Err, problems)
		},
	}
}

func hypervisorRemoveCommand() *cli.Command {
	return &cli.Command{
		Name:      "remove",
		Usage:     "remove the root tree of a hypervisor",
		ArgsUsage: "NAME...",
		Description: `EXAMPLES:
   platter hypervisor remove bookworm-backports
` + hypervisorExitHelp,
		Action: func(c *cli.Context) error {
			names, err := hypervisorNames(c)
			if err != nil {
				return err
			}
			for _, name := range names {
				t, err := tree.Open(cacheDir(), name)
				if err != nil {
					return err
				}
				if err := t.Remove(); err != nil {
					return err
				}
				fmt.Fprintf(c.App.Writer, "removed %s\n", t.Path)
			}
			return nil
		},
	}
}

func hypervisorInitCommand() *cli.Command {
	return &cli.Command{
		Name: tree.InitCommand, Hidden: true,
		Action: func(c *cli.Context) error {
			return tree.Init(c.Args().Get(0), c.Args().Get(1) == "change", c.App.Reader, c.App.Writer)
		},
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/urfave/cli/v2"

	"platter/fault"
	"platter/libvirtxml"
	"platter/orchestrator/guest"
	"platter/orchestrator/hypervisor"
	"platter/orchestrator/tree"
	"platter/powercut"
	"platter/results"
	"platter/strictyaml"
	"platter/text"
)

// Exit codes, the same for every command.
const (
	exitOK           = 0
	exitFail         = 1 // the verdict of a check
	exitUsage        = 2
	exitRig          = 3
	exitUnmeasured   = 4
	exitInconclusive = 5 // a check could not decide
	exitInterrupted  = 130
)

const exitStatusHelp = `
EXIT STATUS:
   0    done
   2    usage or bad input; nothing was touched
   3    the rig failed: libvirt, QEMU, storage, the guest image
   4    some cells could not be measured; the others were
   130  interrupted, and cleaned up`

// errUsage is a mistake on the command line.
type errUsage struct{ message string }

func (e *errUsage) Error() string { return e.message }

// errUnmeasured says that trials failed; they are in the run directory with their reasons.
type errUnmeasured struct {
	failed, done int
	what, file   string
}

func (e *errUnmeasured) Error() string {
	return fmt.Sprintf("%d of %d %s failed; their reasons stand in the table above and in %s", e.failed, e.done, e.what, e.file)
}

// run is the whole program but for the process around it.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	app := &cli.App{
		Name:                 "platter",
		Usage:                "measure how fast each way of configuring a virtual disk is, and what it loses",
		Version:              ownVersion(),
		Reader:               stdin,
		Writer:               stdout,
		ErrWriter:            stderr,
		HideHelpCommand:      true,
		EnableBashCompletion: true,
		Description: "Start with: platter doctor, then platter run demo.\nEvery command has help with examples: platter COMMAND --help.\n" +
			exitStatusHelp +
			"\n   1, 5 of the commands that judge: FAIL, INCONCLUSIVE",
		Commands: []*cli.Command{
			doctorCommand(), guestCommand(), matricesCommand(), planCommand(), runCommand(),
			showCommand(), reportCommand(), exportCommand(), rewriteCommand(), explainCommand(), replayCommand(), powercutCommand(),
			cleanupCommand(), hypervisorCommand(),
			lintCommand(), gateCommand(), abCommand(), compareCommand(), policiesCommand(), selftestCommand(),
		},
		ExitErrHandler: func(*cli.Context, error) {}, // exit codes are the table below, nothing else
		OnUsageError:   usageError,
		Action: func(c *cli.Context) error {
			if name := c.Args().First(); name != "" {
				return &errUsage{fmt.Sprintf("no such command: %q: platter --help lists them", name)}
			}
			return cli.ShowAppHelp(c)
		},
	}
	setUsageErrors(app.Commands)
	err := app.RunContext(ctx, spread(args))
	if err == nil {
		return exitOK
	}
	code := exitCode(ctx, err)
	if code == exitInterrupted {
		if err = besides(err, context.Canceled); err == nil {
			fmt.Fprintln(stderr, "platter: interrupted; nothing was left behind, what was finished is kept")
			return code
		}
	}
	var inTree *tree.ExitError
	if errors.As(err, &inTree) {
		return code // the command has said why
	}
	fmt.Fprintf(stderr, "platter: %s\n", text.Visible(message(err)))
	return code
}

// besides is what else is joined in err than target.
func besides(err, target error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		if errors.Is(err, target) {
			return nil
		}
		return err
	}
	var rest []error
	for _, e := range joined.Unwrap() {
		rest = append(rest, besides(e, target))
	}
	return errors.Join(rest...)
}

func usageError(_ *cli.Context, err error, _ bool) error { return &errUsage{err.Error()} }

func setUsageErrors(commands []*cli.Command) {
	for _, c := range commands {
		c.OnUsageError = usageError
		if len(c.Subcommands) == 0 {
			c.Before = lateFlags
		}
		c.HideHelpCommand = true
		setUsageErrors(c.Subcommands)
	}
}

// exitCode is the one table from errors to exit codes.
func exitCode(ctx context.Context, err error) int {
	var (
		usage      *errUsage
		matrix     *strictyaml.Error
		xml        *libvirtxml.Error
		findings   *errFindings
		undecided  *errInconclusive
		unmeasured *errUnmeasured
		run        *results.Error
		disk       *powercut.Error
		command    *guest.ExitError
		inTree     *tree.ExitError
	)
	switch {
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &inTree):
		return inTree.Status
	case errors.As(err, &usage), errors.As(err, &matrix), errors.As(err, &xml):
		return exitUsage
	case errors.As(err, &findings):
		return exitFail
	case errors.As(err, &undecided):
		return exitInconclusive
	case errors.As(err, &unmeasured), errors.As(err, &command):
		return exitUnmeasured
	case fault.Of(err) != "":
		if fault.Of(err) == fault.Usage {
			return exitUsage
		}
		return exitRig
	case errors.As(err, &run):
		if run.Fault == results.Input {
			return exitUsage
		}
		return exitRig
	case errors.As(err, &disk):
		if disk.Fault == powercut.Usage {
			return exitUsage
		}
		return exitRig
	default:
		return exitRig
	}
}

// message is the error in one line, with the excerpt below it where a file is at fault.
func message(err error) string {
	text := strings.ReplaceAll(err.Error(), "\n", "; ")
	var matrix *strictyaml.Error
	if errors.As(err, &matrix) {
		text += "\n" + strings.TrimRight(matrix.Detail(), "\n")
	}
	return strings.TrimRight(text, "\n")
}

// ownVersion is the module's version, or the revision it was built from.
func ownVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if buildVersion != "" {
		v = buildVersion
	}
	return v
}

// buildVersion is set by the Makefile (-ldflags -X).
var buildVersion string

// cacheDir is where guest images and, by default, scratch images lie: $XDG_CACHE_HOME/platter. Without that variable
// root's are in /var/cache/platter, since QEMU runs as another user and cannot enter /root; other users' in ~/.cache.
func cacheDir() string {
	if d := os.Getenv("XDG_CACHE_HOME"); filepath.IsAbs(d) {
		return filepath.Join(d, "platter")
	}
	if os.Geteuid() == 0 {
		return "/var/cache/platter"
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return filepath.Join(os.TempDir(), "platter")
	}
	return filepath.Join(home, ".cache", "platter")
}

// uriFlag and storageFlag are the same wherever they stand.
func uriFlag() cli.Flag {
	return &cli.StringFlag{Name: "connect", Aliases: []string{"c"},
		Usage: "libvirt `URI`; default LIBVIRT_DEFAULT_URI, uri_default of libvirt.conf, qemu:///system"}
}

func storageFlag() cli.Flag {
	return &cli.StringFlag{Name: "storage", Usage: "`DIR` for scratch images", Value: cacheDir(), DefaultText: cacheDir()}
}

func accelFlag() cli.Flag {
	return &cli.StringFlag{Name: "accel", Usage: "`kvm or tcg`; default what boots a guest"}
}

// storageDir is the flag of storageFlag as the one path that every command knows the directory by.
func storageDir(c *cli.Context) (string, error) {
	dir, err := filepath.Abs(c.String("storage"))
	if err != nil {
		return "", &errUsage{fmt.Sprintf("--storage %s: %v", c.String("storage"), err)}
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	return dir, nil
}

// place is where a command works: libvirt's URI and the storage directory.
func place(c *cli.Context) (uri, storage string, err error) {
	if uri, err = libvirtURI(c); err == nil {
		storage, err = storageDir(c)
	}
	return uri, storage, err
}

// libvirtURI is the flag of uriFlag or the default that it documents.
func libvirtURI(c *cli.Context) (string, error) {
	return hypervisor.HostEnvironment().URI(c.String("connect"))
}

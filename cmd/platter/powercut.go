package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"platter/cell"
	"platter/powercut"
	"platter/text"
)

const powercutExitHelp = `
EXIT STATUS:
   0    done
   2    usage or bad input; nothing was touched
   3    the rig failed: FUSE, the mount, the disk below
   130  interrupted, and cleaned up`

// powercutImage is the image that platter powercut mount serves.
const powercutImage = "disk.img"

func powercutCommand() *cli.Command {
	return &cli.Command{
		Name:     "powercut",
		Usage:    "a disk that can lose power, to test databases and file systems with",
		Category: "measure",
		Description: `Serves DIR/disk.img with a simulated host page cache, a drive with a cache, and a medium. A host-crash takes the page
cache, a power-loss the drive's cache as well; whoever has the image open gets EIO, and restore serves what survived.

EXAMPLES:
   platter powercut mount /mnt/pc --size 1GiB &      serve /mnt/pc/disk.img
   losetup -f --show --direct-io=on /mnt/pc/disk.img or give it to QEMU as a raw disk
   platter powercut power-loss /mnt/pc               all that was not flushed is lost
   platter powercut restore /mnt/pc                  /mnt/pc/disk.img is what survived
   platter powercut status /mnt/pc
` + powercutExitHelp,
		Subcommands: []*cli.Command{
			powercutMountCommand(),
			powercutCutCommand("host-crash", cell.HostCrash, "lose the simulated host's page cache"),
			powercutCutCommand("power-loss", cell.PowerLoss, "lose the page cache and the drive's volatile cache"),
			powercutRestoreCommand(), powercutStatusCommand(), powercutServeCommand(), powercutGuardCommand(),
		},
		Action: func(c *cli.Context) error {
			if name := c.Args().First(); name != "" {
				return &errUsage{fmt.Sprintf("no such command: powercut %s: platter powercut --help lists them", name)}
			}
			return cli.ShowSubcommandHelp(c)
		},
	}
}

func powercutMountCommand() *cli.Command {
	return &cli.Command{
		Name:      "mount",
		Usage:     "serve DIR/disk.img until it is unmounted or this command is interrupted",
		ArgsUsage: "DIR",
		Description: `DIR must be an empty directory. The layers of the disk lie in --storage, sparse; they are gone when the command ends,
in whatever way.

EXAMPLES:
   platter powercut mount /mnt/pc --size 10GiB
   platter powercut mount /mnt/pc --from debian.raw --drive-cache protected
   platter powercut mount /mnt/pc --size 1GiB --write-latency 60us --flush-latency 2ms --log /tmp/pc.oplog
   chown postgres /mnt/pc/disk.img      the image is yours alone until you give it to another user
` + powercutExitHelp,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "size", Usage: "`SIZE` of the disk: 512MiB, 10GiB; default that of --from"},
			&cli.StringFlag{Name: "from", Usage: "raw `FILE` that is copied to the beginning of the disk"},
			&cli.StringFlag{Name: "drive-cache", Usage: "`volatile, protected or none`", Value: cell.Volatile},
			&cli.StringFlag{Name: "drive-cache-size", Usage: "`SIZE` of the drive's cache", Value: "64MiB"},
			&cli.DurationFlag{Name: "drive-cache-expire", Usage: "`AGE` at which data leave the drive's cache; 0 is never"},
			&cli.DurationFlag{Name: "write-latency", Usage: "`TIME` to move data to the drive: 60us"},
			&cli.DurationFlag{Name: "flush-latency", Usage: "`TIME` of a flush: 2ms"},
			&cli.IntFlag{Name: "sector", Usage: "`BYTES` that are written whole or not at all: 512 or 4096", Value: 512},
			&cli.DurationFlag{Name: "dirty-expire", Usage: "`AGE` at which dirty pages are written back"},
			&cli.DurationFlag{Name: "dirty-writeback", Usage: "`TIME` between looks at ages"},
			&cli.StringFlag{Name: "dirty-background", Usage: "`SIZE` of dirty pages from which they are written back", Value: "256MiB"},
			&cli.StringFlag{Name: "log", Usage: "`FILE` for the log of operations"},
			storageFlag(),
		},
		Action: powercutMount,
	}
}

func powercutMount(c *cli.Context) error {
	dir, err := oneArg(c, "DIR", "an empty directory to mount on")
	if err != nil {
		return err
	}
	spec, err := powercutSpec(c)
	if err != nil {
		return err
	}
	storage, err := storageDir(c)
	if err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(storage, 0o755); err != nil {
		return &errUsage{fmt.Sprintf("--storage: %v", err)}
	}
	state, err := os.MkdirTemp(storage, "powercut-")
	if err != nil {
		return &errUsage{fmt.Sprintf("--storage: %v", err)}
	}
	defer os.Remove(state) // the server does so too, once it was started
	return powercut.ServeImage(c.Context, dir, state, exe, spec, c.String("log"), func(image string) {
		fmt.Fprintf(c.App.Writer, "%s is ready: %d bytes, drive cache %s\n", image, spec.SizeBytes, c.String("drive-cache"))
		fmt.Fprintf(c.App.Writer,
			"next: platter powercut power-loss %[1]s (or host-crash), platter powercut restore %[1]s; end with umount %[1]s\n", filepath.Dir(image))
	})
}

func powercutSpec(c *cli.Context) (powercut.ImageSpec, error) {
	spec := powercut.ImageSpec{Name: powercutImage, From: c.String("from"), Settings: powercut.Settings{
		DriveCache: c.String("drive-cache"), DriveCacheExpire: c.Duration("drive-cache-expire"),
		WriteLatency: c.Duration("write-latency"), FlushLatency: c.Duration("flush-latency"), SectorBytes: c.Int("sector"),
		DirtyExpire: c.Duration("dirty-expire"), DirtyWriteback: c.Duration("dirty-writeback"),
	}}
	for _, s := range []struct {
		flag  string
		bytes *int64
	}{
		{"size", &spec.SizeBytes}, {"drive-cache-size", &spec.Settings.DriveCacheBytes},
		{"dirty-background", &spec.Settings.DirtyBackgroundBytes},
	} {
		if c.String(s.flag) == "" {
			continue
		}
		var err error
		if *s.bytes, err = cell.ParseSize(c.String(s.flag)); err != nil {
			return spec, &errUsage{fmt.Sprintf("--%s %s: %v", s.flag, c.String(s.flag), err)}
		}
	}
	if spec.From == "" && spec.SizeBytes == 0 {
		return spec, &errUsage{"mount: --size is missing: --size 1GiB, or --from FILE"}
	}
	if spec.From != "" && spec.SizeBytes == 0 {
		info, err := os.Stat(spec.From)
		if err != nil {
			return spec, &errUsage{fmt.Sprintf("--from: %v", err)}
		}
		spec.SizeBytes = info.Size()
	}
	return spec, nil
}

func powercutCutCommand(name, class, usage string) *cli.Command {
	return &cli.Command{
		Name:      name,
		Usage:     usage,
		ArgsUsage: "DIR",
		Description: `From now on whoever has the image open gets EIO, until restore serves what survived.

EXAMPLES:
   platter powercut ` + name + ` /mnt/pc
` + powercutExitHelp,
		Action: func(c *cli.Context) error {
			client, dir, err := powercutDial(c)
			if err != nil {
				return err
			}
			point, err := client.Cut(c.Context, class)
			if err != nil {
				return err
			}
			if point > 0 {
				fmt.Fprintf(c.App.Writer, "event %d of the log is the cut\n", point)
			}
			fmt.Fprintf(c.App.Writer, "%s: %s; clients get EIO. next: platter powercut restore %s\n", dir, name, dir)
			return nil
		},
	}
}

func powercutRestoreCommand() *cli.Command {
	return &cli.Command{
		Name:      "restore",
		Usage:     "serve what survived the cut",
		ArgsUsage: "DIR",
		Description: `DIR/disk.img leads to the survivor for who opens it from now on; so does DIR/disk-2.img, disk-3.img, … by its generation.
Descriptors from before the cut keep giving EIO. Without --seed everything is lost that was not durable, the worst case; with it each
sector of it survives or not, by chance, the same for the same seed.

EXAMPLES:
   platter powercut restore /mnt/pc
   platter powercut restore /mnt/pc --seed 7
` + powercutExitHelp,
		Flags: []cli.Flag{&cli.Uint64Flag{Name: "seed", Usage: "`N` other than 0: some sectors survive by chance"}},
		Action: func(c *cli.Context) error {
			client, dir, err := powercutDial(c)
			if err != nil {
				return err
			}
			names, err := client.Restore(c.Context, c.Uint64("seed"))
			if err != nil {
				return err
			}
			for old, survivor := range names {
				fmt.Fprintf(c.App.Writer, "%s: what survived of %s\n", filepath.Join(dir, survivor), old)
			}
			return nil
		},
	}
}

func powercutStatusCommand() *cli.Command {
	return &cli.Command{
		Name:      "status",
		Usage:     "show what is dirty, and what was asked of the disk",
		ArgsUsage: "DIR",
		Description: `EXAMPLES:
   platter powercut status /mnt/pc
   platter powercut status /mnt/pc --json
` + powercutExitHelp,
		Flags: []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "print JSON"}},
		Action: func(c *cli.Context) error {
			client, _, err := powercutDial(c)
			if err != nil {
				return err
			}
			status, err := client.Status(c.Context)
			if err != nil {
				return err
			}
			if c.Bool("json") {
				e := json.NewEncoder(c.App.Writer)
				e.SetIndent("", "  ")
				return e.Encode(status)
			}
			return writePowercutStatus(c.App.Writer, status)
		},
	}
}

func writePowercutStatus(w io.Writer, s powercut.Status) error {
	var rows [][]string
	row := func(what, format string, args ...any) {
		rows = append(rows, []string{what, fmt.Sprintf(format, args...)})
	}
	for _, i := range s.Images {
		row(i.Path, "generation %d, %s bytes, drive cache %s", i.Generation, text.Count(i.SizeBytes), i.Settings.DriveCache)
		row("  only in the host's page cache", "%s bytes", text.Count(i.DirtyHostBytes))
		row("  in the drive's cache, not on the medium", "%s bytes", text.Count(i.DirtyDriveBytes))
		row("  writes", "%s (%s O_DSYNC), %s bytes", text.Count(i.Counters.Writes), text.Count(i.Counters.DsyncWrites),
			text.Count(i.Counters.BytesWritten))
		row("  reads", "%s, %s bytes", text.Count(i.Counters.Reads), text.Count(i.Counters.BytesRead))
		row("  flushes", "%s", text.Count(i.Counters.Flushes))
		row("  discards", "%s", text.Count(i.Counters.Discards))
	}
	if s.Log != nil {
		row("log "+s.Log.File, "%s events, %s bytes", text.Count(s.Log.Events), text.Count(s.Log.Bytes))
	}
	if s.Cut != "" {
		row("cut", "%s; next: platter powercut restore %s", s.Cut, s.Mount)
	}
	p := &text.Printer{W: w}
	p.Table(make([]text.Column, 2), rows)
	return p.Err
}

// powercutDial is the server of the command's only argument.
func powercutDial(c *cli.Context) (*powercut.Client, string, error) {
	dir, err := oneArg(c, "DIR", "where platter powercut mount serves its disk")
	if err != nil {
		return nil, "", err
	}
	client, err := powercut.Dial(dir)
	return client, dir, err
}

func powercutServeCommand() *cli.Command {
	return &cli.Command{
		Name: powercut.ServeCommand, Hidden: true,
		Action: func(c *cli.Context) error {
			exe, err := os.Executable()
			if err != nil {
				return err
			}
			return powercut.Serve(c.Context, c.Args().Get(0), c.Args().Get(1), exe, c.App.Reader, c.App.Writer)
		},
	}
}

func powercutGuardCommand() *cli.Command {
	return &cli.Command{
		Name: powercut.GuardCommand, Hidden: true,
		Action: func(c *cli.Context) error { return powercut.Guard(c.Args().Get(0), c.Args().Get(1), c.App.Reader) },
	}
}

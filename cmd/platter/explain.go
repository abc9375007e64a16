package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"platter/cell"
	"platter/explain"
	"platter/flushpath"
	"platter/libvirtxml"
	"platter/orchestrator/hypervisor"
	"platter/text"
	"platter/version"
)

// explainJob is the job that is explained when --fio names none.
const explainJob = "rw=randwrite fsync=1 direct=1"

func explainCommand() *cli.Command {
	return &cli.Command{
		Name:      "explain",
		Usage:     "show where a disk's writes rest, where a flush ends, and what a crash is predicted to take",
		ArgsUsage: "DOMAIN|FILE.xml",
		Category:  "safety",
		Description: `Reads a domain's XML, from libvirt or from a file ("-" is standard input), and draws for each disk the layers
from the application to the platter: where writes rest, where a flush ends, and why. Then, for each failure class, whether
promised writes survive, and unpromised ones. These are predictions of the model in docs/SAFETY.md: nothing is measured,
nothing is touched.

An argument with a "/" or ending in .xml, and the name of a file that is there, is a file; anything else is a domain.

The job is ` + explainJob + ` unless --fio says otherwise, in fio's words and with fio's defaults for what is left out
(no sync, direct=0). The guest's disk is a raw device unless --filesystem names one, behind a drive with a volatile cache
unless --drive-cache says otherwise. Of an RBD disk Ceph's rbd_cache_writethrough_until_flush is not taken for granted, since
some builds of QEMU turn it off: --rbd-cache-writethrough-until-flush says that it is in effect. CD-ROMs, floppies and read-only
disks are skipped.

What a crash takes depends on QEMU's version: from 10.0.3 on, for one, writethrough and directsync may lose the newest promises
with io=threads. Of a file it is that of the QEMU installed here unless --qemu names another, and the explanation says so.

With --json one object is printed:
   {"schema": 1, "domain": what was read, "job": fio's options, "filesystem", "drive_cache",
    "hypervisor": {"qemu", "libvirt", "machine", "assumed"},
    "disks": [{"target", "bus", "format", "source", "cache", "io", "effective": {"writeback", "direct", "no_flush"},
      "path": {"asked", "expected": {"guest", "qemu", "image"},
        "layers": [{"layer", "where", "holds", "taken_by", "unpromised", "promised", "newest", "flush", "reason", "source"}]},
      "predictions": [{"class", "promises", "exposed", "verdict", "newest", "because", "source"}], "notes": [...]}],
    "skipped": [{"target", "reason"}]}
"verdict" is SAFE, LOSES, NO_PROMISE, or empty where the model has no answer; "because" says why.

EXAMPLES:
   platter explain vm --disk vda
   platter explain vm.xml --qemu 11.1.3 --fio 'rw=randwrite fsync=1 direct=1 numjobs=4'
   platter explain vm.xml --disk vdb --fio 'rw=randwrite fsync=8 direct=1' --filesystem ext4 --barrier off
   virsh dumpxml vm | platter explain - --drive-cache protected --json | jq '.disks[].predictions'

EXIT STATUS:
   0    the explanation was printed, whatever it says
   2    usage or bad input: no such domain or disk, not a domain XML, a job that writes nothing
   3    libvirt does not answer, or the explanation could not be written`,
		Flags: append([]cli.Flag{
			uriFlag(),
			&cli.StringFlag{Name: "disk", Usage: "explain the disk with this `TARGET` alone, for example vda"},
			&cli.StringFlag{Name: "fio", Usage: "the job's `OPTIONS`", Value: explainJob, DefaultText: explainJob},
			&cli.StringFlag{Name: "filesystem", Value: cell.RawDevice,
				Usage: "`NAME` of the guest's file system: " + strings.Join(cell.Filesystems(), ", ")},
			&cli.StringFlag{Name: "barrier", Usage: "mount option of ext4, btrfs and f2fs, `on|off`", Value: "on"},
			&cli.StringFlag{Name: "write-cache", Usage: "the guest's queue/write_cache, if set by hand: `'write through'`"},
			&cli.StringFlag{Name: "cache-type", Usage: "the guest's cache_type, if set by hand: `'write through'` or 'write back'"},
			&cli.StringFlag{Name: "drive-cache", Usage: "`KIND` of the drive's cache: volatile, protected or none", Value: cell.Volatile},
			&cli.BoolFlag{Name: "rbd-cache-writethrough-until-flush", Usage: "Ceph's option is known to be in effect: RBD disks alone"},
			&cli.BoolFlag{Name: "json", Usage: "print one JSON object"},
		}, versionFlags()...),
		Before: lateFlags,
		Action: explainAction,
	}
}

// explainAction is the action of explain.
func explainAction(c *cli.Context) error {
	name, err := oneArg(c, "DOMAIN|FILE.xml", "a domain, a file, or - for standard input")
	if err != nil {
		return err
	}
	guest, err := explainedGuest(c)
	if err != nil {
		return err
	}
	name, doc, host, err := domainXML(c, name)
	if err != nil {
		return err
	}
	root, disks, err := libvirtxml.Parse(name, doc)
	if err != nil {
		return err
	}
	facts, assumed, err := versions(c, host.QEMU, host.Libvirt)
	if err != nil {
		return err
	}
	machine := flushpath.MachineVersion(root.Child("os").Child("type").Attr("machine"), facts.QEMU)
	guest.QEMU, guest.Machine, guest.NoRawNode = facts.QEMU, machine, flushpath.LeavesRawOut(facts.Libvirt)
	x, err := explain.Of(name, disks, c.String("disk"), guest, c.String("drive-cache"))
	if err != nil {
		return &errUsage{"explain: " + err.Error()}
	}
	x.Hypervisor = explain.Versions{QEMU: known(facts.QEMU), Libvirt: known(facts.Libvirt), Assumed: assumed}
	if machine.Known() {
		x.Hypervisor.Machine = fmt.Sprintf("%d.%d", machine.Major, machine.Minor)
	}
	x.Job = strings.Join(strings.Fields(c.String("fio")), " ")
	if c.Bool("json") {
		e := json.NewEncoder(c.App.Writer)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		err = e.Encode(x)
	} else {
		_, err = io.WriteString(c.App.Writer, text.Visible(x.Text()))
	}
	if err != nil {
		return fmt.Errorf("write explanation: %w", err)
	}
	return nil
}

// explainedGuest is the guest and its job as the flags say; the disk is not in it yet.
func explainedGuest(c *cli.Context) (flushpath.Config, error) {
	for _, flag := range []struct {
		name   string
		values []string
	}{
		{"filesystem", cell.Filesystems()},
		{"barrier", []string{"on", "off"}},
		{"write-cache", []string{"", "write through"}},
		{"cache-type", []string{"", "write through", "write back"}},
		{"drive-cache", []string{cell.Volatile, cell.Protected, cell.NoCache}},
	} {
		if v := c.String(flag.name); !slices.Contains(flag.values, v) {
			return flushpath.Config{}, &errUsage{fmt.Sprintf("explain: --%s %q: it is %s", flag.name, v,
				strings.TrimPrefix(strings.Join(flag.values, ", "), ", "))}
		}
	}
	if c.String("barrier") == "off" && !cell.TakesBarrierOff(c.String("filesystem")) {
		return flushpath.Config{}, &errUsage{"explain: --barrier off is a mount option of ext4, btrfs and f2fs: add --filesystem ext4"}
	}
	guest, err := explain.Job(c.String("fio"))
	if err != nil {
		return flushpath.Config{}, &errUsage{"explain: --fio: " + err.Error()}
	}
	guest.Filesystem, guest.Barrier = c.String("filesystem"), c.String("barrier") == "on"
	guest.WriteCache, guest.CacheType = c.String("write-cache"), c.String("cache-type")
	guest.WritethroughUntilFlush = c.Bool("rbd-cache-writethrough-until-flush")
	return guest, nil
}

// known returns a version as text; empty where it is not known.
func known(v version.Version) string {
	if !v.Known() {
		return ""
	}
	return v.String()
}

// domainXML reads the XML of a domain or a file, and returns what to call it as well. Of a domain's host the facts come with it.
func domainXML(c *cli.Context, arg string) (name string, doc []byte, facts hypervisor.Facts, err error) {
	if isFile(arg) {
		name, doc, err = readDomain(c, arg)
		return name, doc, facts, err
	}
	uri, err := libvirtURI(c)
	if err != nil {
		return "", nil, facts, err
	}
	host, err := hypervisor.Connect(c.Context, uri)
	if err != nil {
		return "", nil, facts, err
	}
	defer host.Close()
	domain, err := host.Lookup(c.Context, arg)
	if errors.Is(err, hypervisor.ErrGone) {
		return "", nil, facts, &errUsage{fmt.Sprintf("explain: %s is neither a domain of %s nor a file; virsh -c %s list --all shows the "+
			"domains", arg, uri, uri)}
	}
	if err != nil {
		return "", nil, facts, err
	}
	if facts, err = host.Facts(c.Context); err != nil {
		return "", nil, facts, err
	}
	text, err := domain.XML(c.Context)
	return arg, []byte(text), facts, err
}

// isFile says that an argument names a file and no domain.
func isFile(arg string) bool {
	if arg == "-" || strings.Contains(arg, "/") || strings.HasSuffix(arg, ".xml") {
		return true
	}
	info, err := os.Stat(arg)
	return err == nil && !info.IsDir()
}

package reports

import (
	"fmt"
	"strings"

	"platter/cell"
	"platter/flushpath"
	"platter/powercut/replay"
	"platter/results"
	"platter/version"
)

// Reproduction is the smallest way to show a loss without a guest: qemu-io on a power-cut disk.
type Reproduction struct {
	Lines []string `json:"lines,omitempty"` // for a shell; empty where there is none
	// Text is what the lines show and on which QEMU, or why there are none.
	Text string `json:"text"`
}

// The patterns that the lines write and read back: only the last write is looked for.
const (
	reproducedWrite = "-c 'write -P 17 0 4k'"
	reproducedRead  = "-c 'read -P 17 0 4k'"
)

// Reproduce returns how a loss of a cell is shown without a guest. Which QEMU loses what was tried with qemu-io 7.2.22, 10.0.13 and 11.1.3
// (docs/reports.md has what the lines print there).
func Reproduce(c cell.Cell, by results.Hypervisor, t *replay.Timeline) Reproduction {
	none := func(format string, args ...any) Reproduction {
		return Reproduction{Text: "There is no reproduction without a guest: " + fmt.Sprintf(format, args...) + "."}
	}
	mode := guestMode(c)
	through := mode == "writethrough" || mode == "directsync"
	qemu, _ := version.Parse(by.QEMU) // one that is not known is taken for an old one
	libvirt, _ := version.Parse(by.Libvirt)
	late := qemu.AtLeast(10, 0, 3)
	noRawNode := flushpath.LeavesRawOut(libvirt)
	driveKept := t.Class == cell.HostCrash || t.DriveCache != cell.Volatile
	r := reproduction{question: cell.Question{Class: t.Class, DriveCache: t.DriveCache}, mode: mode, format: "-f raw", image: `"$d/disk.img"`}
	switch {
	case t.Lost == 0 && t.Unjudged == "":
		return none("no promised write is lost at this crash point")
	case t.Class != cell.HostCrash && t.Class != cell.PowerLoss:
		return none("the failure is above the host, where qemu-io begins")
	case mode == "unsafe" && c.Format() == "raw":
		r.ask = reproducedWrite + " -c flush"
		return r.lines("The last line fails with “Pattern verification failed”: cache=unsafe drops the flush, on every QEMU.")
	case c.Format() != "raw":
		return none("qemu-io shows the loss on raw images alone, and this one is %s", c.Format())
	case driveKept && (mode == "none" || mode == "directsync"):
		return none("what QEMU writes with cache=%s is in the drive's cache, which this failure does not take", mode)
	case !through && c.FlushesStopped():
		return none("the guest sends no flush (%s), and QEMU is never asked for one", stoppedBy(c))
	case c.Bus() == "nvme" && !through:
		return none("QEMU's NVMe device drops the FUA bit of the guest's write before the block layer, where qemu-io begins, sees it")
	case qemu.AtLeast(10, 0, 0) && (c.IO() == "native" || c.IO() == "io_uring"):
		return none("QEMU %s is not known to lose with io=%s: what lost it is above its block layer", by.QEMU, c.IO())
	case through && !late && (!noRawNode || qemu.AtLeast(10, 0, 0)):
		return none("QEMU %s as libvirt %s starts it is not known to lose: what lost it is above its block layer", by.QEMU, by.Libvirt)
	case through && t.Fate != nil && !t.Fate.First && c.Jobs() > 1:
		return r.overlapping(noRawNode)
	case through:
		r.ask = reproducedWrite
		return r.first(noRawNode)
	case c.Bus() != "scsi" || !late:
		return none("the guest's flushes arrive at QEMU, which is not known to lose them under this cache mode")
	}
	r.ask = "-c 'write -f -P 17 0 4k'"
	return r.lines("write -f is a write with FUA, as the guest's SCSI disk sends them. On QEMU 10.0.3 and newer the last line fails with " +
		"“Pattern verification failed”: it was answered without a sync behind it. On QEMU 7.2 the write is kept.")
}

// guestMode returns the cache mode that a cell comes to when the guest has changed its disk's: the mode that has QEMU's flags as they are
// then.
func guestMode(c cell.Cell) string {
	switch writeback, direct, noFlush := flushpath.Effective(flushpath.Of(c, flushpath.Facts{})); {
	case noFlush:
		return "unsafe"
	case direct && writeback:
		return "none"
	case direct:
		return "directsync"
	case writeback:
		return "writeback"
	}
	return "writethrough"
}

func stoppedBy(c cell.Cell) string {
	switch {
	case c.Barrier() == "off" && c.Filesystem() == "ext4":
		return "it mounts with barrier=0"
	case c.Barrier() == "off":
		return "it mounts with nobarrier"
	case c.WriteCache() == "write through":
		return "its queue/write_cache says write through"
	}
	return "its cache_type says write through"
}

// reproduction is what the lines are made of.
type reproduction struct {
	question     cell.Question
	mode, format string
	image        string // an argument of qemu-io
	before       string // a command that runs qemu-io
	ask          string // of qemu-io
	read         string
}

// first shows that the first write after a start or a flush is acknowledged with no sync behind it.
func (r reproduction) first(noRawNode bool) Reproduction {
	if noRawNode {
		r.withoutRawNode()
		return r.lines("There is no raw format node, as libvirt 11 and newer leave it out: on QEMU 7.2, 10.0 and 11.1 the last line fails with " +
			"“Pattern verification failed”: the first write was answered without a sync behind it.")
	}
	return r.lines("On QEMU 10.0.3 and newer the last line fails with “Pattern verification failed”: the first write was answered without a " +
		"sync behind it. On QEMU 7.2 the write is kept. With -i native or -i io_uring (-t directsync) QEMU 10 keeps it, too.")
}

// overlapping shows that a write that ends while another's fdatasync is answered is acknowledged with no sync behind it. The end of the
// fdatasync is delayed: by itself QEMU is in that state for some µs.
func (r reproduction) overlapping(noRawNode bool) Reproduction {
	r.before = "strace -f -qq -o /dev/null -e trace=fdatasync -e inject=fdatasync:delay_exit=1000000 "
	r.ask = "-c 'write -P 15 0 4k' -c 'aio_write -P 16 4k 4k' -c 'sleep 500' -c 'aio_write -P 17 8k 4k' -c aio_flush"
	r.read = "-c 'read -P 17 8k 4k'"
	const held = "strace holds the answer to the second write's fdatasync back for a second, in which the third write comes. "
	if noRawNode {
		r.withoutRawNode()
		return r.lines(held + "There is no raw format node, as libvirt 11 and newer leave it out: on QEMU 7.2, 10.0 and 11.1 the last line " +
			"fails with “Pattern verification failed”: the third write was answered without a sync of its own.")
	}
	return r.lines(held + "On QEMU 10.0.3 and newer the last line fails with “Pattern verification failed”: the third write was answered " +
		"without a sync of its own. On QEMU 7.2 it is kept.")
}

// withoutRawNode lets qemu-io open the image by the file driver alone.
func (r *reproduction) withoutRawNode() {
	r.format = "--image-opts"
	r.image = `driver=file,filename="$d/disk.img"`
}

// lines returns the whole: a disk, qemu-io on it, which kills itself before it can flush, the cut, and what is left.
func (r reproduction) lines(shown string) Reproduction {
	if r.read == "" {
		r.read = reproducedRead
	}
	mount := `platter powercut mount "$d" --size 16MiB`
	if r.question.DriveCache != cell.Volatile {
		mount += " --drive-cache " + r.question.DriveCache
	}
	return Reproduction{Text: shown, Lines: []string{
		"d=$(mktemp -d)",
		mount + " &",
		`until [ -e "$d/disk.img" ]; do sleep 0.1; done`,
		fmt.Sprintf("%sqemu-io %s -t %s %s -c 'sigraise 9' %s", r.before, r.format, r.mode, r.ask, r.image),
		fmt.Sprintf(`platter powercut %s "$d"`, strings.ReplaceAll(r.question.Class, "_", "-")),
		`platter powercut restore "$d"`,
		fmt.Sprintf(`qemu-io -r -f raw %s "$d/disk.img"`, r.read),
		`umount "$d"`,
	}}
}

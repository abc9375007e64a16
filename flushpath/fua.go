package flushpath

import (
	"strings"

	"platter/version"
)

// fuaFlush is what QEMU does for a write that is to be durable when it returns: a guest's write with FUA, and under writethrough and
// directsync each write.
type fuaFlush struct {
	// late says that the flush may leave out the very write that it is made for.
	late bool
	// dsync says that there is no flush: the write itself is RWF_DSYNC.
	dsync  bool
	source string
}

// fuaFlush returns what this QEMU does for a raw image of this kind.
//
// QEMU's bdrv_co_flush sends nothing to a node whose write generation is still that of its last flush, and a write raises the generation
// when it ends at that node. A flush made for a write that has not ended yet is therefore dropped where that write is the first since the
// node was opened or flushed. Where the fdatasync of another write runs, the flush waits for it and is content, though it began too early.
// It is well where the flush is made above: a format's node asks the file's node anew, at which the write has ended.
func (c Config) fuaFlush() fuaFlush {
	switch {
	case !c.raw():
		return fuaFlush{source: sourceEachWrite}
	case c.local() && c.QEMU.AtLeast(10, 0, 0) && (c.IO == "native" || c.IO == "io_uring"):
		return fuaFlush{dsync: true, source: sourceDsync}
	case c.local() && c.QEMU.AtLeast(10, 0, 3):
		return fuaFlush{late: true, source: sourceLate}
	case c.local() && c.QEMU.AtLeast(10, 0, 0):
		return fuaFlush{source: sourceOwnFlush}
	case c.NoRawNode:
		return fuaFlush{late: true, source: sourceNoRawNode}
	}
	return fuaFlush{source: sourceEachWrite}
}

// leftOut says which writes a late flush leaves out.
func (c Config) leftOut() string {
	if c.Writers > 1 {
		return "the first one after start or after a flush, and any that ends while another's fdatasync runs"
	}
	return "the first one after start or after a flush"
}

// seesCache reports whether the disk tells the guest that it has a volatile cache, so that the guest flushes it. QEMU's NVMe device always
// does and its SD card never; the others when QEMU's cache.writeback is on.
func (c Config) seesCache() bool {
	switch c.Bus {
	case "nvme":
		return true
	case "sd":
		return false
	}
	writeback, _, _ := Effective(c)
	return writeback
}

// fua reports whether the guest marks writes with FUA instead of sending a flush behind them.
func (c Config) fua() bool {
	if !c.seesCache() || c.WriteCache == "write through" {
		return false // Linux strips FUA with the flush
	}
	switch {
	case c.FUA != "":
		return c.FUA == "1"
	case c.Bus == "scsi":
		return c.Machine.AtLeast(10, 1, 0)
	}
	return c.Bus == "nvme"
}

// fuaWrites reports whether each write of the application is sent with FUA and no flush behind it: O_DSYNC with O_DIRECT onto blocks that
// a file has already. On the raw device a flush follows all the same.
func (c Config) fuaWrites() bool {
	return c.fua() && c.mounted() && c.Direct && c.Sync == "dsync" && !c.remaps()
}

// fuaCommits reports whether a promise rests on a journal's commit block, which is written with FUA and no flush behind it. The flush
// before it makes the data durable: it matters where the data cannot be found without the commit.
func (c Config) fuaCommits() bool {
	return c.fua() && c.mounted() && c.barriers() && c.remaps()
}

// MachineVersion returns the version of a machine type: 10.1 of "pc-q35-10.1". One without a number, "q35" or none at all, is the newest
// that the QEMU has, which libvirt writes into a domain when it is defined. A distribution's own, "pc-q35-rhel9.6.0", is not known.
func MachineVersion(machine string, qemu version.Version) version.Version {
	switch machine {
	case "", "q35", "pc":
		return version.Version{Major: qemu.Major, Minor: qemu.Minor}
	}
	v, err := version.Parse(machine[strings.LastIndexByte(machine, '-')+1:])
	if err != nil {
		return version.Version{}
	}
	return v
}

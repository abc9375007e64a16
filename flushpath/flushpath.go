// Package flushpath is the model of a virtual disk's way to the medium: which layers a write and a flush cross between an
// application in the guest and the platter, where the flush ends, and what each failure class is therefore predicted to
// take. A prediction is derived from the layers and from nothing else; measurements stand beside it and may contradict it.
//
// Not modelled: the drive's firmware, the controller, the host's own file system and its journal.
package flushpath

import (
	"fmt"
	"slices"
	"strings"

	"platter/cell"
	"platter/version"
)

// Config is a disk, the guest's view of it, and the job that writes to it. The zero value is a raw local image with
// libvirt's default cache mode, a raw device in the guest, buffered writes and no promise.
type Config struct {
	// Cache is libvirt's attribute: none, writeback, writethrough, directsync or unsafe; "" and "default" are what
	// libvirt and QEMU make of them, writeback.
	Cache  string
	Bus    string // "virtio", "scsi", …: names the layer
	Format string // "raw", "qcow2", …; "" is raw. Any other than raw has metadata that QEMU holds in memory
	// Allocated says that all clusters of such an image are there and stay where they are: QEMU has no metadata to hold.
	Allocated bool
	// Protocol is that of a network source; "" is a local file or block device. Only "rbd" is modelled.
	Protocol string
	// Filesystem is the guest's: "" or one of cell.Filesystems: the raw device and those that are modelled.
	Filesystem string
	Barrier    bool // off only by a mount option: see cell.TakesBarrierOff; without meaning elsewhere
	// WriteCache is the guest's queue/write_cache and CacheType virtio's or SCSI's cache_type: "" as the kernel found it,
	// "write back" or "write through".
	WriteCache, CacheType string
	Direct                bool   // the application's O_DIRECT
	Sync                  string // fio's: "" or "none", "dsync", "sync"
	Fsync, Fdatasync      int    // after how many writes the job calls it; 0 never
	// Lies is a probe that promises each write without any sync: the control that must lose.
	Lies bool
	// Grows says that the job makes files or lets them grow: what makes the data reachable is metadata in the guest's
	// memory until a sync.
	Grows bool
	// Writers is how many writes of the job are under way at once, numjobs times iodepth; 0 is one.
	Writers int
	// IO is libvirt's attribute: "threads", "native" or "io_uring"; "" is QEMU's default, threads.
	IO string
	// QEMU is its version. One that is not known is taken for one before 10.0, which made the flush of a FUA write by itself.
	QEMU version.Version
	// NoRawNode says that QEMU's raw format node is left out above a raw image, as libvirt does from 11 on (LeavesRawOut).
	NoRawNode bool
	// FUA is the guest's queue/fua as it was read: "1" or "0"; "" leaves it to Bus and Machine. A write with FUA is to be durable when it
	// returns.
	FUA string
	// Machine is the version of the machine type, 10.1 of pc-q35-10.1; where it is not known, SCSI is taken to have no FUA.
	Machine version.Version
	// Sector is what the drive writes whole or not at all, in bytes; 0 is 512.
	Sector int
	// WritethroughUntilFlush says that rbd_cache_writethrough_until_flush is known to be in effect. It is Ceph's default,
	// but some builds of QEMU turn it off, so that it is not assumed.
	WritethroughUntilFlush bool
}

// Check returns why the model has no answer for a configuration, or nil: a cache mode or file system that it does not know, or a
// network protocol whose far end it does not know.
func (c Config) Check() error {
	if !slices.Contains([]string{"", "default", "none", "writeback", "writethrough", "directsync", "unsafe"}, c.Cache) {
		return fmt.Errorf("cache=%s is none of none, writeback, writethrough, directsync, unsafe, default", c.Cache)
	}
	if c.Filesystem != "" && !slices.Contains(cell.Filesystems(), c.Filesystem) {
		return fmt.Errorf("file system %s is not modelled; %s are", c.Filesystem, strings.Join(cell.Filesystems(), ", "))
	}
	if c.Protocol != "" && c.Protocol != "rbd" {
		return fmt.Errorf("what lies behind %s is not modelled; local files, block devices and rbd are", c.Protocol)
	}
	return nil
}

// Effective returns QEMU's cache flags, as query-block shows them: the table of cache modes in QEMU's manual, with the guest's
// cache_type laid over writeback. unsafe keeps no-flush whatever the guest sets.
func Effective(c Config) (writeback, direct, noFlush bool) {
	writeback = c.Cache != "writethrough" && c.Cache != "directsync"
	direct = c.Cache == "none" || c.Cache == "directsync"
	noFlush = c.Cache == "unsafe"
	switch c.CacheType {
	case "write through":
		writeback = false
	case "write back":
		writeback = true
	}
	return writeback, direct, noFlush
}

// raw reports whether the image has no metadata of its own.
func (c Config) raw() bool { return c.Format == "" || c.Format == "raw" }

// local reports whether the image is a file or block device of the host.
func (c Config) local() bool { return c.Protocol == "" }

// mounted reports whether the guest has a file system on the disk.
func (c Config) mounted() bool { return c.Filesystem != "" && c.Filesystem != cell.RawDevice }

// barriers reports whether the guest's file system, or the raw device, answers a sync with a flush.
func (c Config) barriers() bool { return !cell.TakesBarrierOff(c.Filesystem) || c.Barrier }

// remaps reports whether the job changes what the file system must know to find the data: a file grows, btrfs gives each write a new
// place, f2fs those that it writes back from the page cache (one with O_DIRECT stays where it is; fs/f2fs/data.c, f2fs_map_blocks).
func (c Config) remaps() bool {
	return c.Grows || c.Filesystem == "btrfs" || c.Filesystem == "f2fs" && !c.Direct
}

// syncedWrites reports whether each write is its own promise.
func (c Config) syncedWrites() bool { return c.Sync == "dsync" || c.Sync == "sync" }

// promises reports whether the job promises anything, and whether each write is promised when it returns.
func (c Config) promises() (any, each bool) {
	each = c.syncedWrites() || c.Lies
	return each || c.Fsync > 0 || c.Fdatasync > 0, each
}

// promiser returns what the promise is made by.
func (c Config) promiser() string {
	switch {
	case c.Lies:
		return "the probe's word"
	case c.Sync == "dsync":
		return "an O_DSYNC write"
	case c.Sync == "sync":
		return "an O_SYNC write"
	case c.Fsync == 0 && c.Fdatasync > 0:
		return "fdatasync"
	default:
		return "fsync"
	}
}

// Facts are what is known beside a cell: of the hypervisor that runs it, and of the disk as the guest read it back. What is not known is
// zero, and the model's answer is that for QEMU 7.2 below libvirt 9.0, on a disk without FUA.
type Facts struct {
	QEMU, Libvirt version.Version
	FUA           string // the guest's queue/fua: "1", "0", or ""
}

// FactsOf returns the facts of a hypervisor whose versions are texts, as a manifest has them; what cannot be read is not known.
func FactsOf(qemu, libvirt string) Facts {
	var f Facts
	f.QEMU, _ = version.Parse(qemu)
	f.Libvirt, _ = version.Parse(libvirt)
	return f
}

// LeavesRawOut reports whether this libvirt plugs a raw image in without QEMU's raw format node: 9.0 has the node, 11.3 and 12.9 do not
// (tried). Those between were not tried, and are taken to have it.
func LeavesRawOut(libvirt version.Version) bool { return libvirt.AtLeast(11, 0, 0) }

// Of returns a cell as the model takes it: its disk, what the guest makes of it, its job, and what is known beside it. A workload that
// appends to its file grows it.
func Of(c cell.Cell, f Facts) Config {
	knob := func(text string) string {
		if text == cell.AsDevice {
			return ""
		}
		return text
	}
	return Config{
		Cache: c.Cache(), Bus: c.Bus(), Format: c.Format(), Filesystem: c.Filesystem(), Barrier: c.Barrier() != "off",
		WriteCache: knob(c.WriteCache()), CacheType: knob(c.CacheType()), Direct: c.Direct(), Sync: c.Sync(),
		Fsync: c.Fsync(), Fdatasync: c.Fdatasync(), Grows: c.Appends(), Writers: c.Writers(),
		IO: c.IO(), QEMU: f.QEMU, NoRawNode: LeavesRawOut(f.Libvirt), FUA: f.FUA,
		Sector: c.Device().Sector,
	}
}

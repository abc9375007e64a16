package cell

import "slices"

// RawDevice is the file system of a cell whose workload runs on the disk itself.
const RawDevice = "none"

// Filesystems returns what the scratch disk can have in the guest: RawDevice first, then the file systems by the names that mount(8)
// has for them.
func Filesystems() []string { return []string{RawDevice, "ext4", "xfs", "btrfs", "f2fs"} }

// Relocates reports whether a file system may give a block of a file another place on the disk when it is overwritten: btrfs copies on
// write, and f2fs writes a log (Linux, Documentation/filesystems/f2fs.rst). Where blocks of such a file stood says nothing about them.
func Relocates(filesystem string) bool { return filesystem == "btrfs" || filesystem == "f2fs" }

// TakesBarrierOff reports whether a file system has a mount option that keeps it from flushing the disk: ext4's barrier=0, btrfs's and
// f2fs's nobarrier. xfs has had none since Linux 4.19.
func TakesBarrierOff(filesystem string) bool {
	return slices.Contains([]string{"ext4", "btrfs", "f2fs"}, filesystem)
}

// SmallestDisk returns the smallest disk in bytes on which mkfs makes a file system, and where that is said; 0 where none is too small for
// platter's sizes.
func SmallestDisk(filesystem string) (bytes int64, source string) {
	switch filesystem {
	case "xfs":
		return 300 << 20, `xfsprogs 5.19, mkfs/xfs_mkfs.c: "Filesystem must be larger than 300MB."`
	case "btrfs":
		return 114294784, `btrfs-progs 6.2: "minimum size for each btrfs device is 114294784"`
	case "f2fs":
		return 52 << 20, `f2fs-tools 1.15: 52 MiB are formatted, 51 MiB end in "Failed to prepare a super block"`
	}
	return 0, ""
}

// Filesystem returns the file system on the scratch disk, one of Filesystems.
func (c Cell) Filesystem() string { return c.textOr("guest.filesystem", RawDevice) }

// Barrier returns "off" where the file system is mounted so that it does not flush the disk, else "on".
func (c Cell) Barrier() string { return c.textOr("guest.barrier", "on") }

// Room returns how many bytes of the scratch disk a workload may use: all, or what a file system leaves. ext4's reserved blocks, inodes
// and journal and xfs's log of 64 MiB fit into 10 % and 64 MiB. f2fs keeps segments for its cleaner, 20 % of a small disk, beside 64 MiB.
// Of what btrfs has beside its metadata, which it keeps twice, half is left: an extent stays allocated as a whole until its last block is
// overwritten.
func (c Cell) Room() int64 {
	size := c.SizeBytes()
	switch c.Filesystem() {
	case RawDevice:
		return size
	case "f2fs":
		return max(0, size-size/5-64<<20)
	case "btrfs":
		return max(0, (size-size/10-128<<20)/2)
	}
	return max(0, size-size/10-64<<20)
}

package matrices

import (
	"regexp"
	"time"

	"platter/cell"
)

// storageNamespace are the settings of the storage that may be axes: type and size are those of the whole matrix.
func storageNamespace() namespace {
	return attributeNamespace("storage", "settings of the storage that may vary", []attribute{
		{name: "format", values: []string{"raw", "qcow2"}, about: "The format of the image."},
		{name: "cluster_size", multiple: minCluster, about: "qcow2's clusters: a power of 2 from 512 to 2MiB; qemu-img's default is 64KiB."},
		{name: "preallocation", values: []string{"off", "metadata", "falloc", "full"},
			about: "What qemu-img allocates beforehand; metadata is qcow2's alone."},
	})
}

// Clusters of qcow2 (QEMU, block/qcow2.h: MIN_CLUSTER_BITS, MAX_CLUSTER_BITS; "Cluster size must be a power of two
// between 512 and 2048k").
const (
	minCluster = 512
	maxCluster = 2 << 20
)

// maxQcow2Bytes is the largest disk that qcow2 can have with clusters of this size: 4 Mi entries of the first table
// (QCOW_MAX_L1_SIZE, 32 MiB) point at clusters of 8-byte entries. It is 128 GiB at 512 bytes (tried with QEMU 7.2).
func maxQcow2Bytes(cluster int64) int64 { return 4 << 20 * (cluster / 8) * cluster }

// treeName is what a root tree, and the machine's own hypervisor, may be called.
var treeName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,39}$`)

func hostNamespace() namespace {
	return attributeNamespace("host", "settings of the host", []attribute{{
		name: "hypervisor", pattern: treeName, example: "host for the machine's own, or the name of a root tree (platter hypervisor list)",
		about: "The hypervisor that runs the guest: host for the machine's own, or the name of a root tree; another value needs another boot.",
	}})
}

func guestNamespace() namespace {
	return attributeNamespace("guest", "settings of the guest", []attribute{
		{name: "memory", multiple: sectionMultiple, about: "The guest's memory; another value needs another boot."},
		{name: "vcpus", min: 1, max: maxVCPUs, about: "The guest's processors; another value needs another boot."},
		{name: "filesystem", values: cell.Filesystems(),
			about: "The file system on the scratch disk; none is the raw device. f2fs needs a guest that was built with --kernel " +
				"linux-image-amd64."},
		{name: "barrier", values: onOff(),
			about: "Mount option of ext4 (barrier=0), btrfs and f2fs (nobarrier): off keeps the file system from flushing the disk."},
		{name: "write_cache", values: []string{cell.AsDevice, "write through"},
			about: "The guest kernel's view of the disk (queue/write_cache): with write through it sends no flushes."},
		{name: "cache_type", values: []string{cell.AsDevice, "write through", "write back"},
			about: "The device's own mode, changed from inside the guest (virtio's and SCSI's cache_type)."},
	})
}

func deviceNamespace() namespace {
	const longest = 10 * time.Second // more is a mistake in the unit
	return attributeNamespace("device", "settings of the simulated disk", []attribute{
		{name: "write_latency", longest: longest, about: "How long moving data to the drive takes; 0us unless it is said."},
		{name: "flush_latency", longest: longest, about: "How long a flush takes beside that; 0us unless it is said."},
		{name: "dirty_expire", shortest: time.Millisecond, longest: time.Hour,
			about: "The age at which the host writes a dirty page back (vm.dirty_expire_centisecs); 30s unless it is said."},
		{name: "dirty_background", multiple: sectionMultiple,
			about: "How much the host holds dirty before it writes back (vm.dirty_background_bytes); 256MiB unless it is said."},
		{name: "drive_cache_size", multiple: sectionMultiple,
			about: "How much the drive's own cache holds; 64MiB unless it is said."},
		{name: "sector", values: []string{"512", "4096"},
			about: "What the drive writes whole or not at all, in bytes; 512 unless it is said."},
	})
}

package flushpath

// Where the rules come from. Those of QEMU were read in its source and tried with 7.2; those that depend on its version name the ones that
// were tried. docs/SAFETY.md says what was tried.
const (
	sourceOpen        = "open(2), O_DIRECT, O_DSYNC"
	sourceFsync       = "fsync(2)"
	sourceNode        = "Linux, fs/f2fs/recovery.c, find_fsync_dnodes and recover_inode: only the footer is looked at; tried with 6.1"
	sourceFilesystem  = "Linux, Documentation/block/writeback_cache_control.rst, file systems"
	sourceBlock       = "Linux, Documentation/block/writeback_cache_control.rst"
	sourceWriteCache  = "Linux, Documentation/ABI/stable/sysfs-block, queue/write_cache"
	sourceCacheType   = "Linux, Documentation/ABI/testing/sysfs-block-virtio and drivers/scsi/sd.c, cache_type"
	sourceModes       = "QEMU manual, -drive, cache=; libvirt, formatdomain, driver cache"
	sourceEachWrite   = "QEMU manual, -drive, cache.writeback; block/block-backend.c, BDRV_REQ_FUA"
	sourceNoFlush     = "QEMU manual, -drive, cache.no-flush; block/io.c, bdrv_co_flush"
	sourceFormat      = "QEMU, block/io.c, bdrv_co_flush: flush_to_os also with no-flush; block/qcow2.c"
	sourceRBD         = "QEMU, block/rbd.c, rbd_cache; Ceph, librbd settings, rbd_cache"
	sourceUntilFlush  = "Ceph, librbd settings, rbd_cache_writethrough_until_flush"
	sourceCluster     = "Ceph, librbd settings: a write returns when it is on disk on all replicas"
	sourceApplication = "docs/SAFETY.md, controls"
	sourceLate        = "QEMU from 10.0.3 on, block/file-posix.c, raw_co_prw (commit d402da1360c2); block/io.c, bdrv_co_flush, write_gen; " +
		"tried with 10.0.13 and 11.1.3"
	sourceNoRawNode = "QEMU, block/io.c, bdrv_driver_pwritev: FUA of a driver that has none, without a format node above; tried with 7.2.22"
	sourceOwnFlush  = "QEMU 10.0.0 to 10.0.2, block/file-posix.c, raw_co_prw (commit 984a32f17e8d); tried with 10.0.2"
	sourceDsync     = "QEMU from 10.0 on, block/file-posix.c, RWF_DSYNC (commit 984a32f17e8d); tried with 10.0.2, 10.0.13 and 11.1.3"
	sourceSCSIFUA   = "QEMU from 10.1 on, hw/scsi/scsi-disk.c, dpofua; tried with 11.1.3"
	sourceNVMe      = "QEMU, hw/nvme/ctrl.c; Linux, drivers/nvme/host/core.c, NVME_CTRL_VWC_PRESENT; tried with 7.2.22"
	sourceFUA       = "Linux, Documentation/block/writeback_cache_control.rst, FUA; fs/iomap/direct-io.c, fs/jbd2/commit.c, fs/xfs/xfs_log.c"
	sourceSD        = "QEMU, hw/sd/sd.c; Linux, drivers/mmc/core/block.c"
)

// sourceBarrier returns where it is said that a file system can be kept from flushing.
func sourceBarrier(filesystem string) string {
	switch filesystem {
	case "btrfs":
		return "btrfs(5), nobarrier; Linux, fs/btrfs/disk-io.c, barrier_all_devices"
	case "f2fs":
		return "Linux, Documentation/filesystems/f2fs.rst, nobarrier; fs/f2fs/segment.c, f2fs_issue_flush"
	}
	return "Linux, Documentation/admin-guide/ext4.rst, barrier; fs/ext4/fsync.c"
}

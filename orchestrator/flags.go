package orchestrator

import (
	"platter/flushpath"
	"platter/matrices"
	"platter/results"
)

// expected are the cache flags that a cell means: those of its cache mode, with the write cache as the guest sets it
// through the device's cache_type (virtio's and SCSI's knob), which QEMU follows.
func expected(c matrices.Cell) results.CacheFlags {
	writeback, direct, noFlush := flushpath.Effective(flushpath.Config{Cache: cache(c), CacheType: c.Guest.CacheType})
	return results.CacheFlags{Writeback: writeback, Direct: direct, NoFlush: noFlush}
}

package orchestrator

import (
	"platter/matrices"
	"platter/results"
)

// expected are the cache flags that a cell means: those of its cache mode, with the write cache as the guest sets it
// through the device's cache_type (virtio's and SCSI's knob), which QEMU follows. unsafe stays unsafe.
func expected(c matrices.Cell) results.CacheFlags {
	f := expectedFlags(cache(c))
	switch c.Guest.CacheType {
	case "write through":
		f.Writeback = false
	case "write back":
		f.Writeback = true
	}
	return f
}

// expectedFlags is the table of QEMU's manual ("cache" of -drive; cache.writeback, cache.direct, cache.no-flush) for
// libvirt's cache attribute. A disk without the attribute gets QEMU's default, writeback.
func expectedFlags(cache string) results.CacheFlags {
	switch cache {
	case "none":
		return results.CacheFlags{Writeback: true, Direct: true}
	case "writethrough":
		return results.CacheFlags{}
	case "directsync":
		return results.CacheFlags{Direct: true}
	case "unsafe":
		return results.CacheFlags{Writeback: true, NoFlush: true}
	default:
		return results.CacheFlags{Writeback: true}
	}
}

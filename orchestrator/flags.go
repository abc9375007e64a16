package orchestrator

import "platter/results"

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

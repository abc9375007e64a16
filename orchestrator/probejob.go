package orchestrator

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"time"

	"platter/flushpath"
	"platter/matrices"
	"platter/orchestrator/guest"
	"platter/powercut/witness"
)

// promises tells whether the cell's application is promised anything.
func promises(c matrices.Cell) bool {
	return number(c, "fsync", 0) > 0 || number(c, "fdatasync", 0) > 0 || syncWrites(c)
}

func number(c matrices.Cell, option string, otherwise int) int {
	n, err := strconv.Atoi(setting(c.Fio, option))
	if err != nil {
		return otherwise
	}
	return n
}

// campaignNumber names a cell's campaign in every stamp.
func campaignNumber(seed uint64, what string) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s", seed, what)
	return h.Sum64() | 1
}

// probeJob is the cell's fio job in the probe's words.
func probeJob(c matrices.Cell, s matrices.Safety, seed uint64) (guest.ProbeJob, error) {
	bs, err := matrices.ParseSize(fioDefault(c, "bs", "4k"))
	if err != nil {
		return guest.ProbeJob{}, fmt.Errorf("cell %s: bs: %w", c.ID, err)
	}
	jobs := number(c, "numjobs", 1)
	rw := fioDefault(c, "rw", "randwrite")
	layout := witness.Layout{
		Campaign: campaignNumber(seed, "run"), Pattern: s.Pattern, Jobs: jobs, BlockBytes: int(bs),
		Blocks: max(1, int(s.SizeBytes/bs)/jobs), Random: rw == "randwrite" || rw == "randrw", Seed: seed,
	}
	if err := layout.Check(); err != nil {
		return guest.ProbeJob{}, fmt.Errorf("cell %s: %w", c.ID, err)
	}
	return guest.ProbeJob{
		Layout: layout, RW: rw, RWMixRead: number(c, "rwmixread", 50), Direct: direct(c), Sync: syncOf(c),
		Fsync: number(c, "fsync", 0), Fdatasync: number(c, "fdatasync", 0), IODepth: number(c, "iodepth", 1),
		Runtime: time.Duration(s.Seconds * float64(time.Second)),
	}, nil
}

func fioDefault(c matrices.Cell, option, otherwise string) string {
	if v := setting(c.Fio, option); v != "" {
		return v
	}
	return otherwise
}

// modelOf is the cell as the model of the flush path takes it. The images of campaigns are allocated in full, so that qcow2 has
// no metadata to lose when blocks are overwritten.
func modelOf(c matrices.Cell, pattern string) flushpath.Config {
	knob := func(v string) string {
		if v == "device" {
			return ""
		}
		return v
	}
	format := c.Storage.Format
	if pattern == witness.Overwrite {
		format = "raw"
	}
	return flushpath.Config{
		Cache: cache(c), Bus: bus(c), Format: format, Filesystem: c.Guest.Filesystem,
		Barrier: c.Guest.Barrier != "off", WriteCache: knob(c.Guest.WriteCache), CacheType: knob(c.Guest.CacheType),
		Direct: direct(c), Sync: syncOf(c), Fsync: number(c, "fsync", 0), Fdatasync: number(c, "fdatasync", 0),
		Grows: pattern != witness.Overwrite,
	}
}

func setupOf(c matrices.Cell, fileBytes int64) guest.Setup {
	return guest.Setup{Filesystem: c.Guest.Filesystem, Barrier: c.Guest.Barrier, WriteCache: c.Guest.WriteCache, CacheType: c.Guest.CacheType, FileBytes: fileBytes}
}

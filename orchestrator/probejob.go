package orchestrator

import (
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"platter/cell"
	"platter/flushpath"
	"platter/matrices"
	"platter/orchestrator/guest"
	"platter/powercut/witness"
)

// campaignNumber names a cell's campaign in every stamp.
func campaignNumber(seed uint64, what string) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s", seed, what)
	return h.Sum64() | 1
}

// probeJob is the cell's fio job in the probe's words.
func probeJob(c cell.Cell, s matrices.Safety, seed uint64) (guest.ProbeJob, error) {
	layout := witness.Layout{
		Campaign: campaignNumber(seed, "run"), Pattern: s.Pattern, Jobs: c.Jobs(), BlockBytes: int(c.BlockBytes()),
		Blocks: max(1, int(s.SizeBytes/c.BlockBytes())/c.Jobs()), Random: strings.HasPrefix(c.RW(), "rand"), Seed: seed,
	}
	if err := layout.Check(); err != nil {
		return guest.ProbeJob{}, fmt.Errorf("cell %s: %w", c.ID, err)
	}
	return guest.ProbeJob{
		Layout: layout, RW: c.RW(), RWMixRead: c.ReadPercent(), Direct: c.Direct(), Sync: c.Sync(),
		Fsync: c.Fsync(), Fdatasync: c.Fdatasync(), IODepth: c.IODepth(),
		Runtime: time.Duration(s.Seconds * float64(time.Second)),
	}, nil
}

// model is a cell as the model of the flush path takes it in a campaign. Images of campaigns are allocated in full, so that qcow2
// has no metadata to lose when blocks are overwritten.
func (x *crashes) model(c cell.Cell) flushpath.Config {
	m := flushpath.Of(c)
	m.Grows = x.safety.Pattern != witness.Overwrite
	if !m.Grows {
		m.Format = "raw"
	}
	return m
}

func setupOf(c cell.Cell, fileBytes int64) guest.Setup {
	return guest.Setup{Filesystem: c.Filesystem(), Barrier: c.Barrier(), WriteCache: c.WriteCache(), CacheType: c.CacheType(),
		FileBytes: fileBytes}
}

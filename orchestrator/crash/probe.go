package crash

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"platter/cell"
	"platter/fault"
	"platter/matrices"
	"platter/orchestrator/guest"
	"platter/powercut/replay"
	"platter/powercut/witness"
	"platter/text"
)

// probe is the witness that does a cell's fio job in fio's words.
type probe struct {
	job     guest.ProbeJob
	storage string // a directory for what it reads out of survivors
}

// newProbe returns the probe for a cell.
func newProbe(c cell.Cell, s matrices.Safety, seed uint64, storage string) (*probe, error) {
	layout := witness.Layout{
		Campaign: number(seed, "run"), Pattern: s.Pattern, Jobs: c.Jobs(), BlockBytes: int(c.BlockBytes()),
		Blocks: max(1, int(s.SizeBytes/c.BlockBytes())/c.Jobs()), Random: strings.HasPrefix(c.RW(), "rand"), Seed: seed,
	}
	if err := layout.Check(); err != nil {
		return nil, fault.New(fault.Usage, "cell %s: %v", c.ID, err)
	}
	return &probe{storage: storage, job: guest.ProbeJob{
		Layout: layout, RW: c.RW(), RWMixRead: c.ReadPercent(), Direct: c.Direct(), Sync: c.Sync(),
		Fsync: c.Fsync(), Fdatasync: c.Fdatasync(), IODepth: c.IODepth(),
		Runtime: time.Duration(s.Seconds * float64(time.Second)),
	}}, nil
}

// number returns the number that what is called so has under a seed. It is never 0.
func number(seed uint64, what string) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s", seed, what)
	return h.Sum64() | 1
}

// Layout implements Witness.
func (p *probe) Layout() witness.Layout { return p.job.Layout }

// Prepare implements Witness. Only blocks that are overwritten stay where they are.
func (p *probe) Prepare(ctx context.Context, m Machine, target string) ([]replay.Extent, error) {
	if p.job.Layout.Pattern != witness.Overwrite {
		return nil, nil
	}
	found, err := m.Prefill(ctx, guest.ProbeJob{Layout: p.job.Layout, Target: target})
	if err != nil {
		return nil, fmt.Errorf("lay out the probe's file: %w", err)
	}
	var extents []replay.Extent
	for _, e := range found {
		extents = append(extents, replay.Extent{File: e.File, Image: e.Image, Length: e.Length})
	}
	return extents, nil
}

// Run implements Witness.
func (p *probe) Run(ctx context.Context, m Machine, target string, forever bool) (Work, error) {
	job := p.job
	job.Target = target
	if forever {
		job.Runtime = time.Minute // it does not live to see it
	}
	run, err := m.Probe(ctx, job)
	work := Work{Error: run.Error}
	if run.IODepth != job.IODepth {
		work.IODepth = run.IODepth
	}
	for _, j := range run.Jobs {
		work.Syncs += j.Syncs
		work.Writes += j.Writes
	}
	return work, err
}

// Ledger implements Witness.
func (p *probe) Ledger(log string, c replay.Campaign, point int64) (*replay.Ledger, error) {
	ledger, err := replay.LedgerFile(replay.File(log), c, point)
	if err != nil {
		return nil, rigError("read the ledger", err)
	}
	return ledger, nil
}

// Check implements Witness. Where the file system is gone, so are files.
func (p *probe) Check(ctx context.Context, s survivor, c replay.Campaign, ledger *replay.Ledger) (replay.Loss, error) {
	if c.Layout.Pattern == witness.Overwrite {
		f, err := os.Open(s.path)
		if err != nil {
			return replay.Loss{}, rigError("read a survivor", err)
		}
		defer f.Close()
		loss, err := replay.Check(f, c, ledger)
		if err != nil {
			return replay.Loss{}, rigError("read a survivor", err)
		}
		return loss, nil
	}
	if c.Filesystem != "ext4" {
		return replay.Loss{}, fault.New(fault.Usage,
			"files of the pattern %s are read back from ext4 alone: for %s ask for live cuts of overwritten blocks", c.Layout.Pattern, c.Filesystem)
	}
	if s.broken != "" {
		return replay.Loss{Promises: ledger.Promises(), PromisesLost: ledger.Promises()}, nil
	}
	dir, err := os.MkdirTemp(p.storage, "files-")
	if err != nil {
		return replay.Loss{}, rigError("read a survivor's files", err)
	}
	defer os.RemoveAll(dir)
	if _, err := debugfs(ctx, s.path, "rdump / "+debugfsWord(dir)); err != nil {
		return replay.Loss{}, err
	}
	promised, acknowledged := ledger.Sequences()
	loss, err := guest.CheckProbeHere(ctx, p.storage, filepath.Join(dir, "data"), c.Layout, promised, acknowledged)
	if err != nil {
		return replay.Loss{}, rigError("read a survivor's files", err)
	}
	return p.loss(loss), nil
}

// loss returns what the probe found gone, as the judge counts it.
func (p *probe) loss(l guest.ProbeLoss) replay.Loss {
	return replay.Loss{Promises: l.Promises, PromisesLost: l.PromisesLost, Torn: l.Torn, ExposedWrites: l.ExposedWrites,
		ExposedBytes: l.ExposedWrites * int64(p.job.Layout.BlockBytes), FirstLost: l.FirstLost}
}

// CheckMounted implements Witness.
func (p *probe) CheckMounted(ctx context.Context, m Machine, target string, ledger *replay.Ledger) (replay.Loss, error) {
	promised, acknowledged := ledger.Sequences()
	loss, err := m.Check(ctx, target, p.job.Layout, promised, acknowledged)
	return p.loss(loss), err
}

// readThrough reads the file of overwritten blocks through a survivor's ext4, without mounting it. It returns what is wrong with the file
// system when more promises are gone from the file than from the places on the disk where the file stood, which raw counts. The file
// lies in the directory storage meanwhile.
func readThrough(ctx context.Context, storage string, s survivor, c replay.Campaign, ledger *replay.Ledger, raw replay.Loss) (string,
	error) {
	path := filepath.Join(storage, "data.dump")
	defer os.Remove(path)
	said, err := debugfs(ctx, s.path, "dump /data "+debugfsWord(path))
	if err != nil {
		return "", err
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "its file is gone: " + text.LastLine(said), nil
	}
	if err != nil {
		return "", rigError("read a survivor's file", err)
	}
	defer f.Close()
	c.Extents, c.SizeBytes = nil, c.Layout.JobBytes()*int64(c.Layout.Jobs)
	read, err := replay.Check(f, c, ledger)
	if err != nil {
		return "", rigError("read a survivor's file", err)
	}
	if read.PromisesLost > raw.PromisesLost {
		return fmt.Sprintf("its file does not read back whole: %d promises are gone from it, %d from its places on the disk",
			read.PromisesLost, raw.PromisesLost), nil
	}
	return "", nil
}

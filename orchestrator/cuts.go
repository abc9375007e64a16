package orchestrator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"platter/cell"
	"platter/libvirtxml"
	"platter/orchestrator/guest"
	"platter/powercut/replay"
	"platter/results"
)

// A live cut comes between these times after the probe's first promise or acknowledgement.
const (
	earliestCut = 700 * time.Millisecond
	latestCut   = 1500 * time.Millisecond
)

// cuts makes the campaign's live cuts and enters them into the records of their class with the first drive cache, which is the one that
// the cuts are made with; where the verdict rests on them each record has its own.
func (x *crashes) cuts(ctx context.Context, c Campaign, job guest.ProbeJob, records []results.Safety) error {
	if c.Cuts == 0 {
		return nil
	}
	for i := range records {
		r := &records[i]
		if r.DriveCache != x.safety.DriveCaches[0] && !restsOnCuts(c.Cell) {
			continue
		}
		r.Live = &results.LiveCuts{Agrees: true}
		for n := range c.Cuts {
			x.run.Tell(Event{Message: fmt.Sprintf("live cut %d of %d: %s, %s", n+1, c.Cuts, r.Class, c.Cell.ID)})
			if err := x.cut(ctx, c, job, n, r); err != nil {
				return fmt.Errorf("live cut (%s): %w", r.Class, err)
			}
		}
		r.Live.Bound = liveBound(*r.Live)
	}
	return nil
}

// liveCut is one crash that really happened.
type liveCut struct {
	at   replay.At
	name string // of the survivor on the simulated disk
}

// cut makes one live cut: the probe runs, the machine is ended the way of the class, the survivor is looked at, and the replay of the
// log up to the same moment must leave the same survivor.
func (x *crashes) cut(ctx context.Context, c Campaign, job guest.ProbeJob, n int, r *results.Safety) error {
	cut := liveCut{at: replay.At{Question: cell.Question{Class: r.Class, DriveCache: r.DriveCache}}}
	rng := rand.New(rand.NewPCG(x.seed, campaignNumber(uint64(n), c.Cell.ID+r.Class)))
	wait := earliestCut + time.Duration(rng.Int64N(int64(latestCut-earliestCut)))
	rec, err := x.record(ctx, c, job, r.DriveCache, func(ctx context.Context, rec *recording, m Subject) error {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
		return x.happen(ctx, &cut, rec, m)
	})
	if err != nil {
		return err
	}
	defer rec.discard()
	err = x.run.closeMachine(ctx)
	if err == nil {
		err = x.compare(ctx, c, rec, cut, n, r)
	}
	return errors.Join(err, x.remove(ctx, rec.names[:]...))
}

// happen is the crash.
func (x *crashes) happen(ctx context.Context, cut *liveCut, rec *recording, m Subject) error {
	class := cut.at.Class
	hosts := class == cell.HostCrash || class == cell.PowerLoss
	if hosts {
		point, err := x.disk.Cut(ctx, class)
		if err != nil {
			return rigError("cut the power", err)
		}
		cut.at.Point = point
	}
	if err := m.Crash(ctx, class); err != nil {
		return err
	}
	info, err := x.disk.StopLog(ctx)
	if err != nil {
		return rigError("end the log", err)
	}
	cut.name = rec.names[0]
	if !hosts {
		cut.at.Point = info.Events
		return nil
	}
	names, err := x.disk.Restore(ctx, 0)
	if err != nil {
		return rigError("serve the survivor", err)
	}
	for i, old := range rec.names {
		if names[old] != "" {
			rec.names[i] = names[old]
		}
	}
	cut.name = rec.names[0]
	return nil
}

// compare looks at the live survivor and at the replayed one, and enters both into the record.
func (x *crashes) compare(ctx context.Context, c Campaign, rec *recording, cut liveCut, n int, r *results.Safety) error {
	live := filepath.Join(x.mount, cut.name)
	replayed := filepath.Join(x.run.Storage, "replayed.img")
	defer os.Remove(replayed)
	if err := x.materialise(ctx, rec, cut.at, replayed); err != nil {
		return err
	}
	at, err := firstDifference(live, replayed)
	if err != nil {
		return rigError("compare the survivor with its replay", err)
	}
	if at >= 0 {
		r.Live.Agrees = false
		r.Live.Disagreement = fmt.Sprintf("cut %d: the survivor differs from its replay at byte %d", n+1, at)
		if err := x.keepBoth(c.Cell.ID, rec, live, cut, n); err != nil {
			return err
		}
	}
	ledger, err := replay.LedgerFile(replay.File(rec.log), rec.campaign, cut.at.Point)
	if err != nil {
		return rigError("read the ledger of a live cut", err)
	}
	took, err := x.liveLoss(ctx, c, rec, live, ledger)
	if err != nil {
		return err
	}
	again, err := x.replayedLoss(ctx, rec, cut, ledger, replayed)
	if err != nil {
		return err
	}
	if !took.agrees(again, c.Cell) && r.Live.Agrees {
		r.Live.Agrees = false
		r.Live.Disagreement = fmt.Sprintf("cut %d: %s, and in its replay %s", n+1, took, again)
		if err := x.keepBoth(c.Cell.ID, rec, live, cut, n); err != nil {
			return err
		}
	}
	enterCut(r, took, ledger.Promises(), n)
	return nil
}

// cutLoss is what a crash took: promises, all of them where the file system or the format is broken.
type cutLoss struct {
	promises int64
	broken   string // what was said of it; empty when it is whole
}

func (l cutLoss) String() string {
	text := fmt.Sprintf("%d promises lost", l.promises)
	if l.broken != "" {
		text += " (" + l.broken + ")"
	}
	return text
}

// agrees reports whether a cut and its replay took something, both or neither. What only the guest saw of a file system that is
// looked at in
// live cuts alone is no disagreement.
func (l cutLoss) agrees(replayed cutLoss, c cell.Cell) bool {
	live, again := l.promises > 0 || l.broken != "", replayed.promises > 0 || replayed.broken != ""
	return live == again || live && restsOnCuts(c)
}

// enterCut takes the n-th cut into its record.
func enterCut(r *results.Safety, took cutLoss, promises int64, n int) {
	r.Live.Cuts++
	if took.promises > 0 || took.broken != "" {
		r.Live.Lost++
	}
	if took.promises > r.Live.PromisesLost || took.promises == r.Live.PromisesLost && promises > r.Live.Promises {
		r.Live.PromisesLost, r.Live.Promises = took.promises, promises
	}
	if took.broken != "" && r.Filesystem == "" {
		r.Filesystem = fmt.Sprintf("live cut %d: %s", n+1, took.broken)
	}
}

// replayedLoss is what is gone in the replayed survivor.
func (x *crashes) replayedLoss(ctx context.Context, rec *recording, cut liveCut, ledger *replay.Ledger, replayed string) (cutLoss, error) {
	s := survivor{path: replayed}
	var err error
	if rec.campaign.Format != "raw" {
		if s, err = asRaw(ctx, s, rec.campaign.Format); err != nil {
			return cutLoss{}, err
		}
		defer os.Remove(s.path)
	}
	if rec.campaign.Filesystem == "ext4" && s.broken == "" {
		if s.broken, err = checkExt4(ctx, s.path); err != nil {
			return cutLoss{}, err
		}
	}
	if s.broken != "" {
		return cutLoss{ledger.Promises(), s.broken}, nil
	}
	loss, _, err := x.checkSurvivor(ctx, rec, cut.at, s)
	return cutLoss{promises: loss.PromisesLost}, err
}

// liveLoss is what is gone in the live survivor: read on the host on a raw device, and in a restored guest that has mounted it where there
// is a file system or another format. A guest or rig that cannot look is an error and no loss.
func (x *crashes) liveLoss(ctx context.Context, c Campaign, rec *recording, path string, ledger *replay.Ledger) (cutLoss, error) {
	if rec.campaign.Filesystem == "none" && rec.campaign.Format == "raw" {
		f, err := os.Open(path)
		if err != nil {
			return cutLoss{}, rigError("read the survivor", err)
		}
		defer f.Close()
		loss, err := replay.Check(f, rec.campaign, ledger)
		if err != nil {
			return cutLoss{}, rigError("read the survivor", err)
		}
		return cutLoss{promises: loss.PromisesLost}, nil
	}
	if rec.campaign.Format != "raw" {
		// An image that QEMU would refuse is not plugged in: why it was refused could not be told from a fault of the rig.
		broken, err := checkFormat(ctx, path, rec.campaign.Format)
		if err != nil || broken != "" {
			return cutLoss{ledger.Promises(), broken}, err
		}
	}
	if err := x.run.needMachine(ctx, c.Boot); err != nil {
		return cutLoss{}, err
	}
	m, err := x.run.subject()
	if err != nil {
		return cutLoss{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, attachLimit+prepareLimit+probeSlack)
	defer cancel()
	loss, err := readLive(ctx, m, rec, path, ledger)
	var broken *guest.BrokenError
	if errors.As(err, &broken) && rec.campaign.Filesystem != "none" {
		loss, err = cutLoss{ledger.Promises(), broken.Error()}, nil
	}
	if err != nil {
		return cutLoss{}, err
	}
	return loss, m.Detach(ctx)
}

// readLive plugs a live survivor in, mounts it where there is a file system, and reads it back.
func readLive(ctx context.Context, m Subject, rec *recording, path string, ledger *replay.Ledger) (cutLoss, error) {
	disk := libvirtxml.ScratchDisk{File: path, Format: rec.campaign.Format, Bus: "virtio", Target: virtioTarget, Serial: scratchSerial,
		Driver: []libvirtxml.Attr{{Name: "cache", Value: "none"}}}
	if err := m.Attach(ctx, disk); err != nil {
		return cutLoss{}, fmt.Errorf("attach the survivor: %w", err)
	}
	prepared, err := m.Prepare(ctx, guest.Setup{Filesystem: rec.campaign.Filesystem, Barrier: "on", WriteCache: "device", CacheType: "device",
		FileBytes: rec.base.fileBytes})
	if err != nil {
		return cutLoss{}, err
	}
	promised, acknowledged := ledger.Sequences()
	loss, err := m.Check(ctx, prepared.Target, rec.campaign.Layout, promised, acknowledged)
	return cutLoss{promises: loss.PromisesLost}, err
}

// keepBoth stores log and survivor of a cut that disagrees with its replay.
func (x *crashes) keepBoth(cell string, rec *recording, live string, cut liveCut, n int) error {
	dir, err := x.run.Journal.SafetyDir(cell)
	if err == nil {
		name := filepath.Join(dir, fmt.Sprintf("live-%s-%d", cut.at.Class, n+1))
		err = errors.Join(compress(rec.log, name+".oplog.gz"), compress(live, name+".img.gz"))
	}
	if err != nil {
		return rigError("keep a live cut", err)
	}
	return nil
}

// firstDifference is the offset of the first byte in which two files differ; -1 when they are equal.
func firstDifference(a, b string) (int64, error) {
	f, err := os.Open(a)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	g, err := os.Open(b)
	if err != nil {
		return 0, err
	}
	defer g.Close()
	x, y := make([]byte, 1<<20), make([]byte, 1<<20)
	for off := int64(0); ; {
		n, err := io.ReadFull(f, x)
		m, err2 := io.ReadFull(g, y)
		if !bytes.Equal(x[:n], y[:m]) {
			for i := range min(n, m) {
				if x[i] != y[i] {
					return off + int64(i), nil
				}
			}
			return off + int64(min(n, m)), nil
		}
		off += int64(n)
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return -1, nil
		case err != nil || err2 != nil:
			return 0, errors.Join(err, err2)
		}
	}
}

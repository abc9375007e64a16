package crash

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
	"platter/orchestrator/guest"
	"platter/orchestrator/scratch"
	"platter/powercut/replay"
	"platter/results"
)

// A live cut comes between these times after the witness's first record.
const (
	earliestCut = 700 * time.Millisecond
	latestCut   = 1500 * time.Millisecond
)

// liveCuts makes the campaign's live cuts and enters them into the records of their class with the first drive cache, which is the one that
// the cuts are made with; where the verdict rests on them each record has its own.
func (x *Campaigns) liveCuts(ctx context.Context, c Campaign, w Witness, records []results.Safety) error {
	if c.LiveCuts == 0 {
		return nil
	}
	for i := range records {
		r := &records[i]
		if r.DriveCache != x.Safety.DriveCaches[0] && !restsOnLiveCuts(c.Cell) {
			continue
		}
		r.Live = &results.LiveCuts{Agrees: true}
		for n := range c.LiveCuts {
			x.Rig.Tell(fmt.Sprintf("live cut %d of %d: %s, %s", n+1, c.LiveCuts, r.Class, c.Cell.ID))
			if err := x.liveCut(ctx, c.Cell, w, n, r); err != nil {
				return fmt.Errorf("live cut (%s): %w", r.Class, err)
			}
		}
		r.Live.Bound = liveBound(*r.Live)
	}
	return nil
}

// liveCut makes one: the witness works, the machine is ended the way of the class, the survivor is looked at, and the replay of the log
// up to the same moment must leave the same survivor.
func (x *Campaigns) liveCut(ctx context.Context, c cell.Cell, w Witness, n int, r *results.Safety) error {
	at := replay.At{Question: cell.Question{Class: r.Class, DriveCache: r.DriveCache}}
	rng := rand.New(rand.NewPCG(x.Seed, number(uint64(n), c.ID+r.Class)))
	wait := earliestCut + time.Duration(rng.Int64N(int64(latestCut-earliestCut)))
	rec, err := x.record(ctx, c, w, r.DriveCache, func(ctx context.Context, rec *recording, m Machine) error {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
		var err error
		at.Point, err = x.end(ctx, r.Class, rec, m)
		return err
	})
	if err != nil {
		return err
	}
	defer rec.discard()
	err = x.Rig.CloseMachine(ctx)
	if err == nil {
		err = x.enterLiveCut(ctx, c, rec, at, n, r)
	}
	return errors.Join(err, x.Disk.Discard(ctx, rec.data, rec.watch))
}

// end ends the machine the way of the class, and the log, and returns the crash point. rec.data is the survivor's name from then on.
func (x *Campaigns) end(ctx context.Context, class string, rec *recording, m Machine) (point int64, err error) {
	hosts := class == cell.HostCrash || class == cell.PowerLoss
	if hosts {
		if point, err = x.Disk.Cut(ctx, class); err != nil {
			return 0, rigError("cut the power", err)
		}
	}
	if err := m.Crash(ctx, class); err != nil {
		return 0, err
	}
	info, err := x.Disk.StopLog(ctx)
	if err != nil {
		return 0, rigError("end the log", err)
	}
	if !hosts {
		return info.Events, nil
	}
	names, err := x.Disk.Restore(ctx, 0)
	if err != nil {
		return 0, rigError("serve the survivor", err)
	}
	for _, name := range []*string{&rec.data, &rec.watch} {
		if names[*name] != "" {
			*name = names[*name]
		}
	}
	return point, nil
}

// enterLiveCut looks at the n-th live survivor, from 0, and at the replayed one, and enters what it finds into the record.
func (x *Campaigns) enterLiveCut(ctx context.Context, c cell.Cell, rec *recording, at replay.At, n int, r *results.Safety) error {
	live := x.Disk.Path(rec.data)
	replayed := filepath.Join(x.Storage, "replayed.img")
	defer os.Remove(replayed)
	disagree := func(format string, args ...any) error {
		r.Live.Agrees = false
		r.Live.Disagreement = fmt.Sprintf("cut %d: %s", n+1, fmt.Sprintf(format, args...))
		dir, err := x.Rig.SafetyDir(c.ID)
		if err == nil {
			name := filepath.Join(dir, fmt.Sprintf("live-%s-%d", at.Class, n+1))
			err = errors.Join(compress(rec.log, name+".oplog.gz"), compress(live, name+".img.gz"))
		}
		if err != nil {
			return rigError("keep a live cut", err)
		}
		return nil
	}
	if err := materialise(ctx, rec, at, replayed); err != nil {
		return err
	}
	offset, err := firstDifference(live, replayed)
	if err != nil {
		return rigError("compare the survivor with its replay", err)
	}
	if offset >= 0 {
		if err := disagree("the survivor differs from its replay at byte %d", offset); err != nil {
			return err
		}
	}
	ledger, err := rec.witness.Ledger(rec.log, rec.campaign, at.Point)
	if err != nil {
		return err
	}
	took, err := x.liveLoss(ctx, c, rec, live, ledger)
	if err != nil {
		return err
	}
	again, err := x.replayedLoss(ctx, c, rec, replayed, ledger)
	if err != nil {
		return err
	}
	if !took.agrees(again, c) && r.Live.Agrees {
		if err := disagree("%s, and in its replay %s", took, again); err != nil {
			return err
		}
	}
	addLiveCut(r, took, ledger.Promises(), n)
	return nil
}

// cutLoss is what a crash took: promises, all of them where the file system or the format is broken.
type cutLoss struct {
	promises int64
	broken   string // what was said of it; empty when it is whole
}

// String says it in words.
func (l cutLoss) String() string {
	text := fmt.Sprintf("%d promises lost", l.promises)
	if l.broken != "" {
		text += " (" + l.broken + ")"
	}
	return text
}

// agrees reports whether a cut and its replay took something, both or neither. What only the guest saw of a file system that is looked at
// in live cuts alone is no disagreement.
func (l cutLoss) agrees(replayed cutLoss, c cell.Cell) bool {
	live, again := l.promises > 0 || l.broken != "", replayed.promises > 0 || replayed.broken != ""
	return live == again || live && restsOnLiveCuts(c)
}

// addLiveCut enters what the n-th live cut took, from 0, into its record.
func addLiveCut(r *results.Safety, took cutLoss, promises int64, n int) {
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

// replayedLoss returns what is gone in the replayed survivor at path.
func (x *Campaigns) replayedLoss(ctx context.Context, c cell.Cell, rec *recording, path string, ledger *replay.Ledger) (cutLoss, error) {
	if cell.Relocates(rec.campaign.Filesystem) {
		return x.liveLoss(ctx, c, rec, path, ledger)
	}
	s, err := inspect(ctx, survivor{path: path}, rec.campaign)
	if s.path != path {
		defer os.Remove(s.path)
	}
	switch {
	case err != nil:
		return cutLoss{}, err
	case s.broken != "":
		return cutLoss{ledger.Promises(), s.broken}, nil
	}
	loss, err := rec.witness.Check(ctx, s, rec.campaign, ledger)
	return cutLoss{promises: loss.PromisesLost}, err
}

// liveLoss returns what is gone in the live survivor at path: read on the host on a raw device, and in a restored guest that has mounted it
// where there is a file system or another format. A guest or rig that cannot look is an error and no loss.
func (x *Campaigns) liveLoss(ctx context.Context, c cell.Cell, rec *recording, path string, ledger *replay.Ledger) (cutLoss, error) {
	if rec.campaign.Filesystem == "none" && rec.campaign.Format == "raw" {
		loss, err := rec.witness.Check(ctx, survivor{path: path}, rec.campaign, ledger)
		return cutLoss{promises: loss.PromisesLost}, err
	}
	if rec.campaign.Format != "raw" {
		// An image that QEMU would refuse is not plugged in: why it was refused could not be told from a fault of the rig.
		broken, err := checkFormat(ctx, path, rec.campaign.Format)
		if err != nil {
			return cutLoss{}, err
		}
		if broken != "" {
			return cutLoss{ledger.Promises(), broken}, nil
		}
	}
	loss, broken, err := x.readMounted(ctx, c, rec, path, rec.campaign.Format, ledger)
	return cutLoss{loss.PromisesLost, broken}, err
}

// readMounted has a guest mount a survivor, or take it for a raw device where there is no file system, and read it back: what the kernel
// of the guest recovers is what survives. It returns what is gone, and why where all is: the guest cannot mount it, or the file is not
// there. The survivor is written to by that.
func (x *Campaigns) readMounted(ctx context.Context, c cell.Cell, rec *recording, path, format string, ledger *replay.Ledger) (
	loss replay.Loss, broken string, err error) {
	m, err := x.Rig.Machine(ctx, c)
	if err != nil {
		return loss, "", err
	}
	ctx, cancel := context.WithTimeout(ctx, scratch.AttachLimit+scratch.ColdLimit+scratch.PrepareLimit+runSlack)
	defer cancel()
	if err := m.Attach(ctx, scratch.Cached(scratch.FileSource(path), format, "unsafe")); err != nil {
		return loss, "", fmt.Errorf("attach the survivor: %w", err)
	}
	prepared, err := m.Prepare(ctx, guest.Setup{Filesystem: rec.campaign.Filesystem, Barrier: "on",
		WriteCache: cell.AsDevice, CacheType: cell.AsDevice, FileBytes: rec.base.fileBytes})
	if err == nil {
		loss, err = rec.witness.CheckMounted(ctx, m, prepared.Target, ledger)
	}
	var gone *guest.BrokenError
	if errors.As(err, &gone) && rec.campaign.Filesystem != "none" {
		loss, broken = replay.Loss{Promises: ledger.Promises(), PromisesLost: ledger.Promises()}, gone.Error()
	} else if err != nil {
		return loss, "", err
	}
	return loss, broken, m.Detach(ctx)
}

// firstDifference returns the offset of the first byte in which two files differ; -1 when they are equal.
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

package crash

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"platter/cell"
	"platter/powercut/replay"
	"platter/text"
)

// survivor is the data image as a crash leaves it.
type survivor struct {
	path   string
	broken string // what the file system's or the format's checker said; empty when it is whole
}

// sample makes the survivor of each question at each point, reads it back, and gives it to use, once with all the questions that take the
// same layers. Every other one loses only a random part of what may be lost.
func (x *Campaigns) sample(ctx context.Context, c cell.Cell, rec *recording, qs []cell.Question, points []int64,
	use func(questions []int, at replay.At, s survivor, loss replay.Loss, ledger *replay.Ledger) error) error {
	one := func(alike []int, at replay.At) error {
		s := survivor{path: filepath.Join(x.Storage, "survivor.img")}
		defer func() { os.Remove(s.path) }() // another path by then, perhaps
		if err := materialise(ctx, rec, at, s.path); err != nil {
			return err
		}
		var err error
		if s, err = inspect(ctx, s, rec.campaign); err != nil {
			return err
		}
		ledger, err := rec.witness.Ledger(rec.log, rec.campaign, at.Point)
		if err != nil {
			return err
		}
		loss := replay.Loss{Promises: ledger.Promises(), PromisesLost: ledger.Promises()}
		switch {
		case !cell.Relocates(rec.campaign.Filesystem):
			loss, err = rec.witness.Check(ctx, s, rec.campaign, ledger)
		case s.broken == "":
			loss, s.broken, err = x.readMounted(ctx, c, rec, s.path, "raw", ledger)
		}
		if err != nil {
			return err
		}
		return use(alike, at, s, loss, ledger)
	}
	for n, point := range points {
		seed := uint64(0)
		if n%2 == 1 {
			seed = x.Seed + uint64(point)
		}
		for i, q := range qs {
			alike := sameLayers(qs, i)
			if alike[0] < i {
				continue
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := one(alike, replay.At{Point: point, Question: q, Seed: seed}); err != nil {
				return err
			}
		}
	}
	return nil
}

// sameLayers returns the questions that take the same layers as question i, itself among them, in order: a drive
// cache that is protected, or none, leaves of a power loss what a crash of the host leaves.
func sameLayers(qs []cell.Question, i int) []int {
	layers := func(q cell.Question) string {
		if q.Class == cell.PowerLoss && q.DriveCache != cell.Volatile {
			return cell.HostCrash
		}
		return q.Class
	}
	var all []int
	for j := range qs {
		if layers(qs[j]) == layers(qs[i]) {
			all = append(all, j)
		}
	}
	return all
}

// inspect has the tools of its format and its file system look at a survivor, and returns it as a raw image with what they said.
func inspect(ctx context.Context, s survivor, c replay.Campaign) (survivor, error) {
	var err error
	if c.Format != "raw" {
		if s, err = asRaw(ctx, s, c.Format); err != nil {
			return s, err
		}
	}
	if c.Filesystem == "ext4" && s.broken == "" {
		s.broken, err = checkExt4(ctx, s.path)
	}
	return s, err
}

// materialise writes the survivor of a crash point to path.
func materialise(ctx context.Context, rec *recording, at replay.At, path string) error {
	out, err := exec.CommandContext(ctx, "cp", "--reflink=auto", "--sparse=always", rec.base.path, path).CombinedOutput()
	if err != nil {
		return rigError("copy an image", fmt.Errorf("%w: %s", err, text.LastLine(string(out))))
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		err = errors.Join(replay.SurvivorFile(replay.File(rec.log), rec.campaign, at, f), f.Close())
	}
	if err != nil {
		return rigError("make a survivor", err)
	}
	return nil
}

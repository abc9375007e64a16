package orchestrator

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"platter/cell"
	"platter/powercut/replay"
	"platter/powercut/witness"
	"platter/results"
)

// checkedPoints is at how many crash points the file system of a cell is checked whose promises are judged at every one.
const checkedPoints = 6

// judge gives a record for each class and drive cache; verdict, model and controls are not in it yet.
func (x *crashes) judge(ctx context.Context, c Campaign, rec *recording) ([]results.Safety, error) {
	x.run.Tell(Event{Message: "judging " + c.Cell.ID})
	return x.judgeQuestions(ctx, c.Cell, rec, x.questions())
}

func (x *crashes) judgeQuestions(ctx context.Context, c cell.Cell, rec *recording, qs []cell.Question) ([]results.Safety, error) {
	if x.sampled(c) {
		return x.judgeSampled(ctx, c, rec, qs)
	}
	outcomes, err := replay.EveryFile(replay.File(rec.log), rec.campaign, qs)
	if err != nil {
		return nil, rigError("judge the log of cell "+c.ID, err)
	}
	var records []results.Safety
	for _, o := range outcomes {
		records = append(records, everyRecord(o))
	}
	if c.Filesystem() != "ext4" {
		return records, nil
	}
	points, err := replay.PointsFile(replay.File(rec.log), checkedPoints, x.seed)
	if err != nil {
		return nil, rigError("judge the log of cell "+c.ID, err)
	}
	err = x.sample(ctx, rec, qs, points, func(asked []int, at replay.At, s survivor) error {
		loss, ledger, err := x.checkSurvivor(ctx, rec, at, s)
		if err == nil && s.broken == "" {
			s.broken, err = readThrough(ctx, x.run.Storage, s, rec.campaign, ledger, loss)
		}
		if err != nil || s.broken == "" {
			return err
		}
		for _, i := range asked {
			brokenAt(&records[i], s, results.CrashPoint{Point: at.Point, MS: ledger.MS, Seed: at.Seed})
		}
		return nil
	})
	return records, err
}

// brokenAt enters a broken survivor, unless there was one before. It is the worst of a record in which no promise is lost otherwise.
func brokenAt(r *results.Safety, s survivor, here results.CrashPoint) {
	if s.broken == "" || r.Filesystem != "" {
		return
	}
	r.Filesystem = s.broken
	if r.Worst == nil || r.PromisesLost == 0 {
		r.Worst = &here
	}
}

// everyRecord takes over what the replay found.
func everyRecord(o replay.Outcome) results.Safety {
	r := results.Safety{
		Class: o.Class, DriveCache: o.DriveCache, CrashPoints: o.CrashPoints, Writes: o.Writes, Promises: o.Promises,
		PromisesLost: o.PromisesLost,
		PointsLost:   o.PointsLost, Torn: o.Torn, Seconds: o.Seconds,
		Exposure: results.Exposure{Writes: o.Exposure.Writes, Bytes: o.Exposure.Bytes, MS: o.Exposure.MS, Censored: o.Exposure.Censored},
	}
	if o.Worst != nil {
		r.Worst = &results.CrashPoint{Point: o.Worst.Point, MS: o.Worst.MS}
	}
	for _, p := range o.Strip {
		r.Strip = append(r.Strip, results.StripPoint{CrashPoint: results.CrashPoint{Point: p.Point.Point, MS: p.Point.MS},
			PromisesLost: p.PromisesLost, ExposedWrites: p.ExposedWrites, ExposedMS: p.ExposedMS})
	}
	return r
}

// judgeSampled makes the survivors of some crash points and checks each.
func (x *crashes) judgeSampled(ctx context.Context, c cell.Cell, rec *recording, qs []cell.Question) ([]results.Safety, error) {
	points, err := replay.PointsFile(replay.File(rec.log), x.safety.Points, x.seed)
	if err != nil {
		return nil, rigError("judge the log of cell "+c.ID, err)
	}
	records := make([]results.Safety, len(qs))
	for i, q := range qs {
		records[i] = results.Safety{Class: q.Class, DriveCache: q.DriveCache}
	}
	err = x.sample(ctx, rec, qs, points, func(asked []int, at replay.At, s survivor) error {
		loss, ledger, err := x.checkSurvivor(ctx, rec, at, s)
		if err != nil {
			return err
		}
		for _, i := range asked {
			addSample(&records[i], at, s, loss, ledger)
		}
		return nil
	})
	return records, err
}

// addSample takes a sampled point into a record.
func addSample(r *results.Safety, at replay.At, s survivor, loss replay.Loss, ledger *replay.Ledger) {
	r.CrashPoints++
	r.Writes, r.Promises = max(r.Writes, ledger.Writes()), max(r.Promises, ledger.Promises())
	if loss.PromisesLost > 0 {
		r.PointsLost++
	}
	r.Seconds = max(r.Seconds, ledger.MS/1000) // the last point is always among them
	here := results.CrashPoint{Point: at.Point, MS: ledger.MS, Seed: at.Seed}
	clean := r.PromisesLost == 0 && loss.PromisesLost == 0 && r.Filesystem == ""
	if loss.PromisesLost > r.PromisesLost || clean && loss.ExposedWrites > r.Exposure.Writes {
		r.PromisesLost, r.Worst = loss.PromisesLost, &here
	}
	r.Torn = max(r.Torn, loss.Torn)
	expose(&r.Exposure, loss, ledger)
	brokenAt(r, s, here)
}

// expose takes what is exposed at a sampled point into the worst so far.
func expose(e *results.Exposure, loss replay.Loss, ledger *replay.Ledger) {
	e.Writes, e.Bytes = max(e.Writes, loss.ExposedWrites), max(e.Bytes, loss.ExposedBytes)
	if loss.ExposedWrites == 0 {
		return
	}
	ms, censored := ledger.Age(loss.ExposedWrites)
	switch {
	case ms > e.MS:
		e.MS, e.Censored = ms, censored
	case ms == e.MS:
		e.Censored = e.Censored || censored
	}
}

// survivor is what is left of the data image after a crash.
type survivor struct {
	path   string
	broken string // what the file system's or the format's checker said; empty when it is whole
}

// sample makes the survivor of each question at each point and gives it to use, once with all the questions that take the same layers.
// Every other one loses only a random part of what may be lost.
func (x *crashes) sample(ctx context.Context, rec *recording, qs []cell.Question, points []int64,
	use func(questions []int, at replay.At, s survivor) error) error {
	for n, point := range points {
		seed := uint64(0)
		if n%2 == 1 {
			seed = x.seed + uint64(point)
		}
		for i, q := range qs {
			alike := like(qs, i)
			if alike[0] < i {
				continue
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			at := replay.At{Point: point, Question: q, Seed: seed}
			s, err := x.survive(ctx, rec, at)
			if err == nil {
				err = use(alike, at, s)
			}
			os.Remove(s.path)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// like are the questions that take the same layers as question i, itself among them, in order: a drive cache that is protected, or none,
// leaves of a power loss what a crash of the host leaves.
func like(qs []cell.Question, i int) []int {
	layers := func(q cell.Question) string {
		if q.Class == cell.PowerLoss && q.DriveCache != "volatile" {
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

// survive materialises a survivor and has its file system or format checked on it.
func (x *crashes) survive(ctx context.Context, rec *recording, at replay.At) (survivor, error) {
	s := survivor{path: filepath.Join(x.run.Storage, "survivor.img")}
	if err := x.materialise(ctx, rec, at, s.path); err != nil {
		return s, err
	}
	var err error
	switch {
	case rec.campaign.Format != "raw":
		s, err = asRaw(ctx, s, rec.campaign.Format)
	case rec.campaign.Filesystem == "ext4":
		s.broken, err = checkExt4(ctx, s.path)
	}
	if err == nil && s.broken == "" && rec.campaign.Format != "raw" && rec.campaign.Filesystem == "ext4" {
		s.broken, err = checkExt4(ctx, s.path)
	}
	return s, err
}

// materialise writes the survivor of a crash point to path.
func (x *crashes) materialise(ctx context.Context, rec *recording, at replay.At, path string) error {
	if err := copySparse(ctx, rec.base.path, path); err != nil {
		return err
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

func copySparse(ctx context.Context, from, to string) error {
	out, err := exec.CommandContext(ctx, "cp", "--reflink=auto", "--sparse=always", from, to).CombinedOutput()
	if err != nil {
		return rigError("copy an image", fmt.Errorf("%w: %s", err, lastLine(string(out))))
	}
	return nil
}

// checkSurvivor reads a survivor back against what was promised and acknowledged at its point.
func (x *crashes) checkSurvivor(ctx context.Context, rec *recording, at replay.At, s survivor) (replay.Loss, *replay.Ledger, error) {
	ledger, err := replay.LedgerFile(replay.File(rec.log), rec.campaign, at.Point)
	if err != nil {
		return replay.Loss{}, nil, rigError("read the ledger", err)
	}
	if rec.campaign.Layout.Pattern != witness.Overwrite {
		loss, err := checkFiles(ctx, x.run.Storage, s, rec.campaign, ledger)
		return loss, ledger, err
	}
	f, err := os.Open(s.path)
	if err != nil {
		return replay.Loss{}, nil, rigError("read a survivor", err)
	}
	defer f.Close()
	loss, err := replay.Check(f, rec.campaign, ledger)
	if err != nil {
		return replay.Loss{}, nil, rigError("read a survivor", err)
	}
	return loss, ledger, nil
}

// keep stores a campaign beside the cell's raw files, so that platter replay can make any survivor of it.
func (x *crashes) keep(cell string, rec *recording) error {
	dir, err := x.run.Journal.SafetyDir(cell)
	if err != nil {
		return rigError("keep the campaign", err)
	}
	if rec.campaign.Filesystem != "none" || rec.campaign.Format != "raw" {
		if rec.campaign.Base, err = x.keepBase(dir, rec.base); err != nil {
			return rigError("keep the campaign", err)
		}
	}
	text, err := json.MarshalIndent(rec.campaign, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "campaign.json"), append(text, '\n'), 0o644)
	}
	if err == nil {
		err = compress(rec.log, filepath.Join(dir, "oplog.gz"))
	}
	if err != nil {
		return rigError("keep the campaign", err)
	}
	return nil
}

// keepBase stores the image that campaigns began from, once for all of them, and gives its path from dir.
func (x *crashes) keepBase(dir string, b *baseImage) (string, error) {
	raw := filepath.Dir(filepath.Dir(dir))
	if b.kept == "" {
		// A name that none has: a run that goes on must not write over what the campaigns before it began from.
		f, err := os.CreateTemp(raw, "base-*"+filepath.Ext(b.path)+".gz")
		if err != nil {
			return "", err
		}
		if err := errors.Join(f.Chmod(0o644), f.Close(), compress(b.path, f.Name())); err != nil {
			os.Remove(f.Name())
			return "", err
		}
		b.kept = f.Name()
	}
	return filepath.Rel(dir, b.kept)
}

// compress writes a file gzip'd. Stamps and zeros shrink to a few hundredths.
func compress(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	z, err := gzip.NewWriterLevel(out, gzip.BestSpeed)
	if err != nil {
		return err
	}
	if _, err := io.Copy(z, in); err != nil {
		return err
	}
	return z.Close()
}

// discard removes the log.
func (rec *recording) discard() { os.Remove(rec.log) }

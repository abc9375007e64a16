package crash

import (
	"context"

	"platter/cell"
	"platter/powercut/replay"
	"platter/results"
)

// checkedPoints is at how many crash points the file system of a cell is checked whose promises are judged at every one.
const checkedPoints = 6

// judge returns a record for each question; limit is the number of crash points where a survivor is made for each. Verdict, model and
// controls are not in it yet.
func (x *Campaigns) judge(ctx context.Context, c cell.Cell, rec *recording, qs []cell.Question, limit int) ([]results.Safety, error) {
	log := replay.File(rec.log)
	if x.sampled(c) {
		records := make([]results.Safety, len(qs))
		for i, q := range qs {
			records[i] = results.Safety{Class: q.Class, DriveCache: q.DriveCache}
		}
		points, err := replay.PointsFile(log, limit, x.Seed)
		if err != nil {
			return nil, rigError("judge the log of cell "+c.ID, err)
		}
		err = x.sample(ctx, c, rec, qs, points, func(asked []int, at replay.At, s survivor, loss replay.Loss, ledger *replay.Ledger) error {
			for _, i := range asked {
				addSample(&records[i], at, s, loss, ledger)
			}
			return nil
		})
		return records, err
	}
	outcomes, err := replay.EveryFile(log, rec.campaign, qs)
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
	points, err := replay.PointsFile(log, checkedPoints, x.Seed)
	if err != nil {
		return nil, rigError("judge the log of cell "+c.ID, err)
	}
	err = x.sample(ctx, c, rec, qs, points, func(asked []int, at replay.At, s survivor, loss replay.Loss, ledger *replay.Ledger) error {
		if s.broken == "" {
			var err error
			if s.broken, err = readThrough(ctx, x.Storage, s, rec.campaign, ledger, loss); err != nil {
				return err
			}
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

// everyRecord returns the record of what the replay found at every crash point.
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

// addSample enters a sampled crash point into a record.
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
	e := &r.Exposure
	e.Writes, e.Bytes = max(e.Writes, loss.ExposedWrites), max(e.Bytes, loss.ExposedBytes)
	if loss.ExposedWrites > 0 {
		ms, censored := ledger.Age(loss.ExposedWrites)
		switch {
		case ms > e.MS:
			e.MS, e.Censored = ms, censored
		case ms == e.MS:
			e.Censored = e.Censored || censored
		}
	}
	brokenAt(r, s, here)
}

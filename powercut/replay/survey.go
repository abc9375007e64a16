package replay

import (
	"errors"
	"fmt"
	"math"

	"platter/powercut/oplog"
	"platter/powercut/witness"
)

// sequence names a write of a job.
type sequence struct {
	job uint16
	n   uint32
}

// promised is a promise on the witness: all writes up to n.
type promised struct {
	n  uint32
	at Moment
}

// survey is the first reading of a log, up to the crash point: what the crash takes, and where in the log to look.
type survey struct {
	campaign Campaign
	cut      Moment
	unjudged string

	arrivals  map[sequence]int64 // event at which a write first arrived at the image
	answered  int64              // event at which the first write of the image was answered; 0 is none
	promises  [][]promised       // of each job
	found     []int32            // of each block, the generation that the crash leaves; nil where that cannot be told
	upTo      []Account          // at the crash
	lostCount int64
	fate      *Fate
}

func (s *survey) read(log source, at At, left layer) error {
	reader, closer, err := log()
	if err != nil {
		return err
	}
	defer closer.Close()
	if err := s.campaign.checkLog(reader); err != nil {
		return err
	}
	judge, err := newJudge(reader, s.campaign)
	if errors.Is(err, errPattern) {
		s.unjudged = fmt.Sprintf("what is lost of the pattern %s on %s cannot be told from the log alone", s.campaign.Layout.Pattern,
			s.campaign.Format)
	} else if err != nil {
		return err
	}
	clerk := newClerk(s.campaign)
	err = each(reader, at.Point, func(e oplog.Event, data []byte) error {
		s.cut = Moment{reader.Events(), milliseconds(e.TimeNS)}
		if e.Image == s.campaign.Data {
			if e.Kind == oplog.WriteEnd && s.answered == 0 {
				s.answered = s.cut.Event
			}
			for _, stamp := range s.stamps(e, data) {
				if id := (sequence{stamp.Job, stamp.Sequence}); s.arrivals[id] == 0 {
					s.arrivals[id] = s.cut.Event
				}
			}
		}
		err := clerk.read(e, data, func(r witness.Record, before uint32) {
			if r.Kind == witness.Promise && r.Sequence > before {
				s.promises[r.Job] = append(s.promises[r.Job], promised{r.Sequence, s.cut})
			}
		})
		if err == nil && judge != nil {
			err = judge.take(e, data)
		}
		return err
	})
	if err != nil {
		return err
	}
	s.upTo = clerk.jobs
	if judge != nil {
		s.lose(judge, left, at.Seed)
	}
	return nil
}

// stamps returns the probe's stamps in a write, one of each of its own writes.
func (s *survey) stamps(e oplog.Event, data []byte) []witness.Stamp {
	if e.Kind != oplog.Write {
		return nil
	}
	var all []witness.Stamp
	skip := (witness.SectorSize - e.Offset%witness.SectorSize) % witness.SectorSize
	for at := skip; at+witness.SectorSize <= int64(len(data)); at += witness.SectorSize {
		stamp, ok := witness.ReadStamp(data[at:])
		if !ok || stamp.Campaign != s.campaign.Layout.Campaign || int(stamp.Job) >= s.campaign.Layout.Jobs || stamp.Sequence == 0 {
			continue
		}
		if n := len(all); n == 0 || all[n-1].Job != stamp.Job || all[n-1].Sequence != stamp.Sequence {
			all = append(all, stamp)
		}
	}
	return all
}

// lose finds what the crash takes, and of that the write that was promised last.
func (s *survey) lose(j *judge, left layer, seed uint64) {
	dice := s.campaign.dice(seed)
	s.found = make([]int32, len(j.blocks))
	for b := range j.blocks {
		v := j.subset(left, uint32(b), dice)
		s.found[b] = v.gen
		s.lostCount += v.lost
	}
	for job, account := range s.upTo {
		walk := s.campaign.Layout.Walk(uint16(job))
		next := 0 // among the job's promises
		for range account.Promised {
			stamp := walk.Next()
			stamp.Job = uint16(job)
			for s.promises[job][next].n < stamp.Sequence {
				next++
			}
			promise := s.promises[job][next].at
			if !s.lost(stamp) || s.fate != nil && promise.Event < s.fate.Promised.Event {
				continue
			}
			s.fate = &Fate{Job: stamp.Job, Sequence: stamp.Sequence, Block: stamp.Block, Generation: stamp.Generation,
				Found: s.found[s.block(stamp)], Bytes: int64(s.campaign.Layout.BlockBytes), Promised: promise}
		}
	}
	if s.fate == nil {
		return
	}
	parts := 0
	j.homes.ofBlock(s.block(witness.Stamp{Job: s.fate.Job, Block: s.fate.Block}), func(part stretch) {
		if parts++; parts == 1 {
			s.fate.Offset = part.image
		}
	})
	arrival := s.arrivals[sequence{s.fate.Job, s.fate.Sequence}]
	s.fate.First = arrival > 0 && (s.answered == 0 || arrival < s.answered)
}

// block returns the number of a stamp's block among those of all jobs.
func (s *survey) block(stamp witness.Stamp) uint32 {
	return uint32(stamp.Job)*uint32(s.campaign.Layout.Blocks) + stamp.Block
}

// lost reports whether a write was promised before the crash, and is taken by it.
func (s *survey) lost(stamp witness.Stamp) bool {
	return s.found != nil && stamp.Block < uint32(s.campaign.Layout.Blocks) && stamp.Generation <= math.MaxInt32 &&
		stamp.Sequence <= s.upTo[stamp.Job].Promised && s.found[s.block(stamp)] < int32(stamp.Generation)
}

// window is a stretch of the log that is drawn, from its first event to its last.
type window struct{ from, to int64 }

// windows returns where to look: from before the write's arrival until after the cut, or, where that is more than steps events to the
// cut, around the arrival, the promise and the cut.
func (s *survey) windows(steps int64) []window {
	cut := s.cut.Event
	end := cut + stepsBehind
	if s.fate == nil {
		return []window{{cut - steps + 1, end}}
	}
	begin := s.fate.Promised.Event
	if arrival := s.arrivals[sequence{s.fate.Job, s.fate.Sequence}]; arrival > 0 {
		begin = min(begin, arrival)
	}
	if room := steps - (cut - begin + 1); room >= stepsBefore {
		return []window{{begin - min(room, steps/2), end}}
	}
	part := steps / 3
	all := []window{{begin - stepsBefore, begin + part - stepsBefore}}
	for _, next := range []window{{s.fate.Promised.Event - part/2, s.fate.Promised.Event + part/2}, {cut - part, end}} {
		if last := &all[len(all)-1]; next.from <= last.to {
			last.to = max(last.to, next.to)
			continue
		}
		all = append(all, next)
	}
	return all
}

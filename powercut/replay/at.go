package replay

import "platter/powercut/oplog"

// Judgement is what one crash takes, at one crash point.
type Judgement struct {
	At
	MS           float64 // of the crash point, since the log began
	Points       int64   // crash points up to and including this one
	Ledger       Ledger
	Promises     int64
	PromisesLost int64
	Torn         int64
	Exposure     Exposure
	First        *LostWrite // the first job's first promised write that is gone; nil when none is
}

// JudgeFile judges one crash point from a log, plain or gzip'd, as Every does, and finds the first lost write and what held it.
func JudgeFile(in Log, c Campaign, at At) (*Judgement, error) {
	j, err := judgeAt(in.source, c, at)
	return j, in.in(err)
}

func judgeAt(log source, c Campaign, at At) (*Judgement, error) {
	left, err := survivorOf(at.Question)
	if err != nil {
		return nil, err
	}
	reader, closer, err := log()
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	j, err := newJudge(reader, c)
	if err != nil {
		return nil, err
	}
	if err := each(reader, at.Point, func(e oplog.Event, data []byte) error { return j.take(e, data) }); err != nil {
		return nil, err
	}
	at.Point = reader.Events()
	result := &Judgement{At: at, MS: milliseconds(j.now), Points: at.Point,
		Ledger: Ledger{Layout: c.Layout, Jobs: j.clerk.jobs, Point: at.Point, MS: milliseconds(j.now)}}
	result.Promises = result.Ledger.Promises()
	j.sum(result, left)
	return result, nil
}

// sum adds up what is lost of each block if a layer is left.
func (j *judge) sum(r *Judgement, left layer) {
	found := make([]int32, len(j.blocks))
	var sum figures
	d := j.campaign.dice(r.Seed)
	for b := range j.blocks {
		v := j.subset(left, uint32(b), d)
		found[b] = v.gen
		sum.lost = sum.lost + v.lost
		sum.exposed = sum.exposed + v.exposed
		sum.torn = sum.torn + v.torn
	}
	r.PromisesLost = sum.lost
	r.Torn = sum.torn
	r.Exposure.Writes = sum.exposed
	r.Exposure.Bytes = sum.exposed * int64(j.campaign.Layout.BlockBytes)
	record := 0
	for i, a := range j.acks {
		if a.gen <= max(j.blocks[a.block].promised, found[a.block]) {
			continue
		}
		for j.records[record].end <= i {
			record++
		}
		r.Exposure.MS = milliseconds(max(0, j.now-j.records[record].time))
		r.Exposure.Censored = j.records[record].first
		break
	}
	for job, account := range j.clerk.jobs {
		base := uint32(job) * uint32(j.campaign.Layout.Blocks)
		r.First = firstLost(j.campaign, uint16(job), account.Promised, func(b uint32) int32 { return found[base+b] })
		if r.First != nil {
			r.First.Held = j.holder(base+r.First.Block, int32(r.First.Generation))
			return
		}
	}
}

// holder returns what held a generation of a block, or a newer one: the lowest layer that did.
func (j *judge) holder(b uint32, gen int32) string {
	for l := medium; ; l-- {
		if j.oldestSector(l, b) >= gen {
			return l.holder()
		}
		if l == arrived {
			break
		}
	}
	if j.oldestSector(replied, b) == foreign {
		return "nothing: something else was written over it"
	}
	return "nothing on this side of the guest: it had not arrived at the disk"
}

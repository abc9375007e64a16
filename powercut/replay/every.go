package replay

import (
	"fmt"

	"platter/cell"
	"platter/powercut/oplog"
	"platter/powercut/witness"
)

// Every judges every crash point of a log in one pass, for all questions (method every_op). It takes raw images whose blocks
// are overwritten in place; other patterns and formats are an error, as are a log that is cut short (oplog.ErrTruncated), one
// that contradicts itself, and a witness disk that something else wrote on (ErrWitness).
func Every(log *oplog.Reader, c Campaign, questions []cell.Question) ([]Outcome, error) {
	return every(log, c, questions, nil)
}

// EveryFile is Every for a log in a file, plain or gzip'd.
func EveryFile(in Log, c Campaign, questions []cell.Question) ([]Outcome, error) {
	log, closer, err := in.source()
	if err != nil {
		return nil, in.in(err)
	}
	defer closer.Close()
	outcomes, err := Every(log, c, questions)
	return outcomes, in.in(err)
}

// every calls watch, unless it is nil, with the figures of each layer after each event.
func every(log *oplog.Reader, c Campaign, questions []cell.Question,
	watch func(point int64, l layer, f figures, ageNS int64)) ([]Outcome, error) {
	var asked [layers]bool
	for _, q := range questions {
		l, err := survivorOf(q)
		if err != nil {
			return nil, err
		}
		asked[l] = true
	}
	j, err := newJudge(log, c)
	if err != nil {
		return nil, err
	}
	var tallies []*tally
	for l := range layers {
		if asked[l] {
			tallies = append(tallies, &tally{layer: l})
		}
	}
	err = each(log, -1, func(e oplog.Event, data []byte) error {
		if err := j.take(e, data); err != nil {
			return err
		}
		var unsettled []uint32
		spot := j.chosen(log.Events())
		if spot {
			unsettled = j.unsettled()
		}
		for _, t := range tallies {
			f, age, first := j.at(t.layer)
			t.add(log.Events(), j.now, f, age, first)
			if spot {
				t.Torn = max(t.Torn, j.tornBy(t.layer, c.dice(uint64(log.Events())), unsettled))
			}
			if watch != nil {
				watch(log.Events(), t.layer, f, age)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return j.outcomes(questions, tallies, log.Events()), nil
}

// judge holds, for each layer, which version of each block is in it, and sums up what is lost if only that layer survives.
type judge struct {
	campaign Campaign
	homes    *homes
	perBlock uint32 // sectors
	clerk    *clerk
	now      int64 // ns since the log began

	blocks   []block
	sectors  [layers]map[uint32][]int32 // generations of the blocks that are mixed
	dirty    []uint32                   // blocks whose layers may differ for other reasons than writes in flight
	inFlight []*write                   // in the order of their arrival
	spare    []*write
	uniform  []int32
	lost     [layers]figures

	promised     []*witness.Walk // of each job, up to what is promised
	acknowledged []*witness.Walk
	acks         []ackedWrite // in the order of the records on the witness
	records      []ackRecord
	oldest       [layers]cursor

	flushes, dsyncWrites int64
	examined             int64 // blocks, for torn ones
}

// block is one block in all layers.
type block struct {
	gen          [layers]int32 // or mixed
	promised     int32         // newest promised generation
	acknowledged int32         // newest acknowledged generation
	dirty        bool
}

// figures are what is lost of one block, or of all.
type figures struct {
	lost    int64 // promised writes
	exposed int64 // acknowledged, unpromised writes
	torn    int64 // blocks
}

// ackedWrite is a write whose return is recorded on the witness.
type ackedWrite struct {
	block uint32
	gen   int32
}

// ackRecord is a record on the witness that acknowledged the writes up to acks[end-1].
type ackRecord struct {
	end   int
	time  int64 // ns, of its arrival
	first bool  // of its job
}

// cursor is at the oldest acknowledged write that may be exposed.
type cursor struct{ write, record int }

func newJudge(log *oplog.Reader, c Campaign) (*judge, error) {
	if c.Layout.Pattern != witness.Overwrite || c.Format != "raw" || cell.Relocates(c.Filesystem) {
		return nil, fmt.Errorf("pattern %q on format %q, file system %q: %w", c.Layout.Pattern, c.Format, c.Filesystem, errPattern)
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	if err := c.checkLog(log); err != nil {
		return nil, err
	}
	h, err := newHomes(c)
	if err != nil {
		return nil, err
	}
	jobs := c.Layout.Jobs
	j := &judge{
		campaign: c, homes: h, perBlock: uint32(c.Layout.BlockBytes / witness.SectorSize), clerk: newClerk(c),
		blocks: make([]block, jobs*c.Layout.Blocks), promised: make([]*witness.Walk, jobs), acknowledged: make([]*witness.Walk, jobs),
	}
	for l := range j.sectors {
		j.sectors[l] = map[uint32][]int32{}
	}
	return j, nil
}

// take takes in one event.
func (j *judge) take(e oplog.Event, data []byte) error {
	j.now = e.TimeNS
	if e.Image == j.campaign.Witness {
		return j.clerk.read(e, data, j.record)
	}
	return j.event(e, data)
}

// record takes in a record of the witness.
func (j *judge) record(r witness.Record, before uint32) {
	walks := j.promised
	if r.Kind == witness.Ack {
		walks = j.acknowledged
	}
	if walks[r.Job] == nil {
		walks[r.Job] = j.campaign.Layout.Walk(r.Job)
	}
	base := uint32(r.Job) * uint32(j.campaign.Layout.Blocks)
	for range r.Sequence - before {
		s := walks[r.Job].Next()
		if r.Kind == witness.Ack {
			j.acks = append(j.acks, ackedWrite{block: base + s.Block, gen: int32(s.Generation)})
		}
		j.claim(base+s.Block, r.Kind, int32(s.Generation))
	}
	if r.Kind == witness.Ack && r.Sequence > before {
		j.records = append(j.records, ackRecord{end: len(j.acks), time: j.now, first: before == 0})
	}
}

// claim notes that a generation of a block is promised or acknowledged.
func (j *judge) claim(b uint32, kind witness.Kind, gen int32) {
	var before [layers]version
	for l := range layers {
		before[l] = j.figures(l, b)
	}
	if kind == witness.Ack {
		j.blocks[b].acknowledged = gen
	} else {
		j.blocks[b].promised = gen
	}
	for l := range layers {
		j.changed(l, before[l], j.figures(l, b))
	}
}

// version is a block in a layer: the oldest generation of its sectors, and what is lost of it.
type version struct {
	figures
	gen int32
}

// figures returns what is lost of a block if a layer survives.
func (j *judge) figures(l layer, b uint32) version {
	s := &j.blocks[b]
	gen := s.gen[l]
	if gen != mixed {
		return version{figures: s.figures(gen, false), gen: gen}
	}
	gen = oldestOf(j.sectors[l][b])
	return version{figures: s.figures(gen, true), gen: gen}
}

func oldestOf(gens []int32) int32 {
	oldest := gens[0]
	for _, g := range gens[1:] {
		oldest = min(oldest, g)
	}
	return oldest
}

// figures returns what is lost of the block when the oldest of its sectors that survive is of a generation. The generations that
// can be lost are from 1: something foreign loses them all, and no more.
func (s *block) figures(oldest int32, mixed bool) figures {
	f := figures{
		lost:    int64(max(0, s.promised-max(oldest, 0))),
		exposed: int64(max(0, s.acknowledged-max(s.promised, oldest))),
	}
	if mixed && oldest >= s.promised {
		f.torn = 1
	}
	return f
}

// changed takes a block's change in a layer into the layer's sums.
func (j *judge) changed(l layer, before, after version) {
	s := &j.lost[l]
	s.lost += after.lost - before.lost
	s.exposed += after.exposed - before.exposed
	s.torn += after.torn - before.torn
	if after.gen < before.gen {
		j.oldest[l] = cursor{} // what was safe before may be exposed again
	}
}

// at returns what is lost now if a layer survives, with the age of the oldest exposed write in ns, and whether it is of the first
// that its job acknowledged.
func (j *judge) at(l layer) (f figures, age int64, first bool) {
	f = j.lost[l]
	o := &j.oldest[l]
	if f.exposed == 0 {
		o.write = len(j.acks)
		o.record = len(j.records)
		return f, 0, false
	}
	for ; o.write < len(j.acks); o.write++ {
		if a := j.acks[o.write]; a.gen > max(j.blocks[a.block].promised, j.oldestSector(l, a.block)) {
			break
		}
	}
	for j.records[o.record].end <= o.write {
		o.record++
	}
	r := j.records[o.record]
	return f, max(0, j.now-r.time), r.first
}

func (j *judge) oldestSector(l layer, b uint32) int32 {
	if gen := j.blocks[b].gen[l]; gen != mixed {
		return gen
	}
	return oldestOf(j.sectors[l][b])
}

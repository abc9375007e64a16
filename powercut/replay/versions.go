package replay

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"platter/powercut/oplog"
	"platter/powercut/witness"
)

// Generations of a sector beside the probe's own, and of a block.
const (
	foreign = -1            // something else stands there: older than all that can be promised
	mixed   = math.MinInt32 // of a block: its sectors differ, see judge.sectors
)

// run is a part of a write that falls on one block.
type run struct {
	block    uint32
	first, n uint32 // sectors of the block
	gen      int32  // of all of them, or mixed
	gens     []int32
}

// write is a write of the data image on its way.
type write struct {
	op             uint64
	flags          uint16
	offset, length int64
	runs           []run
	gens           []int32 // what the runs' gens are parts of
}

func (w *write) overlaps(o *write) bool {
	return o.offset < w.offset+w.length && w.offset < o.offset+o.length
}

// begin takes in the arrival of a write.
func (j *judge) begin(e oplog.Event, data []byte) error {
	if slices.ContainsFunc(j.inFlight, func(w *write) bool { return w.op == e.Op }) {
		return fmt.Errorf("operation %d begins a second time", e.Op)
	}
	w := j.newWrite()
	w.op = e.Op
	w.flags = e.Flags
	w.offset = e.Offset
	w.length = e.Length
	j.homes.onDisk(e.Offset, e.Length, func(s stretch) {
		part := []byte(nil)
		if e.Flags&oplog.Zero == 0 {
			part = data[s.image-e.Offset:][:s.length]
		}
		j.readRun(w, s, part)
	})
	j.inFlight = append(j.inFlight, w)
	j.apply(arrived, w)
	return nil
}

func (j *judge) newWrite() *write {
	if n := len(j.spare); n > 0 {
		w := j.spare[n-1]
		j.spare = j.spare[:n-1]
		return w
	}
	return new(write)
}

// readRun adds what is written on a stretch of a block; data are nil for zeros. A sector that is not written whole, or not with
// a stamp for its place, is foreign.
func (j *judge) readRun(w *write, s stretch, data []byte) {
	first := s.within / witness.SectorSize
	end := (s.within + s.length + witness.SectorSize - 1) / witness.SectorSize
	r := run{block: s.block, first: uint32(first), n: uint32(end - first)}
	job, of := j.homes.owner(s.block)
	start := len(w.gens)
	uniform := true
	for sector := first; sector < end; sector++ {
		gen := int32(foreign)
		if at := sector*witness.SectorSize - s.within; data != nil && at >= 0 && at+witness.SectorSize <= s.length {
			gen = generation(data[at:], j.campaign.Layout.Campaign, job, of, uint16(sector))
		}
		uniform = uniform && (sector == first || gen == w.gens[start])
		w.gens = append(w.gens, gen)
	}
	r.gen = mixed
	r.gens = w.gens[start:]
	if uniform {
		r.gen = w.gens[start]
	}
	w.runs = append(w.runs, r)
}

// generation returns what a sector's stamp says, or foreign if it has none for its place.
func generation(sector []byte, campaign uint64, job uint16, block uint32, number uint16) int32 {
	s, ok := witness.ReadStamp(sector)
	if !ok || s.Campaign != campaign || s.Job != job || s.Block != block || s.Sector != number || s.Generation > math.MaxInt32 {
		return foreign
	}
	return int32(s.Generation)
}

// end takes in the effect of a write.
func (j *judge) end(e oplog.Event) error {
	i := slices.IndexFunc(j.inFlight, func(w *write) bool { return w.op == e.Op })
	if i < 0 {
		return fmt.Errorf("operation %d ends and did not begin", e.Op)
	}
	w := j.inFlight[i]
	if w.offset != e.Offset || w.length != e.Length || w.flags != e.Flags {
		return fmt.Errorf("operation %d ends as another than it began", e.Op)
	}
	j.inFlight = append(j.inFlight[:i], j.inFlight[i+1:]...)
	j.apply(replied, w)
	if w.flags&(oplog.Direct|oplog.Dsync) != 0 {
		j.move(e, replied, drive)
	}
	if w.flags&oplog.Dsync != 0 {
		j.move(e, drive, medium)
	} else {
		j.markMixed(w)
	}
	j.apply(arrived, w)
	if slices.ContainsFunc(j.inFlight, w.overlaps) {
		// What is still in flight will overwrite this one, in the order of arrival.
		for _, other := range j.inFlight {
			j.apply(arrived, other)
		}
	}
	w.runs = w.runs[:0]
	w.gens = w.gens[:0]
	j.spare = append(j.spare, w)
	return nil
}

// apply puts a write into a layer.
func (j *judge) apply(l layer, w *write) {
	for i := range w.runs {
		r := &w.runs[i]
		if r.n == j.perBlock && r.gen != mixed {
			j.setBlock(l, r.block, r.gen)
		} else {
			j.setSectors(l, r.block, r.first, r.gens)
		}
	}
}

// markMixed notes the blocks of a write: their layers may differ from now on.
func (j *judge) markMixed(w *write) {
	for i := range w.runs {
		if b := &j.blocks[w.runs[i].block]; !b.dirty {
			b.dirty = true
			j.dirty = append(j.dirty, w.runs[i].block)
		}
	}
}

// flushed puts all that was replied to on the medium.
func (j *judge) flushed() {
	for _, b := range j.dirty {
		j.sink(b, 0, j.perBlock, replied, drive)
		j.sink(b, 0, j.perBlock, drive, medium)
		j.blocks[b].dirty = false
	}
	j.dirty = j.dirty[:0]
}

// move puts a range of the disk, as it is in one layer, into the next lower one; whole sectors of the drive.
func (j *judge) move(e oplog.Event, from, to layer) {
	offset, length := j.campaign.sectorsOf(e.Offset, e.Length)
	j.homes.onDisk(offset, length, func(s stretch) {
		first := uint32(s.within / witness.SectorSize)
		end := uint32((s.within + s.length + witness.SectorSize - 1) / witness.SectorSize)
		j.sink(s.block, first, end-first, from, to)
	})
}

// sink puts n sectors of a block, as they are in one layer, into another.
func (j *judge) sink(b, first, n uint32, from, to layer) {
	s := &j.blocks[b]
	gen := s.gen[from]
	switch {
	case gen != mixed && gen == s.gen[to]:
	case gen != mixed && n == j.perBlock:
		j.setBlock(to, b, gen)
	case gen != mixed:
		j.uniform = slices.Grow(j.uniform[:0], int(n))[:n]
		for i := range j.uniform {
			j.uniform[i] = gen
		}
		j.setSectors(to, b, first, j.uniform)
	default:
		j.setSectors(to, b, first, j.sectors[from][b][first:first+n])
	}
}

// setBlock gives all sectors of a block in a layer one generation.
func (j *judge) setBlock(l layer, b uint32, gen int32) {
	s := &j.blocks[b]
	if s.gen[l] == gen {
		return
	}
	before := j.figures(l, b)
	if s.gen[l] == mixed {
		delete(j.sectors[l], b)
	}
	s.gen[l] = gen
	j.changed(l, before, j.figures(l, b))
}

// setSectors gives the sectors of a block from first on their generations in a layer.
func (j *judge) setSectors(l layer, b, first uint32, gens []int32) {
	s := &j.blocks[b]
	before := j.figures(l, b)
	all := j.sectors[l][b]
	if s.gen[l] != mixed {
		all = make([]int32, j.perBlock)
		for i := range all {
			all[i] = s.gen[l]
		}
	}
	copy(all[first:], gens)
	if same(all) {
		delete(j.sectors[l], b)
		s.gen[l] = all[0]
	} else {
		j.sectors[l][b] = all
		s.gen[l] = mixed
	}
	j.changed(l, before, j.figures(l, b))
}

func same(gens []int32) bool {
	for _, g := range gens[1:] {
		if g != gens[0] {
			return false
		}
	}
	return true
}

// event takes an event of the data image into the layers.
func (j *judge) event(e oplog.Event, data []byte) error {
	if e.Image != j.campaign.Data {
		return nil
	}
	switch e.Kind {
	case oplog.Write:
		if e.Flags&oplog.Dsync != 0 {
			j.dsyncWrites++
		}
		return j.begin(e, data)
	case oplog.WriteEnd:
		return j.end(e)
	case oplog.Flush:
		j.flushes++
	case oplog.Flushed:
		j.flushed()
	case oplog.Writeback:
		j.move(e, replied, drive)
	case oplog.Destage:
		j.move(e, drive, medium)
	}
	return nil
}

var errPattern = errors.New("only blocks that are overwritten in place can be judged at every operation: " +
	"make the survivor and check its files")

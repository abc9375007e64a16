package replay

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"platter/cell"
	"platter/powercut/oplog"
	"platter/powercut/witness"
)

// At is a crash: where, of which kind, and what becomes of the sectors that may be lost. With the seed 0 all of them are; with
// another each one is lost or not by the seed, and a write in flight may come through in part.
type At struct {
	Point int64 // the last one when negative
	cell.Question
	Seed uint64
}

// SurvivorFile writes what a crash leaves of the data image over a copy of the image as it was when the log began. The log may
// be gzip'd; it is read twice. A point that the log does not have is a PointError.
func SurvivorFile(in Log, c Campaign, at At, image *os.File) error {
	return in.in(survive(in.source, c, at, image))
}

func survive(log source, c Campaign, at At, image *os.File) error {
	if err := c.check(); err != nil {
		return err
	}
	left, err := survivorOf(at.Question)
	if err != nil {
		return err
	}
	h := &history{campaign: c, pages: map[int64]*page{}}
	if err := log.each(c, at.Point, h.take); err != nil {
		return err
	}
	w := &restoration{history: h, image: image, dice: c.dice(at.Seed), left: left}
	if err := log.each(c, at.Point, w.take); err != nil {
		return err
	}
	return w.patch()
}

// history knows of each sector of the data image by which write it got the content that it has in each layer.
type history struct {
	campaign Campaign
	writes   int64
	pages    map[int64]*page
	dirty    []int64 // pages whose layers may differ
	patches  []patch
	inFlight []*pending
}

// origin is the write that a sector has its content from, from 1; 0 is the image as the log began. A negative one names
// a patch, -1 the first.
type origin int64

const pageSectors = 64

// page is the origins of neighbouring sectors.
type page struct {
	sectors [pageSectors][layers]origin
	dirty   bool
}

// patch is a part of a sector that was written over what it had.
type patch struct {
	over origin
	at   int64 // bytes of the image
	data []byte
}

// pending is a write between its arrival and its effect.
type pending struct {
	event oplog.Event
	from  origin
	edges []patch // of the sectors that it does not write whole
}

func (h *history) sector(n int64) *[layers]origin {
	p := h.pages[n/pageSectors]
	if p == nil {
		p = new(page)
		h.pages[n/pageSectors] = p
	}
	return &p.sectors[n%pageSectors]
}

// sectors returns the first sector that a range touches, and the one after the last; equal when it touches none.
func sectors(offset, length int64) (first, end int64) {
	if length == 0 {
		return 0, 0
	}
	return offset / witness.SectorSize, (offset + length + witness.SectorSize - 1) / witness.SectorSize
}

func (h *history) take(e oplog.Event, data []byte) error {
	if e.Image != h.campaign.Data {
		return nil
	}
	switch e.Kind {
	case oplog.Write:
		return h.begin(e, data)
	case oplog.WriteEnd:
		return h.end(e)
	case oplog.Flushed:
		for _, n := range h.dirty {
			p := h.pages[n]
			p.dirty = false
			for i := range p.sectors {
				s := &p.sectors[i]
				s[drive] = s[replied]
				s[medium] = s[replied]
			}
		}
		h.dirty = h.dirty[:0]
	case oplog.Writeback:
		h.move(e, replied, drive)
	case oplog.Destage:
		h.move(e, drive, medium)
	}
	return nil
}

func (h *history) begin(e oplog.Event, data []byte) error {
	if slices.ContainsFunc(h.inFlight, func(p *pending) bool { return p.event.Op == e.Op }) {
		return fmt.Errorf("operation %d begins a second time", e.Op)
	}
	h.writes++
	w := &pending{event: e, from: origin(h.writes), edges: edges(e, data)}
	h.inFlight = append(h.inFlight, w)
	h.put(arrived, w)
	return nil
}

// edges returns the parts of a write that do not fill their sector.
func edges(e oplog.Event, data []byte) []patch {
	var all []patch
	for at, end := e.Offset, e.Offset+e.Length; at < end; {
		n := min(end, at-at%witness.SectorSize+witness.SectorSize) - at
		if n == witness.SectorSize {
			at += (end - at) / witness.SectorSize * witness.SectorSize
			continue
		}
		part := make([]byte, n)
		if data != nil {
			copy(part, data[at-e.Offset:])
		}
		all = append(all, patch{at: at, data: part})
		at += n
	}
	return all
}

// put puts a write into a layer.
func (h *history) put(l layer, w *pending) {
	first, end := sectors(w.event.Offset, w.event.Length)
	for n := first; n < end; n++ {
		s := h.sector(n)
		i := slices.IndexFunc(w.edges, func(p patch) bool { return p.at/witness.SectorSize == n })
		if i < 0 {
			s[l] = w.from
			continue
		}
		edge := w.edges[i]
		edge.over = s[l]
		h.patches = append(h.patches, edge)
		s[l] = origin(-len(h.patches))
	}
}

func (h *history) end(e oplog.Event) error {
	i := slices.IndexFunc(h.inFlight, func(p *pending) bool { return p.event.Op == e.Op })
	if i < 0 {
		return fmt.Errorf("operation %d ends and did not begin", e.Op)
	}
	w := h.inFlight[i]
	if b := w.event; b.Offset != e.Offset || b.Length != e.Length || b.Flags != e.Flags {
		return fmt.Errorf("operation %d ends as another than it began", e.Op)
	}
	h.inFlight = slices.Delete(h.inFlight, i, i+1)
	h.put(replied, w)
	if e.Flags&(oplog.Direct|oplog.Dsync) != 0 {
		h.move(e, replied, drive)
	}
	if e.Flags&oplog.Dsync != 0 {
		h.move(e, drive, medium)
	} else {
		h.markMixed(e)
	}
	first, end := sectors(e.Offset, e.Length)
	for n := first; n < end; n++ {
		s := h.sector(n)
		s[arrived] = s[replied]
	}
	return h.overlay(e)
}

// overlay puts what is in flight over what has just been replied to.
func (h *history) overlay(e oplog.Event) error {
	first, end := sectors(e.Offset, e.Length)
	for _, w := range h.inFlight {
		from, to := sectors(w.event.Offset, w.event.Length)
		if to <= first || end <= from {
			continue
		}
		if len(w.edges) > 0 || e.Offset%witness.SectorSize != 0 || e.Length%witness.SectorSize != 0 {
			return h.rebuild()
		}
		for n := max(first, from); n < min(end, to); n++ {
			h.sector(n)[arrived] = w.from
		}
	}
	return nil
}

// rebuild makes what has arrived anew where parts of sectors are in flight: what was replied to, under the writes in flight.
func (h *history) rebuild() error {
	for _, w := range h.inFlight {
		first, end := sectors(w.event.Offset, w.event.Length)
		for n := first; n < end; n++ {
			s := h.sector(n)
			s[arrived] = s[replied]
		}
	}
	for _, w := range h.inFlight {
		h.put(arrived, w)
	}
	return nil
}

// markMixed notes the pages of a write: their layers may differ from now on.
func (h *history) markMixed(e oplog.Event) {
	first, end := sectors(e.Offset, e.Length)
	for n := first / pageSectors; n*pageSectors < end; n++ {
		if p := h.pages[n]; !p.dirty {
			p.dirty = true
			h.dirty = append(h.dirty, n)
		}
	}
}

// move puts a range, as it is in one layer, into the next lower one; whole sectors of the drive.
func (h *history) move(e oplog.Event, from, to layer) {
	first, end := sectors(h.campaign.sectorsOf(e.Offset, e.Length))
	for n := first; n < end; {
		p := h.pages[n/pageSectors]
		stop := min(end, (n/pageSectors+1)*pageSectors)
		for ; p != nil && n < stop; n++ {
			s := &p.sectors[n%pageSectors]
			s[to] = s[from]
		}
		n = stop
	}
}

// restoration writes what survived into an image while it reads the log a second time.
type restoration struct {
	*history
	image *os.File
	dice  dice
	left  layer
	seen  int64
	zeros []byte
}

// survived returns the origin of what survives of a sector.
func (r *restoration) survived(n int64) origin {
	p := r.pages[n/pageSectors]
	if p == nil {
		return 0
	}
	return p.sectors[n%pageSectors][r.dice.pick(r.left, n)]
}

// whole returns the last write that filled a sector with the content of an origin.
func (r *restoration) whole(o origin) origin {
	for o < 0 {
		o = r.patches[-o-1].over
	}
	return o
}

func (r *restoration) take(e oplog.Event, data []byte) error {
	if e.Image != r.campaign.Data || e.Kind != oplog.Write {
		return nil
	}
	r.seen++
	first, end := sectors(e.Offset, e.Length)
	for n := first; n < end; n++ {
		from := n
		for n < end && r.whole(r.survived(n)) == origin(r.seen) {
			n++
		}
		if n == from {
			continue
		}
		at, length := from*witness.SectorSize, (n-from)*witness.SectorSize
		if err := r.write(data, at, at-e.Offset, length); err != nil {
			return err
		}
	}
	return nil
}

// write writes data[from:from+length], or zeros where there are no data.
func (r *restoration) write(data []byte, at, from, length int64) error {
	if data != nil {
		_, err := r.image.WriteAt(data[from:from+length], at)
		return err
	}
	if r.zeros == nil {
		r.zeros = make([]byte, 1<<20)
	}
	for length > 0 {
		n := min(length, int64(len(r.zeros)))
		if _, err := r.image.WriteAt(r.zeros[:n], at); err != nil {
			return err
		}
		at, length = at+n, length-n
	}
	return nil
}

// patch writes the parts of sectors over what was written whole before them.
func (r *restoration) patch() error {
	var errs error
	for page, p := range r.pages {
		for i := range p.sectors {
			var chain []origin
			for o := r.survived(page*pageSectors + int64(i)); o < 0; o = r.patches[-o-1].over {
				chain = append(chain, o)
			}
			for _, o := range slices.Backward(chain) {
				part := r.patches[-o-1]
				_, err := r.image.WriteAt(part.data, part.at)
				errs = errors.Join(errs, err)
			}
		}
	}
	return errs
}

package powercut

import "time"

// A page is the unit in which dirty data are kept; each of its eight sectors of minSector bytes is dirty or not.
const (
	pageBytes = 4096
	minSector = 512
	pageShift = 12

	chunkPages = 256 // pages whose state is kept together: 1 MiB of the image, 3.3 KiB of memory while any of it is dirty
	noPage     = ^uint32(0)
)

// maxImage keeps page numbers within 32 bits.
const maxImage = int64(noPage-1) << pageShift

// dirty is the set of the dirty sectors of one layer, its pages in the order in which they became dirty. Each operation
// on a page takes constant time; memory is taken only for what is dirty.
type dirty struct {
	chunks      []*dirtyChunk
	spare       *dirtyChunk // one that became clean, kept for the next: a flush after each write allocates nothing
	first, last uint32
	pages       int
	sectors     int64 // of minSector bytes
}

type dirtyChunk struct {
	pages      int
	bits       [chunkPages]uint8  // one for each sector, the lowest for the first
	since      [chunkPages]uint32 // when it became dirty, in ms since the disk was made
	prev, next [chunkPages]uint32 // page numbers
}

func newDirty(imageBytes int64) dirty {
	chunks := (imageBytes + chunkPages*pageBytes - 1) / (chunkPages * pageBytes)
	return dirty{chunks: make([]*dirtyChunk, chunks), first: noPage, last: noPage}
}

// get returns the dirty sectors of a page.
func (d *dirty) get(page uint32) uint8 {
	c := d.chunks[page/chunkPages]
	if c == nil {
		return 0
	}
	return c.bits[page%chunkPages]
}

// add makes sectors of a page dirty. A page that is dirty already keeps its age and place.
func (d *dirty) add(page uint32, bits uint8, now time.Duration) {
	if bits == 0 {
		return
	}
	c := d.chunks[page/chunkPages]
	if c == nil {
		if c, d.spare = d.spare, nil; c == nil {
			c = new(dirtyChunk)
		}
		d.chunks[page/chunkPages] = c
	}
	i := page % chunkPages
	before := c.bits[i]
	c.bits[i] |= bits
	d.sectors += int64(ones(before|bits) - ones(before))
	if before != 0 {
		return
	}
	c.pages++
	d.pages++
	c.since[i] = uint32(now / time.Millisecond)
	c.prev[i], c.next[i] = d.last, noPage
	if d.last == noPage {
		d.first = page
	} else {
		d.chunks[d.last/chunkPages].next[d.last%chunkPages] = page
	}
	d.last = page
}

// remove makes sectors of a page clean.
func (d *dirty) remove(page uint32, bits uint8) {
	c := d.chunks[page/chunkPages]
	if c == nil {
		return
	}
	i := page % chunkPages
	before := c.bits[i]
	c.bits[i] &^= bits
	d.sectors -= int64(ones(before) - ones(c.bits[i]))
	if before == 0 || c.bits[i] != 0 {
		return
	}
	prev, next := c.prev[i], c.next[i]
	if prev == noPage {
		d.first = next
	} else {
		d.chunks[prev/chunkPages].next[prev%chunkPages] = next
	}
	if next == noPage {
		d.last = prev
	} else {
		d.chunks[next/chunkPages].prev[next%chunkPages] = prev
	}
	d.pages--
	if c.pages--; c.pages == 0 {
		d.chunks[page/chunkPages], d.spare = nil, c
	}
}

// after returns the page that became dirty next, noPage after the last.
func (d *dirty) after(page uint32) uint32 { return d.chunks[page/chunkPages].next[page%chunkPages] }

// expired reports whether a dirty page is at least that old; 0 is no age.
func (d *dirty) expired(page uint32, age, now time.Duration) bool {
	since := d.chunks[page/chunkPages].since[page%chunkPages]
	// The difference is right also after 49 days, when the count of ms begins anew.
	return time.Duration(uint32(now/time.Millisecond)-since)*time.Millisecond >= age
}

func (d *dirty) bytes() int64 { return d.sectors * minSector }

func ones(b uint8) int {
	n := 0
	for ; b != 0; b &= b - 1 {
		n++
	}
	return n
}

package replay

import (
	"bytes"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"platter/powercut/oplog"
	"platter/powercut/witness"
)

// script writes a log event by event.
type script struct {
	t       testing.TB
	c       Campaign
	buffer  bytes.Buffer
	w       *oplog.Writer
	ops     uint64
	now     int64
	flying  []oplog.Event
	walks   []*witness.Walk
	sent    []uint32
	serials [][2]uint64
	half    []byte // a block of which one half was written
}

const (
	dataImage    = 0
	witnessImage = 1
	millisecond  = 1_000_000
)

func newScript(t testing.TB, c Campaign) *script {
	s := &script{t: t, c: c, serials: make([][2]uint64, c.Layout.Jobs), sent: make([]uint32, c.Layout.Jobs)}
	for job := range c.Layout.Jobs {
		s.walks = append(s.walks, c.Layout.Walk(uint16(job)))
	}
	w, err := oplog.NewWriter(&s.buffer, []oplog.Image{{Name: "data", SizeBytes: c.SizeBytes}, {Name: "witness",
		SizeBytes: witness.DiskBytes}})
	if err != nil {
		t.Fatal(err)
	}
	s.w = w
	return s
}

func (s *script) append(e oplog.Event, data []byte) {
	s.now += millisecond
	e.TimeNS = s.now
	if err := s.w.Append(e, data); err != nil {
		s.t.Fatal(err)
	}
}

// arrive begins a write and returns its number.
func (s *script) arrive(image uint8, flags uint16, offset int64, data []byte) uint64 {
	s.ops++
	e := oplog.Event{Kind: oplog.Write, Image: image, Flags: flags, Op: s.ops, Offset: offset, Length: int64(len(data))}
	s.append(e, data)
	s.flying = append(s.flying, e)
	return s.ops
}

func (s *script) discard(flags uint16, offset, length int64) uint64 {
	s.ops++
	e := oplog.Event{Kind: oplog.Write, Image: dataImage, Flags: flags | oplog.Zero, Op: s.ops, Offset: offset, Length: length}
	s.append(e, nil)
	s.flying = append(s.flying, e)
	return s.ops
}

// end is the effect of a write that arrived.
func (s *script) end(op uint64) {
	i := slices.IndexFunc(s.flying, func(e oplog.Event) bool { return e.Op == op })
	e := s.flying[i]
	s.flying = slices.Delete(s.flying, i, i+1)
	e.Kind = oplog.WriteEnd
	s.append(e, nil)
}

// next is the job's next write: where its block is in the file, and its bytes.
func (s *script) next(job uint16) (offset int64, data []byte) {
	stamp := s.walks[job].Next()
	s.sent[job]++
	stamp.Job = job
	data = make([]byte, s.c.Layout.BlockBytes)
	stamp.PutBlock(data)
	return s.c.Layout.Home(job, stamp.Block), data
}

// write is the job's next write, whole, to a disk without extents.
func (s *script) write(job uint16, flags uint16) {
	s.end(s.begin(job, flags))
}

func (s *script) begin(job uint16, flags uint16) uint64 {
	offset, data := s.next(job)
	return s.arrive(dataImage, flags, offset, data)
}

// flush is one that does what it should.
func (s *script) flush() {
	s.ops++
	for _, kind := range []oplog.Kind{oplog.Flush, oplog.Flushed, oplog.FlushEnd} {
		s.append(oplog.Event{Kind: kind, Op: s.ops}, nil)
	}
}

func (s *script) event(kind oplog.Kind, offset, length int64) {
	s.append(oplog.Event{Kind: kind, Offset: offset, Length: length}, nil)
}

// tell writes a record on the witness.
func (s *script) tell(job uint16, kind witness.Kind, sequence uint32) {
	s.serials[job][kind-witness.Promise]++
	r := witness.Record{Campaign: s.c.Layout.Campaign, Job: job, Kind: kind, Serial: s.serials[job][kind-witness.Promise], Sequence: sequence}
	b := make([]byte, witness.RecordSize)
	r.Put(b)
	s.end(s.arrive(witnessImage, oplog.Direct, r.Offset(), b))
}

func (s *script) promise(job uint16, sequence uint32) { s.tell(job, witness.Promise, sequence) }
func (s *script) ack(job uint16, sequence uint32)     { s.tell(job, witness.Ack, sequence) }

func (s *script) bytes() []byte {
	if err := s.w.Flush(); err != nil {
		s.t.Fatal(err)
	}
	return s.buffer.Bytes()
}

func (s *script) points() int64 { return s.w.Events() }

func (s *script) reader() *oplog.Reader {
	r, err := oplog.NewReader(bytes.NewReader(s.bytes()))
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (s *script) source() source {
	return func() (*oplog.Reader, io.Closer, error) { return s.reader(), io.NopCloser(nil), nil }
}

// naive is the disk byte by byte, each layer a whole image.
type naive struct {
	c      Campaign
	layers [layers][]byte // but arrived, which is made when it is asked for
	flying []flying
}

type flying struct {
	e    oplog.Event
	data []byte
}

func newNaive(c Campaign, base []byte) *naive {
	n := &naive{c: c}
	for l := range n.layers {
		n.layers[l] = slices.Clone(base)
	}
	return n
}

func (n *naive) take(e oplog.Event, data []byte) {
	if e.Image != n.c.Data {
		return
	}
	switch e.Kind {
	case oplog.Write:
		if e.Flags&oplog.Zero != 0 {
			data = make([]byte, e.Length)
		}
		n.flying = append(n.flying, flying{e, slices.Clone(data)})
	case oplog.WriteEnd:
		i := slices.IndexFunc(n.flying, func(f flying) bool { return f.e.Op == e.Op })
		copy(n.layers[replied][e.Offset:], n.flying[i].data)
		n.flying = slices.Delete(n.flying, i, i+1)
		if e.Flags&(oplog.Direct|oplog.Dsync) != 0 {
			n.move(e, replied, drive)
		}
		if e.Flags&oplog.Dsync != 0 {
			n.move(e, drive, medium)
		}
	case oplog.Flushed:
		copy(n.layers[drive], n.layers[replied])
		copy(n.layers[medium], n.layers[replied])
	case oplog.Writeback:
		n.move(e, replied, drive)
	case oplog.Destage:
		n.move(e, drive, medium)
	}
}

func (n *naive) move(e oplog.Event, from, to layer) {
	if e.Length == 0 {
		return
	}
	unit := n.c.sector()
	a, b := e.Offset, e.Offset+e.Length
	for a%unit != 0 {
		a--
	}
	for b%unit != 0 && b < n.c.SizeBytes {
		b++
	}
	copy(n.layers[to][a:b], n.layers[from][a:b])
}

// survivor is what is left by the dice.
func (n *naive) survivor(l layer, seed uint64) []byte {
	n.layers[arrived] = slices.Clone(n.layers[replied])
	for _, f := range n.flying {
		copy(n.layers[arrived][f.e.Offset:], f.data)
	}
	image := slices.Clone(n.layers[l])
	if seed == 0 || l == arrived {
		return image
	}
	unit := n.c.sector()
	for at := int64(0); at < n.c.SizeBytes; at += unit {
		from := l
		switch oplog.Dice(seed, n.c.Data, at/512) & 3 {
		case 1:
			from = replied
		case 3:
			from = arrived
		}
		copy(image[at:min(at+unit, n.c.SizeBytes)], n.layers[from][at:])
	}
	return image
}

// judgement counts write by write what an image has lost.
func judgement(c Campaign, image []byte, promised, acknowledged []uint32) (f figures, exposed func(job uint16, sequence uint32) bool) {
	file := asFile(c, image)
	type name struct {
		job uint16
		seq uint32
	}
	gone := map[name]bool{}
	exposures := map[name]bool{}
	for job := range c.Layout.Jobs {
		gens := make([][]int64, c.Layout.Blocks)
		for b := range gens {
			for i := range c.Layout.BlockBytes / 512 {
				gens[b] = append(gens[b], stamped(c, file, uint16(job), uint32(b), i))
			}
		}
		walk := c.Layout.Walk(uint16(job))
		newest := map[uint32]int64{} // promised generation of blocks
		type wr struct {
			seq uint32
			s   witness.Stamp
		}
		var all []wr
		for seq := uint32(1); seq <= max(promised[job], acknowledged[job]); seq++ {
			s := walk.Next()
			all = append(all, wr{seq, s})
			if seq <= promised[job] {
				newest[s.Block] = int64(s.Generation)
			}
		}
		for _, w := range all {
			there := true
			for _, g := range gens[w.s.Block] {
				there = there && g >= int64(w.s.Generation)
			}
			if !there && w.seq <= promised[job] {
				gone[name{uint16(job), w.seq}] = true
			}
			if !there && w.seq <= acknowledged[job] && int64(w.s.Generation) > newest[w.s.Block] {
				exposures[name{uint16(job), w.seq}] = true
			}
		}
		for b, gens := range gens {
			if slices.Min(gens) >= newest[uint32(b)] && slices.Min(gens) != slices.Max(gens) {
				f.torn++
			}
		}
	}
	f.lost, f.exposed = int64(len(gone)), int64(len(exposures))
	return f, func(job uint16, sequence uint32) bool { return exposures[name{job, sequence}] }
}

// asFile are the bytes of the probe's file.
func asFile(c Campaign, image []byte) []byte {
	if len(c.Extents) == 0 {
		return image
	}
	file := make([]byte, int64(c.Layout.Jobs)*c.Layout.JobBytes())
	for _, e := range c.Extents {
		if e.File < int64(len(file)) {
			copy(file[e.File:], image[e.Image:e.Image+e.Length])
		}
	}
	return file
}

func stamped(c Campaign, file []byte, job uint16, block uint32, sector int) int64 {
	s, ok := witness.ReadStamp(file[c.Layout.Home(job, block)+int64(sector)*512:])
	if !ok || s.Campaign != c.Layout.Campaign || s.Job != job || s.Block != block || int(s.Sector) != sector {
		return -1
	}
	return int64(s.Generation)
}

// baseOf is the image before the first write.
func baseOf(c Campaign) []byte {
	image := bytes.Repeat([]byte{0xee}, int(c.SizeBytes))
	file := make([]byte, int64(c.Layout.Jobs)*c.Layout.JobBytes())
	for job := range c.Layout.Jobs {
		for b := range c.Layout.Blocks {
			home := c.Layout.Home(uint16(job), uint32(b))
			witness.Stamp{Campaign: c.Layout.Campaign, Job: uint16(job), Block: uint32(b)}.PutBlock(file[home : home+int64(c.Layout.BlockBytes)])
		}
	}
	for _, e := range extentsOf(c) {
		if e.File < int64(len(file)) {
			copy(image[e.Image:e.Image+e.Length], file[e.File:])
		}
	}
	return image
}

func extentsOf(c Campaign) []Extent {
	if len(c.Extents) == 0 {
		return []Extent{{Length: int64(c.Layout.Jobs) * c.Layout.JobBytes()}}
	}
	return c.Extents
}

// randomCampaign is a small one.
func randomCampaign(r *rand.Rand) Campaign {
	c := Campaign{
		Layout: witness.Layout{
			Campaign: r.Uint64(), Pattern: witness.Overwrite, Jobs: 1 + r.IntN(2), BlockBytes: 512 << r.IntN(4), Blocks: 1 + r.IntN(4),
			Random: r.IntN(2) == 0, Seed: r.Uint64(),
		},
		Data: dataImage, Witness: witnessImage, Filesystem: "none", Format: "raw",
	}
	size := int64(c.Layout.Jobs) * c.Layout.JobBytes()
	c.SizeBytes = (size+4095)/4096*4096 + 4096
	if r.IntN(3) == 0 {
		c.SectorBytes = 4096
	}
	if r.IntN(2) == 0 {
		c.Filesystem = "ext4"
		c.Extents, c.SizeBytes = randomExtents(r, size)
	}
	return c
}

// randomExtents scatter a file over a disk.
func randomExtents(r *rand.Rand, size int64) (extents []Extent, disk int64) {
	for at := int64(0); at < size; {
		n := min(size-at, 512*(1+r.Int64N(6)))
		extents = append(extents, Extent{File: at, Length: n})
		at += n
	}
	disk = 512 * r.Int64N(4)
	for _, i := range r.Perm(len(extents)) {
		extents[i].Image = disk
		disk += extents[i].Length + 512*r.Int64N(3)
	}
	return extents, (disk + 8191) / 4096 * 4096
}

// randomLog does anything that a disk, a guest and a probe may do, sensible or not.
func randomLog(t testing.TB, r *rand.Rand, c Campaign, steps int) *script {
	s := newScript(t, c)
	promised, acked := make([]uint32, c.Layout.Jobs), make([]uint32, c.Layout.Jobs)
	wild := r.IntN(3) == 0 // foreign writes as well
	flags := func() uint16 { return uint16(r.IntN(4)) }
	for range steps {
		job := uint16(r.IntN(c.Layout.Jobs))
		switch k := r.IntN(22); {
		case k < 6:
			offset, data := s.next(job)
			s.scatter(r, flags(), offset, data)
		case k < 11 && len(s.flying) > 0:
			s.end(s.flying[r.IntN(len(s.flying))].Op)
		case k < 13:
			s.flush()
		case k == 13:
			s.ops++
			s.append(oplog.Event{Kind: oplog.Flush, Op: s.ops}, nil)
		case k < 16:
			unit := int64(1 + 511*r.IntN(2))
			offset := r.Int64N(c.SizeBytes/unit) * unit
			kind := []oplog.Kind{oplog.Writeback, oplog.Destage}[r.IntN(2)]
			s.event(kind, offset, min(c.SizeBytes-offset, unit*r.Int64N(8192/unit)))
		case k < 18:
			promised[job] += uint32(r.IntN(int(max(1, int(s.sent[job])+1-int(promised[job])))))
			if r.IntN(20) == 0 {
				promised[job]++
			}
			s.promise(job, promised[job])
		case k < 20:
			acked[job] += uint32(r.IntN(int(max(1, int(s.sent[job])+1-int(acked[job])))))
			s.ack(job, acked[job])
		case wild && k == 20:
			// Whole sectors: zeros over the zeros in a stamped sector's rest would change nothing, and count as foreign.
			offset := 512 * r.Int64N(c.SizeBytes/512)
			s.discard(flags(), offset, 512*r.Int64N(1+min(6, (c.SizeBytes-offset)/512)))
		case wild && k == 21:
			offset := r.Int64N(c.SizeBytes - 1)
			junk := bytes.Repeat([]byte{byte(1 + r.IntN(255))}, 1+r.IntN(int(min(1500, c.SizeBytes-offset))))
			s.arrive(dataImage, flags(), offset, junk)
		}
	}
	if r.IntN(2) == 0 {
		s.event(oplog.Cut, 0, 0)
	}
	return s
}

// scatter begins the writes of a block, in one piece or several, where its file stands on the disk.
func (s *script) scatter(r *rand.Rand, flags uint16, offset int64, data []byte) {
	for len(data) > 0 {
		n := len(data)
		if r.IntN(3) == 0 {
			n = 512 * (1 + r.IntN(len(data)/512))
		}
		for _, e := range extentsOf(s.c) {
			if offset >= e.File && offset < e.File+e.Length {
				n = int(min(int64(n), e.File+e.Length-offset))
				s.arrive(dataImage, flags, e.Image+offset-e.File, data[:n])
				break
			}
		}
		offset, data = offset+int64(n), data[n:]
	}
}

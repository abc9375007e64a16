// Package witness is what the probe in the guest writes and the judge on the host reads: the stamp in every sector of its
// data, the records of its promises on the witness disk, and the order in which it writes. It has no I/O of its own, so that the
// probe stays small.
package witness

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// SectorSize is the unit that is stamped, in bytes: a disk writes a sector whole or not at all.
const SectorSize = 512

// Stamp names the write that a sector of the probe's data comes from.
type Stamp struct {
	Campaign   uint64 // the campaign's number: data of another one is foreign
	Job        uint16 // from 0
	Sequence   uint32 // of the job's writes, from 1; 0 is the prefill
	Generation uint32 // how often this block has been written, from 1; 0 is the prefill
	Block      uint32 // of the job's blocks, from 0
	Sector     uint16 // within the block, from 0
}

const (
	stampMagic  = 0x504d5453_54544c50 // "PLTTSTMP", little endian
	recordMagic = 0x53455357_54544c50 // "PLTTWSES"
	stampBytes  = 40                  // of the header; the last four of them are the checksum
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Put fills a sector of SectorSize bytes with the stamp.
func (s Stamp) Put(sector []byte) {
	sector = sector[:SectorSize]
	clear(sector)
	le := binary.LittleEndian
	le.PutUint64(sector[0:], stampMagic)
	le.PutUint64(sector[8:], s.Campaign)
	le.PutUint32(sector[16:], s.Sequence)
	le.PutUint32(sector[20:], s.Generation)
	le.PutUint32(sector[24:], s.Block)
	le.PutUint16(sector[28:], s.Job)
	le.PutUint16(sector[30:], s.Sector)
	le.PutUint32(sector[36:], sum(sector))
}

// ReadStamp reads a sector of SectorSize bytes. It reports false if that has no stamp or a damaged one.
func ReadStamp(sector []byte) (Stamp, bool) {
	sector = sector[:SectorSize]
	le := binary.LittleEndian
	if le.Uint64(sector) != stampMagic || le.Uint32(sector[36:]) != sum(sector) {
		return Stamp{}, false
	}
	return Stamp{
		Campaign: le.Uint64(sector[8:]), Sequence: le.Uint32(sector[16:]), Generation: le.Uint32(sector[20:]),
		Block: le.Uint32(sector[24:]), Job: le.Uint16(sector[28:]), Sector: le.Uint16(sector[30:]),
	}, true
}

// sum returns the checksum of a sector without the field that holds it.
func sum(sector []byte) uint32 {
	c := crc32.Update(0, castagnoli, sector[:36])
	return crc32.Update(c, castagnoli, sector[stampBytes:])
}

// PutBlock fills a block, a multiple of SectorSize bytes, with the stamps of its sectors; s.Sector is ignored.
func (s Stamp) PutBlock(block []byte) {
	for i := 0; i*SectorSize < len(block); i++ {
		s.Sector = uint16(i)
		s.Put(block[i*SectorSize:])
	}
}

// Kind is the kind of a record on the witness disk.
type Kind uint16

// The kinds of records. A promise is written before the job's next operation; an acknowledgement when there is time.
const (
	Promise Kind = 1 // all writes of the job up to Sequence are promised
	Ack     Kind = 2 // all writes of the job up to Sequence have returned to the application
)

// Record is one entry of the witness disk. Each job has a slot for each kind, which is written again and again: the log of
// the simulated disk keeps them all.
type Record struct {
	Campaign uint64
	Job      uint16 // from 0
	Kind     Kind
	Serial   uint64 // of this slot's records, from 1
	Sequence uint32 // of the job's writes; 0 is none
}

// RecordSize is what a record takes and SlotSize the distance of the slots, in bytes. Records may be written O_DIRECT on
// disks with sectors of 512 bytes; on others a whole slot is written.
const (
	RecordSize = SectorSize
	SlotSize   = 4096
)

// MaxJobs is how many jobs a witness disk has slots for.
const MaxJobs = 64

// DiskBytes is the size of a witness disk.
const DiskBytes = 1 << 20

// Offset returns where the record's slot is on the witness disk, in bytes.
func (r Record) Offset() int64 {
	slot := 2*int64(r.Job) + int64(r.Kind-Promise)
	return slot * SlotSize
}

// Put fills RecordSize bytes with the record.
func (r Record) Put(b []byte) {
	b = b[:RecordSize]
	clear(b)
	le := binary.LittleEndian
	le.PutUint64(b[0:], recordMagic)
	le.PutUint64(b[8:], r.Campaign)
	le.PutUint64(b[16:], r.Serial)
	le.PutUint32(b[24:], r.Sequence)
	le.PutUint16(b[28:], r.Job)
	le.PutUint16(b[30:], uint16(r.Kind))
	le.PutUint32(b[36:], sum(b))
}

// ReadRecord reads RecordSize bytes. It reports false if they hold no record or a damaged one.
func ReadRecord(b []byte) (Record, bool) {
	b = b[:RecordSize]
	le := binary.LittleEndian
	if le.Uint64(b) != recordMagic || le.Uint32(b[36:]) != sum(b) {
		return Record{}, false
	}
	r := Record{
		Campaign: le.Uint64(b[8:]), Serial: le.Uint64(b[16:]), Sequence: le.Uint32(b[24:]),
		Job: le.Uint16(b[28:]), Kind: Kind(le.Uint16(b[30:])),
	}
	return r, r.Kind == Promise || r.Kind == Ack
}

// Patterns of the probe's writes: what one write is.
const (
	Overwrite = "overwrite" // blocks of the raw device or of one prefilled file are written again and again
	Append    = "append"    // the file of each job grows by a block
	FileEach  = "file"      // each write makes a new file: create, write, fsync, fsync of the directory
	Rename    = "rename"    // each write replaces one of a few files: write a temporary one, fsync, rename, fsync of the directory
)

// Layout is what probe and judge must agree on: which block is written by which write. Job j owns the bytes from j·JobBytes() of
// the device or file; jobs never share a block, so that "older" has one meaning.
type Layout struct {
	Campaign   uint64 `json:"campaign"`
	Pattern    string `json:"pattern"`
	Jobs       int    `json:"jobs"`        // 1 to MaxJobs
	BlockBytes int    `json:"block_bytes"` // of one write; a multiple of SectorSize
	Blocks     int    `json:"blocks"`      // of each job
	Random     bool   `json:"random"`      // else in turn, from the first block again after the last
	Seed       uint64 `json:"seed"`
}

// Check returns what is wrong with a layout, or nil.
func (l Layout) Check() error {
	switch {
	case l.Jobs < 1 || l.Jobs > MaxJobs:
		return fmt.Errorf("%d jobs: from 1 to %d can be watched", l.Jobs, MaxJobs)
	case l.BlockBytes < SectorSize || l.BlockBytes%SectorSize != 0 || l.BlockBytes > 16<<20:
		return fmt.Errorf("blocks of %d bytes: a multiple of %d up to 16 MiB can be stamped", l.BlockBytes, SectorSize)
	case l.Blocks < 1 || int64(l.Blocks) > 1<<31:
		return fmt.Errorf("%d blocks a job: at least one is needed", l.Blocks)
	case l.Pattern != Overwrite && l.Pattern != Append && l.Pattern != FileEach && l.Pattern != Rename:
		return fmt.Errorf("no pattern %q: it is overwrite, append, file or rename", l.Pattern)
	}
	return nil
}

// JobBytes returns the size of a job's own region.
func (l Layout) JobBytes() int64 { return int64(l.Blocks) * int64(l.BlockBytes) }

// Home returns where a block stands in the device or file, in bytes.
func (l Layout) Home(job uint16, block uint32) int64 {
	return int64(job)*l.JobBytes() + int64(block)*int64(l.BlockBytes)
}

// Walk is the order of a job's writes.
type Walk struct {
	layout      Layout
	state       uint64
	sequence    uint32
	generations []uint32
}

// Walk begins the order of a job's writes anew.
func (l Layout) Walk(job uint16) *Walk {
	return &Walk{layout: l, state: l.Seed ^ (uint64(job)+1)*0x9e3779b97f4a7c15, generations: make([]uint32, l.Blocks)}
}

// Next returns the stamp of the job's next write; Job and Sector are left to the caller.
func (w *Walk) Next() Stamp {
	w.sequence++
	block := (w.sequence - 1) % uint32(w.layout.Blocks)
	if w.layout.Random {
		block = uint32(w.random() % uint64(w.layout.Blocks))
	}
	w.generations[block]++
	return Stamp{Campaign: w.layout.Campaign, Sequence: w.sequence, Generation: w.generations[block], Block: block}
}

// random returns the next number of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
func (w *Walk) random() uint64 {
	w.state += 0x9e3779b97f4a7c15
	z := w.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

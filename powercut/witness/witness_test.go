package witness

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

var (
	aStamp  = Stamp{Campaign: 1<<63 | 7, Job: 63, Sequence: 1<<32 - 1, Generation: 1 << 31, Block: 1<<31 - 1, Sector: 4095}
	aRecord = Record{Campaign: 1<<63 | 9, Job: 63, Kind: Ack, Serial: 1<<64 - 1, Sequence: 1<<32 - 1}
)

func TestAStampReadsBackAsItWasPut(t *testing.T) {
	sector := bytes.Repeat([]byte{0xff}, SectorSize)
	for _, s := range []Stamp{{}, aStamp, {Campaign: 1, Sequence: 2, Generation: 3, Block: 4, Job: 5, Sector: 6}} {
		s.Put(sector)
		if got, ok := ReadStamp(sector); !ok || got != s {
			t.Errorf("put %+v, read %+v, %v", s, got, ok)
		}
	}
}

func TestARecordReadsBackAsItWasPut(t *testing.T) {
	b := bytes.Repeat([]byte{0xff}, RecordSize)
	for _, r := range []Record{{Kind: Promise}, aRecord, {Campaign: 1, Job: 2, Kind: Promise, Serial: 3, Sequence: 4}} {
		r.Put(b)
		if got, ok := ReadRecord(b); !ok || got != r {
			t.Errorf("put %+v, read %+v, %v", r, got, ok)
		}
	}
}

func TestADamagedBitIsSeenWhereverItIs(t *testing.T) {
	stamp, record := make([]byte, SectorSize), make([]byte, RecordSize)
	aStamp.Put(stamp)
	aRecord.Put(record)
	for bit := range SectorSize * 8 {
		stamp[bit/8] ^= 1 << (bit % 8)
		record[bit/8] ^= 1 << (bit % 8)
		if s, ok := ReadStamp(stamp); ok {
			t.Fatalf("bit %d of a stamp was turned, and it reads as %+v", bit, s)
		}
		if r, ok := ReadRecord(record); ok {
			t.Fatalf("bit %d of a record was turned, and it reads as %+v", bit, r)
		}
		stamp[bit/8] ^= 1 << (bit % 8)
		record[bit/8] ^= 1 << (bit % 8)
	}
}

func TestZerosAndEachOthersSectorsAreNeitherStampNorRecord(t *testing.T) {
	zeros, stamp, record := make([]byte, SectorSize), make([]byte, SectorSize), make([]byte, RecordSize)
	aStamp.Put(stamp)
	aRecord.Put(record)
	for name, b := range map[string][]byte{"zeros": zeros, "a record": record} {
		if _, ok := ReadStamp(b); ok {
			t.Errorf("%s read as a stamp", name)
		}
	}
	for name, b := range map[string][]byte{"zeros": zeros, "a stamp": stamp} {
		if _, ok := ReadRecord(b); ok {
			t.Errorf("%s read as a record", name)
		}
	}
}

func TestARecordOfNoKnownKindIsNone(t *testing.T) {
	b := make([]byte, RecordSize)
	for _, k := range []Kind{0, 3, 65535} {
		Record{Kind: k}.Put(b)
		if _, ok := ReadRecord(b); ok {
			t.Errorf("kind %d was read", k)
		}
	}
}

func TestABlocksSectorsAreNumbered(t *testing.T) {
	block := make([]byte, 16*SectorSize)
	s := Stamp{Campaign: 3, Job: 1, Sequence: 9, Generation: 2, Block: 5, Sector: 77}
	s.PutBlock(block)
	for i := range 16 {
		s.Sector = uint16(i)
		if got, ok := ReadStamp(block[i*SectorSize:]); !ok || got != s {
			t.Errorf("sector %d is %+v, %v", i, got, ok)
		}
	}
}

func TestSlotsAreDistinctAndOnTheDisk(t *testing.T) {
	seen := map[int64]Record{}
	for job := range MaxJobs {
		for _, k := range []Kind{Promise, Ack} {
			r := Record{Job: uint16(job), Kind: k}
			at := r.Offset()
			if other, taken := seen[at]; taken {
				t.Errorf("%+v and %+v are both at %d", r, other, at)
			}
			seen[at] = r
			if at < 0 || at%SlotSize != 0 || at+SlotSize > DiskBytes {
				t.Errorf("%+v is at %d: not a slot of the disk", r, at)
			}
		}
	}
}

// naive is the order of writes said again in the plainest way: how often a block came before is its generation.
func naive(l Layout, job uint16, n int) []Stamp {
	var all []Stamp
	state := l.Seed ^ (uint64(job)+1)*0x9e3779b97f4a7c15
	for i := range n {
		s := Stamp{Campaign: l.Campaign, Sequence: uint32(i + 1), Block: uint32(i % l.Blocks)}
		if l.Random {
			state += 0x9e3779b97f4a7c15
			z := state
			z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
			z = (z ^ (z >> 27)) * 0x94d049bb133111eb
			s.Block = uint32((z ^ (z >> 31)) % uint64(l.Blocks))
		}
		s.Generation = 1
		for _, before := range all {
			if before.Block == s.Block {
				s.Generation++
			}
		}
		all = append(all, s)
	}
	return all
}

func TestAWalkIsTheSameEveryTimeAndCountsGenerations(t *testing.T) {
	for _, l := range []Layout{
		{Campaign: 1, Blocks: 1, Random: true, Seed: 1}, {Campaign: 1, Blocks: 37, Random: true, Seed: 1}, {Campaign: 2, Blocks: 37, Seed: 1},
		{Campaign: 3, Blocks: 4096, Random: true, Seed: 1<<64 - 1},
	} {
		for _, job := range []uint16{0, 1, 63} {
			first, second := l.Walk(job), l.Walk(job)
			for i, want := range naive(l, job, 500) {
				got := first.Next()
				if again := second.Next(); got != want || again != want {
					t.Fatalf("%+v, job %d, write %d: %+v and %+v, want %+v", l, job, i+1, got, again, want)
				}
			}
		}
	}
}

func TestSplitMixIsTheOneOfThePaper(t *testing.T) {
	// The first outputs for the seed 1234567, as other implementations publish them (rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64).
	w := &Walk{state: 1234567}
	for i, want := range []uint64{6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821} {
		if got := w.random(); got != want {
			t.Errorf("output %d is %d, want %d", i, got, want)
		}
	}
}

func TestJobsWalkInDifferentOrders(t *testing.T) {
	l := Layout{Blocks: 1 << 20, Random: true, Seed: 5}
	a, b := l.Walk(0), l.Walk(1)
	same := 0
	for range 1000 {
		if a.Next().Block == b.Next().Block {
			same++
		}
	}
	if same > 10 {
		t.Errorf("%d of 1000 writes of two jobs are of the same block", same)
	}
}

func TestJobsNeverShareABlock(t *testing.T) {
	for _, l := range []Layout{{Jobs: 1, Blocks: 1, BlockBytes: 512}, {Jobs: 3, Blocks: 7, BlockBytes: 4096}, {Jobs: 64, Blocks: 5,
		BlockBytes: 65536}} {
		taken := map[int64]bool{}
		for job := range l.Jobs {
			for b := range l.Blocks {
				at := l.Home(uint16(job), uint32(b))
				if taken[at] || at%int64(l.BlockBytes) != 0 || at < 0 || at+int64(l.BlockBytes) > int64(l.Jobs)*l.JobBytes() {
					t.Fatalf("%+v: block %d of job %d is at %d", l, b, job, at)
				}
				taken[at] = true
			}
		}
	}
	// The last byte of the largest layout there can be still has a number.
	l := Layout{Jobs: MaxJobs, Blocks: 1 << 31, BlockBytes: 16 << 20}
	if at := l.Home(MaxJobs-1, 1<<31-1); at < 0 {
		t.Errorf("the last block of the largest layout is at %d", at)
	}
}

func TestALayoutThatCannotBeWatchedIsRefused(t *testing.T) {
	good := Layout{Pattern: Overwrite, Jobs: 1, BlockBytes: 4096, Blocks: 10}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Layout){
		"no job": func(l *Layout) { l.Jobs = 0 }, "too many jobs": func(l *Layout) { l.Jobs = 65 }, "odd " +
			"blocks": func(l *Layout) { l.BlockBytes = 1000 },
		"no bytes": func(l *Layout) { l.BlockBytes = 0 }, "huge blocks": func(l *Layout) { l.BlockBytes = 32 << 20 }, "no " +
			"block": func(l *Layout) { l.Blocks = 0 },
		"too many blocks": func(l *Layout) { l.Blocks = 1<<31 + 1 }, "no pattern": func(l *Layout) { l.Pattern = "" },
	} {
		l := good
		change(&l)
		if l.Check() == nil {
			t.Errorf("%s: %+v was taken", name, l)
		}
	}
}

func FuzzReadStamp(f *testing.F) {
	b := make([]byte, SectorSize)
	aStamp.Put(b)
	f.Add(b)
	f.Add(make([]byte, SectorSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < SectorSize {
			return
		}
		s, ok := ReadStamp(b)
		if !ok {
			return
		}
		again := make([]byte, SectorSize)
		s.Put(again)
		if got, ok := ReadStamp(again); !ok || got != s {
			t.Errorf("%+v does not read back: %+v", s, got)
		}
	})
}

func FuzzReadRecord(f *testing.F) {
	b := make([]byte, RecordSize)
	aRecord.Put(b)
	f.Add(b)
	f.Add(make([]byte, RecordSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < RecordSize {
			return
		}
		r, ok := ReadRecord(b)
		if !ok {
			return
		}
		again := make([]byte, RecordSize)
		r.Put(again)
		if got, ok := ReadRecord(again); !ok || got != r {
			t.Errorf("%+v does not read back: %+v", r, got)
		}
	})
}

func BenchmarkStampABlock(b *testing.B) {
	block := make([]byte, 4096)
	s := Stamp{Campaign: rand.Uint64()}
	b.SetBytes(4096)
	for b.Loop() {
		s.Generation++
		s.PutBlock(block)
	}
}

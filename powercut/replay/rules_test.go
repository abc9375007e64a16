package replay

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"platter/cell"
	"platter/powercut/oplog"
	"platter/powercut/witness"
)

// small is two jobs of two blocks of two sectors each, written in turn on a raw device.
func small() Campaign {
	return Campaign{
		Layout: witness.Layout{Campaign: 7, Pattern: witness.Overwrite, Jobs: 2, BlockBytes: 1024, Blocks: 2},
		Data:   dataImage, Witness: witnessImage, Filesystem: "none", Format: "raw", SizeBytes: 1 << 16,
	}
}

// single is one job of one block: each write overwrites the one before.
func single() Campaign {
	c := small()
	c.Layout.Jobs, c.Layout.Blocks = 1, 1
	return c
}

const (
	buffered = uint16(0)
	direct   = oplog.Direct
	dsync    = oplog.Dsync
)

// after is what each class loses at a crash point: promises and acknowledged writes.
type after struct {
	point int64 // 0 is the last
	guest, qemu, host, power,
	guestAck, qemuAck, hostAck, powerAck int64
}

// TestRules has each rule of the log and of the promises once where something is lost by it and once where it is kept.
func TestRules(t *testing.T) {
	partial := func(s *script, flags uint16) (first, second uint64) {
		offset, data := s.next(0)
		return s.arrive(dataImage, flags, offset, data[:512]), s.arrive(dataImage, flags, offset+512, data[512:])
	}
	for _, test := range []struct {
		name     string
		campaign Campaign
		log      func(s *script)
		want     after
	}{
		{"a buffered write is lost by a host crash", small(),
			func(s *script) { s.write(0, buffered); s.promise(0, 1) }, after{host: 1, power: 1}},
		{"a buffered write that was written back is lost by a power loss only", small(),
			func(s *script) { s.write(0, buffered); s.event(oplog.Writeback, 0, 4096); s.promise(0, 1) }, after{power: 1}},
		{"a buffered write that was written back and destaged is kept", small(),
			func(s *script) {
				s.write(0, buffered)
				s.event(oplog.Writeback, 0, 4096)
				s.event(oplog.Destage, 0, 4096)
				s.promise(0, 1)
			}, after{}},
		{"destaging what is still in the page cache does nothing", small(),
			func(s *script) {
				s.write(0, buffered)
				s.event(oplog.Destage, 0, 4096)
				s.event(oplog.Writeback, 0, 4096)
				s.promise(0, 1)
			}, after{power: 1}},
		{"a direct write is lost by a power loss", small(),
			func(s *script) { s.write(0, direct); s.promise(0, 1) }, after{power: 1}},
		{"a direct write that was flushed is kept", small(),
			func(s *script) { s.write(0, direct); s.flush(); s.promise(0, 1) }, after{}},
		{"a buffered write that was flushed is kept", small(),
			func(s *script) { s.write(0, buffered); s.flush(); s.promise(0, 1) }, after{}},
		{"an O_DSYNC write is kept", small(),
			func(s *script) { s.write(0, dsync); s.promise(0, 1) }, after{}},
		{"a write after the flush is lost", small(),
			func(s *script) { s.flush(); s.write(0, direct); s.promise(0, 1) }, after{power: 1}},
		{"a write in flight when the flush takes effect is lost", small(),
			func(s *script) { op := s.begin(0, direct); s.flush(); s.end(op); s.promise(0, 1) }, after{power: 1}},
		{"a write in flight survives a guest crash only", small(),
			func(s *script) { s.begin(0, direct); s.promise(0, 1) }, after{qemu: 1, host: 1, power: 1}},
		{"a promise before the flush's effect is broken until then", small(),
			func(s *script) { s.write(0, direct); s.promise(0, 1); s.flush() }, after{point: 5, power: 1}},
		{"a promise before the flush's effect is kept from then", small(),
			func(s *script) { s.write(0, direct); s.promise(0, 1); s.flush() }, after{point: 6}},
		{"a promise counts from its arrival", small(),
			func(s *script) { s.write(0, direct); s.promise(0, 1) }, after{point: 3, power: 1}},
		{"a promise does not count before its arrival", small(),
			func(s *script) { s.write(0, direct); s.promise(0, 1) }, after{point: 2}},
		{"a promise of a write that never arrived is broken", small(),
			func(s *script) { s.promise(0, 1) }, after{guest: 1, qemu: 1, host: 1, power: 1}},
		{"a newer write in flight over a promised one changes nothing", single(),
			func(s *script) { s.write(0, direct); s.flush(); s.promise(0, 1); s.begin(0, direct) }, after{}},
		{"a newer write over an unflushed promised one does not keep it", single(),
			func(s *script) { s.write(0, direct); s.promise(0, 1); s.write(0, direct) }, after{power: 1}},
		{"a newer write that is on the medium keeps the promise of an older one", single(),
			func(s *script) { s.write(0, direct); s.promise(0, 1); s.write(0, dsync) }, after{}},
		{"both promised generations of a block are lost", single(),
			func(s *script) { s.write(0, direct); s.write(0, direct); s.promise(0, 2) }, after{power: 2}},
		{"only the newer promised generation of a block is lost", single(),
			func(s *script) { s.write(0, direct); s.flush(); s.write(0, direct); s.promise(0, 2) }, after{power: 1}},
		{"a direct write after a buffered one over the same range is what counts", single(),
			func(s *script) { s.write(0, buffered); s.write(0, direct); s.promise(0, 2) }, after{power: 2}},
		{"a buffered write after a direct one over the same range: the older stays in the drive's cache", single(),
			func(s *script) { s.write(0, direct); s.write(0, buffered); s.promise(0, 2) }, after{host: 1, power: 2}},
		{"a buffered half and a direct half: the buffered one decides", single(),
			func(s *script) {
				a := s.arriveHalf(0, buffered, 0)
				b := s.arriveHalf(0, direct, 1)
				s.end(a)
				s.end(b)
				s.promise(0, 1)
			}, after{host: 1, power: 1}},
		{"half of a block is still in flight", single(),
			func(s *script) { first, _ := partial(s, direct); s.end(first); s.flush(); s.promise(0, 1) }, after{qemu: 1, host: 1, power: 1}},
		{"both halves of a block were flushed", single(),
			func(s *script) {
				first, second := partial(s, direct)
				s.end(second)
				s.end(first)
				s.flush()
				s.promise(0, 1)
			}, after{}},
		{"half of a block was destaged", single(),
			func(s *script) { s.write(0, direct); s.event(oplog.Destage, 0, 512); s.promise(0, 1) }, after{power: 1}},
		{"the halves of a block were destaged one after the other", single(),
			func(s *script) {
				s.write(0, direct)
				s.event(oplog.Destage, 512, 512)
				s.event(oplog.Destage, 0, 512)
				s.promise(0, 1)
			}, after{}},
		{"a discard over promised data breaks the promise in its layer", single(),
			func(s *script) { s.write(0, dsync); s.promise(0, 1); s.end(s.discard(direct, 0, 512)) }, after{guest: 1, qemu: 1, host: 1}},
		{"a discard beside promised data breaks nothing", single(),
			func(s *script) { s.write(0, dsync); s.promise(0, 1); s.end(s.discard(direct, 1024, 4096)) }, after{}},
		{"a discard that was flushed breaks the promise for all", single(),
			func(s *script) { s.write(0, dsync); s.promise(0, 1); s.end(s.discard(direct, 0, 512)); s.flush() },
			after{guest: 1, qemu: 1, host: 1, power: 1}},
		{"something else over promised data breaks the promise, and no more than was promised", single(),
			func(s *script) {
				s.write(0, dsync)
				s.write(0, dsync)
				s.promise(0, 2)
				s.end(s.arrive(dataImage, dsync, 512, bytes.Repeat([]byte{9}, 512)))
			}, after{guest: 2, qemu: 2, host: 2, power: 2}},
		{"something else where nothing is promised breaks nothing", single(),
			func(s *script) { s.end(s.arrive(dataImage, dsync, 512, bytes.Repeat([]byte{9}, 512))) }, after{}},
		{"a stamp at another's home is something else", small(),
			func(s *script) {
				s.write(0, dsync)
				s.promise(0, 1)
				_, data := s.next(0)
				s.end(s.arrive(dataImage, dsync, 0, data))
			}, after{guest: 1, qemu: 1, host: 1, power: 1}},
		{"a stamp of another job is something else", small(),
			func(s *script) {
				s.promise(0, 1)
				_, data := s.next(1)
				s.end(s.arrive(dataImage, dsync, 0, data))
			}, after{guest: 1, qemu: 1, host: 1, power: 1}},
		{"the sectors of a block in the wrong order are something else", single(),
			func(s *script) {
				s.promise(0, 1)
				_, data := s.next(0)
				s.end(s.arrive(dataImage, dsync, 0, slicesOf(data[512:], data[:512])))
			}, after{guest: 1, qemu: 1, host: 1, power: 1}},
		{"a stamp of another campaign is something else", single(),
			func(s *script) {
				s.write(0, dsync)
				s.promise(0, 1)
				data := make([]byte, 1024)
				witness.Stamp{Campaign: 8, Sequence: 2, Generation: 2}.PutBlock(data)
				s.end(s.arrive(dataImage, dsync, 0, data))
			}, after{guest: 1, qemu: 1, host: 1, power: 1}},
		{"an acknowledged direct write is exposed to a power loss", small(),
			func(s *script) { s.write(0, direct); s.ack(0, 1) }, after{powerAck: 1}},
		{"an acknowledged buffered write is exposed to a host crash", small(),
			func(s *script) { s.write(0, buffered); s.ack(0, 1) }, after{hostAck: 1, powerAck: 1}},
		{"an acknowledged write that never arrived is exposed to all", small(),
			func(s *script) { s.ack(0, 1) }, after{guestAck: 1, qemuAck: 1, hostAck: 1, powerAck: 1}},
		{"what is promised is not exposed", small(),
			func(s *script) { s.write(0, direct); s.ack(0, 1); s.promise(0, 1) }, after{power: 1}},
		{"what was replied to and not acknowledged is not exposed", small(),
			func(s *script) { s.write(0, direct) }, after{}},
		{"what was flushed without a promise is not exposed", small(),
			func(s *script) { s.write(0, direct); s.ack(0, 1); s.flush() }, after{}},
		{"two jobs: one keeps, one loses", small(),
			func(s *script) { s.write(0, direct); s.flush(); s.write(1, direct); s.promise(0, 1); s.promise(1, 1) }, after{power: 1}},
		{"two jobs: a flush serves both", small(),
			func(s *script) { s.write(0, direct); s.write(1, direct); s.flush(); s.promise(0, 1); s.promise(1, 1) }, after{}},
		{"a write over the blocks of two jobs counts for both", small(),
			func(s *script) {
				_, a := s.next(0)
				_, b := s.next(0)
				_, c := s.next(1)
				s.end(s.arrive(dataImage, dsync, 0, slicesOf(a, b, c)))
				s.promise(0, 2)
				s.promise(1, 1)
			}, after{}},
		{"two writes in flight over one block: the one that ends last stays", single(),
			func(s *script) {
				a, b := s.begin(0, dsync), s.begin(0, dsync)
				s.end(b)
				s.promise(0, 2)
				s.end(a)
			}, after{guest: 1, qemu: 1, host: 1, power: 1}},
		{"two writes in flight over one block: the newer ends last", single(),
			func(s *script) {
				a, b := s.begin(0, dsync), s.begin(0, dsync)
				s.end(a)
				s.promise(0, 2)
				s.end(b)
			}, after{}},
		{"an older write in flight will overwrite what was replied to when the guest crashes", single(),
			func(s *script) { s.begin(0, dsync); s.write(0, dsync); s.promise(0, 2) }, after{guest: 1}},
		// Disks that misbehave, and a probe that does.
		{"a disk that ignores a flush", small(),
			func(s *script) {
				s.write(0, direct)
				s.event(oplog.Flush, 0, 0)
				s.event(oplog.FlushEnd, 0, 0)
				s.promise(0, 1)
			}, after{power: 1}},
		{"a disk that flushes late, before it does", small(),
			func(s *script) {
				s.write(0, direct)
				s.event(oplog.Flush, 0, 0)
				s.event(oplog.FlushEnd, 0, 0)
				s.promise(0, 1)
				s.event(oplog.Flushed, 0, 0)
			}, after{point: 6, power: 1}},
		{"a disk that tears: a flush of half of a block", small(),
			func(s *script) {
				s.write(0, direct)
				s.event(oplog.Flush, 0, 0)
				s.event(oplog.Destage, 0, 512)
				s.event(oplog.FlushEnd, 0, 0)
				s.promise(0, 1)
			}, after{power: 1}},
		{"a disk that reorders: a flush of the newer of two writes", small(),
			func(s *script) {
				s.write(0, buffered)
				s.write(0, buffered)
				s.event(oplog.Flush, 0, 0)
				s.event(oplog.Writeback, 1024, 1024)
				s.event(oplog.Destage, 1024, 1024)
				s.event(oplog.FlushEnd, 0, 0)
				s.promise(0, 2)
			}, after{host: 1, power: 1}},
		{"a probe that promises before its fsync", small(),
			func(s *script) { s.write(0, direct); s.promise(0, 1); s.flush() }, after{point: 3, power: 1}},
		{"a probe that promises a write before it is made", small(),
			func(s *script) { s.promise(0, 1); s.write(0, dsync) }, after{point: 2, guest: 1, qemu: 1, host: 1, power: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScript(t, test.campaign)
			test.log(s)
			if test.want.point == 0 {
				test.want.point = s.points()
			}
			if got := lossesAt(t, s, test.want.point); got != test.want {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}
}

func slicesOf(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// arriveHalf begins the write of one half of the only block.
func (s *script) arriveHalf(job uint16, flags uint16, half int64) uint64 {
	if half == 0 {
		_, s.half = s.next(job)
	}
	return s.arrive(dataImage, flags, half*512, s.half[half*512:][:512])
}

func lossesAt(t *testing.T, s *script, point int64) after {
	got := after{point: point}
	_, err := every(s.reader(), s.c, allQuestions, func(p int64, l layer, f figures, _ int64) {
		if p != point {
			return
		}
		switch l {
		case arrived:
			got.guest, got.guestAck = f.lost, f.exposed
		case replied:
			got.qemu, got.qemuAck = f.lost, f.exposed
		case drive:
			got.host, got.hostAck = f.lost, f.exposed
		case medium:
			got.power, got.powerAck = f.lost, f.exposed
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestOutcomeSumsUpTheLog(t *testing.T) {
	s := newScript(t, small())
	s.write(0, direct)
	s.ack(0, 1)
	s.write(0, direct)
	s.ack(0, 2) // events 7 and 8
	s.flush()
	s.promise(0, 2)
	s.write(1, dsync)
	s.write(0, direct)
	s.promise(0, 3) // broken: nothing was flushed
	s.ack(1, 1)
	outcomes, err := Every(s.reader(), s.c, []cell.Question{{Class: "power_loss", DriveCache: "volatile"}, {Class: "power_loss",
		DriveCache: "none"}, {Class: "host_crash", DriveCache: "volatile"}})
	if err != nil {
		t.Fatal(err)
	}
	got := outcomes[0]
	want := Outcome{
		Question: cell.Question{Class: "power_loss", DriveCache: "volatile"}, CrashPoints: 21, Writes: 4, Promises: 3, PromisesLost: 1,
		PointsLost: 4,
		Exposure:   Exposure{Writes: 2, Bytes: 2048, MS: 6, Censored: true}, Seconds: 0.021, ImageFlushes: 1, ImageDsyncWrites: 1,
		Worst: &Point{Point: 18, MS: 18},
	}
	strip := got.Strip
	got.Strip = nil
	if *got.Worst != *want.Worst {
		t.Errorf("worst point %+v, want %+v", *got.Worst, *want.Worst)
	}
	got.Worst, want.Worst = nil, nil
	if got.Question != want.Question || got.Exposure != want.Exposure || got.PromisesLost != want.PromisesLost ||
		got.PointsLost != want.PointsLost ||
		got.CrashPoints != want.CrashPoints || got.Writes != want.Writes || got.Promises != want.Promises || got.Seconds != want.Seconds ||
		got.ImageFlushes != 1 || got.ImageDsyncWrites != 1 {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if len(strip) != 21 || strip[17].PromisesLost != 1 || strip[6].ExposedWrites != 2 || strip[6].ExposedMS != 4 {
		t.Errorf("strip %+v", strip)
	}
	for _, o := range outcomes[1:] {
		if o.PromisesLost != 0 || o.Exposure.Writes != 0 || o.Worst != nil {
			t.Errorf("%v: %+v", o.Question, o)
		}
	}
}

func TestTheAgeOfExposureIsOfTheOldestStillExposed(t *testing.T) {
	s := newScript(t, small())
	s.write(0, direct)
	s.ack(0, 1) // arrives at 3 ms
	s.write(1, direct)
	s.ack(1, 1)                        // at 7 ms
	s.event(oplog.Destage, 0, 1024)    // job 0 is safe
	s.event(oplog.Destage, 2048, 1024) // job 1 too
	s.write(0, direct)
	s.ack(0, 2) // at 13 ms, not the job's first
	for range 10 {
		s.event(oplog.Destage, 8192, 512)
	}
	o, err := Every(s.reader(), s.c, []cell.Question{{Class: "power_loss", DriveCache: "volatile"}})
	if err != nil {
		t.Fatal(err)
	}
	if e := o[0].Exposure; e.MS != 11 || e.Censored || e.Writes != 2 {
		t.Errorf("exposure %+v, want 11 ms of the second acknowledgement, two writes at the worst", e)
	}
}

func TestWhatElseWritesOnTheWitnessIsRefused(t *testing.T) {
	record := func(r witness.Record) []byte {
		b := make([]byte, witness.RecordSize)
		r.Put(b)
		return b
	}
	ours := witness.Record{Campaign: 7, Kind: witness.Promise, Serial: 1, Sequence: 1}
	for _, test := range []struct {
		name string
		log  func(s *script)
		want string
	}{
		{"a file system", func(s *script) { s.arrive(witnessImage, 0, 1024, bytes.Repeat([]byte{1}, 512)) }, "no record at 1024"},
		{"part of a sector", func(s *script) { s.arrive(witnessImage, 0, 0, make([]byte, 100)) }, "are no records"},
		{"another campaign", func(s *script) {
			r := ours
			r.Campaign = 8
			s.arrive(witnessImage, 0, 0, record(r))
		}, "campaign 8"},
		{"another job's slot", func(s *script) { s.arrive(witnessImage, 0, 2*witness.SlotSize, record(ours)) }, "its slot is at 0"},
		{"a job too many", func(s *script) {
			r := ours
			r.Job = 2
			s.arrive(witnessImage, 0, r.Offset(), record(r))
		}, "there are 2"},
		{"a serial again", func(s *script) {
			s.arrive(witnessImage, 0, 0, record(ours))
			s.arrive(witnessImage, 0, 0, record(ours))
		}, "comes after record 1"},
		{"a sequence backwards", func(s *script) {
			s.promise(0, 5)
			s.promise(0, 4)
		}, "goes back from write 5 to 4"},
		{"an impossible sequence", func(s *script) { s.promise(0, 1<<31) }, "claims 2147483648 writes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScript(t, small())
			test.log(s)
			_, err := Every(s.reader(), s.c, allQuestions)
			if !errors.Is(err, ErrWitness) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "event ") {
				t.Errorf("error %v, want the witness's with %q", err, test.want)
			}
			if _, again := ledger(s.source(), s.c, -1); again == nil || again.Error() != err.Error() {
				t.Errorf("the ledger's error is %v, want %v", again, err)
			}
		})
	}
	s := newScript(t, small())
	slot := make([]byte, witness.SlotSize)
	copy(slot, record(ours))
	s.write(0, dsync)
	s.end(s.arrive(witnessImage, direct, 0, slot)) // a whole slot
	s.end(s.arrive(witnessImage, direct, 0, make([]byte, 8192)))
	if o, err := Every(s.reader(), s.c, allQuestions); err != nil || o[0].Promises != 1 {
		t.Errorf("whole slots and zeros: %v, %+v", err, o)
	}
}

func TestLogsThatContradictThemselvesAreRefused(t *testing.T) {
	for _, test := range []struct {
		name string
		log  func(s *script)
		want string
	}{
		{"an end without a beginning", func(s *script) {
			s.append(oplog.Event{Kind: oplog.WriteEnd, Op: 3, Length: 512}, nil)
		}, "operation 3 ends and did not begin"},
		{"an operation twice", func(s *script) {
			s.begin(0, direct)
			s.ops--
			s.begin(0, direct)
		}, "operation 1 begins a second time"},
		{"another end", func(s *script) {
			s.begin(0, direct)
			s.append(oplog.Event{Kind: oplog.WriteEnd, Op: 1, Length: 512}, nil)
		}, "ends as another"},
		{"something after the cut", func(s *script) {
			s.event(oplog.Cut, 0, 0)
			s.event(oplog.Cut, 0, 0)
			s.begin(0, direct)
		}, "after the cut"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScript(t, small())
			test.log(s)
			_, err := Every(s.reader(), s.c, allQuestions)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

func TestWhatCannotBeJudgedIsRefused(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(c *Campaign)
		want   string
	}{
		{"appending", func(c *Campaign) { c.Layout.Pattern = witness.Append }, `pattern "append"`},
		{"qcow2", func(c *Campaign) { c.Format = "qcow2" }, `format "qcow2"`},
		{"another log", func(c *Campaign) { c.SizeBytes *= 2 }, "do not belong together"},
		{"an image that the log does not have", func(c *Campaign) { c.Data = 4 }, "do not belong together"},
		{"one image for both", func(c *Campaign) { c.Data = c.Witness }, "both image 1"},
		{"a hole in the file", func(c *Campaign) { c.Extents = []Extent{{0, 0, 1024}, {2048, 2048, 2048}} }, "do not cover it"},
		{"extents over one another", func(c *Campaign) { c.Extents = []Extent{{0, 0, 2048}, {2048, 1024, 2048}} }, "overlap"},
		{"a file that ends early", func(c *Campaign) { c.Extents = []Extent{{0, 0, 1024}} }, "end at byte 1024"},
		{"an extent off the disk", func(c *Campaign) { c.Extents = []Extent{{0, 1 << 16, 4096}} }, "beyond the image"},
		{"half a sector", func(c *Campaign) { c.Extents = []Extent{{0, 100, 4096}} }, "whole sectors"},
		{"a disk too small", func(c *Campaign) { c.Layout.Blocks = 1 << 20 }, "beyond the image"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScript(t, small())
			c := s.c
			test.change(&c)
			if _, err := Every(s.reader(), c, allQuestions); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
	s := newScript(t, small())
	for _, q := range []cell.Question{{Class: "flood", DriveCache: "volatile"}, {Class: "power_loss", DriveCache: "wet"}} {
		if _, err := Every(s.reader(), s.c, []cell.Question{q}); err == nil {
			t.Errorf("no error for %v", q)
		}
	}
}

func TestALogCutShortSaysWhere(t *testing.T) {
	s := newScript(t, small())
	s.write(0, direct)
	s.promise(0, 1)
	whole := s.bytes()
	for n := len(whole) - 1; n > len(whole)-1400; n -= 7 {
		log, err := oplog.NewReader(bytes.NewReader(whole[:n]))
		if err != nil {
			t.Fatal(err)
		}
		_, err = Every(log, s.c, allQuestions)
		if err == nil && (len(whole)-n)%40 == 0 {
			continue // between two events: that is no damage that can be seen
		}
		if !errors.Is(err, oplog.ErrTruncated) || !strings.Contains(err.Error(), "event ") || !strings.Contains(err.Error(), "byte ") {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
}

func TestTheLedgerHoldsForFilesToo(t *testing.T) {
	c := small()
	c.Layout.Pattern, c.Format = witness.FileEach, "qcow2"
	s := newScript(t, c)
	s.promise(0, 3)
	s.ack(0, 2)
	s.ack(1, 4)
	l, err := ledger(s.source(), c, 5)
	if err != nil {
		t.Fatal(err)
	}
	promised, acked := l.Sequences()
	if promised[0] != 3 || acked[0] != 2 || acked[1] != 4 || l.Promises() != 3 || l.Writes() != 7 || l.Point != 5 || l.MS != 5 {
		t.Errorf("%+v", l)
	}
	var point *PointError
	if _, err := ledger(s.source(), c, 7); !errors.As(err, &point) || point.Last != 6 {
		t.Errorf("error %v", err)
	}
	if _, err := Check(bytes.NewReader(nil), c, l); err == nil {
		t.Error("files were checked as blocks")
	}
}

// A qcow2 image is smaller than its disk; what is checked is the disk, converted.
func TestADiskIsCheckedThatIsLargerThanItsImage(t *testing.T) {
	c := single()
	c.Format, c.SizeBytes, c.Extents = "qcow2", 4096, []Extent{{File: 0, Image: 1 << 20, Length: 1024}}
	disk := make([]byte, 1<<20+1024)
	l := &Ledger{Layout: c.Layout, Jobs: []Account{{Promised: 2, Acknowledged: 3}}}
	for generation, want := range []Loss{
		{Promises: 2, PromisesLost: 2, ExposedWrites: 1, ExposedBytes: 1024},
		{Promises: 2, PromisesLost: 1, ExposedWrites: 1, ExposedBytes: 1024},
		{Promises: 2, ExposedWrites: 1, ExposedBytes: 1024},
		{Promises: 2},
	} {
		witness.Stamp{Campaign: 7, Generation: uint32(generation)}.PutBlock(disk[1<<20:])
		got, err := Check(bytes.NewReader(disk), c, l)
		got.FirstLost = ""
		if err != nil || got != want {
			t.Errorf("generation %d: %+v, %v", generation, got, err)
		}
	}
	if got, err := Check(bytes.NewReader(disk[:1<<20+512]), c, l); err != nil || got.PromisesLost != 2 {
		t.Errorf("a disk that ends within the block: %+v, %v", got, err)
	}
}

func TestPointsAreAtFlushesAndAnywhere(t *testing.T) {
	s := newScript(t, small())
	for n := range uint32(100) {
		s.write(0, direct)
		s.flush()
		s.promise(0, n+1)
	}
	for _, limit := range []int{0, 1, 2, 40, 300, 699, 700, 10000} {
		p, err := points(s.source(), limit, 5)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := points(s.source(), limit, 5)
		if len(p) != min(limit, 700) || len(again) != len(p) {
			t.Fatalf("limit %d: %d points", limit, len(p))
		}
		edges, last := 0, int64(0)
		for i, at := range p {
			if at <= last || at > 700 || again[i] != at {
				t.Fatalf("limit %d: %v", limit, p)
			}
			if last = at; at%7 == 3 || at%7 == 6 {
				edges++
			}
		}
		if limit > 0 && last != 700 || edges < len(p)*3/4-1 && limit < 200 {
			t.Errorf("limit %d: %d at flushes, last %d", limit, edges, last)
		}
	}
}

func TestTheAgeOfWhatIsExposedIsALowerBoundThatSaysSo(t *testing.T) {
	s := newScript(t, small())
	at := func(writes uint32, told func()) int64 { // the time of telling, in ms
		for range writes {
			s.write(0, direct)
		}
		told()
		return s.now/millisecond - 1 // it counts from its arrival, and ends an event later
	}
	first := at(2, func() { s.ack(0, 2) })
	second := at(3, func() { s.ack(0, 5) })
	for _, c := range []struct {
		name     string
		promised uint32
		exposed  int64
		since    int64
		censored bool
	}{
		{"all that is not promised: from the beginning", 0, 5, first, true},
		{"some of what was told last, and it may be older", 0, 3, second, true},
		{"all of what was told last", 2, 3, second, false},
		{"what is left of it", 4, 1, second, false},
		{"nothing", 4, 0, 0, false},
	} {
		if c.promised > 0 {
			s.promise(0, c.promised)
		}
		l, err := ledger(s.source(), s.c, -1)
		if err != nil {
			t.Fatal(err)
		}
		want := l.MS - float64(c.since)
		if c.since == 0 {
			want = 0
		}
		if ms, censored := l.Age(c.exposed); ms != want || censored != c.censored {
			t.Errorf("%s: %v ms, censored %t; want %v, %t", c.name, ms, censored, want, c.censored)
		}
	}
}

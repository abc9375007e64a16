package main

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"platter/powercut/witness"
)

var patterns = []string{witness.Overwrite, witness.Append, witness.FileEach, witness.Rename}

func someOptions(pattern string) options {
	return options{layout: witness.Layout{Campaign: 77, Pattern: pattern, Jobs: 1, BlockBytes: 1024, Blocks: 64, Random: true, Seed: 3},
		filename: "/disk/data", sync: "none", depth: 1}
}

// everyWay calls try with every mix of pattern and options.
func everyWay(t *testing.T, try func(t *testing.T, o options)) {
	for _, pattern := range patterns {
		for _, jobs := range []int{1, 3} {
			for _, depth := range []int{1, 2, 5} {
				for _, syncs := range [][2]uint32{{0, 0}, {1, 0}, {0, 1}, {8, 0}, {0, 3}, {4, 2}} {
					for _, sync := range []string{"none", "dsync", "sync"} {
						for _, reads := range []int{0, 30} {
							o := someOptions(pattern)
							o.layout.Jobs, o.depth, o.fsync, o.fdatasync, o.sync, o.readShare = jobs, depth, syncs[0], syncs[1], sync, reads
							o.layout.Random = depth != 2
							if reads > 0 && pattern != witness.Overwrite {
								continue
							}
							name := fmt.Sprintf("%s, %d jobs, depth %d, fsync=%d, fdatasync=%d, sync=%s, reads=%d", pattern, jobs, depth, syncs[0],
								syncs[1], sync, reads)
							t.Run(name, func(t *testing.T) { try(t, o) })
						}
					}
				}
			}
		}
	}
}

func TestEveryPromiseIsTrueAndOnTheWitnessBeforeTheNextOperation(t *testing.T) {
	deepest := 0
	everyWay(t, func(t *testing.T, o options) {
		w, r := newWatcher(o, 40*o.layout.Jobs)
		rep, err := r.jobs()
		if err != nil || rep.Error != "" {
			t.Fatal(err, rep.Error)
		}
		if w.complaints != nil {
			t.Fatal(w.said())
		}
		for _, j := range rep.Jobs {
			if j.Writes == 0 || j.Acknowledged != j.Writes || j.Writes != w.issued[j.Job] {
				t.Errorf("job %d: %d writes, %d acknowledged, %d seen", j.Job, j.Writes, j.Acknowledged, w.issued[j.Job])
			}
			if want := promisesDue(o, j.Writes); j.Promised != want || w.promised(j.Job) != want {
				t.Errorf("job %d promised %d of %d writes, the witness says %d: %d were due", j.Job, j.Promised, j.Writes, w.promised(j.Job), want)
			}
			if ack := w.told[witness.Record{Job: uint16(j.Job), Kind: witness.Ack}.Offset()].Sequence; ack != j.Acknowledged {
				t.Errorf("job %d: the last acknowledgement was %d of %d", j.Job, ack, j.Acknowledged)
			}
			if want := syncsDue(o, j.Writes); j.Syncs != want {
				t.Errorf("job %d: %d syncs for %d writes, want %d", j.Job, j.Syncs, j.Writes, want)
			}
		}
		if w.maxFlying > o.depth {
			t.Errorf("%d operations of a job were under way at once, at depth %d", w.maxFlying, o.depth)
		}
		deepest = max(deepest, w.maxFlying)
	})
	if deepest < 2 {
		t.Error("a depth above one never had two operations under way")
	}
}

// promisesDue is up to which of n writes a job is promised at its end.
func promisesDue(o options, n uint32) uint32 {
	files := o.layout.Pattern == witness.FileEach || o.layout.Pattern == witness.Rename
	due := uint32(0)
	if o.sync != "none" && !files {
		due = n
	}
	for _, every := range []uint32{o.fsync, o.fdatasync} {
		if every > 0 {
			due = max(due, n/every*every)
		}
	}
	return due
}

func syncsDue(o options, n uint32) int64 {
	due := int64(0)
	for s := uint32(1); s <= n; s++ {
		if o.fsync > 0 && s%o.fsync == 0 || o.fdatasync > 0 && s%o.fdatasync == 0 {
			due++
		}
	}
	if files := o.layout.Pattern == witness.FileEach || o.layout.Pattern == witness.Rename; files && due > 0 {
		due += int64(n)
	}
	return due
}

func TestWithoutASyncNothingIsPromised(t *testing.T) {
	for _, pattern := range patterns {
		o := someOptions(pattern)
		_, r := newWatcher(o, 50)
		rep, err := r.jobs()
		if err != nil || rep.Jobs[0].Promised != 0 || rep.Jobs[0].Writes < 50 {
			t.Errorf("%s: %+v, %v", pattern, rep, err)
		}
	}
}

func TestALieIsSeenAndPromisesEveryWrite(t *testing.T) {
	for _, pattern := range patterns {
		for _, depth := range []int{1, 4} {
			o := someOptions(pattern)
			o.lie, o.depth = true, depth
			w, r := newWatcher(o, 50)
			rep, err := r.jobs()
			if err != nil || rep.Error != "" {
				t.Fatal(err, rep.Error)
			}
			if j := rep.Jobs[0]; j.Promised != j.Writes || j.Syncs != 0 || j.Writes < 50 {
				t.Errorf("%s: %+v", pattern, j)
			}
			if !strings.Contains(w.said(), "is not durable") {
				t.Errorf("%s, depth %d: nobody noticed the lie: %q", pattern, depth, w.said())
			}
		}
	}
}

func TestAFailureOfTheDataDiskEndsTheRunAndIsNotPromised(t *testing.T) {
	everyWay(t, func(t *testing.T, o options) {
		for _, op := range []string{"write", "fsync", "fdatasync"} {
			w, r := newWatcher(o, 30*o.layout.Jobs)
			broke := false
			w.fail = func(what string, job int, sequence uint32) error {
				if what == op && sequence >= 8 && !broke {
					broke = true
					return unix.EIO
				}
				return nil
			}
			rep, err := r.jobs()
			if err != nil || broke != (rep.Error != "") || broke && !strings.Contains(rep.Error, "input/output error") {
				t.Fatalf("%s failed (%v): %v, %+v", op, broke, err, rep)
			}
			if w.complaints != nil {
				t.Fatalf("%s failed: %s", op, w.said())
			}
		}
	})
}

func TestAWitnessThatFailsEndsTheRunWithAnError(t *testing.T) {
	for _, depth := range []int{1, 4} {
		for _, syncs := range []uint32{0, 3} {
			o := someOptions(witness.Overwrite)
			o.depth, o.fsync = depth, syncs
			w, r := newWatcher(o, 100000)
			w.fail = func(what string, job int, sequence uint32) error {
				if what == "witness" && sequence > 10 {
					return unix.EIO
				}
				return nil
			}
			if rep, err := r.jobs(); err == nil || !strings.Contains(err.Error(), "witness") {
				t.Errorf("depth %d, fsync %d: %v, %+v", depth, syncs, err, rep)
			}
			if w.complaints != nil {
				t.Error(w.said())
			}
		}
	}
}

func TestWhatGrowsStopsAtItsSize(t *testing.T) {
	for _, pattern := range []string{witness.Append, witness.FileEach} {
		o := someOptions(pattern)
		o.fsync = 4
		_, r := newWatcher(o, 1<<30)
		rep, err := r.jobs()
		if err != nil || int(rep.Jobs[0].Writes) != o.layout.Blocks || int(rep.Jobs[0].Promised) != o.layout.Blocks {
			t.Errorf("%s: %+v, %v", pattern, rep, err)
		}
	}
}

func TestReadsAreTheirShare(t *testing.T) {
	for _, random := range []bool{true, false} {
		o := someOptions(witness.Overwrite)
		o.readShare, o.layout.Random = 70, random
		w, r := newWatcher(o, 3000)
		reads := 0
		counting := &countReads{watcher: w, reads: &reads}
		r.os = counting
		if _, err := r.jobs(); err != nil {
			t.Fatal(err)
		}
		if share := float64(reads) / float64(reads+3000); share < 0.65 || share > 0.75 {
			t.Errorf("%.0f %% were reads, wanted 70", 100*share)
		}
	}
}

type countReads struct {
	*watcher
	reads *int
}

func (c *countReads) Open(path string, flags int) (file, error) {
	f, err := c.watcher.Open(path, flags)
	return &countingFile{f, c.reads}, err
}

type countingFile struct {
	file
	reads *int
}

func (f *countingFile) ReadAt(b []byte, offset int64) error {
	*f.reads++
	return f.file.ReadAt(b, offset)
}

func TestTheWritesThemselvesAllocateNothing(t *testing.T) {
	o := someOptions(witness.Overwrite)
	o.fsync = 2
	var quiet null
	tg := &target{os: nil, o: &o, file: quiet}
	j := newJob(0, &o, tg, nil, func(uint32) error { return nil }, func(uint32) {})
	if n := testing.AllocsPerRun(1000, func() {
		if err := j.next(); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a write", n)
	}
}

// null is a file that takes everything.
type null struct{}

func (null) WriteAt([]byte, int64) error { return nil }
func (null) ReadAt([]byte, int64) error  { return nil }
func (null) Sync() error                 { return nil }
func (null) Datasync() error             { return nil }
func (null) Close() error                { return nil }

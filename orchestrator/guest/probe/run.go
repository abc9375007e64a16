package main

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"platter/powercut/witness"
)

// report is what run prints.
type report struct {
	Jobs    []jobReport `json:"jobs"`
	IODepth int         `json:"iodepth"` // at which it was run
	Seconds float64     `json:"seconds"`
	Error   string      `json:"error,omitempty"` // of the data disk: it ended the run
}

// jobReport is about one job; sequences are those of its last such write.
type jobReport struct {
	Job          int    `json:"job"`
	Writes       uint32 `json:"writes"` // begun
	Acknowledged uint32 `json:"acknowledged"`
	Promised     uint32 `json:"promised"`
	Syncs        int64  `json:"syncs"` // fsync and fdatasync calls
}

// runOnDisks runs the jobs on the real disks.
func runOnDisks(o options) (report, error) {
	if err := checkTarget(o); err != nil {
		return report{}, err
	}
	w, err := openWitness(o)
	if err != nil {
		return report{}, err
	}
	defer w.Close()
	if o.ownFiles() {
		if err := makeDirectory(o.filename); err != nil {
			return report{}, err
		}
	}
	// Each goroutine that waits in the kernel keeps its processor: nobody has to wait until the runtime takes it away.
	runtime.GOMAXPROCS(min(o.layout.Jobs*o.depth, 64) + o.layout.Jobs + 2)
	r := &run{o: o, os: kernel{}, witness: w}
	timer := time.AfterFunc(o.runtime, func() { r.stop.Store(true) })
	defer timer.Stop()
	return r.jobs()
}

// checkTarget makes sure that the target is what the pattern wants: stamped by prefill for this campaign and not written since,
// or in a file system.
func checkTarget(o options) error {
	f, err := open(o.filename, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	device, err := f.isDevice()
	if err != nil {
		return err
	}
	if o.ownFiles() {
		if device {
			return fmt.Errorf("%s is a device: pattern %s needs a file in a file system", o.filename, o.layout.Pattern)
		}
		return nil
	}
	block := make([]byte, o.layout.BlockBytes)
	for job := range o.layout.Jobs {
		for _, b := range []uint32{0, uint32(o.layout.Blocks - 1)} {
			at := o.layout.Home(uint16(job), b)
			if err := f.ReadAt(block, at); err != nil {
				return err
			}
			want := witness.Stamp{Campaign: o.layout.Campaign, Job: uint16(job), Block: b}
			if s, ok := witness.ReadStamp(block); !ok || s != want {
				return fmt.Errorf("%s is not stamped for this campaign at %d: prefill it anew", o.filename, at)
			}
		}
	}
	return nil
}

// openWitness opens the witness disk, which must be empty where this campaign's records will be.
func openWitness(o options) (*kernelFile, error) {
	w, err := open(o.witness, unix.O_RDWR|unix.O_DIRECT)
	if err != nil {
		return nil, fmt.Errorf("witness: %w", err)
	}
	slots := aligned(2 * o.layout.Jobs * witness.SlotSize)
	if err := w.ReadAt(slots, 0); err != nil {
		return nil, errors.Join(fmt.Errorf("witness: %w", err), w.Close())
	}
	if len(bytes.Trim(slots, "\x00")) > 0 {
		return nil, errors.Join(fmt.Errorf("witness %s is not empty: something has written to it", o.witness), w.Close())
	}
	return w, nil
}

// makeDirectory makes the directory for a pattern's own files, durably.
func makeDirectory(filename string) error {
	dir := ownDirectory(filename)
	if err := unix.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("make %s, which must not be there yet: %w", dir, err)
	}
	return errors.Join(syncDir(dir), syncDir(parent(dir)))
}

// run is the jobs of one run.
type run struct {
	o       options
	os      files
	witness file
	stop    atomic.Bool

	latest []atomic.Uint32 // of each job: all writes up to this have returned
	news   chan struct{}   // latest has changed
}

// witnessError says that the witness disk failed: the run is worth nothing.
type witnessError struct{ error }

func (e witnessError) Unwrap() error { return e.error }

// jobs runs all jobs to their end. An error of the data disk is in the report.
func (r *run) jobs() (report, error) {
	r.latest = make([]atomic.Uint32, r.o.layout.Jobs)
	r.news = make(chan struct{}, 1)
	jobs := make([]*job, r.o.layout.Jobs)
	for i := range jobs {
		t, err := openTarget(r.os, &r.o, uint16(i))
		if err != nil {
			return report{}, err
		}
		defer t.close()
		jobs[i] = newJob(uint16(i), &r.o, t, &r.stop, r.entry(uint16(i), witness.Promise).write, r.acknowledge(i))
	}
	begun := time.Now()
	errs := make([]error, len(jobs)+1)
	over := make(chan struct{})
	listening := make(chan struct{})
	go func() {
		defer close(listening)
		if errs[len(jobs)] = r.writeAcknowledged(over); errs[len(jobs)] != nil {
			r.stop.Store(true)
		}
	}()
	var all sync.WaitGroup
	for i, j := range jobs {
		all.Go(func() {
			runtime.LockOSThread()
			if errs[i] = j.run(); errs[i] != nil {
				r.stop.Store(true)
			}
		})
	}
	all.Wait()
	close(over)
	<-listening
	return r.report(jobs, time.Since(begun), errors.Join(errs...))
}

func (r *run) report(jobs []*job, took time.Duration, err error) (report, error) {
	if errors.As(err, new(witnessError)) {
		return report{}, err
	}
	rep := report{IODepth: r.o.depth, Seconds: took.Seconds()}
	for _, j := range jobs {
		rep.Jobs = append(rep.Jobs, jobReport{
			Job: int(j.number), Writes: j.issued, Acknowledged: j.returned, Promised: j.promised, Syncs: j.t.syncs.Load(),
		})
	}
	if err != nil {
		rep.Error = err.Error()
	}
	return rep, nil
}

// acknowledge returns the function that job i calls when more of its writes have returned; that never waits.
func (r *run) acknowledge(i int) func(uint32) {
	return func(sequence uint32) {
		r.latest[i].Store(sequence)
		select {
		case r.news <- struct{}{}:
		default:
		}
	}
}

// writeAcknowledged records on the witness which writes have returned, as fast as that takes it, until over; then what is left.
func (r *run) writeAcknowledged(over <-chan struct{}) error {
	entries := make([]*entry, len(r.latest))
	for i := range entries {
		entries[i] = r.entry(uint16(i), witness.Ack)
	}
	for last := false; ; {
		for i, e := range entries {
			if n := r.latest[i].Load(); n != e.record.Sequence {
				if err := e.write(n); err != nil {
					return err
				}
			}
		}
		if last {
			return nil
		}
		select {
		case <-r.news:
		case <-over:
			last = true
		}
	}
}

// entry is one slot of the witness disk.
type entry struct {
	file   file
	record witness.Record
	buffer []byte
}

func (r *run) entry(job uint16, kind witness.Kind) *entry {
	record := witness.Record{Campaign: r.o.layout.Campaign, Job: job, Kind: kind}
	return &entry{file: r.witness, record: record, buffer: aligned(witness.SlotSize)}
}

// write has the sequence on the witness when it returns. The whole slot is written: every disk takes that O_DIRECT.
func (e *entry) write(sequence uint32) error {
	e.record.Serial++
	e.record.Sequence = sequence
	e.record.Put(e.buffer)
	if err := e.file.WriteAt(e.buffer, e.record.Offset()); err != nil {
		return witnessError{fmt.Errorf("witness: %w", err)}
	}
	return nil
}

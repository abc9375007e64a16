package main

import (
	"math/rand/v2"
	"sync/atomic"

	"platter/powercut/witness"
)

// job makes the writes of one job and records what was promised of them. The goroutine that runs it decides on everything, awaits
// each operation and writes each promise before it begins the next operation. With a depth above one other goroutines make the
// operations, and nothing else.
type job struct {
	number  uint16
	o       *options
	t       *target
	stop    *atomic.Bool
	promise func(sequence uint32) error // has it on the witness when it returns
	// acknowledge takes note that all writes up to sequence have returned.
	acknowledge func(sequence uint32)

	walk   *witness.Walk
	mix    *rand.Rand // what is read, and when
	cursor uint32     // block of the next read when they go in turn
	slots  []slot
	busy   int
	back   chan int // numbers of slots whose operation has ended; nil at depth one

	issued   uint32 // writes begun
	returned uint32 // all writes up to this sequence have returned
	promised uint32 // all writes up to this sequence are promised
}

// slot is an operation under way.
type slot struct {
	busy   bool
	read   bool
	block  uint32        // of a read
	stamp  witness.Stamp // of a write
	buffer []byte
	err    error
	begin  chan struct{} // nil at depth one
}

func newJob(number uint16, o *options, t *target, stop *atomic.Bool, promise func(uint32) error, acknowledge func(uint32)) *job {
	j := &job{number: number, o: o, t: t, stop: stop, promise: promise, acknowledge: acknowledge,
		walk: o.layout.Walk(number), mix: rand.New(rand.NewPCG(o.layout.Seed, uint64(number))), slots: make([]slot, o.depth)}
	for i := range j.slots {
		j.slots[i].buffer = aligned(o.layout.BlockBytes)
	}
	return j
}

// run makes operations until it is told to stop, has no more to make, or one fails.
func (j *job) run() error {
	if j.o.depth > 1 {
		j.back = make(chan int, j.o.depth)
		for i := range j.slots {
			j.slots[i].begin = make(chan struct{}, 1)
			go j.serve(i)
		}
		defer j.dismiss()
	}
	most := j.o.maxWrites()
	for !j.stop.Load() && (most == 0 || j.issued < most) {
		if err := j.next(); err != nil {
			return err
		}
	}
	return j.drain()
}

// next begins one operation, and syncs after it if it is time.
func (j *job) next() error {
	if j.o.readShare > 0 && j.mix.IntN(100) < j.o.readShare {
		i, err := j.room()
		if err != nil {
			return err
		}
		s := &j.slots[i]
		s.read = true
		s.block = j.nextRead()
		return j.begin(i)
	}
	stamp := j.walk.Next()
	stamp.Job = j.number
	i, err := j.roomFor(stamp.Block)
	if err != nil {
		return err
	}
	s := &j.slots[i]
	s.read = false
	s.stamp = stamp
	j.issued = stamp.Sequence
	if err := j.begin(i); err != nil {
		return err
	}
	return j.syncIfDue()
}

func (j *job) nextRead() uint32 {
	if j.o.layout.Random {
		return uint32(j.mix.IntN(j.o.layout.Blocks))
	}
	block := j.cursor
	j.cursor = (block + 1) % uint32(j.o.layout.Blocks)
	return block
}

// room returns a free slot, waiting for one.
func (j *job) room() (int, error) {
	for j.busy == len(j.slots) {
		if err := j.await(); err != nil {
			return 0, err
		}
	}
	for i := range j.slots {
		if !j.slots[i].busy {
			return i, nil
		}
	}
	panic("no slot is free and none is busy")
}

// roomFor returns a free slot once no write of the block is under way: the order of two writes of one block is nobody's
// promise, and then "older" would mean nothing.
func (j *job) roomFor(block uint32) (int, error) {
	for j.writing(block) {
		if err := j.await(); err != nil {
			return 0, err
		}
	}
	return j.room()
}

func (j *job) writing(block uint32) bool {
	for i := range j.slots {
		if s := &j.slots[i]; s.busy && !s.read && s.stamp.Block == block {
			return true
		}
	}
	return false
}

// begin starts the operation of slot i; at depth one it makes it.
func (j *job) begin(i int) error {
	s := &j.slots[i]
	s.busy = true
	j.busy++
	if j.back == nil {
		j.do(i)
		return j.ended(i)
	}
	s.begin <- struct{}{}
	return nil
}

// serve makes the operations of slot i.
func (j *job) serve(i int) {
	for range j.slots[i].begin {
		j.do(i)
		j.back <- i
	}
}

func (j *job) do(i int) {
	s := &j.slots[i]
	if s.read {
		s.err = j.t.read(s.block, s.buffer)
		return
	}
	s.stamp.PutBlock(s.buffer)
	s.err = j.t.write(i, s.stamp, s.buffer)
}

// await waits for the end of an operation.
func (j *job) await() error { return j.ended(<-j.back) }

// ended takes in the end of slot i's operation. One that failed stays busy: it never returned to anybody.
func (j *job) ended(i int) error {
	s := &j.slots[i]
	j.busy--
	if s.err != nil {
		return s.err
	}
	s.busy = false
	if s.read {
		return nil
	}
	prefix := j.prefix()
	if prefix == j.returned {
		return nil
	}
	j.returned = prefix
	if j.o.promisesReturns() {
		// Before the acknowledgement: what returns is promised, and must not be seen as returned and not promised.
		if err := j.recordPromise(prefix); err != nil {
			return err
		}
	}
	j.acknowledge(prefix)
	return nil
}

// prefix returns the sequence up to which all writes have returned.
func (j *job) prefix() uint32 {
	prefix := j.issued
	for i := range j.slots {
		if s := &j.slots[i]; s.busy && !s.read {
			prefix = min(prefix, s.stamp.Sequence-1)
		}
	}
	return prefix
}

// syncIfDue syncs after every so many writes. As fio does, it waits for the operations under way first; what the sync
// promises is then all writes so far.
func (j *job) syncIfDue() error {
	full := j.o.fsync > 0 && j.issued%j.o.fsync == 0
	data := j.o.fdatasync > 0 && j.issued%j.o.fdatasync == 0
	if !full && !data {
		return nil
	}
	if err := j.drain(); err != nil {
		return err
	}
	if err := j.t.sync(!full); err != nil {
		return err
	}
	return j.recordPromise(j.returned)
}

// recordPromise records on the witness that all writes up to the sequence are promised.
func (j *job) recordPromise(sequence uint32) error {
	if sequence <= j.promised {
		return nil
	}
	if err := j.promise(sequence); err != nil {
		return err
	}
	j.promised = sequence
	return nil
}

// drain waits until no operation is under way.
func (j *job) drain() error {
	for j.busy > 0 {
		if err := j.await(); err != nil {
			return err
		}
	}
	return nil
}

// dismiss waits for what is still under way after a failure, and ends the goroutines. Nothing is acknowledged by it.
func (j *job) dismiss() {
	for ; j.busy > 0; j.busy-- {
		<-j.back
	}
	for i := range j.slots {
		close(j.slots[i].begin)
	}
}

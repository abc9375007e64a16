package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"platter/powercut/witness"
)

// watcher is an operating system in memory that knows what is durable, and complains of every promise that is not.
type watcher struct {
	mu    sync.Mutex
	o     options
	stop  *atomic.Bool
	limit int // data writes, shared evenly by the jobs, after which the run is told to stop

	inodes map[string]*inode
	// namesDurable are the names that a sync of the directory has made durable, with the inode that they lead to.
	namesDurable map[string]*inode
	made         int
	dirsOpened   int

	flying     map[[2]int]bool            // job and block of writes under way
	issued     map[int]uint32             // by job: highest sequence that was begun
	ended      map[int]map[uint32]*inode  // by job and sequence: writes that returned, and where they are
	where      map[int]map[uint32]string  // the name that a write has or is given, of patterns that make files
	renamed    map[int]map[uint32]bool    // by job and sequence: the rename has returned
	durable    map[*inode]map[[2]int]bool // by inode: job and sequence of writes that are durable
	owed       map[int]uint32             // by job: a sync that has returned covers this; its promise must come next
	told       map[int64]witness.Record   // by offset on the witness: last record
	maxFlying  int                        // operations of a job under way at once
	underWay   map[int]int                // by job
	complaints []string
	fail       func(op string, job int, sequence uint32) error // nil or an injected failure
}

type inode struct{ number int } // in the order in which they were made

func newWatcher(o options, limit int) (*watcher, *run) {
	w := &watcher{o: o, limit: limit, inodes: map[string]*inode{}, namesDurable: map[string]*inode{}, flying: map[[2]int]bool{},
		issued: map[int]uint32{},
		ended:  map[int]map[uint32]*inode{}, where: map[int]map[uint32]string{}, renamed: map[int]map[uint32]bool{},
		durable: map[*inode]map[[2]int]bool{},
		owed:    map[int]uint32{}, told: map[int64]witness.Record{}, underWay: map[int]int{}}
	for j := range o.layout.Jobs {
		w.ended[j], w.where[j], w.renamed[j] = map[uint32]*inode{}, map[uint32]string{}, map[uint32]bool{}
	}
	if o.layout.Pattern == witness.Overwrite {
		w.inodes[o.filename] = &inode{}
		w.namesDurable[o.filename] = w.inodes[o.filename]
	}
	r := &run{o: o, os: w, witness: &fakeWitness{w}}
	w.stop = &r.stop
	return w, r
}

func (w *watcher) complain(format string, args ...any) {
	if len(w.complaints) < 20 {
		w.complaints = append(w.complaints, fmt.Sprintf(format, args...))
	}
}

// dawdle lets others run, so that what may happen at once does.
func dawdle() {
	for range rand.IntN(4) {
		runtime.Gosched()
	}
}

func (w *watcher) Open(path string, flags int) (file, error) {
	dawdle()
	w.mu.Lock()
	defer w.mu.Unlock()
	f := &fakeFile{w: w, path: path, flags: flags, job: -1}
	if flags&unix.O_DIRECTORY != 0 {
		if w.o.manyFiles() {
			f.job = w.dirsOpened
		}
		w.dirsOpened++
		return f, nil
	}
	if flags&unix.O_CREAT != 0 {
		if w.inodes[path] != nil {
			return nil, fmt.Errorf("open %s: %w", path, unix.EEXIST)
		}
		w.made++
		w.inodes[path] = &inode{number: w.made}
	}
	if f.inode = w.inodes[path]; f.inode == nil {
		return nil, fmt.Errorf("open %s: %w", path, unix.ENOENT)
	}
	return f, nil
}

func (w *watcher) Rename(from, to string) error {
	dawdle()
	w.mu.Lock()
	defer w.mu.Unlock()
	i := w.inodes[from]
	delete(w.inodes, from)
	w.inodes[to] = i
	for job, where := range w.where {
		for sequence, name := range where {
			if name == from {
				where[sequence] = to
				w.renamed[job][sequence] = true
			}
		}
	}
	return nil
}

// fakeFile is an open file; job is whose directory it is where each job has one.
type fakeFile struct {
	w     *watcher
	path  string
	flags int
	job   int
	inode *inode
}

// begins notes that an operation of a job's begins: what a sync has earned must be on the witness by now.
func (w *watcher) begins(job int, what string) {
	if w.owed[job] > 0 {
		w.complain("job %d: %s began before the promise of %d was on the witness", job, what, w.owed[job])
	}
	w.underWay[job]++
	w.maxFlying = max(w.maxFlying, w.underWay[job])
}

func (f *fakeFile) WriteAt(b []byte, offset int64) error {
	w := f.w
	s, ok := witness.ReadStamp(b)
	w.mu.Lock()
	job, key := int(s.Job), [2]int{int(s.Job), int(s.Block)}
	if !ok || len(b) != w.o.layout.BlockBytes || s.Campaign != w.o.layout.Campaign {
		w.complain("a write of %d bytes without a stamp at %d of %s", len(b), offset, f.path)
	}
	for i := 0; i*witness.SectorSize < len(b); i++ {
		if each, ok := witness.ReadStamp(b[i*witness.SectorSize:]); !ok || each.Sequence != s.Sequence || int(each.Sector) != i {
			w.complain("sector %d of write %d is %+v, %v", i, s.Sequence, each, ok)
		}
	}
	want := map[string]int64{witness.Overwrite: w.o.layout.Home(s.Job, s.Block),
		witness.Append: int64(s.Sequence-1) * int64(len(b))}[w.o.layout.Pattern]
	if offset != want {
		w.complain("write %d of job %d is at %d, not %d", s.Sequence, job, offset, want)
	}
	if w.flying[key] {
		w.complain("two writes of job %d's block %d were under way at once", job, s.Block)
	}
	w.begins(job, fmt.Sprintf("write %d", s.Sequence))
	w.flying[key] = true
	w.issued[job] = max(w.issued[job], s.Sequence)
	w.where[job][s.Sequence] = f.path
	w.stopIfEnough()
	failure := w.failure("write", job, s.Sequence)
	w.mu.Unlock()
	dawdle()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.flying, key)
	w.underWay[job]--
	if failure != nil {
		return failure
	}
	w.ended[job][s.Sequence] = f.inode
	if f.flags&unix.O_DSYNC != 0 {
		w.makeDurable(f.inode, [2]int{job, int(s.Sequence)})
		if !w.o.manyFiles() && w.o.depth == 1 {
			w.owed[job] = s.Sequence
		}
	}
	return nil
}

// stopIfEnough stops the run once each of its jobs has begun its share of the limit.
func (w *watcher) stopIfEnough() {
	for job := range w.o.layout.Jobs {
		if int(w.issued[job])*w.o.layout.Jobs < w.limit {
			return
		}
	}
	w.stop.Store(true)
}

func (w *watcher) failure(op string, job int, sequence uint32) error {
	if w.fail == nil {
		return nil
	}
	return w.fail(op, job, sequence)
}

func (w *watcher) makeDurable(i *inode, write [2]int) {
	if w.durable[i] == nil {
		w.durable[i] = map[[2]int]bool{}
	}
	w.durable[i][write] = true
}

func (f *fakeFile) ReadAt(b []byte, offset int64) error {
	w := f.w
	job := int(offset / w.o.layout.JobBytes())
	w.mu.Lock()
	w.begins(job, "a read")
	w.mu.Unlock()
	dawdle()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.underWay[job]--
	if offset%int64(len(b)) != 0 || offset+int64(len(b)) > int64(w.o.layout.Jobs)*w.o.layout.JobBytes() {
		w.complain("a read of %d bytes at %d", len(b), offset)
		return io.ErrUnexpectedEOF
	}
	return nil
}

func (f *fakeFile) Sync() error     { return f.sync("fsync") }
func (f *fakeFile) Datasync() error { return f.sync("fdatasync") }

// sync makes durable what had returned before it began, and nothing of what returns meanwhile.
func (f *fakeFile) sync(op string) error {
	w := f.w
	w.mu.Lock()
	covered := map[[2]int]bool{}
	owner, last := f.job, uint32(0)
	for job, ended := range w.ended {
		for sequence, i := range ended {
			if i == f.inode && f.inode != nil {
				covered[[2]int{job, int(sequence)}] = true
			}
		}
	}
	names := map[string]*inode{}
	if f.inode == nil {
		for name, i := range w.inodes {
			if filepath.Dir(name) == f.path {
				names[name] = i
			}
		}
	}
	if f.inode == nil && op != "fsync" {
		w.complain("a directory was not synced but %s", op)
	}
	if owner < 0 && !w.o.manyFiles() && len(covered) > 0 {
		// All jobs may write to one file, but a sync is made by one of them: the one none of whose writes is under way
		// cannot be told by looking. With one job it can.
		if w.o.layout.Jobs == 1 || w.o.layout.Pattern == witness.Append {
			for c := range covered {
				owner = c[0]
			}
		}
	}
	if owner >= 0 {
		last = w.returned(owner)
		if w.underWay[owner] > 0 {
			w.complain("job %d synced while %d of its operations were under way", owner, w.underWay[owner])
		}
	}
	failure := w.failure(op, owner, last)
	w.mu.Unlock()
	dawdle()
	w.mu.Lock()
	defer w.mu.Unlock()
	if failure != nil {
		return failure
	}
	for c := range covered {
		w.makeDurable(f.inode, c)
	}
	for name, i := range names {
		// A sync that began earlier may end later than one that knows of a newer file.
		if old := w.namesDurable[name]; old == nil || old.number < i.number {
			w.namesDurable[name] = i
		}
	}
	if owner >= 0 && last > 0 && last > w.promised(owner) {
		w.owed[owner] = last
	}
	return nil
}

func (w *watcher) returned(job int) uint32 {
	n := uint32(0)
	for w.ended[job][n+1] != nil && (w.o.layout.Pattern != witness.Rename || w.renamed[job][n+1]) {
		n++
	}
	return n
}

func (w *watcher) promised(job int) uint32 {
	return w.told[witness.Record{Job: uint16(job), Kind: witness.Promise}.Offset()].Sequence
}

func (f *fakeFile) Close() error { return nil }

// fakeWitness is the witness disk: every record is held against what is true.
type fakeWitness struct{ w *watcher }

func (f *fakeWitness) WriteAt(b []byte, offset int64) error {
	w := f.w
	w.mu.Lock()
	r, ok := witness.ReadRecord(b)
	before := w.told[offset]
	switch {
	case !ok || r.Offset() != offset || r.Campaign != w.o.layout.Campaign || len(b) != witness.SlotSize:
		w.complain("%d bytes at %d of the witness are no record of it: %+v", len(b), offset, r)
	case r.Serial != before.Serial+1 || r.Sequence <= before.Sequence:
		w.complain("after %+v came %+v", before, r)
	case r.Kind == witness.Ack && r.Sequence > w.returned(int(r.Job)):
		w.complain("job %d: %d was acknowledged, only %d have returned", r.Job, r.Sequence, w.returned(int(r.Job)))
	case r.Kind == witness.Promise:
		w.checkPromise(int(r.Job), r.Sequence)
	}
	failure := w.failure("witness", int(r.Job), r.Sequence)
	w.mu.Unlock()
	dawdle()
	w.mu.Lock()
	defer w.mu.Unlock()
	if failure != nil {
		return failure
	}
	w.told[offset] = r
	if r.Kind == witness.Promise && r.Sequence >= w.owed[int(r.Job)] {
		delete(w.owed, int(r.Job))
	}
	return nil
}

// checkPromise complains unless every write up to sequence is durable, and so is the name that leads to it.
func (w *watcher) checkPromise(job int, sequence uint32) {
	if w.o.manyFiles() && w.o.sync != "none" && w.o.fsync == 0 && w.o.fdatasync == 0 && !w.o.lie {
		w.complain("job %d: %d was promised without a sync of the directory", job, sequence)
	}
	for s := uint32(1); s <= sequence; s++ {
		i := w.ended[job][s]
		switch {
		case i == nil:
			w.complain("job %d: %d was promised, and write %d has not returned", job, sequence, s)
		case !w.durable[i][[2]int{job, int(s)}]:
			w.complain("job %d: %d was promised, and write %d is not durable", job, sequence, s)
		case w.o.layout.Pattern == witness.Rename && !w.renamed[job][s]:
			w.complain("job %d: %d was promised, and write %d has not been renamed", job, sequence, s)
		case w.o.layout.Pattern != witness.Rename && w.namesDurable[w.where[job][s]] != i:
			w.complain("job %d: %d was promised, and the name of write %d is not durable", job, sequence, s)
		case w.o.layout.Pattern == witness.Rename && w.inodes[w.where[job][s]] == i && w.namesDurable[w.where[job][s]] != i:
			w.complain("job %d: %d was promised, and the rename of write %d is not durable", job, sequence, s)
		default:
			continue
		}
		return
	}
}

func (f *fakeWitness) ReadAt([]byte, int64) error { return nil }
func (f *fakeWitness) Sync() error                { return nil }
func (f *fakeWitness) Datasync() error            { return nil }
func (f *fakeWitness) Close() error               { return nil }

func (w *watcher) said() string { return strings.Join(w.complaints, "\n") }

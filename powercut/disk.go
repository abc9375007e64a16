package powercut

import (
	"errors"
	"io"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"platter/powercut/oplog"
)

const (
	unlogged  = -1                    // number of an image that no log speaks of
	lateFlush = 50 * time.Millisecond // how much later LateFlush does what it said was done

	// batchPages is how many pages write-back and destaging move at once; the lock is held for some 200 µs.
	batchPages = 64
	// queueDepth is how many commands the drive takes at once in a flush.
	queueDepth = 32
)

// Disk is one image: three layers and what is dirty in the first two. Requests name the generation that they were opened
// in; when it was cut, they get EIO and nothing is touched.
//
// A sector's newest content is in current. It is the host's version if the sector is dirty in host, else the drive's if it is
// dirty in drive, else it is on the medium too. Only of a sector dirty in both the drive's own version is in staged.
type Disk struct {
	name     string // of its first generation
	size     int64
	settings Settings
	order    *order
	number   int // in the log, or unlogged
	seedID   int // what stands for it in the dice of a restore: its number in the log at the cut, else its place among the images

	generation atomic.Int64 // that is served; 0 after a cut
	newest     int64        // from 1; the one to come is one more
	stop       func()       // ends its background

	current, staged, medium layer
	host, drive             dirty
	scratch                 []uint32 // page numbers

	counters       Counters // all but the reads
	reads, readSum atomic.Int64

	kick chan struct{} // there is more to write back than there may be
}

// newDisk makes a disk that reads as zeros, its layers in the directory dir.
func newDisk(o *order, dir, name string, size int64, settings Settings) (*Disk, error) {
	settings, err := settings.complete()
	if err != nil {
		return nil, err
	}
	if size <= 0 || size%int64(settings.SectorBytes) != 0 || size > maxImage {
		return nil, usage("image %s of %d bytes: it needs a multiple of its sectors' %d bytes, below 16 TiB", name, size, settings.SectorBytes)
	}
	d := &Disk{
		name: name, size: size, settings: settings, order: o, number: unlogged, newest: 1,
		host: newDirty(size), drive: newDirty(size), kick: make(chan struct{}, 1),
	}
	d.generation.Store(1)
	for _, l := range d.layers() {
		if err := l.make(dir, size, &o.budget); err != nil {
			d.closeLayers()
			return nil, rig("make image %s in %s: %w", name, dir, err)
		}
	}
	return d, nil
}

func (d *Disk) layers() []*layer { return []*layer{&d.current, &d.staged, &d.medium} }

// load makes the beginning of the disk a copy of a file, on the medium. It must be called before anything else.
func (d *Disk) load(from *layer, length int64) error {
	for _, to := range []*layer{&d.current, &d.medium} {
		if err := copyRange(to, from, 0, length); err != nil {
			return err
		}
	}
	return nil
}

func (d *Disk) closeLayers() {
	for _, l := range d.layers() {
		l.close()
	}
}

// alive reports whether a generation is served.
func (d *Disk) alive(generation int64) bool { return d.generation.Load() == generation }

// now returns the age of the disks of this order.
func (d *Disk) now() time.Duration { return time.Since(d.order.begin) }

// aligned reports whether O_DIRECT may touch the range.
func (d *Disk) aligned(offset int64, length int) bool {
	return (offset|int64(length))&int64(d.settings.SectorBytes-1) == 0
}

// read fills b from the newest content. It returns fewer bytes at the end of the image. direct reads must be aligned.
func (d *Disk) read(generation int64, b []byte, offset int64, direct bool) (int, syscall.Errno) {
	if !d.alive(generation) {
		return 0, syscall.EIO
	}
	if direct && !d.aligned(offset, len(b)) {
		return 0, syscall.EINVAL
	}
	if offset < 0 || offset >= d.size {
		return 0, 0
	}
	b = b[:min(int64(len(b)), d.size-offset)]
	n, err := d.current.ReadAt(b, offset)
	if err != nil && !errors.Is(err, io.EOF) || !d.alive(generation) { // looked at again: a restore may have come between
		return 0, syscall.EIO
	}
	d.reads.Add(1)
	d.readSum.Add(int64(n))
	return n, 0
}

// write writes data, which may be cut off at the end of the image; flags are those of oplog, without Zero. It returns
// when the write is applied and logged, after the latency of the drive if the write goes to it.
func (d *Disk) write(generation int64, data []byte, offset int64, flags uint16) (int, syscall.Errno) {
	if flags&oplog.Direct != 0 && !d.aligned(offset, len(data)) {
		return 0, syscall.EINVAL
	}
	if offset < 0 || offset >= d.size {
		return 0, syscall.ENOSPC // as a block device says it
	}
	data = data[:min(int64(len(data)), d.size-offset)]
	return len(data), d.change(generation, oplog.Event{Kind: oplog.Write, Flags: flags, Offset: offset, Length: int64(len(data))}, data)
}

// zero makes a range read as zeros: a discard or the writing of zeroes. What lies beyond the image is left out.
func (d *Disk) zero(generation int64, offset, length int64, flags uint16) syscall.Errno {
	if offset < 0 || length <= 0 {
		return syscall.EINVAL
	}
	if length = min(length, d.size-offset); length <= 0 {
		return 0
	}
	return d.change(generation, oplog.Event{Kind: oplog.Write, Flags: flags | oplog.Zero, Offset: offset, Length: length}, nil)
}

func (d *Disk) change(generation int64, e oplog.Event, data []byte) syscall.Errno {
	o := d.order
	o.Lock()
	defer o.Unlock()
	if !d.alive(generation) {
		return syscall.EIO
	}
	d.count(e)
	op := o.arrive(d, e, data)
	if latency := d.latency(e.Flags); latency > 0 {
		o.Unlock()
		wait(latency)
		o.Lock()
		if !d.alive(generation) {
			return syscall.EIO
		}
	}
	if err := d.apply(e, data); err != nil {
		return d.failed(err)
	}
	o.leave(d, op, data)
	return d.throttle()
}

func (d *Disk) count(e oplog.Event) {
	if e.Flags&oplog.Zero != 0 {
		d.counters.Discards++
		return
	}
	d.counters.Writes++
	d.counters.BytesWritten += e.Length
	if e.Flags&oplog.Dsync != 0 {
		d.counters.DsyncWrites++
	}
}

func (d *Disk) latency(flags uint16) time.Duration {
	switch {
	case flags&oplog.Dsync != 0:
		return d.settings.WriteLatency + d.settings.FlushLatency
	case flags&oplog.Direct != 0:
		return d.settings.WriteLatency
	}
	return 0
}

// failed returns the errno of an error of the layers' files. The log no longer agrees with them.
func (d *Disk) failed(err error) syscall.Errno {
	if d.order.log != nil && d.number != unlogged && d.order.fault == nil {
		d.order.fault = rig("image %s: its layers could not be written: %w", d.name, err)
	}
	if errors.Is(err, syscall.ENOSPC) {
		return syscall.ENOSPC
	}
	return syscall.EIO
}

// apply does to the layers what a write does.
func (d *Disk) apply(e oplog.Event, data []byte) error {
	now := d.now()
	for p := range d.pages(e.Offset, e.Length) {
		bits := d.bits(p, e.Offset, e.Length)
		var err error
		switch {
		case e.Flags&oplog.Dsync != 0:
			err = d.leavePage(p, bits)
			d.host.remove(p, bits)
			d.drive.remove(p, bits)
		case e.Flags&oplog.Direct != 0:
			err = d.leavePage(p, bits)
			d.host.remove(p, bits)
			d.drive.add(p, bits, now)
		default:
			err = d.stage(p, bits)
			d.host.add(p, bits, now)
		}
		if err != nil {
			return err
		}
	}
	if err := d.put(&d.current, e, data); err != nil || e.Flags&oplog.Dsync == 0 {
		return err
	}
	if d.aligned(e.Offset, int(e.Length)) {
		return d.put(&d.medium, e, data)
	}
	sector := int64(d.settings.SectorBytes)
	from, to := e.Offset/sector*sector, (e.Offset+e.Length+sector-1)/sector*sector
	return copyRange(&d.medium, &d.current, from, to-from)
}

func (d *Disk) put(l *layer, e oplog.Event, data []byte) error {
	if e.Flags&oplog.Zero != 0 {
		return l.zero(e.Offset, e.Length)
	}
	return l.write(data, e.Offset)
}

// stage keeps the drive's version of sectors that the host's page cache is about to cover.
func (d *Disk) stage(p uint32, bits uint8) error {
	return d.copySectors(&d.staged, &d.current, p, d.drive.get(p)&bits&^d.host.get(p))
}

// leavePage writes back what the host's page cache holds of a page beside the sectors bits, which go to the drive without it:
// Linux writes whole pages back before an O_DIRECT or O_DSYNC write of a part of them.
func (d *Disk) leavePage(p uint32, bits uint8) error {
	if d.host.get(p)&^bits != 0 {
		d.writeBack([]uint32{p})
	}
	return nil
}

// copySectors copies sectors of a page.
func (d *Disk) copySectors(to, from *layer, p uint32, bits uint8) error {
	for i := 0; bits>>i != 0; i++ {
		if bits>>i&1 == 0 {
			continue
		}
		n := 1
		for bits>>(i+n)&1 != 0 {
			n++
		}
		if err := copyData(to, from, int64(p)<<pageShift+int64(i)*minSector, int64(n)*minSector); err != nil {
			return err
		}
		i += n
	}
	return nil
}

// pages returns the pages that a range touches.
func (d *Disk) pages(offset, length int64) func(func(uint32) bool) {
	return func(yield func(uint32) bool) {
		if length == 0 {
			return
		}
		for p, last := uint32(offset>>pageShift), uint32((offset+length-1)>>pageShift); p <= last; p++ {
			if !yield(p) {
				return
			}
		}
	}
}

// bits returns the sectors of a page that a range touches, as minSector bits of whole sectors of the drive.
func (d *Disk) bits(p uint32, offset, length int64) uint8 {
	start := int64(p) << pageShift
	from, to := max(offset-start, 0), min(offset+length-start, pageBytes)
	if d.settings.SectorBytes == pageBytes || from == 0 && to == pageBytes {
		return 0xff
	}
	first, end := from/minSector, (to+minSector-1)/minSector
	return uint8(1<<end - 1<<first)
}

// flush makes everything that was applied so far durable, and returns after the latency of the drive.
func (d *Disk) flush(generation int64) syscall.Errno {
	o := d.order
	o.Lock()
	defer o.Unlock()
	if !d.alive(generation) {
		return syscall.EIO
	}
	d.counters.Flushes++
	op := o.arrive(d, oplog.Event{Kind: oplog.Flush}, nil)
	if d.settings.Mutant == LateFlush {
		time.AfterFunc(lateFlush, func() { d.flushLate(generation, op) })
		o.flush(d, op, oplog.FlushEnd)
		return 0
	}
	hadDirty := d.host.pages > 0
	runs, err := d.flushLayers()
	if err != nil {
		return d.failed(err)
	}
	o.flush(d, op, oplog.Flushed)
	latency := d.settings.FlushLatency
	if hadDirty {
		latency += d.settings.WriteLatency * time.Duration((runs+queueDepth-1)/queueDepth)
	}
	if latency > 0 {
		o.Unlock()
		wait(latency)
		o.Lock()
		if !d.alive(generation) {
			return syscall.EIO
		}
	}
	o.flush(d, op, oplog.FlushEnd)
	return 0
}

func (d *Disk) flushLate(generation int64, op operation) {
	d.order.Lock()
	defer d.order.Unlock()
	if !d.alive(generation) {
		return
	}
	if _, err := d.sync(); err != nil {
		d.failed(err)
		return
	}
	d.order.flush(d, op, oplog.Flushed)
}

// flushLayers does to the layers what a flush does, with the disk's mutation, and returns in how many runs of pages.
func (d *Disk) flushLayers() (runs int, err error) {
	switch d.settings.Mutant {
	case IgnoreFlush:
		return 0, nil
	case Tear:
		return 0, d.flushSome(func(int, int) uint8 { return 0x0f })
	case Reorder:
		return 0, d.flushSome(func(i, n int) uint8 {
			if i < n/2 {
				return 0
			}
			return 0xff
		})
	}
	return d.sync()
}

// sync moves everything to the medium.
func (d *Disk) sync() (runs int, err error) {
	pages := d.dirtyPages()
	runs, err = d.copyRuns(&d.medium, &d.current, pages)
	if err != nil {
		return runs, err
	}
	for _, p := range pages {
		d.host.remove(p, 0xff)
		d.drive.remove(p, 0xff)
	}
	return runs, nil
}

// flushSome moves some sectors to the medium: of the i-th of n dirty pages those that chosen returns.
func (d *Disk) flushSome(chosen func(i, n int) uint8) error {
	pages := slices.Clone(d.dirtyPages())
	for i, p := range pages {
		bits := (d.host.get(p) | d.drive.get(p)) & chosen(i, len(pages))
		if err := d.copySectors(&d.medium, &d.current, p, bits); err != nil {
			return err
		}
		d.host.remove(p, bits)
		d.drive.remove(p, bits)
	}
	return nil
}

// dirtyPages returns the pages dirty in any layer, those of the drive's cache first, each layer's oldest first.
func (d *Disk) dirtyPages() []uint32 {
	pages := d.scratch[:0]
	for p := d.drive.first; p != noPage; p = d.drive.after(p) {
		pages = append(pages, p)
	}
	for p := d.host.first; p != noPage; p = d.host.after(p) {
		if d.drive.get(p) == 0 {
			pages = append(pages, p)
		}
	}
	d.scratch = pages[:0]
	return pages
}

// copyRuns copies whole pages, neighbours together, and returns in how many pieces. It sorts pages. Their clean sectors must be
// the same in both layers.
func (d *Disk) copyRuns(to, from *layer, pages []uint32) (runs int, err error) {
	err = d.eachRun(pages, func(offset, length int64, _ []uint32) error {
		runs++
		return copyRange(to, from, offset, length)
	})
	return runs, err
}

// eachRun sorts pages and calls do for each run of neighbours, with its bytes within the image.
func (d *Disk) eachRun(pages []uint32, do func(offset, length int64, run []uint32) error) error {
	slices.Sort(pages)
	for len(pages) > 0 {
		n := 1
		for n < len(pages) && pages[n] == pages[n-1]+1 {
			n++
		}
		offset := int64(pages[0]) << pageShift
		if err := do(offset, min(int64(n)<<pageShift, d.size-offset), pages[:n]); err != nil {
			return err
		}
		pages = pages[n:]
	}
	return nil
}

// seek is lseek(2) with SEEK_DATA or SEEK_HOLE on the newest content.
func (d *Disk) seek(generation int64, offset int64, whence int) (int64, syscall.Errno) {
	d.order.Lock()
	defer d.order.Unlock()
	if !d.alive(generation) {
		return 0, syscall.EIO
	}
	at, err := unix.Seek(d.current.fd, offset, whence)
	if err != nil {
		return 0, err.(syscall.Errno)
	}
	return at, 0
}

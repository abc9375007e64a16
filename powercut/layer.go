package powercut

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"

	"golang.org/x/sys/unix"
)

// layer is a sparse file that holds the contents of one layer. It has no name, so that nothing of it is left when the
// process ends in whatever way. It is written through a mapping: a page of it takes less than a microsecond then, and up to
// twenty by pwrite(2) while the kernel is busy writing the file back.
type layer struct {
	*os.File
	fd     int
	memory []byte
	mapped []uint64 // a bit for each page that was touched through the mapping, and so counts as resident
	budget *budget
}

// budget bounds how much of the mappings of all layers is resident. Beyond residentPages all are let go: that takes a
// millisecond, and a page that is touched again is found in the kernel's page cache.
type budget struct {
	pages   int
	layers  []*layer
	scratch []byte // for long copies
}

const residentPages = 384 << 20 / pageBytes

// make makes a layer in a directory. Its address must not change: the budget knows it.
func (l *layer) make(dir string, size int64, b *budget) error {
	f, err := os.CreateTemp(dir, "layer-*")
	if err != nil {
		return err
	}
	l.File = f
	l.fd = int(f.Fd())
	if err := os.Remove(f.Name()); err != nil {
		return err
	}
	if err := f.Truncate(size); err != nil {
		return err
	}
	if l.memory, err = unix.Mmap(l.fd, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return fmt.Errorf("map the file of a layer: %w", err)
	}
	l.mapped = make([]uint64, (size>>pageShift)/64+1)
	l.budget = b
	b.layers = append(b.layers, l)
	return nil
}

func (l *layer) close() {
	if l.File == nil {
		return
	}
	l.letGo()
	if l.memory != nil {
		_ = unix.Munmap(l.memory)
		l.memory = nil
	}
	l.Close()
	if l.budget != nil {
		l.budget.layers = without(l.budget.layers, l)
	}
}

func without(layers []*layer, l *layer) []*layer {
	var rest []*layer
	for _, x := range layers {
		if x != l {
			rest = append(rest, x)
		}
	}
	return rest
}

// touch must be called before a range is touched through the mapping: it counts the range against the budget.
func (l *layer) touch(offset, length int64) {
	for p, last := offset>>pageShift, (offset+length-1)>>pageShift; p <= last; p++ {
		if l.mapped[p/64]>>(p%64)&1 == 0 {
			if l.budget.pages >= residentPages {
				for _, x := range l.budget.layers {
					x.letGo()
				}
				l.budget.pages = 0
			}
			l.mapped[p/64] |= 1 << (p % 64)
			l.budget.pages++
		}
	}
}

// isMapped reports whether a range can be read through the mapping without making more of it resident.
func (l *layer) isMapped(offset, length int64) bool {
	for p, last := offset>>pageShift, (offset+length-1)>>pageShift; p <= last; p++ {
		if l.mapped[p/64]>>(p%64)&1 == 0 {
			return false
		}
	}
	return true
}

func (l *layer) letGo() {
	if l.memory != nil {
		_ = unix.Madvise(l.memory, unix.MADV_DONTNEED) // of a shared mapping of a file nothing is lost
		clear(l.mapped)
	}
}

func (l *layer) write(data []byte, offset int64) error {
	if len(data) >= bulk {
		return l.pwrite(data, offset)
	}
	l.touch(offset, int64(len(data)))
	return move(l.memory[offset:], data)
}

// pwrite writes by pwrite(2), which makes nothing resident and is cheaper than the mapping for long writes.
func (l *layer) pwrite(data []byte, offset int64) error {
	for len(data) > 0 {
		n, err := unix.Pwrite(l.fd, data, offset)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		data, offset = data[n:], offset+int64(n)
	}
	return nil
}

// move copies within mapped memory. Where the file cannot get a block for a page, because its file system is full or broken, the
// processor's fault becomes an error.
func move(to, from []byte) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			fault, ok := r.(runtime.Error)
			if _, addressed := r.(interface{ Addr() uintptr }); !ok || !addressed {
				panic(r)
			}
			err = fmt.Errorf("the file of a layer cannot be written: %w (%v)", syscall.ENOSPC, fault)
		}
	}()
	copy(to, from)
	return nil
}

func (l *layer) read(data []byte, offset int64) error {
	for len(data) > 0 {
		n, err := unix.Pread(l.fd, data, offset)
		if err == unix.EINTR {
			continue
		}
		if err == unix.EFAULT { // data are mapped, see move
			return fmt.Errorf("the file of a layer cannot be written: %w", syscall.ENOSPC)
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("the file of a layer ends at %d", offset)
		}
		data, offset = data[n:], offset+int64(n)
	}
	return nil
}

// zero makes a range read as zeros and gives its space back.
func (l *layer) zero(offset, length int64) error {
	if length == 0 {
		return nil
	}
	err := unix.Fallocate(l.fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, offset, length)
	if err != unix.EOPNOTSUPP {
		return err
	}
	zeros := make([]byte, min(length, 1<<20))
	for length > 0 {
		n := min(length, int64(len(zeros)))
		if err := l.write(zeros[:n], offset); err != nil {
			return err
		}
		offset, length = offset+n, length-n
	}
	return nil
}

// bulk is the length from which holes are looked for in a copy, and files are written by pwrite(2): below, that costs more than
// it saves.
const bulk = 128 << 10

// copyRange copies a range from a layer to another one; holes stay holes.
func copyRange(to, from *layer, offset, length int64) error {
	if length < bulk {
		return copyData(to, from, offset, length)
	}
	for end := offset + length; offset < end; {
		data, err := unix.Seek(from.fd, offset, unix.SEEK_DATA)
		if err == unix.ENXIO || err == nil && data > end {
			data = end
		} else if err != nil {
			return err
		}
		if err := to.zero(offset, data-offset); err != nil {
			return err
		}
		if data == end {
			return nil
		}
		hole, err := unix.Seek(from.fd, data, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		offset = min(hole, end)
		if err := copyData(to, from, data, offset-data); err != nil {
			return err
		}
	}
	return nil
}

func copyData(to, from *layer, offset, length int64) error {
	if length >= bulk {
		return copyBulk(to, from, offset, length)
	}
	if length == 0 {
		return nil
	}
	to.touch(offset, length)
	target := to.memory[offset : offset+length]
	if from.isMapped(offset, length) {
		return move(target, from.memory[offset:offset+length])
	}
	return from.read(target, offset)
}

func copyBulk(to, from *layer, offset, length int64) error {
	if to.budget.scratch == nil {
		to.budget.scratch = make([]byte, 256<<10)
	}
	for length > 0 {
		b := to.budget.scratch[:min(length, int64(len(to.budget.scratch)))]
		if err := from.read(b, offset); err != nil {
			return err
		}
		if err := to.pwrite(b, offset); err != nil {
			return err
		}
		offset, length = offset+int64(len(b)), length-int64(len(b))
	}
	return nil
}

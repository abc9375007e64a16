package powercut

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// layer is a sparse file that holds the contents of one layer. It has no name, so that nothing of it is left when the
// process ends in whatever way.
type layer struct {
	*os.File
	fd int
}

func newLayer(dir string, size int64) (layer, error) {
	f, err := os.CreateTemp(dir, "layer-*")
	if err != nil {
		return layer{}, err
	}
	if err := errors.Join(os.Remove(f.Name()), f.Truncate(size)); err != nil {
		f.Close()
		return layer{}, err
	}
	return layer{f, int(f.Fd())}, nil
}

func (l layer) write(data []byte, offset int64) error {
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

func (l layer) read(data []byte, offset int64) error {
	for len(data) > 0 {
		n, err := unix.Pread(l.fd, data, offset)
		if err == unix.EINTR {
			continue
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
func (l layer) zero(offset, length int64) error {
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

// sparseFrom is the length of a copy from which holes are looked for: below, finding one costs more than it saves.
const sparseFrom = 128 << 10

// copyRange copies a range from a layer to another one; holes stay holes. buffer is scratch.
func copyRange(to, from layer, offset, length int64, buffer []byte) error {
	if length < sparseFrom {
		return copyData(to, from, offset, length, buffer)
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
		if err := copyData(to, from, data, offset-data, buffer); err != nil {
			return err
		}
	}
	return nil
}

func copyData(to, from layer, offset, length int64, buffer []byte) error {
	for length > 0 {
		b := buffer[:min(length, int64(len(buffer)))]
		if err := from.read(b, offset); err != nil {
			return err
		}
		if err := to.write(b, offset); err != nil {
			return err
		}
		offset, length = offset+int64(len(b)), length-int64(len(b))
	}
	return nil
}

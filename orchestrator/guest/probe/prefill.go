package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"

	"platter/powercut/witness"
)

// mapped is what prefill prints: where a file stands on the disk; nothing for a device, and nothing on a file system that gives blocks
// another place when they are overwritten.
type mapped struct {
	Extents []extent `json:"extents"`
}

// extent is a piece of the file, in bytes.
type extent struct {
	File   int64 `json:"file"`   // offset in the file
	Image  int64 `json:"image"`  // offset on the block device below its file system
	Length int64 `json:"length"` // of the piece
}

// chunkBytes is about how much is written or read at once.
const chunkBytes = 1 << 20

// prefill stamps every block as never written, durably, and returns where a file stands on the disk.
func prefill(o options) (_ mapped, err error) {
	device, err := isDevice(o.filename)
	if err != nil {
		return mapped{}, err
	}
	flags := unix.O_RDWR | unix.O_DIRECT
	if device {
		flags |= unix.O_EXCL // refuses a device that is mounted
	} else {
		flags |= unix.O_CREAT
	}
	f, err := open(o.filename, flags)
	if err != nil {
		return mapped{}, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size := o.layout.JobBytes() * int64(o.layout.Jobs)
	if !device {
		if err := makeRoom(f, size); err != nil {
			return mapped{}, err
		}
	}
	if err := stamp(f, o.layout); err != nil {
		return mapped{}, err
	}
	if err := f.Sync(); err != nil {
		return mapped{}, err
	}
	if device {
		return mapped{Extents: []extent{}}, nil
	}
	if err := syncDir(parent(o.filename)); err != nil {
		return mapped{}, err
	}
	if relocates, err := f.relocates(); err != nil || relocates {
		return mapped{Extents: []extent{}}, err
	}
	extents, err := mapFile(f, size)
	return mapped{Extents: extents}, err
}

func parent(path string) string { return filepath.Dir(path) }

// isDevice reports whether path is a block device; false for what is not there.
func isDevice(path string) (bool, error) {
	f, err := open(path, unix.O_RDONLY)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	return f.isDevice()
}

// makeRoom makes the file as long as it will be and allocates it in as few pieces as the file system can.
func makeRoom(f *kernelFile, size int64) error {
	if err := unix.Ftruncate(f.fd, size); err != nil {
		return fmt.Errorf("make %s %d bytes long: %w", f.name, size, err)
	}
	err := again(func() error { return unix.Fallocate(f.fd, 0, 0, size) })
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("allocate %d bytes of %s: %w", size, f.name, err)
	}
	return nil
}

// stamp writes the stamps of the prefill over all blocks.
func stamp(f file, l witness.Layout) error {
	perChunk := min(max(1, chunkBytes/l.BlockBytes), l.Blocks)
	chunk := aligned(perChunk * l.BlockBytes)
	for job := range l.Jobs {
		for first := 0; first < l.Blocks; first += perChunk {
			n := min(perChunk, l.Blocks-first)
			for i := range n {
				s := witness.Stamp{Campaign: l.Campaign, Job: uint16(job), Block: uint32(first + i)}
				s.PutBlock(chunk[i*l.BlockBytes : (i+1)*l.BlockBytes])
			}
			if err := f.WriteAt(chunk[:n*l.BlockBytes], l.Home(uint16(job), uint32(first))); err != nil {
				return err
			}
		}
	}
	return nil
}

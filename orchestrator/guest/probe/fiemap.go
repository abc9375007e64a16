package main

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// From the kernel's include/uapi/linux/fiemap.h; see Documentation/filesystems/fiemap.rst.
const (
	fsIocFiemap     = 0xc020660b
	fiemapFlagSync  = 1
	fiemapLast      = 0x1
	fiemapMerged    = 0x1000 // several blocks in one extent: says nothing about where they are
	extentsPerCall  = 128
	fiemapMaxExtent = 1 << 20
)

type fiemapExtent struct {
	logical, physical, length uint64
	_                         [2]uint64
	flags                     uint32
	_                         [3]uint32
}

type fiemapRequest struct {
	start, length uint64
	flags         uint32
	mapped        uint32 // out
	count         uint32
	_             uint32
	extents       [extentsPerCall]fiemapExtent
}

// mapFile returns where the file's first size bytes stand on the block device below its file system, in order and whole.
func mapFile(f *kernelFile, size int64) ([]extent, error) {
	var all []extent
	for at := int64(0); at < size; {
		r := fiemapRequest{start: uint64(at), length: uint64(size - at), flags: fiemapFlagSync, count: extentsPerCall}
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(f.fd), fsIocFiemap, uintptr(unsafe.Pointer(&r))); errno != 0 {
			return nil, fmt.Errorf("ask where %s stands on its disk (FIEMAP): %w", f.name, errno)
		}
		next, more, err := takeExtents(r.extents[:r.mapped], at, size)
		if err != nil {
			return nil, fmt.Errorf("%s is not plainly on its disk: %w", f.name, err)
		}
		all = append(all, more...)
		at = next
		if len(all) > fiemapMaxExtent {
			return nil, fmt.Errorf("%s is in more than %d pieces", f.name, fiemapMaxExtent)
		}
	}
	return all, nil
}

// takeExtents turns the kernel's extents from offset at on into ours and returns the offset up to which they are whole. An extent
// that is anything but data at a known place is an error: unwritten, delayed, inline, encoded, shared.
func takeExtents(es []fiemapExtent, at, size int64) (next int64, extents []extent, err error) {
	if len(es) == 0 {
		return 0, nil, fmt.Errorf("a hole from %d on", at)
	}
	for _, e := range es {
		if odd := e.flags &^ (fiemapLast | fiemapMerged); odd != 0 {
			return 0, nil, fmt.Errorf("the extent at %d has the flags %#x", e.logical, odd)
		}
		skip := at - int64(e.logical)
		length := int64(e.length) - skip
		if skip < 0 || length <= 0 {
			return 0, nil, fmt.Errorf("a hole at %d", at)
		}
		length = min(length, size-at)
		extents = append(extents, extent{File: at, Image: int64(e.physical) + skip, Length: length})
		if at += length; at == size {
			break
		}
	}
	return at, extents, nil
}

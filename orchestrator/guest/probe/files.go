package main

import (
	"fmt"
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// files is what the probe asks of the operating system; tests watch the order of the calls through it.
type files interface {
	// Open opens a file or directory with the flags of open(2); what it makes has mode 0644.
	Open(path string, flags int) (file, error)
	// Rename replaces to by from.
	Rename(from, to string) error
}

// file is an open file, device or directory. Its methods may be called by several goroutines.
type file interface {
	WriteAt(b []byte, offset int64) error // all of b, or an error
	ReadAt(b []byte, offset int64) error  // all of b, or an error; io.ErrUnexpectedEOF where the file ends before
	Sync() error                          // fsync(2)
	Datasync() error                      // fdatasync(2)
	Close() error
}

// kernel is the real operating system.
type kernel struct{}

// kernelFile is a descriptor; its name is for errors.
type kernelFile struct {
	fd   int
	name string
}

// Open implements files.
func (kernel) Open(path string, flags int) (file, error) { return open(path, flags) }

func open(path string, flags int) (*kernelFile, error) {
	fd := -1
	err := again(func() (err error) { fd, err = unix.Open(path, flags|unix.O_CLOEXEC, 0o644); return err })
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return &kernelFile{fd: fd, name: path}, nil
}

// Rename implements files.
func (kernel) Rename(from, to string) error {
	if err := unix.Rename(from, to); err != nil {
		return fmt.Errorf("rename %s to %s: %w", from, to, err)
	}
	return nil
}

// again repeats a call that a signal interrupted.
func again(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

func (f *kernelFile) WriteAt(b []byte, offset int64) error {
	n, err := unix.Pwrite(f.fd, b, offset)
	for err == unix.EINTR {
		n, err = unix.Pwrite(f.fd, b, offset)
	}
	if err == nil && n != len(b) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return fmt.Errorf("write %d bytes at %d of %s: %w", len(b), offset, f.name, err)
	}
	return nil
}

func (f *kernelFile) ReadAt(b []byte, offset int64) error {
	n, err := unix.Pread(f.fd, b, offset)
	for err == unix.EINTR {
		n, err = unix.Pread(f.fd, b, offset)
	}
	if err == nil && n != len(b) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("read %d bytes at %d of %s: %w", len(b), offset, f.name, err)
	}
	return nil
}

func (f *kernelFile) Sync() error {
	if err := again(func() error { return unix.Fsync(f.fd) }); err != nil {
		return fmt.Errorf("fsync %s: %w", f.name, err)
	}
	return nil
}

func (f *kernelFile) Datasync() error {
	if err := again(func() error { return unix.Fdatasync(f.fd) }); err != nil {
		return fmt.Errorf("fdatasync %s: %w", f.name, err)
	}
	return nil
}

func (f *kernelFile) Close() error {
	if err := unix.Close(f.fd); err != nil {
		return fmt.Errorf("close %s: %w", f.name, err)
	}
	return nil
}

// relocates reports whether it lies on a file system that may give a block another place when it is overwritten (cell.Relocates): it
// knows them by their magic numbers.
func (f *kernelFile) relocates() (bool, error) {
	var s unix.Statfs_t
	if err := again(func() error { return unix.Fstatfs(f.fd, &s) }); err != nil {
		return false, fmt.Errorf("ask for the file system of %s: %w", f.name, err)
	}
	return s.Type == unix.BTRFS_SUPER_MAGIC || s.Type == unix.F2FS_SUPER_MAGIC, nil
}

// isDevice reports whether it is a block device.
func (f *kernelFile) isDevice() (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil {
		return false, fmt.Errorf("look at %s: %w", f.name, err)
	}
	return st.Mode&unix.S_IFMT == unix.S_IFBLK, nil
}

// syncDir makes the names in a directory durable.
func syncDir(path string) error {
	d, err := open(path, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// aligned returns n bytes that O_DIRECT takes: aligned to 4096, and not where the garbage collector looks.
func aligned(n int) []byte {
	b, err := unix.Mmap(-1, 0, max(n, 1), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil || uintptr(unsafe.Pointer(&b[0]))%4096 != 0 {
		panic(os.NewSyscallError("mmap", err))
	}
	return b
}

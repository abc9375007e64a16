package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"

	"platter/cell"
	"platter/results"
)

// Shape is how a scratch image is made. Cells with equal shapes share one image, which is filled once.
type Shape struct {
	Format        string      // "raw" or "qcow2"
	SizeBytes     int64       // of the disk
	ClusterSize   int64       // of qcow2 in bytes; 0 for qemu-img's default
	Preallocation string      // as qemu-img has it; empty for its default
	Filesystem    string      // made inside the guest; "none" for the raw device
	FileBytes     int64       // of the file laid out in the file system; 0 without one
	Simulated     cell.Device // the simulated disk that serves it; the zero value for the host's own storage
}

// Scratch is the image behind the scratch disk.
type Scratch struct {
	path string // what QEMU opens
	// simulated is the image's name on the simulated disk; empty on the host's own storage. There the host's page cache is
	// the simulation's, and there is nothing to look at or to drop.
	simulated string
	file      *os.File
	size      int64 // of the file in bytes
	full      int64 // bytes with blocks on the host's file system after it was filled
}

// freeMargin is what must stay free in the storage directory beside the scratch images.
const freeMargin = 64 << 20

// newScratch makes an image in dir and fills all of it once with noise, so that no trial reads or overwrites blocks that
// were never written, and no layer below can take a shortcut for zeros. A file system is not made here. An image of this number that
// is there is an error: it is somebody's, and stays as it is.
func newScratch(ctx context.Context, dir string, number int, shape Shape) (*Scratch, error) {
	path := filepath.Join(dir, fmt.Sprintf("scratch-%d.%s", number, shape.Format))
	need := shape.SizeBytes + freeMargin
	if shape.Format != "raw" {
		need += shape.SizeBytes // the noise is converted
	}
	if err := checkSpace(dir, need); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	if err != nil {
		return nil, &Error{Fault: Rig, Message: fmt.Sprintf("make scratch image: %v", err)}
	}
	f.Close() // what fills it opens it
	raw := path
	if shape.Format != "raw" {
		raw = path + ".raw"
		defer os.Remove(raw)
	}
	err = createRaw(ctx, raw, shape)
	if err == nil && raw != path {
		err = qemuImg(ctx, append([]string{"convert", "-f", "raw", "-O", shape.Format}, append(shape.options(), raw, path)...)...)
	}
	if err == nil {
		f, err = os.OpenFile(path, os.O_RDWR, 0)
	}
	if err != nil {
		os.Remove(path)
		return nil, err
	}
	s := &Scratch{path: path, file: f}
	info, err := f.Stat()
	if err == nil {
		s.size = info.Size()
		err = f.Sync()
	}
	if err == nil {
		s.full, err = s.allocated()
	}
	if err != nil {
		f.Close()
		os.Remove(path)
		return nil, &Error{Fault: Rig, Message: fmt.Sprintf("make scratch image: %v", err)}
	}
	return s, nil
}

// options are qemu-img's options of the shape.
func (s Shape) options() []string {
	var o []string
	if s.ClusterSize > 0 {
		o = append(o, "-o", fmt.Sprintf("cluster_size=%d", s.ClusterSize))
	}
	if s.Preallocation != "" {
		o = append(o, "-o", "preallocation="+s.Preallocation)
	}
	return o
}

// createRaw makes a raw image full of noise.
func createRaw(ctx context.Context, path string, shape Shape) error {
	if shape.Format == "raw" && shape.Preallocation != "" {
		if err := qemuImg(ctx, append([]string{"create", "-q", "-f", "raw"}, append(shape.options(), path, fmt.Sprint(shape.SizeBytes))...)...); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return &Error{Fault: Rig, Message: fmt.Sprintf("make scratch image: %v", err)}
	}
	defer f.Close()
	s := &Scratch{path: path, file: f, size: shape.SizeBytes}
	return s.fill(func() error { return context.Cause(ctx) })
}

func qemuImg(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, "qemu-img", args...).CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return &Error{Fault: Rig, Message: fmt.Sprintf("qemu-img %s: %v: %s", args[0], err, lastLine(string(out)))}
	}
	return nil
}

// allocated is how many bytes of the image have blocks on the host's file system.
func (s *Scratch) allocated() (int64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(s.file.Fd()), &st); err != nil {
		return 0, fmt.Errorf("stat scratch image: %w", err)
	}
	return st.Blocks * 512, nil
}

func (s *Scratch) fill(stop func() error) error {
	noise := rand.NewChaCha8([32]byte{'p', 'l', 'a', 't', 't', 'e', 'r'})
	block := make([]byte, 1<<20)
	for off := int64(0); off < s.size; off += int64(len(block)) {
		if err := stop(); err != nil {
			return err
		}
		block = block[:min(int64(len(block)), s.size-off)]
		_, _ = noise.Read(block)
		if _, err := s.file.WriteAt(block, off); err != nil {
			return &Error{Fault: Rig, Message: fmt.Sprintf("fill scratch image: %v: free space or name another directory with --storage", err)}
		}
	}
	if err := s.file.Sync(); err != nil {
		return &Error{Fault: Rig, Message: fmt.Sprintf("fill scratch image: %v", err)}
	}
	return nil
}

// Close closes the image; the work directory removes it.
func (s *Scratch) Close() error { return s.file.Close() }

// drop writes the image's dirty pages back and asks the kernel to forget the clean ones, of this file only.
func (s *Scratch) drop() error {
	if s.simulated != "" {
		return nil
	}
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("sync scratch image: %w", err)
	}
	if err := unix.Fadvise(int(s.file.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return fmt.Errorf("drop scratch image from the page cache: %w", err)
	}
	return nil
}

// resident counts the bytes of the image in the host's page cache (mincore(2)).
func (s *Scratch) resident() (int64, error) {
	if s.simulated != "" {
		return 0, errors.New("the page cache is simulated")
	}
	m, err := unix.Mmap(int(s.file.Fd()), 0, int(s.size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return 0, fmt.Errorf("map scratch image: %w", err)
	}
	defer func() { _ = unix.Munmap(m) }()
	page := int64(os.Getpagesize())
	pages := make([]byte, (s.size+page-1)/page)
	if err := mincore(m, pages); err != nil {
		return 0, fmt.Errorf("look for scratch image in the page cache: %w", err)
	}
	var n int64
	for _, p := range pages {
		n += int64(p & 1)
	}
	return n * page, nil
}

// checkSpace fails unless need bytes are free in dir, or where dir will be made.
func checkSpace(dir string, need int64) error {
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) && filepath.Dir(dir) != dir {
		return checkSpace(filepath.Dir(dir), need)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return &Error{Fault: Rig, Message: fmt.Sprintf("look for free space in %s: %v", dir, err)}
	}
	if free := int64(st.Bavail) * st.Bsize; free < need {
		return &Error{Fault: Usage, Message: fmt.Sprintf("%s has %d MiB free and the run needs %d MiB: free some, remove what dead runs left with platter cleanup, or name another directory with --storage", dir, free>>20, need>>20)}
	}
	return nil
}

// checkDirect fails unless files in dir can be opened with O_DIRECT, which cache=none and directsync need.
func checkDirect(dir string) error {
	f, err := os.CreateTemp(dir, "o_direct-")
	if err != nil {
		return &Error{Fault: Rig, Message: fmt.Sprintf("write in storage directory: %v", err)}
	}
	defer os.Remove(f.Name())
	f.Close()
	fd, err := unix.Open(f.Name(), unix.O_RDWR|unix.O_DIRECT, 0)
	if errors.Is(err, unix.EINVAL) {
		return &Error{Fault: Usage, Message: fmt.Sprintf("files in %s cannot be opened with O_DIRECT (file system %s), which cache none and directsync need: name another directory with --storage", dir, storageFacts(dir).FileSystem)}
	}
	if err != nil {
		return &Error{Fault: Rig, Message: fmt.Sprintf("open a file in %s: %v", dir, err)}
	}
	return unix.Close(fd)
}

// storageFacts names the file system under dir and what it lies on.
func storageFacts(dir string) results.Storage {
	s := results.Storage{Directory: dir}
	if m, ok := mountOf(dir); ok {
		s.FileSystem, s.Device = m.kind, m.source
		s.Drives, s.Layers = drivesBelow("/sys", deviceNumber(m))
	}
	return s
}

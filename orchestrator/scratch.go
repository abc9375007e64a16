package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"

	"platter/cell"
	"platter/fault"
	"platter/orchestrator/host"
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
	if err := host.CheckSpace(dir, need); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	if err != nil {
		return nil, &fault.Error{Fault: fault.Rig, Message: fmt.Sprintf("make scratch image: %v", err)}
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
		s.full, err = host.Allocated(s.file)
	}
	if err != nil {
		f.Close()
		os.Remove(path)
		return nil, fault.New(fault.Rig, "make scratch image: %v", err)
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
		if err := qemuImg(ctx, append([]string{"create", "-q", "-f", "raw"}, append(shape.options(), path,
			fmt.Sprint(shape.SizeBytes))...)...); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fault.New(fault.Rig, "make scratch image: %v", err)
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
		return fault.New(fault.Rig, "qemu-img %s: %v: %s", args[0], err, lastLine(string(out)))
	}
	return nil
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
			return fault.New(fault.Rig, "fill scratch image: %v: free space or name another directory with --storage", err)
		}
	}
	if err := s.file.Sync(); err != nil {
		return fault.New(fault.Rig, "fill scratch image: %v", err)
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
	return host.DropCache(s.file)
}

// resident returns how many bytes of the image are in the host's page cache.
func (s *Scratch) resident() (int64, error) {
	if s.simulated != "" {
		return 0, errors.New("the page cache is simulated")
	}
	return host.Resident(s.file, s.size)
}

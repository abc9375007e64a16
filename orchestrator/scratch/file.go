package scratch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"

	"platter/fault"
	"platter/libvirtxml"
	"platter/orchestrator/host"
	"platter/text"
)

// File is an image in a directory of the host.
type File struct {
	shape Shape
	path  string
	file  *os.File // nil until it was made
	size  int64    // of the file in bytes
}

// NewFile returns an image that is still to be made in dir, under a name of its number.
func NewFile(dir string, number int, shape Shape) *File {
	return &File{shape: shape, path: filepath.Join(dir, fmt.Sprintf("scratch-%d.%s", number, shape.Format))}
}

// Make makes the image and fills all of it once with noise, so that no trial reads or overwrites blocks that were never written, and no
// layer below can take a shortcut for zeros. An image of this number that is there is an error: it is somebody's, and stays as it is. What
// could not be made leaves nothing.
func (f *File) Make(ctx context.Context) (err error) {
	need := f.shape.SizeBytes + FreeMargin
	if f.shape.Format != "raw" {
		need += f.shape.SizeBytes // the noise is converted
	}
	if err := host.CheckSpace(filepath.Dir(f.path), need); err != nil {
		return err
	}
	name, err := os.OpenFile(f.path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	if err != nil {
		return fault.New(fault.Rig, "make scratch image: %v", err)
	}
	name.Close() // what fills it opens it
	defer func() {
		if err != nil {
			os.Remove(f.path)
		}
	}()
	raw := f.path
	if f.shape.Format != "raw" {
		raw = f.path + ".raw"
		defer os.Remove(raw)
	} else if f.shape.Preallocation != "" {
		create := append(f.shape.options(), raw, fmt.Sprint(f.shape.SizeBytes))
		if err := QEMUImg(ctx, append([]string{"create", "-q", "-f", "raw"}, create...)...); err != nil {
			return err
		}
	}
	if err := fill(ctx, raw, f.shape.SizeBytes); err != nil {
		return err
	}
	if raw != f.path {
		if err := f.shape.Convert(ctx, raw, f.path); err != nil {
			return err
		}
	}
	file, err := os.OpenFile(f.path, os.O_RDWR, 0)
	if err != nil {
		return fault.New(fault.Rig, "make scratch image: %v", err)
	}
	info, err := file.Stat()
	if err = errors.Join(err, file.Sync()); err != nil {
		file.Close()
		return fault.New(fault.Rig, "make scratch image: %v", err)
	}
	f.file, f.size = file, info.Size()
	return nil
}

// fill writes a file full of noise, the same each time, and syncs it. ctx's cause ends it between two MiB.
func fill(ctx context.Context, path string, size int64) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fault.New(fault.Rig, "make scratch image: %v", err)
	}
	defer file.Close()
	noise := rand.NewChaCha8([32]byte{'p', 'l', 'a', 't', 't', 'e', 'r'})
	block := make([]byte, 1<<20)
	for off := int64(0); off < size; off += int64(len(block)) {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		block = block[:min(int64(len(block)), size-off)]
		_, _ = noise.Read(block)
		if _, err := file.WriteAt(block, off); err != nil {
			return fault.New(fault.Rig, "fill scratch image: %v: free space or name another directory with --storage", err)
		}
	}
	if err := file.Sync(); err != nil {
		return fault.New(fault.Rig, "fill scratch image: %v", err)
	}
	return nil
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

// Convert writes a raw image as one of the shape's format.
func (s Shape) Convert(ctx context.Context, raw, path string) error {
	return QEMUImg(ctx, append([]string{"convert", "-f", "raw", "-O", s.Format}, append(s.options(), raw, path)...)...)
}

// QEMUImg runs qemu-img. Its failure is the rig's fault and carries its last words; ctx's cause is returned as it is.
func QEMUImg(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, "qemu-img", args...).CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fault.New(fault.Rig, "qemu-img %s: %v: %s", args[0], err, text.LastLine(string(out)))
	}
	return nil
}

// Finish makes sure that the file system which a guest has made on the image is on the host's disk.
func (f *File) Finish(context.Context) error {
	if err := f.file.Sync(); err != nil {
		return fault.New(fault.Rig, "sync scratch image: %v", err)
	}
	return nil
}

// Source returns the file.
func (f *File) Source() libvirtxml.Source { return FileSource(f.path) }

// Settle writes the image's dirty pages back and has the kernel forget the clean ones, of this file only.
func (f *File) Settle() error {
	if err := host.DropCache(f.file); err != nil {
		return fault.New(fault.Rig, "%v", err)
	}
	return nil
}

// Counters looks at the file and at the device below it. Flushes that reach the image are not counted here.
func (f *File) Counters(context.Context) (Counters, error) {
	c := Counters{SizeBytes: f.size}
	allocated, err := host.Allocated(f.file)
	if err != nil {
		return c, fault.New(fault.Rig, "%v", err)
	}
	c.Allocated = &allocated
	if n, err := host.Resident(f.file, f.size); err == nil {
		c.Resident = &n
	}
	if n, err := host.DeviceFlushes(f.path); err == nil {
		c.DeviceFlushes = &n
	}
	return c, nil
}

// Remove removes the image.
func (f *File) Remove(context.Context) error {
	if f.file == nil {
		return nil
	}
	return errors.Join(f.file.Close(), os.Remove(f.path))
}

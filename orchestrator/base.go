package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"platter/libvirtxml"
	"platter/orchestrator/guest"
	"platter/orchestrator/host"
	"platter/powercut/replay"
	"platter/powercut/witness"
)

// base is what campaigns start from: cells with equal bases share one image, which is made once.
type base struct {
	filesystem  string
	format      string
	clusterSize int64
	layout      witness.Layout
}

// baseImage is the image of a base: stamped, and with its file system.
type baseImage struct {
	path      string
	size      int64           // of the file in bytes
	virtual   int64           // of the disk that the guest sees, in bytes
	fileBytes int64           // of the data file; 0 on a raw device
	extents   []replay.Extent // where the data file stands on the disk; none on a raw device
	kept      string          // name below the run directory once it was kept there
}

// Room beside the probe's working set, in bytes: for ext4's tables and journal and the files that some patterns add; mkfs.xfs
// refuses less than 300 MB.
const (
	ext4Room  = 128 << 20
	xfsRoom   = 384 << 20
	qcow2Room = 32 << 20
)

// base gives the image that a campaign starts from, made when it is needed first. The machine is used for file systems.
func (x *crashes) base(ctx context.Context, c Campaign, layout witness.Layout) (*baseImage, error) {
	key := base{filesystem: c.Cell.Filesystem(), format: c.Cell.Format(), clusterSize: c.Cell.ClusterSize(), layout: layout}
	if b, ok := x.bases[key]; ok {
		return b, nil
	}
	// What failed once may go well with the next guest: only an image that is there is remembered.
	b := &baseImage{path: filepath.Join(x.run.Storage, fmt.Sprintf("base-%d.%s", len(x.bases), key.format))}
	if err := x.makeBase(ctx, key, b); err != nil {
		os.Remove(b.path)
		return nil, err
	}
	x.bases[key] = b
	return b, nil
}

func (x *crashes) makeBase(ctx context.Context, key base, b *baseImage) error {
	data := key.layout.JobBytes() * int64(key.layout.Jobs)
	room := map[string]int64{"ext4": ext4Room, "xfs": xfsRoom}[key.filesystem]
	if key.filesystem == "ext4" {
		room += data / 4
	}
	b.virtual = roundUp(data+room, 1<<20)
	if err := host.CheckSpace(x.run.Storage, 3*b.virtual+freeMargin); err != nil {
		return err
	}
	raw := b.path
	if key.format != "raw" {
		raw = b.path + ".raw"
		defer os.Remove(raw)
	}
	if err := emptyFile(raw, key, b.virtual); err != nil {
		return rigError("make the image for crash campaigns", err)
	}
	if key.filesystem != "none" {
		if err := x.makeFilesystem(ctx, key, raw, b); err != nil {
			return err
		}
	}
	b.size = b.virtual
	if raw == b.path {
		return nil
	}
	shape := Shape{Format: key.format, ClusterSize: key.clusterSize}
	if err := qemuImg(ctx, append([]string{"convert", "-f", "raw", "-O", key.format},
		append(shape.options(), raw, b.path)...)...); err != nil {
		return err
	}
	// The simulated disk's images do not grow: a format that allocates gets its room beforehand.
	info, err := os.Stat(b.path)
	if err == nil {
		b.size = roundUp(info.Size()+qcow2Room, 1<<20)
		err = os.Truncate(b.path, b.size)
	}
	if err != nil {
		return rigError("make the image for crash campaigns", err)
	}
	return nil
}

func roundUp(n, to int64) int64 { return (n + to - 1) / to * to }

// emptyFile makes a sparse file: for a raw device with the probe's stamps, as platter replay makes it again.
func emptyFile(path string, key base, size int64) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if key.filesystem != "none" {
		return f.Truncate(size)
	}
	c := replay.Campaign{Layout: key.layout, Filesystem: "none", Format: "raw", SizeBytes: size}
	return errors.Join(c.WriteBase(nil, f), f.Sync())
}

// makeFilesystem makes the file system and the probe's data file in the guest.
func (x *crashes) makeFilesystem(ctx context.Context, key base, path string, b *baseImage) error {
	ctx, cancel := context.WithTimeout(ctx, formatLimit+formatLimit)
	defer cancel()
	m, err := x.run.subject()
	if err != nil {
		return err
	}
	if err := m.Detach(ctx); err != nil {
		return err
	}
	disk := libvirtxml.ScratchDisk{File: path, Format: "raw", Bus: "virtio", Target: virtioTarget, Serial: scratchSerial,
		Driver: []libvirtxml.Attr{{Name: "cache", Value: "unsafe"}}}
	if err := m.Attach(ctx, disk); err != nil {
		return err
	}
	if err := m.Format(ctx, key.filesystem, 0); err != nil {
		return err
	}
	if key.layout.Pattern == witness.Overwrite {
		b.fileBytes = key.layout.JobBytes() * int64(key.layout.Jobs)
	}
	prepared, err := m.Prepare(ctx, guest.Setup{Filesystem: key.filesystem, Barrier: "on", WriteCache: "device", CacheType: "device"})
	if err != nil {
		return err
	}
	if key.layout.Pattern == witness.Overwrite {
		extents, err := m.Prefill(ctx, guest.ProbeJob{Layout: key.layout, Target: prepared.Target})
		if err != nil {
			return fmt.Errorf("lay out the probe's file: %w", err)
		}
		for _, e := range extents {
			b.extents = append(b.extents, replay.Extent{File: e.File, Image: e.Image, Length: e.Length})
		}
	}
	if err := m.Detach(ctx); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err != nil {
		return rigError("sync the image for crash campaigns", err)
	}
	return nil
}

// close removes the images.
func (x *crashes) closeBases() {
	for _, b := range x.bases {
		os.Remove(b.path)
	}
}

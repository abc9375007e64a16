package crash

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"platter/cell"
	"platter/orchestrator/guest"
	"platter/orchestrator/host"
	"platter/orchestrator/scratch"
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

// Room beside the probe's working set, in bytes: for the tables, journal or log of a file system and the files that some patterns add.
// mkfs.xfs refuses less than 300 MB. btrfs and f2fs write anew what is overwritten: cell.Cell.Room says what they need.
const (
	ext4Room  = 128 << 20
	xfsRoom   = 384 << 20
	btrfsRoom = 192 << 20
	f2fsRoom  = 128 << 20
	qcow2Room = 32 << 20
)

// base returns the image that a cell's campaign starts from, made when it is needed first. The machine makes file systems.
func (x *Campaigns) base(ctx context.Context, m Machine, c cell.Cell, w Witness) (*baseImage, error) {
	key := base{filesystem: c.Filesystem(), format: c.Format(), clusterSize: c.ClusterSize(), layout: w.Layout()}
	if b, ok := x.bases[key]; ok {
		return b, nil
	}
	// What failed once may go well with the next guest: only an image that is there is remembered.
	b := &baseImage{path: filepath.Join(x.Storage, fmt.Sprintf("base-%d.%s", len(x.bases), key.format))}
	if err := x.makeBase(ctx, m, w, key, b); err != nil {
		os.Remove(b.path)
		return nil, err
	}
	if x.bases == nil {
		x.bases = map[base]*baseImage{}
	}
	x.bases[key] = b
	return b, nil
}

func (x *Campaigns) makeBase(ctx context.Context, m Machine, w Witness, key base, b *baseImage) error {
	data := key.layout.JobBytes() * int64(key.layout.Jobs)
	room := int64(0)
	switch key.filesystem {
	case "ext4":
		room = ext4Room + data/4
	case "xfs":
		room = xfsRoom
	case "btrfs":
		room = btrfsRoom + data/2*3
	case "f2fs":
		room = f2fsRoom + data/2
	}
	b.virtual = roundUp(data+room, 1<<20)
	if err := host.CheckSpace(x.Storage, 3*b.virtual+scratch.FreeMargin); err != nil {
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
		if err := makeFilesystem(ctx, m, w, key, raw, b); err != nil {
			return err
		}
	}
	b.size = b.virtual
	if raw == b.path {
		return nil
	}
	if err := (scratch.Shape{Format: key.format, ClusterSize: key.clusterSize}).Convert(ctx, raw, b.path); err != nil {
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

// roundUp returns the first multiple of to that is not below n.
func roundUp(n, to int64) int64 { return (n + to - 1) / to * to }

// emptyFile makes a sparse file: for a raw device with the stamps of its layout, as platter replay makes it again.
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

// makeFilesystem makes the file system and the witness's data in the guest.
func makeFilesystem(ctx context.Context, m Machine, w Witness, key base, path string, b *baseImage) error {
	ctx, cancel := context.WithTimeout(ctx, 2*scratch.FormatLimit)
	defer cancel()
	if err := m.Detach(ctx); err != nil {
		return err
	}
	if err := m.Attach(ctx, scratch.Cached(scratch.FileSource(path), "raw", "unsafe")); err != nil {
		return err
	}
	if err := m.Format(ctx, key.filesystem, 0); err != nil {
		return err
	}
	if key.layout.Pattern == witness.Overwrite {
		b.fileBytes = key.layout.JobBytes() * int64(key.layout.Jobs)
	}
	setup := guest.Setup{Filesystem: key.filesystem, Barrier: "on", WriteCache: cell.AsDevice, CacheType: cell.AsDevice}
	prepared, err := m.Prepare(ctx, setup)
	if err != nil {
		return err
	}
	if b.extents, err = w.Prepare(ctx, m, prepared.Target); err != nil {
		return err
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

// Package replay decides what a crash takes. From the operation log of a disk that can lose power, and from what the probe
// recorded on the witness disk, it judges every crash point of the log for every failure class in one pass (Every), or writes
// what survives at one of them (Survivor) and judges that by its bytes (Check). The two share no state, so that one can be
// held against the other.
//
// A crash point p, from 1, is the state after the first p events of the log.
package replay

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"

	"platter/cell"
	"platter/powercut/oplog"
	"platter/powercut/witness"
)

// Campaign is what the judge must know of a recorded crash campaign. It is stored as campaign.json beside its log.
type Campaign struct {
	Layout  witness.Layout `json:"layout"`
	Data    uint8          `json:"data"`    // number of the data image in the log
	Witness uint8          `json:"witness"` // number of the witness disk in the log
	// Extents say where the bytes of the probe's file stand on the disk; none on the raw device, where they are the disk's.
	Extents    []Extent `json:"extents,omitempty"`
	Filesystem string   `json:"filesystem"` // one of cell.Filesystems
	Format     string   `json:"format"`     // "raw" or "qcow2"
	SizeBytes  int64    `json:"size_bytes"` // of the data image
	// SectorBytes is what the simulated drive writes whole or not at all: 512, which 0 means, or 4096.
	SectorBytes int64 `json:"sector_bytes,omitempty"`
	// Base is the path, relative to campaign.json, of the gzip-compressed data image as it was when the log began. Empty on a
	// raw device: the prefill of Layout.
	Base        string   `json:"base,omitempty"`
	Classes     []string `json:"classes"`      // that were asked about
	DriveCaches []string `json:"drive_caches"` // that were asked about
}

// Extent is a stretch of the probe's file on the disk, in bytes; multiples of witness.SectorSize.
type Extent struct {
	File   int64 `json:"file"`   // offset in the file
	Image  int64 `json:"image"`  // offset on the disk
	Length int64 `json:"length"` // in bytes
}

// maxCampaign is how many bytes a campaign.json may have; its extents are most of it.
const maxCampaign = 16 << 20

// ReadCampaign reads a campaign.json of at most 16 MiB. Its errors do not name the file.
func ReadCampaign(in io.Reader) (Campaign, error) {
	var c Campaign
	text, err := io.ReadAll(io.LimitReader(in, maxCampaign+1))
	switch {
	case err != nil:
		return c, fmt.Errorf("read campaign: %w", err)
	case len(text) > maxCampaign:
		return c, fmt.Errorf("read campaign: it has more than %d MiB", maxCampaign>>20)
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return c, fmt.Errorf("read campaign: %w", err)
	}
	if err := c.check(); err != nil {
		return c, fmt.Errorf("read campaign: %w", err)
	}
	return c, nil
}

// layer is a state of the data image that is what survives some failure.
type layer uint8

// The layers, from the newest content to the oldest. Each one is the content as seen at that depth: where a layer holds
// nothing of its own, it is what the one below it holds.
const (
	arrived layer = iota // all that was asked for: in-flight writes over what was replied to
	replied              // through the host's page cache
	drive                // through the drive's cache
	medium
	layers
)

// holder returns the name of what keeps data that are in a layer and not in the next lower one.
func (l layer) holder() string {
	return [...]string{"a write in flight", "the host's page cache", "the drive's cache", "the medium"}[l]
}

// survivorOf returns the layer that the question's failure leaves (safety.md, "The log" and "Cuts for real").
func survivorOf(q cell.Question) (layer, error) {
	switch q.DriveCache {
	case cell.Volatile, cell.Protected, cell.NoCache:
	default:
		return 0, fmt.Errorf("no drive cache %q: it is volatile, protected or none", q.DriveCache)
	}
	switch q.Class {
	case cell.GuestCrash:
		return arrived, nil
	case cell.QEMUKill:
		return replied, nil
	case cell.HostCrash:
		return drive, nil
	case cell.PowerLoss:
		if q.DriveCache == cell.Volatile {
			return medium, nil
		}
		return drive, nil
	default:
		return 0, fmt.Errorf("no failure class %q: it is guest_crash, qemu_kill, host_crash or power_loss", q.Class)
	}
}

// maxBlocks bounds the judge's memory: some 30 bytes a block.
const maxBlocks = 1 << 26

// check returns what is wrong with a campaign, or nil, before any log is read.
func (c Campaign) check() error {
	if err := c.Layout.Check(); err != nil {
		return err
	}
	if unit := c.sector(); unit < witness.SectorSize || unit > 1<<20 || unit&(unit-1) != 0 {
		return fmt.Errorf("sectors of %d bytes: 512 or 4096 can be judged", unit)
	}
	if c.SizeBytes < 0 {
		return fmt.Errorf("an image of %d bytes", c.SizeBytes)
	}
	if c.Data == c.Witness {
		return fmt.Errorf("data and witness are both image %d of the log", c.Data)
	}
	if c.Layout.Pattern != witness.Overwrite {
		return nil // files are found by their names
	}
	if blocks := int64(c.Layout.Jobs) * int64(c.Layout.Blocks); blocks > maxBlocks {
		return fmt.Errorf("%d blocks: at most %d can be judged", blocks, maxBlocks)
	}
	_, err := newHomes(c)
	return err
}

// checkLog returns an error unless a log can be the campaign's.
func (c Campaign) checkLog(log *oplog.Reader) error {
	images := log.Images()
	if n := max(int(c.Data), int(c.Witness)); n >= len(images) {
		return fmt.Errorf("the campaign speaks of image %d, the log has %d images: they do not belong together", n, len(images))
	}
	if have := images[c.Data].SizeBytes; have != c.SizeBytes {
		return fmt.Errorf("the campaign's image has %d bytes, the log's %d: they do not belong together", c.SizeBytes, have)
	}
	return nil
}

// sector returns the size of the drive's sectors, in bytes.
func (c Campaign) sector() int64 {
	if c.SectorBytes == 0 {
		return witness.SectorSize
	}
	return c.SectorBytes
}

// sectorsOf widens a range of the disk to whole sectors of the drive.
func (c Campaign) sectorsOf(offset, length int64) (int64, int64) {
	if length == 0 {
		return offset, 0
	}
	unit := c.sector()
	from, to := offset/unit*unit, (offset+length+unit-1)/unit*unit
	return from, min(to, c.SizeBytes) - from
}

// homes finds where the probe's blocks stand on the disk.
type homes struct {
	byImage  []Extent
	byFile   []Extent
	jobBytes int64
	block    int64 // bytes
	end      int64 // of all jobs' blocks in the file, in bytes
}

func newHomes(c Campaign) (*homes, error) {
	h := &homes{jobBytes: c.Layout.JobBytes(), block: int64(c.Layout.BlockBytes), end: int64(c.Layout.Jobs) * c.Layout.JobBytes()}
	extents := c.Extents
	if len(extents) == 0 {
		extents = []Extent{{Length: h.end}}
	}
	for _, e := range extents {
		if (e.File|e.Image|e.Length)%witness.SectorSize != 0 || e.File < 0 || e.Image < 0 || e.Length < 1 {
			return nil, fmt.Errorf("extent %+v of the probe's file: stretches of whole sectors of %d bytes can be judged", e, witness.SectorSize)
		}
		if e.Image > math.MaxInt64-e.Length {
			return nil, fmt.Errorf("extent %+v of the probe's file is beyond any disk", e)
		}
		if c.Format == "raw" && e.Image > c.SizeBytes-e.Length { // other formats' files may be smaller than the disk in them
			return nil, fmt.Errorf("extent %+v of the probe's file is beyond the image's %d bytes", e, c.SizeBytes)
		}
		if e.Length = min(e.Length, h.end-e.File); e.Length > 0 {
			h.byFile = append(h.byFile, e)
		}
	}
	slices.SortFunc(h.byFile, func(a, b Extent) int { return compare(a.File, b.File) })
	h.byImage = slices.SortedFunc(slices.Values(h.byFile), func(a, b Extent) int { return compare(a.Image, b.Image) })
	var at int64
	for _, e := range h.byFile {
		if e.File != at {
			return nil, fmt.Errorf("the extents of the probe's file do not cover it once: a stretch begins at byte %d, expected at %d", e.File, at)
		}
		at = e.File + e.Length
	}
	if at != h.end {
		return nil, fmt.Errorf("the extents of the probe's file end at byte %d of %d", at, h.end)
	}
	for i, e := range h.byImage[1:] {
		if before := h.byImage[i]; before.Image+before.Length > e.Image {
			return nil, fmt.Errorf("extents %+v and %+v of the probe's file overlap on the disk", before, e)
		}
	}
	return h, nil
}

func compare(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// stretch is a part of one block on the disk.
type stretch struct {
	block  uint32 // of all jobs' blocks
	within int64  // offset in the block, in bytes
	image  int64  // offset on the disk, in bytes
	length int64
}

// owner returns whose a block is, and which of that job's.
func (h *homes) owner(block uint32) (job uint16, of uint32) {
	perJob := uint32(h.jobBytes / h.block)
	return uint16(block / perJob), block % perJob
}

// onDisk yields the parts of blocks that stand in a range of the disk, in its order.
func (h *homes) onDisk(offset, length int64, yield func(stretch)) {
	first, _ := slices.BinarySearchFunc(h.byImage, offset, func(e Extent, at int64) int {
		return compare(e.Image+e.Length-1, at)
	})
	for _, e := range h.byImage[first:] {
		from, to := max(offset, e.Image), min(offset+length, e.Image+e.Length)
		if from >= to {
			return
		}
		h.split(e, from, to, yield)
	}
}

// split cuts the bytes from..to of the disk, which are in e, at the edges of blocks.
func (h *homes) split(e Extent, from, to int64, yield func(stretch)) {
	for from < to {
		file := e.File + from - e.Image
		within := file % h.block
		n := min(h.block-within, to-from)
		yield(stretch{block: uint32(file / h.block), within: within, image: from, length: n})
		from += n
	}
}

// ofBlock yields where the parts of a block stand, in the block's order.
func (h *homes) ofBlock(block uint32, yield func(stretch)) {
	from := int64(block) * h.block
	to := from + h.block
	first, _ := slices.BinarySearchFunc(h.byFile, from, func(e Extent, at int64) int {
		return compare(e.File+e.Length-1, at)
	})
	for _, e := range h.byFile[first:] {
		a := max(from, e.File)
		b := min(to, e.File+e.Length)
		if a >= b {
			return
		}
		h.split(e, e.Image+a-e.File, e.Image+b-e.File, yield)
	}
}

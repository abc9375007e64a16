package replay

import (
	"errors"
	"fmt"
	"io"

	"platter/cell"
	"platter/powercut/witness"
)

// Loss is what a crash took, by the bytes of its survivor.
type Loss struct {
	Promises      int64 // writes
	PromisesLost  int64 // of them
	Torn          int64 // blocks that mix promised and newer sectors
	ExposedWrites int64 // acknowledged, unpromised and gone
	ExposedBytes  int64
	FirstLost     string // the first job's first promised write that is gone, in a line; empty when none is
}

// Check judges an image or file by its bytes: it reads every block that the ledger speaks of where the campaign's extents say
// that it stands. Blocks must be overwritten in place; other patterns are an error.
func Check(data io.ReaderAt, c Campaign, l *Ledger) (Loss, error) {
	if c.Layout.Pattern != witness.Overwrite || cell.Relocates(c.Filesystem) {
		return Loss{}, errPattern
	}
	if err := c.check(); err != nil {
		return Loss{}, err
	}
	if len(l.Jobs) != c.Layout.Jobs {
		return Loss{}, fmt.Errorf("a ledger of %d jobs, the campaign has %d: they do not belong together", len(l.Jobs), c.Layout.Jobs)
	}
	h, err := newHomes(c)
	if err != nil {
		return Loss{}, err
	}
	x := &examination{data: data, campaign: c, homes: h, buffer: make([]byte, c.Layout.BlockBytes)}
	for job, account := range l.Jobs {
		if err := x.job(uint16(job), account); err != nil {
			return Loss{}, err
		}
	}
	x.loss.ExposedBytes = x.loss.ExposedWrites * int64(c.Layout.BlockBytes)
	return x.loss, nil
}

type examination struct {
	data     io.ReaderAt
	campaign Campaign
	homes    *homes
	buffer   []byte
	loss     Loss
}

// job judges the blocks of one job.
func (x *examination) job(job uint16, account Account) error {
	blocks := make([]block, x.campaign.Layout.Blocks)
	walk := x.campaign.Layout.Walk(job)
	for sequence := uint32(1); sequence <= max(account.Promised, account.Acknowledged); sequence++ {
		s := walk.Next()
		if sequence <= account.Promised {
			blocks[s.Block].promised = int32(s.Generation)
		}
		if sequence <= account.Acknowledged {
			blocks[s.Block].acknowledged = int32(s.Generation)
		}
	}
	oldest := make([]int32, len(blocks))
	for b := range blocks {
		s := &blocks[b]
		if s.promised == 0 && s.acknowledged == 0 {
			continue
		}
		var newest int32
		var err error
		if oldest[b], newest, err = x.read(job, uint32(b)); err != nil {
			return err
		}
		f := s.figures(oldest[b], oldest[b] != newest)
		x.loss.PromisesLost += f.lost
		x.loss.ExposedWrites += f.exposed
		x.loss.Torn += f.torn
	}
	x.loss.Promises += int64(account.Promised)
	if x.loss.PromisesLost > 0 && x.loss.FirstLost == "" {
		x.loss.FirstLost = firstLost(x.campaign, job, account.Promised, func(b uint32) int32 { return oldest[b] }).String()
	}
	return nil
}

// read returns the oldest and newest generation of a block's sectors. What is beyond the end of the data is foreign.
func (x *examination) read(job uint16, b uint32) (oldest, newest int32, err error) {
	number := uint32(0)
	x.homes.ofBlock(uint32(job)*uint32(x.campaign.Layout.Blocks)+b, func(s stretch) {
		part := x.buffer[:s.length]
		n, failed := x.data.ReadAt(part, s.image)
		if failed != nil && !errors.Is(failed, io.EOF) {
			err = fmt.Errorf("read block %d of job %d at %d: %w", b, job, s.image, failed)
			return
		}
		clear(part[n:])
		for at := 0; at < len(part); at += witness.SectorSize {
			gen := generation(part[at:], x.campaign.Layout.Campaign, job, b, uint16(number))
			if number == 0 {
				oldest, newest = gen, gen
			}
			oldest, newest = min(oldest, gen), max(newest, gen)
			number++
		}
	})
	return oldest, newest, err
}

// LostWrite is a promised write that is gone.
type LostWrite struct {
	Job        uint16
	Sequence   uint32
	Block      uint32 // of the job's
	Generation uint32
	Found      int32  // generation that stands there; -1 is something else
	Offset     int64  // of the block on the disk
	Held       string // what held it at the crash
}

func (w *LostWrite) String() string {
	if w == nil {
		return ""
	}
	text := fmt.Sprintf("write %d of job %d: block %d at byte %d should have generation %d or a newer one, and has ",
		w.Sequence, w.Job, w.Block, w.Offset, w.Generation)
	if w.Found < 0 {
		text += "something else"
	} else {
		text += fmt.Sprintf("%d", w.Found)
	}
	if w.Held != "" {
		text += "; it was held by " + w.Held
	}
	return text
}

// firstLost returns the first of a job's promised writes that is gone, when the oldest sector of each of its blocks is of a
// generation; nil when none is.
func firstLost(c Campaign, job uint16, promised uint32, oldest func(block uint32) int32) *LostWrite {
	walk := c.Layout.Walk(job)
	for range promised {
		s := walk.Next()
		found := oldest(s.Block)
		if found >= int32(s.Generation) {
			continue
		}
		w := &LostWrite{Job: job, Sequence: s.Sequence, Block: s.Block, Generation: s.Generation, Found: found}
		if h, err := newHomes(c); err == nil {
			first := true
			h.ofBlock(uint32(job)*uint32(c.Layout.Blocks)+s.Block, func(s stretch) {
				if first {
					w.Offset = s.image
					first = false
				}
			})
		}
		return w
	}
	return nil
}

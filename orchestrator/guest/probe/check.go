package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"platter/powercut/witness"
)

// ledger is what the witness had heard at the crash.
type ledger struct {
	Layout witness.Layout `json:"layout"`
	Jobs   []struct {
		Promised     uint32 `json:"promised"`     // all writes up to this sequence
		Acknowledged uint32 `json:"acknowledged"` // likewise
	} `json:"jobs"`
}

// loss is what check prints.
type loss struct {
	Promises      int64  `json:"promises"`       // promised writes
	PromisesLost  int64  `json:"promises_lost"`  // those of them that are gone
	Torn          int64  `json:"torn"`           // blocks that mix promised and newer sectors
	ExposedWrites int64  `json:"exposed_writes"` // acknowledged, not promised, and gone
	FirstLost     string `json:"first_lost"`     // the first broken promise that was found
}

// maxLedger is far above what a ledger of MaxJobs jobs takes, in bytes.
const maxLedger = 1 << 20

// checkDisk reads a survivor back against the ledger.
func checkDisk(filename string, in io.Reader) (loss, error) {
	l, err := readLedger(io.LimitReader(in, maxLedger))
	if err != nil {
		return loss{}, fmt.Errorf("read ledger: %w", err)
	}
	f, err := open(filename, unix.O_RDONLY)
	if err != nil {
		return loss{}, fmt.Errorf("%w: is the survivor mounted?", err)
	}
	defer f.Close()
	if l.Layout.Pattern == witness.Overwrite {
		direct, err := open(filename, unix.O_RDONLY|unix.O_DIRECT)
		if err != nil {
			return loss{}, err
		}
		defer direct.Close()
		return l.checkBlocks(direct), nil
	}
	return l.checkFiles(kernel{}, filename), nil
}

func readLedger(in io.Reader) (ledger, error) {
	var l ledger
	if err := json.NewDecoder(in).Decode(&l); err != nil {
		return l, err
	}
	if err := l.Layout.Check(); err != nil {
		return l, err
	}
	if len(l.Jobs) != l.Layout.Jobs {
		return l, fmt.Errorf("%d jobs, the layout has %d", len(l.Jobs), l.Layout.Jobs)
	}
	return l, nil
}

// generations returns the generations of a job's blocks: those promised, and those acknowledged, which are at least as new.
func (l ledger) generations(job int) (promised, acknowledged []uint32) {
	promised = make([]uint32, l.Layout.Blocks)
	acknowledged = make([]uint32, l.Layout.Blocks)
	walk := l.Layout.Walk(uint16(job))
	j := l.Jobs[job]
	for n := uint32(0); n < max(j.Promised, j.Acknowledged); n++ {
		s := walk.Next()
		acknowledged[s.Block] = s.Generation
		if s.Sequence <= j.Promised {
			promised[s.Block] = s.Generation
		}
	}
	return promised, acknowledged
}

// count adds a block with these generations to the loss; found is the oldest that any of its sectors has, -1 for damage. Generations
// that can be lost are from 1: damage loses them all, and no more.
func (r *loss) count(promised, acknowledged uint32, found int64, where string, args ...any) {
	p := int64(promised)
	a := int64(acknowledged)
	if p > 0 && found < p {
		r.PromisesLost += p - max(found, 0)
		r.first(where+": generation %d was promised, %s was found", append(args, p, generation(found))...)
	}
	r.ExposedWrites += max(0, a-max(p, found, 0))
}

func (r *loss) first(format string, args ...any) {
	if r.FirstLost == "" {
		r.FirstLost = fmt.Sprintf(format, args...)
	}
}

func generation(found int64) string {
	if found < 0 {
		return "damage"
	}
	return fmt.Sprint(found)
}

// checkBlocks judges the blocks of the pattern overwrite.
func (l ledger) checkBlocks(f file) loss {
	var r loss
	lay := l.Layout
	perChunk := min(max(1, chunkBytes/lay.BlockBytes), lay.Blocks)
	chunk := aligned(perChunk * lay.BlockBytes)
	for job := range lay.Jobs {
		r.Promises += int64(l.Jobs[job].Promised)
		promised, acknowledged := l.generations(job)
		for first := 0; first < lay.Blocks; first += perChunk {
			n := min(perChunk, lay.Blocks-first)
			whole := f.ReadAt(chunk[:n*lay.BlockBytes], lay.Home(uint16(job), uint32(first))) == nil
			for i := range n {
				b := uint32(first + i)
				block := chunk[i*lay.BlockBytes : (i+1)*lay.BlockBytes]
				oldest, newest := int64(-1), int64(-1)
				if whole || f.ReadAt(block, lay.Home(uint16(job), b)) == nil {
					oldest, newest = found(block, witness.Stamp{Campaign: lay.Campaign, Job: uint16(job), Block: b})
				}
				r.count(promised[b], acknowledged[b], oldest, "job %d, block %d", job, b)
				if oldest >= int64(promised[b]) && newest > oldest {
					r.Torn++
				}
			}
		}
	}
	return r
}

// found returns the oldest and the newest generation among a block's sectors; -1 stands for a sector that is damaged or foreign.
func found(block []byte, of witness.Stamp) (oldest, newest int64) {
	oldest, newest = int64(1)<<32, -1
	for i := 0; i*witness.SectorSize < len(block); i++ {
		g := int64(-1)
		s, ok := witness.ReadStamp(block[i*witness.SectorSize:])
		if ok && s.Campaign == of.Campaign && s.Job == of.Job && s.Block == of.Block && int(s.Sector) == i {
			g = int64(s.Generation)
		}
		oldest, newest = min(oldest, g), max(newest, g)
	}
	return oldest, newest
}

// checkFiles judges the patterns that make files of their own. Nothing is torn there: a write that is not there whole is not there.
func (l ledger) checkFiles(os files, filename string) loss {
	var r loss
	block := make([]byte, l.Layout.BlockBytes)
	for job := range l.Jobs {
		r.Promises += int64(l.Jobs[job].Promised)
		if l.Layout.Pattern == witness.Rename {
			l.checkRenamed(os, filename, job, block, &r)
			continue
		}
		l.checkEach(os, filename, job, block, &r)
	}
	return r
}

// checkEach judges writes that nothing has overwritten: files, or blocks of a file that has grown.
func (l ledger) checkEach(os files, filename string, job int, block []byte, r *loss) {
	j := l.Jobs[job]
	walk := l.Layout.Walk(uint16(job))
	var grown file
	if l.Layout.Pattern == witness.Append {
		f, err := os.Open(ownFile(filename, l.Layout.Pattern, uint16(job), witness.Stamp{}), unix.O_RDONLY)
		if err == nil {
			grown = f
			defer f.Close()
		}
	}
	for n := uint32(0); n < max(j.Promised, j.Acknowledged); n++ {
		s := walk.Next()
		s.Job = uint16(job)
		var err error
		switch {
		case l.Layout.Pattern == witness.FileEach:
			err = readWhole(os, ownFile(filename, l.Layout.Pattern, s.Job, s), block)
		case grown == nil:
			err = errors.New("the file is gone")
		default:
			err = grown.ReadAt(block, int64(s.Sequence-1)*int64(len(block)))
		}
		if err == nil && !isStamped(block, s) {
			err = errors.New("it holds something else")
		}
		switch {
		case err == nil:
		case s.Sequence <= j.Promised:
			r.PromisesLost++
			r.first("job %d, write %d was promised: %v", job, s.Sequence, err)
		default:
			r.ExposedWrites++
		}
	}
}

// checkRenamed judges files that were replaced by newer versions: the name must lead to a whole one that is new enough. One
// that is not there, or not whole, counts as never written.
func (l ledger) checkRenamed(os files, filename string, job int, block []byte, r *loss) {
	promised, acknowledged := l.generations(job)
	for b := range promised {
		if acknowledged[b] == 0 {
			continue
		}
		s := witness.Stamp{Campaign: l.Layout.Campaign, Job: uint16(job), Block: uint32(b)}
		version := int64(0)
		if readWhole(os, ownFile(filename, witness.Rename, s.Job, s), block) == nil {
			if oldest, newest := found(block, s); oldest == newest && oldest > 0 {
				version = oldest
			}
		}
		r.count(promised[b], acknowledged[b], version, "job %d, file %d", job, b)
	}
}

// isStamped reports whether all of the block's sectors are those of the write s.
func isStamped(block []byte, s witness.Stamp) bool {
	for i := 0; i*witness.SectorSize < len(block); i++ {
		s.Sector = uint16(i)
		if got, ok := witness.ReadStamp(block[i*witness.SectorSize:]); !ok || got != s {
			return false
		}
	}
	return true
}

// readWhole reads a file that is as long as the block, no shorter and no longer.
func readWhole(os files, path string, block []byte) error {
	f, err := os.Open(path, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.ReadAt(block, 0); err != nil {
		return err
	}
	if f.ReadAt(make([]byte, 1), int64(len(block))) == nil {
		return errors.New("the file is longer than it was written")
	}
	return nil
}

package replay

import (
	"math/bits"
	"slices"

	"platter/powercut/oplog"
	"platter/powercut/witness"
)

// spots is about how many crash points are judged for torn blocks at the least; more in a long log, by its logarithm.
const spots = 64

// chosen reports whether torn blocks are looked for at a crash point: always among the first, then ever more rarely, and not
// when that would take more time than all the rest.
func (j *judge) chosen(point int64) bool {
	if j.examined > 4096+2*point {
		return false
	}
	if point <= spots {
		return true
	}
	high, _ := bits.Mul64(oplog.Mix(uint64(point)), uint64(point))
	return high < spots
}

// tornBy returns how many blocks are torn if a layer survives and, of what is above it, some sectors by the dice. unsettled are the
// blocks that the dice may change.
func (j *judge) tornBy(l layer, d dice, unsettled []uint32) int64 {
	torn := j.lost[l].torn
	for _, b := range unsettled {
		torn += j.subset(l, b, d).torn - j.figures(l, b).torn
	}
	j.examined += int64(len(unsettled))
	return torn
}

// unsettled returns the blocks of which different layers may hold different versions. It is valid until the next event.
func (j *judge) unsettled() []uint32 {
	all := j.dirty
	for _, w := range j.inFlight {
		for i := range w.runs {
			if b := w.runs[i].block; !j.blocks[b].dirty && !slices.Contains(all[len(j.dirty):], b) {
				all = append(all, b)
			}
		}
	}
	return all
}

// subset returns what is lost of a block if a layer survives and, of what is above it, some sectors by the dice.
func (j *judge) subset(l layer, b uint32, d dice) version {
	s := &j.blocks[b]
	oldest, newest := int32(0), int32(0)
	sector := uint32(0)
	j.homes.ofBlock(b, func(s stretch) {
		for at := s.image; at < s.image+s.length; at += witness.SectorSize {
			gen := j.sector(d.pick(l, at/witness.SectorSize), b, sector)
			if sector == 0 {
				oldest, newest = gen, gen
			}
			oldest, newest = min(oldest, gen), max(newest, gen)
			sector++
		}
	})
	return version{figures: s.figures(oldest, oldest != newest), gen: oldest}
}

// sector returns the generation of a sector of a block in a layer.
func (j *judge) sector(l layer, b, sector uint32) int32 {
	if gen := j.blocks[b].gen[l]; gen != mixed {
		return gen
	}
	return j.sectors[l][b][sector]
}

// dice decide on each sector of the data image, by oplog's rule. A sector of the drive is decided on by its first 512 bytes.
type dice struct {
	seed  uint64
	image uint8
	unit  int64 // drive's sector in sectors of 512 bytes
}

func (c Campaign) dice(seed uint64) dice {
	return dice{seed: seed, image: c.Data, unit: c.sector() / witness.SectorSize}
}

// pick returns from which layer a sector of the image survives, when all of layer l does: with seed 0 from that one. Another seed
// lets half of the sectors survive as they were replied to, and half of these as the writes in flight make them.
func (d dice) pick(l layer, sector int64) layer {
	if d.seed == 0 || l == arrived {
		return l
	}
	if d.unit > 1 {
		sector -= sector % d.unit
	}
	switch oplog.Dice(d.seed, d.image, sector) & 3 {
	case 1:
		return replied
	case 3:
		return arrived
	default:
		return l
	}
}

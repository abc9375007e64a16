package replay

import (
	"math/bits"
	"slices"

	"platter/powercut/oplog"
	"platter/powercut/witness"
)

// spots is about how many crash points are judged for torn blocks at the least; more in a long log, by its logarithm.
const spots = 64

// chosen tells whether torn blocks are looked for at a crash point: always among the first, then ever more rarely.
func (j *judge) chosen(point int64) bool {
	if point <= spots {
		return true
	}
	high, _ := bits.Mul64(oplog.Mix(uint64(point)), uint64(point))
	return high < spots
}

// tornBy is how many blocks are torn if a layer survives and of what is above it some sectors by the seed.
func (j *judge) tornBy(l layer, seed uint64) int64 {
	torn := j.lost[l].torn
	for _, b := range j.unsettled() {
		torn += j.subset(l, b, seed).torn - j.figures(l, b).torn
	}
	return torn
}

// unsettled are the blocks of which different layers may hold different versions.
func (j *judge) unsettled() []uint32 {
	all := slices.Clone(j.dirty)
	for _, w := range j.inFlight {
		for i := range w.runs {
			if b := w.runs[i].block; !j.blocks[b].dirty {
				all = append(all, b)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// subset is a block when a layer survives and of what is above it some sectors by the seed; none with seed 0.
func (j *judge) subset(l layer, b uint32, seed uint64) version {
	s := &j.blocks[b]
	oldest, newest := int32(0), int32(0)
	sector := uint32(0)
	j.homes.ofBlock(b, func(s stretch) {
		for at := s.image; at < s.image+s.length; at += witness.SectorSize {
			gen := j.sector(j.campaign.pick(l, seed, at/witness.SectorSize), b, sector)
			if sector == 0 {
				oldest, newest = gen, gen
			}
			oldest, newest = min(oldest, gen), max(newest, gen)
			sector++
		}
	})
	return version{figures: s.figures(oldest, oldest != newest), gen: oldest}
}

// sector is the generation of a sector of a block in a layer.
func (j *judge) sector(l layer, b, sector uint32) int32 {
	if gen := j.blocks[b].gen[l]; gen != mixed {
		return gen
	}
	return j.sectors[l][b][sector]
}

// pick is from which layer a sector of the image survives, when all of layer l does: with seed 0 from that one. Another seed
// lets half of the sectors survive as they were replied to, and half of these as the writes in flight make them.
// A sector of the drive is decided on by its first 512 bytes.
func (c Campaign) pick(l layer, seed uint64, sector int64) layer {
	if seed == 0 || l == arrived {
		return l
	}
	sector -= sector % (c.sector() / witness.SectorSize)
	dice := oplog.Dice(seed, c.Data, sector)
	switch {
	case dice&1 == 0:
		return l
	case dice&2 == 0:
		return replied
	default:
		return arrived
	}
}

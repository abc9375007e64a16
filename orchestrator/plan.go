package orchestrator

import (
	"slices"
	"time"

	"platter/matrices"
)

// Boot is what can only be chosen when a guest starts.
type Boot struct {
	MemoryBytes int64
	VCPUs       int
	IOThreads   int  // iothreads that the domain has, for disk.iothread
	SCSI        bool // whether it has a virtio-scsi controller
}

// Step is one trial to be made.
type Step struct {
	Order int // position in the run, from 0
	Block int // from 0
	Cell  matrices.Cell
	Boot  Boot
}

// Plan is the order of a run: every boot-time configuration once, in it every block, in that every cell once in an
// order drawn from the seed. It follows from matrix, trials and seed alone.
type Plan struct {
	Cells []matrices.Cell // all, the excluded ones too, in the order of the matrix
	Steps []Step
	Boots []Boot
	Seed  uint64
	// Trials is the number of blocks.
	Trials int
}

// What a run costs beside measuring, as seen under emulation on two cores; measured runs print their own.
const (
	estimatedBoot     = 9 * time.Second
	estimatedOverhead = 1200 * time.Millisecond // attach, prepare, fio's start, collect
	estimatedFill     = 400 << 20               // bytes/s
)

// NewPlan draws the order of a run. The matrix was checked when it was read: at least one cell is measured.
func NewPlan(m *matrices.Matrix, trials int, seed uint64) Plan {
	cells := m.Cells()
	p := Plan{Cells: cells, Seed: seed, Trials: trials}
	common := Boot{}
	for _, c := range cells {
		if c.Excluded == "" {
			common.IOThreads = max(common.IOThreads, iothread(c))
			common.SCSI = common.SCSI || bus(c) == "scsi"
		}
	}
	bootOf := func(c matrices.Cell) Boot {
		b := common
		b.MemoryBytes, b.VCPUs = c.Guest.MemoryBytes, c.Guest.VCPUs
		return b
	}
	for _, c := range cells {
		if c.Excluded == "" && !slices.Contains(p.Boots, bootOf(c)) {
			p.Boots = append(p.Boots, bootOf(c))
		}
	}
	blocks := matrices.Blocks(cells, trials, seed)
	for _, boot := range p.Boots {
		for b, block := range blocks {
			for _, i := range block {
				if bootOf(cells[i]) == boot {
					p.Steps = append(p.Steps, Step{Order: len(p.Steps), Block: b, Cell: cells[i], Boot: boot})
				}
			}
		}
	}
	return p
}

// Estimate is how long the steps take, roughly; a workload that is bound by its size counts one minute.
func (p Plan) Estimate(steps []Step) time.Duration {
	if len(steps) == 0 {
		return 0
	}
	total := time.Duration(len(p.Boots)) * estimatedBoot
	total += time.Duration(float64(steps[0].Cell.Storage.SizeBytes) / estimatedFill * float64(time.Second))
	for _, s := range steps {
		total += stepEstimate(s)
	}
	return total
}

func stepEstimate(s Step) time.Duration {
	run := s.Cell.Runtime()
	if run == 0 {
		run = time.Minute
	}
	return run + s.Cell.Ramp() + estimatedOverhead
}

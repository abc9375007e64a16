package orchestrator

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"platter/cell"
	"platter/fault"
	"platter/matrices"
	"platter/orchestrator/crash"
	"platter/orchestrator/scratch"
)

// Boot is what can only be chosen when a guest starts.
type Boot struct {
	Hypervisor  string // that runs it: cell.HostHypervisor, or the name of a root tree
	Emulator    string // the path of the QEMU that runs it; empty for the hypervisor's own
	MemoryBytes int64
	VCPUs       int
	IOThreads   int  // iothreads that the domain has, for disk.iothread
	SCSI        bool // whether it has a virtio-scsi controller
}

// under is what a guest runs on. Guests that differ in nothing else are measured in turns.
type under struct{ hypervisor, emulator string }

func (b Boot) under() under { return under{b.Hypervisor, b.Emulator} }

// guest is the boot configuration but for what it runs on.
func (b Boot) guest() Boot {
	b.Hypervisor, b.Emulator = "", ""
	return b
}

// AxisKind says when the value of an axis takes effect and what another value costs, for people.
func AxisKind(axis string) string {
	switch {
	case cell.RunsGuest(axis):
		return fmt.Sprintf("at boot: a guest for each value, about %.0f s once, saved; block after block they take turns, %.0f s a switch",
			estimatedBoot.Seconds(), estimatedSwitch.Seconds())
	case axis == "guest.memory" || axis == "guest.vcpus":
		return fmt.Sprintf("at boot: another guest, about %.0f s for each value", estimatedBoot.Seconds())
	case axis == "guest.filesystem":
		return "another image, filled once, and mounted before each trial, 0.2 s"
	case strings.HasPrefix(axis, "variant."):
		return "as the settings that it names"
	case strings.HasPrefix(axis, "guest."):
		return "in the guest: set and read back before each trial, 0.2 s"
	case strings.HasPrefix(axis, "device."):
		return "another simulated disk, 0.1 s"
	case strings.HasPrefix(axis, "storage."):
		return "another image, filled once"
	case axis == "disk.bus":
		return "hot-plug: the disk is plugged in anew for each trial, 0.2 s; nvme: a guest is started anew, 9 s"
	case strings.HasPrefix(axis, "disk."):
		return "hot-plug: the disk is plugged in anew for each trial, 0.2 s"
	default:
		return "fio: another job"
	}
}

// Step is one trial to be made.
type Step struct {
	Order int // position in the run, from 0
	Block int // from 0
	Cell  cell.Cell
	Boot  Boot
	Shape scratch.Shape // of the cell's scratch image
}

// Plan is the order of a run: every kind of guest once, for it every block, in that every cell once in an order drawn from the seed. Where
// cells differ in the hypervisor those of one stand together in each block, and the order of the hypervisors is drawn anew for each.
// It follows from matrix, trials and seed alone.
type Plan struct {
	Cells []cell.Cell // all, the excluded ones too, in the order of the matrix
	Steps []Step
	Boots []Boot
	Seed  uint64
	// Trials is the number of blocks.
	Trials int
	// Campaigns are the crash campaigns, made after the steps; Safety is what they ask, nil without them.
	Campaigns []crash.Campaign
	Safety    *matrices.Safety

	common Boot // what all cells have in common
}

// SwitchTime is how long the switches of Switches take together, roughly.
func (p Plan) SwitchTime(todo Work) time.Duration {
	return time.Duration(p.Switches(todo)) * estimatedSwitch
}

// Work is what a run has to do: the plan's, or what is left of it.
type Work struct {
	Steps     []Step
	Campaigns []crash.Campaign
	Safety    *matrices.Safety
}

// Work is all of the plan.
func (p Plan) Work() Work { return Work{Steps: p.Steps, Campaigns: p.Campaigns, Safety: p.Safety} }

// planned is how long the work takes beside booting and filling images, roughly.
func (w Work) planned() time.Duration {
	var d time.Duration
	for _, s := range w.Steps {
		d += stepEstimate(s)
	}
	for _, c := range w.Campaigns {
		d += c.Estimate(*w.Safety)
	}
	return d
}

// Cuts is how many live cuts the campaigns make together.
func (p Plan) Cuts() int {
	n := 0
	for _, c := range p.Campaigns {
		n += c.AllLiveCuts(*p.Safety)
	}
	return n
}

// What a run costs beside measuring, as seen under emulation on two cores; measured runs print their own.
const (
	estimatedBoot     = 9 * time.Second
	estimatedSwitch   = 2 * time.Second         // ending a guest and restoring another
	estimatedOverhead = 1200 * time.Millisecond // attach, prepare, fio's start, collect
	estimatedFill     = 400 << 20               // bytes/s, by the host
	estimatedFormat   = 5 * time.Second         // mkfs and mounting in the guest
	estimatedWork     = 40 << 20                // bytes/s of a workload that is bound by its size
	estimatedLayout   = 150 << 20               // bytes/s, by the guest
)

// NewPlan draws the order of a run. The matrix was checked when it was read: at least one cell is measured.
func NewPlan(m *matrices.Matrix, trials int, seed uint64) Plan {
	return planOf(m.Cells(), m.Safety, trials, seed)
}

// On returns the plan where hypervisors have these versions of libvirt, by their names: cells that need a newer one are excluded, with the
// reason. It fails when no cell is left.
func (p Plan) On(libvirt map[string]string) (Plan, error) {
	cells := slices.Clone(p.Cells)
	first, left := "", false
	for i, c := range cells {
		if c.Excluded == "" {
			cells[i].Excluded = matrices.Unsupported(c, libvirt[c.Hypervisor()])
			first = cmp.Or(first, cells[i].Excluded)
		}
		left = left || cells[i].Excluded == ""
	}
	switch {
	case first == "":
		return p, nil
	case !left:
		return p, fault.New(fault.Usage, "no cell can be measured: %s: run it on a newer one, for example: platter hypervisor build "+
			"trixie-backports, then platter run --hypervisor trixie-backports", first)
	}
	return planOf(cells, p.Safety, p.Trials, p.Seed), nil
}

func planOf(cells []cell.Cell, safety *matrices.Safety, trials int, seed uint64) Plan {
	p := Plan{Cells: cells, Seed: seed, Trials: trials, Safety: safety}
	for _, c := range cells {
		if c.Excluded == "" {
			p.common.IOThreads = max(p.common.IOThreads, c.IOThread())
			p.common.SCSI = p.common.SCSI || c.Bus() == "scsi"
		}
	}
	for _, c := range cells {
		if c.Excluded == "" && !slices.Contains(p.Boots, p.bootOf(c)) {
			p.Boots = append(p.Boots, p.bootOf(c))
		}
	}
	if p.Safety != nil {
		for _, boot := range p.Boots { // those of one boot configuration together
			of := slices.DeleteFunc(slices.Clone(cells), func(c cell.Cell) bool { return p.bootOf(c) != boot })
			p.Campaigns = append(p.Campaigns, crash.Plan(of, *p.Safety)...)
		}
	}
	blocks := matrices.Blocks(cells, trials, seed)
	turns := p.turns()
	for _, guest := range p.guests() {
		for b, block := range blocks {
			for _, on := range turns[b] {
				for _, i := range block {
					if boot := p.bootOf(cells[i]); boot.guest() == guest && boot.under() == on {
						p.Steps = append(p.Steps, Step{Order: len(p.Steps), Block: b, Cell: cells[i], Boot: boot, Shape: scratch.ShapeOf(cells[i])})
					}
				}
			}
		}
	}
	return p
}

// guests are the kinds of guest that are measured one after the other, whatever they run on.
func (p Plan) guests() []Boot {
	var all []Boot
	for _, b := range p.Boots {
		if !slices.Contains(all, b.guest()) {
			all = append(all, b.guest())
		}
	}
	return all
}

// turns are the orders in which the hypervisors take turns, one for each block. It is no stream of random numbers that the order of the
// cells is drawn from: that one is the same with one hypervisor and with several.
func (p Plan) turns() [][]under {
	var all []under
	for _, b := range p.Boots {
		if !slices.Contains(all, b.under()) {
			all = append(all, b.under())
		}
	}
	random := rand.New(rand.NewPCG(p.Seed, 1))
	turns := make([][]under, p.Trials)
	for b := range turns {
		turns[b] = slices.Clone(all)
		random.Shuffle(len(all), func(i, k int) { turns[b][i], turns[b][k] = turns[b][k], turns[b][i] })
	}
	return turns
}

// Hypervisors are the names of those that run the guests, in the order of the matrix.
func (p Plan) Hypervisors() []string {
	var names []string
	for _, b := range p.Boots {
		if !slices.Contains(names, b.Hypervisor) {
			names = append(names, b.Hypervisor)
		}
	}
	return names
}

// Switches is how often the guest of one hypervisor makes room for that of another during the work.
func (p Plan) Switches(todo Work) int {
	var boots []Boot
	for _, s := range todo.Steps {
		boots = append(boots, s.Boot)
	}
	for _, c := range todo.Campaigns {
		boots = append(boots, p.bootOf(c.Cell))
	}
	n := 0
	for i := 1; i < len(boots); i++ {
		if boots[i].under() != boots[i-1].under() {
			n++
		}
	}
	return n
}

// bootOf returns the boot configuration of a guest that is right for the cell.
func (p Plan) bootOf(c cell.Cell) Boot {
	b := p.common
	b.Hypervisor, b.Emulator = c.Hypervisor(), c.Emulator()
	b.MemoryBytes, b.VCPUs = c.MemoryBytes(), c.VCPUs()
	return b
}

// simulated reports whether any trial runs on the simulated disk.
func (p Plan) simulated() bool {
	return slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Shape.Simulated != cell.Device{} })
}

// Shapes are the scratch images that the steps need, each once, in the order of their first use.
func (p Plan) Shapes() []scratch.Shape {
	var shapes []scratch.Shape
	for _, s := range p.Steps {
		if !slices.Contains(shapes, s.Shape) {
			shapes = append(shapes, s.Shape)
		}
	}
	return shapes
}

// Bytes is the space that the scratch images take together, with the passing copy that a conversion needs.
func (p Plan) Bytes() int64 {
	var sum, passing int64
	for _, s := range p.Shapes() {
		sum += s.SizeBytes
		if s.Format != "raw" {
			passing = max(passing, s.SizeBytes)
		}
	}
	return sum + passing
}

// Estimate is how long work of the plan takes, roughly.
func (p Plan) Estimate(todo Work) time.Duration {
	if len(todo.Steps)+len(todo.Campaigns) == 0 {
		return 0
	}
	total := time.Duration(len(p.Boots))*estimatedBoot + p.SwitchTime(todo)
	for _, shape := range p.Shapes() {
		total += time.Duration(float64(shape.SizeBytes) / estimatedFill * float64(time.Second))
		if shape.Filesystem != "none" {
			total += estimatedFormat + time.Duration(float64(shape.FileBytes)/estimatedLayout*float64(time.Second))
		}
	}
	if todo.Safety != nil {
		total += crash.EstimateControls(todo.Campaigns, *todo.Safety)
	}
	return total + todo.planned()
}

func stepEstimate(s Step) time.Duration {
	run := s.Cell.Runtime()
	if run == 0 {
		run = time.Duration(float64(s.Cell.WorkingSet()) / estimatedWork * float64(time.Second))
	}
	if s.Cell.Bus() == "nvme" {
		run += estimatedBoot
	}
	return run + s.Cell.Ramp() + estimatedOverhead
}

package crash

import (
	"fmt"
	"time"

	"platter/cell"
	"platter/matrices"
)

// Campaign is the crash campaign of one cell.
type Campaign struct {
	Cell     cell.Cell
	LiveCuts int // of each class behind one drive cache
}

// What a campaign and a live cut cost beside the probe's own time, as seen under emulation on two cores.
const (
	estimatedCampaign = 2500 * time.Millisecond
	estimatedCut      = 5 * time.Second
	estimatedChecks   = 4 * time.Second // of the file system, on survivors
	estimatedMount    = 2 * time.Second // a survivor that a guest mounts and reads
)

// Plan returns the campaigns of the cells, in their order. Live cuts are made on one cell of each group with equal disk settings and file
// system: the first that promises something, else the first; and on each whose verdict rests on them.
func Plan(cells []cell.Cell, s matrices.Safety) []Campaign {
	var all []Campaign
	chosen := map[string]int{} // group → position in all
	group := func(c cell.Cell) string {
		return fmt.Sprint(c.Settings.Of("disk"), c.Filesystem(), c.MemoryBytes(), c.VCPUs(), c.Format())
	}
	for _, c := range cells {
		if c.Excluded != "" || c.Unprobed != "" {
			continue
		}
		all = append(all, Campaign{Cell: c})
		at, known := chosen[group(c)]
		if !known || !all[at].Cell.Promises() && c.Promises() {
			chosen[group(c)] = len(all) - 1
		}
	}
	for i, c := range all {
		if chosen[group(c.Cell)] == i || restsOnLiveCuts(c.Cell) {
			all[i].LiveCuts = s.Live
		}
	}
	return all
}

// restsOnLiveCuts reports whether the cell can be called safe after live cuts of its own alone: no tool of the host's reads an xfs without
// mounting it, so that only the guest that mounts its survivor looks at it.
func restsOnLiveCuts(c cell.Cell) bool { return c.Filesystem() == "xfs" && c.Promises() }

// AllLiveCuts returns how many live cuts the campaign makes in all: of each class behind the first drive cache, or behind each where the
// verdict rests on them.
func (c Campaign) AllLiveCuts(s matrices.Safety) int {
	n := c.LiveCuts * len(s.Classes)
	if restsOnLiveCuts(c.Cell) {
		n *= len(s.DriveCaches)
	}
	return n
}

// Estimate returns roughly how long the campaign takes with its live cuts.
func (c Campaign) Estimate(s matrices.Safety) time.Duration {
	d := time.Duration(s.Seconds*float64(time.Second)) + estimatedCampaign
	switch fs := c.Cell.Filesystem(); {
	case cell.Relocates(fs):
		qs := Questions(s)
		for i := range qs {
			if sameLayers(qs, i)[0] == i {
				d += time.Duration(s.PointsOf(c.Cell)) * estimatedMount
			}
		}
	case fs != cell.RawDevice:
		d += estimatedChecks
	}
	return d + time.Duration(c.AllLiveCuts(s))*estimatedCut
}

// Questions returns the classes and drive caches that are asked about, of no cell in particular.
func Questions(s matrices.Safety) []cell.Question {
	var qs []cell.Question
	for _, class := range s.Classes {
		for _, drive := range s.DriveCaches {
			qs = append(qs, cell.Question{Class: class, DriveCache: drive})
		}
	}
	return qs
}

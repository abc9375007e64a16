package crash

import (
	"context"
	"slices"
	"strings"
	"time"

	"platter/cell"
	"platter/matrices"
	"platter/results"
)

// controlKey is the hypervisor and the kind of guest and disk on which controls are worth something for a campaign: a disk that writes
// back at once may lose nothing of a control, and a slow one promise nothing in its time. Block size and jobs are not in it: a control
// that loses shows that guest, disk and judge let a loss through, whatever its layout.
type controlKey struct {
	hypervisor  string
	emulator    string
	memoryBytes int64
	vcpus       int
	filesystem  string
	format      string
	device      cell.Device
}

// controlTime is how long a control's probe runs.
const controlTime = 1500 * time.Millisecond

// mountedControlPoints is at how many crash points a control's survivors are looked into that a guest must mount, which takes seconds
// each: a loss at one of them is all that is asked of a control, and the last point of the log is among them.
const mountedControlPoints = 4

// control is a configuration that must lose.
type control struct {
	name    string
	classes []string
	cache   string
	barrier string
	lies    bool // the probe writes buffered and promises without a sync
}

// controlsFor returns the controls of a kind of guest for the classes asked for (docs/SAFETY.md).
func controlsFor(filesystem string, classes []string) []control {
	all := []control{
		{name: "unsafe", classes: []string{cell.HostCrash, cell.PowerLoss}, cache: "unsafe", barrier: "on"},
		{name: "a probe that lies", classes: []string{cell.GuestCrash, cell.QEMUKill}, cache: "none", barrier: "on", lies: true},
	}
	if cell.TakesBarrierOff(filesystem) {
		all = append(all, control{name: "none without barriers", classes: []string{cell.PowerLoss}, cache: "none", barrier: "off"})
	}
	var asked []control
	for _, c := range all {
		c.classes = slices.DeleteFunc(slices.Clone(c.classes), func(class string) bool { return !slices.Contains(classes, class) })
		if len(c.classes) > 0 {
			asked = append(asked, c)
		}
	}
	return asked
}

func keyOf(c cell.Cell) controlKey {
	return controlKey{hypervisor: c.Hypervisor(), emulator: c.Emulator(), memoryBytes: c.MemoryBytes(), vcpus: c.VCPUs(),
		filesystem: c.Filesystem(), format: c.Format(), device: c.Device()}
}

// EstimateControls returns roughly how long the controls of campaigns take together.
func EstimateControls(all []Campaign, s matrices.Safety) time.Duration {
	var d time.Duration
	kinds := map[controlKey]bool{}
	for _, c := range all {
		if !kinds[keyOf(c.Cell)] {
			kinds[keyOf(c.Cell)] = true
			d += time.Duration(len(controlsFor(c.Cell.Filesystem(), s.Classes))) * (controlTime + estimatedCampaign)
		}
	}
	return d
}

// needControls makes the controls for a campaign's kind of guest and disk unless they were made before.
func (x *Campaigns) needControls(ctx context.Context, c Campaign) error {
	if _, made := x.controls[keyOf(c.Cell)]; made {
		return nil
	}
	var all []results.Control
	for _, k := range controlsFor(c.Cell.Filesystem(), x.Safety.Classes) {
		made, err := x.control(ctx, c.Cell, k)
		if err != nil {
			return err
		}
		all = append(all, made...)
	}
	if x.controls == nil {
		x.controls = map[controlKey][]results.Control{}
	}
	x.controls[keyOf(c.Cell)] = all
	return nil
}

// control makes one, at fdatasync=1 on a volatile drive cache with the file system and format of a campaign's cell.
func (x *Campaigns) control(ctx context.Context, of cell.Cell, k control) ([]results.Control, error) {
	losing := controlCell(of, k)
	x.Rig.Tell("control: " + k.name)
	p, err := newProbe(losing, x.Safety, x.Seed, x.Storage)
	if err != nil {
		return nil, err
	}
	p.job.Runtime = controlTime
	if k.lies {
		p.job.Lie, p.job.Direct, p.job.Fdatasync = true, false, 0
	}
	rec, err := x.record(ctx, losing, p, cell.Volatile, nil)
	if err != nil {
		return nil, err
	}
	defer rec.discard()
	var qs []cell.Question
	for _, class := range k.classes {
		qs = append(qs, cell.Question{Class: class, DriveCache: cell.Volatile})
	}
	points := x.Safety.PointsOf(losing)
	if cell.Relocates(losing.Filesystem()) {
		points = min(points, mountedControlPoints)
	}
	judged, err := x.judge(ctx, losing, rec, qs, points)
	if err != nil {
		return nil, err
	}
	var all []results.Control
	for _, r := range judged {
		all = append(all, results.Control{Name: k.name, Class: r.Class, Promises: r.Promises, PromisesLost: r.PromisesLost,
			Lost: r.PromisesLost > 0 || r.Promises > 0 && r.Filesystem != ""})
	}
	return all, nil
}

// controlCell returns the cell with a control's disk and syncs, on the same hypervisor.
func controlCell(c cell.Cell, k control) cell.Cell {
	c.ID = "control " + k.name
	kept := slices.DeleteFunc(slices.Clone(c.Settings), func(s cell.Setting) bool {
		return strings.HasPrefix(s.Name, "disk.") && !cell.RunsGuest(s.Name) ||
			slices.Contains([]string{"fio.fsync", "fio.fdatasync", "fio.sync", "fio.direct", "fio.iodepth", "fio.rw"}, s.Name)
	})
	text := func(v string) cell.Value { return cell.Value{V: v} }
	one := cell.Value{V: int64(1)}
	c.Settings = kept.With("disk.cache", text(k.cache)).
		With("guest.barrier", text(k.barrier)).With("guest.write_cache", text(cell.AsDevice)).With("guest.cache_type", text(cell.AsDevice)).
		With("fio.fdatasync", one).With("fio.direct", one).With("fio.rw", text("randwrite"))
	return c
}

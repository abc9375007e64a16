package orchestrator

import (
	"context"
	"slices"
	"strings"
	"time"

	"platter/cell"
	"platter/fault"
	"platter/results"
)

// controlKey is the kind of guest and disk on which controls are worth something for a campaign: a disk that writes back at once may lose
// nothing of a control, and a slow one promise nothing in its time. Block size and jobs are not in it: a control that loses shows that
// guest, disk and judge let a loss through, whatever its layout.
type controlKey struct {
	boot       Boot
	filesystem string
	format     string
	device     cell.Device
}

// controlTime is how long a control's probe runs.
const controlTime = 1500 * time.Millisecond

// control is a configuration that must lose.
type control struct {
	name    string
	classes []string
	cache   string
	barrier string
	lies    bool // the probe writes buffered and promises without a sync
}

// controlsFor are the controls of a kind of guest for the classes asked for (docs/SAFETY.md).
func controlsFor(filesystem string, classes []string) []control {
	all := []control{
		{name: "unsafe", classes: []string{cell.HostCrash, cell.PowerLoss}, cache: "unsafe", barrier: "on"},
		{name: "a probe that lies", classes: []string{cell.GuestCrash, cell.QEMUKill}, cache: "none", barrier: "on", lies: true},
	}
	if filesystem == "ext4" {
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

func keyOf(c Campaign) controlKey {
	return controlKey{boot: c.Boot, filesystem: c.Cell.Filesystem(), format: c.Cell.Format(), device: c.Cell.Device()}
}

// controlsOf are the controls that were made for a campaign's class.
func (x *crashes) controlsOf(c Campaign, class string) []results.Control {
	var of []results.Control
	for _, made := range x.controls[keyOf(c)] {
		if made.Class == class {
			of = append(of, made)
		}
	}
	return of
}

// needControls makes the controls for a campaign's kind of guest unless they were made before.
func (x *crashes) needControls(ctx context.Context, c Campaign) error {
	if _, made := x.controls[keyOf(c)]; made {
		return nil
	}
	var all []results.Control
	for _, k := range controlsFor(c.Cell.Filesystem(), x.safety.Classes) {
		made, err := x.control(ctx, c, k)
		if err != nil {
			return err
		}
		all = append(all, made...)
	}
	x.controls[keyOf(c)] = all
	return nil
}

// control makes one, at fdatasync=1 on a volatile drive cache with the campaign's file system and format.
func (x *crashes) control(ctx context.Context, c Campaign, k control) ([]results.Control, error) {
	losing := controlCell(c.Cell, k)
	x.run.Tell(Event{Message: "control: " + k.name})
	job, err := probeJob(losing, x.safety, x.seed)
	if err != nil {
		return nil, fault.New(fault.Usage, "%v", err)
	}
	job.Runtime = controlTime
	if k.lies {
		job.Lie, job.Direct, job.Fdatasync = true, false, 0
	}
	rec, err := x.record(ctx, Campaign{Cell: losing, Boot: c.Boot}, job, cell.Volatile, nil)
	if err != nil {
		return nil, err
	}
	defer rec.discard()
	var qs []cell.Question
	for _, class := range k.classes {
		qs = append(qs, cell.Question{Class: class, DriveCache: cell.Volatile})
	}
	judged, err := x.judgeQuestions(ctx, losing, rec, qs)
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

// controlCell is the cell with a control's disk and syncs.
func controlCell(c cell.Cell, k control) cell.Cell {
	c.ID = "control " + k.name
	kept := slices.DeleteFunc(slices.Clone(c.Settings), func(s cell.Setting) bool {
		return strings.HasPrefix(s.Name, "disk.") ||
			slices.Contains([]string{"fio.fsync", "fio.fdatasync", "fio.sync", "fio.direct", "fio.iodepth", "fio.rw"}, s.Name)
	})
	text := func(v string) cell.Value { return cell.Value{V: v} }
	one := cell.Value{V: int64(1)}
	c.Settings = kept.With("disk.cache", text(k.cache)).
		With("guest.barrier", text(k.barrier)).With("guest.write_cache", text(cell.AsDevice)).With("guest.cache_type", text(cell.AsDevice)).
		With("fio.fdatasync", one).With("fio.direct", one).With("fio.rw", text("randwrite"))
	return c
}

// Package crash makes crash campaigns. A witness, the probe, writes on a disk that can lose power and promises what it has synced. The
// disk's log is judged at its crash points for all failure classes and drive caches asked about, and as often as is asked for the machine
// is ended for real. What was promised and is gone from what survives is lost.
//
// A campaign goes like this. Controls, which are configurations that must lose, are made once for each kind of guest and disk
// (controls.go). The witness works on the disk, and the log is kept (recording.go). The log is judged (judge.go), by survivors that are
// made of it and checked where that takes more than one pass over the log (survivor.go, checkers.go). Live cuts end the machine the way
// of the class; their survivor must be the replay's, byte by byte (livecut.go). The rules that make a verdict of all this stand in
// verdict.go, and are those of docs/SAFETY.md.
package crash

import (
	"context"
	"errors"
	"os"
	"time"

	"platter/cell"
	"platter/fault"
	"platter/flushpath"
	"platter/libvirtxml"
	"platter/matrices"
	"platter/orchestrator/guest"
	"platter/orchestrator/scratch"
	"platter/powercut/witness"
	"platter/results"
)

// Campaigns makes the crash campaigns of a run, one after the other.
type Campaigns struct {
	Rig     Rig
	Disk    *scratch.Simulator
	Safety  matrices.Safety // what is asked
	Seed    uint64
	Storage string // a directory for images and logs
	// Facts returns what is known of the hypervisor that runs a cell; what the guest says of the cell's disk comes to it with each campaign.
	// Nil is a hypervisor of which nothing is known.
	Facts func(c cell.Cell) flushpath.Facts
	// Mutants are cells whose campaigns are made, with their live cuts, on a simulated disk that misbehaves: powercut's mutant by the cell's
	// id.
	Mutants map[string]string

	bases    map[base]*baseImage
	controls map[controlKey][]results.Control
	images   int // made so far, for their names
}

// Rig is what campaigns ask the run for.
type Rig interface {
	// Machine returns a running machine that is right for the cell, a new one where there is none or where the simulated disk has died. The
	// disk is alive then.
	Machine(ctx context.Context, c cell.Cell) (Machine, error)
	// CloseMachine ends the machine at hand, if there is one, also after ctx has ended.
	CloseMachine(ctx context.Context) error
	// Console returns the last lines of its console; none without a machine.
	Console() []string
	// SafetyDir makes and returns the directory for the raw files of a cell's campaign.
	SafetyDir(cell string) (string, error)
	// Tell passes on what is going on now, for progress.
	Tell(message string)
}

// Disks are those of a guest. A configuration that libvirt or QEMU refuses is an error with fault.Refused and leaves the machine as it was;
// after any other error the machine is good for being closed only.
type Disks interface {
	// Attach plugs a disk in. The others stay.
	Attach(ctx context.Context, disk libvirtxml.ScratchDisk) error
	// Detach unmounts and unplugs all disks that were attached and returns when they are gone; without one it does nothing.
	Detach(ctx context.Context) error
	// Format makes a file system on the attached scratch disk and lays out its data file, if it is to have one.
	Format(ctx context.Context, filesystem string, fileBytes int64) error
	// Prepare waits for the scratch disk inside the guest, sets it up, syncs and drops what the guest's page cache has of it.
	Prepare(ctx context.Context, s guest.Setup) (guest.Disk, error)
	// Read reads QEMU's side of the scratch disk.
	Read(ctx context.Context) (scratch.Reading, error)
}

// Prober runs the probe in a guest.
type Prober interface {
	// Prefill stamps the probe's working set and returns where it stands on the disk; nothing for a raw device.
	Prefill(ctx context.Context, job guest.ProbeJob) ([]guest.Extent, error)
	// Probe runs the probe, with the attached witness disk, until its time is over or the machine is gone.
	Probe(ctx context.Context, job guest.ProbeJob) (guest.ProbeRun, error)
	// Check reads the probe's files back on a mounted survivor.
	Check(ctx context.Context, target string, layout witness.Layout, promised, acknowledged []uint32) (guest.ProbeLoss, error)
}

// Machine is a guest that campaigns are made on.
type Machine interface {
	Disks
	Prober
	// Crash ends the machine: by SIGKILL of QEMU, or for guest_crash by stopping it and letting QEMU write what it has. After it the machine
	// is good for being closed only.
	Crash(ctx context.Context, class string) error
}

// Close removes the images that campaigns began from.
func (x *Campaigns) Close() {
	for _, b := range x.bases {
		os.Remove(b.path)
	}
}

// Do makes one campaign with its live cuts and returns its records, one for each class and drive cache. A campaign that fails has failed
// records and is no error.
func (x *Campaigns) Do(ctx context.Context, c Campaign) []results.Safety {
	records, err := x.try(ctx, c)
	if err == nil && x.Disk.Died() {
		err = rigError("judge the campaign", errors.New("what was read at its end may have been read from a dead disk"))
	}
	if err == nil || ctx.Err() != nil {
		return records
	}
	failure := &results.Failure{Fault: string(Whose(err)), Message: err.Error()}
	if x.Disk.Died() {
		failure.Fault = string(fault.Rig)
		failure.Message = "the server of the simulated disk died: " + failure.Message
	}
	failure.Console = x.Rig.Console()
	// Machine and simulated disk are started anew for the next one: a log may still be on, or a cut unfinished.
	if cerr := errors.Join(x.Rig.CloseMachine(ctx), x.Disk.Close(ctx)); cerr != nil {
		failure.Message += "; and " + cerr.Error()
	}
	records = nil
	for _, q := range Questions(x.Safety) {
		records = append(records, results.Safety{Cell: c.Cell.ID, Class: q.Class, DriveCache: q.DriveCache, Method: x.method(c.Cell),
			Status: results.Failed, Failure: failure, Started: time.Now()})
	}
	return records
}

// Whose returns whose fault a failed campaign or trial is. An error that names nobody's is the guest's. What was asked for was checked
// before the first one: it is the rig that cannot do it.
func Whose(err error) fault.Fault {
	switch f := fault.Of(err); f {
	case "":
		return fault.Guest
	case fault.Usage, fault.Refused:
		return fault.Rig
	default:
		return f
	}
}

func rigError(op string, err error) error { return fault.New(fault.Rig, "%s: %v", op, err) }

// try makes one campaign.
func (x *Campaigns) try(ctx context.Context, c Campaign) ([]results.Safety, error) {
	started := time.Now()
	if err := x.needControls(ctx, c); err != nil {
		return nil, err
	}
	w, err := newProbe(c.Cell, x.Safety, x.Seed, x.Storage) // the one witness there is
	if err != nil {
		return nil, err
	}
	rec, err := x.record(ctx, c.Cell, w, cell.Volatile, nil)
	if err != nil {
		return nil, err
	}
	defer rec.discard()
	x.Rig.Tell("judging " + c.Cell.ID)
	records, err := x.judge(ctx, c.Cell, rec, Questions(x.Safety), x.Safety.PointsOf(c.Cell))
	if err != nil {
		return nil, err
	}
	if err := x.keep(c.Cell.ID, rec); err != nil {
		return nil, err
	}
	// Images of campaigns are allocated in full, so that qcow2 has no metadata to lose when blocks are overwritten.
	var facts flushpath.Facts
	if x.Facts != nil {
		facts = x.Facts(c.Cell)
	}
	facts.FUA = rec.fua
	model := flushpath.Of(c.Cell, facts)
	model.Grows = x.Safety.Pattern != witness.Overwrite
	model.Allocated = !model.Grows && !cell.Relocates(c.Cell.Filesystem())
	if rec.work.IODepth > 0 {
		model.Writers = c.Cell.Jobs() * rec.work.IODepth
	}
	for i := range records {
		r := &records[i]
		r.Cell, r.Method, r.Status = c.Cell.ID, x.method(c.Cell), results.OK
		r.Started = started
		r.FlushPath, r.Effective, r.IODepth, r.FUA = rec.path, &rec.flags, rec.work.IODepth, rec.fua
		for _, made := range x.controls[keyOf(c.Cell)] {
			if made.Class == r.Class {
				r.Controls = append(r.Controls, made)
			}
		}
		p := flushpath.Predict(model, r.Class, r.DriveCache)
		r.Predicted, r.PredictedExposed, r.PredictedNewest = p.Verdict, p.Exposed, p.Newest
	}
	if err := x.liveCuts(ctx, c, w, records); err != nil {
		return nil, err
	}
	for i := range records {
		records[i].Verdict, records[i].Reason = verdict(records[i])
	}
	return records, nil
}

// sampled reports whether the cell's crash points are judged one by one, on survivors that are made.
func (x *Campaigns) sampled(c cell.Cell) bool {
	return c.Format() != "raw" || x.Safety.Pattern != witness.Overwrite || cell.Relocates(c.Filesystem())
}

// method returns what the cell's verdict rests on.
func (x *Campaigns) method(c cell.Cell) string {
	switch {
	case restsOnLiveCuts(c):
		return results.Live
	case x.sampled(c):
		return results.Sampled
	default:
		return results.EveryOp
	}
}

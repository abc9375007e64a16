package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"platter/cell"
	"platter/fault"
	"platter/flushpath"
	"platter/libvirtxml"
	"platter/matrices"
	"platter/orchestrator/guest"
	"platter/powercut"
	"platter/powercut/replay"
	"platter/powercut/witness"
	"platter/results"
)

// Campaign is the crash campaign of one cell: the probe is run on a disk that can lose power, every crash point of its log is
// judged for all failure classes and drive caches, and the power is cut for real as often as the cell's group asks for.
type Campaign struct {
	Cell cell.Cell
	Boot Boot
	Cuts int // live cuts of each class
}

// What a campaign and a live cut cost beside the probe's own time, as seen under emulation on two cores.
const (
	estimatedCampaign = 2500 * time.Millisecond
	estimatedCut      = 5 * time.Second
	estimatedChecks   = 4 * time.Second // of the file system, on survivors
)

// campaigns are those of a plan with a safety section, in the order of its cells, those of one boot configuration together. Live
// cuts are made
// on one cell of each group with equal disk settings and file system: the first that promises something, else the first; and on each
// whose verdict rests on them.
func (p Plan) campaigns(bootOf func(cell.Cell) Boot) []Campaign {
	if p.Safety == nil {
		return nil
	}
	var all []Campaign
	chosen := map[string]int{} // group → position in all
	for _, boot := range p.Boots {
		for _, c := range p.Cells {
			if c.Excluded != "" || c.Unprobed != "" || bootOf(c) != boot {
				continue
			}
			all = append(all, Campaign{Cell: c, Boot: boot})
			at, known := chosen[cutGroup(c)]
			if !known || !all[at].Cell.Promises() && c.Promises() {
				chosen[cutGroup(c)] = len(all) - 1
			}
		}
	}
	for i, c := range all {
		if chosen[cutGroup(c.Cell)] == i || restsOnCuts(c.Cell) {
			all[i].Cuts = p.Safety.Live
		}
	}
	return all
}

// restsOnCuts reports whether the cell can be called safe after live cuts of its own alone: no tool of the host's reads an xfs
// without mounting it, so that only the guest that mounts its survivor looks at it.
func restsOnCuts(c cell.Cell) bool { return c.Filesystem() == "xfs" && c.Promises() }

// liveCuts is how many a campaign makes in all: of each class behind the first drive cache, or behind each where the verdict rests on them.
func (c Campaign) liveCuts(s matrices.Safety) int {
	n := c.Cuts * len(s.Classes)
	if restsOnCuts(c.Cell) {
		n *= len(s.DriveCaches)
	}
	return n
}

func cutGroup(c cell.Cell) string {
	return fmt.Sprint(c.Settings.Of("disk"), c.Filesystem(), c.MemoryBytes(), c.VCPUs(), c.Format())
}

const (
	witnessSerial = "platter-witness"
	witnessTarget = "vdy" // out of the way of the scratch disk's
	probeSlack    = 30 * time.Second
)

// crashes makes the campaigns of a run.
type crashes struct {
	run      *Run
	disk     *powercut.Process
	launch   func(context.Context) (*powercut.Process, error)
	safety   matrices.Safety
	seed     uint64
	bases    map[base]*baseImage
	controls map[controlKey][]results.Control
	images   int               // made so far, for their names
	mount    string            // of the simulated disk
	mutants  map[string]string // how the simulated disk misbehaves under a cell (Settings)
}

// recording is a log of a probe's run with what is needed to judge it.
type recording struct {
	campaign replay.Campaign
	log      string // path of the log
	base     *baseImage
	probe    guest.ProbeRun
	path     results.FlushPath
	flags    results.CacheFlags
	names    [2]string // of data and witness on the simulated disk
}

// do makes one campaign with its live cuts and gives its records, one for each class and drive cache. A campaign that fails
// gives failed records and no error.
func (x *crashes) do(ctx context.Context, c Campaign) []results.Safety {
	records, err := x.try(ctx, c)
	if err == nil && x.died() {
		err = rigError("judge the campaign", errors.New("what was read at its end may have been read from a dead disk"))
	}
	if err == nil || ctx.Err() != nil {
		return records
	}
	failure := &results.Failure{Fault: string(faultOf(err)), Message: err.Error()}
	if x.died() {
		failure.Fault, failure.Message = string(fault.Rig), "the server of the simulated disk died: "+failure.Message
	}
	if x.run.machine != nil {
		failure.Console = x.run.machine.Console()
	}
	// Machine and simulated disk are started anew for the next one: a log may still be on, or a cut unfinished.
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
	defer cancel()
	if cerr := errors.Join(x.run.closeMachine(ctx), x.disk.Close(closing)); cerr != nil {
		failure.Message += "; and " + cerr.Error()
	}
	records = nil
	for _, q := range x.questions() {
		records = append(records, results.Safety{Cell: c.Cell.ID, Class: q.Class, DriveCache: q.DriveCache, Method: x.method(c.Cell),
			Status: results.Failed, Failure: failure, Started: time.Now()})
	}
	return records
}

func (x *crashes) questions() []cell.Question { return questions(x.safety) }

// questions are the classes and drive caches that are asked about.
func questions(s matrices.Safety) []cell.Question {
	var qs []cell.Question
	for _, class := range s.Classes {
		for _, drive := range s.DriveCaches {
			qs = append(qs, cell.Question{Class: class, DriveCache: drive})
		}
	}
	return qs
}

// sampled reports whether the cell's crash points are judged one by one, on survivors that are made.
func (x *crashes) sampled(c cell.Cell) bool {
	return c.Format() != "raw" || x.safety.Pattern != witness.Overwrite
}

// method is what the cell's verdict rests on.
func (x *crashes) method(c cell.Cell) string {
	switch {
	case restsOnCuts(c):
		return results.Live
	case x.sampled(c):
		return results.Sampled
	default:
		return results.EveryOp
	}
}

func (x *crashes) try(ctx context.Context, c Campaign) ([]results.Safety, error) {
	started := time.Now()
	if err := x.needControls(ctx, c); err != nil {
		return nil, err
	}
	job, err := probeJob(c.Cell, x.safety, x.seed)
	if err != nil {
		return nil, fault.New(fault.Usage, "%v", err)
	}
	rec, err := x.record(ctx, c, job, cell.Volatile, nil)
	if err != nil {
		return nil, err
	}
	defer rec.discard()
	records, err := x.judge(ctx, c, rec)
	if err != nil {
		return nil, err
	}
	if err := x.keep(c.Cell.ID, rec); err != nil {
		return nil, err
	}
	for i := range records {
		r := &records[i]
		r.Started, r.Status = started, results.OK
		r.Cell, r.Method = c.Cell.ID, x.method(c.Cell)
		r.FlushPath, r.Effective = rec.path, &rec.flags
		if rec.probe.IODepth != job.IODepth {
			r.IODepth = rec.probe.IODepth
		}
		r.Controls = x.controlsOf(c, r.Class)
		p := flushpath.Predict(x.model(c.Cell), r.Class, r.DriveCache)
		r.Predicted, r.PredictedExposed = p.Verdict, p.Exposed
	}
	if err := x.cuts(ctx, c, job, records); err != nil {
		return nil, err
	}
	for i := range records {
		records[i].Verdict, records[i].Reason = verdict(records[i])
	}
	return records, nil
}

// record runs the probe on a new disk that can lose power, behind a drive cache, and keeps the log: one that is made behind a volatile
// cache serves all kinds. With end, which is called while the probe runs and
// ends the machine, the log ends there, and the images stay for it to look at.
func (x *crashes) record(ctx context.Context, c Campaign, job guest.ProbeJob, drive string,
	end func(context.Context, *recording, Subject) error) (*recording, error) {
	if err := x.run.needMachine(ctx, c.Boot); err != nil {
		return nil, err
	}
	base, err := x.base(ctx, c, job.Layout)
	if err != nil {
		return nil, err
	}
	m, err := x.run.subject()
	if err != nil {
		return nil, err
	}
	rec := &recording{base: base, campaign: replay.Campaign{
		Layout: job.Layout, Data: 0, Witness: 1, Extents: base.extents, Filesystem: c.Cell.Filesystem(), Format: c.Cell.Format(),
		SizeBytes: base.size, SectorBytes: int64(c.Cell.Device().Sector), Classes: x.safety.Classes, DriveCaches: x.safety.DriveCaches,
	}}
	if err := m.Detach(ctx); err != nil {
		return nil, err
	}
	path, watch, err := x.makeImages(ctx, c.Cell, drive, rec)
	if err != nil {
		rec.discard()
		return nil, err
	}
	err = x.probe(ctx, c, job, rec, m, path, watch, end)
	if err == nil && end == nil {
		err = m.Detach(ctx)
	}
	if err != nil || end == nil {
		err = errors.Join(err, x.remove(ctx, rec.names[:]...))
	}
	if err != nil {
		rec.discard()
		return nil, err
	}
	return rec, nil
}

func rigError(op string, err error) error {
	return fault.New(fault.Rig, "%s: %v", op, err)
}

// probe plugs the disks in and runs the probe on them.
func (x *crashes) probe(ctx context.Context, c Campaign, job guest.ProbeJob, rec *recording, m Subject, path, watch string,
	end func(context.Context, *recording, Subject) error) error {
	ctx, cancel := context.WithTimeout(ctx, attachLimit+prepareLimit+job.Runtime+probeSlack)
	defer cancel()
	if err := m.Attach(ctx, scratchDisk(c.Cell, path)); err != nil {
		return fmt.Errorf("attach simulated disk of cell %s: %w", c.Cell.ID, err)
	}
	if err := m.AttachWitness(ctx, witnessDisk(watch)); err != nil {
		return fmt.Errorf("attach witness disk: %w", err)
	}
	disk, err := m.Prepare(ctx, setupOf(c.Cell, rec.base.fileBytes))
	if err != nil {
		return err
	}
	before, err := m.Read(ctx)
	if err != nil {
		return err
	}
	if want := expected(c.Cell); before.Flags != want {
		return fault.New(fault.Rig, "cell %s: QEMU's cache flags are %+v, its settings mean %+v", c.Cell.ID, before.Flags, want)
	}
	rec.flags = before.Flags
	atImage, err := x.flushes(ctx, rec.names[0])
	if err != nil {
		return err
	}
	job.Target = disk.Target
	if end != nil {
		return x.probeUntil(ctx, job, rec, m, end)
	}
	if rec.probe, err = m.Probe(ctx, job); err != nil {
		return err
	}
	if rec.probe.Error != "" {
		return fault.New(fault.Guest, "cell %s: the probe failed: %s", c.Cell.ID, rec.probe.Error)
	}
	after, err := m.Read(ctx)
	if err != nil {
		return err
	}
	now, err := x.flushes(ctx, rec.names[0])
	if err != nil {
		return err
	}
	if _, err := x.disk.StopLog(ctx); err != nil {
		return rigError("end the log", err)
	}
	rec.path = campaignPath(job, rec.probe, difference(after.Counters, before.Counters).FlushOps, now-atImage)
	return nil
}

// probeUntil runs the probe until end has ended the machine.
func (x *crashes) probeUntil(ctx context.Context, job guest.ProbeJob, rec *recording, m Subject,
	end func(context.Context, *recording, Subject) error) error {
	job.Runtime = time.Minute // it does not live to see it
	return meanwhile(ctx, func(ctx context.Context) error { return ended(m.Probe(ctx, job)) }, func(done <-chan struct{}) error {
		if err := x.probing(ctx, rec, done); err != nil {
			return err
		}
		return end(ctx, rec, m)
	})
}

// meanwhile runs do, and beside it background, whose end done tells. It returns when both are over: background, which uses the machine,
// is cut off with its context after do, and its error counts where it ended by itself before.
func meanwhile(ctx context.Context, background func(context.Context) error, do func(done <-chan struct{}) error) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan struct{})
	var early error
	go func() {
		defer close(done)
		early = background(running)
	}()
	err := do(done)
	if errors.Is(err, errEnded) {
		<-done
		return early
	}
	stop()
	<-done
	return err
}

// errEnded is what do gives meanwhile when done told it to give up.
var errEnded = errors.New("ended")

// ended is the error of a probe that ended by itself where it was to be cut off.
func ended(run guest.ProbeRun, err error) error {
	switch {
	case err != nil:
		return fmt.Errorf("the probe ended before the cut: %w", err)
	case run.Error != "":
		return fault.New(fault.Guest, "%s", "the probe failed before the cut: "+run.Error)
	default:
		return fault.New(fault.Guest, "the probe ended before the cut without a word to its witness")
	}
}

// probing waits until the witness has heard of the probe; errEnded says that the probe has ended before.
func (x *crashes) probing(ctx context.Context, rec *recording, done <-chan struct{}) error {
	for {
		s, err := x.disk.Status(ctx)
		if err != nil {
			return rigError("watch the probe", err)
		}
		if i := slices.IndexFunc(s.Images, func(i powercut.ImageStatus) bool { return i.Name == rec.names[1] }); i >= 0 &&
			s.Images[i].Counters.Writes > 0 {
			return nil
		}
		select {
		case <-done:
			return errEnded
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// campaignPath is the measured flush path of a campaign: the probe's syncs, QEMU's flush operations, flushes at the image.
func campaignPath(job guest.ProbeJob, run guest.ProbeRun, qemu, image int64) results.FlushPath {
	var syncs, writes int64
	for _, j := range run.Jobs {
		syncs += j.Syncs
		writes += j.Writes
	}
	p := results.FlushPath{Fio: &syncs, QEMU: &qemu, Image: &image}
	if job.Sync != "none" {
		p.FioDsyncWrites = &writes
	}
	return p
}

func witnessDisk(path string) libvirtxml.ScratchDisk {
	return libvirtxml.ScratchDisk{File: path, Format: "raw", Bus: "virtio", Target: witnessTarget, Serial: witnessSerial,
		Driver: []libvirtxml.Attr{{Name: "cache", Value: "none"}}}
}

package crash

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"platter/cell"
	"platter/fault"
	"platter/orchestrator/scratch"
	"platter/powercut"
	"platter/powercut/replay"
	"platter/powercut/witness"
	"platter/results"
)

// recording is the log of a witness's run with what is needed to judge it.
type recording struct {
	witness  Witness
	campaign replay.Campaign
	log      string // path of the log
	base     *baseImage
	work     Work // of a run that was not cut off
	path     results.FlushPath
	flags    results.CacheFlags
	fua      string // queue/fua in the guest; empty where its kernel has none
	data     string // the data image on the simulated disk
	watch    string // the witness's
}

// discard removes the log.
func (rec *recording) discard() { os.Remove(rec.log) }

// ending ends the machine while the witness works on it, and the log with it.
type ending func(ctx context.Context, rec *recording, m Machine) error

// runSlack is how long the witness may take beyond its own time.
const runSlack = 30 * time.Second

// record runs the witness on a new disk that can lose power, behind a kind of drive cache, and keeps the log: one that is made behind a
// volatile cache serves all kinds. With end, which is called while the witness works, the log ends when that says so, and the images stay
// for it to look at.
func (x *Campaigns) record(ctx context.Context, c cell.Cell, w Witness, drive string, end ending) (_ *recording, err error) {
	m, err := x.Rig.Machine(ctx, c)
	if err != nil {
		return nil, err
	}
	base, err := x.base(ctx, m, c, w)
	if err != nil {
		return nil, err
	}
	if err := m.Detach(ctx); err != nil {
		return nil, err
	}
	x.images++
	rec := &recording{
		witness: w, base: base,
		data: fmt.Sprintf("data-%d.img", x.images), watch: fmt.Sprintf("witness-%d.img", x.images),
		log: filepath.Join(x.Storage, fmt.Sprintf("oplog-%d", x.images)),
		campaign: replay.Campaign{
			Layout: w.Layout(), Data: 0, Witness: 1, Extents: base.extents, Filesystem: c.Filesystem(), Format: c.Format(),
			SizeBytes: base.size, SectorBytes: int64(c.Device().Sector), Classes: x.Safety.Classes, DriveCaches: x.Safety.DriveCaches,
		},
	}
	defer func() {
		if err != nil {
			rec.discard()
		}
	}()
	path, err := x.Disk.Create(ctx, powercut.ImageSpec{Name: rec.data, SizeBytes: base.size, From: base.path,
		Settings: scratch.DeviceSettings(c.Device(), drive, x.Mutants[c.ID])})
	if err != nil {
		return nil, rigError("make the simulated disk", err)
	}
	watch, err := x.Disk.Create(ctx, powercut.ImageSpec{Name: rec.watch, SizeBytes: witness.DiskBytes})
	if err == nil {
		err = x.Disk.StartLog(ctx, rec.log, rec.data, rec.watch)
	}
	if err != nil {
		return nil, rigError("make the witness disk", errors.Join(err, x.Disk.Remove(ctx, rec.data)))
	}
	err = x.run(ctx, c, rec, m, path, watch, end)
	if err == nil && end == nil {
		err = m.Detach(ctx)
	}
	if err != nil || end == nil {
		err = errors.Join(err, x.Disk.Discard(ctx, rec.data, rec.watch))
	}
	if err != nil {
		return nil, err
	}
	return rec, nil
}

// run plugs the disks in and runs the witness on them.
func (x *Campaigns) run(ctx context.Context, c cell.Cell, rec *recording, m Machine, path, watch string, end ending) error {
	limit := scratch.AttachLimit + scratch.ColdLimit + scratch.PrepareLimit + time.Duration(x.Safety.Seconds*float64(time.Second)) + runSlack
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := m.Attach(ctx, scratch.Disk(c, scratch.FileSource(path))); err != nil {
		return fmt.Errorf("attach simulated disk of cell %s: %w", c.ID, err)
	}
	if err := m.Attach(ctx, scratch.Witness(scratch.FileSource(watch))); err != nil {
		return fmt.Errorf("attach witness disk: %w", err)
	}
	disk, err := m.Prepare(ctx, scratch.Setup(c, rec.base.fileBytes))
	if err != nil {
		return err
	}
	before, err := m.Read(ctx)
	if err != nil {
		return err
	}
	if want := scratch.Flags(c); before.Flags != want {
		return fault.New(fault.Rig, "cell %s: QEMU's cache flags are %+v, its settings mean %+v", c.ID, before.Flags, want)
	}
	rec.flags = before.Flags
	rec.fua = disk.Sysfs["queue/fua"]
	countedBefore, err := x.Disk.Counted(ctx, rec.data)
	if err != nil {
		return err
	}
	if end != nil {
		work := func(ctx context.Context) error { return early(rec.witness.Run(ctx, m, disk.Target, true)) }
		return meanwhile(ctx, work, func(done <-chan struct{}) error {
			if err := x.awaitRecord(ctx, rec, done); err != nil {
				return err
			}
			return end(ctx, rec, m)
		})
	}
	if rec.work, err = rec.witness.Run(ctx, m, disk.Target, false); err != nil {
		return err
	}
	if rec.work.Error != "" {
		return fault.New(fault.Guest, "cell %s: the probe failed: %s", c.ID, rec.work.Error)
	}
	after, err := m.Read(ctx)
	if err != nil {
		return err
	}
	counted, err := x.Disk.Counted(ctx, rec.data)
	if err != nil {
		return err
	}
	if _, err := x.Disk.StopLog(ctx); err != nil {
		return rigError("end the log", err)
	}
	image := counted.Flushes - countedBefore.Flushes
	dsync := counted.DsyncWrites - countedBefore.DsyncWrites
	qemu := after.Counters.FlushOps - before.Counters.FlushOps
	rec.path = results.FlushPath{Fio: &rec.work.Syncs, QEMU: &qemu, Image: &image, ImageDsyncWrites: &dsync}
	if c.Bus() == "nvme" { // QEMU's NVMe device does not count its flushes
		rec.path.QEMU = nil
	}
	if c.Sync() != cell.NoSync {
		rec.path.FioDsyncWrites = &rec.work.Writes
	}
	return nil
}

// meanwhile runs do, and beside it background; done is closed when background is over. It returns when both are over. After do, background,
// which uses the machine, is cut off by its context. Its error counts where it ended by itself before.
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

// errEnded is what do returns to meanwhile when it gave up because background was over.
var errEnded = errors.New("ended")

// early returns the error of a witness that ended by itself where it was to be cut off.
func early(work Work, err error) error {
	switch {
	case err != nil:
		return fmt.Errorf("the probe ended before the cut: %w", err)
	case work.Error != "":
		return fault.New(fault.Guest, "the probe failed before the cut: %s", work.Error)
	default:
		return fault.New(fault.Guest, "the probe ended before the cut without a word to its witness")
	}
}

// awaitRecord waits until something is written to the witness disk; errEnded says that the witness has ended before.
func (x *Campaigns) awaitRecord(ctx context.Context, rec *recording, done <-chan struct{}) error {
	for {
		s, err := x.Disk.Status(ctx)
		if err != nil {
			return rigError("watch the probe", err)
		}
		if slices.ContainsFunc(s.Images, func(i powercut.ImageStatus) bool { return i.Name == rec.watch && i.Counters.Writes > 0 }) {
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

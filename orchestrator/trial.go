package orchestrator

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"platter/cell"
	"platter/compare"
	"platter/fault"
	"platter/fiojob"
	"platter/orchestrator/guest"
	"platter/orchestrator/host"
	"platter/orchestrator/scratch"
	"platter/results"
	"platter/text"
)

// Limits of the steps of a trial, beside those of a disk.
const (
	collectLimit = 30 * time.Second
	fioSlack     = 60 * time.Second // beyond the job's own time
	fioUnbounded = 30 * time.Minute // for a job bound by its size
)

// measure makes one trial and fills in its record. The disk is plugged in anew for each, so that every trial starts
// from the same state of the device.
func (r *Run) measure(ctx context.Context, s Step, image *image, t *results.Trial) error {
	raw, err := r.Journal.RawDir(s.Cell.ID, s.Block)
	if err != nil {
		return fault.New(fault.Rig, "%v", err)
	}
	watch := stopwatch{last: time.Now()}
	if err := r.attach(ctx, s.Cell, image, raw, t); err != nil {
		return err
	}
	t.Phases.AttachS = watch.lap()

	disk, before, err := r.prepare(ctx, s, image, t)
	if err != nil {
		return err
	}
	t.Phases.PrepareS = watch.lap()

	run, out, err := r.fio(ctx, s, disk, raw)
	if err != nil {
		return err
	}
	fioS := watch.lap()
	metrics := out.Metrics()
	t.Metrics = &metrics
	for _, d := range directions(&metrics) {
		t.Phases.MeasureS = max(t.Phases.MeasureS, float64(d.RuntimeNS)/1e9)
	}
	t.Phases.RampS = s.Cell.Ramp().Seconds()

	interval := logInterval(s.Cell)
	rates, err := fiojob.ParseIOPSLog(run.IOPSLog, interval)
	if err != nil {
		return fault.New(fault.Fio, "cell %s: %v", s.Cell.ID, err)
	}
	if len(rates) > 0 {
		t.IOPSLog = &results.IOPSLog{IntervalS: interval.Seconds(), IOPS: rates}
	}
	// One that ends early in a long trial cannot say whether the rate was steady.
	if n := float64(len(rates)) * interval.Seconds(); n == 0 || s.Cell.Runtime() >= steadyWindow && n < compare.SteadySeconds {
		t.Missing = append(t.Missing, "iops_log")
	}
	if err := r.collect(ctx, s.Cell, image, run, before, t); err != nil {
		return err
	}
	t.Phases.CollectS = watch.lap() + max(0, fioS-t.Phases.MeasureS-t.Phases.RampS) // with fio's own start
	t.Guards = guards(s, r.Host, t)
	t.Missing = append(t.Missing, metrics.Missing...)
	return nil
}

// attach replaces the scratch disk by one with the cell's settings.
func (r *Run) attach(ctx context.Context, c cell.Cell, image *image, raw string, t *results.Trial) error {
	ctx, cancel := context.WithTimeout(ctx, scratch.AttachLimit+scratch.ColdLimit)
	defer cancel()
	if err := r.machine.Detach(ctx); err != nil {
		return fmt.Errorf("detach scratch disk: %w", err)
	}
	if err := r.keepXML(ctx, raw, "domain-before.xml"); err != nil {
		return err
	}
	if err := r.machine.Attach(ctx, scratch.Disk(c, image.Source())); err != nil {
		return fmt.Errorf("attach scratch disk of cell %s: %w", c.ID, err)
	}
	if err := r.keepXML(ctx, raw, "domain.xml"); err != nil {
		return err
	}
	if err := image.Settle(); err != nil {
		return err
	}
	settled, err := image.Counters(ctx)
	if err != nil {
		return err
	}
	if settled.Resident == nil {
		t.Missing = append(t.Missing, "residency")
		return nil
	}
	t.Evidence.Residency = &results.Residency{BeforeBytes: *settled.Resident, ImageBytes: settled.SizeBytes}
	return nil
}

func (r *Run) keepXML(ctx context.Context, raw, name string) error {
	doc, err := r.machine.XML(ctx)
	if err != nil {
		return err
	}
	return keep(raw, name, []byte(doc))
}

// before is what was counted before fio started.
type before struct {
	reading scratch.Reading
	image   scratch.Counters
	busy    time.Duration // of the host's processors
	at      time.Time
}

// prepare readies the disk inside the guest and reads the counters and flags.
func (r *Run) prepare(ctx context.Context, s Step, image *image, t *results.Trial) (guest.Disk, before, error) {
	ctx, cancel := context.WithTimeout(ctx, scratch.PrepareLimit)
	defer cancel()
	c := s.Cell
	disk, err := r.machine.Prepare(ctx, scratch.Setup(c, s.Shape.FileBytes))
	if err != nil {
		return disk, before{}, err
	}
	t.Evidence.Guest, t.Evidence.Mount = disk.Sysfs, disk.Mount
	t.Evidence.GuestCacheBytes = &disk.CacheBytes
	reading, err := r.machine.Read(ctx)
	if err != nil {
		return disk, before{}, err
	}
	want := scratch.Flags(c)
	t.Evidence.Expected, t.Evidence.Effective, t.Evidence.ImageODirect = &want, &reading.Flags, reading.ODirect
	if reading.Flags != want {
		return disk, before{}, fault.New(fault.Rig, "cell %s: QEMU's cache flags are %+v, its settings mean %+v", c.ID, reading.Flags, want)
	}
	b := before{reading: reading, busy: host.BusyCPU(), at: time.Now()}
	if b.image, err = image.Counters(ctx); err != nil {
		return disk, before{}, err
	}
	if b.image.Allocated != nil {
		t.Evidence.UnwrittenBytes = max(0, image.full-*b.image.Allocated)
	}
	return disk, b, nil
}

// logInterval is how long each entry of the log of rates spans: a second, less in short trials, but not so little that fio's own
// delays on a busy processor move entries into their neighbours.
func logInterval(c cell.Cell) time.Duration {
	run := c.Runtime()
	if run == 0 {
		return time.Second
	}
	return min(time.Second, max(100*time.Millisecond, (run/10).Truncate(50*time.Millisecond)))
}

// fio runs the cell's job and reads its result.
func (r *Run) fio(ctx context.Context, s Step, disk guest.Disk, raw string) (guest.FioRun, *fiojob.Output, error) {
	job, err := fiojob.Job{Name: "platter", Options: jobOptions(s, r.Plan.Seed, disk.Target), LogIOPS: logInterval(s.Cell)}.Render()
	if err != nil {
		return guest.FioRun{}, nil, fault.New(fault.Usage, "cell %s: %v", s.Cell.ID, err)
	}
	if err := keep(raw, "job.fio", []byte(job)); err != nil {
		return guest.FioRun{}, nil, err
	}
	limit := fioUnbounded
	if d := s.Cell.Runtime(); d > 0 {
		limit = d + s.Cell.Ramp() + fioSlack
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	run, err := r.machine.RunFio(ctx, disk.Device, job)
	if err != nil {
		return run, nil, err
	}
	if err := keep(raw, "fio.json", run.JSON); err != nil {
		return run, nil, err
	}
	out, err := fiojob.Parse(run.JSON)
	if run.Status != 0 {
		return run, nil, fault.New(fault.Fio, "cell %s: fio failed with status %d: %s", s.Cell.ID, run.Status, text.Line(fioSays(run, out)))
	}
	if err != nil {
		return run, nil, fault.New(fault.Fio, "cell %s: %v (fio also said: %q)", s.Cell.ID, err, run.Text)
	}
	return run, out, nil
}

// fioSays finds the most telling words of a fio that failed.
func fioSays(run guest.FioRun, out *fiojob.Output) string {
	if said := text.LastLine(run.Text); said != "" {
		return said
	}
	if out != nil && out.Err() != nil {
		return out.Err().Error()
	}
	return "it said nothing"
}

// jobOptions is the cell's workload on its target, device or file, with what platter adds to be able to measure it. The random sequence
// is the same for all cells of a block and another in each block.
func jobOptions(s Step, seed uint64, target string) []fiojob.Option {
	var opts []fiojob.Option
	for _, o := range s.Cell.Settings.Of("fio") {
		opts = append(opts, fiojob.Option{Name: o.Name, Value: o.Value.String()})
	}
	add := func(name, value string) {
		if !slices.ContainsFunc(opts, func(o fiojob.Option) bool { return o.Name == name }) {
			opts = append(opts, fiojob.Option{Name: name, Value: value})
		}
	}
	if s.Cell.Runtime() > 0 {
		add("time_based", "1")
	}
	if fiojob.FirstSyncsMistimed(s.Cell.Engine(), s.Cell.IODepth()) && (s.Cell.Fsync() > 0 || s.Cell.Fdatasync() > 0) {
		add("clocksource", "gettimeofday") // by which what fio mistimes is decades long, however long the guest is up
	}
	add("randseed", strconv.FormatUint((seed^uint64(s.Block)*0x9e3779b97f4a7c15)>>1, 10))
	opts = append(opts,
		fiojob.Option{Name: "filename", Value: target},
		fiojob.Option{Name: "allow_file_create", Value: "0"},
		fiojob.Option{Name: "group_reporting", Value: "1"},
		fiojob.Option{Name: "lat_percentiles", Value: "1"})
	return opts
}

// collect reads the counters again and completes the evidence.
func (r *Run) collect(ctx context.Context, c cell.Cell, image *image, run guest.FioRun, b before, t *results.Trial) error {
	ctx, cancel := context.WithTimeout(ctx, collectLimit)
	defer cancel()
	after, err := r.machine.Read(ctx)
	if err != nil {
		return err
	}
	if after.Flags != b.reading.Flags {
		return fault.New(fault.Rig, "cell %s: QEMU's cache flags changed during the trial from %+v to %+v", c.ID, b.reading.Flags, after.Flags)
	}
	wall := time.Since(b.at)
	if after.CPU > 0 && b.reading.CPU > 0 && wall > 0 {
		others := (host.BusyCPU() - b.busy) - (after.CPU - b.reading.CPU)
		share := max(0, others.Seconds()/wall.Seconds())
		t.Evidence.OthersCPUs = &share
	}
	q := difference(after.Counters, b.reading.Counters)
	t.Evidence.QEMU = &q
	if after.FlushLatency != nil && b.reading.FlushLatency != nil && c.Bus() != "nvme" { // whose flushes QEMU does not count
		during := rise(*after.FlushLatency, *b.reading.FlushLatency)
		t.Evidence.QEMUFlushLatency = &during
	}
	path := &t.Evidence.FlushPath
	path.Guest = &run.Flushes
	if c.Bus() == "nvme" { // QEMU's NVMe device does not count its flushes (hw/nvme/ctrl.c, nvme_flush; tried with 7.2 and 11.1)
		t.Missing = append(t.Missing, "flush_path.qemu")
	} else {
		path.QEMU = &q.FlushOps
	}
	path.IncludesRamp = c.Ramp() > 0
	if path.Fio, path.FioIdle = syncCalls(c, t.Metrics); path.Fio == nil {
		t.Missing = append(t.Missing, "flush_path.fio")
	}
	if c.Sync() != cell.NoSync && t.Metrics.Write != nil {
		path.FioDsyncWrites = &t.Metrics.Write.IOs
	}
	now, err := image.Counters(ctx)
	if err != nil {
		return err
	}
	path.Image = increase(now.Flushes, b.image.Flushes)
	path.ImageDsyncWrites = increase(now.DsyncWrites, b.image.DsyncWrites)
	if path.Image == nil {
		t.Missing = append(t.Missing, "flush_path.image")
	}
	t.Evidence.AllocatedBytes = increase(now.Allocated, b.image.Allocated)
	path.HostDevice = increase(now.DeviceFlushes, b.image.DeviceFlushes)
	if t.Evidence.Residency != nil {
		if now.Resident != nil {
			t.Evidence.Residency.AfterBytes = *now.Resident
		} else {
			t.Evidence.Residency = nil
			t.Missing = append(t.Missing, "residency")
		}
	}
	// What this trial left dirty is written back now: the next one does not pay for it.
	return image.Settle()
}

// rise returns what came to a histogram since an earlier reading of it.
func rise(after, before fiojob.Histogram) fiojob.Histogram {
	had := map[int64]int64{}
	for b := range before.Buckets() {
		had[b.NS] = b.Count
	}
	var during []fiojob.Bucket
	for b := range after.Buckets() {
		during = append(during, fiojob.Bucket{NS: b.NS, Count: b.Count - had[b.NS]})
	}
	return fiojob.NewHistogram(during...)
}

// syncCalls returns how many of fio's sync calls had new writes before them, nil where fio did not count them, and how many more fio made.
// fio 3.33 also syncs after the reads that follow a synced write, and io_uring and posixaio above a depth of 1
// do so several times for the same writes; what has no new write before it promises nothing, and the guest may answer it without a flush.
// Which of them had one is not reported, but there is at most one for each fsync or fdatasync writes.
func syncCalls(c cell.Cell, m *fiojob.Metrics) (due *int64, idle int64) {
	if m.Sync == nil {
		if slices.Contains(m.Missing, "sync") || slices.Contains(m.Missing, "sync.ios") {
			return nil, 0
		}
		return new(int64), 0 // fio reports its sync calls only where it was asked for some
	}
	var most int64
	for _, interval := range []int{c.Fsync(), c.Fdatasync()} {
		if interval > 0 && m.Write != nil {
			most += m.Write.IOs / int64(interval)
		}
	}
	if m.Sync.IOs <= most {
		return &m.Sync.IOs, 0
	}
	return &most, m.Sync.IOs - most
}

// increase returns by how much a counter has grown; nil where it was not read both times.
func increase(after, before *int64) *int64 {
	if after == nil || before == nil {
		return nil
	}
	return new(*after - *before)
}

func difference(after, before results.BlockCounters) results.BlockCounters {
	return results.BlockCounters{
		ReadOps:    after.ReadOps - before.ReadOps,
		ReadBytes:  after.ReadBytes - before.ReadBytes,
		WriteOps:   after.WriteOps - before.WriteOps,
		WriteBytes: after.WriteBytes - before.WriteBytes,
		FlushOps:   after.FlushOps - before.FlushOps,
	}
}

// keep stores a raw file of a trial.
func keep(dir, name string, text []byte) error {
	if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
		return fault.New(fault.Rig, "keep %s of the trial: %v: is there space left?", name, err)
	}
	return nil
}

// stopwatch measures the seconds since it was asked last.
type stopwatch struct{ last time.Time }

func (s *stopwatch) lap() float64 {
	now := time.Now()
	d := now.Sub(s.last).Seconds()
	s.last = now
	return d
}

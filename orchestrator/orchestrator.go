// Package orchestrator carries out runs: it plans the order of the trials, boots measuring guests, makes the trials and has crash campaigns
// made, collects what proves that a trial was what it says, keeps each before the next one begins, resumes, and cleans up.
//
// Execute is a run from connecting to clean-up: it opens a site (session.go), makes a Plan (plan.go) and has a Run do the work. A Run
// takes the steps of the plan one after the other: it boots a Machine of its Lab (machine.go; live.go, treelab.go) where there is none
// that fits, makes the scratch image on its Medium (medium.go) where there is none of the shape, and measures (trial.go); guards.go says
// what is wrong with a measurement. The campaigns are package crash's, which asks the run for machines (rig.go). What a run keeps on the host
// lies in a work directory (workdir.go), and what a dead one has left is found by it (cleanup.go). Shell and Examine are for platter
// guest shell and platter doctor.
package orchestrator

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
	"platter/orchestrator/crash"
	"platter/orchestrator/scratch"
	"platter/results"
)

// Run carries out the steps of a plan on one machine after the other and keeps each trial before the next one starts.
type Run struct {
	Lab     Lab
	Journal *results.Journal
	Storage string // directory for the scratch images
	Plan    Plan
	// Host is this machine as the manifest tells it; the guards need its memory.
	Host results.Host
	// Tell hears of what happens, for progress; it is called from the goroutine of Do.
	Tell func(Event)
	// Enough is asked before each block but the first whether the blocks before it will do; nil for never.
	Enough func(blocks int) (bool, error)

	// Simulator is the disk that can lose power, for campaigns and for trials with its latencies; nil without either.
	Simulator *scratch.Simulator
	// Campaigns makes the crash campaigns; nil without any.
	Campaigns *crash.Campaigns

	machine Machine
	boot    Boot
	booted  time.Duration // of the machine at hand, until a trial has taken it into its account
	swapped time.Duration // for it, as booted: taking it instead of another hypervisor's
	known   map[Boot]bool // boots that went well
	silent  map[Boot]int  // boots in a row that failed
	ended   time.Time     // when the trial before was over
	images  map[scratch.Shape]*image
	made    int                     // scratch images, living and gone: no two have one name
	unmade  map[scratch.Shape]error // why an image could not be made; it is not tried again
	filled  time.Duration           // making images, until a trial has taken it into its account
}

// image is a scratch image that was made.
type image struct {
	Medium
	full int64 // bytes with blocks on the host's file system after it was filled
}

// Event is something that happened during a run.
type Event struct {
	Trial   *results.Trial   // a trial that is over; nil for the others
	Safety  []results.Safety // the records of a crash campaign that is over; nil for the others
	Message string           // what is going on now
	Done    int              // trials and campaigns over, of Total
	Total   int
	Left    time.Duration // estimated from the trials so far
}

// formatRate is the slowest that a guest may write the file of a new file system, in bytes/s.
const formatRate = 10 << 20

// closeLimit bounds how long clean-up may take after the run was interrupted.
const closeLimit = 60 * time.Second

// givenUpBoots is after how many failed boots in a row the remaining trials fail without another try.
const givenUpBoots = 3

// Do carries out work, which is the plan's or what is left of it: trials first, then crash campaigns. When ctx ends it stops between two
// system calls of the trial or campaign at hand, which is not recorded, and returns ctx's error. Failed ones are recorded and are no error.
func (r *Run) Do(ctx context.Context, todo Work) (err error) {
	r.silent = map[Boot]int{}
	r.known = map[Boot]bool{}
	r.images = map[scratch.Shape]*image{}
	r.unmade = map[scratch.Shape]error{}
	defer func() { err = errors.Join(err, r.removeImages(ctx)) }()
	defer func() { err = errors.Join(err, r.closeMachine(ctx)) }()
	clock := newClock(todo)
	r.ended = time.Now()
	block := 0
	for i, s := range todo.Steps {
		if s.Block != block && r.Enough != nil {
			enough, err := r.Enough(s.Block)
			if err != nil {
				return err
			}
			if enough {
				clock.skip(todo.Steps[i:])
				r.Tell(Event{Message: fmt.Sprintf("decided after %d blocks", s.Block)})
				break
			}
		}
		block = s.Block
		r.Tell(clock.event(s.Cell.ID))
		t := r.step(ctx, s)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		now := time.Now()
		t.Phases.WallS = now.Sub(r.ended).Seconds()
		r.ended = now
		if err := r.Journal.Append(t); err != nil {
			return err
		}
		clock.passed(stepEstimate(s))
		e := clock.event("")
		e.Trial = &t
		r.Tell(e)
	}
	for _, c := range todo.Campaigns {
		r.Tell(clock.event("crash campaign: " + c.Cell.ID))
		records := r.Campaigns.Do(ctx, c)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		for _, s := range records {
			if err := r.Journal.AppendSafety(s); err != nil {
				return err
			}
		}
		clock.passed(c.Estimate(*todo.Safety))
		e := clock.event("")
		e.Safety = records
		r.Tell(e)
	}
	return nil
}

// clock estimates what the rest of a run takes: as planned at first, then by the pace so far.
type clock struct {
	began         time.Time
	planned, past time.Duration
	done, total   int
}

func newClock(todo Work) *clock {
	return &clock{began: time.Now(), planned: todo.planned(), total: len(todo.Steps) + len(todo.Campaigns)}
}

func (c *clock) passed(planned time.Duration) { c.past += planned; c.done++ }

// skip takes steps out that will not be made.
func (c *clock) skip(steps []Step) {
	c.planned -= Work{Steps: steps}.planned()
	c.total -= len(steps)
}

func (c *clock) event(message string) Event {
	left := c.planned - c.past
	if c.past > 0 {
		left = time.Duration(float64(left) * float64(time.Since(c.began)) / float64(c.past))
	}
	return Event{Message: message, Done: c.done, Total: c.total, Left: left}
}

// step makes one trial, booting a machine first where there is none that fits.
func (r *Run) step(ctx context.Context, s Step) results.Trial {
	t := results.Trial{Cell: s.Cell.ID, Block: s.Block, Order: s.Order, Status: results.OK, Started: time.Now()}
	err := r.needMachine(ctx, s.Boot)
	t.Phases.BootS, r.booted = r.booted.Seconds(), 0
	t.Phases.SwitchS, r.swapped = r.swapped.Seconds(), 0
	var image *image
	if err == nil {
		image, err = r.image(ctx, s.Shape)
	}
	t.Phases.PrefillS, r.filled = r.filled.Seconds(), 0
	if err == nil {
		err = r.measure(ctx, s, image, &t)
	}
	if err == nil || ctx.Err() != nil {
		return t
	}
	t.Status, t.Metrics, t.Guards, t.IOPSLog, t.Phases.MeasureS = results.Failed, nil, nil, nil, 0
	t.Failure = &results.Failure{Fault: string(crash.Whose(err)), Message: err.Error()}
	if r.machine != nil {
		t.Failure.Console = r.machine.Console()
	}
	var noBoot *BootError
	if errors.As(err, &noBoot) {
		t.Failure.Console = noBoot.Console
	}
	r.keepConsole(s, t.Failure.Console)
	if !keepsMachine(err) {
		if err := r.closeMachine(ctx); err != nil {
			t.Failure.Message += "; and " + err.Error()
		}
	}
	return t
}

// needMachine sees to it that a machine with this boot-time configuration runs.
func (r *Run) needMachine(ctx context.Context, b Boot) error {
	if r.machine != nil && r.boot == b && (r.Simulator == nil || !r.Simulator.Died()) {
		return nil
	}
	start := time.Now()
	switches := r.machine != nil && r.boot.under() != b.under() && r.known[b]
	closed := make(chan error, 1)
	if switches && (r.Simulator == nil || !r.Simulator.Died()) {
		// Two hypervisors have nothing to do with one another: one ends its guest while the other wakes its own.
		old := r.machine
		r.machine = nil
		go func() { closed <- end(ctx, old) }()
	} else {
		if err := r.closeMachine(ctx); err != nil {
			return err
		}
		closed <- nil
	}
	if r.Simulator != nil && r.Simulator.Died() {
		for shape, image := range r.images {
			if (shape.Simulated != cell.Device{}) {
				_ = image.Remove(ctx) // it is gone
				delete(r.images, shape)
			}
		}
		if err := r.Simulator.Revive(ctx); err != nil {
			return err
		}
	}
	if r.silent[b] >= givenUpBoots {
		if err := <-closed; err != nil {
			return err
		}
		return fault.New(fault.Guest, "the guest failed to start %d times in a row: not tried again", r.silent[b])
	}
	where := ""
	if b.Hypervisor != cell.HostHypervisor {
		where = " on " + b.Hypervisor
	}
	r.Tell(Event{Message: "starting the guest" + where})
	begun := time.Now()
	m, err := r.Lab.Boot(ctx, b)
	if cerr := <-closed; cerr != nil { // what it has open must not be opened by another
		if err == nil {
			cerr = errors.Join(cerr, end(ctx, m))
		}
		return errors.Join(cerr, err)
	}
	if switches {
		r.swapped = time.Since(start)
	} else {
		r.booted = time.Since(begun)
	}
	if err != nil {
		r.silent[b]++
		return err
	}
	r.machine, r.boot, r.silent[b] = m, b, 0
	r.known[b] = true
	return nil
}

// image returns the image of a shape, made when it is needed first and kept for the run.
func (r *Run) image(ctx context.Context, shape scratch.Shape) (*image, error) {
	if i, ok := r.images[shape]; ok {
		return i, nil
	}
	if err := r.unmade[shape]; err != nil {
		return nil, err
	}
	r.Tell(Event{Message: "filling a scratch image"})
	start := time.Now()
	defer func() { r.filled = time.Since(start) }()
	i, err := r.makeImage(ctx, shape)
	if err != nil {
		r.unmade[shape] = &unmadeError{err}
		return nil, r.unmade[shape]
	}
	r.images[shape] = i
	return i, nil
}

// makeImage makes an image and its file system.
func (r *Run) makeImage(ctx context.Context, shape scratch.Shape) (_ *image, err error) {
	i := &image{Medium: r.medium(shape)}
	if err := i.Make(ctx); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = i.Remove(ctx) // the work directory goes with all that is left in it
		}
	}()
	made, err := i.Counters(ctx)
	if err != nil {
		return nil, err
	}
	if made.Allocated != nil {
		i.full = *made.Allocated
	}
	if shape.Filesystem != "none" {
		if err := r.format(ctx, i, shape); err != nil {
			// The guest may be the worse for it: it is started anew for the next trial.
			return nil, errors.Join(err, r.closeMachine(ctx))
		}
	}
	return i, i.Finish(ctx)
}

// unmadeError says why the image that a trial needs could not be made. The machine is none the worse for it.
type unmadeError struct{ err error }

func (e *unmadeError) Error() string { return "make scratch image: " + e.err.Error() }
func (e *unmadeError) Unwrap() error { return e.err }

// format makes the file system of an image in the guest, over the fastest way that there is.
func (r *Run) format(ctx context.Context, i *image, shape scratch.Shape) error {
	ctx, cancel := context.WithTimeout(ctx, scratch.FormatLimit+time.Duration(shape.FileBytes/formatRate)*time.Second)
	defer cancel()
	if err := r.machine.Detach(ctx); err != nil {
		return err
	}
	if err := r.machine.Attach(ctx, scratch.Cached(i.Source(), shape.Format, "unsafe")); err != nil {
		return err
	}
	if err := r.machine.Format(ctx, shape.Filesystem, shape.FileBytes); err != nil {
		return err
	}
	return r.machine.Detach(ctx)
}

// removeImages removes the scratch images, also after ctx has ended.
func (r *Run) removeImages(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
	defer cancel()
	var errs []error
	for _, i := range r.images {
		errs = append(errs, i.Remove(ctx))
	}
	return errors.Join(errs...)
}

// closeMachine ends the machine at hand, also after ctx has ended.
func (r *Run) closeMachine(ctx context.Context) error {
	if r.machine == nil {
		return nil
	}
	m := r.machine
	r.machine = nil
	return end(ctx, m)
}

// end ends a machine, also after ctx has ended.
func end(ctx context.Context, m Machine) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
	defer cancel()
	if err := m.Close(ctx); err != nil {
		return fault.New(fault.Rig, "the guest could not be ended: %v: run platter cleanup", err)
	}
	return nil
}

// keepConsole stores the console beside the raw files of a failed trial; the record carries its end anyway.
func (r *Run) keepConsole(s Step, lines []string) {
	if len(lines) == 0 {
		return
	}
	dir, err := r.Journal.RawDir(s.Cell.ID, s.Block)
	if err != nil {
		return
	}
	f, err := os.Create(filepath.Join(dir, "console.log"))
	if err != nil {
		return
	}
	defer f.Close()
	for _, l := range lines {
		fmt.Fprintln(f, l)
	}
}

// BootError says that a guest did not come up, with the end of its console.
type BootError struct {
	Err     error
	Console []string
}

func (e *BootError) Error() string {
	if len(e.Console) == 0 {
		return fmt.Sprintf("boot guest: %v (its console said nothing)", e.Err)
	}
	line := e.Console[len(e.Console)-1]
	if i := slices.IndexFunc(e.Console, isPanic); i >= 0 { // after it comes what helps nobody: registers, the kernel's offset
		line = e.Console[i]
	}
	return fmt.Sprintf("boot guest: %v (console: %q)", e.Err, line)
}

func (e *BootError) Unwrap() error { return e.Err }

// keepsMachine reports whether the machine is good for the next trial after this error: fio failing or a configuration
// being refused does it no harm.
func keepsMachine(err error) bool {
	var unmade *unmadeError
	return errors.As(err, &unmade) || fault.Of(err) == fault.Fio || fault.Of(err) == fault.Refused
}

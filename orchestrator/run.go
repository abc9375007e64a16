package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"platter/orchestrator/hypervisor"
	"platter/results"
)

// Run carries out the steps of a plan on one machine after the other and keeps each trial before the next one starts.
type Run struct {
	Lab     Lab
	Journal *results.Journal
	Scratch *Scratch
	Plan    Plan
	// Host is this machine as the manifest tells it; the guards need its memory.
	Host results.Host
	// Filled is how long filling the scratch image took; it goes into the account of the first trial.
	Filled time.Duration
	// Tell hears of what happens, for progress; it is called from the goroutine of Do.
	Tell func(Event)

	machine Machine
	boot    Boot
	booted  time.Duration // of the machine at hand, until a trial has taken it into its account
	silent  int           // boots in a row that failed
	ended   time.Time     // when the trial before was over
}

// Event is something that happened during a run.
type Event struct {
	Trial   *results.Trial // a trial that is over; nil for the others
	Message string         // what is going on now
	Done    int            // trials over, of Total
	Total   int
	Left    time.Duration // estimated from the trials so far
}

// closeLimit bounds how long clean-up may take after the run was interrupted.
const closeLimit = 60 * time.Second

// givenUpBoots is after how many failed boots in a row the remaining trials fail without another try.
const givenUpBoots = 3

// Do carries out steps, which are the plan's or what is left of them. When ctx ends it stops between two system calls of
// the trial at hand, which is not recorded, and returns ctx's error. Failed trials are recorded and are no error.
func (r *Run) Do(ctx context.Context, steps []Step) error {
	defer r.closeMachine(ctx)
	began := time.Now()
	r.ended = began.Add(-r.Filled)
	for i, s := range steps {
		r.Tell(Event{Message: s.Cell.ID, Done: i, Total: len(steps), Left: left(began, i, steps)})
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
		r.Tell(Event{Trial: &t, Done: i + 1, Total: len(steps), Left: left(began, i+1, steps)})
	}
	return nil
}

// left estimates what the remaining steps take: as planned at first, then by the pace so far.
func left(began time.Time, done int, steps []Step) time.Duration {
	planned := func(ss []Step) (d time.Duration) {
		for _, s := range ss {
			d += stepEstimate(s)
		}
		return d
	}
	rest := planned(steps[done:])
	if past := planned(steps[:done]); past > 0 {
		return time.Duration(float64(rest) * float64(time.Since(began)) / float64(past))
	}
	return rest
}

// step makes one trial, booting a machine first where there is none that fits.
func (r *Run) step(ctx context.Context, s Step) results.Trial {
	t := results.Trial{Cell: s.Cell.ID, Block: s.Block, Order: s.Order, Status: results.OK, Started: time.Now()}
	err := r.needMachine(ctx, s.Boot)
	t.Phases.BootS, r.booted = r.booted.Seconds(), 0
	t.Phases.PrefillS, r.Filled = r.Filled.Seconds(), 0
	if err == nil {
		err = r.measure(ctx, s, &t)
	}
	if err == nil || ctx.Err() != nil {
		return t
	}
	t.Status, t.Metrics, t.Guards = results.Failed, nil, nil
	t.Failure = &results.Failure{Fault: string(faultOf(err)), Message: err.Error()}
	if r.machine != nil {
		t.Failure.Console = r.machine.Console()
	}
	var noBoot *BootError
	if errors.As(err, &noBoot) {
		t.Failure.Console = noBoot.Console
	}
	r.keepConsole(s, t.Failure.Console)
	if !keepsMachine(err) {
		r.closeMachine(ctx)
	}
	return t
}

// needMachine sees to it that a machine with this boot-time configuration runs.
func (r *Run) needMachine(ctx context.Context, b Boot) error {
	if r.machine != nil && r.boot == b {
		return nil
	}
	r.closeMachine(ctx)
	if r.silent >= givenUpBoots {
		return &Error{Fault: Guest, Message: fmt.Sprintf("the guest failed to start %d times in a row: not tried again", r.silent)}
	}
	r.Tell(Event{Message: "starting the guest"})
	start := time.Now()
	m, err := r.Lab.Boot(ctx, b)
	r.booted = time.Since(start)
	if err != nil {
		r.silent++
		return err
	}
	r.machine, r.boot, r.silent = m, b, 0
	return nil
}

// closeMachine ends the machine at hand, also after ctx has ended.
func (r *Run) closeMachine(ctx context.Context) {
	if r.machine == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
	defer cancel()
	if err := r.machine.Close(ctx); err != nil {
		r.Tell(Event{Message: fmt.Sprintf("the guest could not be ended: %v: run platter cleanup", err)})
	}
	r.machine = nil
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
	return fmt.Sprintf("boot guest: %v (console: %q)", e.Err, e.Console[len(e.Console)-1])
}

func (e *BootError) Unwrap() error { return e.Err }

// faultOf says whose fault a failed trial is.
func faultOf(err error) Fault {
	var typed *Error
	if errors.As(err, &typed) {
		return typed.Fault
	}
	var hv *hypervisor.Error
	if errors.As(err, &hv) && hv.Fault != hypervisor.Guest {
		return Rig
	}
	return Guest
}

// keepsMachine tells whether the machine is good for the next trial after this error: fio failing or a configuration
// being refused does it no harm.
func keepsMachine(err error) bool {
	return faultOf(err) == Fio || hypervisor.FaultOf(err) == hypervisor.Refused
}

package orchestrator

import (
	"context"

	"platter/cell"
	"platter/orchestrator/crash"
)

// rig is what a run gives its crash campaigns.
type rig struct{ run *Run }

// Machine implements crash.Rig.
func (r rig) Machine(ctx context.Context, c cell.Cell) (crash.Machine, error) {
	if err := r.run.needMachine(ctx, r.run.Plan.bootOf(c)); err != nil {
		return nil, err
	}
	return r.run.machine, nil
}

// CloseMachine implements crash.Rig.
func (r rig) CloseMachine(ctx context.Context) error { return r.run.closeMachine(ctx) }

// Console implements crash.Rig.
func (r rig) Console() []string {
	if r.run.machine == nil {
		return nil
	}
	return r.run.machine.Console()
}

// SafetyDir implements crash.Rig.
func (r rig) SafetyDir(cell string) (string, error) { return r.run.Journal.SafetyDir(cell) }

// Tell implements crash.Rig.
func (r rig) Tell(message string) { r.run.Tell(Event{Message: message}) }

package orchestrator

import (
	"context"

	"platter/cell"
	"platter/libvirtxml"
	"platter/orchestrator/scratch"
)

// Medium is a scratch image where it lies: a file on the host's own storage, or an image on the simulated disk.
type Medium interface {
	// Make makes the image and fills all of it once. What could not be made leaves nothing.
	Make(ctx context.Context) error
	// Finish is called once, after Make and after a guest has made the file system, if there is to be one, on Source.
	Finish(ctx context.Context) error
	// Source returns where QEMU finds the image. It may be another one after Finish.
	Source() libvirtxml.Source
	// Settle brings the image into the state that every trial begins from: nothing of it is dirty or cached on the host.
	Settle() error
	// Counters reads what the host knows of the image.
	Counters(ctx context.Context) (scratch.Counters, error)
	// Remove removes the image, made or not. The last machine that has it open must have been ended, or its disk be unplugged.
	Remove(ctx context.Context) error
}

// medium returns the image of a shape, which is still to be made.
func (r *Run) medium(shape scratch.Shape) Medium {
	r.made++
	if (shape.Simulated != cell.Device{}) {
		return scratch.NewSimulated(r.Simulator, r.Storage, r.made, shape)
	}
	return scratch.NewFile(r.Storage, r.made, shape)
}

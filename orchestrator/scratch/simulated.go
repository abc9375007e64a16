package scratch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"platter/cell"
	"platter/fault"
	"platter/powercut"
)

// Simulator is the simulated disk of a run: platter once more, as a FUSE server in a process of its own. Images are made on it by their
// names. It must be started before any guest: a QEMU does not see what is mounted later.
type Simulator struct {
	*powercut.Process
	// Leave is called before the mount goes: who has it in a mount namespace of his own would hold the server, and is to end that. It may be
	// called again; nil where nobody has.
	Leave  func() error
	mount  string
	launch func(context.Context) (*powercut.Process, error)
}

// MountPoint is where the simulated disk of a work directory is mounted.
func MountPoint(workdir string) string { return filepath.Join(workdir, "power") }

// closeLimit bounds how long clean-up may take after the run was interrupted.
const closeLimit = 60 * time.Second

// StartSimulator starts the simulated disk in a work directory. program is the path of platter's own executable.
func StartSimulator(ctx context.Context, program, workdir string) (*Simulator, error) {
	s := &Simulator{mount: MountPoint(workdir)}
	if err := os.MkdirAll(s.mount, 0o755); err != nil {
		return nil, fault.New(fault.Rig, "make the simulated disk's directory: %v", err)
	}
	s.launch = func(ctx context.Context) (*powercut.Process, error) {
		return powercut.Launch(ctx, program, s.mount, filepath.Join(workdir, "layers"))
	}
	var err error
	s.Process, err = s.launch(ctx)
	return s, err
}

// Died reports whether the server has ended. The images on it are gone then.
func (s *Simulator) Died() bool {
	select {
	case <-s.Dead():
		return true
	default:
		return false
	}
}

// Revive starts the server anew, without images, if it has died. No machine may be running: it would not see the new mount.
func (s *Simulator) Revive(ctx context.Context) error {
	if !s.Died() {
		return nil
	}
	err := s.Close(ctx)
	fresh, launched := s.launch(ctx)
	if launched != nil {
		return errors.Join(err, launched)
	}
	s.Process = fresh
	return err
}

// Close ends the server, also after ctx has ended. Revive may follow.
func (s *Simulator) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
	defer cancel()
	var err error
	if s.Leave != nil {
		err = s.Leave()
	}
	return errors.Join(err, s.Process.Close(ctx))
}

// Path returns where an image is to be found below the mount.
func (s *Simulator) Path(image string) string { return filepath.Join(s.mount, image) }

// Counted returns what was asked of an image since it was made.
func (s *Simulator) Counted(ctx context.Context, image string) (powercut.Counters, error) {
	status, err := s.Status(ctx)
	if err != nil {
		return powercut.Counters{}, fault.New(fault.Rig, "read the simulated disk's counters: %v", err)
	}
	for _, i := range status.Images {
		if i.Name == image {
			return i.Counters, nil
		}
	}
	return powercut.Counters{}, fault.New(fault.Rig, "read the simulated disk's counters: it has no image %s", image)
}

// Discard removes images, also after ctx has ended. With a server that died they are gone already.
func (s *Simulator) Discard(ctx context.Context, images ...string) error {
	if s.Died() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
	defer cancel()
	var errs []error
	for _, name := range images {
		if err := s.Remove(ctx, name); err != nil {
			errs = append(errs, fault.New(fault.Rig, "remove a simulated disk: %v", err))
		}
	}
	return errors.Join(errs...)
}

// DeviceSettings returns the simulated disk's settings for a matrix's device, behind a kind of drive cache ("" for the default) and with a
// misbehaviour of powercut's mutants ("" for none).
func DeviceSettings(d cell.Device, drive, mutant string) powercut.Settings {
	return powercut.Settings{
		DriveCache: drive, WriteLatency: d.WriteLatency, FlushLatency: d.FlushLatency, DirtyExpire: d.DirtyExpire,
		DirtyBackgroundBytes: d.DirtyBackground, DriveCacheBytes: d.DriveCacheSize, SectorBytes: d.Sector, Mutant: mutant,
	}
}

// Simulated is an image on the simulated disk. It is made and given its file system as a file, which is faster, and put there then.
type Simulated struct {
	*File
	disk *Simulator
	name string // on the simulated disk
}

// NewSimulated returns an image that is still to be made, first in dir and then on disk, under a name of its number.
func NewSimulated(disk *Simulator, dir string, number int, shape Shape) *Simulated {
	return &Simulated{File: NewFile(dir, number, shape), disk: disk, name: fmt.Sprintf("scratch-%d.%s", number, shape.Format)}
}

// Finish puts the image on the simulated disk, where Source is from then on.
func (s *Simulated) Finish(ctx context.Context) error {
	if err := s.File.Finish(ctx); err != nil {
		return err
	}
	spec := powercut.ImageSpec{Name: s.name, SizeBytes: s.size, From: s.path, Settings: DeviceSettings(s.shape.Simulated, "", "")}
	path, err := s.disk.Create(ctx, spec)
	if err == nil {
		err = os.Remove(s.path)
	}
	if err != nil {
		return fault.New(fault.Rig, "put the scratch image on the simulated disk: %v", err)
	}
	s.path = path
	return nil
}

// Settle does nothing: the host's page cache is the simulation's there, and there is nothing to drop.
func (s *Simulated) Settle() error { return nil }

// Counters counts the flushes and O_DSYNC writes that have reached the image. Its blocks are those that it was made of: it does not grow.
// Nothing of it is in the host's page cache, and no device lies below it.
func (s *Simulated) Counters(ctx context.Context) (Counters, error) {
	c, err := s.File.Counters(ctx)
	if err != nil || s.path != s.disk.Path(s.name) {
		return c, err
	}
	c.Resident, c.DeviceFlushes = nil, nil
	n, err := s.disk.Counted(ctx, s.name)
	c.Flushes, c.DsyncWrites = &n.Flushes, &n.DsyncWrites
	return c, err
}

// Remove removes the image. That of a server which has died is gone already.
func (s *Simulated) Remove(ctx context.Context) error {
	if s.path != s.disk.Path(s.name) {
		return s.File.Remove(ctx)
	}
	return errors.Join(s.file.Close(), s.disk.Discard(ctx, s.name))
}

package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"platter/cell"
	"platter/powercut"
	"platter/powercut/witness"
	"platter/results"
)

// newCrashes starts the simulated disk of a run.
func newCrashes(ctx context.Context, run *Run, s Settings) (*crashes, error) {
	x := &crashes{run: run, seed: s.Seed, bases: map[base]*baseImage{}, controls: map[controlKey][]results.Control{}, mutants: s.Mutants}
	if run.Plan.Safety != nil {
		x.safety = *run.Plan.Safety
	}
	mount := powerMount(run.Storage)
	x.mount = mount
	if err := os.MkdirAll(mount, 0o755); err != nil {
		return nil, rigError("make the simulated disk's directory", err)
	}
	x.launch = func(ctx context.Context) (*powercut.Process, error) {
		return powercut.Launch(ctx, s.Program, mount, filepath.Join(run.Storage, "layers"))
	}
	var err error
	x.disk, err = x.launch(ctx)
	return x, err
}

// powerMount is where a work directory's simulated disk is mounted.
func powerMount(workdir string) string { return filepath.Join(workdir, "power") }

// Close ends the simulated disk, after the last machine; also after ctx has ended.
func (x *crashes) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
	defer cancel()
	x.closeBases()
	return x.disk.Close(ctx)
}

// revive starts the simulated disk anew if its server died. No machine may be running: it would not see the new mount.
func (x *crashes) revive(ctx context.Context) error {
	if !x.died() {
		return nil
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
	defer cancel()
	err := x.disk.Close(closing)
	for shape, s := range x.run.images {
		if s.simulated != "" {
			s.Close()
			delete(x.run.images, shape)
		}
	}
	disk, launched := x.launch(ctx)
	if launched != nil {
		return errors.Join(err, launched)
	}
	x.disk = disk
	return err
}

// died reports whether the simulated disk's server has ended.
func (x *crashes) died() bool {
	select {
	case <-x.disk.Dead():
		return true
	default:
		return false
	}
}

// makeImages makes the data image and the witness on the simulated disk and starts their log.
func (x *crashes) makeImages(ctx context.Context, c cell.Cell, drive string, rec *recording) (data, watch string, err error) {
	x.images++
	rec.names = [2]string{fmt.Sprintf("data-%d.img", x.images), fmt.Sprintf("witness-%d.img", x.images)}
	rec.log = filepath.Join(x.run.Storage, fmt.Sprintf("oplog-%d", x.images))
	data, err = x.disk.Create(ctx, powercut.ImageSpec{Name: rec.names[0], SizeBytes: rec.base.size, From: rec.base.path,
		Settings: deviceSettings(c.Device(), drive, x.mutants[c.ID])})
	if err != nil {
		return "", "", rigError("make the simulated disk", err)
	}
	watch, err = x.disk.Create(ctx, powercut.ImageSpec{Name: rec.names[1], SizeBytes: witness.DiskBytes})
	if err == nil {
		err = x.disk.StartLog(ctx, rec.log, rec.names[:]...)
	}
	if err != nil {
		return "", "", rigError("make the witness disk", errors.Join(err, x.disk.Remove(ctx, rec.names[0])))
	}
	return data, watch, nil
}

// deviceSettings are the simulated disk's as the matrix has them.
func deviceSettings(d cell.Device, drive, mutant string) powercut.Settings {
	return powercut.Settings{
		DriveCache: drive, WriteLatency: d.WriteLatency, FlushLatency: d.FlushLatency, DirtyExpire: d.DirtyExpire,
		DirtyBackgroundBytes: d.DirtyBackground, DriveCacheBytes: d.DriveCacheSize, SectorBytes: d.Sector, Mutant: mutant,
	}
}

// flushes counts those that have reached an image of the simulated disk.
func (x *crashes) flushes(ctx context.Context, image string) (int64, error) {
	s, err := x.disk.Status(ctx)
	if err != nil {
		return 0, rigError("read the simulated disk's counters", err)
	}
	for _, i := range s.Images {
		if i.Name == image {
			return i.Counters.Flushes, nil
		}
	}
	return 0, rigError("read the simulated disk's counters", errors.New("it has no image "+image))
}

// serve puts a scratch image on the simulated disk: QEMU opens it there.
func (x *crashes) serve(ctx context.Context, s *Scratch, d cell.Device, number int) error {
	name := fmt.Sprintf("scratch-%d%s", number, filepath.Ext(s.path))
	path, err := x.disk.Create(ctx, powercut.ImageSpec{Name: name, SizeBytes: s.size, From: s.path, Settings: deviceSettings(d, "", "")})
	if err != nil {
		return rigError("put the scratch image on the simulated disk", err)
	}
	if err := os.Remove(s.path); err != nil {
		return rigError("put the scratch image on the simulated disk", err)
	}
	s.path, s.simulated = path, name
	return nil
}

// remove takes images off the simulated disk, also after ctx has ended.
func (x *crashes) remove(ctx context.Context, names ...string) error {
	if x.died() {
		return nil // they went with it
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
	defer cancel()
	var errs []error
	for _, n := range names {
		if err := x.disk.Remove(ctx, n); err != nil {
			errs = append(errs, rigError("remove a simulated disk", err))
		}
	}
	return errors.Join(errs...)
}

// deviceFacts are the settings of a simulated disk that a matrix makes, by their names there.
func deviceFacts(d cell.Device) map[string]any {
	facts := map[string]any{}
	for name, v := range map[string]time.Duration{"write_latency": d.WriteLatency, "flush_latency": d.FlushLatency,
		"dirty_expire": d.DirtyExpire} {
		if v > 0 {
			facts[name] = v.String()
		}
	}
	for name, n := range map[string]int64{"dirty_background": d.DirtyBackground, "drive_cache_size": d.DriveCacheSize,
		"sector": int64(d.Sector)} {
		if n > 0 {
			facts[name] = n
		}
	}
	return facts
}

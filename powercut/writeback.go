package powercut

import (
	"context"
	"syscall"
	"time"

	"platter/cell"
	"platter/powercut/oplog"
)

// background writes back and destages by age and amount until ctx ends.
func (d *Disk) background(ctx context.Context) {
	ticker := time.NewTicker(d.settings.DirtyWriteback)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.kick:
			d.drain(d.aboveThreshold)
		case <-ticker.C:
			d.drain(d.expired)
			d.drain(d.aboveThreshold)
			d.drain(d.driveExpired)
		}
	}
}

// drain calls one of the next three until it has nothing to do; others get the lock in between.
func (d *Disk) drain(step func() (more bool, err error)) {
	for {
		d.order.Lock()
		if d.generation.Load() == 0 {
			d.order.Unlock()
			return
		}
		more, err := step()
		if err != nil {
			d.failed(err)
		}
		d.order.Unlock()
		if !more || err != nil {
			return
		}
	}
}

// aboveThreshold writes a batch back if more is dirty than the threshold of write-back.
func (d *Disk) aboveThreshold() (more bool, err error) {
	if d.host.bytes() <= d.settings.DirtyBackgroundBytes {
		return false, nil
	}
	d.writeBack(d.oldest(&d.host, 0))
	return true, d.fit()
}

// expired writes a batch back of what is old enough.
func (d *Disk) expired() (more bool, err error) {
	pages := d.oldest(&d.host, d.settings.DirtyExpire)
	if len(pages) == 0 {
		return false, nil
	}
	d.writeBack(pages)
	return true, d.fit()
}

// driveExpired destages a batch of what is old enough, if age counts there.
func (d *Disk) driveExpired() (more bool, err error) {
	if d.settings.DriveCacheExpire == 0 {
		return false, nil
	}
	pages := d.oldest(&d.drive, d.settings.DriveCacheExpire)
	return len(pages) > 0, d.destage(pages)
}

// throttle does after a write what cannot wait: the drive's cache never holds more than it can, and a writer that is too far
// ahead of the write-back helps it.
func (d *Disk) throttle() syscall.Errno {
	for d.host.bytes() > 2*d.settings.DirtyBackgroundBytes {
		d.writeBack(d.oldest(&d.host, 0))
		if err := d.fit(); err != nil {
			return d.failed(err)
		}
	}
	if d.host.bytes() > d.settings.DirtyBackgroundBytes {
		select {
		case d.kick <- struct{}{}:
		default:
		}
	}
	if err := d.fit(); err != nil {
		return d.failed(err)
	}
	return 0
}

// fit destages what the drive's cache cannot hold, the oldest first.
func (d *Disk) fit() error {
	room := d.settings.DriveCacheBytes
	if d.settings.DriveCache == cell.NoCache {
		room = 0
	}
	for d.drive.bytes() > room {
		if err := d.destage(d.oldest(&d.drive, 0)); err != nil {
			return err
		}
	}
	return nil
}

// oldest returns at most a batch of the pages of a layer that have been dirty for age or longer.
func (d *Disk) oldest(layer *dirty, age time.Duration) []uint32 {
	now := d.now()
	pages := d.scratch[:0]
	for p := layer.first; p != noPage && len(pages) < batchPages && (age == 0 || layer.expired(p, age, now)); p = layer.after(p) {
		pages = append(pages, p)
	}
	d.scratch = pages[:0]
	return pages
}

// writeBack moves pages from the host's page cache to the drive's cache. Nothing is copied: what was staged of them is
// covered now, and the newest content is the drive's.
func (d *Disk) writeBack(pages []uint32) {
	now := d.now()
	_ = d.eachRun(pages, func(offset, length int64, run []uint32) error {
		for _, p := range run {
			bits := d.host.get(p)
			d.drive.add(p, bits, now)
			d.host.remove(p, bits)
		}
		d.order.moved(d, oplog.Writeback, offset, length)
		return nil
	})
}

// destage moves pages from the drive's cache to the medium.
func (d *Disk) destage(pages []uint32) error {
	return d.eachRun(pages, func(offset, length int64, run []uint32) error {
		if err := d.copyDrive(offset, length, run); err != nil {
			return err
		}
		for _, p := range run {
			d.drive.remove(p, 0xff)
		}
		d.order.moved(d, oplog.Destage, offset, length)
		return nil
	})
}

// copyDrive copies the drive's version of a run of pages to the medium.
func (d *Disk) copyDrive(offset, length int64, run []uint32) error {
	covered := false
	for _, p := range run {
		covered = covered || d.host.get(p) != 0
	}
	if !covered {
		return copyRange(&d.medium, &d.current, offset, length)
	}
	for _, p := range run {
		host := d.host.get(p)
		drive := d.drive.get(p)
		if err := d.copySectors(&d.medium, &d.current, p, drive&^host); err != nil {
			return err
		}
		if err := d.copySectors(&d.medium, &d.staged, p, drive&host); err != nil {
			return err
		}
	}
	return nil
}

package powercut

import (
	"platter/cell"
	"platter/powercut/oplog"
)

// cut ends the generation: whatever comes or is on its way gets EIO. The layers stay as they are.
func (d *Disk) cut() { d.generation.Store(0) }

// restore makes the layers what the cut left of them and serves that as the next generation. Of what was lost each sector
// survives, in its newest version, or not, by the seed; with the seed 0 none does.
func (d *Disk) restore(class string, seed uint64) error {
	volatile := class == cell.PowerLoss && d.settings.DriveCache == cell.Volatile
	pages := d.dirtyPages()
	for _, p := range pages {
		lost := d.host.get(p)
		if volatile {
			lost |= d.drive.get(p)
		}
		if err := d.lose(p, lost, d.survivors(p, lost, seed), volatile); err != nil {
			return rig("restore image %s: %w", d.name, err)
		}
	}
	if err := d.fit(); err != nil {
		return rig("restore image %s: %w", d.name, err)
	}
	d.newest++
	d.generation.Store(d.newest)
	return nil
}

// lose takes sectors of a page away, but for those that survive.
func (d *Disk) lose(p uint32, lost, survive uint8, volatile bool) error {
	gone := lost &^ survive
	host := d.host.get(p)
	drive := d.drive.get(p)
	d.host.remove(p, lost)
	if volatile {
		d.drive.remove(p, lost)
		if err := d.copySectors(&d.medium, &d.current, p, survive); err != nil {
			return err
		}
		return d.copySectors(&d.current, &d.medium, p, gone)
	}
	d.drive.add(p, survive, d.now()) // it had just reached the drive
	if err := d.copySectors(&d.current, &d.staged, p, gone&host&drive); err != nil {
		return err
	}
	return d.copySectors(&d.current, &d.medium, p, gone&^drive)
}

// survivors returns those of a page's lost sectors that survive, by oplog's dice; the drive's sectors of 4096 bytes by that of their
// first 512.
func (d *Disk) survivors(p uint32, lost uint8, seed uint64) uint8 {
	if seed == 0 || lost == 0 {
		return 0
	}
	var survive uint8
	step := d.settings.SectorBytes / minSector
	for i := 0; i < pageBytes/minSector; i += step {
		if oplog.Dice(seed, uint8(d.seedID), int64(p)*(pageBytes/minSector)+int64(i))&1 == 1 {
			survive |= uint8(1<<step-1) << i
		}
	}
	return lost & survive
}

// Package powercut is a disk that can lose power. A FUSE server serves image files; below each of them it simulates the host's
// page cache, a drive's cache and the medium, and keeps, if asked, a log of what was asked of it and what took effect when. At a
// cut every client gets EIO, and what would have survived is served as a new generation.
//
// Disk is the simulation, without FUSE. Server serves disks at a mount point. Launch runs a server in a process of its own,
// and Client speaks to one.
package powercut

import (
	"fmt"
	"time"

	"platter/cell"
)

// Mutants of a disk.
const (
	IgnoreFlush = "ignore-flush" // says that a flush is done, and does nothing
	LateFlush   = "late-flush"   // answers a flush at once and does it lateFlush later
	Tear        = "tear"         // a flush makes only the first half of each page durable
	Reorder     = "reorder"      // a flush makes only the newer half of the dirty pages durable
)

// Settings of an image's simulated host and drive. The zero value of each field is its default.
type Settings struct {
	DriveCache string `json:"drive_cache,omitempty"` // of cell.DriveCaches; default cell.Volatile
	// DriveCacheBytes is how much the drive's cache holds before the oldest of it goes to the medium; default 64 MiB.
	DriveCacheBytes int64 `json:"drive_cache_bytes,omitempty"`
	// DriveCacheExpire is the age at which data go from the drive's cache to the medium; default 0, never: a drive
	// promises nothing about it.
	DriveCacheExpire time.Duration `json:"drive_cache_expire_ns,omitempty"`
	// DirtyBackgroundBytes of dirty pages start write-back, as vm.dirty_background_bytes does; default 256 MiB. At twice as
	// much a writer waits for it, as with Linux's ratios of 10 and 20 %.
	DirtyBackgroundBytes int64 `json:"dirty_background_bytes,omitempty"`
	// DirtyExpire is the age at which a dirty page is written back: vm.dirty_expire_centisecs; default 30 s.
	DirtyExpire time.Duration `json:"dirty_expire_ns,omitempty"`
	// DirtyWriteback is how often ages are looked at: vm.dirty_writeback_centisecs; default 5 s.
	DirtyWriteback time.Duration `json:"dirty_writeback_ns,omitempty"`
	// WriteLatency is what it takes to move data to the drive: each O_DIRECT or O_DSYNC write, and of a flush that finds
	// dirty pages each 32 runs of them (a drive takes 32 commands at once). Default 0.
	WriteLatency time.Duration `json:"write_latency_ns,omitempty"`
	// FlushLatency is what each flush and each O_DSYNC write takes beside that; default 0.
	FlushLatency time.Duration `json:"flush_latency_ns,omitempty"`
	// SectorBytes, 512 or 4096, is what the drive writes whole or not at all, and what O_DIRECT must be aligned to;
	// default 512.
	SectorBytes int `json:"sector_bytes,omitempty"`
	// Mutant is for platter's own tests: a disk that misbehaves. Its log says what a good disk would have done.
	Mutant string `json:"mutant,omitempty"`
}

// complete returns the settings with their defaults, or what is wrong with them.
func (s Settings) complete() (Settings, error) {
	for _, d := range []struct {
		field *int64
		value int64
	}{
		{&s.DriveCacheBytes, 64 << 20}, {&s.DirtyBackgroundBytes, 256 << 20},
		{(*int64)(&s.DirtyExpire), int64(30 * time.Second)}, {(*int64)(&s.DirtyWriteback), int64(5 * time.Second)},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if s.DriveCache == "" {
		s.DriveCache = cell.Volatile
	}
	if s.SectorBytes == 0 {
		s.SectorBytes = minSector
	}
	return s, s.check()
}

func (s Settings) check() error {
	const longest = 10 * time.Second // more is a mistake in the unit, and holds clients in an uninterruptible wait
	switch {
	case s.DriveCache != cell.Volatile && s.DriveCache != cell.Protected && s.DriveCache != cell.NoCache:
		return usage("drive cache %q: it is volatile, protected or none", s.DriveCache)
	case s.SectorBytes != minSector && s.SectorBytes != pageBytes:
		return usage("sectors of %d bytes: they have 512 or 4096", s.SectorBytes)
	case s.WriteLatency < 0 || s.WriteLatency > longest || s.FlushLatency < 0 || s.FlushLatency > longest:
		return usage("latencies of %v and %v: from 0 to %v", s.WriteLatency, s.FlushLatency, longest)
	case s.DirtyExpire < 0 || s.DirtyWriteback < time.Millisecond || s.DriveCacheExpire < 0:
		return usage("dirty pages expire after %v, looked at every %v, the drive's cache after %v: "+
			"none may be negative, the second is 1ms at least",
			s.DirtyExpire, s.DirtyWriteback, s.DriveCacheExpire)
	case s.DriveCacheBytes < pageBytes || s.DirtyBackgroundBytes < pageBytes:
		return usage("drive cache of %d bytes, write-back from %d bytes: at least %d", s.DriveCacheBytes, s.DirtyBackgroundBytes, pageBytes)
	}
	switch s.Mutant {
	case "", IgnoreFlush, LateFlush, Tear, Reorder:
		return nil
	}
	return usage("no mutant %q: there are %s, %s, %s and %s", s.Mutant, IgnoreFlush, LateFlush, Tear, Reorder)
}

// Counters count what an image's clients asked for since it was made, over all its generations.
type Counters struct {
	Reads        int64 `json:"reads"`
	Writes       int64 `json:"writes"`       // O_DSYNC ones among them, discards not
	DsyncWrites  int64 `json:"dsync_writes"` // with O_DSYNC or O_SYNC
	Flushes      int64 `json:"flushes"`      // fsync and fdatasync
	Discards     int64 `json:"discards"`     // holes punched and ranges zeroed
	BytesRead    int64 `json:"bytes_read"`
	BytesWritten int64 `json:"bytes_written"`
}

// Fault is whose fault an error is.
type Fault string

// The faults.
const (
	Usage Fault = "usage" // what was asked for makes no sense here; nothing was changed
	Rig   Fault = "rig"   // FUSE, the mount, the disk that the layers lie on, the server's process
)

// Error is an error of this package: one line that names the image or directory and says what to do.
type Error struct {
	Fault Fault
	Err   error
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func usage(format string, args ...any) error { return &Error{Usage, fmt.Errorf(format, args...)} }
func rig(format string, args ...any) error   { return &Error{Rig, fmt.Errorf(format, args...)} }

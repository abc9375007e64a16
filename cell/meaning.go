package cell

import (
	"slices"
	"strings"
	"time"
)

// The methods below are of a cell whose matrix was checked: each setting is readable. What is not set has the default of whoever
// would choose it.

// HostHypervisor is the hypervisor that is installed on the machine itself.
const HostHypervisor = "host"

// The settings of what runs a cell's guest.
const (
	HypervisorSetting = "host.hypervisor"
	EmulatorSetting   = "disk.emulator"
)

// RunsGuest reports whether a setting is one of what runs the guest, and no property of guest or disk.
func RunsGuest(setting string) bool {
	return setting == HypervisorSetting || setting == EmulatorSetting
}

// Hypervisor returns which hypervisor of the machine runs the cell's guest: HostHypervisor, or the name of a root tree that has one.
func (c Cell) Hypervisor() string { return c.textOr(HypervisorSetting, HostHypervisor) }

// Emulator returns the path of the QEMU that runs the cell's guest; empty for the hypervisor's own.
func (c Cell) Emulator() string { return c.Settings.Text(EmulatorSetting) }

// Cache returns libvirt's cache attribute; empty where the cell leaves it to the hypervisor.
func (c Cell) Cache() string { return c.Settings.Text("disk.cache") }

// IO returns libvirt's io attribute: "threads", "native" or "io_uring"; empty where the cell leaves it to the hypervisor.
func (c Cell) IO() string { return c.Settings.Text("disk.io") }

// Bus returns the disk's bus, "virtio" unless it is set.
func (c Cell) Bus() string { return c.textOr("disk.bus", "virtio") }

// IOThread returns the number of the iothread that serves the disk; 0 where the cell names none.
func (c Cell) IOThread() int { return int(c.number("disk.iothread", 0)) }

// Format returns the image's format: "raw" or "qcow2".
func (c Cell) Format() string { return c.textOr("storage.format", "raw") }

// SizeBytes returns the size of the scratch disk.
func (c Cell) SizeBytes() int64 { return c.number("storage.size", 0) }

// ClusterSize returns the size of qcow2's clusters in bytes; 0 is qemu-img's default.
func (c Cell) ClusterSize() int64 { return c.number("storage.cluster_size", 0) }

// Preallocation returns what qemu-img allocates beforehand: "off", "metadata", "falloc" or "full".
func (c Cell) Preallocation() string { return c.textOr("storage.preallocation", "off") }

// MemoryBytes returns the guest's memory.
func (c Cell) MemoryBytes() int64 { return c.number("guest.memory", 0) }

// VCPUs returns the number of the guest's processors.
func (c Cell) VCPUs() int { return int(c.number("guest.vcpus", 0)) }

// AsDevice is the value of a guest's knob that is left as the guest's kernel found it.
const AsDevice = "device"

// WriteCache returns what queue/write_cache in the guest's sysfs is set to: AsDevice or "write through".
func (c Cell) WriteCache() string { return c.textOr("guest.write_cache", AsDevice) }

// CacheType returns what the disk's cache_type in the guest's sysfs (virtio's, or scsi_disk's) is set to: AsDevice, "write
// through" or "write back".
func (c Cell) CacheType() string { return c.textOr("guest.cache_type", AsDevice) }

// FlushesStopped reports whether a knob in the guest keeps flushes from leaving it.
func (c Cell) FlushesStopped() bool {
	return c.Barrier() == "off" || c.WriteCache() == "write through" || c.CacheType() == "write through"
}

// RW returns fio's rw without its suffix; fio's default is "read".
func (c Cell) RW() string {
	rw, _, _ := strings.Cut(c.textOr("fio.rw", "read"), ":")
	return rw
}

// Engine returns fio's ioengine; its default on Linux is psync.
func (c Cell) Engine() string { return c.textOr("fio.ioengine", "psync") }

// Direct reports whether fio opens the disk or file with O_DIRECT in the guest; fio's own default is not to.
func (c Cell) Direct() bool { return c.Settings.Text("fio.direct") == "1" }

// How fio's writes are synchronous by themselves.
const (
	NoSync = "none"
	DSync  = "dsync" // O_DSYNC
	Sync   = "sync"  // O_SYNC
)

// Sync returns how fio's writes are synchronous: NoSync, DSync or Sync. 0 and 1 are fio's older spellings of the first and last.
func (c Cell) Sync() string {
	switch s := c.textOr("fio.sync", NoSync); s {
	case "0":
		return NoSync
	case "1":
		return Sync
	default:
		return s
	}
}

// Fsync returns after how many writes fio calls fsync; 0 is never.
func (c Cell) Fsync() int { return int(c.number("fio.fsync", 0)) }

// Fdatasync returns after how many writes fio calls fdatasync; 0 is never.
func (c Cell) Fdatasync() int { return int(c.number("fio.fdatasync", 0)) }

// How often the cell's application asks for durability.
const (
	CommitsNever     = "never"
	CommitsSometimes = "sometimes" // after several writes
	CommitsEach      = "each"      // after each write, or each write does it
)

// Commits returns how often the cell's application asks for durability: CommitsNever, CommitsSometimes or CommitsEach.
func (c Cell) Commits() string {
	switch {
	case c.Sync() != NoSync || c.Fsync() == 1 || c.Fdatasync() == 1:
		return CommitsEach
	case c.Fsync() > 0 || c.Fdatasync() > 0:
		return CommitsSometimes
	}
	return CommitsNever
}

// Promises reports whether the cell's application is promised anything.
func (c Cell) Promises() bool { return c.Commits() != CommitsNever }

// BlockBytes returns the size of one write; fio's default is 4 KiB. Of a bs with one size a direction it is that of reads, where
// it is given.
func (c Cell) BlockBytes() int64 {
	first, _, _ := strings.Cut(c.Settings.Text("fio.bs"), ",")
	if n, err := ParseFioSize(first); err == nil && n > 0 {
		return n
	}
	return 4096
}

// Jobs returns fio's numjobs, at least 1.
func (c Cell) Jobs() int { return int(max(1, c.number("fio.numjobs", 1))) }

// IODepth returns fio's iodepth, at least 1.
func (c Cell) IODepth() int { return int(max(1, c.number("fio.iodepth", 1))) }

// SynchronousEngines are fio's ioengines that have one operation under way at a time, whatever iodepth says.
func SynchronousEngines() []string {
	return []string{"sync", "psync", "vsync", "pvsync", "pvsync2", "mmap"}
}

// Writers returns how many operations the workload has under way at once, at least 1.
func (c Cell) Writers() int {
	if slices.Contains(SynchronousEngines(), c.Engine()) {
		return c.Jobs()
	}
	return c.Jobs() * c.IODepth()
}

// ReadPercent returns fio's rwmixread, the share of reads in a mixed workload; fio's default is 50.
func (c Cell) ReadPercent() int { return int(c.number("fio.rwmixread", 50)) }

// Runtime returns fio's runtime; 0 when the workload ends by size alone.
func (c Cell) Runtime() time.Duration { return c.fioTime("runtime") }

// Ramp returns fio's ramp_time, which comes before the runtime and is not measured.
func (c Cell) Ramp() time.Duration { return c.fioTime("ramp_time") }

// Appends reports whether the workload writes behind the end of its file.
func (c Cell) Appends() bool { return c.Settings.Text("fio.file_append") == "1" }

// WorkingSet returns how many bytes of the scratch disk one job works on: fio's size, or without one the disk from fio's
// offset on. Jobs of one cell share it unless offset_increment sets them apart.
func (c Cell) WorkingSet() int64 {
	if size := c.number("fio.size", 0); size > 0 {
		return size
	}
	return max(0, c.SizeBytes()-c.number("fio.offset", 0))
}

// FileBytes returns how large the one file must be that the workload runs on, before fio begins: up to where its last job ends.
// It is 0 without a file system. With fio's file_append=1 fio makes the file longer, and each trial needs it short again.
func (c Cell) FileBytes() int64 {
	if c.Filesystem() == RawDevice {
		return 0
	}
	return int64(c.Reach())
}

// Reach returns where the workload of the last job ends on the disk, in bytes; exact up to 8 PiB. Without a size it is the first
// byte of that job.
func (c Cell) Reach() float64 {
	offset, step := c.number("fio.offset", 0), c.number("fio.offset_increment", 0)
	return float64(offset) + float64(c.Jobs()-1)*float64(step) + float64(max(1, c.number("fio.size", 0)))
}

// Device is the simulated disk that loses power, as far as a cell sets it. The zero value of each field is its default.
type Device struct {
	WriteLatency    time.Duration // 0: none
	FlushLatency    time.Duration // 0: none
	DirtyExpire     time.Duration // 0: 30 s
	DirtyBackground int64         // in bytes; 0: 256 MiB
	DriveCacheSize  int64         // in bytes; 0: 64 MiB
	Sector          int           // 512 or 4096; 0: 512
}

// Device returns the simulated disk of the cell's crash campaigns.
func (c Cell) Device() Device {
	latency := func(name string) time.Duration {
		d, _ := time.ParseDuration(c.Settings.Text("device." + name)) // not set: 0
		return d
	}
	return Device{
		WriteLatency: latency("write_latency"), FlushLatency: latency("flush_latency"), DirtyExpire: latency("dirty_expire"),
		DirtyBackground: c.number("device.dirty_background", 0), DriveCacheSize: c.number("device.drive_cache_size", 0),
		Sector: int(c.number("device.sector", 0)),
	}
}

// textOr returns a setting's text, or what it is when nothing sets it.
func (c Cell) textOr(name, otherwise string) string {
	if v, ok := c.Settings.Get(name); ok {
		return v.String()
	}
	return otherwise
}

// number returns a setting's whole number by fio's rules, which read plain numbers as everybody does, or what it is when nothing
// sets it.
func (c Cell) number(name string, otherwise int64) int64 {
	text := c.Settings.Text(name)
	if text == "" {
		return otherwise
	}
	n, err := ParseFioSize(text)
	if err != nil {
		return otherwise // matrices refuses such a value
	}
	return n
}

func (c Cell) fioTime(name string) time.Duration {
	d, err := ParseFioTime(c.Settings.Text("fio." + name))
	if err != nil {
		return 0
	}
	return d
}

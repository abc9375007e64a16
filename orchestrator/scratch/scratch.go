// Package scratch is the scratch disk of a guest: what it is made of, where its bytes lie, and how it is plugged in. Trials are measured on
// it, and crash campaigns are made on it.
package scratch

import (
	"time"

	"platter/cell"
	"platter/fiojob"
	"platter/flushpath"
	"platter/libvirtxml"
	"platter/orchestrator/guest"
	"platter/results"
)

// Shape is how a scratch image is made. Cells with equal shapes share one image, which is filled once.
type Shape struct {
	Format        string      // "raw" or "qcow2"
	SizeBytes     int64       // of the disk
	ClusterSize   int64       // of qcow2 in bytes; 0 for qemu-img's default
	Preallocation string      // as qemu-img has it; empty for its default
	Filesystem    string      // made inside the guest; "none" for the raw device
	FileBytes     int64       // of the file laid out in the file system; 0 without one
	Simulated     cell.Device // the simulated disk that serves it; the zero value for the host's own storage
}

// ShapeOf returns the shape of a cell's scratch image. Trials run on the simulated disk where latencies ask for it: the other settings of a
// device say what a crash takes.
func ShapeOf(c cell.Cell) Shape {
	s := Shape{Format: c.Format(), SizeBytes: c.SizeBytes(), ClusterSize: c.ClusterSize(), Preallocation: c.Preallocation(),
		Filesystem: c.Filesystem(), FileBytes: c.FileBytes()}
	if d := c.Device(); d.WriteLatency > 0 || d.FlushLatency > 0 {
		s.Simulated = d
	}
	return s
}

// Counters is what is known of an image on the host's side at one moment. What a medium does not count is nil.
type Counters struct {
	SizeBytes     int64  // of the image
	Allocated     *int64 // bytes of the image with blocks on the host's file system
	Resident      *int64 // bytes of the image in the host's page cache
	Flushes       *int64 // that reached this image
	DsyncWrites   *int64 // that reached it with O_DSYNC, RWF_DSYNC or O_SYNC
	DeviceFlushes *int64 // of the host's device below, from everybody
}

// Reading is QEMU's side of the scratch disk at one moment.
type Reading struct {
	Flags    results.CacheFlags
	Counters results.BlockCounters // since the disk was attached
	// FlushLatency is how long QEMU took for the flushes since then; nil where it keeps no histogram.
	FlushLatency *fiojob.Histogram
	// ODirect is whether QEMU has the image open with O_DIRECT; nil where /proc does not tell.
	ODirect *bool
	// CPU is the processor time that QEMU has used since it started; 0 where /proc does not tell.
	CPU time.Duration
}

// How long an emulated guest may take for the steps with a disk: it takes fractions of a second for each but making a file system.
const (
	AttachLimit  = 30 * time.Second
	ColdLimit    = 150 * time.Second // beside AttachLimit, of a disk for which a guest is started
	PrepareLimit = 120 * time.Second
	FormatLimit  = 2 * time.Minute
)

// FreeMargin is how many bytes must stay free in the storage directory beside the images.
const FreeMargin = 64 << 20

// What the guest sees as the disks' serials.
const (
	Serial        = "platter-scratch"
	WitnessSerial = "platter-witness"
)

// witnessTarget is out of the way of the scratch disk's.
const witnessTarget = "vdy"

// Disk returns a cell's disk as libvirt attaches it.
func Disk(c cell.Cell, source libvirtxml.Source) libvirtxml.ScratchDisk {
	d := Plain(source, c.Format(), c.Bus(), nil)
	for _, s := range c.Settings.Of("disk") {
		switch s.Name {
		case "bus", "emulator":
		case "dpofua":
			d.DPOFUA = s.Value.String()
		default:
			d.Driver = append(d.Driver, libvirtxml.Attr{Name: s.Name, Value: s.Value.String()})
		}
	}
	return d
}

// Plain returns a disk on a bus, "virtio", "scsi" or "nvme", with attributes of its driver that no cell asked for.
func Plain(source libvirtxml.Source, format, bus string, driver []libvirtxml.Attr) libvirtxml.ScratchDisk {
	d := libvirtxml.ScratchDisk{Source: source, Format: format, Bus: bus, Target: "vdb", Serial: Serial, Driver: driver}
	switch bus {
	case "scsi":
		d.Target = "sda"
	case "nvme":
		d.Target = "nvme0n1"
	}
	return d
}

// Cached returns a virtio disk with nothing but a cache mode.
func Cached(source libvirtxml.Source, format, cache string) libvirtxml.ScratchDisk {
	return Plain(source, format, "virtio", []libvirtxml.Attr{{Name: "cache", Value: cache}})
}

// Witness returns the disk that a witness keeps its records on, to be plugged in beside the scratch disk. It is raw, with cache=none.
func Witness(source libvirtxml.Source) libvirtxml.ScratchDisk {
	d := Cached(source, "raw", "none")
	d.Target, d.Serial = witnessTarget, WitnessSerial
	return d
}

// FileSource returns the source of a disk whose image is a file. The path must be absolute.
func FileSource(path string) libvirtxml.Source { return libvirtxml.Source{Kind: "file", Path: path} }

// Setup returns what the guest is to do with a cell's disk. Its file system has a data file of so many bytes; 0 without one.
func Setup(c cell.Cell, fileBytes int64) guest.Setup {
	return guest.Setup{Filesystem: c.Filesystem(), Barrier: c.Barrier(), WriteCache: c.WriteCache(), CacheType: c.CacheType(),
		FileBytes: fileBytes}
}

// Flags returns the cache flags that a cell means: those of its cache mode, with the write cache as the guest sets it through the device's
// cache_type (virtio's and SCSI's knob), which QEMU follows.
func Flags(c cell.Cell) results.CacheFlags {
	writeback, direct, noFlush := flushpath.Effective(flushpath.Of(c, flushpath.Facts{}))
	return results.CacheFlags{Writeback: writeback, Direct: direct, NoFlush: noFlush}
}

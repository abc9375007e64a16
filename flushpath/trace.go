package flushpath

import (
	"slices"

	"platter/cell"
)

// Where a layer is.
const (
	InGuest   = "guest"
	InQEMU    = "qemu"
	InHost    = "host"
	InCluster = "cluster"
)

// What becomes of a flush at a layer.
const (
	Passes    = "passes"     // the layer writes its own data out and hands the flush on
	Ends      = "ends"       // here the data are durable
	Swallowed = "swallowed"  // the flush is due below and does not get there
	NotNeeded = "not needed" // what lies below makes writes durable by itself
	Made      = "made"       // none comes from above; one is made after each write
	Absent    = "absent"     // it was swallowed above
)

// Layer is one stop between the application and the medium.
type Layer struct {
	Name  string `json:"layer"`
	Where string `json:"where"` // InGuest, InQEMU, InHost or InCluster
	// Holds says that the layer keeps writes in a memory that one of the classes TakenBy takes.
	Holds   bool     `json:"holds"`
	TakenBy []string `json:"taken_by,omitempty"`
	// Unpromised says that an acknowledged write without a promise may be here and nowhere below; Promised that a
	// promised one may.
	Unpromised bool   `json:"unpromised"`
	Promised   bool   `json:"promised"`
	Newest     bool   `json:"newest,omitempty"` // of the promised writes only the newest
	Flush      string `json:"flush"`            // Passes, Ends, Swallowed, NotNeeded, Made or Absent
	Reason     string `json:"reason"`
	Source     string `json:"source"`
}

// Path is a configuration's way from the application to the medium.
type Path struct {
	Layers   []Layer  `json:"layers"` // in the order in which a write crosses them
	Expected Expected `json:"expected"`
	// Asked says that the job asks for durability at all. If it does not, the flush of Layers is the one that it would get.
	Asked bool `json:"asked"`

	late Layer // where what is newest may be left out of its flush; the zero value where it is not
}

// Trace returns the path of a configuration with a volatile drive cache. For one that Check refuses it ends where the model does.
func Trace(c Config) Path { return trace(c, cell.Volatile) }

// TraceWith is Trace with another kind of drive cache: cell.Volatile, cell.Protected or cell.NoCache.
func TraceWith(c Config, driveCache string) Path { return trace(c, driveCache) }

// SwallowedAt returns the layer that swallows the flush, and whether there is one.
func (p Path) SwallowedAt() (Layer, bool) {
	i := slices.IndexFunc(p.Layers, func(l Layer) bool { return l.Flush == Swallowed })
	if i < 0 {
		return Layer{}, false
	}
	return p.Layers[i], true
}

// walk adds layer after layer and carries the flush down with them.
type walk struct {
	Config
	path      Path
	arriving  bool // a flush of the application reaches the next layer
	made      bool // QEMU makes one after each write, and it reaches the next layer
	swallowed bool // above
	late      bool // the newest promises may not be in what was flushed
	lateEach  bool // nor the newest writes without one
}

func trace(c Config, driveCache string) Path {
	asked, _ := c.promises()
	w := &walk{Config: c, arriving: true}
	w.path.Asked = asked && !c.Lies
	w.path.Expected = expected(c)
	w.application()
	w.pageCache()
	w.filesystem()
	w.blockLayer()
	w.device()
	w.format()
	w.blockDriver()
	switch {
	case c.Protocol == "rbd":
		w.librbd()
		w.add(Layer{Name: "Ceph cluster", Where: InCluster, Flush: Ends,
			Reason: "it answers a write once all replicas have it on disk", Source: sourceCluster})
	case c.local():
		w.hostPageCache()
		w.drive(driveCache)
	}
	return w.path
}

// add appends a layer that was reached by a flush as arriving and made say; for what it holds it follows what may rest there.
func (w *walk) add(l Layer) {
	promised, each := w.promises()
	reached := w.arriving || w.made
	if l.Flush == Passes || l.Flush == Ends {
		if !reached {
			l.Flush = Absent
			if !w.swallowed {
				l.Flush = NotNeeded
			} else if l.Holds {
				l.Reason = "no flush comes: writes rest here until they are written back some time"
			}
		}
	}
	if l.Holds {
		l.Newest = promised && reached && w.late
		l.Promised = promised && !reached || l.Newest
		l.Unpromised = !each && (!w.made || w.lateEach)
	}
	if l.Flush == Swallowed {
		w.arriving = false
		w.made = false
		w.swallowed = true
	}
	w.path.Layers = append(w.path.Layers, l)
}

func (w *walk) application() {
	l := Layer{Name: "application", Where: InGuest, Flush: Passes, Reason: w.promiser() + " asks for durability", Source: sourceFsync}
	if w.syncedWrites() {
		l.Source = sourceOpen
	}
	switch promised, _ := w.promises(); {
	case w.Lies:
		l.Flush = Swallowed
		l.Reason = "it promises without a sync"
		l.Source = sourceApplication
	case !promised:
		l.Reason = "it asks for no durability; below stands what an fsync would get"
	}
	w.add(l)
}

func (w *walk) pageCache() {
	if w.Direct {
		return
	}
	w.add(Layer{Name: "guest page cache", Where: InGuest, Holds: true, TakenBy: cell.FailureClasses(), Flush: Passes,
		Reason: "buffered writes rest here; a sync writes them out first", Source: sourceOpen})
}

func (w *walk) filesystem() {
	if !w.mounted() {
		return
	}
	l := Layer{Name: w.Filesystem, Where: InGuest, Flush: Passes,
		Reason: "a sync flushes the disk, by itself or with its journal commit", Source: sourceFilesystem}
	if w.remaps() {
		if !w.Grows {
			l.Reason = "a sync writes down where the data are now, and flushes the disk"
		}
		l.Holds = true
		l.TakenBy = cell.FailureClasses()
	}
	if !w.barriers() {
		l.Source = sourceBarrier(w.Filesystem)
		l.Reason = "barrier=0: a commit is written out without a flush"
		if w.Filesystem != "ext4" {
			l.Reason = "nobarrier: a commit is written out without a flush"
		}
		switch writeback, _, _ := Effective(w.Config); {
		case !writeback:
			l.Flush = NotNeeded
			l.Reason += ", and the disk needs none"
		case w.fuaWrites():
			l.Reason = "no barriers: flushes are left out, and not the FUA of an O_DSYNC write"
		default:
			l.Flush = Swallowed
		}
	}
	w.add(l)
}

func (w *walk) blockLayer() {
	l := Layer{Name: "guest block layer", Where: InGuest, Flush: Passes,
		Reason: "the disk says that it has a volatile cache", Source: sourceBlock}
	switch writeback, _, _ := Effective(w.Config); {
	case w.Bus == "sd" && writeback:
		l.Source = sourceSD
		l.Reason = "an SD card says in every mode that it has no volatile cache: every flush is dropped"
		if w.arriving {
			l.Flush = Swallowed
		}
	case !w.seesCache():
		l.Flush = NotNeeded
		l.Reason = "the disk says that it has no volatile cache"
	case w.WriteCache == "write through":
		l.Source = sourceWriteCache
		l.Reason = "queue/write_cache is write through: every flush is dropped"
		if w.arriving {
			l.Flush = Swallowed
		}
	case w.fuaWrites():
		l.Reason = "the disk takes FUA: each O_DSYNC write is sent with it, and no flush behind it"
		l.Source = sourceFUA
	case w.fuaCommits():
		l.Reason = "the disk takes FUA: a commit's last block is sent with it, after a flush and with none behind it"
		l.Source = sourceFUA
	}
	w.add(l)
	if l.Flush == NotNeeded {
		w.arriving = false
	}
}

func (w *walk) device() {
	name := "disk"
	if w.Bus != "" {
		name = w.Bus + " disk"
	}
	l := Layer{Name: name, Where: InQEMU, Flush: Passes, Reason: "QEMU takes the guest's flush", Source: sourceModes}
	if !w.arriving {
		l.Reason = "it hears of no flush"
	} else if w.CacheType != "" {
		l.Reason = "cache_type is " + w.CacheType + ": QEMU takes the guest's flush"
		l.Source = sourceCacheType
	}
	fua := w.fuaWrites() || w.fuaCommits()
	flush := w.fuaFlush()
	switch writeback, _, _ := Effective(w.Config); {
	case !writeback:
		l.Flush = Made
		l.Reason = "QEMU flushes after each write, before the guest hears of its end"
		l.Source = sourceEachWrite
		if w.CacheType != "" {
			l.Source = sourceCacheType
		}
		switch {
		case flush.dsync:
			l.Reason = "QEMU makes each write RWF_DSYNC: it is durable when the guest hears of its end"
			l.Source = flush.source
		case flush.late:
			l.Reason = "QEMU flushes after each write, and may leave that write out: " + w.leftOut()
			l.Source = flush.source
			w.lateEach = true
			w.late = !w.arriving || fua // a flush that the guest sends itself, to NVMe, comes later and leaves nothing out
		}
		w.made = true
		w.swallowed = false
	case w.arriving && w.Bus == "nvme" && w.fuaWrites():
		l.Flush = Swallowed
		l.Reason = "QEMU's NVMe device takes FUA and ignores it: no flush comes of an O_DSYNC write"
		l.Source = sourceNVMe
	case w.arriving && w.Bus == "nvme" && fua:
		l.Reason = "QEMU's NVMe device takes FUA and ignores it: a commit's last block waits for the next flush"
		l.Source = sourceNVMe
		w.late = true
	case w.arriving && fua && flush.dsync:
		l.Reason = "QEMU takes flushes, and makes writes with FUA RWF_DSYNC"
		l.Source = flush.source
	case w.arriving && fua && flush.late && w.QEMU.AtLeast(10, 1, 0):
		l.Reason = "QEMU flushes after a write with FUA, and may leave that write out: " + w.leftOut()
		l.Source = sourceSCSIFUA + "; " + flush.source
		w.late = true
	}
	if w.late || w.lateEach {
		w.path.late = l
	}
	w.add(l)
}

func (w *walk) format() {
	if w.raw() || w.Allocated {
		return
	}
	w.add(Layer{Name: w.Format + " metadata", Where: InQEMU, Holds: true, TakenBy: cell.FailureClasses()[1:], Flush: Passes,
		Reason: "what maps new clusters rests here until a flush", Source: sourceFormat})
}

func (w *walk) blockDriver() {
	_, direct, noFlush := Effective(w.Config)
	l := Layer{Name: "QEMU block driver", Where: InQEMU, Flush: Passes,
		Reason: "the image is open through the host's page cache", Source: sourceModes}
	switch {
	case w.Protocol == "rbd" && direct:
		l.Reason = "cache.direct: librbd's cache is off"
		l.Source = sourceRBD
	case w.Protocol == "rbd":
		l.Reason = "librbd's cache is on"
		l.Source = sourceRBD
	case !w.local():
		l.Reason = "what the server does with writes and flushes is not modelled"
	case direct:
		l.Reason = "the image is open with O_DIRECT"
	}
	if noFlush {
		l.Reason = "no-flush: QEMU takes flushes and sends none"
		l.Source = sourceNoFlush
		if w.arriving || w.made {
			l.Flush = Swallowed
		}
	}
	w.add(l)
}

func (w *walk) librbd() {
	_, direct, noFlush := Effective(w.Config)
	if direct {
		return
	}
	l := Layer{Name: "librbd cache", Where: InQEMU, Holds: true, TakenBy: cell.FailureClasses()[1:], Flush: Passes,
		Reason: "writes rest here; a flush sends them to the cluster", Source: sourceRBD}
	switch {
	case w.WritethroughUntilFlush && noFlush:
		l.Holds = false
		l.TakenBy = nil
		l.Source = sourceUntilFlush
		l.Reason = "writethrough_until_flush: no flush ever comes, so it stays writethrough"
	case w.WritethroughUntilFlush:
		l.Reason = "writethrough until the first flush from anywhere in the guest; then writes rest here"
		l.Source = sourceUntilFlush
	}
	w.add(l)
}

func (w *walk) hostPageCache() {
	if _, direct, _ := Effective(w.Config); direct {
		return
	}
	w.add(Layer{Name: "host page cache", Where: InHost, Holds: true, TakenBy: cell.FailureClasses()[2:], Flush: Passes,
		Reason: "QEMU's fdatasync writes it out", Source: sourceModes})
}

func (w *walk) drive(cache string) {
	switch cache {
	case cell.NoCache:
	case cell.Protected:
		w.add(Layer{Name: "drive cache", Where: InHost, Flush: Ends, Reason: "protected: it survives the loss of power", Source: sourceBlock})
		w.arriving = false
		w.made = false
	default:
		w.add(Layer{Name: "drive cache", Where: InHost, Holds: true, TakenBy: cell.FailureClasses()[3:], Flush: Passes,
			Reason: "volatile: a flush writes it out", Source: sourceBlock})
	}
	w.add(Layer{Name: "medium", Where: InHost, Flush: Ends, Reason: "what is here is durable", Source: sourceBlock})
}

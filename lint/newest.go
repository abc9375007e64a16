package lint

import (
	"fmt"
	"slices"
	"strings"

	"platter/cell"
	"platter/flushpath"
	"platter/version"
)

// newest asks the model whether this QEMU may lose promises whose flush gets to the medium, and what would keep them.
func (l *linter) newest(d lintDisk) {
	h := l.hypervisor
	c := flushpath.Config{Cache: d.mode(), Bus: d.Bus, Format: d.format(), Protocol: d.Source.Protocol, IO: d.Get("io"), QEMU: h.QEMU,
		NoRawNode: flushpath.LeavesRawOut(h.Libvirt), Machine: flushpath.MachineVersion(l.domain.machine, h.QEMU)}
	if c.Check() != nil || d.Device == "lun" {
		return
	}
	if classes, worst := risked(c); len(classes) > 0 {
		qemu := "QEMU " + h.QEMU.String()
		switch {
		case !h.QEMU.Known():
			qemu = "a QEMU of any version"
		case h.Assumed:
			qemu += " (installed here, assumed)"
		}
		l.add(ruleNewest, LevelWarning, d.where("cache"), d.Target,
			"disk %s: with %s promises may be lost by %s: %s; %s keeps them [%s]", d.Target, qemu, strings.Join(classes, ", "), worst.Because,
			strings.Join(mends(c), ", or "), worst.Source)
		return
	}
	if h.QEMU.Known() && !h.Assumed {
		return
	}
	// The newest releases that were tried stand for what comes.
	later := c
	later.QEMU, later.NoRawNode = version.Version{Major: 11, Minor: 1, Micro: 3}, true
	later.Machine = flushpath.MachineVersion(l.domain.machine, later.QEMU)
	if classes, worst := risked(later); len(classes) > 0 {
		here := "QEMU " + h.QEMU.String() + ", which is installed here and assumed, keeps them"
		if !h.QEMU.Known() {
			here = "QEMU's version is not known; --qemu VERSION says it"
		}
		l.add(ruleNewest, LevelNote, d.where("cache"), d.Target,
			"disk %s: newer releases of QEMU may lose promises by %s, QEMU %s for one; %s; %s keeps them with any [%s]", d.Target,
			strings.Join(classes, ", "), later.QEMU, here, strings.Join(mends(later), ", or "), worst.Source)
	}
}

// risked returns the failure classes that may take the promises of some guest, and the worst prediction. Guests promise by fsync on the
// device itself, on a file that grows, and by O_DSYNC, with several writers. What the guest cannot help, flushes that are dropped below it,
// is another rule's.
func risked(c flushpath.Config) (classes []string, worst flushpath.Prediction) {
	c.Direct, c.Writers = true, 2
	fsync, grows, dsync := c, c, c
	fsync.Fsync, grows.Fsync, dsync.Sync = 1, 1, "dsync"
	grows.Filesystem, grows.Barrier, grows.Grows = "ext4", true, true
	dsync.Filesystem, dsync.Barrier = "ext4", true
	if _, swallowed := flushpath.Trace(fsync).SwallowedAt(); swallowed {
		return nil, worst
	}
	for _, class := range cell.FailureClasses() {
		for _, guest := range []flushpath.Config{fsync, grows, dsync} {
			if p := flushpath.Predict(guest, class, cell.Volatile); p.Verdict == flushpath.Loses {
				if !slices.Contains(classes, class) {
					classes = append(classes, class)
				}
				if worst.Verdict == "" || worst.Newest && !p.Newest {
					worst = p
				}
			}
		}
	}
	return classes, worst
}

// mends returns which settings of the disk would keep its promises, by the model: the smallest change first. It is never empty.
func mends(c flushpath.Config) []string {
	var all []string
	try := func(cache, io, bus string) {
		changed := c
		var words []string
		for _, s := range []struct {
			name, value string
			field       *string
		}{{"cache", cache, &changed.Cache}, {"io", io, &changed.IO}, {"bus", bus, &changed.Bus}} {
			if s.value != "" && *s.field != s.value {
				*s.field = s.value
				words = append(words, fmt.Sprintf("%s='%s'", s.name, s.value))
			}
		}
		if classes, _ := risked(changed); len(classes) == 0 && len(words) > 0 {
			all = append(all, strings.Join(words, " "))
		}
	}
	if c.Protocol == "" { // io is of files and devices alone
		if _, direct, _ := flushpath.Effective(c); direct {
			try("", "native", "")
		} else {
			try("directsync", "native", "")
		}
		try("", "io_uring", "")
	}
	if len(all) == 0 {
		try("none", "", "")
		try("", "", "virtio")
	}
	if len(all) == 0 {
		try("none", "", "virtio")
	}
	return all
}

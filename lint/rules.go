package lint

import (
	"fmt"
	"slices"
	"strings"

	"platter/cell"
	"platter/flushpath"
	"platter/libvirtxml"
	"platter/policy"
)

// Rule is one of the rules.
type Rule struct {
	ID     string
	Level  string // the usual one; a finding may be milder
	Title  string // one line
	Help   string // why, and what to do
	Source string // where the rule comes from
}

// IDs of the rules.
const (
	ruleCacheForbidden = "cache-forbidden"
	ruleUnsafe         = "unsafe-not-ephemeral"
	ruleRefused        = "refused-by-libvirt"
	ruleContradiction  = "contradiction"
	ruleFlushEnds      = "flush-path-ends-early"
	ruleFlushUnknown   = "flush-path-unknown"
	ruleNewest         = "newest-promises-at-risk"
	ruleGuestMayUndo   = "guest-may-undo"
	ruleMigration      = "blocks-migration"
	ruleDiscard        = "missing-discard"
	ruleRBD            = "rbd-without-writeback"
	ruleLabelWithout   = "label-without-disk"
	ruleNotJudged      = "not-judged"
)

// Sources that more than one text names.
const (
	sourceWriteCache = "virtio 1.2, 5.2.5 (writeback field of the configuration); QEMU, hw/block/virtio-blk.c (config-wce), " +
		"hw/scsi/scsi-disk.c (MODE SELECT), hw/ide/core.c (SET FEATURES)"
	sourceMigrationSafe = "libvirt, src/qemu/qemu_migration.c, qemuMigrationSrcIsAllowed and qemuMigrationSrcIsSafe"
)

// Rules are all rules, in the order of their weight.
func Rules() []Rule {
	return []Rule{
		{ruleCacheForbidden, LevelError, "the policy does not allow this cache mode on this disk",
			"The first rule under disks in the policy that matches the disk decides. Choose a mode that it lists, or change the policy.",
			"the policy file"},
		{ruleUnsafe, LevelError, "cache=unsafe on a disk that is not declared ephemeral",
			"QEMU drops every flush: what fsync promised is lost when the host crashes. It is allowed where the policy has a rule for disks " +
				"labelled ephemeral, with a reason, and the domain's metadata labels the disk so.",
			"QEMU manual, -drive, cache=unsafe; libvirt, formatdomain, driver cache"},
		{ruleRefused, LevelError, "libvirt refuses to start a domain with these settings",
			"Change what the message names; libvirt's own words stand in parentheses.",
			"libvirt, src/conf/domain_validate.c and src/qemu/qemu_validate.c"},
		{ruleContradiction, LevelWarning, "settings that work against one another",
			"libvirt takes them, but one of them is without effect or makes the other dangerous.",
			"libvirt, formatdomain, disk: driver, shareable"},
		{ruleFlushEnds, LevelWarning, "the guest's flush does not get to the medium",
			"According to the model of the flush path a layer swallows the flush, so that promises are lost with what lies above the medium. " +
				"platter explain draws the path.",
			"platter's model, docs/SAFETY.md, and the source in the message"},
		{ruleFlushUnknown, LevelNote, "what becomes of a flush is not known",
			"The model does not know what lies behind this kind of storage: nothing is said about its safety. Ask whoever runs it whether a " +
				"flush is answered when the data are durable.",
			"platter's model, docs/SAFETY.md"},
		{ruleNewest, LevelWarning, "this QEMU may acknowledge a promised write before it is durable",
			"From 10.0.3 on QEMU's flush after a write may leave out that very write: with io=threads on raw images under writethrough and " +
				"directsync, and for FUA writes to SCSI disks. Where libvirt leaves the raw node out it is so with QEMU before 10.0, too. " +
				"QEMU's NVMe disks ignore FUA. The message names what keeps the promises; platter explain --qemu VERSION draws why. A note stands " +
				"where QEMU's version is not known, or only assumed.",
			"platter's model, docs/SAFETY.md, and the source in the message"},
		{ruleGuestMayUndo, LevelWarning, "the guest may turn a write-through disk into a write-back one by itself",
			"writethrough and directsync keep even what was not flushed, until the guest turns the disk's write cache on; then QEMU flushes only " +
				"when asked, as under writeback and none. Do not rely on the mode against the guest. On virtio QEMU's property config-wce=off " +
				"(<qemu:override>) takes the switch away from Linux guests.",
			sourceWriteCache},
		{ruleMigration, LevelNote, "the disk stands in the way of live migration",
			"libvirt refuses to migrate the domain, or does so only with --copy-storage-all or --unsafe.",
			sourceMigrationSafe},
		{ruleDiscard, LevelNote, "the guest's discards do not reach the image",
			"Without discard=unmap the image keeps the space of deleted files. Set discard=unmap unless the image is to stay allocated.",
			"libvirt, formatdomain, driver discard"},
		{ruleRBD, LevelNote, "an RBD disk without librbd's cache",
			"none and directsync turn rbd_cache off, and writethrough flushes it after each write. writeback keeps fsync's promises and gathers " +
				"small writes.",
			"QEMU, block/rbd.c; Ceph, librbd settings"},
		{ruleLabelWithout, LevelWarning, "a label for a disk that the domain does not have",
			"The label in the metadata names a target that no disk has, so that it says nothing. Correct or remove it.",
			"platter, docs/lint.md"},
		{ruleNotJudged, LevelNote, "not judged",
			"The rules are about disks whose input and output QEMU does.",
			"platter, docs/lint.md"},
	}
}

// linter gathers the findings about one domain.
type linter struct {
	policy     *policy.Policy
	hypervisor Hypervisor
	file       string
	domain     domain
	findings   []Finding
}

// lintDisk is a disk as the rules look at it.
type lintDisk struct{ libvirtxml.Disk }

func (d lintDisk) shareable() bool { return d.Element.Child("shareable") != nil }

// target is the place of <target>, or else of the disk.
func (d lintDisk) target() place {
	if target := d.Element.Child("target"); target != nil {
		return placeOf(target)
	}
	return placeOf(d.Element)
}

// mode is the cache mode that is in effect: without one, or with default, QEMU's is writeback, but libvirt takes none for a
// disk that several domains write to (qemuDomainPrepareDiskCachemode in its qemu_domain.c).
func (d lintDisk) mode() string {
	switch mode := d.Get("cache"); {
	case mode != "" && mode != "default":
		return mode
	case d.shareable() && !d.ReadOnly:
		return "none"
	}
	return "writeback"
}

// written names the mode as the XML does.
func (d lintDisk) written() string {
	switch mode := d.Get("cache"); mode {
	case "":
		return "no cache mode (which is " + d.mode() + ")"
	case "default":
		return "cache=default (which is " + d.mode() + ")"
	default:
		return "cache=" + mode
	}
}

// writable reports whether the guest can change what is on the disk.
func (d lintDisk) writable() bool { return !d.ReadOnly && d.Device != "cdrom" }

// format is the image's; libvirt takes raw where nothing is said.
func (d lintDisk) format() string {
	if f := d.Get("type"); f != "" {
		return f
	}
	return "raw"
}

// hasMedium reports whether there is something in the drive.
func (d lintDisk) hasMedium() bool {
	return d.Source.Path != "" && d.Source.Path != "/" || d.Source.Kind == "nvme" || d.Source.Kind == "network"
}

// where is the place of the first of some driver attributes that the disk has; without one, bus is <target> and anything
// else the disk itself.
func (d lintDisk) where(attrs ...string) place {
	for _, name := range attrs {
		for _, a := range d.Driver {
			if a.Name == name {
				return place{a.Line, a.Column}
			}
		}
		if name == "bus" {
			return d.target()
		}
	}
	return place{d.Line, d.Column}
}

func (l *linter) add(rule, level string, at place, disk, format string, args ...any) {
	l.findings = append(l.findings, Finding{
		Rule: rule, Level: level, Message: fmt.Sprintf(format, args...),
		File: l.file, Line: at.line, Column: at.column, Domain: l.domain.name, Disk: disk,
	})
}

// disk applies the rules that look at one disk.
func (l *linter) disk(d lintDisk) {
	l.refusals(d)
	if d.Source.Kind == "vhostuser" {
		l.add(ruleNotJudged, LevelNote, d.where(), d.Target,
			"disk %s is served by another process (vhost-user), whose caches QEMU does not know", d.Target)
		return
	}
	if !d.hasMedium() || !d.writable() {
		return
	}
	rule := l.policy.RuleFor(l.domain.name, d.Target, d.Element.TextOf("serial"), l.domain.label(d.Target))
	allowed := l.cache(d, rule)
	l.contradictions(d)
	l.flushPath(d, rule, allowed)
	l.newest(d)
	l.guestMayUndo(d)
	l.migration(d)
	l.discard(d)
	l.rbd(d)
}

// cache asks the policy about the cache mode. A disk that no rule matches may have any mode but unsafe.
func (l *linter) cache(d lintDisk, rule *policy.DiskRule) (allowed bool) {
	mode := d.mode()
	listed := rule != nil && slices.Contains(rule.Cache, mode)
	switch {
	case mode == "unsafe" && !listed:
		l.add(ruleUnsafe, LevelError, d.where("cache"), d.Target,
			"disk %s has cache=unsafe, which drops every flush, and %s does not allow that on this disk, %s",
			d.Target, l.source(rule), labelled(l.domain.label(d.Target)))
	case mode == "unsafe" && rule.UnsafeRefused() != "":
		l.add(ruleUnsafe, LevelError, d.where("cache"), d.Target,
			"disk %s has cache=unsafe, and %s allows it %s", d.Target, l.source(rule), rule.UnsafeRefused())
	case rule != nil && !listed:
		l.add(ruleCacheForbidden, LevelError, d.where("cache"), d.Target,
			"disk %s has %s, and %s allows %s there", d.Target, d.written(), l.source(rule), strings.Join(rule.Cache, ", "))
	default:
		return true
	}
	return false
}

// labelled says what a disk's label has to do with unsafe.
func labelled(label string) string {
	switch label {
	case policy.Ephemeral:
		return "though it is labelled " + policy.Ephemeral + ": no rule for such disks allows unsafe there"
	case "":
		return "which has no label: unsafe is for disks labelled " + policy.Ephemeral
	}
	return "which is labelled " + label + ": unsafe is for disks labelled " + policy.Ephemeral
}

// source names the policy, with the line of the rule if there is one.
func (l *linter) source(rule *policy.DiskRule) string {
	if rule == nil {
		return "the policy " + l.policy.Name
	}
	return fmt.Sprintf("the policy %s (line %d)", l.policy.Name, rule.Line)
}

func (l *linter) refusals(d lintDisk) {
	for _, r := range d.Refusals() {
		l.add(ruleRefused, LevelError, d.where(r.Attrs...), d.Target, "disk %s: %s", d.Target, r.Reason)
	}
	if d.shareable() && d.writable() && d.format() != "raw" {
		l.add(ruleRefused, LevelError, d.where("type"), d.Target,
			"disk %s: libvirt refuses a shareable disk of format %s (shared access requires use of supported storage format); use raw", d.Target,
			d.format())
	}
}

func (l *linter) contradictions(d lintDisk) {
	if d.Get("detect_zeroes") == "unmap" && d.Get("discard") != "unmap" {
		l.add(ruleContradiction, LevelWarning, d.where("detect_zeroes"), d.Target,
			"disk %s: detect_zeroes=unmap becomes on without discard=unmap; set both", d.Target)
	}
	if d.Get("copy_on_read") == "on" && d.format() == "raw" {
		l.add(ruleContradiction, LevelWarning, d.where("copy_on_read"), d.Target,
			"disk %s: copy_on_read copies from a backing file, and a raw image has none; remove it", d.Target)
	}
	if mode := d.mode(); d.shareable() && mode != "none" && mode != "directsync" {
		l.add(ruleContradiction, LevelWarning, d.where("cache"), d.Target,
			"disk %s is shareable, and under cache=%s each host reads its own stale copy; use none or directsync", d.Target, mode)
	}
}

// flushPath asks the model where a flush of the guest ends.
func (l *linter) flushPath(d lintDisk, rule *policy.DiskRule, allowed bool) {
	c := flushpath.Config{Cache: d.mode(), Bus: d.Bus, Format: d.format(), Protocol: d.Source.Protocol, Direct: true, Fsync: 1}
	unknown := c.Check()
	if unknown == nil && d.Source.Kind == "volume" {
		unknown = fmt.Errorf("the pool decides what lies behind a volume")
	}
	layer, swallowed := flushpath.Trace(c).SwallowedAt()
	switch {
	case swallowed:
		level, why := LevelWarning, ""
		if allowed {
			level, why = LevelNote, fmt.Sprintf("; allowed by %s: %s", l.source(rule), rule.Reason)
		}
		l.add(ruleFlushEnds, level, d.where("cache"), d.Target,
			"disk %s: the guest's flush ends at the %s (%s); what fsync promised is lost by %s%s [%s]",
			d.Target, layer.Name, layer.Reason, lostBy(c), why, layer.Source)
	case unknown != nil:
		l.add(ruleFlushUnknown, LevelNote, d.where(), d.Target, "disk %s: %v", d.Target, unknown)
	}
}

// lostBy lists the failure classes that break promises, behind a drive with a volatile cache.
func lostBy(c flushpath.Config) string {
	var classes []string
	for _, class := range cell.FailureClasses() {
		if flushpath.Predict(c, class, cell.Volatile).Verdict == flushpath.Loses {
			classes = append(classes, class)
		}
	}
	if classes == nil {
		return "whatever takes the caches below"
	}
	return strings.Join(classes, ", ")
}

// guestMayUndo is about modes that promise more than the guest asked for.
func (l *linter) guestMayUndo(d lintDisk) {
	var back, with string // the mode that it becomes, and what the guest turns it with
	switch d.mode() {
	case "writethrough":
		back = "writeback"
	case "directsync":
		back = "none"
	}
	switch d.Bus {
	case "virtio":
		with = "virtio's config-wce"
	case "scsi", "usb":
		with = "SCSI's MODE SELECT"
	case "sata", "ide":
		with = "ATA's SET FEATURES"
	}
	if back == "" || with == "" || d.Device == "lun" {
		return
	}
	alias := d.Element.Child("alias").Attr("name")
	if d.Bus == "virtio" && (l.domain.noConfigWCE || alias != "" && slices.Contains(l.domain.withoutWCE, alias)) {
		return
	}
	l.add(ruleGuestMayUndo, LevelWarning, d.where("cache"), d.Target,
		"disk %s: the guest may turn cache=%s into %s by itself (%s)", d.Target, d.mode(), back, with)
}

// migration follows qemuMigrationSrcIsAllowed and qemuMigrationSrcIsSafe in libvirt 9.0. Whether a path is on a shared file
// system only the host can tell. Since libvirt 5.7 and QEMU 4.2 a cached mode is no obstacle any more: QEMU drops the cache.
func (l *linter) migration(d lintDisk) {
	if d.Element.Child("transient") != nil {
		l.add(ruleMigration, LevelWarning, d.where(), d.Target, "disk %s is transient, and libvirt migrates no domain with such a disk", d.Target)
		return
	}
	mode := d.mode()
	cached := mode != "none" && mode != "directsync" && !d.shareable()
	const unsafe = "with cache=%s libvirt before 5.7 or QEMU before 4.2 also wants --unsafe (none and directsync do not)"
	switch {
	case d.Source.Kind == "nvme":
		l.add(ruleMigration, LevelWarning, d.where(), d.Target,
			"disk %s is an NVMe device of this host: libvirt migrates the domain only with --copy-storage-all", d.Target)
	case d.Source.Kind == "file" && cached:
		l.add(ruleMigration, LevelNote, d.where("cache"), d.Target,
			"disk %s is a file: unless it is on a shared file system, migration needs --copy-storage-all; "+unsafe, d.Target, mode)
	case d.Source.Kind == "file":
		l.add(ruleMigration, LevelNote, d.where(), d.Target,
			"disk %s is a file: unless it is on a shared file system, migration needs --copy-storage-all", d.Target)
	case cached && (d.Source.Kind == "block" || d.Source.Kind == "volume"):
		l.add(ruleMigration, LevelNote, d.where("cache"), d.Target, "disk %s: "+unsafe, d.Target, mode)
	}
}

func (l *linter) discard(d lintDisk) {
	if d.Device == "disk" && d.Get("discard") == "" {
		l.add(ruleDiscard, LevelNote, d.where("no attribute"), d.Target,
			"disk %s has no discard: space that the guest frees stays allocated; set discard=unmap, or ignore to say that it is meant", d.Target)
	}
}

func (l *linter) rbd(d lintDisk) {
	mode := d.mode()
	if d.Source.Protocol != "rbd" || mode == "writeback" || mode == "unsafe" {
		return
	}
	what := "turns librbd's cache off"
	if mode == "writethrough" {
		what = "flushes librbd's cache after each write"
	}
	l.add(ruleRBD, LevelNote, d.where("cache"), d.Target, "disk %s: cache=%s %s; writeback keeps fsync's promises too", d.Target, mode, what)
}

// duplicates finds targets that two disks have.
func (l *linter) duplicates(disks []libvirtxml.Disk) {
	seen := map[string]bool{}
	for _, d := range disks {
		if d.Target != "" && seen[d.Target] {
			l.add(ruleRefused, LevelError, lintDisk{d}.target(), d.Target,
				"disk %s: libvirt refuses two disks with one target (target '%s' duplicated for disk sources)", d.Target, d.Target)
		}
		seen[d.Target] = true
	}
}

// labels finds labels of disks that are not there.
func (l *linter) labels(disks []libvirtxml.Disk) {
	for _, label := range l.domain.labels {
		if !slices.ContainsFunc(disks, func(d libvirtxml.Disk) bool { return d.Target == label.target }) {
			l.add(ruleLabelWithout, LevelWarning, label.place, "", "the metadata label the disk %q as %q, and the domain has no such disk",
				label.target, label.label)
		}
	}
}

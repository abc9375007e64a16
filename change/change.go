// Package change finds what differs between two domain XML files, as far as it means something: what a disk's settings were and are,
// what may matter to a disk and cannot be measured, and what decides nothing.
package change

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"platter/cell"
	"platter/libvirtxml"
	"platter/matrices"
)

// Change is what differs between two domain XML files.
type Change struct {
	Disks     []Disk   // to measure: those whose settings differ, in the order of the document with the change
	Elsewhere []string // what may matter to a disk and is not measured, a line each
	Beside    []string // what else differs, a line each: it decides nothing
}

// Disk is a disk whose settings differ, with all its settings on both sides as a matrix has them.
type Disk struct {
	Target        string
	Before, After cell.Settings
}

// NoDiskError reports that the domain with the change lacks the disk that was asked for.
type NoDiskError struct {
	Target string
	Has    []string // targets of the disks that it has
}

// Error names the disks that are there.
func (e *NoDiskError) Error() string {
	return fmt.Sprintf("the domain with the change has no disk %s: it has %s", e.Target, strings.Join(e.Has, ", "))
}

// Between returns what differs between two domain XML documents; the names stand in errors. Only, if it is not empty, is the target of
// the one disk to compare; a *NoDiskError says that the second document lacks it. A *libvirtxml.Error is for what is no domain XML.
func Between(beforeName string, before []byte, afterName string, after []byte, only string) (*Change, error) {
	return between(beforeName, before, afterName, after, only, false)
}

// BetweenAll is Between for a change of what lies below the disks: those whose settings are the same on both sides are among Disks, too,
// where platter's scratch disk can be like them. One that cannot stands among Elsewhere.
func BetweenAll(beforeName string, before []byte, afterName string, after []byte, only string) (*Change, error) {
	return between(beforeName, before, afterName, after, only, true)
}

func between(beforeName string, before []byte, afterName string, after []byte, only string, all bool) (*Change, error) {
	old, oldRoot, err := sideDisks(beforeName, before)
	if err != nil {
		return nil, err
	}
	disks, root, err := sideDisks(afterName, after)
	if err != nil {
		return nil, err
	}
	var targets []string
	for _, d := range disks {
		targets = append(targets, d.Target)
	}
	if only != "" && !slices.Contains(targets, only) {
		return nil, &NoDiskError{only, targets}
	}
	ch := &Change{}
	for _, d := range disks {
		i := slices.IndexFunc(old, func(o sideDisk) bool { return o.Target == d.Target })
		switch {
		case only != "" && d.Target != only:
			if i < 0 || old[i].element.text() != d.element.text() {
				ch.Beside = append(ch.Beside, d.Target+": differs too, and was not asked for")
			}
		case i < 0:
			ch.Beside = append(ch.Beside, d.Target+": is new and has no other side: lint has looked at it, and nothing else")
		default:
			ch.disk(old[i], d, all)
		}
	}
	for _, o := range old {
		if only == "" && !slices.Contains(targets, o.Target) {
			ch.Beside = append(ch.Beside, o.Target+": is gone")
		}
	}
	ch.domain(oldRoot, root)
	return ch, nil
}

// Lines returns all that differs, a line each.
func (ch *Change) Lines() []string {
	var lines []string
	for _, d := range ch.Disks {
		lines = append(lines, d.Lines()...)
	}
	return slices.Concat(lines, ch.Elsewhere, ch.Beside)
}

// Alike groups the disks whose settings are the same on both sides: one run measures all of a group.
func (ch *Change) Alike() [][]Disk {
	var groups [][]Disk
	for _, d := range ch.Disks {
		i := slices.IndexFunc(groups, func(g []Disk) bool {
			return slices.Equal(g[0].Before, d.Before) && slices.Equal(g[0].After, d.After)
		})
		if i < 0 {
			groups = append(groups, []Disk{d})
		} else {
			groups[i] = append(groups[i], d)
		}
	}
	return groups
}

// Lines returns what differs, a line each: "vdb: cache none → unsafe".
func (d Disk) Lines() []string {
	of := func(settings cell.Settings, name string) string {
		for _, s := range settings {
			if s.Name == name {
				return s.Value.String()
			}
		}
		return "(not set)"
	}
	var lines []string
	for _, name := range matrices.DiskSettings() {
		if a, b := of(d.Before, "disk."+name), of(d.After, "disk."+name); a != b {
			lines = append(lines, fmt.Sprintf("%s: %s %s → %s", d.Target, name, a, b))
		}
	}
	return lines
}

// defaults are what a disk's settings are where the XML does not say: libvirt, formatdomain, "driver", and QEMU's own defaults (aio of
// its file driver, properties of virtio-pci). What is left to the hypervisor's discretion or depends on the machine type (ioeventfd,
// event_idx, queues, queue_size) is not among them: saying it is measured as a change.
var defaults = map[string]string{
	"cache": "writeback", "io": "threads", "discard": "ignore", "detect_zeroes": "off",
	"copy_on_read": "off", "packed": "off", "ats": "off", "iommu": "off", "page_per_vq": "off",
}

// unseen are settings that change nothing as long as the disk works, so that measuring them would prove nothing.
var unseen = []string{"error_policy", "rerror_policy"}

// buses are those that platter's guest can have a scratch disk on.
var buses = []string{"virtio", "scsi"}

// sideDisk is a disk of one side.
type sideDisk struct {
	libvirtxml.Disk
	element *element
}

// sideDisks returns the disks of a domain, in the order of the document, and the meaning of all of it.
func sideDisks(name string, doc []byte) ([]sideDisk, *element, error) {
	root, disks, err := libvirtxml.Parse(name, doc)
	if err != nil {
		return nil, nil, err
	}
	var all []sideDisk
	for _, d := range disks {
		all = append(all, sideDisk{d, meaning(d.Element)})
	}
	return all, meaning(root), nil
}

// disk compares a disk of both sides. all takes one that did not change for one that is to be measured.
func (ch *Change) disk(before, after sideDisk, all bool) {
	say := func(to *[]string, format string, args ...any) {
		*to = append(*to, after.Target+": "+fmt.Sprintf(format, args...))
	}
	if drive := func(d sideDisk) bool { return d.Device == "cdrom" || d.Device == "floppy" }; drive(before) && drive(after) {
		if before.element.text() != after.element.text() {
			say(&ch.Beside, "the %s differs", after.Device)
		}
		return
	}
	c, names := changed(before, after)
	switch unlike := cmp.Or(before.unlike(), after.unlike()); {
	case len(names) == 0 && !all:
	case len(names) == 0 && unlike != "":
		say(&ch.Elsewhere, "is not measured: platter's scratch disk is nothing like %s", unlike)
	case unlike != "":
		for _, line := range c.Lines() {
			ch.Elsewhere = append(ch.Elsewhere, line+differs+": platter's scratch disk is nothing like "+unlike)
		}
	default:
		ch.Disks = append(ch.Disks, c)
		if format := after.Get("type"); format != "" && format != "raw" {
			say(&ch.Beside, "its format is %s; the image that was measured has the format of the matrix", format)
		}
	}
	for _, name := range others(before.Disk, after.Disk) {
		say(&ch.Elsewhere, "driver attribute %s %s → %s"+differs, name, shown(before.Get(name)), shown(after.Get(name)))
	}
	for _, part := range before.element.differing(after.element) {
		known := compared[part]
		switch {
		case slices.Contains(namesOnly["disk"], part):
		case part == "driver" && before.element.below("driver") == after.element.below("driver"): // its attributes were compared above
		case known != nil && before.element.without(part, known) == after.element.without(part, known):
			if part == "source" {
				say(&ch.Beside, "source differs: where the image lies is not judged")
			}
		default:
			say(&ch.Elsewhere, "%s"+differs, strings.TrimPrefix(part, "@"))
		}
	}
}

// compared are the attributes of a disk's parts that were compared before, or say only where the image lies.
var compared = map[string][]string{
	"source": {"file", "dev", "dir", "name", "pool", "volume", "startupPolicy", "index"},
	"target": {"dev", "bus", "tray"},
}

// unlike names what platter's scratch disk, a file of this host behind QEMU's caches, tells nothing about; empty for other disks.
func (d sideDisk) unlike() string {
	switch {
	case d.Device != "disk":
		return "a " + d.Device
	case !slices.Contains(buses, d.Bus):
		return "a disk on the bus " + d.Bus
	case d.Source.Protocol != "":
		return "a disk of " + d.Source.Protocol
	case !slices.Contains([]string{"file", "block", "volume"}, d.Source.Kind):
		return "a disk of type " + d.Source.Kind
	}
	return ""
}

const differs = " differs and is not measured"

func shown(value string) string {
	if value == "" {
		return "(not set)"
	}
	return value
}

// changed gives the settings of a disk on both sides, and the names of those that differ. What neither names is left to the guest's
// defaults.
func changed(before, after sideDisk) (c Disk, names []string) {
	c.Target = after.Target
	for _, name := range matrices.DiskSettings() {
		if slices.Contains(unseen, name) || name != "cache" && name != "bus" && before.Get(name) == "" && after.Get(name) == "" {
			continue
		}
		a, b := before.value(name), after.value(name)
		if a != "" {
			c.Before = append(c.Before, cell.Setting{Name: "disk." + name, Value: a.value()})
		}
		if b != "" {
			c.After = append(c.After, cell.Setting{Name: "disk." + name, Value: b.value()})
		}
		if a != b {
			names = append(names, name)
		}
	}
	return c, names
}

// others names the driver attributes that differ and that are not measured.
func others(before, after libvirtxml.Disk) []string {
	var names []string
	for _, d := range []libvirtxml.Disk{before, after} {
		for _, a := range d.Driver {
			measured := slices.Contains(matrices.DiskSettings(), a.Name) && !slices.Contains(unseen, a.Name)
			if !measured && assumed(before, a.Name) != assumed(after, a.Name) && !slices.Contains(names, a.Name) {
				names = append(names, a.Name)
			}
		}
	}
	return names
}

// assumed is a driver attribute, or what libvirt takes where it is not set: a volume has the format that its pool knows.
func assumed(d libvirtxml.Disk, name string) string {
	v := d.Get(name)
	switch {
	case v == "" && name == "name":
		return "qemu"
	case v == "" && name == "type" && d.Source.Kind != "volume":
		return "raw"
	}
	return v
}

// attribute is the value of a driver attribute.
type attribute string

// value is a disk's setting, or what it is by default; empty where that is not known.
func (d sideDisk) value(name string) attribute {
	v := d.Get(name)
	switch {
	case v != "" && v != "default":
		return attribute(v)
	case name == "cache" && len(d.element.named("shareable")) > 0:
		return "none" // libvirt, qemuDomainDeviceDiskDefPostParse and docs/lint.md
	}
	return attribute(defaults[name])
}

// value is the attribute as a matrix types it: numbers as numbers.
func (a attribute) value() cell.Value {
	if n, err := strconv.ParseInt(string(a), 10, 64); err == nil {
		return cell.Value{V: n}
	}
	return cell.Value{V: string(a)}
}

// namesOnly are the parts of an element that say only what it is called or where a guest finds it, and nothing about how disks work. In
// the domain's metadata labels of disks may stand: lint has looked at them.
var namesOnly = map[string][]string{
	"domain": {"@id", "name", "uuid", "genid", "title", "description", "metadata"},
	"disk":   {"@snapshot", "alias", "address", "serial", "wwn", "vendor", "product", "boot"},
}

// bystanders are parts of a domain that disks do not work with.
var bystanders = map[string][]string{
	"domain": {"sysinfo", "on_poweroff", "on_reboot", "on_crash", "pm", "clock", "seclabel"},
	"devices": {"interface", "graphics", "video", "sound", "audio", "input", "serial", "parallel", "console", "channel", "hub", "redirdev",
		"redirfilter", "smartcard", "tpm", "rng", "watchdog", "panic", "vsock", "filesystem"},
}

// domain compares what is beside the disks.
func (ch *Change) domain(before, after *element) {
	ch.parts("domain", "domain", before, after)
	ch.parts("devices", "domain/devices", before.only("devices"), after.only("devices"))
}

func (ch *Change) parts(kind, path string, before, after *element) {
	for _, part := range before.differing(after) {
		switch {
		case slices.Contains(namesOnly[kind], part), kind == "domain" && part == "devices", kind == "devices" && part == "disk":
		case slices.Contains(bystanders[kind], part), part == "controller" && storageControllers(before) == storageControllers(after):
			ch.Beside = append(ch.Beside, path+"/"+part+" differs, which disks do not work with")
		default:
			ch.Elsewhere = append(ch.Elsewhere, path+"/"+part+differs)
		}
	}
}

// storageControllers are the controllers that disks hang on, wherever the guest finds them.
func storageControllers(devices *element) string {
	var all []*element
	for _, c := range devices.named("controller") {
		if !slices.ContainsFunc(c.attrs, func(a string) bool {
			return slices.Contains([]string{`type="pci"`, `type="usb"`, `type="virtio-serial"`, `type="ccid"`}, a)
		}) {
			placeless := *c
			placeless.written = ""
			placeless.children = slices.DeleteFunc(slices.Clone(c.children), func(e *element) bool {
				return e.name == "address" ||
					e.name == "alias"
			})
			all = append(all, &placeless)
		}
	}
	return texts(all)
}

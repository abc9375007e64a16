// Package explain shows for the disks of a domain where writes rest, where a flush ends, and what the model of package flushpath predicts
// that each failure class takes. Nothing is measured.
package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"platter/cell"
	"platter/flushpath"
	"platter/libvirtxml"
	"platter/text"
)

// Explanation is the one object that platter explain --json prints.
type Explanation struct {
	Schema     int       `json:"schema"`
	Domain     string    `json:"domain"` // the domain's name, or that of the file
	Job        string    `json:"job"`
	Filesystem string    `json:"filesystem"`
	DriveCache string    `json:"drive_cache"`
	Hypervisor Versions  `json:"hypervisor"`
	Disks      []Disk    `json:"disks"`
	Skipped    []Skipped `json:"skipped"`
}

// Versions are those that the predictions are for; a version that is not known is empty.
type Versions struct {
	QEMU    string `json:"qemu"`
	Libvirt string `json:"libvirt"`
	Machine string `json:"machine"` // the machine type's
	// Assumed says that nobody named QEMU's version: it is that of the QEMU which is installed here, or none is.
	Assumed bool `json:"assumed"`
}

// Disk is one disk with its path and what is predicted of it.
type Disk struct {
	Target      string           `json:"target"`
	Bus         string           `json:"bus"`
	Format      string           `json:"format"`
	Source      string           `json:"source"`
	Cache       string           `json:"cache"` // as the XML has it; "" where it has none
	IO          string           `json:"io"`    // as the XML has it; "" is QEMU's default, threads
	Effective   Effective        `json:"effective"`
	Path        flushpath.Path   `json:"path"`
	Predictions []Prediction     `json:"predictions"`
	Notes       []string         `json:"notes"`
	config      flushpath.Config // what the model was asked
}

// Effective are QEMU's, in the words of query-block.
type Effective struct {
	Writeback bool `json:"writeback"`
	Direct    bool `json:"direct"`
	NoFlush   bool `json:"no_flush"`
}

// Prediction is what one failure class is predicted to take.
type Prediction struct {
	Class string `json:"class"`
	flushpath.Prediction
}

// Skipped is a disk that is not explained, and why.
type Skipped struct {
	Target string `json:"target"`
	Reason string `json:"reason"`
}

// Of explains the disk with that target, or all of a domain's disks when it is "". The domain is called name; guest is what the model is
// to know beside the disk: the guest's file system, its caches, the job, and QEMU. An error is for disks that are not there or cannot be
// explained.
func Of(name string, disks []libvirtxml.Disk, target string, guest flushpath.Config, driveCache string) (*Explanation, error) {
	x := &Explanation{Schema: 1, Domain: name, Filesystem: guest.Filesystem, DriveCache: driveCache, Disks: []Disk{}, Skipped: []Skipped{}}
	var targets []string
	found := false
	for _, d := range disks {
		targets = append(targets, d.Target)
		if target != "" && d.Target != target {
			continue
		}
		found = true
		if reason := notExplained(d); reason != "" {
			x.Skipped = append(x.Skipped, Skipped{d.Target, reason})
			continue
		}
		if guest.WritethroughUntilFlush && d.Source.Protocol != "rbd" {
			return nil, fmt.Errorf("disk %s of %s is no RBD disk, and rbd_cache_writethrough_until_flush is an option of librbd: choose an RBD "+
				"disk with --disk, or leave the option out",
				d.Target, name)
		}
		x.Disks = append(x.Disks, explainDisk(d, guest, driveCache))
	}
	switch {
	case len(disks) == 0:
		return nil, fmt.Errorf("%s has no disk", name)
	case !found:
		return nil, fmt.Errorf("%s has no disk %q; its disks: %s", name, target, strings.Join(targets, ", "))
	case target != "" && len(x.Disks) == 0:
		return nil, fmt.Errorf("disk %s of %s: %s", target, name, x.Skipped[0].Reason)
	}
	return x, nil
}

// notExplained says why there is nothing to say about a disk.
func notExplained(d libvirtxml.Disk) string {
	switch {
	case d.Device == "cdrom" || d.Device == "floppy":
		return "a " + d.Device
	case d.ReadOnly:
		return "read-only: nothing is written to it"
	case d.Device == "lun":
		return "device='lun': the guest's SCSI commands go past QEMU's caches to the host's device; not modelled"
	case !slices.Contains([]string{"file", "block", "network", "volume"}, d.Source.Kind):
		return "type='" + d.Source.Kind + "' is not modelled; file, block, volume and network with rbd are"
	case d.Get("name") != "" && d.Get("name") != "qemu":
		return "driver name='" + d.Get("name") + "' is not QEMU's; not modelled"
	default:
		return ""
	}
}

// explainDisk asks the model about a disk.
func explainDisk(d libvirtxml.Disk, guest flushpath.Config, driveCache string) Disk {
	c := guest
	c.Cache, c.Bus, c.Format, c.Protocol, c.IO = d.Get("cache"), d.Bus, d.Get("type"), d.Source.Protocol, d.Get("io")
	if c.Format == "" {
		c.Format = "raw"
	}
	x := Disk{Target: d.Target, Bus: d.Bus, Format: c.Format, Source: d.Source.Path, Cache: c.Cache, IO: c.IO,
		Path: flushpath.TraceWith(c, driveCache), Notes: diskNotes(d, c), config: c}
	x.Effective.Writeback, x.Effective.Direct, x.Effective.NoFlush = flushpath.Effective(c)
	for _, class := range cell.FailureClasses() {
		x.Predictions = append(x.Predictions, Prediction{class, flushpath.Predict(c, class, driveCache)})
	}
	return x
}

// diskNotes are what the reader must know to trust the rest.
func diskNotes(d libvirtxml.Disk, c flushpath.Config) []string {
	notes := []string{}
	if err := c.Check(); err != nil {
		return append(notes, "no prediction: "+err.Error())
	}
	if c.Cache == "" || c.Cache == "default" {
		notes = append(notes,
			"The XML sets no cache mode: QEMU's default is writeback. (A disk with <shareable/> gets none from libvirt instead.)")
	}
	if d.Source.Kind == "volume" {
		notes = append(notes,
			"A volume is taken for a file or device of this host. In a pool of another kind (rbd, iscsi, gluster) what lies behind QEMU differs.")
	}
	if _, direct, _ := flushpath.Effective(c); c.Protocol == "rbd" && !direct && !c.WritethroughUntilFlush {
		notes = append(notes, "rbd_cache_writethrough_until_flush, Ceph's default, is not taken for granted: some builds of QEMU turn it off. "+
			"While it holds nothing rests in librbd's cache before the guest's first flush; under unsafe, never.")
	}
	if c.Format != "raw" {
		notes = append(notes,
			c.Format+": what QEMU holds is the mapping of newly allocated clusters; overwriting what is allocated changes none.")
	}
	return notes
}

// Text returns the explanation for a terminal, at most 80 columns where names are short. It is not safe for a terminal before
// text.Visible.
func (x *Explanation) Text() string {
	var b strings.Builder
	for i, d := range x.Disks {
		if i > 0 {
			b.WriteString("\n")
		}
		d.write(&b, x)
	}
	for i, s := range x.Skipped {
		if i == 0 && len(x.Disks) > 0 {
			b.WriteString("\n")
		}
		paragraph(&b, "", fmt.Sprintf("%s skipped: %s", s.Target, s.Reason))
	}
	return b.String()
}

func (d *Disk) write(b *strings.Builder, x *Explanation) {
	paragraph(b, "", fmt.Sprintf("%s %s: %s, %s, %s", x.Domain, d.Target, d.Bus, d.Format, d.Source))
	cache := d.Cache
	if cache == "" {
		cache = "not set"
	}
	paragraph(b, "  ", fmt.Sprintf("cache %s: writeback %s, direct %s, no-flush %s", cache, onOff(d.Effective.Writeback),
		onOff(d.Effective.Direct), onOff(d.Effective.NoFlush)))
	on := "on the raw device"
	if x.Filesystem != "none" {
		on = "on " + x.Filesystem
		if cell.TakesBarrierOff(x.Filesystem) {
			on += ", barrier " + onOff(d.config.Barrier)
		}
	}
	paragraph(b, "  ", fmt.Sprintf("job %s, %s; drive cache %s", x.Job, on, x.DriveCache))
	paragraph(b, "  ", x.Hypervisor.text()+", io "+cmp.Or(d.IO, "not set (threads)"))
	for _, n := range d.Notes {
		paragraph(b, "  ", n)
	}
	b.WriteString("\n" + d.Path.String())
	if d.config.Check() != nil {
		return
	}
	var rows [][]string
	for _, p := range d.Predictions {
		rows = append(rows, []string{p.Class, p.Verdict, promisedWord(p.Prediction), unpromisedWord(p.Prediction, d.config)})
	}
	b.WriteString("\n")
	(&text.Printer{W: b}).Table([]text.Column{{Name: "predicted", Width: 12}, {Name: "verdict", Width: 10},
		{Name: "promised writes", Width: 18}, {Name: "unpromised writes"}}, rows)
	b.WriteString("\n")
	for _, line := range d.reasons() {
		paragraph(b, "  ", line)
	}
	b.WriteString("\nsources\n")
	for _, s := range d.sources() {
		paragraph(b, "  ", s)
	}
}

// text says for which versions the predictions are, and whether that is an assumption.
func (v Versions) text() string {
	line := "QEMU " + v.QEMU
	switch {
	case v.QEMU == "":
		line = "QEMU of a version that is not known, taken for one before 10.0 (--qemu VERSION says which)"
	case v.Assumed:
		line += " (assumed, since it is installed here; --qemu VERSION says otherwise)"
	}
	if v.Libvirt != "" {
		line += ", libvirt " + v.Libvirt
	}
	if v.Machine != "" {
		line += ", machine type " + v.Machine
	}
	return line
}

func promisedWord(p flushpath.Prediction) string {
	switch p.Promises {
	case flushpath.Lost:
		if p.Newest {
			return "newest may be lost"
		}
		return "may be lost"
	case flushpath.NoPromises:
		return "none"
	}
	return p.Promises
}

func unpromisedWord(p flushpath.Prediction, c flushpath.Config) string {
	switch {
	case p.Exposed:
		return "may be lost"
	case c.Sync != "none":
		return "none"
	}
	return "kept"
}

// reasons are why, with classes that share a reason in one line.
func (d *Disk) reasons() []string {
	var lines []string
	for i := 0; i < len(d.Predictions); {
		j := i + 1
		classes := d.Predictions[i].Class
		for ; j < len(d.Predictions) && d.Predictions[j].Because == d.Predictions[i].Because; j++ {
			classes += ", " + d.Predictions[j].Class
		}
		lines = append(lines, classes+": "+d.Predictions[i].Because)
		i = j
	}
	return lines
}

// sources are where the rules that were used come from, each once.
func (d *Disk) sources() []string {
	var all []string
	add := func(s string) {
		if s != "" && !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	for _, l := range d.Path.Layers {
		add(l.Source)
	}
	for _, p := range d.Predictions {
		add(p.Source)
	}
	return all
}

// paragraph writes text in lines of at most 80 columns; those after the first are indented by two more.
func paragraph(b *strings.Builder, indent, words string) {
	for i, line := range text.Wrap(words, text.Columns-2-len(indent)) {
		if i > 0 {
			line = "  " + line
		}
		b.WriteString(indent + line + "\n")
	}
}

func onOff(v bool) string {
	if v {
		return "on"
	}
	return "off"
}

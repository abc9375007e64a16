package libvirtxml

import "strings"

// Disk is one disk of a domain as its XML describes it.
type Disk struct {
	Target   string // <target dev='…'>, for example "vda"; empty when the XML gives none, which libvirt refuses
	Bus      string // "virtio", "scsi", …; what libvirt derives from Target when the XML gives none
	Device   string // "disk", "cdrom", "floppy" or "lun"
	Source   Source
	Address  string // type of <address>: "pci", "drive", …; empty when there is none
	ReadOnly bool
	Driver   []DriverAttr // in the order of the document
	Line     int          // of <disk, from 1
	Column   int          // from 1, in characters
	Element  *Element     // the <disk>, with what stands in no other field
}

// Source is what a disk is made of.
type Source struct {
	Kind     string // libvirt's disk type: "file", "block", "network", "volume", "dir", "nvme" or "vhostuser"
	Protocol string // of a network source: "rbd", "nbd", …
	Path     string // file, device, directory, socket, "pool/volume" or the name on the network; empty for no medium
}

// DriverAttr is an attribute of <driver> and where its name stands.
type DriverAttr struct {
	Attr
	Line   int // from 1
	Column int // from 1, in characters
}

// Disks returns the disks that Parse returns.
func Disks(name string, doc []byte) ([]Disk, error) {
	_, disks, err := Parse(name, doc)
	return disks, err
}

// Get returns the value of a <driver> attribute or of "bus"; empty when it is not set.
func (d Disk) Get(name string) string {
	if name == busAttr {
		return d.Bus
	}
	for _, a := range d.Driver {
		if a.Name == name {
			return a.Value
		}
	}
	return ""
}

// with returns the disk after the attributes in set were laid over its own; its Element stays what was read.
func (d Disk) with(set []Attr) Disk {
	for _, a := range set {
		if a.Name == busAttr {
			d.Bus = a.Value
			continue
		}
		var driver []DriverAttr
		for _, old := range d.Driver {
			if old.Name != a.Name {
				driver = append(driver, old)
			}
		}
		d.Driver = append(driver, DriverAttr{Attr: a})
	}
	if d.Bus == "" {
		d.Bus = derivedBus(d.Device, d.Target)
	}
	return d
}

// summary returns what the tags of a disk say.
func (d *document) summary(e *diskElement) Disk {
	disk := Disk{
		Target:   e.dev(),
		Bus:      e.target.value(busAttr),
		Device:   e.tag.value("device"),
		Address:  e.address.value("type"),
		ReadOnly: e.readOnly,
		Source:   e.sourceOf(),
		Element:  e.element,
	}
	disk.Line, disk.Column = d.position(e.tag.start)
	if disk.Device == "" {
		disk.Device = "disk"
	}
	if disk.Bus == "" {
		disk.Bus = derivedBus(disk.Device, disk.Target)
	}
	if e.driver == nil {
		return disk
	}
	for _, a := range e.driver.attrs {
		line, column := d.position(a.at)
		disk.Driver = append(disk.Driver, DriverAttr{Attr{a.name, a.value}, line, column})
	}
	return disk
}

// sourceOf reads the attributes of <source> that the kind of disk uses.
func (e *diskElement) sourceOf() Source {
	s := Source{Kind: e.tag.value("type")}
	switch s.Kind {
	case "":
		s.Kind = "file"
		s.Path = e.source.value("file")
	case "file":
		s.Path = e.source.value("file")
	case "block":
		s.Path = e.source.value("dev")
	case "dir":
		s.Path = e.source.value("dir")
	case "vhostuser":
		s.Path = e.source.value("path")
	case "network":
		s.Protocol = e.source.value("protocol")
		s.Path = e.source.value("name")
	case "volume":
		s.Path = e.source.value("pool") + "/" + e.source.value("volume")
	}
	return s
}

// derivedBus returns the bus that libvirt takes when <target> names none (virDomainDiskDefParseXML in its domain_conf.c; tried
// with libvirt 9.0 and, of nvme, 12.9).
func derivedBus(device, target string) string {
	if device == "floppy" {
		return "fdc"
	}
	target = strings.TrimPrefix(target, "ioemu:")
	for _, known := range []struct{ prefix, bus string }{
		{"hd", "ide"}, {"sd", "scsi"}, {"vd", "virtio"}, {"xvd", "xen"}, {"ubd", "uml"}, {"nvme", "nvme"},
	} {
		if strings.HasPrefix(target, known.prefix) {
			return known.bus
		}
	}
	return ""
}

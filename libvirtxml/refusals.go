package libvirtxml

import "fmt"

// Refusal is a contradiction because of which libvirt refuses a disk.
type Refusal struct {
	Attrs  []string // the attributes that contradict one another, "bus" among them
	Reason string   // libvirt's reason and what to do, one line
}

// Refusals returns the contradictions in a disk's settings that libvirt's QEMU driver refuses. Each of them was tried
// with libvirt 9.0 (virsh domxml-to-native) and carries its words; the checks stand in libvirt's domain_validate.c and
// qemu_validate.c. Not judged is what depends on the rest of the domain, such as whether an I/O thread exists.
func (d Disk) Refusals() []Refusal {
	rules := []func(Disk) []Refusal{nativeIO, virtioOnly, copyOnRead, vhostUser, formats, devices, addresses}
	var out []Refusal
	for _, rule := range rules {
		out = append(out, rule(d)...)
	}
	return out
}

// nativeIO: Linux AIO needs O_DIRECT.
func nativeIO(d Disk) []Refusal {
	cache := d.Get("cache")
	if d.Get("io") != "native" || cache == "none" || cache == "directsync" {
		return nil
	}
	if cache == "" {
		cache = "default"
	}
	return []Refusal{{[]string{"io", "cache"}, fmt.Sprintf(
		"libvirt refuses io=native with cache=%s (io='native' needs either no disk cache or directsync cache mode); "+
			"set cache=none or cache=directsync as well", cache)}}
}

// virtioOnly: options of the virtio-blk device mean nothing on another bus.
func virtioOnly(d Disk) []Refusal {
	if d.Bus == "virtio" {
		return nil
	}
	var out []Refusal
	for _, name := range []string{"ioeventfd", "event_idx", "iothread", "queues", "iommu", "ats", "packed", "page_per_vq"} {
		if d.Get(name) != "" {
			out = append(out, Refusal{[]string{name, busAttr}, fmt.Sprintf(
				"libvirt refuses %s on bus %s (supported only for virtio bus); remove it or set bus=virtio", name, d.Bus)})
		}
	}
	return out
}

// copyOnRead writes what was read, which some disks do not allow.
func copyOnRead(d Disk) []Refusal {
	if d.Get("copy_on_read") != "on" {
		return nil
	}
	kind := ""
	switch {
	case d.ReadOnly || d.Device == "cdrom":
		kind = "a read-only disk"
	case d.Device == "floppy":
		kind = "a removable disk"
	case d.Device == "lun":
		kind = "a 'lun' disk"
	default:
		return nil
	}
	return []Refusal{{[]string{"copy_on_read"}, fmt.Sprintf(
		"libvirt refuses copy_on_read on %s (copy_on_read is not compatible with it); remove copy_on_read", kind)}}
}

// vhostUser: another process does the input and output, so QEMU's settings for it mean nothing.
func vhostUser(d Disk) []Refusal {
	if d.Source.Kind != "vhostuser" {
		return nil
	}
	var out []Refusal
	for _, name := range []string{
		"cache", "error_policy", "rerror_policy", "io", "ioeventfd", "copy_on_read", "discard", "iothread", "detect_zeroes",
	} {
		value := d.Get(name)
		if value == "" || name == "cache" && value == "default" {
			continue
		}
		out = append(out, Refusal{[]string{name}, fmt.Sprintf(
			"libvirt refuses %s on a vhost-user disk (%s is not supported with vhostuser disk); "+
				"set it in the process that serves the disk", name, name)})
	}
	if d.Bus != "virtio" {
		out = append(out, Refusal{[]string{busAttr}, fmt.Sprintf(
			"libvirt refuses bus %s for a vhost-user disk (vhostuser disk supports only virtio bus)", d.Bus)})
	}
	return out
}

// formats: some kinds of disk have only one image format.
func formats(d Disk) []Refusal {
	format := d.Get("type")
	switch {
	case d.Device == "lun" && format != "" && format != "raw" && format != "aio":
		return []Refusal{{[]string{"type"}, fmt.Sprintf(
			"libvirt refuses type=%s for device='lun' (disk device 'lun' must use 'raw' format)", format)}}
	case d.Source.Kind == "dir" && format != "fat":
		return []Refusal{{[]string{"type"}, "libvirt refuses a directory with another format " +
			"(storage type 'dir' requires use of storage format 'fat'); set type=fat"}}
	}
	return nil
}

// devices: floppies and CD-ROMs have their own buses.
func devices(d Disk) []Refusal {
	reason := ""
	switch {
	case d.Device == "floppy" && d.Bus != "fdc":
		reason = fmt.Sprintf("Invalid bus type '%s' for floppy disk", d.Bus)
	case d.Device != "floppy" && d.Bus == "fdc":
		reason = "Invalid bus type 'fdc' for disk"
	case d.Device == "cdrom" && d.Bus == "virtio":
		reason = fmt.Sprintf("disk type of '%s' does not support ejectable media", d.Target)
	case d.Device == "lun" && d.Bus != "virtio" && d.Bus != "scsi":
		reason = fmt.Sprintf("disk device='lun' is not supported for bus='%s'", d.Bus)
	default:
		return nil
	}
	return []Refusal{{[]string{busAttr}, fmt.Sprintf("libvirt refuses bus %s for device='%s' (%s)", d.Bus, d.Device, reason)}}
}

// addresses: an address belongs to a bus, and an edit of the bus leaves the old one standing.
func addresses(d Disk) []Refusal {
	if d.Address == "" || addressFits(d.Bus, d.Address) {
		return nil
	}
	return []Refusal{{[]string{busAttr}, fmt.Sprintf(
		"libvirt refuses bus %s with <address type='%s'> (Invalid address type '%s' for the disk '%s' with the bus type '%s'); "+
			"remove the <address> element and libvirt chooses a new one",
		d.Bus, d.Address, d.Address, d.Target, d.Bus)}}
}

// addressFits reports whether a disk on that bus may have that type of address.
func addressFits(bus, address string) bool {
	switch bus {
	case "scsi", "sata", "ide", "fdc":
		return address == "drive"
	case "usb":
		return address == "usb"
	case "virtio":
		return address != "drive" && address != "usb"
	}
	return true
}

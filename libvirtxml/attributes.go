package libvirtxml

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// busAttr is the one attribute that stands on <target> and not on <driver>.
const busAttr = "bus"

// attribute is what libvirt knows of one attribute: its values, or a check where they cannot be listed.
type attribute struct {
	name   string
	values []string
	check  func(value string) bool
	accept string // what check takes, in words
}

// attributes returns the attributes of diskDriver, virtioOptions and diskTarget in libvirt's domaincommon.rng and storagecommon.rng,
// in the order in which libvirt writes them. From the schema's values those are left out that libvirt's QEMU driver
// refuses when it parses ("luks" as a type, "uml" as a bus). discard_no_unref came with libvirt 9.5, nvme with 11.5.
func attributes() []attribute {
	onOff := []string{"on", "off"}
	return []attribute{
		{name: "name", values: []string{"qemu"}},
		{name: "type", values: []string{"raw", "qcow2", "qcow", "qed", "cow", "vmdk", "vdi", "vpc", "vhd",
			"ploop", "bochs", "cloop", "dmg", "iso", "fat", "dir", "aio"}},
		{name: "cache", values: []string{"default", "none", "writeback", "writethrough", "directsync", "unsafe"}},
		{name: "error_policy", values: []string{"stop", "report", "ignore", "enospace"}},
		{name: "rerror_policy", values: []string{"stop", "report", "ignore"}},
		{name: "io", values: []string{"threads", "native", "io_uring"}},
		{name: "ioeventfd", values: onOff},
		{name: "event_idx", values: onOff},
		{name: "copy_on_read", values: onOff},
		{name: "discard", values: []string{"unmap", "ignore"}},
		{name: "discard_no_unref", values: onOff},
		{name: "iothread", check: isPositive, accept: "the number of an I/O thread, from 1"},
		{name: "detect_zeroes", values: []string{"off", "on", "unmap"}},
		{name: "queues", check: isPositive, accept: "a number from 1"},
		{name: "queue_size", check: isQueueSize, accept: "a power of two from 2 to 1024, as QEMU demands"},
		{name: "iommu", values: onOff},
		{name: "ats", values: onOff},
		{name: "packed", values: onOff},
		{name: "page_per_vq", values: onOff},
		{name: busAttr, values: []string{"virtio", "scsi", "sata", "ide", "usb", "fdc", "sd", "xen", "nvme"}},
	}
}

// AttrNames lists the attributes that can be set, "bus" the last of them.
func AttrNames() []string {
	var names []string
	for _, a := range attributes() {
		names = append(names, a.name)
	}
	return names
}

// checkAttr refuses a name or value that libvirt does not know and says which it knows. An empty value is none.
func checkAttr(a Attr) error {
	i := slices.IndexFunc(attributes(), func(known attribute) bool { return known.name == a.Name })
	if i < 0 {
		return fmt.Errorf("unknown attribute %q; libvirt knows %s", a.Name, strings.Join(AttrNames(), ", "))
	}
	if a.Value == "" {
		return nil
	}
	known := attributes()[i]
	if known.check != nil && !known.check(a.Value) {
		return fmt.Errorf("%s cannot be %q; it must be %s", a.Name, a.Value, known.accept)
	}
	if known.check == nil && !slices.Contains(known.values, a.Value) {
		return fmt.Errorf("%s cannot be %q; libvirt takes %s", a.Name, a.Value, strings.Join(known.values, ", "))
	}
	return nil
}

// isPositive is the schema's positiveInteger as far as libvirt stores it: 32 bits, plain digits.
func isPositive(value string) bool {
	n, err := strconv.ParseUint(value, 10, 32)
	return err == nil && n > 0 && value[0] != '0'
}

// isQueueSize follows virtio_blk_device_realize in QEMU's hw/block/virtio-blk.c.
func isQueueSize(value string) bool {
	n, err := strconv.ParseUint(value, 10, 32)
	return err == nil && value[0] != '0' && n >= 2 && n <= 1024 && n&(n-1) == 0
}

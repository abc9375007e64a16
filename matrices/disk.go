package matrices

import (
	"math"
	"slices"
	"strings"
)

// attribute is one setting of the disk namespace: an attribute of libvirt's <driver> element, or the bus of <target>.
// It has either a set of values or a range of whole numbers.
type attribute struct {
	name     string
	values   []string
	min, max int64
}

// attributes are the driver attributes of libvirt 9.0 (docs/formatdomain, "driver"; schema domaincommon.rng, diskDriver
// and virtioOptions) that a scratch disk can have. The bounds of queues and queue_size are those of QEMU's virtio-blk:
// at most VIRTIO_QUEUE_MAX queues, "must be > 2" and "must be a power of 2 (max 1024)".
func attributes() []attribute {
	onOff := []string{"on", "off"}
	return []attribute{
		{name: "cache", values: []string{"none", "writeback", "writethrough", "directsync", "unsafe"}},
		{name: "io", values: []string{"threads", "native", "io_uring"}},
		{name: "bus", values: []string{"virtio", "scsi"}},
		{name: "discard", values: []string{"ignore", "unmap"}},
		{name: "detect_zeroes", values: []string{"off", "on", "unmap"}},
		{name: "error_policy", values: []string{"stop", "report", "ignore", "enospace"}},
		{name: "rerror_policy", values: []string{"stop", "report", "ignore"}},
		{name: "copy_on_read", values: onOff},
		{name: "ioeventfd", values: onOff},
		{name: "event_idx", values: onOff},
		{name: "packed", values: onOff},
		{name: "ats", values: onOff},
		{name: "iommu", values: onOff},
		{name: "page_per_vq", values: onOff},
		{name: "iothread", min: 1, max: math.MaxInt32},
		{name: "queues", min: 1, max: 1024},
		{name: "queue_size", min: 4, max: 1024},
	}
}

// virtioOnly are the attributes that only a virtio disk has. libvirt 9.0 refuses them elsewhere ("only supported by
// virtio-blk", "only supported for virtio devices", "supported only for virtio bus", "IOThreads not available for bus"),
// except queue_size, which it drops without a word.
func virtioOnly() []string {
	return []string{"iothread", "queues", "queue_size", "ioeventfd", "event_idx", "packed", "ats", "iommu", "page_per_vq"}
}

func diskNamespace() namespace {
	known := attributes()
	names := make([]string, len(known))
	for i, a := range known {
		names[i] = a.name
	}
	return namespace{prefix: "disk", names: names, advice: "the attributes are " + strings.Join(names, ", "), value: func(name string, value Value) *problem {
		i := slices.Index(names, name)
		return known[i].check(value)
	}}
}

func (a attribute) check(value Value) *problem {
	if a.values == nil {
		return checkWhole("disk."+a.name, value, a.min, a.max)
	}
	if slices.Contains(a.values, value.String()) {
		return nil
	}
	p := problemf("disk.%s cannot be %q", a.name, value)
	all := "its values are " + strings.Join(a.values, ", ")
	if near, ok := nearest(value.String(), a.values); ok {
		return p.withHint("did you mean %q? %s", near, all)
	}
	return p.withHint("%s", all)
}

// checkWhole wants a whole number from low to high.
func checkWhole(full string, value Value, low, high int64) *problem {
	n, ok := value.V.(int64)
	if text, isText := value.V.(string); isText && plainNumber.MatchString(text) {
		n, ok = number(text).V.(int64)
	}
	if !ok || n < low || n > high {
		return problemf("%s cannot be %q", full, value).withHint("write a whole number from %d to %d", low, high)
	}
	return nil
}

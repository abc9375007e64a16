package matrices

import "math"

// attributes are the driver attributes of libvirt 9.0 (docs/formatdomain, "driver"; schema domaincommon.rng, diskDriver
// and virtioOptions) that a scratch disk can have. The bounds of queues and queue_size are those of QEMU's virtio-blk:
// at most VIRTIO_QUEUE_MAX queues, "must be > 2" and "must be a power of 2 (max 1024)".
func attributes() []attribute {
	return []attribute{
		{name: "cache", values: []string{"none", "writeback", "writethrough", "directsync", "unsafe"}},
		{name: "io", values: []string{"threads", "native", "io_uring"}},
		{name: "bus", values: []string{"virtio", "scsi", "sata"}},
		{name: "discard", values: []string{"ignore", "unmap"}},
		{name: "detect_zeroes", values: []string{"off", "on", "unmap"}},
		{name: "error_policy", values: []string{"stop", "report", "ignore", "enospace"}},
		{name: "rerror_policy", values: []string{"stop", "report", "ignore"}},
		{name: "copy_on_read", values: onOff()},
		{name: "ioeventfd", values: onOff()},
		{name: "event_idx", values: onOff()},
		{name: "packed", values: onOff()},
		{name: "ats", values: onOff()},
		{name: "iommu", values: onOff()},
		{name: "page_per_vq", values: onOff()},
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

func diskNamespace() namespace { return attributeNamespace("disk", "attributes", attributes()) }

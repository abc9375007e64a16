package matrices

import (
	"math"
	"regexp"
)

// attributes are the driver attributes of libvirt 9.0 (docs/formatdomain, "driver"; schema domaincommon.rng, diskDriver
// and virtioOptions) that a scratch disk can have. The bounds of queues and queue_size are those of QEMU's virtio-blk:
// at most VIRTIO_QUEUE_MAX queues, "must be > 2" and "must be a power of 2 (max 1024)".
func attributes() []attribute {
	return []attribute{
		{name: "cache", values: []string{"none", "writeback", "writethrough", "directsync", "unsafe"},
			about: "How QEMU uses the host's page cache and whether it passes flushes on."},
		{name: "io", values: []string{"threads", "native", "io_uring"},
			about: "How QEMU does its reads and writes; native needs cache none or directsync."},
		{name: "bus", values: []string{"virtio", "scsi", "sata", "nvme"},
			about: "The device that the guest sees; sata cannot be plugged into a running guest, nor nvme (libvirt 11.5), which gets a guest " +
				"started for it."},
		{name: "discard", values: []string{"ignore", "unmap"},
			about: "Whether the guest's trims reach the image."},
		{name: "detect_zeroes", values: []string{"off", "on", "unmap"},
			about: "Whether QEMU looks for writes of zeroes; unmap needs discard unmap."},
		{name: "error_policy", values: []string{"stop", "report", "ignore", "enospace"},
			about: "What QEMU does when a write fails."},
		{name: "rerror_policy", values: []string{"stop", "report", "ignore"},
			about: "What QEMU does when a read fails."},
		{name: "copy_on_read", values: onOff(),
			about: "Copies what is read from a backing file, which the scratch disk does not have."},
		{name: "ioeventfd", values: onOff(),
			about: "Whether requests are handled outside the thread of the guest's processor; virtio alone."},
		{name: "event_idx", values: onOff(),
			about: "Whether fewer interrupts are sent; virtio alone."},
		{name: "packed", values: onOff(),
			about: "Whether the queues are packed; virtio alone."},
		{name: "ats", values: onOff(),
			about: "Whether the device has address translation services; virtio alone."},
		{name: "iommu", values: onOff(),
			about: "Whether the device is behind an emulated IOMMU; virtio alone."},
		{name: "page_per_vq", values: onOff(),
			about: "Whether each queue has its notification in a page of its own; virtio alone."},
		{name: "iothread", min: 1, max: math.MaxInt32,
			about: "The number of the QEMU thread that handles the disk; virtio alone."},
		{name: "queues", min: 1, max: 1024,
			about: "How many queues the disk has; virtio alone."},
		{name: "queue_size", min: 4, max: 1024,
			about: "How many requests a queue holds, a power of 2; virtio alone."},
	}
}

// virtioOnly are the attributes that only a virtio disk has. libvirt 9.0 refuses them elsewhere ("only supported by
// virtio-blk", "only supported for virtio devices", "supported only for virtio bus", "IOThreads not available for bus"),
// except queue_size, which it drops without a word.
func virtioOnly() []string {
	return []string{"iothread", "queues", "queue_size", "ioeventfd", "event_idx", "packed", "ats", "iommu", "page_per_vq"}
}

// emulatorPath is what may stand in a domain's <emulator>: an absolute path.
var emulatorPath = regexp.MustCompile(`^/[^\x00-\x1f\x7f]+$`)

// diskNamespace has the attributes of the disk's driver, and of its target and the QEMU behind it those that domains are not compared by.
func diskNamespace() namespace {
	return attributeNamespace("disk", "attributes", append(attributes(), attribute{
		name: "dpofua", values: onOff(),
		about: "Whether a SCSI disk tells the guest that it takes FUA writes (libvirt 11.10); QEMU's own choice unless it is said.",
	}, attribute{
		name: "emulator", pattern: emulatorPath, example: "the absolute path of a QEMU, for example /opt/qemu/bin/qemu-system-x86_64",
		about: "The path of another QEMU than the hypervisor's own, which runs the guest; another value needs another boot.",
	}))
}

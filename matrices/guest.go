package matrices

// Guest is the measuring guest, and what it does to the scratch disk before a trial.
type Guest struct {
	MemoryBytes int64
	VCPUs       int
	Filesystem  string // none (fio runs on the raw device), ext4 or xfs
	Barrier     string // on or off: ext4's mount option; on where there is no file system
	WriteCache  string // device (as the guest's kernel found it) or "write through": queue/write_cache in sysfs
	CacheType   string // device, "write through" or "write back": virtio's cache_type in sysfs, scsi_disk's for SCSI
}

// asDevice is the value of a knob that is left as the guest's kernel found it.
const asDevice = "device"

func guestNamespace() namespace {
	return attributeNamespace("guest", "settings of the guest", []attribute{
		{name: "memory", multiple: sectionMultiple, about: "The guest's memory; another value needs another boot."},
		{name: "vcpus", min: 1, max: maxVCPUs, about: "The guest's processors; another value needs another boot."},
		{name: "filesystem", values: []string{"none", "ext4", "xfs"},
			about: "The file system on the scratch disk; none is the raw device."},
		{name: "barrier", values: onOff(),
			about: "ext4's mount option: off keeps the file system from flushing the disk."},
		{name: "write_cache", values: []string{asDevice, "write through"},
			about: "The guest kernel's view of the disk (queue/write_cache): with write through it sends no flushes."},
		{name: "cache_type", values: []string{asDevice, "write through", "write back"},
			about: "The device's own mode, changed from inside the guest (virtio's and SCSI's cache_type)."},
	})
}

// set takes over a setting that was checked.
func (g *Guest) set(name string, v Value) {
	switch name {
	case "memory":
		g.MemoryBytes, _ = parseSize(v.String())
	case "vcpus":
		n, _ := whole(v)
		g.VCPUs = int(n)
	case "filesystem":
		g.Filesystem = v.String()
	case "barrier":
		g.Barrier = v.String()
	case "write_cache":
		g.WriteCache = v.String()
	case "cache_type":
		g.CacheType = v.String()
	}
}

func (g Guest) get(name string) (Value, bool) {
	switch name {
	case "memory":
		return Value{g.MemoryBytes}, true
	case "vcpus":
		return Value{int64(g.VCPUs)}, true
	case "filesystem":
		return Value{g.Filesystem}, true
	case "barrier":
		return Value{g.Barrier}, true
	case "write_cache":
		return Value{g.WriteCache}, true
	case "cache_type":
		return Value{g.CacheType}, true
	}
	return Value{}, false
}

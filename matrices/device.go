package matrices

import "time"

// Device is the simulated disk that loses power, as far as a matrix sets it. The zero value of each field is its default.
type Device struct {
	WriteLatency, FlushLatency time.Duration // 0: none
	DirtyExpire                time.Duration // 0: 30 s
	DirtyBackground            int64         // in bytes; 0: 256 MiB
	DriveCacheSize             int64         // in bytes; 0: 64 MiB
	Sector                     int           // 512 or 4096; 0: 512
}

func deviceNamespace() namespace {
	const longest = 10 * time.Second // more is a mistake in the unit
	return attributeNamespace("device", "settings of the simulated disk", []attribute{
		{name: "write_latency", longest: longest, about: "How long moving data to the drive takes; 0us unless it is said."},
		{name: "flush_latency", longest: longest, about: "How long a flush takes beside that; 0us unless it is said."},
		{name: "dirty_expire", shortest: time.Millisecond, longest: time.Hour,
			about: "The age at which the host writes a dirty page back (vm.dirty_expire_centisecs); 30s unless it is said."},
		{name: "dirty_background", multiple: sectionMultiple,
			about: "How much the host holds dirty before it writes back (vm.dirty_background_bytes); 256MiB unless it is said."},
		{name: "drive_cache_size", multiple: sectionMultiple,
			about: "How much the drive's own cache holds; 64MiB unless it is said."},
		{name: "sector", values: []string{"512", "4096"},
			about: "What the drive writes whole or not at all, in bytes; 512 unless it is said."},
	})
}

// set takes over a setting that was checked.
func (d *Device) set(name string, v Value) {
	switch name {
	case "write_latency":
		d.WriteLatency, _ = parseDeviceTime(v.String())
	case "flush_latency":
		d.FlushLatency, _ = parseDeviceTime(v.String())
	case "dirty_expire":
		d.DirtyExpire, _ = parseDeviceTime(v.String())
	case "dirty_background":
		d.DirtyBackground, _ = parseSize(v.String())
	case "drive_cache_size":
		d.DriveCacheSize, _ = parseSize(v.String())
	case "sector":
		n, _ := whole(v)
		d.Sector = int(n)
	}
}

// get gives what is set; what is not is the simulated disk's default.
func (d Device) get(name string) (Value, bool) {
	switch name {
	case "write_latency":
		return Value{d.WriteLatency.String()}, d.WriteLatency > 0
	case "flush_latency":
		return Value{d.FlushLatency.String()}, d.FlushLatency > 0
	case "dirty_expire":
		return Value{d.DirtyExpire.String()}, d.DirtyExpire > 0
	case "dirty_background":
		return Value{d.DirtyBackground}, d.DirtyBackground > 0
	case "drive_cache_size":
		return Value{d.DriveCacheSize}, d.DriveCacheSize > 0
	case "sector":
		return Value{int64(d.Sector)}, d.Sector > 0
	}
	return Value{}, false
}

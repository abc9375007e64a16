package matrices

import (
	"fmt"
	"strconv"
	"strings"

	"platter/cell"
)

// newSetting is a value of a setting that libvirt has from a version on.
type newSetting struct {
	name, value string // of any value where it is empty
	libvirt     string
	source      string
}

// newSettings are those that libvirt 9.0, Debian 12's, does not have.
func newSettings() []newSetting {
	return []newSetting{
		{"disk.bus", "nvme", "11.5.0", "libvirt, NEWS, 11.5.0; tried with 12.9"},
		{"disk.dpofua", "", "11.10.0", "libvirt, formatdomain, target dpofua; tried with 12.9"},
	}
}

// Unsupported returns why a hypervisor with this version of libvirt cannot have the cell's disk, in a line; empty when it can, and when the
// version is not one that can be read.
func Unsupported(c cell.Cell, libvirt string) string {
	for _, n := range newSettings() {
		set, is := c.Settings.Get(n.name)
		if !is || n.value != "" && set.String() != n.value || !older(libvirt, n.libvirt) {
			continue
		}
		return fmt.Sprintf("%s=%s needs libvirt %s or newer, and this is %s", strings.TrimPrefix(n.name, "disk."), set, n.libvirt, libvirt)
	}
	return ""
}

// FlushHistograms reports whether a hypervisor with this version of libvirt keeps histograms of how long QEMU takes for a disk's flushes:
// <statistics> with a latency-histogram, from 12.1 on (libvirt, formatdomain, driver statistics; tried with 12.9).
func FlushHistograms(libvirt string) bool { return libvirt != "" && !older(libvirt, "12.1.0") }

// older reports whether version a comes before b, number by number: "9.0.0" before "11.5.0".
func older(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(as), len(bs)) {
		m, err := strconv.Atoi(as[i])
		n, err2 := strconv.Atoi(bs[i])
		if err != nil || err2 != nil {
			return false
		}
		if m != n {
			return m < n
		}
	}
	return false
}

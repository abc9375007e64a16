package matrices

import (
	"fmt"
	"strings"

	"platter/cell"
	"platter/version"
)

// newSetting is a value of a setting that libvirt has from a version on.
type newSetting struct {
	name, value string // of any value where it is empty
	libvirt     version.Version
	source      string
}

// newSettings are those that libvirt 9.0, Debian 12's, does not have.
func newSettings() []newSetting {
	return []newSetting{
		{"disk.bus", "nvme", version.Version{Major: 11, Minor: 5}, "libvirt, NEWS, 11.5.0; tried with 12.9"},
		{"disk.dpofua", "", version.Version{Major: 11, Minor: 10}, "libvirt, formatdomain, target dpofua; tried with 12.9"},
	}
}

// Unsupported returns why a hypervisor with this version of libvirt cannot have the cell's disk, in a line; empty when it can, and when the
// version is not one that can be read.
func Unsupported(c cell.Cell, libvirt string) string {
	have, err := version.Parse(libvirt)
	if err != nil {
		return ""
	}
	for _, n := range newSettings() {
		set, is := c.Settings.Get(n.name)
		if !is || n.value != "" && set.String() != n.value || have.AtLeast(n.libvirt.Major, n.libvirt.Minor, n.libvirt.Micro) {
			continue
		}
		return fmt.Sprintf("%s=%s needs libvirt %s or newer, and this is %s", strings.TrimPrefix(n.name, "disk."), set, n.libvirt, libvirt)
	}
	return ""
}

// FlushHistograms reports whether a hypervisor with this version of libvirt keeps histograms of how long QEMU takes for a disk's flushes:
// <statistics> with a latency-histogram, from 12.1 on (libvirt, formatdomain, driver statistics; tried with 12.9).
func FlushHistograms(libvirt string) bool {
	have, err := version.Parse(libvirt)
	return err == nil && have.AtLeast(12, 1, 0)
}

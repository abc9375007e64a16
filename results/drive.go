package results

import (
	"fmt"
	"strings"
)

// Drive is a device that the images lie on, as the kernel describes it in sysfs (Documentation/ABI/stable/sysfs-block). What it does
// not tell is absent. In a virtual machine it is a virtual disk, which says nothing of the drive below.
type Drive struct {
	Name      string `json:"name"`            // "nvme0n1"
	Model     string `json:"model,omitempty"` // with the vendor, where there is one
	Firmware  string `json:"firmware,omitempty"`
	SizeBytes int64  `json:"size_bytes,omitempty"`
	// WriteCache is what the kernel takes the drive's cache for: "write back", which it flushes, or "write through", which it does not.
	WriteCache string `json:"write_cache,omitempty"`
	FUA        *bool  `json:"fua,omitempty"` // a write can be forced past the cache
	Rotational *bool  `json:"rotational,omitempty"`
	Scheduler  string `json:"scheduler,omitempty"`
	// Blocks are the logical and the physical block, in bytes.
	LogicalBlock  int64 `json:"logical_block,omitempty"`
	PhysicalBlock int64 `json:"physical_block,omitempty"`
	// Controller is the nearest PCI device above: its driver and its ids as lspci -n has them, "nvme [144d:a80a]".
	Controller string `json:"controller,omitempty"`
}

// String says all that is known of a drive in a line.
func (d Drive) String() string {
	parts := []string{strings.TrimSpace(d.Name + " " + d.Model)}
	add := func(known bool, text string) {
		if known {
			parts = append(parts, text)
		}
	}
	add(d.Firmware != "", "firmware "+d.Firmware)
	add(d.SizeBytes > 0, fmt.Sprintf("%d GB", (d.SizeBytes+5e8)/1e9))
	if d.Rotational != nil {
		add(*d.Rotational, "rotational")
		add(!*d.Rotational, "not rotational")
	}
	add(d.WriteCache != "", "cache "+d.WriteCache)
	if d.FUA != nil {
		add(*d.FUA, "FUA")
		add(!*d.FUA, "no FUA")
	}
	add(d.PhysicalBlock > 0, fmt.Sprintf("blocks %d/%d B", d.LogicalBlock, d.PhysicalBlock))
	add(d.Scheduler != "", "scheduler "+d.Scheduler)
	add(d.Controller != "", "controller "+d.Controller)
	return strings.Join(parts, ", ")
}

package scratch

import (
	"testing"

	"platter/cell"
	"platter/libvirtxml"
)

// The emulator is the domain's; libvirt would refuse it at a disk's driver.
func TestTheEmulatorIsNoAttributeOfTheDisk(t *testing.T) {
	c := cell.Cell{Settings: cell.Settings{{Name: "disk.emulator", Value: cell.Value{V: "/opt/qemu"}},
		{Name: "disk.cache", Value: cell.Value{V: "none"}}}}
	d := Disk(c, FileSource("/scratch.img"))
	if len(d.Driver) != 1 || d.Driver[0] != (libvirtxml.Attr{Name: "cache", Value: "none"}) {
		t.Errorf("the driver's attributes are %v", d.Driver)
	}
}

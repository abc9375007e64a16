package libvirtxml

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestDisksTellsWhatTheDomainSaysOfEachDisk(t *testing.T) {
	const doc = `<domain type='kvm'>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'
              cache='none'/>
      <source file='/srv/é&amp;.qcow2'/>
      <target dev='vda' bus='virtio'/>
      <address type='pci' domain='0x0000'/>
    </disk>
    <disk type='block' device='lun'><source dev='/dev/sdb'/><target dev='sda'/></disk>
    <disk type='network'><driver io='io_uring'/><source protocol='rbd' name='p/img'><host name='h'/></source><target dev='vdb'/></disk>
    <disk type='volume'><source pool='p' volume='v'/><target dev='vdc'/></disk>
    <disk type='dir'><driver type='fat'/><source dir='/d'/><target dev='hda'/><readonly/></disk>
    <disk type='vhostuser'><source type='unix' path='/s'/><target dev='vdd'/></disk>
    <disk device='cdrom'><target dev='ioemu:hdb'/></disk>
    <disk device='floppy'><source file='/f'/><target dev='fda'/></disk>
    <disk/>
  </devices>
</domain>
`
	got, err := Disks("vm.xml", []byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	want := []Disk{
		{
			Target: "vda", Bus: "virtio", Device: "disk", Source: Source{"file", "", "/srv/é&.qcow2"}, Address: "pci", Line: 3, Column: 5,
			Driver: []DriverAttr{{Attr{"name", "qemu"}, 4, 15}, {Attr{"type", "qcow2"}, 4, 27}, {Attr{"cache", "none"}, 5, 15}},
		},
		{Target: "sda", Bus: "scsi", Device: "lun", Source: Source{"block", "", "/dev/sdb"}, Line: 10, Column: 5},
		{
			Target: "vdb", Bus: "virtio", Device: "disk", Source: Source{"network", "rbd", "p/img"}, Line: 11, Column: 5,
			Driver: []DriverAttr{{Attr{"io", "io_uring"}, 11, 34}},
		},
		{Target: "vdc", Bus: "virtio", Device: "disk", Source: Source{"volume", "", "p/v"}, Line: 12, Column: 5},
		{
			Target: "hda", Bus: "ide", Device: "disk", Source: Source{"dir", "", "/d"}, ReadOnly: true, Line: 13, Column: 5,
			Driver: []DriverAttr{{Attr{"type", "fat"}, 13, 30}},
		},
		{Target: "vdd", Bus: "virtio", Device: "disk", Source: Source{"vhostuser", "", "/s"}, Line: 14, Column: 5},
		{Target: "ioemu:hdb", Bus: "ide", Device: "cdrom", Source: Source{Kind: "file"}, Line: 15, Column: 5},
		{Target: "fda", Bus: "fdc", Device: "floppy", Source: Source{"file", "", "/f"}, Line: 16, Column: 5},
		{Device: "disk", Source: Source{Kind: "file"}, Line: 17, Column: 5},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Disk{}, "Element")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAPathInLatin1IsReadAsItIsMeant(t *testing.T) {
	doc := "<?xml version='1.0' encoding='ISO-8859-1'?><domain><devices><disk><source file='/\xe9'/><target " +
		"dev='vda'/></disk></devices></domain>"
	disks, err := Disks("", []byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	if got := disks[0].Source.Path; got != "/é" {
		t.Errorf("got %q", got)
	}
}

func TestASoundDiskHasNoRefusals(t *testing.T) {
	for _, d := range []Disk{
		{Target: "vda", Bus: "virtio", Device: "disk", Address: "pci", Driver: []DriverAttr{{Attr: Attr{"io", "native"}},
			{Attr: Attr{"cache", "directsync"}}, {Attr: Attr{"queues", "4"}}}},
		{Target: "sda", Bus: "scsi", Device: "lun", Address: "drive", Driver: []DriverAttr{{Attr: Attr{"type", "raw"}}}},
		{Target: "sdb", Bus: "usb", Device: "cdrom", Address: "usb", ReadOnly: true},
		{Target: "fda", Bus: "fdc", Device: "floppy", Driver: []DriverAttr{{Attr: Attr{"copy_on_read", "off"}}}},
		{Target: "vdb", Bus: "virtio", Device: "disk", Source: Source{Kind: "vhostuser"}, Driver: []DriverAttr{{Attr: Attr{"cache",
			"default"}}, {Attr: Attr{"packed", "on"}}}},
	} {
		if got := d.Refusals(); len(got) != 0 {
			t.Errorf("%s: %v", d.Target, got)
		}
	}
}

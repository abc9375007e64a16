package change

import (
	_ "embed"
	"errors"
	"strings"
	"testing"

	"platter/libvirtxml"
)

// web is a domain with one disk.
//
//go:embed testdata/web.xml
var web string

func TestWhatDiffersForADiskIsFoundAndNothingElse(t *testing.T) {
	const controller = "<controller type='scsi' model='virtio-scsi'><driver queues='4'/></controller>"
	for _, c := range []struct {
		name, old, new string
		measured       string // lines of what is measured
		elsewhere      string // lines of what may matter and is not
		beside         string // lines of what decides nothing
	}{
		{"nothing", "", "", "", "", ""},
		{"white space", "  <memory", "\n\n <memory", "", "", ""},
		{"the order of attributes", "cache='none' discard='unmap'", "discard='unmap'  cache='none'", "", "", ""},
		{"a comment and another name", "<name>web</name>", "<!-- new --><name>web2</name><title>a title</title>", "", "", ""},
		{"another place of the disk", "<target", "<address type='pci' slot='0x7'/><boot order='1'/><target", "", "", ""},
		{"what is the default anyway", "discard='unmap'", "discard='unmap' io='threads'", "", "", ""},
		{"the format by default", "name='qemu' type='raw' cache", "cache", "", "", ""},
		{"another unit", "unit='MiB'>1024", "unit='KiB'>1048576", "", "", ""},
		{"the bus by default", "bus='virtio'", "", "", "", ""},
		{"another image", "web.img", "web2.img", "", "", "vda: source differs: where the image lies is not judged"},
		{"a network card", "<devices>", "<devices><interface type='user'/>", "", "",
			"domain/devices/interface differs, which disks do not work with"},
		{"a port", "<devices>", "<devices><controller type='pci' model='pcie-root-port'/>", "", "",
			"domain/devices/controller differs, which disks do not work with"},
		{"a new disk", "    </disk>", "    </disk><disk type='file' device='disk'><source file='/x'/><target dev='vdz'/></disk>", "", "",
			"vdz: is new and has no other side: lint has looked at it, and nothing else"},
		{"a CD", "sr.iso", "other.iso", "", "", "sda: the cdrom differs"},

		{"the cache mode", "cache='none'", "cache='unsafe'", "vda: cache none → unsafe", "", ""},
		{"the cache mode by default", "cache='none' ", "", "vda: cache none → writeback", "", ""},
		{"the cache mode of a shareable disk, none by default", "'raw'/><shareable/>", "'raw' cache='writeback'/><shareable/>",
			"vdb: cache none → writeback", "", ""},
		{"an iothread", "cache='none'", "cache='none' iothread='1'", "vda: iothread (not set) → 1", "", ""},
		{"what the hypervisor chooses", "cache='none'", "cache='none' ioeventfd='on'", "vda: ioeventfd (not set) → on", "", ""},
		{"the bus", "bus='virtio'", "bus='scsi'", "vda: bus virtio → scsi", "", ""},

		{"a bus that the guest has not", "bus='virtio'", "bus='sata'", "",
			"vda: bus virtio → sata differs and is not measured: platter's scratch disk is nothing like a disk on the bus sata", ""},
		{"a LUN's cache mode", "cache='none' io='native'", "cache='directsync' io='native'", "",
			"sdb: cache none → directsync differs and is not measured: platter's scratch disk is nothing like a lun", ""},
		{"an RBD disk's cache mode", "<driver type='raw'/><source protocol", "<driver type='raw' cache='none'/><source protocol", "",
			"vdc: cache writeback → none differs and is not measured: platter's scratch disk is nothing like a disk of rbd", ""},
		{"a qcow2 image's cache mode", "type='qcow2'", "type='qcow2' cache='none'", "vdd: cache writeback → none", "",
			"vdd: its format is qcow2; the image that was measured has the format of the matrix"},
		{"what is done about errors", "discard='unmap'", "discard='unmap' error_policy='ignore'", "",
			"vda: driver attribute error_policy (not set) → ignore differs and is not measured", ""},
		{"QEMU's own policy about errors", "discard='unmap'", "discard='unmap' error_policy='report'", "",
			"vda: driver attribute error_policy (not set) → report differs and is not measured", ""},
		{"the format", "type='raw' cache", "type='qcow2' cache", "", "vda: driver attribute type raw → qcow2 differs and is not measured", ""},
		{"a part of the driver", "discard='unmap'/>", "discard='unmap'><metadata_cache/></driver>", "",
			"vda: driver differs and is not measured", ""},
		{"the source's own settings", "<source file='/var/lib/libvirt/images/web.img'/>",
			"<source file='/var/lib/libvirt/images/web.img'><slices/></source>", "", "vda: source differs and is not measured", ""},
		{"the rotation", "bus='virtio'", "bus='virtio' rotation_rate='1'", "", "vda: target differs and is not measured", ""},
		{"a limit", "<target", "<iotune><total_iops_sec>10</total_iops_sec></iotune><target", "", "vda: iotune differs and is not measured", ""},
		{"a limit that goes to another disk", "<iotune/></disk>", "</disk>", "", "vdb: iotune differs and is not measured", ""},
		{"memory", "1024", "2048", "", "domain/memory differs and is not measured", ""},
		{"the machine", "q35-7.2", "q35-8.0", "", "domain/os differs and is not measured", ""},
		{"a controller of disks", controller, "", "", "domain/devices/controller differs and is not measured", ""},
	} {
		before := strings.Replace(web, "  </devices>", `<disk type='file' device='disk'><driver type='raw'/><shareable/><source file='/b'/>
<target dev='vdb'/><iotune/></disk>
<disk type='network' device='disk'><driver type='raw'/><source protocol='rbd' name='p/i'/><target dev='vdc'/></disk>
<disk type='file'><driver type='qcow2'/><source file='/d'/><target dev='vdd'/></disk>
<disk type='file' device='cdrom'><source file='/sr.iso'/><target dev='sda' bus='sata'/></disk>
<disk type='block' device='lun'><driver cache='none' io='native'/><source dev='/dev/sdq'/><target dev='sdb' bus='scsi'/></disk>
`+controller+"</devices>", 1)
		if !strings.Contains(before, c.old) {
			t.Fatalf("%s: the domain has no %q", c.name, c.old)
		}
		ch, err := Between("before.xml", []byte(before), "after.xml", []byte(strings.Replace(before, c.old, c.new, 1)), "")
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var measured []string
		for _, d := range ch.Disks {
			measured = append(measured, d.Lines()...)
		}
		for _, part := range []struct {
			got  []string
			want string
		}{{measured, c.measured}, {ch.Elsewhere, c.elsewhere}, {ch.Beside, c.beside}} {
			if text := strings.Join(part.got, "; "); text != part.want {
				t.Errorf("%s: %q, want %q", c.name, text, part.want)
			}
		}
	}
}

func TestAChangeBesideTheDiskThatWasAskedForIsNamed(t *testing.T) {
	two := strings.Replace(web, "  </devices>",
		"<disk type='file'><driver cache='none'/><source file='/b'/><target dev='vdb'/></disk></devices>", 1)
	changed := strings.NewReplacer("<driver cache='none'/>", "<driver cache='unsafe'/>", "q35-7.2", "q35-2.4").Replace(two)
	ch, err := Between("before.xml", []byte(two), "after.xml", []byte(changed), "vda")
	if err != nil {
		t.Fatal(err)
	}
	want := "domain/os differs and is not measured; vdb: differs too, and was not asked for"
	if got := strings.Join(ch.Lines(), "; "); got != want || len(ch.Disks) != 0 {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestDisksThatChangeAlikeAreMeasuredOnce(t *testing.T) {
	disk := func(target, cache string) string {
		return "<disk type='file'><driver cache='" + cache + "'/><source file='/b'/><target dev='" + target + "' bus='virtio'/></disk>"
	}
	domain := func(a, b, c string) []byte {
		return []byte("<domain type='kvm'><devices>" + disk("vda", a) + disk("vdb", b) + disk("vdc", c) + "</devices></domain>")
	}
	ch, err := Between("a.xml", domain("none", "none", "none"), "b.xml", domain("writeback", "writethrough", "writeback"), "")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, group := range ch.Alike() {
		for _, d := range group {
			got = append(got, d.Target)
		}
		got = append(got, "|")
	}
	if text := strings.Join(got, " "); text != "vda vdc | vdb |" {
		t.Errorf("%s", text)
	}
}

func TestADiskThatIsNotThereIsNamed(t *testing.T) {
	_, err := Between("d.xml", []byte(web), "d.xml", []byte(web), "vdz")
	var noDisk *NoDiskError
	if !errors.As(err, &noDisk) || !strings.Contains(err.Error(), "it has vda") {
		t.Errorf("got %v", err)
	}
}

func FuzzElements(f *testing.F) {
	f.Add([]byte(web))
	f.Add([]byte("<!DOCTYPE d [<!ENTITY e 'vdb'>]><domain><name>&e;</name></domain>"))
	f.Add([]byte("<domain><memory unit='GB'>1</memory><memory/></domain>"))
	f.Add([]byte("<domain xmlns:q='u'><q:commandline><q:arg value='a'/><q:arg value='b'/></q:commandline></domain>"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		root, _, err := libvirtxml.Parse("f", doc)
		if err != nil {
			return
		}
		if a, b := meaning(root), meaning(root); len(a.differing(b)) != 0 || a.text() != b.text() {
			t.Errorf("a document differs from itself: %v", a.differing(b))
		}
	})
}

package lint

import (
	"strings"
	"testing"

	"platter/flushpath"
	"platter/policy"
	"platter/version"
)

// What is found depends on QEMU, on the raw node that libvirt leaves out, and on io; the mends are those that the model calls safe.
func TestTheNewestPromisesAreAtRiskByVersion(t *testing.T) {
	on := func(qemu, libvirt string) Hypervisor {
		f := flushpath.FactsOf(qemu, libvirt)
		return Hypervisor{QEMU: f.QEMU, Libvirt: f.Libvirt}
	}
	old, bookworm, backports := on("7.2.22", "11.3.0"), on("7.2.22", "9.0.0"), on("10.0.2", "11.3.0")
	trixie, newest := on("10.0.13", "11.3.0"), on("11.1.3", "12.9.0")
	assumed := bookworm
	assumed.Assumed = true
	bad := newest
	bad.Assumed = true
	for _, tc := range []struct {
		on     Hypervisor
		driver string // attributes of the disk's driver
		bus    string
		want   string // level and parts of the message, separated by "|"; empty where nothing is found
	}{
		{bookworm, "cache='writethrough'", "virtio", ""},
		{backports, "cache='writethrough'", "virtio", ""},
		{trixie, "cache='writethrough'", "virtio", "warning|with QEMU 10.0.13 promises may be lost by host_crash, power_loss" +
			"|cache='directsync' io='native', or io='io_uring' keeps them"},
		{newest, "cache='directsync'", "virtio", "warning|by power_loss:|; io='native', or io='io_uring' keeps them"},
		{newest, "cache='directsync' io='native'", "virtio", ""},
		{newest, "cache='writethrough' io='io_uring'", "virtio", ""},
		{newest, "cache='directsync' type='qcow2'", "virtio", ""},
		{newest, "cache='none'", "virtio", ""},
		{newest, "cache='none'", "scsi", "warning|by power_loss:|FUA|; io='native', or io='io_uring' keeps them"},
		{newest, "cache='none' io='native'", "scsi", ""},
		{newest, "", "scsi", "warning|by host_crash, power_loss:|; cache='directsync' io='native', or io='io_uring' keeps them"},
		{trixie, "cache='none'", "scsi", ""},
		{old, "cache='directsync' io='native'", "virtio", "warning|the first one after start or after a flush|; cache='none' keeps them"},
		{bookworm, "cache='none'", "nvme", "warning|NVMe|; bus='virtio' keeps them"},
		{bad, "cache='directsync'", "virtio", "warning|with QEMU 11.1.3 (installed here, assumed) promises"},
		{assumed, "cache='directsync'", "virtio", "note|newer releases of QEMU|QEMU 7.2.22, which is installed here and assumed, keeps them"},
		{assumed, "cache='directsync' io='native'", "virtio", ""},
		{Hypervisor{}, "cache='writethrough'", "virtio", "note|QEMU's version is not known; --qemu VERSION says it"},
		{newest, "cache='unsafe'", "virtio", ""}, // another rule's
	} {
		doc := domainOf("d", "", "<disk type='file'><driver "+tc.driver+" discard='unmap'/><source file='/a'/><target dev='vda' bus='"+
			tc.bus+"'/></disk>")
		found, err := Check(&policy.Policy{Name: "p",
			Disks: []policy.DiskRule{{Cache: []string{"none", "writeback", "writethrough", "directsync"}}}},
			tc.on, "d.xml", []byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range found {
			if f.Rule == ruleNewest {
				got = append(got, f.Level+": "+f.Message)
			}
		}
		if (tc.want == "") != (len(got) == 0) || len(got) > 1 {
			t.Errorf("QEMU %s, %s, %s: %q, want %q", tc.on.QEMU, tc.driver, tc.bus, got, tc.want)
			continue
		}
		for _, part := range strings.Split(tc.want, "|") {
			if len(got) == 1 && !strings.Contains(got[0], part) {
				t.Errorf("QEMU %s, %s, %s: %q has no %q", tc.on.QEMU, tc.driver, tc.bus, got[0], part)
			}
		}
	}
}

// A machine type that stays as it was keeps FUA off, whatever QEMU becomes.
func TestAnOldMachineTypeHasNoFUA(t *testing.T) {
	doc := strings.Replace(domainOf("d", "",
		"<disk type='file'><driver cache='none'/><source file='/a'/><target dev='sda' bus='scsi'/></disk>"),
		"<devices>", "<os><type machine='pc-q35-7.2'>hvm</type></os><devices>", 1)
	found, err := Check(&policy.Policy{Name: "p"}, Hypervisor{QEMU: version.Version{Major: 11, Minor: 1}}, "d.xml", []byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		if f.Rule == ruleNewest {
			t.Error(f.Message)
		}
	}
}

// Whatever is at risk, the finding names something that the model calls safe.
func TestWhatIsAtRiskHasAMend(t *testing.T) {
	at := 0
	for _, qemu := range []version.Version{{}, {Major: 7, Minor: 2, Micro: 22}, {Major: 10, Micro: 2}, {Major: 10, Micro: 13},
		{Major: 11, Minor: 1, Micro: 3}} {
		for _, noRawNode := range []bool{false, true} {
			for _, cache := range []string{"", "none", "writeback", "writethrough", "directsync", "unsafe"} {
				for _, bus := range []string{"virtio", "scsi", "sata", "ide", "usb", "fdc", "sd", "nvme"} {
					for _, protocol := range []string{"", "rbd"} {
						for _, format := range []string{"raw", "qcow2"} {
							for _, io := range []string{"", "threads", "native", "io_uring"} {
								c := flushpath.Config{Cache: cache, Bus: bus, Format: format, Protocol: protocol, IO: io, QEMU: qemu,
									NoRawNode: noRawNode, Machine: flushpath.MachineVersion("q35", qemu)}
								if classes, _ := risked(c); len(classes) == 0 {
									continue
								}
								if at++; len(mends(c)) == 0 {
									t.Errorf("%+v has no mend", c)
								}
							}
						}
					}
				}
			}
		}
	}
	if at == 0 {
		t.Error("nothing is at risk: the test looks at nothing")
	}
}

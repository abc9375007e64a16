package libvirtxml

import (
	"strings"
	"testing"

	oracle "libvirt.org/go/libvirtxml"

	"platter/internal/golden"
)

// domains are those of the golden files.
func domains() map[string]Domain {
	kvm := Domain{
		Name: "platter-a1", Type: "kvm", MemoryBytes: 512 << 20, VCPUs: 2,
		Kernel: "/cache/vmlinuz", Initrd: "/cache/initrd.img", Cmdline: `console=ttyS0 root=/dev/vda x='<&">'`,
		Root: "/cache/root & more.img", RootSerial: "platter-root", ConsoleLog: "/run/console's.log", SSHPort: 22022,
		RunDir: "/runs/<a> \"b\" 'c'",
	}
	tcg := kvm
	tcg.Type, tcg.UUID = "qemu", "5f4dcc3b-5aa7-45d6-9d83-27deb882cf99"
	tcg.Initrd, tcg.RootSerial = "", ""
	tcg.IOThreads, tcg.SparePorts, tcg.SCSI = 2, 3, true
	fixed := tcg
	fixed.CPU = "qemu64"
	return map[string]Domain{"kvm": kvm, "tcg": tcg, "tcg-qemu64": fixed}
}

// scratchDisks are those of the golden files.
func scratchDisks() map[string]ScratchDisk {
	return map[string]ScratchDisk{
		"virtio": {Source: Source{Kind: "file", Path: "/runs/a&b.img"}, Format: "raw", Target: "vdb", Bus: "virtio", Serial: "scratch",
			Driver: []Attr{{"cache",
				"none"}, {"io", "native"}, {"discard", ""}, {"iothread", "1"}}},
		"scsi": {Source: Source{Kind: "file", Path: "/runs/a.qcow2"}, Format: "qcow2", Target: "sdc", Bus: "scsi",
			Driver: []Attr{{"cache", "unsafe"},
				{"detect_zeroes", "unmap"}}},
	}
}

func TestTheThrowAwayDomainIsRenderedAsInTheGoldenFile(t *testing.T) {
	for name, domain := range domains() {
		got, err := domain.XML()
		if err != nil {
			t.Fatal(err)
		}
		golden.Equal(t, "testdata/domain-"+name+".xml", got)
	}
}

func TestTheScratchDiskIsRenderedAsInTheGoldenFile(t *testing.T) {
	for name, disk := range scratchDisks() {
		got, err := disk.XML()
		if err != nil {
			t.Fatal(err)
		}
		golden.Equal(t, "testdata/disk-"+name+".xml", got)
	}
}

func TestLibvirtsOwnTypesReadTheDomainAsItIsMeant(t *testing.T) {
	for name, domain := range domains() {
		text, err := domain.XML()
		if err != nil {
			t.Fatal(err)
		}
		var got oracle.Domain
		if err := got.Unmarshal(text); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got.OS.Cmdline != domain.Cmdline || got.OS.Kernel != domain.Kernel || got.Devices.Disks[0].Source.File.File != domain.Root ||
			got.Devices.Serials[0].Source.File.Path != domain.ConsoleLog || len(got.QEMUCommandline.Args) != 4 ||
			got.Memory.Value != uint(domain.MemoryBytes) || got.Memory.Unit != "bytes" {
			t.Errorf("%s: libvirt's types read %+v", name, got)
		}
		ports := 0
		for _, c := range got.Devices.Controllers {
			if c.Model == "pcie-root-port" {
				ports++
			}
		}
		if want := map[string]int{"kvm": 8 + 2, "tcg": 3 + 3, "tcg-qemu64": 3 + 3}[name]; ports != want {
			t.Errorf("%s: %d ports, want %d", name, ports, want)
		}
	}
}

func TestLibvirtsOwnTypesReadTheScratchDiskAsItIsMeant(t *testing.T) {
	text, err := scratchDisks()["scsi"].XML()
	if err != nil {
		t.Fatal(err)
	}
	var got oracle.DomainDisk
	if err := got.Unmarshal(text); err != nil {
		t.Fatal(err)
	}
	if got.Source.File.File != "/runs/a.qcow2" || got.Driver.Type != "qcow2" || got.Driver.Cache != "unsafe" ||
		got.Driver.DetectZeros != "unmap" ||
		got.Target.Dev != "sdc" || got.Target.Bus != "scsi" || *got.Address.Drive.Target != 2 || got.Serial != "" {
		t.Errorf("libvirt's types read %+v", got)
	}
}

func TestLibvirtsOwnTypesReadAnEmulatorOfOnesOwn(t *testing.T) {
	d := domains()["kvm"]
	d.Emulator = "/opt/qemu/bin/qemu-system-x86_64"
	text, err := d.XML()
	if err != nil {
		t.Fatal(err)
	}
	var got oracle.Domain
	if err := got.Unmarshal(text); err != nil || got.Devices.Emulator != d.Emulator {
		t.Errorf("libvirt's types read the emulator %q (%v)", got.Devices.Emulator, err)
	}
}

func TestADomainThatCannotBeIsRefused(t *testing.T) {
	for _, tc := range []struct {
		name  string
		spoil func(*Domain)
		want  string
	}{
		{"no name", func(d *Domain) { d.Name = "" }, "the name must not be empty"},
		{"a slash in the name", func(d *Domain) { d.Name = "a/b" }, "the name must not be empty or contain a slash"},
		{"a line break in the name", func(d *Domain) { d.Name = "a\nb" }, "characters that do not belong there"},
		{"an unknown type", func(d *Domain) { d.Type = "xen" }, `type is "xen", must be kvm or qemu`},
		{"no memory", func(d *Domain) { d.MemoryBytes = 0 }, "memory (0 bytes)"},
		{"no processor", func(d *Domain) { d.VCPUs = 0 }, "vcpus (0)"},
		{"no kernel", func(d *Domain) { d.Kernel = "" }, `kernel "" is not an absolute path`},
		{"a relative emulator", func(d *Domain) { d.Emulator = "qemu" }, `emulator "qemu" is not an absolute path`},
		{"a relative initrd", func(d *Domain) { d.Initrd = "initrd" }, `initrd "initrd" is not an absolute path`},
		{"no root disk", func(d *Domain) { d.Root = "" }, `root disk "" is not an absolute path`},
		{"no run directory", func(d *Domain) { d.RunDir = "runs" }, `run directory "runs" is not an absolute path`},
		{"a path that XML cannot carry", func(d *Domain) { d.ConsoleLog = "/a\x00" }, "characters that do not belong there"},
		{"a command line that is not UTF-8", func(d *Domain) { d.Cmdline = "\xff" }, "characters that do not belong there"},
		{"no port", func(d *Domain) { d.SSHPort = 0 }, "ssh port 0"},
		{"a negative number of ports", func(d *Domain) { d.SparePorts = -1 }, "spare ports (-1)"},
		{"a long serial", func(d *Domain) { d.RootSerial = strings.Repeat("x", 21) }, "longer than the 20 bytes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := domains()["kvm"]
			tc.spoil(&d)
			if _, err := d.XML(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestADiskThatMustBeThereFromTheStartStandsInTheDomain(t *testing.T) {
	nvme := ScratchDisk{Source: Source{Kind: "file", Path: "/runs/a.img"}, Format: "raw", Target: "nvme0n1", Bus: "nvme", Serial: "scratch",
		Driver: []Attr{{"cache", "none"}}}
	scsi := scratchDisks()["scsi"]
	if !nvme.Cold() || scsi.Cold() {
		t.Errorf("NVMe is cold: %t, SCSI: %t", nvme.Cold(), scsi.Cold())
	}
	d := domains()["kvm"]
	d.Scratch = &nvme
	got, err := d.XML()
	for _, want := range []string{"<target dev='nvme0n1' bus='nvme'/>", "<source file='/runs/a.img'/>", "<serial>scratch</serial>"} {
		if err != nil || !strings.Contains(got, want) {
			t.Errorf("%v: no %s in\n%s", err, want, got)
		}
	}
	nvme.Source.Path = "a.img"
	if _, err := d.XML(); err == nil || !strings.Contains(err.Error(), "not an absolute path") {
		t.Errorf("a disk that cannot be: %v", err)
	}
	scsi.FlushBins = []int64{0, 1000}
	if got, err := scsi.XML(); err != nil || !strings.Contains(strings.Join(strings.Fields(got), " "),
		"<statistics> <latency-histogram type='flush'> <bin start='0'/> <bin start='1000'/> </latency-histogram> </statistics> </driver>") {
		t.Errorf("%v\n%s", err, got)
	}
	scsi.DPOFUA = "off"
	if got, err := scsi.XML(); err != nil || !strings.Contains(got, "bus='scsi' dpofua='off'/>") {
		t.Errorf("%v\n%s", err, got)
	}
}

func TestAScratchDiskThatCannotBeIsRefused(t *testing.T) {
	for _, tc := range []struct {
		name  string
		spoil func(*ScratchDisk)
		want  string
	}{
		{"native I/O with a cached mode", func(s *ScratchDisk) { s.Driver[0].Value = "writeback" },
			"disk vdb: libvirt refuses io=native with cache=writeback"},
		{"an unknown attribute", func(s *ScratchDisk) { s.Driver[0].Name = "chache" }, `unknown attribute "chache"`},
		{"an unknown format", func(s *ScratchDisk) { s.Format = "qcow3" }, `type cannot be "qcow3"`},
		{"no format", func(s *ScratchDisk) { s.Format = "" }, "format and bus must be given"},
		{"an unknown bus", func(s *ScratchDisk) { s.Bus = "mmc" }, `bus cannot be "mmc"`},
		{"an I/O thread on NVMe", func(s *ScratchDisk) { s.Bus = "nvme" }, "libvirt refuses iothread on bus nvme"},
		{"dpofua without SCSI", func(s *ScratchDisk) { s.DPOFUA = "on" }, "only a SCSI disk has dpofua"},
		{"an unknown dpofua", func(s *ScratchDisk) { s.DPOFUA = "yes" }, `dpofua cannot be "yes"`},
		{"an NVMe target without a namespace", func(s *ScratchDisk) { s.Target = "nvme0" }, `target "nvme0" must be nvme0n1`},
		{"an NVMe target with a leading zero", func(s *ScratchDisk) { s.Target = "nvme00n1" }, `target "nvme00n1" must be nvme0n1`},
		{"the 257th NVMe target", func(s *ScratchDisk) { s.Target = "nvme256n1" }, `target "nvme256n1" must be nvme0n1`},
		{"the bus among the attributes", func(s *ScratchDisk) { s.Driver[0] = Attr{"bus", "scsi"} }, "bus has its own field"},
		{"an I/O thread on another bus", func(s *ScratchDisk) { s.Bus = "sata" }, "libvirt refuses iothread on bus sata"},
		{"a relative path", func(s *ScratchDisk) { s.Source.Path = "a.img" }, `image "a.img" is not an absolute path`},
		{"a source that is no file", func(s *ScratchDisk) { s.Source.Kind = "network" }, `a source of the type "network" cannot be attached`},
		{"no letter in the target", func(s *ScratchDisk) { s.Target = "vd" }, `target "vd" must be`},
		{"a digit in the target", func(s *ScratchDisk) { s.Target = "vd1" }, `target "vd1" must be`},
		{"the 257th target", func(s *ScratchDisk) { s.Target = "sdiw" }, `target "sdiw" must be`},
		{"a serial with a quote", func(s *ScratchDisk) { s.Serial = "a'b" }, "must be made of letters"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := scratchDisks()["virtio"]
			tc.spoil(&s)
			if _, err := s.XML(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestTargetsAreCountedAsLibvirtCountsThem(t *testing.T) {
	for target, want := range map[string]int{"vda": 0, "sdz": 25, "vdaa": 26, "sdiv": 255} {
		if got, err := diskIndex(target); got != want || err != nil {
			t.Errorf("%s is %d (%v), want %d", target, got, err, want)
		}
	}
}

func TestTheOwnerIsReadBackFromADomain(t *testing.T) {
	domain := domains()["kvm"]
	text, err := domain.XML()
	if err != nil {
		t.Fatal(err)
	}
	dir, ok, err := ParseOwner(text)
	if dir != domain.RunDir || !ok || err != nil {
		t.Errorf("got %q, %v, %v", dir, ok, err)
	}
}

func TestOnlyADomainWithThisMetadataHasAnOwner(t *testing.T) {
	for _, tc := range []struct {
		name, doc, dir string
		fails          bool
	}{
		{"another prefix", "<domain><metadata><a/><x:run xmlns:x='urn:platter:run' dir='/d'/></metadata></domain>", "/d", false},
		{"no prefix", "<domain><metadata><run xmlns='urn:platter:run' dir='/d'/></metadata></domain>", "/d", false},
		{"another namespace", "<domain><metadata><platter:run xmlns:platter='urn:other' dir='/d'/></metadata></domain>", "", false},
		{"another element", "<domain><metadata><p:walk xmlns:p='urn:platter:run' dir='/d'/></metadata></domain>", "", false},
		{"not in the metadata", "<domain><devices><p:run xmlns:p='urn:platter:run' dir='/d'/></devices></domain>", "", false},
		{"no directory", "<domain><metadata><p:run xmlns:p='urn:platter:run'/></metadata></domain>", "", false},
		{"no metadata", "<domain/>", "", false},
		{"no domain", "<network/>", "", true},
		{"nothing", "", "", true},
		{"malformed", "<domain>", "", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir, ok, err := ParseOwner(tc.doc)
			if dir != tc.dir || ok != (tc.dir != "") || (err != nil) != tc.fails {
				t.Errorf("got %q, %v, %v", dir, ok, err)
			}
		})
	}
}

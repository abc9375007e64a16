package libvirtxml

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// domainWith is a small domain with these devices.
func domainWith(devices string) string {
	return "<domain type='kvm'>\n  <devices>\n" + devices + "  </devices>\n</domain>\n"
}

func TestAnEditChangesOnlyTheBytesThatWereAskedFor(t *testing.T) {
	for _, tc := range []struct {
		name string
		old  string // the disk before
		set  []Attr
		want string // the disk after
	}{
		{"a value is replaced in its own quotes",
			`<disk><driver name='qemu' cache="none"   io='threads'/><target dev='vdb'/></disk>`,
			[]Attr{{"cache", "writeback"}},
			`<disk><driver name='qemu' cache="writeback"   io='threads'/><target dev='vdb'/></disk>`},
		{"a new attribute takes over quotes and white space of the last one",
			"<disk><driver name='qemu'\n\t  type=\"raw\" /><target dev='vdb'/></disk>",
			[]Attr{{"cache", "none"}, {"io", "native"}},
			"<disk><driver name='qemu'\n\t  type=\"raw\"\n\t  cache=\"none\"\n\t  io=\"native\" /><target dev='vdb'/></disk>"},
		{"an empty value removes the attribute and the white space before it",
			"<disk><driver name='qemu'  cache='none' type='raw'></driver><target dev='vdb'/></disk>",
			[]Attr{{"cache", ""}},
			"<disk><driver name='qemu' type='raw'></driver><target dev='vdb'/></disk>"},
		{"removing what is not there changes nothing",
			"<disk><driver name='qemu'/><target dev='vdb'/></disk>",
			[]Attr{{"cache", ""}, {"io", ""}},
			"<disk><driver name='qemu'/><target dev='vdb'/></disk>"},
		{"removing from a disk without a driver adds none",
			"<disk><source file='/a'/><target dev='vdb'/></disk>",
			[]Attr{{"cache", ""}},
			"<disk><source file='/a'/><target dev='vdb'/></disk>"},
		{"a value that is there already stays as it is written",
			"<disk><driver cache = 'n&#111;ne'/><target dev='vdb'/></disk>",
			[]Attr{{"cache", "none"}},
			"<disk><driver cache = 'n&#111;ne'/><target dev='vdb'/></disk>"},
		{"a driver without attributes gets its first one",
			"<disk><driver/><target dev='vdb'/></disk>",
			[]Attr{{"cache", "none"}},
			"<disk><driver cache='none'/><target dev='vdb'/></disk>"},
		{"the children of a driver stay",
			"<disk><driver type='qcow2'><metadata_cache><max_size>1</max_size></metadata_cache></driver><target dev='vdb'/></disk>",
			[]Attr{{"discard", "unmap"}},
			"<disk><driver type='qcow2' discard='unmap'><metadata_cache><max_size>1</max_size></metadata_cache></driver><target dev='vdb'/></disk>"},
		{"the first and the last attribute can both go while another comes",
			"<disk><driver name='qemu' cache='none'/><target dev='vdb'/></disk>",
			[]Attr{{"cache", ""}, {"io", "threads"}, {"name", ""}},
			"<disk><driver io='threads'/><target dev='vdb'/></disk>"},
		{"attributes in a namespace are none of libvirt's",
			"<disk><driver xmlns:x='urn:x' x:cache='unsafe'/><target dev='vdb'/></disk>",
			[]Attr{{"cache", "none"}},
			"<disk><driver xmlns:x='urn:x' x:cache='unsafe' cache='none'/><target dev='vdb'/></disk>"},
		{"the bus stands on the target",
			"<disk><driver name='qemu' cache='none'/><target bus='scsi' dev='vdb'/></disk>",
			[]Attr{{"bus", "virtio"}, {"cache", "directsync"}},
			"<disk><driver name='qemu' cache='directsync'/><target bus='virtio' dev='vdb'/></disk>"},
		{"a missing driver is added before the source, indented like it",
			"<disk type='file'>\n      <!-- data -->\n      <boot order='2'/>\n      <source file='/a'/>\n      <target dev='vdb'/>\n    </disk>",
			[]Attr{{"cache", "none"}},
			"<disk type='file'>\n      <!-- data -->\n      <boot order='2'/>\n      <driver name='qemu' type='raw' cache='none'/>\n      " +
				"<source file='/a'/>\n      <target dev='vdb'/>\n    </disk>"},
		{"a missing driver keeps the line ends of the document",
			"<disk type='file'>\r\n\t<source file='/a'/>\r\n\t<target dev=\"vdb\"/></disk>",
			[]Attr{{"cache", "none"}, {"type", "qcow2"}},
			"<disk type='file'>\r\n\t<driver name=\"qemu\" cache=\"none\" type=\"qcow2\"/>\r\n\t<source file='/a'/>\r\n\t<target " +
				"dev=\"vdb\"/></disk>"},
		{"a missing driver of a disk without a source comes first",
			"<disk device='cdrom'><target dev='vdb' bus='sata'/></disk>",
			[]Attr{{"cache", "none"}},
			"<disk device='cdrom'><driver name='qemu' type='raw' cache='none'/><target dev='vdb' bus='sata'/></disk>"},
		{"the format of a volume is left to its pool",
			"<disk type='volume'><source pool='p' volume='v'/><target dev='vdb'/></disk>",
			[]Attr{{"cache", "none"}},
			"<disk type='volume'><driver name='qemu' cache='none'/><source pool='p' volume='v'/><target dev='vdb'/></disk>"},
		{"only the disk that was named is edited",
			"<disk><driver cache='unsafe'/><target dev='vda'/></disk><disk><driver cache='none'/><target dev='vdb'/></disk>",
			[]Attr{{"cache", "writeback"}},
			"<disk><driver cache='unsafe'/><target dev='vda'/></disk><disk><driver cache='writeback'/><target dev='vdb'/></disk>"},
		{"a contradiction elsewhere in the disk is not this edit's business",
			"<disk><driver io='native'/><target dev='vdb'/></disk>",
			[]Attr{{"discard", "unmap"}},
			"<disk><driver io='native' discard='unmap'/><target dev='vdb'/></disk>"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Rewrite("vm.xml", []byte(domainWith(tc.old)), "vdb", tc.set)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(domainWith(tc.want), string(got)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestDecoysAroundTheDiskAreNotTouched(t *testing.T) {
	const before, after = "\ufeff<?xml version=\"1.0\" encoding='UTF-8' standalone=\"yes\" ?>\r\n" +
		"<!DOCTYPE domain [ <!ENTITY img \"/srv/a&amp;b\"> <!-- <driver cache='none'/> --> ]>\r\n" +
		"<!-- <disk><driver cache='none'/><target dev='vdb'/></disk> -->\r\n" +
		"<?app <driver cache='none'?>\r\n" +
		"<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\r\n" +
		"<description><![CDATA[<disk><driver cache='none'/><target dev='vdb'/></disk>]]> &lt;disk&gt; &img;</description>\r\n" +
		"<metadata><a:disk xmlns:a='urn:a'><driver cache='none'/><target dev='vdb'/></a:disk>" +
		"<devices xmlns='urn:b'><disk><target dev='vdb'/></disk></devices></metadata>\r\n" +
		"<unknown ><disk><target dev='vdb'/></disk></unknown>\r\n" +
		"<devices><hostdev><disk><target dev='vdb'/></disk></hostdev>\r\n" +
		"<disk type='file' future=\"1\" ><backingStore><driver cache='none'/><target dev='vda'/></backingStore>" +
		"<x:driver xmlns:x='urn:x' cache='none'/><source file=\"&img;\"/><driver\r\n  name='qemu' cache='", "'><!-- é --></driver>" +
		"<target  dev = 'v&#100;b' bus='virtio' /></disk>\r\n</devices></domain><!-- end -->\r\n"
	got, err := Rewrite("vm.xml", []byte(before+"none"+after), "vdb", []Attr{{"cache", "writethrough"}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before+"writethrough"+after, string(got)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestOtherEncodingsStayByteForByte(t *testing.T) {
	for _, encoding := range []string{"ISO-8859-1", "iso-8859-15", "Windows-1252", "KOI8-R", "US-ASCII"} {
		before := "<?xml version='1.0' encoding='" + encoding + "'?>\n<domain " +
			"type='kvm'><title>\xe9\xa4\xe9</title><devices>\n<disk><source file='/\xe9.img'/><driver cache='"
		if encoding == "US-ASCII" {
			before = strings.NewReplacer("\xe9", "e", "\xa4", "o").Replace(before)
		}
		const after = "'/><target dev='vdb'/></disk></devices></domain>"
		got, err := Rewrite("", []byte(before+"none"+after), "vdb", []Attr{{"cache", "unsafe"}, {"io", "threads"}})
		if err != nil {
			t.Errorf("%s: %v", encoding, err)
			continue
		}
		if want := before + "unsafe' io='threads" + after; string(got) != want {
			t.Errorf("%s: got %q, want %q", encoding, got, want)
		}
	}
}

func TestABadRequestIsRefusedWithTheReasonAndThePlace(t *testing.T) {
	disk := func(rest string) string {
		return domainWith("    <disk type='file' device='disk'>\n      " + rest + "\n    </disk>\n")
	}
	plain := disk("<driver name='qemu'/><target dev='vdb' bus='virtio'/>")
	for _, tc := range []struct {
		name, doc, disk string
		set             []Attr
		want            string
	}{
		{"an unknown attribute", plain, "vdb", []Attr{{"cahce", "none"}}, `vm.xml: unknown attribute "cahce"; libvirt knows name, type, cache, `},
		{"an unknown value", plain, "vdb", []Attr{{"cache", "off"}},
			`vm.xml: cache cannot be "off"; libvirt takes default, none, writeback, writethrough, directsync, unsafe`},
		{"a number that is none", plain, "vdb", []Attr{{"queues", "0"}}, `vm.xml: queues cannot be "0"; it must be a number from 1`},
		{"a queue size that QEMU refuses", plain, "vdb", []Attr{{"queue_size", "100"}},
			`vm.xml: queue_size cannot be "100"; it must be a power of two from 2 to 1024, as QEMU demands`},
		{"an attribute set twice", plain, "vdb", []Attr{{"io", "threads"}, {"io", "native"}}, "vm.xml: attribute io is set twice; set it once"},
		{"a disk that is not there", plain, "vdz", nil, `vm.xml: no disk has the target "vdz"; the domain has vdb`},
		{"a domain without disks", "<domain/>", "vda", nil, `vm.xml: no disk has the target "vda"; the domain has no disks`},
		{"two disks with one target", domainWith("<disk><target dev='vdb'/></disk>\n<disk><target dev='vdb'/></disk>"), "vdb", nil,
			"vm.xml:4:1: target vdb is used by more than one disk, which libvirt refuses"},
		{"two drivers", disk("<driver/><driver/><target dev='vdb'/>"), "vdb", nil,
			"vm.xml:4:16: a disk has two <driver> elements, which libvirt's schema does not allow"},
		{"native I/O with a cached mode", plain, "vdb", []Attr{{"io", "native"}, {"cache", "writeback"}},
			"vm.xml:4:7: disk vdb: libvirt refuses io=native with cache=writeback (io='native' needs either no disk cache or directsync " +
				"cache mode); set cache=none or cache=directsync as well"},
		{"native I/O with no cache mode", disk("<driver name='qemu' io='threads'/><target dev='vdb'/>"), "vdb", []Attr{{"io",
			"native"}}, "vm.xml:4:27: disk vdb: libvirt refuses io=native with cache=default "},
		{"a cache mode under native I/O", disk("<driver io='native' cache='none'/><target dev='vdb'/>"), "vdb", []Attr{{"cache", ""}},
			"vm.xml:4:27: disk vdb: libvirt refuses io=native with cache=default "},
		{"virtio options on another bus", plain, "vdb", []Attr{{"queues", "4"}, {"bus", "sata"}},
			"vm.xml:4:7: disk vdb: libvirt refuses queues on bus sata "},
		{"virtio options on a bus that the name implies", disk("<driver/><target dev='sda'/>"), "sda", []Attr{{"iothread", "1"}},
			"vm.xml:4:7: disk sda: libvirt refuses iothread on bus scsi "},
		{"a bus that the address forbids", disk("<target dev='vdb'/><address type='pci'/>"), "vdb", []Attr{{"bus", "scsi"}},
			"vm.xml:4:7: disk vdb: libvirt refuses bus scsi with <address type='pci'> "},
		{"copy_on_read on a read-only disk", disk("<target dev='vdb'/><readonly/>"), "vdb", []Attr{{"copy_on_read", "on"}},
			"vm.xml:3:5: disk vdb: libvirt refuses copy_on_read on a read-only disk "},
		{"a cache for a vhost-user disk", domainWith("<disk type='vhostuser'><source type='unix' path='/s'/><target " +
			"dev='vdb'/></disk>"), "vdb", []Attr{{"cache", "none"}}, "vm.xml:3:1: disk vdb: libvirt refuses cache on a vhost-user disk "},
		{"a format for a lun", domainWith("<disk type='block' device='lun'><target dev='sda'/></disk>"), "sda", []Attr{{"type",
			"qcow2"}}, "vm.xml:3:1: disk sda: libvirt refuses type=qcow2 for device='lun' "},
		{"a directory that is not FAT", domainWith("<disk type='dir'><target dev='sda'/></disk>"), "sda", []Attr{{"type", "raw"}},
			"vm.xml:3:1: disk sda: libvirt refuses a directory with another format "},
		{"a CD-ROM on virtio", domainWith("<disk device='cdrom'><target dev='vdb' bus='sata'/></disk>"), "vdb", []Attr{{"bus",
			"virtio"}}, "vm.xml:3:40: disk vdb: libvirt refuses bus virtio for device='cdrom' "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Rewrite("vm.xml", []byte(tc.doc), tc.disk, tc.set)
			expectError(t, err, tc.want)
		})
	}
}

func TestWhatIsNoDomainIsRefusedWithThePlace(t *testing.T) {
	for _, tc := range []struct{ name, doc, want string }{
		{"nothing", "", "vm.xml: not a domain XML: the document has no element"},
		{"only a comment", "<!-- -->\n", "vm.xml: not a domain XML: the document has no element"},
		{"text", "hello", "vm.xml:1:1: malformed XML: text outside the root element"},
		{"another root", "<!-- é -->\n é<a/>", "vm.xml:2:2: malformed XML: text outside the root element"},
		{"a network", "<!-- é --><network/>", "vm.xml:1:11: not a domain XML: the root element is <network>, not <domain>"},
		{"a snapshot", "\ufeff<domainsnapshot><domain/></domainsnapshot>",
			"vm.xml:1:1: not a domain XML: <domainsnapshot> holds a copy that libvirt keeps for reverting; edit the domain itself (virsh " +
				"dumpxml --inactive DOMAIN)"},
		{"a status", "<domstatus><domain/></domstatus>", "vm.xml:1:1: not a domain XML: <domstatus> is libvirt's own state"},
		{"a domain in a namespace", "<domain xmlns='urn:x'/>",
			`vm.xml:1:1: not a domain XML: <domain> is in the namespace "urn:x", and libvirt's has none`},
		{"two roots", "<domain/>\n<domain/>", "vm.xml:2:1: malformed XML: a second root element <domain>"},
		{"an element that is not closed", "<domain>\n<devices>\n", "vm.xml:3:1: malformed XML: unexpected EOF"},
		{"elements that cross", "<domain>\n<a></domain>", "vm.xml:2:13: malformed XML: element <a> closed by </domain>"},
		{"an unknown entity", "<domain>&x;</domain>", "vm.xml:1:12: malformed XML: invalid character entity &x;"},
		{"an attribute twice", "<domain>\n <a b='1' c='' b='2'/></domain>", "vm.xml:2:2: malformed XML: attribute b occurs twice in one element"},
		{"attributes that touch", "<domain a='1'b='2'/>", "vm.xml:1:1: malformed XML: attributes must be separated by white space"},
		{"a late declaration", " <?xml version='1.0'?><domain/>", "vm.xml:1:2: malformed XML: the XML declaration must come first"},
		{"a late document type", "<domain><!DOCTYPE domain></domain>",
			"vm.xml:1:9: malformed XML: the document type must come before the root element"},
		{"XML 1.1", "<?xml version='1.1'?><domain/>", "vm.xml:1:22: malformed XML: unsupported version"},
		{"bytes that are not UTF-8", "<domain>\xff</domain>", "vm.xml:1:10: malformed XML: invalid UTF-8"},
		{"UTF-16", "\xff\xfe<\x00d\x00", "vm.xml: the document is UTF-16, which libvirt's calls cannot carry; convert it to UTF-8"},
		{"an encoding that is not a superset of ASCII", "<?xml version='1.0' encoding='IBM037'?><domain/>",
			"vm.xml: the document is declared as ibm037, which platter cannot read; convert it to UTF-8"},
		{"a deep nesting", strings.Repeat("<domain>", 300), "vm.xml:1:2049: elements are nested deeper than 256, the limit of libvirt's parser"},
		{"a huge document", "<domain>" + strings.Repeat(" ", MaxBytes), "vm.xml: the document is larger than 4 MiB, the limit of libvirt"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Rewrite("vm.xml", []byte(tc.doc), "vda", nil)
			expectError(t, err, tc.want)
			_, err = Disks("vm.xml", []byte(tc.doc))
			expectError(t, err, tc.want)
		})
	}
}

func TestAnEntityThatNamesEntitiesDoesNotGrow(t *testing.T) {
	doc := "<!DOCTYPE domain [<!ENTITY a 'xxxxxxxxxx'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'><!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;'>]>" +
		domainWith("<disk><source file='&c;'/><target dev='vda'/></disk>")
	disks, err := Disks("", []byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(disks[0].Source.Path); n > 64 {
		t.Errorf("the entity grew to %d bytes", n)
	}
}

func TestALargeDocumentIsReadInOnePass(t *testing.T) {
	one := "<disk type='file'><driver cache='none' io='native'/><source file='/a'/><target dev='vda'/></disk>\n"
	doc := []byte(domainWith(strings.Repeat(one, MaxBytes/len(one)-2)))
	disks, err := Disks("", doc)
	if err != nil {
		t.Fatal(err)
	}
	if last := disks[len(disks)-1]; last.Line != len(disks)+2 || last.Driver[1].Column != 40 {
		t.Errorf("disk %d stands at line %d, its second attribute in column %d", len(disks), last.Line, last.Driver[1].Column)
	}
	if _, err := Rewrite("", bytes.Replace(doc, []byte("vda"), []byte("vdb"), 1), "vdb", []Attr{{"cache", "directsync"}}); err != nil {
		t.Error(err)
	}
}

func TestEveryListedAttributeAndValueIsAccepted(t *testing.T) {
	if len(AttrNames()) != 20 {
		t.Errorf("there are %d attributes: %v", len(AttrNames()), AttrNames())
	}
	for _, a := range attributes() {
		for _, value := range append(a.values, "") {
			if err := checkAttr(Attr{a.name, value}); err != nil {
				t.Error(err)
			}
		}
		if err := checkAttr(Attr{a.name, "'"}); err == nil {
			t.Errorf("%s takes a quote, which would need escaping", a.name)
		}
	}
}

// expectError wants an *Error whose text begins with want.
func expectError(t *testing.T, err error, want string) {
	t.Helper()
	var typed *Error
	if !errors.As(err, &typed) {
		t.Fatalf("got %v (%T), want an *Error", err, err)
	}
	if !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got  %q\nwant %q", err, want)
	}
}

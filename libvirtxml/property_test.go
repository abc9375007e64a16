package libvirtxml

import (
	"fmt"
	"math/rand"
	"reflect"
	"strings"
	"testing"
	"testing/quick"

	"github.com/google/go-cmp/cmp"
	oracle "libvirt.org/go/libvirtxml"
)

// written is an attribute with the way it is written.
type writtenAttr struct{ lead, name, equals, quote, value string }

func (w writtenAttr) String() string {
	return w.lead + w.name + w.equals + w.quote + w.value + w.quote
}

// generated is a random domain whose disk vdb has a driver, cut at the edges of the driver's attributes.
type generated struct {
	before string // everything up to and with "<driver"
	attrs  []writtenAttr
	after  string // everything behind the last attribute
	set    []Attr
}

// Generate is for testing/quick.
func (generated) Generate(rnd *rand.Rand, _ int) reflect.Value {
	g := generator{rnd}
	disk, rest := g.disk()
	head := g.oneOf("", "\ufeff") + g.oneOf("", "<?xml version='1.0'?>", "<?xml version=\"1.0\" encoding=\"utf-8\" ?>") + g.noise()
	open := "<domain" + g.space() + "type=" + g.quoted(g.oneOf("kvm", "qemu")) + g.oneOf("",
		" xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'") + ">"
	out := generated{
		before: head + open + g.noise() + "<name>é &amp; &#x26;</name>" + g.decoy() + "<devices>" + g.otherDisk("vda") + g.noise() + disk,
		after:  rest + g.noise() + g.otherDisk("vdc") + "</devices>" + g.decoy() + g.noise() + "</domain>" + g.noise(),
	}
	for _, a := range g.validSet() {
		out.attrs = append(out.attrs, writtenAttr{g.space(), a.Name, g.oneOf("=", " = ", "=\r\n\t"), g.oneOf("'", `"`), a.Value})
	}
	out.set = g.validSet()
	return reflect.ValueOf(out)
}

func (g generated) doc() string { return g.before + join(g.attrs) + g.after }

func join(attrs []writtenAttr) string {
	var b strings.Builder
	for _, a := range attrs {
		b.WriteString(a.String())
	}
	return b.String()
}

// attr is the index of the attribute with that name, or -1.
func (g generated) attr(name string) int {
	for i, a := range g.attrs {
		if a.name == name {
			return i
		}
	}
	return -1
}

// generator makes pieces of documents.
type generator struct{ *rand.Rand }

func (g generator) oneOf(choices ...string) string { return choices[g.Intn(len(choices))] }

func (g generator) space() string { return g.oneOf(" ", "  ", "\n", "\r\n   ", "\t", "\n\t ") }

func (g generator) quoted(s string) string { return g.oneOf("'"+s+"'", `"`+s+`"`) }

// noise is what may stand between any two elements.
func (g generator) noise() string {
	return g.oneOf("", "\n", "\r\n  ", "<!-- <driver cache='none'/> ' \" é -->", "\n  <?app <driver> x?>\n", "\t")
}

// decoy looks like a disk and is none.
func (g generator) decoy() string {
	return g.oneOf("", "<metadata><a:x xmlns:a='urn:a'><devices><disk><target dev='vdb'/></disk></devices></a:x></metadata>",
		"<description><![CDATA[<disk><driver/><target dev='vdb'/>]]>]]&gt;</description>", "<future devices='vdb'><disk/></future>")
}

func (g generator) otherDisk(target string) string {
	return g.oneOf("", "<disk type='file' device='disk'><driver name='qemu' cache=\"none\"/><source file='/x'/><target "+
		"dev='"+target+"' bus='virtio'/></disk>")
}

// disk is the disk vdb, cut behind "<driver" and before the tag's end.
func (g generator) disk() (before, after string) {
	source := "<source file=" + g.quoted("/srv/&lt;a&gt;.img") + " />"
	target := "<target dev=" + g.quoted("vdb") + g.space() + "bus='virtio'" + g.oneOf("/>", " ></target>")
	before = "<disk type='file'" + g.oneOf("", " device=\"disk\"", " x='&#10;'") + ">" + g.noise()
	after = g.space() + g.oneOf("/>", "></driver>", "><metadata_cache><max_size unit='bytes'>1</max_size></metadata_cache></driver>")
	if g.Intn(2) == 0 {
		before += source + g.noise()
	} else {
		after += g.noise() + source
	}
	return before + "<driver", after + g.noise() + target + g.noise() + "</disk>"
}

// validSet is a random set of attributes that libvirt takes together. It never has both io=native and another cache mode
// than none, even when laid over another such set.
func (g generator) validSet() []Attr {
	var set []Attr
	for _, i := range g.Perm(len(attributes()))[:g.Intn(6)] {
		a := attributes()[i]
		values := a.values
		switch a.name {
		case busAttr:
			continue
		case "cache":
			values = []string{"none", "directsync"}
		case "io":
			values = []string{"threads", "io_uring"}
		case "iothread", "queues", "queue_size":
			values = []string{"2", "16"}
		}
		set = append(set, Attr{a.name, g.oneOf(values...)})
	}
	return set
}

// check runs a property over many generated domains, the same ones each time.
func check(t *testing.T, property func(generated) error) {
	t.Helper()
	config := &quick.Config{MaxCount: 1000, Rand: rand.New(rand.NewSource(1))}
	if err := quick.Check(func(g generated) bool {
		err := property(g)
		if err != nil {
			t.Logf("set %v in %q: %v", g.set, g.doc(), err)
		}
		return err == nil
	}, config); err != nil {
		t.Error(err)
	}
}

func rewrite(doc string, set []Attr) (string, error) {
	out, err := Rewrite("vm.xml", []byte(doc), "vdb", set)
	return string(out), err
}

func TestEverythingOutsideTheEditedAttributesIsIdenticalInAnyDomain(t *testing.T) {
	check(t, func(g generated) error {
		got, err := rewrite(g.doc(), g.set)
		if err != nil {
			return err
		}
		want := append([]writtenAttr(nil), g.attrs...)
		for _, a := range g.set {
			if i := g.attr(a.Name); i >= 0 {
				want[i].value = a.Value
				continue
			}
			added := writtenAttr{" ", a.Name, "=", "'", a.Value}
			if n := len(g.attrs); n > 0 {
				added.lead, added.quote = g.attrs[n-1].lead, g.attrs[n-1].quote
			}
			want = append(want, added)
		}
		if diff := cmp.Diff(g.before+join(want)+g.after, got); diff != "" {
			return fmt.Errorf("-want +got:\n%s", diff)
		}
		return nil
	})
}

func TestAnEditThatIsUndoneGivesTheSameBytesInAnyDomain(t *testing.T) {
	check(t, func(g generated) error {
		edited, err := rewrite(g.doc(), g.set)
		if err != nil {
			return err
		}
		var undo []Attr
		for _, a := range g.set {
			old := ""
			if i := g.attr(a.Name); i >= 0 {
				old = g.attrs[i].value
			}
			undo = append(undo, Attr{a.Name, old})
		}
		back, err := rewrite(edited, undo)
		if err != nil {
			return err
		}
		if diff := cmp.Diff(g.doc(), back); diff != "" {
			return fmt.Errorf("-want +got:\n%s", diff)
		}
		return nil
	})
}

func TestAnEditThatIsRepeatedChangesNothingMoreInAnyDomain(t *testing.T) {
	check(t, func(g generated) error {
		once, err := rewrite(g.doc(), g.set)
		if err != nil {
			return err
		}
		twice, err := rewrite(once, g.set)
		if err != nil || twice != once {
			return fmt.Errorf("%q became %q (%v)", once, twice, err)
		}
		return nil
	})
}

func TestLibvirtsOwnTypesSeeTheEditAndNothingElse(t *testing.T) {
	check(t, func(g generated) error {
		edited, err := rewrite(g.doc(), g.set)
		if err != nil {
			return err
		}
		var want, got oracle.Domain
		if err := want.Unmarshal(g.doc()); err != nil {
			return err
		}
		if err := got.Unmarshal(edited); err != nil {
			return err
		}
		for i := range want.Devices.Disks {
			if disk := &want.Devices.Disks[i]; disk.Target.Dev == "vdb" {
				setOracle(disk.Driver, g.set)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("-want +got:\n%s", diff)
		}
		return nil
	})
}

// setOracle lays attributes over a driver in libvirt's own types, by the names in their tags.
func setOracle(driver *oracle.DomainDiskDriver, set []Attr) {
	v := reflect.ValueOf(driver).Elem()
	for _, a := range set {
		for i := range v.NumField() {
			if name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("xml"), ","); name != a.Name {
				continue
			}
			if v.Field(i).Kind() == reflect.String {
				v.Field(i).SetString(a.Value)
				continue
			}
			var n uint
			fmt.Sscan(a.Value, &n)
			v.Field(i).Set(reflect.ValueOf(&n))
		}
	}
}

func TestDisksSeesTheAttributesWhereTheyStandInAnyDomain(t *testing.T) {
	check(t, func(g generated) error {
		disks, err := Disks("", []byte(g.doc()))
		if err != nil {
			return err
		}
		lines := strings.Split(g.doc(), "\n")
		for _, d := range disks {
			if d.Target != "vdb" {
				continue
			}
			if len(d.Driver) != len(g.attrs) {
				return fmt.Errorf("got %v, want %v", d.Driver, g.attrs)
			}
			for i, a := range d.Driver {
				line := []rune(strings.TrimPrefix(lines[a.Line-1], "\ufeff"))
				if w := g.attrs[i]; a.Name != w.name || a.Value != w.value || !strings.HasPrefix(string(line[a.Column-1:]), w.name) {
					return fmt.Errorf("%v is not %v", a, w)
				}
			}
			return nil
		}
		return fmt.Errorf("vdb is not among %v", disks)
	})
}

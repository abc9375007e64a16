package libvirtxml

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestAnElementIsReadAsTheDocumentMeansIt(t *testing.T) {
	const doc = `<!DOCTYPE domain [<!ENTITY n "web">]>
<domain type='kvm' xmlns:q='urn:q' q:type='other'>
  <name> &n;<!-- a comment -->-<![CDATA[<1>]]>
  </name>
  <q:name>not the name</q:name>
  <devices>
    <disk>é<target dev='v&#100;a'/></disk>
    <disk><target dev='vdb'></target><u:target dev='x'/></disk>
  </devices>
</domain>
`
	root, disks, err := Parse("vm.xml", []byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ what, got, want string }{
		{"an attribute", root.Attr("type"), "kvm"},
		{"an attribute that is not there", root.Attr("id"), ""},
		{"the attributes but for namespaces", fmt.Sprint(root.Attrs), "[{{ type} kvm} {{urn:q type} other}]"},
		{"text of several pieces", root.TextOf("name"), "web-<1>"},
		{"the namespace", root.Children[1].Space + " " + root.Children[1].Name, "urn:q name"},
		{"a prefix that nobody declares", root.Child("devices").All("disk")[1].Children[1].Space, "u"},
		{"a reference in an attribute", disks[0].Element.Child("target").Attr("dev"), "vda"},
		{"an element as it is written", disks[0].Element.Source(), "<disk>é<target dev='v&#100;a'/></disk>"},
		{"an empty element as it is written", disks[1].Element.Child("target").Source(), "<target dev='vdb'></target>"},
		{"what is not there", root.Child("nothing").Child("nothing").Attr("dev") + root.TextOf("nothing"), ""},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, want %q", c.what, c.got, c.want)
		}
	}
	if line, column := disks[0].Element.Child("target").Position(); line != 7 || column != 12 {
		t.Errorf("the first target is at %d:%d", line, column)
	}
	var below []string
	for e := range root.Below() {
		below = append(below, e.Name)
	}
	if got := strings.Join(below, " "); got != "name name devices disk target disk target target" {
		t.Errorf("below the root are %s", got)
	}
	for e := range root.Below() {
		if e.Name == "disk" {
			break // a loop may be left
		}
	}
}

func TestTextOfVeryManyPiecesIsReadWhole(t *testing.T) {
	doc := "<domain><name>" + strings.Repeat("x<!---->", 400_000) + "</name></domain>"
	root, _, err := Parse("f", []byte(doc))
	if err != nil || len(root.Child("name").Text) != 400_000 {
		t.Errorf("%d characters, %v", len(root.Child("name").Text), err)
	}
}

// FuzzParse compares the tree with the tokens of encoding/xml.
func FuzzParse(f *testing.F) {
	for _, doc := range seeds() {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		root, disks, err := Parse("f", doc)
		if err != nil {
			return
		}
		var names []xml.Name
		dec := xml.NewDecoder(strings.NewReader(root.Source()))
		dec.Strict = false // entities that the document type declares are not known here
		for {
			token, err := dec.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("the root's own text cannot be read: %v", err)
			}
			if start, ok := token.(xml.StartElement); ok {
				names = append(names, start.Name)
			}
		}
		got := []xml.Name{{Space: root.Space, Local: root.Name}}
		found := 0
		for e := range root.Below() {
			got = append(got, xml.Name{Space: e.Space, Local: e.Name})
			if line, column := e.Position(); line < 1 || column < 1 {
				t.Errorf("%s is at %d:%d", e.Name, line, column)
			}
		}
		for _, devices := range root.All("devices") {
			for _, e := range devices.All("disk") {
				if found >= len(disks) || disks[found].Element != e {
					t.Fatalf("disk %d is another element", found)
				}
				found++
			}
		}
		if !slices.Equal(got, names) || found != len(disks) {
			t.Errorf("%d elements and %d disks, encoding/xml finds %d and the tree has %d", len(got), len(disks), len(names), found)
		}
	})
}

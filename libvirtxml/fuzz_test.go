package libvirtxml

import (
	"bytes"
	"math/rand"
	"testing"
)

// seeds are documents to begin from: odd ones, hostile ones and generated ones.
func seeds() []string {
	docs := []string{
		"", "<", "<domain", "<domain/>", "\ufeff<domain/>", "\xff\xfe<\x00",
		"<?xml version='1.0' encoding='ISO-8859-1'?><domain><devices><disk><source file='/\xe9'/><driver\xa0='x'/><target " +
			"dev='vdb'/></disk></devices></domain>",
		"<!DOCTYPE d [<!ENTITY e 'vdb'>]><domain><devices><disk><target dev='&e;'/></disk></devices></domain>",
		domainWith("<disk><driver/><target dev='vdb'/></disk>"),
		domainWith("<disk>\r\n\t<target dev=\"vdb\"/></disk>"),
		domainWith("<disk><a:driver xmlns:a='u' cache='none'/><driver a:cache='none' cache='n&#111;ne' /><target dev='vdb'/></disk>"),
	}
	rnd := rand.New(rand.NewSource(2))
	for range 20 {
		docs = append(docs, generated{}.Generate(rnd, 0).Interface().(generated).doc())
	}
	return docs
}

func FuzzRewrite(f *testing.F) {
	for _, doc := range seeds() {
		f.Add([]byte(doc), "vdb", "cache", "unsafe")
		f.Add([]byte(doc), "vdb", "io", "")
		f.Add([]byte(doc), "vdb", "bus", "usb")
	}
	f.Fuzz(func(t *testing.T, doc []byte, disk, name, value string) {
		before := bytes.Clone(doc)
		out, err := Rewrite("f", doc, disk, []Attr{{name, value}})
		if !bytes.Equal(before, doc) {
			t.Fatal("the document of the caller was changed")
		}
		if err != nil {
			return
		}
		expectValue(t, out, disk, Attr{name, value})
		again, err := Rewrite("f", out, disk, []Attr{{name, value}})
		if err != nil || !bytes.Equal(again, out) {
			t.Fatalf("a second edit changed %q to %q (%v)", out, again, err)
		}
		if lost := changed(doc, out); bytes.ContainsRune(lost, '<') {
			t.Fatalf("the edit reached beyond one tag: %q was lost from %q, which became %q", lost, doc, out)
		}
	})
}

// expectValue wants the disk in doc to have the attribute.
func expectValue(t *testing.T, doc []byte, target string, want Attr) {
	t.Helper()
	disks, err := Disks("f", doc)
	if err != nil {
		t.Fatalf("the result is malformed: %v in %q", err, doc)
	}
	for _, d := range disks {
		if d.Target == target && d.Get(want.Name) != want.Value && (want.Name != busAttr || want.Value != "") {
			t.Fatalf("%s is %q in %q", want, d.Get(want.Name), doc)
		}
	}
}

// changed is the part of before that is not in after: what stands between the bytes that both begin and end with.
func changed(before, after []byte) []byte {
	for len(before) > 0 && len(after) > 0 && before[0] == after[0] {
		before, after = before[1:], after[1:]
	}
	for len(before) > 0 && len(after) > 0 && before[len(before)-1] == after[len(after)-1] {
		before, after = before[:len(before)-1], after[:len(after)-1]
	}
	return before
}

func FuzzDisks(f *testing.F) {
	for _, doc := range seeds() {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		disks, err := Disks("f", doc)
		if err != nil {
			return
		}
		lines := bytes.Count(doc, []byte("\n")) + 1
		for _, d := range disks {
			if d.Line < 1 || d.Line > lines || d.Column < 1 || d.Device == "" || d.Source.Kind == "" {
				t.Fatalf("%+v in %q", d, doc)
			}
			d.Refusals()
		}
	})
}

func FuzzParseOwner(f *testing.F) {
	f.Add("<domain><metadata><r:run xmlns:r='urn:platter:run' dir='/run'/></metadata></domain>")
	f.Add("<domain><metadata><run xmlns='urn:platter:run'/></metadata></domain>")
	f.Add("<a:domain/>")
	f.Fuzz(func(t *testing.T, doc string) {
		dir, ok, err := ParseOwner(doc)
		if ok != (dir != "") || ok && err != nil {
			t.Fatalf("dir %q, ok %v, err %v", dir, ok, err)
		}
	})
}

package libvirtxml

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// validate asks libvirt itself whether a domain fits its schema, through the test driver that is built into its library:
// no daemon is needed. The driver may refuse the domain afterwards, since it runs no real guests.
func validate(t *testing.T, doc string) (ok bool, output string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "domain.xml")
	if err := os.WriteFile(file, []byte(doc), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("virsh", "-c", "test:///default", "define", "--validate", file).CombinedOutput()
	return err == nil || !strings.Contains(string(out), "failed to validate against schema"), string(out)
}

// needVirsh skips where libvirt's client is not installed, and fails where it does not validate.
func needVirsh(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("virsh"); err != nil {
		t.Skip("virsh is not installed (package libvirt-clients)")
	}
	if ok, out := validate(t, "<domain type='test'><bogus/></domain>"); ok {
		t.Fatalf("libvirt's schema let a bogus element pass: %s", out)
	}
}

func TestLibvirtsSchemaAcceptsTheDomainsAndTheirDisks(t *testing.T) {
	needVirsh(t)
	for name, domain := range domains() {
		text, err := domain.XML()
		if err != nil {
			t.Fatal(err)
		}
		for _, scratch := range scratchDisks() {
			disk, err := scratch.XML()
			if err != nil {
				t.Fatal(err)
			}
			text = strings.Replace(text, "</devices>", disk+"</devices>", 1)
		}
		if ok, out := validate(t, text); !ok {
			t.Errorf("%s: %s", name, out)
		}
	}
}

func TestLibvirtsSchemaAcceptsEachValueThatRewriteSets(t *testing.T) {
	needVirsh(t)
	const doc = `<domain type='test'><name>a</name><memory>1024</memory><os><type>hvm</type></os><devices>
<disk type='file'><source file='/a'/><target dev='vda' bus='virtio'/></disk></devices></domain>`
	for _, a := range attributes() {
		if a.name == "discard_no_unref" {
			continue // libvirt 9.5; the schema may be older
		}
		values := a.values
		if a.check != nil {
			values = []string{"2"}
		}
		for _, value := range values {
			set := []Attr{{a.name, value}}
			if value == "native" {
				set = append(set, Attr{"cache", "none"})
			}
			if a.name == busAttr && value == "fdc" {
				continue // for floppies only
			}
			if a.name == busAttr && value == "nvme" {
				continue // libvirt 11.5; the schema may be older
			}
			out, err := Rewrite("", []byte(doc), "vda", set)
			if err != nil {
				t.Fatal(err)
			}
			if ok, message := validate(t, string(out)); !ok {
				t.Errorf("%v: %s", set, message)
			}
		}
	}
}

package lint

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// domainRoot finds documents whose root element is a domain, behind a declaration, a document type and comments.
var domainRoot = regexp.MustCompile(`(?s)^\s*(?:<\?.*?\?>\s*)*(?:<!DOCTYPE.*?>\s*)?(?:<!--.*?-->\s*)*<domain[\s>]`)

// libvirtTests unpacks the tests of libvirt's own source package, which apt fetches and verifies, and returns their
// directory. The sources of apt are left alone: it gets one of its own, in a directory that is kept for the next time.
func libvirtTests(t *testing.T) string {
	t.Helper()
	if os.Getenv("PLATTER_REAL") == "" {
		t.Skip("libvirt's source package is fetched by make test only (PLATTER_REAL=1)")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "platter-libvirt-source")
	if found := testsBelow(dir); found != "" {
		return found
	}
	for _, sub := range []string{"lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	list := sourceList(t)
	if err := os.WriteFile(filepath.Join(dir, "source.list"), []byte(list), 0o644); err != nil {
		t.Fatal(err)
	}
	apt := fmt.Sprintf("apt-get -q -o Dir::Etc::sourcelist=%[1]s/source.list -o Dir::Etc::sourceparts=- -o Dir::State::lists=%[1]s/lists "+
		"-o Dir::Cache=%[1]s/cache -o APT::Sandbox::User=root", dir)
	script := apt + " update && " + apt + " source --download-only libvirt && tar -xf libvirt_*.orig.tar.xz --wildcards '*/tests/*'"
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("fetch the source package libvirt: %v\n%s", err, out)
	}
	return testsBelow(dir)
}

// sourceList returns deb-src lines for the distribution's own repositories, those that the machine's apt takes its packages from.
func sourceList(t *testing.T) string {
	t.Helper()
	const format = "$(REPO_URI) $(CODENAME) $(COMPONENT) $(SIGNED_BY)"
	out, err := exec.CommandContext(t.Context(), "apt-get", "indextargets", "--format", format, "Created-By: Packages",
		"Origin: Debian").Output()
	if err != nil {
		t.Fatalf("ask apt for its sources: %v", err)
	}
	var list strings.Builder
	for line := range strings.Lines(string(out)) {
		part := strings.Fields(line)
		if len(part) < 4 {
			t.Fatalf("apt describes a source as %q", line)
		}
		keys := part[3]
		if keys == "$(SIGNED_BY)" { // apt names none
			keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
		}
		fmt.Fprintf(&list, "deb-src [signed-by=%s] %s %s %s\n", keys, part[0], part[1], part[2])
	}
	if list.Len() == 0 {
		t.Fatal("apt has no package lists of Debian: run apt-get update")
	}
	return list.String()
}

func testsBelow(dir string) string {
	found, err := filepath.Glob(filepath.Join(dir, "libvirt-*", "tests"))
	if err != nil || len(found) == 0 {
		return ""
	}
	return found[0]
}

// corpus are the domain XML files below libvirt's tests.
func corpus(t *testing.T) map[string][]byte {
	t.Helper()
	docs := map[string][]byte{}
	err := filepath.WalkDir(libvirtTests(t), func(file string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(file) != ".xml" {
			return err
		}
		text, err := os.ReadFile(file)
		if err == nil && domainRoot.Match(text) {
			docs[file] = text
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return docs
}

// refusedByLibvirt says that libvirt's own test of a document expects an error and no command line.
func refusedByLibvirt(file string) bool {
	base := strings.TrimSuffix(file, ".xml")
	errs, _ := filepath.Glob(base + "*.err")
	return len(errs) > 0 && !takenByLibvirt(file)
}

// takenByLibvirt says that libvirt's own test makes a QEMU command line of a document.
func takenByLibvirt(file string) bool {
	base := strings.TrimSuffix(file, ".xml")
	plain, _ := filepath.Glob(base + ".args")
	versions, _ := filepath.Glob(base + ".*.args")
	return len(plain)+len(versions) > 0
}

func TestEveryDomainOfLibvirtsOwnTestsIsRead(t *testing.T) {
	policy := parsedDefault(t)
	docs := corpus(t)
	findings, refused := 0, 0
	for file, doc := range docs {
		found, err := Check(policy, Hypervisor{}, file, doc)
		if err != nil {
			if refused++; !refusedByLibvirt(file) {
				t.Errorf("libvirt reads it: %v", err)
			}
			continue
		}
		findings += len(found)
		lines := bytes.Count(doc, []byte("\n")) + 1
		for _, f := range found {
			if f.Line < 1 || f.Line > lines || f.Column < 1 {
				t.Errorf("%+v is outside of the document", f)
			}
			if f.Rule == ruleRefused && takenByLibvirt(file) {
				t.Errorf("%s:%d:%d: libvirt takes it: %s", file, f.Line, f.Column, f.Message)
			}
		}
	}
	if len(docs) < 1500 {
		t.Errorf("%d documents are too few for libvirt's tests", len(docs))
	}
	t.Logf("%d documents, %d refused by both, %d findings", len(docs), refused, findings)
}

package guest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"platter/orchestrator/mmdebstrap"
)

func TestSourcesAreThoseOfTheSuiteAndItsUpdates(t *testing.T) {
	of := func(suite, codename, origin string) mmdebstrap.Repository {
		return mmdebstrap.Repository{URI: "http://m/", Suite: suite, Codename: codename, Component: "main", Origin: origin}
	}
	for _, c := range []struct {
		machine      string
		repositories []mmdebstrap.Repository
		suite        string
		lines        []string
	}{
		{"ID=debian\nVERSION_CODENAME=bookworm\n", []mmdebstrap.Repository{
			of("bookworm", "bookworm", "Debian"), of("bookworm", "bookworm", "Debian"), of("bookworm-security", "bookworm-security", "Debian"),
			of("bookworm-backports", "bookworm-backports", "Debian Backports"), of("nodistro", "nodistro", "Vendor"),
			of("bookworm", "bookworm", "Docker"), of("bookwormish", "bookwormish", "Debian"),
		}, "bookworm", []string{"deb http://m/ bookworm main", "deb http://m/ bookworm-security main"}},
		{"ID=debian\nVERSION_CODENAME=trixie\n", []mmdebstrap.Repository{
			of("stable", "trixie", "Debian"), of("stable-updates", "trixie-updates", "Debian"),
			of("stable-backports", "trixie-backports", "Debian"), of("testing", "forky", "Debian"),
		}, "trixie", []string{"deb http://m/ stable main", "deb http://m/ stable-updates main"}},
		{"PRETTY_NAME=\"Debian GNU/Linux forky/sid\"\nID=debian\nVERSION_CODENAME=forky\n", []mmdebstrap.Repository{
			of("unstable", "sid", "Debian"),
		}, "sid", []string{"deb http://m/ unstable main"}},
		{"ID=debian\nVERSION_CODENAME=forky\n", []mmdebstrap.Repository{of("testing", "forky", "Debian")},
			"forky", []string{"deb http://m/ testing main"}},
		{"ID=ubuntu\nVERSION_CODENAME='noble'\n", []mmdebstrap.Repository{
			of("noble", "noble", "Ubuntu"), of("noble-updates", "noble", "Ubuntu"), of("noble-backports", "noble", "Ubuntu"),
		}, "noble", []string{"deb http://m/ noble main", "deb http://m/ noble-updates main"}},
		{"ID=mine\nVERSION_CODENAME=bookworm\n", []mmdebstrap.Repository{of("bookworm", "bookworm", "Mirror of mine")},
			"bookworm", []string{"deb http://m/ bookworm main"}},
		{"ID=debian\nVERSION_CODENAME=trixie\n", []mmdebstrap.Repository{of("bookworm", "bookworm", "Debian")}, "", nil},
	} {
		suite, lines := parseDistribution(c.machine).sources(c.repositories)
		if !slices.Equal(lines, c.lines) || (lines != nil && suite != c.suite) {
			t.Errorf("%q: suite %s of %q, want %s of %q", c.machine, suite, lines, c.suite, c.lines)
		}
	}
}

func TestTheGuestHasTheKernelOfItsDistribution(t *testing.T) {
	versions := func(with ...string) map[string]string {
		v := map[string]string{}
		for _, p := range append(with, packages...) {
			v[p] = "1"
		}
		return v
	}
	debian, err := choose(kernels, versions("linux-image-cloud-amd64"))
	if err != nil || debian[0] != "linux-image-cloud-amd64" || !slices.Contains(debian, "fio") {
		t.Errorf("Debian: %v, %v", debian, err)
	}
	ubuntu, err := choose(kernels, versions("linux-image-virtual"))
	if err != nil || ubuntu[0] != "linux-image-virtual" {
		t.Errorf("Ubuntu: %v, %v", ubuntu, err)
	}
	if _, err := choose(kernels, versions()); err == nil || !strings.Contains(err.Error(), "none of the kernel packages") {
		t.Errorf("no kernel: %v", err)
	}
	without := versions("linux-image-virtual")
	delete(without, "fio")
	if _, err := choose(kernels, without); err == nil || !strings.Contains(err.Error(), "package fio: run apt-get update") {
		t.Errorf("no fio: %v", err)
	}
}

func TestAnotherKernelIsTakenWhereItIsAskedFor(t *testing.T) {
	versions := map[string]string{"linux-image-cloud-amd64": "1", "linux-image-amd64": "1"}
	for _, p := range packages {
		versions[p] = "1"
	}
	if got, err := choose([]string{"linux-image-amd64"}, versions); err != nil || got[0] != "linux-image-amd64" {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := choose([]string{"linux-image-mine"}, versions); err == nil || !strings.Contains(err.Error(), "linux-image-mine") {
		t.Errorf("a kernel that apt does not know: %v", err)
	}
}

func TestTheFileSystemsOfAKernelAreReadFromItsListsOfModules(t *testing.T) {
	tree := t.TempDir()
	dir := filepath.Join(tree, "lib", "modules", "6.1.0-cloud")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"modules.builtin": "kernel/fs/ext4/ext4.ko\nkernel/fs/jbd2/jbd2.ko\n",
		"modules.dep": "kernel/fs/btrfs/btrfs.ko.xz: kernel/lib/libcrc32c.ko.xz\nkernel/fs/xfs/xfs.ko: kernel/lib/libcrc32c.ko\n" +
			"kernel/fs/f2fsx/f2fsx.ko:\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := mountable(tree, "6.1.0-cloud")
	if err != nil || !slices.Equal(got, []string{"ext4", "xfs", "btrfs"}) {
		t.Errorf("got %v, %v", got, err)
	}
	i := Image{Filesystems: got}
	if i.Mounts("f2fs") || !i.Mounts("btrfs") || !i.Mounts("none") {
		t.Errorf("f2fs %t, btrfs %t, none %t", i.Mounts("f2fs"), i.Mounts("btrfs"), i.Mounts("none"))
	}
	if _, err := mountable(tree, "6.2"); err == nil {
		t.Error("a kernel without lists has file systems")
	}
}

func TestTheDigestNamesWhatWentIn(t *testing.T) {
	r := recipe{suite: "bookworm", sources: []string{"deb x"}, packages: []string{"fio", "kmod"},
		versions: map[string]string{"fio": "3.33-3", "kmod": "30"}}
	before := r.digest()
	if before != r.digest() {
		t.Error("the digest is not stable")
	}
	r.versions["fio"] = "3.34-1"
	if before == r.digest() {
		t.Error("another fio gives the same digest")
	}
}

// A cache directory is shared by a host and the trees of other hypervisors on it: what is built in a tree must not become the host's guest.
func TestTheGuestOfAnotherSuiteDoesNotTakeThePlaceOfTheHosts(t *testing.T) {
	if _, err := readDistribution(); err != nil {
		t.Skip(err)
	}
	cache := t.TempDir()
	image := func(digest, suite string) string {
		dir := filepath.Join(cache, "guest-"+digest)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf(`{"digest":%q,"suite":%q}`, digest, suite)
		if err := os.WriteFile(filepath.Join(dir, imageFile), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	current := func() string {
		img, err := Open(cache)
		if err != nil {
			t.Fatal(err)
		}
		return img.Digest
	}
	link := func(dir, name string) {
		_ = os.Remove(filepath.Join(cache, name))
		if err := os.Symlink(filepath.Base(dir), filepath.Join(cache, name)); err != nil {
			t.Fatal(err)
		}
	}
	host := image("host", "hostly")
	link(host, currentLink) // as platter had it before it knew of trees
	if current() != "host" {
		t.Errorf("the host's is %s", current())
	}
	if err := point(cache, image("tree", "other")); err != nil { // in a tree: this machine's own link is the tree's
		t.Fatal(err)
	}
	if current() != "tree" {
		t.Errorf("in the tree it is %s", current())
	}
	if err := os.Remove(filepath.Join(cache, ownLink())); err != nil { // back on the host
		t.Fatal(err)
	}
	if current() != "host" {
		t.Errorf("after a build in a tree the host's is %s", current())
	}
	if err := point(cache, image("newer", "hostly")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(cache, ownLink())); err != nil { // in a tree that has none of its own
		t.Fatal(err)
	}
	if current() != "newer" {
		t.Errorf("a tree without its own takes %s", current())
	}
}

func TestAnAnswerOfTheGuestThatIsNotWholeIsAnError(t *testing.T) {
	whole := "device=/dev/vdb\ntarget=/dev/vdb\nsysfs=queue/write_cache=write back\nmeminfo=Buffers:44\n"
	d, err := parsePrepared([]byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	if d.Device != "/dev/vdb" || d.Sysfs["queue/write_cache"] != "write back" || d.CacheBytes != 44*1024 {
		t.Errorf("got %+v", d)
	}
	for cut := range len(whole) - len("meminfo=Buffers:44\n") {
		if _, err := parsePrepared([]byte(whole[:cut])); err == nil {
			t.Fatalf("%q was taken for a whole answer", whole[:cut])
		}
	}
}

func TestFiosAnswerIsTakenApart(t *testing.T) {
	stat := func(flushes string) string { return "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 " + flushes + " 17" }
	run, err := parseFioRun([]byte("status=1\nbefore=" + stat("10") + "\nafter=" + stat("17") +
		"\ntext=6\nlog=4\n\noops!\n1,2\n{\"jobs\":[]}"))
	if err != nil {
		t.Fatal(err)
	}
	if run.Status != 1 || run.Flushes != 7 || run.Text != "oops!\n" || string(run.JSON) != `{"jobs":[]}` || string(run.IOPSLog) != "1,2\n" {
		t.Errorf("got %+v", run)
	}
	for _, bad := range []string{"", "status=x\n\n", "status=0\nbefore=1 2\n\n", "status=0\ntext=99\n\nabc",
		"status=0\ntext=2\nlog=2\n\nabc", "status=0\n"} {
		if _, err := parseFioRun([]byte(bad)); err == nil {
			t.Errorf("%q was taken for a whole answer", bad)
		}
	}
}

func FuzzFiosAnswer(f *testing.F) {
	f.Add([]byte("status=0\nbefore=1 2 3\nafter=4\ntext=2\n\nab{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if run, err := parseFioRun(b); err == nil && len(run.Text)+len(run.JSON)+len(run.IOPSLog) > len(b) {
			t.Error("the answer has more than was said")
		}
		_, _ = parsePrepared(b)
	})
}

func TestScriptsHoldNoQuoteThatWouldEndThem(t *testing.T) {
	for _, s := range []string{prepareScript, fioScript, formatScript, releaseScript, askProbeScript, takeProbeScript} {
		if strings.Contains(s, "'") {
			t.Errorf("script has a single quote: %s", s)
		}
	}
}

package tree

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"platter/fault"
	"platter/orchestrator/mmdebstrap"
)

func TestTheUpstreamVersionIsWithoutDebiansParts(t *testing.T) {
	for version, want := range map[string]string{
		"1:10.0.13+ds-0+deb13u1":  "10.0.13",
		"1:11.1.3+ds-1~bpo13+1":   "11.1.3",
		"1:11.2.0~rc1+ds-1":       "11.2.0~rc1",
		"12.9.0-1~bpo13+1":        "12.9.0",
		"1:7.2+dfsg-7+deb12u18+b": "7.2",
		"3.39-1":                  "3.39",
		"":                        "",
	} {
		if got := upstream(version); got != want {
			t.Errorf("%q: %q, want %q", version, got, want)
		}
	}
}

func TestATreeIsMadeFromTheMirrorsOfTheHost(t *testing.T) {
	host := []mmdebstrap.Repository{
		{URI: "https://vendor/x/", Suite: "trixie", Origin: "Vendor", Label: "Debian"},
		{URI: "http://near/debian/", Suite: "bookworm", Component: "main", Origin: "Debian", Label: "Debian", SignedBy: "/k.gpg"},
		{URI: "http://far/debian/", Suite: "bookworm", Origin: "Debian", Label: "Debian"},
	}
	p, err := planOf("trixie-backports")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"deb [signed-by=/k.gpg] http://near/debian/ trixie main",
		"deb [signed-by=/k.gpg] http://near/debian/ trixie-updates main",
		"deb [signed-by=/k.gpg] http://near/debian/ trixie-backports main",
	}
	got, err := p.lines(host)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v\n%s\nwant\n%s", err, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	host = append(host, mmdebstrap.Repository{URI: "http://near/security/", Origin: "Debian", Label: "Debian-Security"})
	want = append(want, "deb [signed-by="+keyring+"] http://near/security/ trixie-security main")
	if got, err := p.lines(host); err != nil || !slices.Equal(got, want) {
		t.Errorf("with security updates: %v %v", got, err)
	}
	if got, err := p.lines(host[:1]); err == nil || !strings.Contains(err.Error(), "sources.list.d") {
		t.Errorf("on a host that is not Debian's: %v %v", got, err)
	}
}

func TestTheHoldersOfALockAreReadFromTheKernelsList(t *testing.T) {
	locks := `1: FLOCK  ADVISORY  WRITE 4711 fe:00:131 0 EOF
1: -> FLOCK  ADVISORY  WRITE 4713 fe:00:131 0 EOF
2: FLOCK  ADVISORY  READ 12 fe:00:131 0 EOF
2: FLOCK  ADVISORY  READ 0 fe:00:131 0 EOF
2: FLOCK  ADVISORY  READ -1 fe:00:131 0 EOF
3: POSIX  ADVISORY  WRITE 77 fe:00:131 0 EOF
4: FLOCK  ADVISORY  WRITE 78 fe:00:1310 0 EOF
torn
`
	if got := parseLocks(locks, "fe:00:131"); !slices.Equal(got, []int{12, 4711}) {
		t.Errorf("got %v", got)
	}
}

func TestTheGroupsNumberIsFound(t *testing.T) {
	file := "root:x:0:\nkvmx:x:1:\nkvm:x:993:a,b\n"
	if gid, ok := groupID(file, "kvm"); !ok || gid != 993 {
		t.Errorf("got %d, %v", gid, ok)
	}
	for _, bad := range []string{"", "kvm:x", "kvm:x:many:", "kvm:x:-1:"} {
		if gid, ok := groupID(bad, "kvm"); ok {
			t.Errorf("%q: got %d", bad, gid)
		}
	}
}

func TestWhatASystemIsMadeOfIsNotShared(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink("/etc", link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/", "/usr", "/usr/bin", "/var", "/etc", "/proc/self", "/dev", "/sys", link, dir + "/missing"} {
		if Shareable(path) {
			t.Errorf("%s can be shared", path)
		}
	}
	for _, path := range []string{dir, "/tmp"} {
		if !Shareable(path) {
			t.Errorf("%s cannot be shared", path)
		}
	}
	got := outermost([]string{"/srv/b/c", "/srv/a", "/srv/b", "/srv/ab", "/srv/a"})
	if !slices.Equal(got, []string{"/srv/a", "/srv/ab", "/srv/b"}) {
		t.Errorf("outermost: %v", got)
	}
}

func TestNothingOfTheHostsDaemonsReachesASession(t *testing.T) {
	given := []string{"HOME=/root", "LIBVIRT_DEFAULT_URI=qemu:///session", "LANG=de_DE.UTF-8", "TMPDIR=/srv/x", "PATH=/opt/go/bin"}
	env := environment(given, []string{"/srv/xy"})
	want := []string{"LC_ALL=C.UTF-8", "HOME=/root", "PATH=/opt/go/bin:" + programs}
	if !slices.Equal(env, want) {
		t.Errorf("got %q", env)
	}
	if env := environment(given, []string{"/srv"}); !slices.Contains(env, "TMPDIR=/srv/x") {
		t.Errorf("a temporary directory that is shared is left out: %q", env)
	}
}

func TestAReleaseFileSaysWhichStateItIs(t *testing.T) {
	suite, codename, version, date := parseRelease("-----BEGIN PGP SIGNED MESSAGE-----\n\nOrigin: Debian\nSuite: stable\nVersion: 13.8\n" +
		"Codename: trixie\nDate: Sat, 21 Nov 2026 09:15:44 UTC\nSHA256:\n Suite: not this\n")
	if suite != "stable" || codename != "trixie" || version != "13.8" || date != "Sat, 21 Nov 2026 09:15:44 UTC" {
		t.Errorf("got %q %q %q %q", suite, codename, version, date)
	}
}

// record puts a tree's record into a cache directory.
func record(t *testing.T, cache, name string) *Tree {
	t.Helper()
	tr := &Tree{Name: name, QEMU: "10.0.13", Libvirt: "11.3.0", Path: filepath.Join(cache, trees, name)}
	if err := os.MkdirAll(tr.Root(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := tr.write(); err != nil {
		t.Fatal(err)
	}
	return tr
}

func TestATreeIsFoundByItsRecord(t *testing.T) {
	cache := t.TempDir()
	record(t, cache, "trixie")
	got, err := Open(cache, "trixie")
	if err != nil || got.QEMU != "10.0.13" || got.Root() != filepath.Join(cache, "hypervisors", "trixie", "root") {
		t.Fatalf("got %+v, %v", got, err)
	}
	if list, err := List(cache); err != nil || len(list) != 1 || list[0].Name != "trixie" {
		t.Errorf("list: %v, %v", list, err)
	}
	if list, err := List(t.TempDir()); err != nil || len(list) != 0 {
		t.Errorf("list of an empty cache: %v, %v", list, err)
	}
	if err := got.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(got.Path); err == nil {
		t.Error("the tree is still there")
	}
}

// Each thing that can be wrong with a tree is one line, says whose fault it is, and names the command that mends it.
func TestATreeThatCannotBeUsedSaysWhy(t *testing.T) {
	cache := t.TempDir()
	damaged := record(t, cache, "sid")
	if err := os.WriteFile(filepath.Join(damaged.Path, recordFile), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(cache, trees, "bookworm"+building)
	if err := os.MkdirAll(half, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		fault fault.Fault
		words string
	}{
		"buster":   {fault.Usage, `no such hypervisor: "buster": it is one of bookworm, bookworm-backports, trixie, trixie-backports, sid`},
		"../x":     {fault.Usage, "no such hypervisor"},
		"trixie":   {fault.Rig, "is not built: platter hypervisor build trixie"},
		"bookworm": {fault.Rig, "is half built, its build was ended: platter hypervisor build bookworm"},
		"sid":      {fault.Rig, "platter hypervisor build --force sid"},
	} {
		_, err := Open(cache, name)
		if fault.Of(err) != want.fault || !strings.Contains(err.Error(), want.words) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if list, err := List(cache); err == nil || len(list) != 0 {
		t.Errorf("list: %v, %v", list, err)
	}
	if got := Unfinished(cache); !slices.Equal(got, []string{half}) {
		t.Errorf("unfinished: %v", got)
	}
	if err := RemoveUnfinished(cache); err != nil {
		t.Fatal(err)
	}
	if got := Unfinished(cache); got != nil {
		t.Errorf("unfinished after removal: %v", got)
	}
}

func TestOneBuildsOrSeveralRun(t *testing.T) {
	cache := t.TempDir()
	tr := record(t, cache, "trixie")
	build, err := hold(cache, "trixie", unix.LOCK_EX)
	if err != nil {
		t.Fatal(err)
	}
	_, err = hold(cache, "trixie", unix.LOCK_SH)
	if fault.Of(err) != fault.Rig || !strings.Contains(err.Error(), "is being built or changed by") {
		t.Errorf("a run beside a build: %v", err)
	}
	if err := os.Rename(tr.Path, tr.Path+building); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cache, "trixie"); err == nil || !strings.Contains(err.Error(), "is being built by") {
		t.Errorf("opened while it is built: %v", err)
	}
	if got := Unfinished(cache); got != nil {
		t.Errorf("what is being built is called unfinished: %v", got)
	}
	if err := os.Rename(tr.Path+building, tr.Path); err != nil {
		t.Fatal(err)
	}
	build.Close()

	one, err := hold(cache, "trixie", unix.LOCK_SH)
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	two, err := hold(cache, "trixie", unix.LOCK_SH)
	if err != nil {
		t.Fatalf("two runs in one tree: %v", err)
	}
	defer two.Close()
	if err := tr.Remove(); err == nil || !strings.Contains(err.Error(), "is in use by") {
		t.Errorf("removed while it is run: %v", err)
	}
	if _, err := os.Stat(filepath.Join(tr.Path, recordFile)); err != nil {
		t.Errorf("the tree is gone: %v", err)
	}
}

func FuzzWhatTheSystemSays(f *testing.F) {
	f.Add("1: FLOCK  ADVISORY  WRITE 4711 fe:00:131 0 EOF\n")
	f.Add("kvm:x:993:\n")
	f.Add("1:10.0.13+ds-0+deb13u1")
	f.Add("Suite: stable\nDate: x\n")
	f.Fuzz(func(t *testing.T, s string) {
		for _, pid := range parseLocks(s, "fe:00:131") {
			if !strings.Contains(s, "FLOCK") {
				t.Errorf("process %d out of %q", pid, s)
			}
		}
		if gid, ok := groupID(s, "kvm"); ok && gid < 0 {
			t.Errorf("group %d", gid)
		}
		if len(upstream(s)) > len(s) {
			t.Errorf("longer than %q", s)
		}
		parseRelease(s)
		var tr Tree
		_ = json.Unmarshal([]byte(s), &tr)
	})
}

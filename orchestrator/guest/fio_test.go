package guest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestFioOfAnImageIsAskedOnceAndKept(t *testing.T) {
	dir := t.TempDir()
	img := &Image{Dir: dir}
	if err := keepHelp(dir, []byte("fio-3.33\n")); err != nil {
		t.Fatal(err)
	}
	if help, err := img.FioHelp(t.Context(), t.Output()); err != nil || string(help) != "fio-3.33\n" {
		t.Errorf("what is kept is %q (%v)", help, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("beside it there are %v (%v)", left, err)
	}
	for script, want := range map[string]string{
		"cat":                          "",
		"cat >/dev/null; echo said":    "",
		"echo no such root >&2; false": "ask the guest's fio for its options: exit status 1: no such root",
	} {
		help, err := askFio(exec.Command("sh", "-c", script))
		switch {
		case want != "" && (err == nil || err.Error() != want):
			t.Errorf("%s: %v, want %q", script, err, want)
		case want == "" && (err != nil || script == "cat" && !bytes.Equal(help, fioHelpScript)):
			t.Errorf("%s: %q, %v", script, help, err)
		}
	}
}

// An image that an older platter built has nothing kept: its root is mounted in a namespace that ends with the question.
func TestFioOfARealImageIsAskedWhereNothingIsKept(t *testing.T) {
	if os.Getenv("PLATTER_REAL") != "1" {
		t.Skip("needs the guest image and root: make test sets PLATTER_REAL=1")
	}
	built, err := Open("/var/cache/platter")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(built.RootPath(), filepath.Join(dir, rootFile)); err != nil {
		t.Fatal(err)
	}
	help, err := (&Image{Dir: dir}).FioHelp(t.Context(), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"fio-", "[option fsync]", "[engine io_uring hipri]"} {
		if !strings.Contains(string(help), want) {
			t.Errorf("fio of %s does not say %q", built.Dir, want)
		}
	}
	if kept, err := os.ReadFile(filepath.Join(dir, fioHelpFile)); err != nil || !bytes.Equal(kept, help) {
		t.Errorf("it is not kept: %v", err)
	}
	if mounts, err := os.ReadFile("/proc/self/mounts"); err != nil || strings.Contains(string(mounts), "platter-guest-") {
		t.Errorf("a mount is left (%v)", err)
	}
}

package crash

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestDebugfsTakesAnyPathForOneWord(t *testing.T) {
	for _, program := range []string{"mke2fs", "debugfs"} {
		if _, err := exec.LookPath(program); err != nil && os.Getenv("PLATTER_REAL") != "1" {
			t.Skip("needs e2fsprogs")
		}
	}
	from, image := t.TempDir(), filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(filepath.Join(from, "data"), []byte("kept"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mke2fs", "-q", "-t", "ext4", "-d", from, image, "4M").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, name := range []string{"plain", `with "quotes" and blanks`, `back\\slash\\n`, "tab\tand ümlaut", `"`} {
		to := filepath.Join(t.TempDir(), name)
		said, err := debugfs(t.Context(), image, "dump /data "+debugfsWord(to))
		if text, readErr := os.ReadFile(to); err != nil || readErr != nil || string(text) != "kept" {
			t.Errorf("%q: %v, %v, %q", name, err, readErr, said)
		}
	}
}

package hypervisor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// stranger is a user who owns nothing.
const stranger = 54321

// openDir makes a directory that a stranger can enter, or skips the test where there is none.
func openDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := Searchable(filepath.Join(dir, "x"), stranger); err != nil {
		t.Skipf("the directory for temporary files is closed to others: %v", err)
	}
	return dir
}

func mkdir(t *testing.T, path string, mode os.FileMode) string {
	t.Helper()
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(path, 0o755) })
	return path
}

func TestTheFirstDirectoryThatBlocksIsNamed(t *testing.T) {
	top := mkdir(t, filepath.Join(openDir(t), "closed"), 0o755)
	below := mkdir(t, filepath.Join(top, "also-closed"), 0o700)
	if err := os.Chmod(top, 0o744); err != nil {
		t.Fatal(err)
	}
	err := Searchable(filepath.Join(below, "image"), stranger)
	if err == nil {
		t.Fatal("the closed directory was not found")
	}
	if !strings.Contains(err.Error(), "directory "+top+" ") || !strings.Contains(err.Error(), "0744") ||
		!strings.Contains(err.Error(), "chmod o+x "+top) {
		t.Errorf("got %q, want %s, its mode and the mend", err, top)
	}
	if err := Searchable(filepath.Join(below, "image"), 0); err != nil {
		t.Errorf("root is blocked: %v", err)
	}
}

func TestOwnerAndGroupBitsCountForOwnerAndGroup(t *testing.T) {
	dir := mkdir(t, filepath.Join(openDir(t), "d"), 0o755)
	image := filepath.Join(dir, "image")
	for _, test := range []struct {
		name    string
		mode    os.FileMode
		uid     int
		groups  []int
		blocked bool
	}{
		{"others may", 0o711, stranger, []int{stranger}, false},
		{"others may not", 0o770, stranger, []int{stranger}, true},
		{"a member may", 0o710, stranger, []int{stranger, os.Getgid()}, false},
		{"a member may not though others may", 0o701, stranger, []int{os.Getgid()}, true},
		{"the file does not matter", 0o001, stranger, nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := os.Chmod(dir, test.mode); err != nil {
				t.Fatal(err)
			}
			err := Searchable(image, test.uid, test.groups...)
			if (err != nil) != test.blocked {
				t.Errorf("got %v, want blocked: %v", err, test.blocked)
			}
		})
	}
}

func TestALinkIntoAClosedDirectoryIsBlocked(t *testing.T) {
	dir := openDir(t)
	closed := mkdir(t, filepath.Join(dir, "closed"), 0o755)
	if err := os.WriteFile(filepath.Join(closed, "image"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(closed, "image"), link); err != nil {
		t.Fatal(err)
	}
	if err := Searchable(link, stranger); err != nil {
		t.Fatalf("blocked while open: %v", err)
	}
	// The owner, who runs this test, may still follow the link.
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Searchable(link, stranger); err == nil || !strings.Contains(err.Error(), closed) {
		t.Errorf("got %v, want %s named", err, closed)
	}
}

func TestWhatDoesNotExistBlocksNobody(t *testing.T) {
	if err := Searchable(filepath.Join(openDir(t), "no/such/image"), stranger); err != nil {
		t.Error(err)
	}
}

func TestARelativePathIsRefused(t *testing.T) {
	if err := Searchable("image", 0); err == nil {
		t.Error("no error")
	}
}

func TestAKVMDeviceThatIsClosedIsExplained(t *testing.T) {
	path := filepath.Join(openDir(t), "kvm")
	if got := kvmProblem(path, stranger, nil); !strings.Contains(got, "does not exist") {
		t.Errorf("missing: got %q", got)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := kvmProblem(path, stranger, nil); !strings.Contains(got, "chgrp kvm "+path) || !strings.Contains(got, "a minute") {
		t.Errorf("closed: got %q", got)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		t.Fatal(err)
	}
	if got := kvmProblem(path, stranger, []int{1, os.Getgid()}); got != "" {
		t.Errorf("open to the group: got %q", got)
	}
}

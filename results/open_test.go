package results

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestOnlyRegularFilesBeneathARunDirectoryAreOpened(t *testing.T) {
	above := t.TempDir()
	dir := filepath.Join(above, "run")
	for _, err := range []error{
		os.MkdirAll(filepath.Join(dir, "raw", "a"), 0o755), os.WriteFile(filepath.Join(dir, "raw", "a", "job.fio"), []byte("[job]"), 0o644),
		os.WriteFile(filepath.Join(above, "secret"), []byte("secret"), 0o644), os.Symlink("../secret", filepath.Join(dir, "link")),
		os.Symlink("raw/a/job.fio", filepath.Join(dir, "inner")), os.Symlink("..", filepath.Join(dir, "out")),
		syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	f, err := Open(dir, "raw/b/../a/job.fio")
	if err == nil {
		f.Close()
	}
	if f, err = Open(dir, "raw/a/job.fio"); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if text, err := io.ReadAll(f); err != nil || string(text) != "[job]" {
		t.Errorf("%q, %v", text, err)
	}
	for _, name := range []string{"link", "inner", "out/secret", "../secret", filepath.Join(above, "secret"), "pipe", "raw", "", "missing"} {
		f, err := Open(dir, name)
		if err == nil {
			f.Close()
			t.Errorf("%q was opened", name)
		}
		var typed *Error
		if name == "pipe" && (!errors.As(err, &typed) || typed.Fault != Input || !strings.Contains(err.Error(), "regular files")) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

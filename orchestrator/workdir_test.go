package orchestrator

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"platter/fault"

	"golang.org/x/sys/unix"
)

func TestALivingRunIsNoLeftoverAndADeadOneIs(t *testing.T) {
	storage := t.TempDir()
	living, err := newWorkdir(storage)
	if err != nil {
		t.Fatal(err)
	}
	dead, err := newWorkdir(storage)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dead.path, "scratch-0.raw"), []byte("data"), 0o644); err != nil {
		t.Fatal(err)
	}
	dead.lock.Close() // what the kernel does when the process dies
	// Somebody else's directory may even have such a name and a lock file.
	other := filepath.Join(storage, "run-0123abcd")
	if err := errors.Join(os.Mkdir(other, 0o755), os.WriteFile(filepath.Join(other, lockFile), []byte("pid 7\n"), 0o644)); err != nil {
		t.Fatal(err)
	}

	found, err := Leftovers(context.Background(), nil, storage)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 || found[0].Workdir != dead.path {
		t.Fatalf("found %v, want only %s", found, dead.path)
	}
	if err := RemoveLeftovers(context.Background(), nil, found); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{dead.path: false, living.path: true, other: true} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s exists: %v, want %v", path, err == nil, want)
		}
	}
	if _, err := deadWorkdir(living.path); !errors.Is(err, errLocked) {
		t.Errorf("the living run's directory: %v, want errLocked", err)
	}
	if err := living.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(living.path); !errors.Is(err, os.ErrNotExist) {
		t.Error("the work directory outlives its run")
	}
}

func TestAScratchImageIsFullOfNoiseAndLeavesThePageCache(t *testing.T) {
	const bytes = 3<<20 + 4096
	s, err := newScratch(t.Context(), t.TempDir(), 0, rawShape(bytes))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var st unix.Stat_t
	if err := unix.Stat(s.path, &st); err != nil {
		t.Fatal(err)
	}
	if st.Size != bytes || st.Blocks*512 < bytes {
		t.Errorf("image has %d bytes, %d of them allocated; want all of %d", st.Size, st.Blocks*512, bytes)
	}
	tail := make([]byte, 4096)
	if _, err := s.file.ReadAt(tail, bytes-4096); err != nil {
		t.Fatal(err)
	}
	if allZero(tail) {
		t.Error("the end of the image was never written")
	}
	warm, err := s.resident()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.drop(); err != nil {
		t.Fatal(err)
	}
	cold, err := s.resident()
	if err != nil {
		t.Fatal(err)
	}
	if warm == 0 || cold != 0 {
		t.Errorf("resident before the drop %d bytes, after it %d; want some and none", warm, cold)
	}
}

func TestAScratchImageThatDoesNotFitIsRefusedAndLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	_, err := newScratch(t.Context(), dir, 0, rawShape(1<<60))
	var e *fault.Error
	if !errors.As(err, &e) || e.Fault != fault.Usage {
		t.Fatalf("got %v, want a usage error", err)
	}
	stopped := errors.New("stopped")
	ctx, stop := context.WithCancelCause(t.Context())
	stop(stopped)
	qcow2 := rawShape(8 << 20)
	qcow2.Format = "qcow2"
	for _, shape := range []Shape{rawShape(8 << 20), qcow2} {
		if _, err := newScratch(ctx, dir, 0, shape); !errors.Is(err, stopped) {
			t.Fatalf("got %v, want the reason it was stopped for", err)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("%v was left", left)
	}
}

func allZero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

func TestAScratchImageIsNeverMadeOverAnother(t *testing.T) {
	dir := t.TempDir()
	for _, format := range []string{"raw", "qcow2"} {
		path := filepath.Join(dir, "scratch-3."+format)
		if err := os.WriteFile(path, []byte("living"), 0o644); err != nil {
			t.Fatal(err)
		}
		shape := rawShape(1 << 20)
		shape.Format = format
		if s, err := newScratch(t.Context(), dir, 3, shape); err == nil {
			s.Close()
			t.Errorf("%s: it was made over another", format)
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != "living" {
			t.Errorf("%s: the other image is %q (%v) now", format, text, err)
		}
	}
}

func TestOfALongConsoleTheEndIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "console.log")
	if err := os.WriteFile(path, append(bytes.Repeat([]byte("0123456789abcde\n"), 1<<16), "the end\r\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	text, err := readTail(path, consoleTail)
	if err != nil || len(text) != consoleTail {
		t.Errorf("%d bytes were read (%v)", len(text), err)
	}
	lines := (&liveMachine{console: path}).Console()
	if len(lines) != consoleLines || lines[consoleLines-1] != "the end" {
		t.Errorf("%q", lines)
	}
	if err := os.WriteFile(path, []byte("short"), 0o644); err != nil {
		t.Fatal(err)
	}
	if text, err := readTail(path, consoleTail); err != nil || string(text) != "short" {
		t.Errorf("%q, %v", text, err)
	}
}

package scratch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"platter/fault"
)

// rawShape is a raw image without a file system.
func rawShape(bytes int64) Shape {
	return Shape{Format: "raw", SizeBytes: bytes, Filesystem: "none"}
}

func TestAScratchImageIsFullOfNoiseAndLeavesThePageCache(t *testing.T) {
	const bytes = 3<<20 + 4096
	s := NewFile(t.TempDir(), 0, rawShape(bytes))
	if err := s.Make(t.Context()); err != nil {
		t.Fatal(err)
	}
	resident := func() int64 {
		t.Helper()
		c, err := s.Counters(t.Context())
		if err != nil || c.Resident == nil || c.SizeBytes != bytes {
			t.Fatalf("counters %+v, %v", c, err)
		}
		return *c.Resident
	}
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
	warm := resident()
	if err := s.Settle(); err != nil {
		t.Fatal(err)
	}
	cold := resident()
	if warm == 0 || cold != 0 {
		t.Errorf("resident before the drop %d bytes, after it %d; want some and none", warm, cold)
	}
	if err := s.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the image was not removed: %v", err)
	}
}

func TestAScratchImageThatDoesNotFitIsRefusedAndLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	err := NewFile(dir, 0, rawShape(1<<60)).Make(t.Context())
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
		if err := NewFile(dir, 0, shape).Make(ctx); !errors.Is(err, stopped) {
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
		if err := NewFile(dir, 3, shape).Make(t.Context()); err == nil {
			t.Errorf("%s: it was made over another", format)
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != "living" {
			t.Errorf("%s: the other image is %q (%v) now", format, text, err)
		}
	}
}

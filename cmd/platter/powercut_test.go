package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"platter/powercut"
)

// command runs platter and returns what it wrote to both outputs.
func command(t *testing.T, want int, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	if got := run(t.Context(), append([]string{"platter"}, args...), strings.NewReader(""), &out, &out); got != want {
		t.Fatalf("platter %v: exit status %d, want %d: %s", args, got, want, &out)
	}
	return out.String()
}

func TestAPowerLossFromAnotherShellTakesWhatWasNotFlushed(t *testing.T) {
	if f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0); os.Getenv("PLATTER_REAL") != "1" && (err != nil || os.Geteuid() != 0) {
		t.Skip("needs root and /dev/fuse")
	} else if err == nil {
		f.Close()
	}
	dir, storage, log := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "oplog")
	ready, stdout := io.Pipe()
	ctx, interrupt := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- mountForTest(ctx, dir, storage, log, stdout)
	}()
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, ready)
	f, err := os.OpenFile(filepath.Join(dir, "disk.img"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i, b := range []byte("kept") {
		if _, err := f.WriteAt(bytes.Repeat([]byte{b}, 4096), int64(i)*4096); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("lost"), 0); err != nil {
		t.Fatal(err)
	}
	if out := strings.Join(strings.Fields(command(t, 0, "powercut", "status", dir)), " "); !strings.Contains(out, "flushes 1 discards 0") {
		t.Errorf("status: %s", out)
	}
	command(t, 2, "powercut", "restore", dir)
	if out := command(t, 0, "powercut", "power-loss", dir); !strings.Contains(out, "clients get EIO") {
		t.Errorf("power-loss: %s", out)
	}
	if _, err := f.ReadAt(make([]byte, 1), 0); !errors.Is(err, syscall.EIO) {
		t.Errorf("read after the cut: %v", err)
	}
	if out := command(t, 0, "powercut", "restore", dir); !strings.Contains(out, "disk-2.img: what survived of disk.img") {
		t.Errorf("restore: %s", out)
	}
	for _, name := range []string{"disk.img", "disk-2.img"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(b[:4]) != "kkkk" || b[3*4096] != 't' {
			t.Errorf("%s: %v, %q", name, err, b[:min(4, len(b))])
		}
	}
	interrupt()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(storage); err != nil || len(left) > 0 {
		t.Errorf("left in the storage directory: %v, %v", left, err)
	}
	if _, err := powercut.Dial(dir); err == nil {
		t.Error("it is still mounted")
	}
	if info, err := os.Stat(log); err != nil || info.Size() < 4*4096 {
		t.Errorf("log: %v", err)
	}
}

// mountForTest is platter powercut mount in this process, but with no guard: that would be this test binary.
func mountForTest(ctx context.Context, dir, storage, log string, stdout *io.PipeWriter) error {
	spec := powercut.ImageSpec{Name: powercutImage, SizeBytes: 1 << 20}
	err := powercut.ServeImage(ctx, dir, filepath.Join(storage, "layers"), "", spec, log, func(string) { stdout.Write([]byte("ready\n")) })
	stdout.CloseWithError(err)
	return err
}

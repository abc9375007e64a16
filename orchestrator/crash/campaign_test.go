package crash

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"platter/cell"
	"platter/fault"
	"platter/orchestrator/guest"
	"platter/powercut/replay"
	"platter/powercut/witness"
)

// A run that goes on makes its images anew, under the names of the first time: what was kept of the first time stays.
func TestABaseThatIsKeptIsNeverWrittenOver(t *testing.T) {
	run, storage := t.TempDir(), t.TempDir()
	path := filepath.Join(storage, "base-0.raw")
	keep := func(of, content string) (replay.Campaign, string) {
		dir := filepath.Join(run, "raw", of, "safety")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		name, err := keepBase(dir, &baseImage{path: path})
		if err != nil {
			t.Fatal(err)
		}
		return replay.Campaign{Base: name, SizeBytes: 512}, dir
	}
	first, dir := keep("a", "before")
	keep("b", "after")
	f, err := os.Create(filepath.Join(storage, "image"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := make([]byte, 6)
	if err := first.WriteBase(func(name string) (io.ReadCloser, error) { return os.Open(filepath.Join(dir, name)) }, f); err != nil {
		t.Fatal(err)
	}
	if _, err := f.ReadAt(got, 0); err != nil || string(got) != "before" {
		t.Errorf("the first campaign began from %q (%v)", got, err)
	}
}

func TestAToolThatCannotDoItsWorkIsNoLossOfTheCell(t *testing.T) {
	tools := t.TempDir()
	t.Setenv("PATH", tools)
	image := filepath.Join(tools, "image")
	tool := func(name, script string) {
		if err := os.WriteFile(filepath.Join(tools, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(image, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	check := func(what string) {
		t.Helper()
		if s, err := asRaw(context.Background(), survivor{path: image}, "qcow2"); err == nil {
			t.Errorf("qemu-img %s: the survivor is called broken: %s", what, s.broken)
		}
	}
	check("is missing")
	tool("qemu-img", `[ $1 = check ] || { echo "qemu-img: error while writing: No space left on device" >&2; exit 1; }`)
	check("has no room")
	tool("qemu-img", "kill -9 $$")
	check("is killed")
	tool("e2fsck", "kill -9 $$")
	if broken, err := checkExt4(context.Background(), image); err == nil {
		t.Errorf("e2fsck is killed: the survivor is called broken: %s", broken)
	}
	for status, says := range map[int]string{
		8: "e2fsck 1.47.0\nError allocating icount structure: Memory allocation failed\ne2fsck: aborted",
		9: "e2fsck: Cannot allocate memory while trying to open image\nThe superblock could not be read or does not describe a valid ext2 " +
			"filesystem: then the superblock\nis corrupt",
		16: "Usage: e2fsck",
	} {
		tool("e2fsck", fmt.Sprintf("printf '%s\n'; exit %d", says, status))
		if broken, err := checkExt4(context.Background(), image); err == nil || Whose(err) != fault.Rig {
			t.Errorf("e2fsck ends with %d: the survivor is called broken: %s (%v)", status, broken, err)
		}
	}
	tool("qemu-img", `[ $1 = check ] && { echo bad; exit 2; }; echo "qemu-img: Could not open: bad header" >&2; exit 1`)
	if s, err := asRaw(context.Background(), survivor{path: image}, "qcow2"); err != nil || s.broken == "" {
		t.Errorf("a survivor that qemu-img cannot read: %+v, %v", s, err)
	}
}

func TestAFileSystemThatIsGoneIsDamagedHoweverE2fsckEnds(t *testing.T) {
	for _, tool := range []string{"mkfs.ext4", "e2fsck", "debugfs"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	const mib = 1 << 20
	for _, c := range []struct {
		name   string
		at, n  int64 // bytes that are overwritten
		broken bool
	}{
		{name: "nothing", broken: false},
		{name: "all of it", at: 0, n: 32 * mib, broken: true}, // e2fsck ends with 8
		{name: "its journal", at: -1, n: 4096, broken: true},  // e2fsck makes a new one and says yes to whatever else there is
	} {
		image := filepath.Join(t.TempDir(), "image")
		if err := os.WriteFile(image, make([]byte, 32*mib), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("mkfs.ext4", "-q", "-F", "-b", "4096", image).CombinedOutput(); err != nil {
			t.Fatalf("mkfs.ext4: %v: %s", err, out)
		}
		if c.at < 0 {
			out, err := exec.Command("debugfs", "-R", "blocks <8>", image).Output()
			var block int64
			if _, serr := fmt.Sscan(string(out), &block); err != nil || serr != nil {
				t.Fatalf("debugfs: %v, %v: %s", err, serr, out)
			}
			c.at = block * 4096
		}
		f, err := os.OpenFile(image, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(make([]byte, c.n), c.at); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if broken, err := checkExt4(t.Context(), image); err != nil || (broken != "") != c.broken {
			t.Errorf("%s overwritten: broken %q, %v", c.name, broken, err)
		}
	}
}

func TestABaseThatCouldNotBeMadeOnceIsTriedAgain(t *testing.T) {
	storage := filepath.Join(t.TempDir(), "later")
	x := &Campaigns{Storage: storage}
	c := cell.Cell{}
	layout := &probe{job: guest.ProbeJob{Layout: witness.Layout{Campaign: 7, Pattern: witness.Overwrite, Jobs: 1, BlockBytes: 4096,
		Blocks: 16}}}
	if _, err := x.base(t.Context(), nil, c, layout); err == nil {
		t.Fatal("an image was made in a directory that is not there")
	}
	if err := os.Mkdir(storage, 0o755); err != nil {
		t.Fatal(err)
	}
	first, err := x.base(t.Context(), nil, c, layout)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := x.base(t.Context(), nil, c, layout); again != first || err != nil {
		t.Errorf("made a second time: %+v, %v", again, err)
	}
}

// TestTheProbeDoesNotOutliveItsCampaign is for the race detector: the machine is closed as soon as meanwhile returns.
func TestTheProbeDoesNotOutliveItsCampaign(t *testing.T) {
	failed, early := errors.New("the disk died"), errors.New("the probe failed")
	for _, c := range []struct {
		name string
		do   func(done <-chan struct{}) error
		want error
	}{
		{"the machine was ended", func(<-chan struct{}) error { return nil }, nil},
		{"watching failed", func(<-chan struct{}) error { return failed }, failed},
		{"the probe ended by itself", func(done <-chan struct{}) error { <-done; return errEnded }, early},
	} {
		machine := "running"
		err := meanwhile(t.Context(), func(ctx context.Context) error {
			if errors.Is(c.want, early) {
				return early
			}
			<-ctx.Done()
			time.Sleep(20 * time.Millisecond) // a connection does not end at once
			if machine != "running" {
				t.Error("the probe uses a machine that was closed")
			}
			return ctx.Err()
		}, c.do)
		machine = "closed"
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

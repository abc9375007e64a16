package results

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A journal line is longer than a page, and a power cut may keep its last page and lose one before.
func TestALastLineWithAHoleIsTornAlthoughItEndsWithANewline(t *testing.T) {
	dir := newRun(t, trial("a", 0), trial("b", 0))
	path := filepath.Join(dir, TrialsFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	first := bytes.IndexByte(text, '\n') + 1
	for i := first; i < first+100; i++ {
		text[i] = 0
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	j, run, err := Resume(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(run.Trials) != 1 || run.Trials[0].Cell != "a" || !run.Torn {
		t.Errorf("read %d trials, torn %v; want the one before the hole", len(run.Trials), run.Torn)
	}
	if err := errors.Join(j.Append(trial("c", 0)), j.Close()); err != nil {
		t.Fatal(err)
	}
	if run, err = Read(dir); err != nil || len(run.Trials) != 2 || run.Torn {
		t.Errorf("after going on: %v, %+v; want two trials", err, run)
	}
}

func TestResumingInADirectoryThatIsNoRunLeavesItAsItIs(t *testing.T) {
	dir := t.TempDir()
	var e *Error
	if _, _, err := Resume(dir); !errors.As(err, &e) || e.Fault != Input {
		t.Errorf("got %v, want an input error", err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left %v behind (%v)", left, err)
	}
}

// faulty is a disk on which one step fails.
type faulty struct {
	osDisk
	create, write, sync, rename, syncDir error
	short                                bool // half of a failed write is on the disk
}

func (d faulty) Create(path string) (file, error) {
	if d.create != nil {
		return nil, d.create
	}
	f, err := d.osDisk.Create(path)
	if err != nil {
		return nil, err
	}
	broken := &failing{file: f, write: d.write, sync: d.sync}
	if d.short {
		broken.short = d.write
	}
	return broken, nil
}

func (d faulty) Rename(from, to string) error {
	if d.rename != nil {
		return d.rename
	}
	return d.osDisk.Rename(from, to)
}

func (d faulty) SyncDir(dir string) error {
	if d.syncDir != nil {
		return d.syncDir
	}
	return d.osDisk.SyncDir(dir)
}

func TestARunWhoseManifestCannotBeWrittenDoesNotBegin(t *testing.T) {
	for name, d := range map[string]faulty{
		"create":      {create: syscall.EIO},
		"write":       {write: syscall.ENOSPC},
		"short write": {write: syscall.ENOSPC, short: true},
		"fsync":       {sync: syscall.EIO},
		"rename":      {rename: syscall.EIO},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "run")
			j, err := create(d, dir, Manifest{Schema: Schema})
			if j != nil || err == nil || !strings.Contains(err.Error(), "write manifest") {
				t.Fatalf("got %v, %v; want an error", j, err)
			}
			if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the directory stayed behind: %v", err)
			}
		})
	}
}

func TestADirectoryWhoseNamesMayNotBeDurableDoesNotBeginARun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	j, err := create(faulty{syncDir: syscall.EIO}, dir, Manifest{Schema: Schema})
	var e *Error
	if j != nil || !errors.As(err, &e) || e.Fault != Disk {
		t.Errorf("got %v, %v; want the disk's error", j, err)
	}
}

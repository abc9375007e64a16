package orchestrator

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
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

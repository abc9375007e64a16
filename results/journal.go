package results

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Names in a run directory.
const (
	ManifestFile = "manifest.json"
	TrialsFile   = "trials.jsonl"
	rawDir       = "raw"
)

// Journal writes a run directory. It holds a lock on it: two runs cannot write one directory. It is not for use by
// several goroutines.
type Journal struct {
	dir    string
	trials file
	lock   *os.File
	broken error // the first error of a write; the journal's end is unknown after it
}

// file is what a journal needs of a file; tests make it fail.
type file interface {
	io.WriteCloser
	Sync() error
}

// Create makes the run directory and writes its manifest; both are on the medium when it returns. A directory that
// exists is refused, so that no run is ever written over.
func Create(dir string, m Manifest) (*Journal, error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, &Error{Path: dir, Message: fmt.Sprintf("make run directory: %v", err)}
	}
	if err := os.Mkdir(dir, 0o755); errors.Is(err, os.ErrExist) {
		return nil, &Error{Path: dir, Fault: Input, Message: "the run directory exists: name another with -o"}
	} else if err != nil {
		return nil, &Error{Path: dir, Message: fmt.Sprintf("make run directory: %v", err)}
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, &Error{Path: dir, Message: fmt.Sprintf("write manifest: %v", err)}
	}
	if err := writeWhole(filepath.Join(dir, ManifestFile), append(text, '\n')); err != nil {
		return nil, &Error{Path: dir, Message: fmt.Sprintf("write manifest: %v", err)}
	}
	return openJournal(dir)
}

// Resume opens the run directory of an earlier run to go on with it, cuts a torn last line off its journal, and gives
// what is there already.
func Resume(dir string) (*Journal, *Run, error) {
	j, err := openJournal(dir)
	if err != nil {
		return nil, nil, err
	}
	run, err := Read(dir)
	if err == nil {
		err = os.Truncate(filepath.Join(dir, TrialsFile), run.whole)
	}
	if err != nil {
		return nil, nil, errors.Join(err, j.Close())
	}
	return j, run, nil
}

func openJournal(dir string) (*Journal, error) {
	lock, err := os.Open(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, &Error{Path: dir, Fault: Input, Message: "no such run directory"}
	}
	if err != nil {
		return nil, &Error{Path: dir, Message: err.Error()}
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, &Error{Path: dir, Fault: Input, Message: "another run is writing this directory: wait for it or name another with -o"}
	}
	trials, err := os.OpenFile(filepath.Join(dir, TrialsFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		lock.Close()
		return nil, &Error{Path: dir, Message: fmt.Sprintf("open journal: %v", err)}
	}
	return &Journal{dir: dir, trials: trials, lock: lock}, nil
}

// Append adds a trial and returns when it is on the medium. After an error the journal takes no more: whether the line is
// there cannot be known.
func (j *Journal) Append(t Trial) error {
	if j.broken != nil {
		return j.broken
	}
	line, err := json.Marshal(t)
	if err == nil {
		line = append(line, '\n')
		_, err = j.trials.Write(line)
	}
	if err == nil {
		err = j.trials.Sync()
	}
	if err != nil {
		j.broken = &Error{Path: filepath.Join(j.dir, TrialsFile), Message: fmt.Sprintf("append trial: %v: free space, then go on with platter run --resume %s", err, j.dir)}
	}
	return j.broken
}

// RawDir makes and gives the directory for the raw files of a trial: raw/CELL/BLOCK.
func (j *Journal) RawDir(cell string, block int) (string, error) {
	dir := filepath.Join(j.dir, rawDir, cell, strconv.Itoa(block))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", &Error{Path: dir, Message: fmt.Sprintf("make directory for raw files: %v", err)}
	}
	return dir, nil
}

// Close closes the journal and lets go of the directory.
func (j *Journal) Close() error { return errors.Join(j.trials.Close(), j.lock.Close()) }

// writeWhole writes a file so that it is there whole or not at all, whenever the power fails.
func writeWhole(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

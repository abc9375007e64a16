package results

import (
	"encoding/json"
	"errors"
	"fmt"
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

// Create makes the run directory and writes its manifest; both are on the medium when it returns. A directory that
// exists is refused, so that no run is ever written over. One that could not be given its manifest is taken away again.
func Create(dir string, m Manifest) (*Journal, error) { return create(osDisk{}, dir, m) }

func create(d disk, dir string, m Manifest) (*Journal, error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, &Error{Path: dir, Message: fmt.Sprintf("make run directory: %v", err)}
	}
	if err := os.Mkdir(dir, 0o755); errors.Is(err, os.ErrExist) {
		return nil, &Error{Path: dir, Fault: Input, Message: "the run directory exists: name another with -o"}
	} else if err != nil {
		return nil, &Error{Path: dir, Message: fmt.Sprintf("make run directory: %v", err)}
	}
	if err := writeManifest(d, dir, m); err != nil {
		os.Remove(dir) // only if it is empty: a manifest that is there is not thrown away
		return nil, &Error{Path: dir, Message: fmt.Sprintf("write manifest: %v", err)}
	}
	return openJournal(dir)
}

// writeManifest makes the manifest and the name of the run directory durable.
func writeManifest(d disk, dir string, m Manifest) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := writeWhole(d, filepath.Join(dir, ManifestFile), append(text, '\n')); err != nil {
		return err
	}
	return d.SyncDir(filepath.Dir(dir))
}

// Resume opens the run directory of an earlier run to go on with it, cuts a torn last line off its journal, and gives
// what is there already. A directory that is no run directory is left as it is.
func Resume(dir string) (*Journal, *Run, error) {
	if _, err := readManifest(dir); err != nil {
		return nil, nil, err
	}
	j, err := openJournal(dir)
	if err != nil {
		return nil, nil, err
	}
	run, err := cutTornLine(dir)
	if err != nil {
		return nil, nil, errors.Join(err, j.Close())
	}
	return j, run, nil
}

// cutTornLine reads a run that nobody else writes and makes its journal end with the last whole line.
func cutTornLine(dir string) (*Run, error) {
	run, err := Read(dir)
	if err != nil || !run.Torn {
		return run, err
	}
	path := filepath.Join(dir, TrialsFile)
	if err := os.Truncate(path, run.whole); err != nil {
		return nil, &Error{Path: path, Message: fmt.Sprintf("cut the torn last line: %v", err)}
	}
	return run, nil
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
		err = osDisk{}.SyncDir(dir)
	}
	if err != nil {
		if trials != nil {
			trials.Close()
		}
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

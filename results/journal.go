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
	SafetyFile   = "safety.jsonl"
	rawDir       = "raw"
	safetyDir    = "safety" // of a cell, beside its blocks
)

// Journal writes a run directory. It holds a lock on it: two runs cannot write one directory. It is not for use by
// several goroutines.
type Journal struct {
	dir    string
	trials file
	safety file
	lock   *os.File
	broken error // the first error of a write; the end of a file is unknown after it
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

// Resume opens the run directory of an earlier run to go on with it, cuts a torn last line off its journals, and gives
// what is there already. A directory that is no run directory is left as it is.
func Resume(dir string) (*Journal, *Run, error) {
	if _, err := readManifest(dir); err != nil {
		return nil, nil, err
	}
	j, err := openJournal(dir)
	if err != nil {
		return nil, nil, err
	}
	run, err := cutTornLines(dir)
	if err != nil {
		return nil, nil, errors.Join(err, j.Close())
	}
	return j, run, nil
}

// cutTornLines reads a run that nobody else writes and makes its journals end with the last whole line.
func cutTornLines(dir string) (*Run, error) {
	run, err := Read(dir)
	if err != nil {
		return nil, err
	}
	for file, whole := range run.whole {
		path := filepath.Join(dir, file)
		if err := os.Truncate(path, whole); err != nil {
			return nil, &Error{Path: path, Message: fmt.Sprintf("cut the torn last line: %v", err)}
		}
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
	j := &Journal{dir: dir, lock: lock}
	if err := j.open(); err != nil {
		return nil, errors.Join(&Error{Path: dir, Message: fmt.Sprintf("open journal: %v", err)}, j.Close())
	}
	return j, nil
}

// open opens the journals and makes their names durable.
func (j *Journal) open() error {
	for _, f := range []struct {
		name string
		into *file
	}{{TrialsFile, &j.trials}, {SafetyFile, &j.safety}} {
		opened, err := os.OpenFile(filepath.Join(j.dir, f.name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
		if err != nil {
			return err
		}
		*f.into = opened
	}
	return osDisk{}.SyncDir(j.dir)
}

// Append adds a trial and returns when it is on the medium. After an error the journal takes no more: whether the line is
// there cannot be known.
func (j *Journal) Append(t Trial) error { return j.append(j.trials, TrialsFile, "trial", t) }

// AppendSafety adds a safety record, with the promises of Append.
func (j *Journal) AppendSafety(s Safety) error {
	return j.append(j.safety, SafetyFile, "safety record", s)
}

func (j *Journal) append(to file, name, what string, record any) error {
	if j.broken != nil {
		return j.broken
	}
	line, err := json.Marshal(record)
	if err == nil {
		line = append(line, '\n')
		_, err = to.Write(line)
	}
	if err == nil {
		err = to.Sync()
	}
	if err != nil {
		j.broken = &Error{Path: filepath.Join(j.dir, name),
			Message: fmt.Sprintf("append %s: %v: free space, then go on with platter run --resume %s", what, err, j.dir)}
	}
	return j.broken
}

// RawDir makes and gives the directory for the raw files of a trial: raw/CELL/BLOCK.
func (j *Journal) RawDir(cell string, block int) (string, error) {
	return makeRawDir(filepath.Join(j.dir, rawDir, cell, strconv.Itoa(block)))
}

// SafetyDir makes and gives the directory for the raw files of a cell's crash campaign: raw/CELL/safety.
func (j *Journal) SafetyDir(cell string) (string, error) {
	return makeRawDir(filepath.Join(j.dir, rawDir, cell, safetyDir))
}

func makeRawDir(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", &Error{Path: dir, Message: fmt.Sprintf("make directory for raw files: %v", err)}
	}
	return dir, nil
}

// Close closes the journals and lets go of the directory.
func (j *Journal) Close() error {
	var errs []error
	for _, f := range []file{j.trials, j.safety} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(append(errs, j.lock.Close())...)
}

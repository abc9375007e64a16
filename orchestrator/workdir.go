package orchestrator

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"golang.org/x/sys/unix"

	"platter/fault"
	"platter/orchestrator/scratch"
	"platter/powercut"
)

// A workdir holds everything of a run that must not outlive it: scratch image, saved guest, console. Its name starts with
// "run-", and the file "lock" in it is flocked for as long as the run lives: the kernel lets go of it whatever way the
// process ends, which is how clean-up tells a dead run from a live one.
type workdir struct {
	path string
	lock *os.File
}

const (
	workdirPrefix = "run-"
	lockFile      = "lock"
	domainPrefix  = "platter-"
)

// newWorkdir makes a work directory in the storage directory.
func newWorkdir(storage string) (*workdir, error) {
	if err := os.MkdirAll(storage, 0o755); err != nil {
		return nil, fault.New(fault.Usage, "make storage directory: %v: name another with --storage", err)
	}
	for {
		var id [4]byte
		_, _ = rand.Read(id[:]) // crypto/rand does not fail
		path := filepath.Join(storage, workdirPrefix+hex.EncodeToString(id[:]))
		if err := os.Mkdir(path, 0o755); err != nil {
			return nil, fault.New(fault.Usage, "make work directory: %v: name another storage directory with --storage", err)
		}
		lock, err := tryLock(filepath.Join(path, lockFile), os.O_CREATE)
		if errors.Is(err, errLocked) {
			continue // a clean-up took it for dead in the moment before it was locked, and removes it
		}
		if err != nil {
			os.RemoveAll(path)
			return nil, err
		}
		if _, err := lock.WriteString(mark); err != nil {
			lock.Close()
			os.RemoveAll(path)
			return nil, fault.New(fault.Rig, "make work directory: %v: name another storage directory with --storage", err)
		}
		return &workdir{path: path, lock: lock}, nil
	}
}

// mark is what the lock file says, so that no directory of somebody else's is taken for one of platter's.
const mark = "platter work directory\n"

// domainName is the name of the one domain that belongs to the work directory.
func (w *workdir) domainName() string { return domainName(w.path) }

func domainName(workdir string) string {
	return domainPrefix + filepath.Base(workdir)[len(workdirPrefix):]
}

func (w *workdir) consolePath() string { return filepath.Join(w.path, "console.log") }
func (w *workdir) savedPath() string   { return filepath.Join(w.path, "guest.saved") }

// Close removes the directory and all that is in it.
func (w *workdir) Close() error {
	err := removeWorkdir(w.path)
	w.lock.Close()
	return err
}

// removeWorkdir removes a work directory, its lock last: what a removal that is cut short leaves can still be found.
func removeWorkdir(path string) error {
	if err := powercut.RemoveStale(scratch.MountPoint(path)); err != nil {
		return fmt.Errorf("remove work directory: %w", err)
	}
	entries, err := os.ReadDir(path)
	for _, e := range entries {
		if e.Name() != lockFile {
			err = errors.Join(err, os.RemoveAll(filepath.Join(path, e.Name())))
		}
	}
	if err == nil {
		err = os.RemoveAll(path)
	}
	if err != nil {
		return fmt.Errorf("remove work directory: %w", err)
	}
	return nil
}

var errLocked = errors.New("in use by a run that is alive")

// tryLock opens and flocks a file at once or fails with errLocked.
func tryLock(path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, flags|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock work directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errLocked
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// errNotOurs says that a directory is no work directory of platter's.
var errNotOurs = errors.New("not a work directory of platter's")

// workdirName is what the names of work directories look like.
var workdirName = regexp.MustCompile(`^` + workdirPrefix + `[0-9a-f]{8}$`)

// deadWorkdirs finds the work directories in the storage directory whose run is dead, and locks them.
func deadWorkdirs(storage string) ([]*workdir, error) {
	entries, err := os.ReadDir(storage)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("look for leftovers: %w", err)
	}
	var dead []*workdir
	for _, e := range entries {
		w, err := deadWorkdir(filepath.Join(storage, e.Name()))
		if errors.Is(err, errLocked) || errors.Is(err, errNotOurs) {
			continue
		}
		if err != nil {
			return dead, err
		}
		dead = append(dead, w)
	}
	return dead, nil
}

// deadWorkdir locks the work directory at path if its run is dead; errLocked if it lives, errNotOurs if there is none.
func deadWorkdir(path string) (*workdir, error) {
	if !workdirName.MatchString(filepath.Base(path)) {
		return nil, errNotOurs
	}
	lock, err := tryLock(filepath.Join(path, lockFile), 0)
	if errors.Is(err, errLocked) {
		return nil, err
	}
	if err != nil {
		return nil, errNotOurs // there is none, or another user's
	}
	text := make([]byte, len(mark)+1)
	if n, _ := lock.ReadAt(text, 0); string(text[:n]) != mark {
		lock.Close()
		return nil, errNotOurs
	}
	return &workdir{path: path, lock: lock}, nil
}

// Package tree keeps root trees of other Debian suites on this machine, each with a QEMU, a libvirt and a fio of its own, so that the
// hypervisors that people run can be measured beside the installed one: Build makes one, Enter runs it in namespaces of its own.
//
// A tree is never changed by a session: what is written outside the shared directories lies in memory over it and is gone with the
// session. So what the tree's record says stays true, and several sessions may run in one tree at a time.
package tree

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"platter/fault"
)

// A Tree is a root tree that was built whole.
type Tree struct {
	Name         string            `json:"name"`
	Suites       []string          `json:"suites"`       // the base first
	Repositories []Repository      `json:"repositories"` // what it was made from
	Built        time.Time         `json:"built"`
	Changed      *time.Time        `json:"changed,omitempty"` // end of the last session that changed it
	QEMU         string            `json:"qemu"`              // upstream version: "10.0.13"
	Libvirt      string            `json:"libvirt"`
	Fio          string            `json:"fio"`
	Packages     map[string]string `json:"packages"` // all that is installed, with exact versions

	Path string `json:"-"` // CACHE/hypervisors/NAME: the record and the root
}

// A Repository is a line of the tree's sources.list, and what its Release file said of itself when the tree was made.
type Repository struct {
	Line     string `json:"line"`
	Suite    string `json:"suite"`
	Codename string `json:"codename"`
	Version  string `json:"version,omitempty"` // "13.2"
	Date     string `json:"date"`              // RFC 1123, as it stands there
}

const (
	recordFile = "tree.json"
	rootDir    = "root" // the tree itself
	mountDir   = "mnt"  // empty: a session mounts what it writes there, which only it sees
	building   = ".building"
	removing   = ".removing"
)

// trees is the directory below the cache directory.
const trees = "hypervisors"

// Root is the directory that is / in a session.
func (t *Tree) Root() string { return filepath.Join(t.Path, rootDir) }

// Open finds a tree that was built. The error is a usage one for a name that no tree can have, and the rig's where it is not there, half
// built or damaged; it says which, and what to do.
func Open(cache, name string) (*Tree, error) {
	if _, err := planOf(name); err != nil {
		return nil, err
	}
	t, err := read(filepath.Join(cache, trees, name))
	if !errors.Is(err, fs.ErrNotExist) {
		return t, err
	}
	if _, err := os.Stat(filepath.Join(cache, trees, name+building)); err == nil {
		if isBuilt(cache, name) {
			return nil, fault.New(fault.Rig, "hypervisor %s is being built by %s: wait until it is", name,
				processes(holders(lockPath(cache, name))))
		}
		return nil, fault.New(fault.Rig, "hypervisor %s is half built, its build was ended: platter hypervisor build %s", name, name)
	}
	return nil, fault.New(fault.Rig, "hypervisor %s is not built: platter hypervisor build %s", name, name)
}

func read(dir string) (*Tree, error) {
	text, err := os.ReadFile(filepath.Join(dir, recordFile))
	if err != nil {
		return nil, err
	}
	t := &Tree{Path: dir}
	if err := json.Unmarshal(text, t); err != nil {
		name := filepath.Base(dir)
		return nil, fault.New(fault.Rig, "hypervisor %s is damaged (%s: %v): platter hypervisor build --force %s",
			name, recordFile, err, name)
	}
	return t, nil
}

// write keeps the record. It is whole or not there.
func (t *Tree) write() error {
	text, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(t.Path, recordFile)
	if err := os.WriteFile(path+".next", append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("record hypervisor %s: %w", t.Name, err)
	}
	return os.Rename(path+".next", path)
}

// List returns the trees in the cache directory by name. A damaged one is an error in the list's place: the others are returned, too.
func List(cache string) ([]*Tree, error) {
	entries, err := os.ReadDir(filepath.Join(cache, trees))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list hypervisors: %w", err)
	}
	var found []*Tree
	var problems []error
	for _, e := range entries {
		if !slices.Contains(Names(), e.Name()) {
			continue
		}
		t, err := read(filepath.Join(cache, trees, e.Name()))
		if err != nil {
			problems = append(problems, err)
			continue
		}
		found = append(found, t)
	}
	return found, errors.Join(problems...)
}

// Unfinished returns the directories of trees that no living process builds or removes: what a build or removal that was killed left.
func Unfinished(cache string) []string {
	var found []string
	for _, ending := range []string{building, removing} {
		dirs, _ := filepath.Glob(filepath.Join(cache, trees, "*"+ending))
		for _, dir := range dirs {
			name := strings.TrimSuffix(filepath.Base(dir), ending)
			if !isBuilt(cache, name) {
				found = append(found, dir)
			}
		}
	}
	return found
}

// RemoveUnfinished removes what Unfinished found.
func RemoveUnfinished(cache string) error {
	for _, dir := range Unfinished(cache) {
		name := strings.TrimSuffix(strings.TrimSuffix(filepath.Base(dir), building), removing)
		lock, err := hold(cache, name, unix.LOCK_EX)
		if err != nil {
			return err
		}
		err = removeAll(dir)
		lock.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// Remove removes the tree. It fails while a session runs in it.
func (t *Tree) Remove() error {
	cache := filepath.Dir(filepath.Dir(t.Path))
	lock, err := hold(cache, t.Name, unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer lock.Close()
	gone := t.Path + removing
	if err := removeAll(gone); err != nil {
		return err
	}
	if err := os.Rename(t.Path, gone); err != nil {
		return fmt.Errorf("remove hypervisor %s: %w", t.Name, err)
	}
	return removeAll(gone)
}

// removeAll removes a directory unless something is mounted below it: a mount of /dev or of somebody's files would be emptied.
func removeAll(dir string) error {
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		return fmt.Errorf("look for mounts below %s: %w", dir, err)
	}
	if len(mounts) > 0 {
		return fault.New(fault.Rig, "%s is not removed, since %s is mounted: umount -R %s", dir, mounts[0].Mountpoint, mounts[0].Mountpoint)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove %s: %w", dir, err)
	}
	return nil
}

func lockPath(cache, name string) string { return filepath.Join(cache, trees, name+".lock") }

// hold takes the tree's lock: LOCK_EX to build, change or remove it, LOCK_SH to run in it. It does not wait: a build takes minutes and a
// run hours. The lock is given back when every process that has the file open ended.
func hold(cache, name string, how int) (*os.File, error) {
	path := lockPath(cache, name)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock hypervisor %s: %w", name, err)
	}
	err = unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
	if err == nil {
		return f, nil
	}
	f.Close()
	if !errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("lock hypervisor %s: %w", name, err)
	}
	who := processes(holders(path))
	if how == unix.LOCK_SH {
		return nil, fault.New(fault.Rig, "hypervisor %s is being built or changed by %s: wait until that has ended", name, who)
	}
	return nil, fault.New(fault.Rig, "hypervisor %s is in use by %s, which builds or runs it: wait until that has ended", name, who)
}

// isBuilt reports whether a living process builds, changes or removes the tree.
func isBuilt(cache, name string) bool {
	f, err := os.Open(lockPath(cache, name))
	if err != nil {
		return false // nobody ever did
	}
	defer f.Close()
	return unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) != nil
}

// holders returns the processes that hold a lock on the file, as far as the kernel tells: those that took it, also when they passed it on.
func holders(path string) []int {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return nil
	}
	text, err := os.ReadFile("/proc/locks")
	if err != nil {
		return nil
	}
	return parseLocks(string(text), fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino))
}

// parseLocks returns the process ids of the flock(2) locks on the file in /proc/locks (proc_locks(5)). file is MAJOR:MINOR:INODE as it
// stands there. Lines of processes that wait for a lock ("1: -> FLOCK") do not count, nor of those that are dead or of another namespace.
func parseLocks(locks, file string) []int {
	var pids []int
	for line := range strings.Lines(locks) {
		f := strings.Fields(line)
		if len(f) < 6 || f[1] != "FLOCK" || f[5] != file {
			continue
		}
		if pid, err := strconv.Atoi(f[4]); err == nil && pid > 0 && !slices.Contains(pids, pid) {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}

func processes(pids []int) string {
	switch len(pids) {
	case 0:
		return "another process"
	case 1:
		return fmt.Sprintf("process %d", pids[0])
	}
	var words []string
	for _, pid := range pids {
		words = append(words, strconv.Itoa(pid))
	}
	return "processes " + strings.Join(words, ", ")
}

// upstream returns the version that its authors gave a package's program, without Debian's epoch, repacking and revision
// (deb-version(7)): "1:11.1.3+ds-1~bpo13+1" is 11.1.3.
func upstream(version string) string {
	if _, after, ok := strings.Cut(version, ":"); ok {
		version = after
	}
	if i := strings.LastIndexByte(version, '-'); i >= 0 {
		version = version[:i]
	}
	version, _, _ = strings.Cut(version, "+")
	return version
}

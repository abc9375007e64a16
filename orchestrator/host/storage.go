package host

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"platter/fault"
	"platter/results"
)

// Storage names the file system under dir and the drives that it lies on. What cannot be found out stays empty.
func Storage(dir string) results.Storage {
	s := results.Storage{Directory: dir}
	if m := mountOf(dir); m != nil {
		s.FileSystem, s.Device = m.FSType, m.Source
		s.Drives, s.Layers = drivesBelow("/sys", deviceNumber(m))
	}
	return s
}

// mountOf returns the mount that holds path; nil where the kernel does not tell.
func mountOf(path string) *mountinfo.Info {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil
	}
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	defer f.Close()
	return findMount(f, path)
}

// findMount returns the mount with the longest mount point above an absolute path; of equal ones the last, which covers the others. The
// mounts are in the format of proc_pid_mountinfo(5); it is nil where they cannot be read.
func findMount(mounts io.Reader, path string) *mountinfo.Info {
	above, err := mountinfo.GetMountsFromReader(mounts, mountinfo.ParentsFilter(path))
	if err != nil {
		return nil
	}
	var best *mountinfo.Info
	for _, m := range above {
		if best == nil || len(m.Mountpoint) >= len(best.Mountpoint) {
			best = m
		}
	}
	return best
}

// deviceNumber is the "major:minor" of what a mount lies on: that of its source where the file system made up one of its own, as
// btrfs does.
func deviceNumber(m *mountinfo.Info) string {
	var st unix.Stat_t
	if m.Major == 0 && unix.Stat(m.Source, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFBLK {
		return fmt.Sprintf("%d:%d", unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev)))
	}
	return fmt.Sprintf("%d:%d", m.Major, m.Minor)
}

// DeviceFlushes returns how many flush requests the device below path has completed since boot, from everybody
// (/sys/dev/block/MAJOR:MINOR/stat, field 16; kernel Documentation/block/stat.rst). It fails for a file system without such a device.
func DeviceFlushes(path string) (int64, error) {
	m := mountOf(path)
	if m == nil {
		return 0, fmt.Errorf("no mount holds %s", path)
	}
	text, err := os.ReadFile(fmt.Sprintf("/sys/dev/block/%d:%d/stat", m.Major, m.Minor))
	if err != nil {
		return 0, err
	}
	f := strings.Fields(string(text))
	if len(f) < 17 {
		return 0, fmt.Errorf("kernel counts no flushes for %s", m.Source)
	}
	return strconv.ParseInt(f[15], 10, 64)
}

// FreeBytes returns what is free for an unprivileged user on the file system that holds dir.
func FreeBytes(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// CheckSpace fails unless need bytes are free in dir, or where dir will be made.
func CheckSpace(dir string, need int64) error {
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) && filepath.Dir(dir) != dir {
		return CheckSpace(filepath.Dir(dir), need)
	}
	free, err := FreeBytes(dir)
	if err != nil {
		return fault.New(fault.Rig, "look for free space in %s: %v", dir, err)
	}
	if free < need {
		return fault.New(fault.Usage, "%s has %d MiB free and the run needs %d MiB: "+
			"free some, remove what dead runs left with platter cleanup, or name another directory with --storage", dir, free>>20, need>>20)
	}
	return nil
}

// CheckDirect fails unless files in dir can be opened with O_DIRECT, which cache=none and directsync need.
func CheckDirect(dir string) error {
	f, err := os.CreateTemp(dir, "o_direct-")
	if err != nil {
		return fault.New(fault.Rig, "write in storage directory: %v", err)
	}
	defer os.Remove(f.Name())
	f.Close()
	fd, err := unix.Open(f.Name(), unix.O_RDWR|unix.O_DIRECT, 0)
	if errors.Is(err, unix.EINVAL) {
		return fault.New(fault.Usage, "files in %s cannot be opened with O_DIRECT (file system %s), which cache none and directsync need: "+
			"name another directory with --storage", dir, Storage(dir).FileSystem)
	}
	if err != nil {
		return fault.New(fault.Rig, "open a file in %s: %v", dir, err)
	}
	return unix.Close(fd)
}

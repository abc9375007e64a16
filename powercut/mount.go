package powercut

import (
	"errors"
	"io"
	"io/fs"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

const (
	fsName = "platter-powercut"
	fsType = "platter-powercut" // the kernel says fuse.platter-powercut
	socket = "control.sock"     // in the state directory
)

// attach mounts the file system. The state directory stands in the mount's source, "platter-powercut:DIR", so that it is found
// from the mount point also when the server is dead.
func attach(raw fuse.RawFileSystem, mount, state string) (*fuse.Server, error) {
	server, err := fuse.NewServer(raw, mount, mountOptions(fsName+":"+state))
	if err != nil {
		return nil, rig("mount at %s: %w: it takes root, or fusermount3 (package fuse3) with user_allow_other in /etc/fuse.conf", mount, err)
	}
	return server, nil
}

// mountOptions returns how the server is mounted, and the one that the benchmarks compare it with.
func mountOptions(source string) *fuse.MountOptions {
	return &fuse.MountOptions{
		FsName: source, Name: fsType,
		AllowOther: true, DirectMount: true, // QEMU runs as another user
		Options:       []string{"default_permissions"},
		DisableXAttrs: true, DisableReadDirPlus: true, DisableSplice: true,
		MaxWrite: fuse.MAX_KERNEL_WRITE, MaxBackground: 64,
		ExtraCapabilities: fuse.CAP_ASYNC_DIO, // else the kernel does io_submit's requests one by one
		Logger:            log.New(os.Stderr, "platter powercut: ", 0),
	}
}

// checkMountPoint returns an error if a directory cannot be mounted on. It removes a dead mount of ours.
func checkMountPoint(mount string) error {
	if err := RemoveStale(mount); err != nil {
		return err
	}
	if m, ok := mountedAt(mount); ok {
		if m.state != "" {
			return usage("mount point %s is in use: a powercut disk is mounted there already; take another directory, or end that one: umount %s",
				mount, mount)
		}
		return usage("mount point %s is in use: a %s file system is mounted there; take an empty directory", mount, m.fsType)
	}
	info, err := os.Stat(mount)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return usage("mount point %s does not exist: mkdir %s", mount, mount)
	case err != nil:
		return rig("mount point: %w", err)
	case !info.IsDir():
		return usage("mount point %s is not a directory: take an empty directory", mount)
	}
	entries, err := os.ReadDir(mount)
	if err != nil {
		return rig("mount point: %w", err)
	}
	if len(entries) > 0 {
		return usage("mount point %s is not empty (%s is in it): take an empty directory", mount, entries[0].Name())
	}
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return rig("FUSE cannot be used: %w: load the module (modprobe fuse); in a container give it the device (--device /dev/fuse)", err)
	}
	return f.Close()
}

// mounted is a mount as mountinfo describes it.
type mounted struct {
	fsType string
	state  string // the state directory of a mount of ours, else ""
}

// mountedAt looks a mount point up; the topmost mount counts.
func mountedAt(mount string) (m mounted, ok bool) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return m, false
	}
	defer f.Close()
	return findMounted(f, mount)
}

// findMounted is mountedAt among mounts in the format of proc_pid_mountinfo(5).
func findMounted(mounts io.Reader, mount string) (m mounted, ok bool) {
	there, err := mountinfo.GetMountsFromReader(mounts, func(i *mountinfo.Info) (skip, stop bool) { return i.Mountpoint != mount, false })
	if err != nil || len(there) == 0 {
		return m, false
	}
	top := there[len(there)-1]
	m.fsType = top.FSType
	if top.FSType == "fuse."+fsType {
		m.state = strings.TrimPrefix(top.Source, fsName+":")
	}
	return m, true
}

// RemoveStale unmounts a mount of ours whose server is dead, as it may be left when server and guard were both killed, and removes
// its state directory. It returns nil, and does nothing, where there is none.
func RemoveStale(mount string) error {
	mount = resolved(mount)
	m, ok := mountedAt(mount)
	if !ok || m.state == "" {
		return nil
	}
	if c, err := dialSocket(m.state); err == nil {
		c.Close()
		return nil
	}
	if err := detach(mount); err != nil {
		if now, still := mountedAt(mount); !still || now != m {
			return nil // another one was faster
		}
		return rig("unmount the dead %s: %w: umount -l %s", mount, err, mount)
	}
	removeState(m.state)
	return nil
}

// resolved returns a mount point as the kernel names it. A dead mount can only be resolved up to its parent.
func resolved(mount string) string {
	path, err := filepath.Abs(mount)
	if err != nil {
		return mount
	}
	if parent, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		path = filepath.Join(parent, filepath.Base(path))
	}
	if whole, err := filepath.EvalSymlinks(path); err == nil {
		path = whole
	}
	return path
}

// detach unmounts even if something is in use; who has it open keeps it.
func detach(mount string) error {
	err := unix.Unmount(mount, unix.MNT_DETACH)
	if err == nil || !errors.Is(err, syscall.EPERM) {
		return err
	}
	out, failed := exec.Command("fusermount3", "-u", "-z", mount).CombinedOutput()
	if failed != nil {
		return errors.Join(err, errors.New(strings.TrimSpace(string(out))))
	}
	return nil
}

// removeState removes what a server leaves in its state directory, and the directory if nothing else is in it.
func removeState(state string) {
	os.Remove(filepath.Join(state, socket))
	os.Remove(state)
}

// The address of a unix socket may have 107 bytes only; through a descriptor of its directory it is short.
func socketAddress(state string) (address string, dir *os.File, err error) {
	if dir, err = os.Open(state); err != nil {
		return "", nil, err
	}
	return "/proc/self/fd/" + strconv.Itoa(int(dir.Fd())) + "/" + socket, dir, nil
}

func dialSocket(state string) (net.Conn, error) {
	address, dir, err := socketAddress(state)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return net.Dial("unix", address)
}

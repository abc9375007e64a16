package tree

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"platter/fault"
)

// InitCommand is the hidden subcommand of platter hypervisor that Enter starts: init TREE-DIRECTORY [change].
const InitCommand = "init"

// Init is PID 1 of a session: it makes the tree in dir its root, says so with a byte on stdout, reaps, and ends when stdin does: whoever
// entered is dead or done. Then the kernel kills every process of the namespace and the mounts go with the last of them.
func Init(dir string, change bool, stdin io.Reader, stdout io.Writer) error {
	if os.Getpid() != 1 {
		return fault.New(fault.Usage, "platter hypervisor %s is started by platter itself: use platter hypervisor run", InitCommand)
	}
	died := make(chan os.Signal, 1)
	signal.Notify(died, unix.SIGCHLD)
	if err := pivot(dir, change); err != nil {
		return err
	}
	if _, err := stdout.Write([]byte{'\n'}); err != nil {
		return err
	}
	orphaned := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, stdin)
		close(orphaned)
	}()
	for {
		select {
		case <-orphaned:
			return nil
		case <-died:
			for {
				if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); pid <= 0 && !errors.Is(err, unix.EINTR) {
					break
				}
			}
		}
	}
}

// pivot makes the tree the root of this process's mount namespace. It is on top of itself or below an overlay, since libvirt makes
// namespaces of its own for QEMU, which only works where / is a mount point.
func pivot(dir string, change bool) error {
	unix.Umask(0o022)
	steps := []struct {
		what string
		do   func() error
	}{
		{"make its mounts its own", func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") }},
		// Relative paths: an overlay's options cannot hold every character of a path.
		{"enter " + dir, func() error { return os.Chdir(dir) }},
		{"mount the tree", func() error {
			if change {
				return errors.Join(unix.Mount(rootDir, rootDir, "", unix.MS_BIND, ""), os.Chdir(rootDir))
			}
			return overlay()
		}},
		{"mount /proc", func() error {
			return unix.Mount("proc", "proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
		}},
		{"mount /sys", func() error { return unix.Mount("/sys", "sys", "", unix.MS_BIND|unix.MS_REC, "") }},
		{"mount /dev", func() error { return unix.Mount("/dev", "dev", "", unix.MS_BIND|unix.MS_REC, "") }},
		{"mount /run", func() error { return unix.Mount("run", "run", "tmpfs", unix.MS_NOSUID, "mode=0755") }},
		{"mount /dev/shm", func() error { return ownDirectory("dev/shm", "mode=1777") }},
		// Without control groups of the host: two libvirts would give their domains the same ones, and a kill would leave them there.
		{"take /sys/fs/cgroup away", func() error {
			for unix.Unmount("sys/fs/cgroup", unix.MNT_DETACH) == nil { // with what is mounted below it
			}
			return ownDirectory("sys/fs/cgroup", "mode=0755")
		}},
		{"make /dev/kvm", ownKVM},
		{"pivot", func() error {
			// The old root is put on top of the new one and taken away again: no directory is needed for it (pivot_root(2)).
			if err := unix.PivotRoot(".", "."); err != nil {
				return err
			}
			return errors.Join(unix.Unmount(".", unix.MNT_DETACH), os.Chdir("/"))
		}},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			hint := ""
			if errors.Is(err, unix.EPERM) {
				hint = ": run platter as root, in a container with CAP_SYS_ADMIN"
			}
			return fault.New(fault.Rig, "the tree %s cannot be entered: %s: %v%s", dir, s.what, err, hint)
		}
	}
	return nil
}

// overlay mounts the tree below a file system in memory, which takes what the session writes, and enters it.
func overlay() error {
	if err := unix.Mount("platter", mountDir, "tmpfs", 0, "mode=0755"); err != nil {
		return err
	}
	upper, work, root := filepath.Join(mountDir, "upper"), filepath.Join(mountDir, "work"), filepath.Join(mountDir, rootDir)
	for _, dir := range []string{upper, work, root} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	err := unix.Mount("overlay", root, "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", rootDir, upper, work))
	if errors.Is(err, unix.ENODEV) {
		return errors.New("this kernel has no overlay file system: modprobe overlay")
	}
	return errors.Join(err, os.Chdir(root))
}

// ownDirectory mounts an empty directory in memory over one of the host's, if the host has it.
func ownDirectory(path, options string) error {
	err := unix.Mount("platter", path, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// ownKVM covers the host's /dev/kvm, if there is one, with the same device for the tree's group kvm, whose number is another than
// the host's. A device that QEMU's user cannot open costs a minute at each start of a domain.
func ownKVM() error {
	var host unix.Stat_t
	if err := unix.Stat("dev/kvm", &host); err != nil || host.Mode&unix.S_IFMT != unix.S_IFCHR {
		return nil
	}
	groups, err := os.ReadFile("etc/group")
	if err != nil {
		return nil
	}
	gid, ok := groupID(string(groups), "kvm")
	if !ok {
		return nil
	}
	return errors.Join(unix.Mknod("run/.kvm", unix.S_IFCHR|0o660, int(host.Rdev)), os.Chown("run/.kvm", 0, gid),
		os.Chmod("run/.kvm", 0o660), unix.Mount("run/.kvm", "dev/kvm", "", unix.MS_BIND, ""))
}

// groupID finds a group's number in a group(5) file.
func groupID(file, name string) (int, bool) {
	for line := range strings.Lines(file) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 3 || f[0] != name {
			continue
		}
		gid, err := strconv.ParseUint(f[2], 10, 31)
		return int(gid), err == nil
	}
	return 0, false
}

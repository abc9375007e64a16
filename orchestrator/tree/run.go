package tree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"platter/fault"
)

// An ExitError is the end of a command in a session that was no success.
type ExitError struct {
	Command string
	Status  int // the command's own, or 128+N when signal N ended it, as a shell has it
}

func (e *ExitError) Error() string {
	return fmt.Sprintf("%s ended with exit status %d", e.Command, e.Status)
}

// A Command is what Run runs in a session.
type Command struct {
	Args           []string // a program of the tree or of a shared directory, and its arguments
	Dir            string   // where it begins; "/" if the session does not have this directory
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Run runs a command in the session, with this process's environment but for what names the host's own daemons. It returns nil when the
// command's exit status is 0, an *ExitError for another one, Err when the session died meanwhile, and ctx's error when that ended: then the
// command was told with SIGTERM, unless it has the terminal and was told by that, and had 30 s.
func (s *Session) Run(ctx context.Context, c Command) error {
	name := c.Args[0]
	cmd := exec.CommandContext(ctx, name, c.Args[1:]...)
	cmd.Dir = c.Dir
	cmd.Stdin = c.Stdin
	cmd.Stdout = c.Stdout
	cmd.Stderr = c.Stderr
	cmd.Env = environment(os.Environ(), s.shared)
	if hasTerminal(c.Stdin) {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
		cmd.Cancel = func() error { return nil }
	} else {
		// What is sent to our group must not reach it twice: a second signal ends a program before it has cleaned up.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
	}
	cmd.WaitDelay = yielding
	if err := s.start(cmd); err != nil {
		return err
	}
	err := cmd.Wait()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil:
		return nil
	case s.Err() != nil:
		return s.Err()
	case errors.As(err, &exit):
		status := exit.ExitCode()
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			status = 128 + int(ws.Signal())
		}
		return &ExitError{name, status}
	}
	return fmt.Errorf("run %s in hypervisor %s: %w", name, s.tree.Name, err)
}

// hasTerminal reports whether the reader is a terminal in whose foreground this process is: what is typed there reaches its whole group.
func hasTerminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return false
	}
	group, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// programs is where a tree has its programs.
const programs = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment is what a process in a session gets of the given variables: none that names a daemon, directory or language that
// the tree does not have. TMPDIR stays where it lies in a shared directory.
func environment(given, shared []string) []string {
	env := []string{"LC_ALL=C.UTF-8"}
	path := programs
	for _, v := range given {
		name, value, _ := strings.Cut(v, "=")
		switch {
		case name == "PATH":
			path = value + ":" + programs
		case name == "TMPDIR" && !slices.ContainsFunc(shared, func(dir string) bool { return value == dir || strings.HasPrefix(value, dir+"/") }):
		case name == "XDG_RUNTIME_DIR", name == "LANG", name == "LANGUAGE":
		case strings.HasPrefix(name, "LC_"), strings.HasPrefix(name, "LD_"), strings.HasPrefix(name, "LIBVIRT_"),
			strings.HasPrefix(name, "DBUS_"), strings.HasPrefix(name, "SYSTEMD_"):
		default:
			env = append(env, v)
		}
	}
	return append(env, "PATH="+path)
}

// start starts a prepared command in the session.
func (s *Session) start(cmd *exec.Cmd) error {
	name := cmd.Args[0]
	return s.inside(nil, func() error {
		path, err := exec.LookPath(name) // the files of the tree: that is where this thread is
		if err != nil && !strings.Contains(name, "/") {
			for _, dir := range filepath.SplitList(programs) {
				if path, err = exec.LookPath(filepath.Join(dir, name)); err == nil {
					break
				}
			}
		}
		if err != nil && !errors.Is(err, exec.ErrDot) && !(strings.Contains(name, "/") && !filepath.IsAbs(name)) {
			return fault.New(fault.Usage, "hypervisor %s has no command %s: platter hypervisor run --keep %s -- apt-get install PACKAGE",
				s.tree.Name, name, s.tree.Name)
		}
		if path == "" {
			path = name // relative to Dir
		}
		cmd.Path = path
		cmd.Err = nil
		if _, err := os.Stat(cmd.Dir); err != nil {
			cmd.Dir = "/"
		}
		if err := cmd.Start(); err != nil {
			return fault.New(fault.Usage, "run %s in hypervisor %s: %v", name, s.tree.Name, err)
		}
		return nil
	})
}

// inside calls outer in the host's namespaces and then inner in those of the session, on a thread that is thrown away after. A process
// that inner starts is the session's.
func (s *Session) inside(outer, inner func() error) error {
	select {
	case <-s.dead:
		if s.err != nil {
			return s.err
		}
		return fault.New(fault.Rig, "the session in hypervisor %s was closed", s.tree.Name)
	default:
	}
	result := make(chan error, 1)
	onOtherThread(func() {
		result <- func() error {
			if outer != nil {
				if err := outer(); err != nil {
					return err
				}
			}
			// A thread that shares its root and working directory with others cannot have a mount namespace of its own.
			err := unix.Unshare(unix.CLONE_FS)
			if err == nil {
				err = unix.Setns(int(s.pidfd.Fd()), unix.CLONE_NEWNS|unix.CLONE_NEWPID|unix.CLONE_NEWIPC)
			}
			if err != nil {
				if dead := s.Err(); dead != nil {
					return dead
				}
				return fault.New(fault.Rig, "the session in hypervisor %s cannot be joined (%v): run it again", s.tree.Name, err)
			}
			return inner()
		}()
	})
	return <-result
}

// onOtherThread calls f on a thread that ends after it. That is never the process's first: /proc/self is that one.
func onOtherThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			defer runtime.UnlockOSThread()
			onOtherThread(f)
			return
		}
		f() // the thread stays locked: it ends with the goroutine
	}()
	<-done
}

// Share makes a directory or file of the host visible in the session at the same path, with what is mounted below it now. What is mounted
// there later is seen where the host's mount is a shared one (mount_namespaces(7)); else Share it again.
func (s *Session) Share(path string) error {
	real, err := shareable(path)
	if err != nil {
		return err
	}
	return s.attach(real, real)
}

func (s *Session) attach(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return fmt.Errorf("share %s: %w", from, err)
	}
	mount := -1
	err = s.inside(func() (err error) {
		if mount, err = unix.OpenTree(unix.AT_FDCWD, from, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE); err != nil {
			return err
		}
		// The host's mounts and unmounts reach the session, never the other way.
		return unix.MountSetattr(mount, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Propagation: unix.MS_SLAVE})
	}, func() error {
		if info.IsDir() {
			if err := os.MkdirAll(to, 0o755); err != nil {
				return err
			}
		} else if _, err := os.Stat(to); err != nil {
			if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, nil, 0o644)); err != nil {
				return err
			}
		}
		return unix.MoveMount(mount, "", unix.AT_FDCWD, to, unix.MOVE_MOUNT_F_EMPTY_PATH)
	})
	if mount >= 0 {
		unix.Close(mount)
	}
	if err != nil && fault.Of(err) == "" {
		return fault.New(fault.Rig, "share %s with hypervisor %s: %v", from, s.tree.Name, err)
	}
	return err
}

// The directories of a system: with the host's in their place a tree would be no other hypervisor. Those of kept are not to be shared
// themselves, those of owned neither that nor what lies below them.
var (
	kept = []string{"/", "/usr", "/usr/local", "/usr/local/bin", "/usr/local/sbin", "/usr/local/lib", "/var", "/var/cache", "/var/lib",
		"/var/log", "/run"}
	owned = []string{"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/boot", "/dev", "/etc", "/proc", "/sys", "/usr/bin", "/usr/sbin",
		"/usr/lib", "/usr/lib64", "/usr/libexec", "/usr/share", "/run/libvirt", "/var/lib/libvirt", "/var/log/libvirt", "/var/cache/libvirt",
		"/var/lib/dpkg", "/var/lib/apt"}
)

// Shareable reports whether a directory of the host can be shared with a session.
func Shareable(path string) bool {
	_, err := shareable(path)
	return err == nil
}

// shareable returns the real path of a file or directory that may be shared.
func shareable(path string) (string, error) {
	real, err := filepath.Abs(path)
	if err == nil {
		real, err = filepath.EvalSymlinks(real)
	}
	if err != nil {
		return "", fault.New(fault.Usage, "%s cannot be shared with a hypervisor: %v", path, err)
	}
	within := func(dir string) bool { return real == dir || strings.HasPrefix(real, dir+"/") }
	if slices.Contains(kept, real) || slices.ContainsFunc(owned, within) {
		return "", fault.New(fault.Usage, "%s cannot be shared with a hypervisor, which has its own: use another directory", real)
	}
	return real, nil
}

// outermost leaves out the paths that lie below another one: they are shared with it.
func outermost(paths []string) []string {
	paths = slices.Compact(slices.Sorted(slices.Values(paths)))
	var outer []string
	for _, p := range paths {
		below := func(o string) bool { return strings.HasPrefix(p, o+"/") }
		if !slices.ContainsFunc(outer, below) {
			outer = append(outer, p)
		}
	}
	return outer
}

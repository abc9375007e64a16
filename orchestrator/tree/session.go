package tree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"platter/fault"
)

// A Session is a tree that was entered: mount, PID and IPC namespaces of its own, the host's network. Its methods may be called from
// several goroutines.
type Session struct {
	tree  *Tree
	init  *exec.Cmd
	stdin io.Closer
	pidfd *os.File

	shared []string // directories and files of the host that were given to Enter

	dead   chan struct{}
	ending sync.Once
	err    error         // why it is dead; to be read after dead is closed
	gone   chan struct{} // closed when every process of it ended

	daemons []*daemon // what StartLibvirt started
	lock    *os.File  // of a session that changes the tree, until its record is made
	closing sync.Once
	closed  error
}

const (
	entering = 20 * time.Second // until PID 1 is ready
	leaving  = 10 * time.Second // until every process is gone
	starting = time.Minute      // until libvirt answers
	yielding = 30 * time.Second // until a command that was told to end has ended
)

// socket is where the libvirt daemon of a tree listens, seen from within.
const socket = "/run/libvirt/libvirt-sock"

// Enter makes a session of the tree. program is the platter binary (os.Executable), which is PID 1 of it. The directories and files of
// share are the host's at the same paths, with what is mounted below them. The session ends with Close, and when this process does, in
// whatever way: no process and no mount of it remains. It needs root.
//
// What a session writes elsewhere is its own, in memory, and gone with it. See Change for what is to stay.
func (t *Tree) Enter(ctx context.Context, program string, share []string) (*Session, error) {
	lock, err := hold(filepath.Dir(filepath.Dir(t.Path)), t.Name, unix.LOCK_SH)
	if err != nil {
		return nil, err
	}
	defer lock.Close() // PID 1 has it, too
	return t.enter(ctx, program, share, false, lock)
}

// Change is Enter for a session whose writes stay in the tree: to install packages in it. It must be the only session of the tree. When it
// is closed the tree's record is made anew.
func (t *Tree) Change(ctx context.Context, program string, share []string) (*Session, error) {
	lock, err := hold(filepath.Dir(filepath.Dir(t.Path)), t.Name, unix.LOCK_EX)
	if err != nil {
		return nil, err
	}
	s, err := t.enter(ctx, program, share, true, lock)
	if err != nil {
		lock.Close()
		return nil, err
	}
	s.lock = lock
	return s, nil
}

func (t *Tree) enter(ctx context.Context, program string, share []string, change bool, lock *os.File) (*Session, error) {
	if os.Geteuid() != 0 {
		return nil, fault.New(fault.Rig, "running in hypervisor %s needs root: run it as root", t.Name)
	}
	share = append(slices.Clone(share), program)
	for i, path := range share {
		var err error
		if share[i], err = shareable(path); err != nil {
			return nil, err
		}
	}
	share = outermost(share)
	var said tail
	args := []string{"hypervisor", InitCommand, t.Path}
	if change {
		args = append(args, "change")
	}
	s := &Session{tree: t, init: exec.Command(program, args...), shared: share,
		dead: make(chan struct{}), gone: make(chan struct{})}
	s.init.Stderr = &said
	s.init.ExtraFiles = []*os.File{lock}
	s.init.Env = environment(nil, nil)
	s.init.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC,
		Setpgid:    true, // an interrupt at the terminal is for us and the command in it
	}
	stdin, err := s.init.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("enter hypervisor %s: %w", t.Name, err)
	}
	stdout, err := s.init.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("enter hypervisor %s: %w", t.Name, err)
	}
	if err := s.init.Start(); err != nil {
		return nil, fault.New(fault.Rig, "hypervisor %s cannot be entered: %v: run platter as root, in a container with CAP_SYS_ADMIN",
			t.Name, err)
	}
	s.stdin = stdin
	ready := make(chan bool, 1)
	go func() {
		n, _ := io.ReadFull(stdout, make([]byte, 1))
		ready <- n == 1
		_, _ = io.Copy(io.Discard, stdout)
		_ = s.init.Wait()
		s.end(fault.New(fault.Rig, "the session in hypervisor %s ended (%v): run it again", t.Name, s.init.ProcessState))
		close(s.gone)
	}()
	limit, cancel := context.WithTimeout(ctx, entering)
	defer cancel()
	select {
	case ok := <-ready:
		if !ok {
			<-s.gone
			words := strings.TrimPrefix(said.last(), "platter: ")
			if words == "" {
				words = fmt.Sprintf("PID 1 ended (%v) and said nothing", s.init.ProcessState)
			}
			return nil, fault.New(fault.Rig, "hypervisor %s: %s", t.Name, words)
		}
	case <-limit.Done():
		s.Close()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fault.New(fault.Rig, "hypervisor %s was not entered within %v: run it again", t.Name, entering)
	}
	pidfd, err := unix.PidfdOpen(s.init.Process.Pid, 0)
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("enter hypervisor %s: %w", t.Name, err)
	}
	s.pidfd = os.NewFile(uintptr(pidfd), "PID 1 of hypervisor "+t.Name)
	for _, path := range share {
		if err := s.Share(path); err != nil {
			s.Close()
			return nil, err
		}
	}
	for _, file := range []string{"/etc/resolv.conf", "/etc/hosts"} { // names are looked up as on the host
		real, err := filepath.EvalSymlinks(file)
		if err == nil {
			err = s.attach(real, file)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

// Root is where the host sees the session's root: below it are its /run, its /proc (libvirt's process ids are those), its logs.
func (s *Session) Root() string { return fmt.Sprintf("/proc/%d/root", s.init.Process.Pid) }

// Socket is where the host reaches the session's libvirt daemon.
func (s *Session) Socket() string { return s.Root() + socket }

// Tree is what was entered.
func (s *Session) Tree() *Tree { return s.tree }

// Dead is closed when the session is of no use any more: it was closed, PID 1 was killed, or a libvirt daemon died. Err says which.
func (s *Session) Dead() <-chan struct{} { return s.dead }

// Err is why the session is dead: nil while it lives and after Close.
func (s *Session) Err() error {
	select {
	case <-s.dead:
		return s.err
	default:
		return nil
	}
}

func (s *Session) end(err error) {
	s.ending.Do(func() {
		s.err = err
		close(s.dead)
	})
}

// Close ends every process of the session, and with them its mounts. A second call does nothing and returns the same error: that of the
// record of a tree that the session changed.
func (s *Session) Close() error {
	s.closing.Do(func() { s.closed = s.close() })
	return s.closed
}

func (s *Session) close() error {
	s.end(nil)
	_ = s.stdin.Close()
	select {
	case <-s.gone:
	case <-time.After(leaving):
		_ = s.init.Process.Kill()
		<-s.gone
	}
	if s.lock == nil {
		return nil
	}
	defer s.lock.Close()
	now := time.Now().UTC().Truncate(time.Second)
	s.tree.Changed = &now
	return s.tree.record()
}

// tail keeps the end of what a process said.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailBytes = 16 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-tailBytes):]
	return len(p), nil
}

// last is the last line.
func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := bytes.Split(bytes.TrimSpace(t.text), []byte("\n"))
	return string(lines[len(lines)-1])
}

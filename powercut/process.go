package powercut

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The subcommands of platter powercut that this package starts from the platter binary: serve MOUNT STATE and guard MOUNT STATE.
const (
	ServeCommand = "serve"
	GuardCommand = "guard"
)

const (
	launchPatience = 20 * time.Second // until the mount answers
	closePatience  = 10 * time.Second // until a server that was told to end has ended
)

// Process is a server in a process of its own.
type Process struct {
	*Client
	command *exec.Cmd
	stdin   io.Closer
	said    bytes.Buffer // its stderr
	dead    chan struct{}
	closing sync.Once
	closed  error
}

// Launch starts a server: exe is the platter binary (os.Executable). mount is an empty directory; the layers lie in the directory
// state, which is made if it is missing. It returns when the mount answers. The server ends when this process does, in whatever way.
func Launch(ctx context.Context, exe, mount, state string) (*Process, error) {
	p := &Process{command: exec.Command(exe, "powercut", ServeCommand, mount, state), dead: make(chan struct{})}
	p.command.Stderr = &p.said
	// A group of its own: an interrupt at the terminal is for us, who end it when everything else is done with it.
	p.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := p.command.StdinPipe()
	if err != nil {
		return nil, rig("start the powercut server: %w", err)
	}
	stdout, err := p.command.StdoutPipe()
	if err != nil {
		return nil, rig("start the powercut server: %w", err)
	}
	if err := p.command.Start(); err != nil {
		return nil, rig("start the powercut server: %w", err)
	}
	p.stdin = stdin
	ready := make(chan bool, 1)
	go func() {
		n, _ := io.ReadFull(stdout, make([]byte, 1))
		ready <- n == 1
		_, _ = io.Copy(io.Discard, stdout)
		_ = p.command.Wait()
		close(p.dead)
	}()
	limit, cancel := context.WithTimeout(ctx, launchPatience)
	defer cancel()
	select {
	case ok := <-ready:
		if ok {
			break
		}
		<-p.dead
		return nil, p.failed()
	case <-limit.Done():
		_ = p.Close(context.WithoutCancel(ctx))
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, rig("the powercut server at %s was not ready after %v: %s", mount, launchPatience, p.lastWords())
	}
	if p.Client, err = Dial(mount); err != nil {
		return nil, errors.Join(err, p.Close(context.WithoutCancel(ctx)))
	}
	return p, nil
}

// failed returns the error of a server that ended before it was ready: what it said itself, with its fault.
func (p *Process) failed() error {
	fault := Rig
	if p.command.ProcessState.ExitCode() == 2 {
		fault = Usage
	}
	return &Error{fault, errors.New(p.lastWords())}
}

func (p *Process) lastWords() string {
	words := strings.TrimSpace(p.said.String())
	if words == "" {
		return "the powercut server ended and said nothing"
	}
	lines := strings.Split(words, "\n")
	return strings.TrimPrefix(lines[len(lines)-1], "platter: ")
}

// Close unmounts, ends the server and removes its state; it does so too when the server was killed. Images that are still open
// give EIO from then on. A second call does nothing and returns the same error.
func (p *Process) Close(ctx context.Context) error {
	p.closing.Do(func() { p.closed = p.close(ctx) })
	return p.closed
}

func (p *Process) close(ctx context.Context) error {
	_ = p.stdin.Close()
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), closePatience)
	defer cancel()
	select {
	case <-p.dead:
	case <-limit.Done():
		_ = p.command.Process.Kill()
		<-p.dead
	}
	mount := p.command.Args[3]
	return RemoveStale(mount) // the guard may do so at the same time: both are content when it is gone
}

// Dead is closed when the server's process ended.
func (p *Process) Dead() <-chan struct{} { return p.dead }

// PID returns the server's process id.
func (p *Process) PID() int { return p.command.Process.Pid }

// Serve is the hidden command that Launch starts: it serves until ctx ends, the mount is unmounted, or stdin is closed, which means
// that its parent is dead. It writes a byte to stdout when the mount answers.
func Serve(ctx context.Context, mount, state, guard string, stdin io.Reader, stdout io.Writer) error {
	s, err := NewServer(mount, state, guard)
	if err != nil {
		return err
	}
	orphaned := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, stdin)
		close(orphaned)
	}()
	_, err = stdout.Write([]byte{'\n'})
	if err == nil {
		select {
		case <-ctx.Done():
		case <-orphaned:
		case <-s.Done():
		}
	}
	return errors.Join(err, s.Close())
}

// startGuard starts the process that unmounts when this one was killed. It has a session of its own, so that what kills this
// process's group spares it. Closing tells it that there is nothing left to do.
func startGuard(exe, mount, state string) (io.Closer, error) {
	theirs, ours, err := os.Pipe()
	if err != nil {
		return nil, rig("start the guard of %s: %w", mount, err)
	}
	defer theirs.Close()
	c := exec.Command(exe, "powercut", GuardCommand, mount, state)
	c.Stdin = theirs
	c.Dir = "/"
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := c.Start(); err != nil {
		ours.Close()
		return nil, rig("start the guard of %s: %w", mount, err)
	}
	return &guard{ours, c}, nil
}

type guard struct {
	pipe    *os.File
	command *exec.Cmd
}

// Close lets the guard go. It must be called when the mount is gone.
func (g *guard) Close() error {
	_, err := g.pipe.Write([]byte{0})
	return errors.Join(err, g.pipe.Close(), g.command.Wait())
}

// Guard is the hidden command that a server starts: it waits until stdin ends. Unless a byte came before that, the server was
// killed, and its mount is removed.
func Guard(mount, state string, stdin io.Reader) error {
	if n, _ := io.ReadFull(stdin, make([]byte, 1)); n == 1 {
		return nil
	}
	// The pipe may end before the server's other descriptors do: for a moment its socket still looks alive.
	var err error
	for end := time.Now().Add(closePatience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		err = RemoveStale(mount)
		if m, ok := mountedAt(mount); !ok || m.state != state {
			break
		}
	}
	removeState(state)
	return err
}

// ServeImage serves one image in this process until ctx ends or it is unmounted, with a log if that is not "". ready is called with
// the image's path when it can be opened. An end by ctx is no error.
func ServeImage(ctx context.Context, mount, state, guard string, spec ImageSpec, log string, ready func(path string)) error {
	s, err := NewServer(mount, state, guard)
	if err != nil {
		return err
	}
	path, err := s.create(spec)
	if err == nil && log != "" {
		err = s.startLog(log, nil)
	}
	if err == nil {
		ready(path)
		select {
		case <-ctx.Done():
		case <-s.Done():
		}
	}
	return errors.Join(err, s.Close())
}

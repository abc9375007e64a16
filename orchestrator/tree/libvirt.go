package tree

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/digitalocean/go-libvirt"
	"github.com/digitalocean/go-libvirt/socket/dialers"
	"golang.org/x/sys/unix"

	"platter/fault"
)

// A daemon is a process of libvirt's in a session.
type daemon struct {
	name     string
	cmd      *exec.Cmd
	said     tail
	gone     chan struct{}
	stopping atomic.Bool // its end is no fault
}

// StartLibvirt starts libvirt's daemons in the session and returns when they answer, after at most a minute. When one of them ends later
// the session is Dead.
func (s *Session) StartLibvirt(ctx context.Context) error {
	for _, name := range []string{"virtlogd", "libvirtd"} {
		if err := s.startDaemon(name); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, starting,
		fault.New(fault.Rig, "libvirt in hypervisor %s did not answer within %v: platter hypervisor build --force %s",
			s.tree.Name, starting, s.tree.Name))
	defer cancel()
	for {
		if _, err := os.Stat(s.Root() + "/run/libvirt/virtlogd-sock"); err == nil {
			if s.ask(ctx, func(*libvirt.Libvirt) error { return nil }) == nil {
				return nil
			}
		}
		select {
		case <-s.dead:
			return s.err
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *Session) startDaemon(name string) error {
	d := &daemon{name: name, cmd: exec.Command(name), gone: make(chan struct{})}
	d.cmd.Dir = "/"
	d.cmd.Env = append(environment(nil, nil), "HOME=/root")
	d.cmd.Stdout = &d.said
	d.cmd.Stderr = &d.said
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	d.cmd.WaitDelay = time.Second // a QEMU may have its stderr for a while
	if err := s.start(d.cmd); err != nil {
		return err
	}
	s.daemons = append(s.daemons, d)
	go func() {
		_ = d.cmd.Wait()
		if !d.stopping.Load() {
			words := d.said.last()
			if words == "" {
				words = "it said nothing"
			}
			s.end(fault.New(fault.Rig, "%s in hypervisor %s died (%v; %s): run it again; its logs were in /var/log/libvirt there",
				d.name, s.tree.Name, d.cmd.ProcessState, words))
		}
		close(d.gone)
	}()
	return nil
}

// ask asks libvirt something. It answers when its drivers are up.
func (s *Session) ask(ctx context.Context, question func(*libvirt.Libvirt) error) error {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", s.Socket())
	if err != nil {
		return err
	}
	defer conn.Close()
	answer := make(chan error, 1)
	go func() {
		l := libvirt.NewWithDialer(dialers.NewAlreadyConnected(conn))
		err := l.ConnectToURI(libvirt.QEMUSystem)
		if err == nil {
			err = errors.Join(question(l), l.Disconnect())
		}
		answer <- err
	}()
	select {
	case err := <-answer:
		return err
	case <-s.dead:
		return s.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// stopLibvirt ends the daemons in good order, so that what they keep on disk is whole.
func (s *Session) stopLibvirt() error {
	for _, d := range s.daemons {
		d.stopping.Store(true)
		_ = d.cmd.Process.Signal(unix.SIGTERM)
	}
	for _, d := range s.daemons {
		select {
		case <-d.gone:
		case <-time.After(leaving):
			return fault.New(fault.Rig, "%s in hypervisor %s did not end within %v", d.name, s.tree.Name, leaving)
		}
	}
	return nil
}

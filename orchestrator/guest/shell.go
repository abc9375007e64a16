package guest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/crypto/ssh"
	"golang.org/x/term"
)

// Terminal is where a person works in the guest.
type Terminal struct {
	File    *os.File // the person's terminal; nil when there is none
	Command string   // run instead of a prompt; empty for a prompt
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
}

// Shell opens a prompt in the guest, or runs the command, and returns when it ends. The person's terminal is raw meanwhile
// and is put back. A shell or command that ends with another status than 0 gives an *ExitError.
func (c *Client) Shell(ctx context.Context, t Terminal) error {
	session, err := c.conn.NewSession()
	if err != nil {
		return fmt.Errorf("open shell in the guest: %w: %w", ErrLost, err)
	}
	defer session.Close()
	stop := context.AfterFunc(ctx, func() { session.Close() })
	defer stop()
	session.Stdin = t.Stdin
	session.Stdout = t.Stdout
	session.Stderr = t.Stderr
	if t.File != nil {
		restore, err := takeTerminal(session, t.File)
		if err != nil {
			return err
		}
		defer restore()
	}
	if t.Command != "" {
		err = session.Run(t.Command)
	} else if err = session.Shell(); err == nil {
		err = session.Wait()
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var exit *ssh.ExitError
	if errors.As(err, &exit) && t.Command == "" {
		return nil // the status of a person's last command says nothing
	}
	return exitError(err, "")
}

// takeTerminal makes the terminal raw and asks for one of its size in the session.
func takeTerminal(session *ssh.Session, f *os.File) (restore func(), err error) {
	fd := int(f.Fd())
	width, height, err := term.GetSize(fd)
	if err != nil {
		return nil, fmt.Errorf("ask for the terminal's size: %w", err)
	}
	name := os.Getenv("TERM")
	if name == "" {
		name = "vt100"
	}
	if err := session.RequestPty(name, height, width, ssh.TerminalModes{}); err != nil {
		return nil, fmt.Errorf("ask the guest for a terminal: %w", err)
	}
	state, err := term.MakeRaw(fd)
	if err != nil {
		return nil, fmt.Errorf("take the terminal: %w", err)
	}
	return func() { _ = term.Restore(fd, state) }, nil
}

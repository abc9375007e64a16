package guest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// Client is the one SSH connection into a running guest.
type Client struct {
	conn     *ssh.Client
	hasProbe atomic.Bool // SendProbe has seen to it
	// maxOutput is how many bytes of a command's output are taken, of stdout and stderr each.
	maxOutput int
}

// Output is what a command in the guest left behind.
type Output struct {
	Stdout []byte
	Stderr []byte
}

// ExitError says that a command ran in the guest and failed.
type ExitError struct {
	Status int // exit status; -1 when the guest ended without telling it
	Stderr string
}

func (e *ExitError) Error() string {
	if e.Stderr == "" {
		return fmt.Sprintf("exit status %d", e.Status)
	}
	return fmt.Sprintf("exit status %d: %s", e.Status, e.Stderr)
}

// ErrLost is wrapped in the errors of a connection that broke: the guest or its QEMU is gone.
var ErrLost = errors.New("guest connection lost")

// ErrHostKey is wrapped in the error of Dial when something else than the image's guest answers. It is permanent.
var ErrHostKey = errors.New("the host key is not the guest image's")

// A fresh connection that stays silent is given up and another is tried: QEMU's user network accepts connections long
// before the guest listens, and such a connection may never wake up. The wait grows, for guests that are merely slow.
const (
	firstBannerWait = 3 * time.Second
	maxBannerWait   = 10 * time.Second
)

// Dial connects to the guest's sshd at addr (host:port on loopback), trying again until it answers or ctx ends. The
// host key must be the image's; another one is ErrHostKey at once.
func Dial(ctx context.Context, addr string, img *Image) (*Client, error) {
	signer, err := img.signer()
	if err != nil {
		return nil, err
	}
	known, err := img.knownHost()
	if err != nil {
		return nil, err
	}
	config := &ssh.ClientConfig{
		User: "root",
		Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			if !bytes.Equal(key.Marshal(), known.Marshal()) {
				return ErrHostKey
			}
			return nil
		},
	}
	for wait := firstBannerWait; ; wait = min(wait*5/4, maxBannerWait) {
		conn, err := dialOnce(ctx, addr, config, wait)
		if err == nil {
			return &Client{conn: conn, maxOutput: maxOutput}, nil
		}
		if errors.Is(err, ErrHostKey) {
			return nil, fmt.Errorf("connect to the guest at %s: %w", addr, err)
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("guest does not answer on SSH at %s: %w (last try: %w)", addr, ctx.Err(), err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func dialOnce(ctx context.Context, addr string, config *ssh.ClientConfig, wait time.Duration) (*ssh.Client, error) {
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	first := make([]byte, 1)
	_ = raw.SetReadDeadline(time.Now().Add(wait))
	if _, err := io.ReadFull(raw, first); err != nil {
		raw.Close()
		return nil, err
	}
	_ = raw.SetDeadline(time.Now().Add(30 * time.Second)) // the key exchange is slow under emulation
	c, channels, requests, err := ssh.NewClientConn(&prefixed{Conn: raw, prefix: first}, addr, config)
	if err != nil {
		raw.Close()
		return nil, err
	}
	_ = raw.SetDeadline(time.Time{})
	return ssh.NewClient(c, channels, requests), nil
}

// prefixed reads first the byte that was taken to see whether the guest talks.
type prefixed struct {
	net.Conn
	prefix []byte
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.prefix) > 0 {
		n := copy(b, p.prefix)
		p.prefix = p.prefix[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}

// Close ends the connection; a second call does nothing more.
func (c *Client) Close() error { return c.conn.Close() }

// maxOutput is the limit that Dial sets, in bytes: fio's JSON of a long job has a few MiB.
const maxOutput = 64 << 20

// Run runs a shell command in the guest with stdin as its input and waits for its end or ctx's. A command that fails
// returns an *ExitError together with its output. One that says more than maxOutput bytes is ended, and its output is not returned. Any
// other error means that the guest or the connection is gone.
func (c *Client) Run(ctx context.Context, command string, stdin io.Reader) (Output, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	tooMuch := fmt.Errorf("the guest's command was ended: it said more than %d KiB", c.maxOutput>>10)
	stdout := &bounded{limit: c.maxOutput, full: func() { cancel(tooMuch) }}
	stderr := &bounded{limit: c.maxOutput, full: func() { cancel(tooMuch) }}
	done := make(chan error, 1)
	go func() {
		session, err := c.conn.NewSession()
		if err != nil {
			done <- err
			return
		}
		defer session.Close()
		if ctx.Err() != nil { // the guest took its time: nobody waits any more for what the command would do
			return
		}
		defer context.AfterFunc(ctx, func() { session.Close() })()
		session.Stdin = stdin
		session.Stdout = stdout
		session.Stderr = stderr
		done <- session.Run(command)
	}()
	select {
	case err := <-done:
		if errors.Is(context.Cause(ctx), tooMuch) {
			return Output{}, tooMuch
		}
		return Output{Stdout: stdout.text.Bytes(), Stderr: stderr.text.Bytes()}, exitError(err, stderr.text.String())
	case <-ctx.Done(): // the output may still be written to: none of it is handed out
		if cause := context.Cause(ctx); errors.Is(cause, tooMuch) {
			return Output{}, cause
		}
		return Output{}, fmt.Errorf("guest did not finish the command: %w", ctx.Err())
	}
}

// bounded is a buffer of at most limit bytes. It takes what comes after that and drops it.
type bounded struct {
	text  bytes.Buffer // not embedded: io.Copy would go around Write, to its ReadFrom
	limit int
	full  func() // called when more came
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.text.Len()+len(p) > b.limit {
		b.full()
		return len(p), nil
	}
	return b.text.Write(p)
}

func exitError(err error, stderr string) error {
	var exit *ssh.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit):
		return &ExitError{Status: exit.ExitStatus(), Stderr: strings.TrimSpace(stderr)}
	default:
		return fmt.Errorf("%w: %w", ErrLost, err)
	}
}

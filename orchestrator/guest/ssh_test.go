package guest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// sshd is a server on loopback that does what a command asks of it: "flood" writes without end, anything else is sent to ran.
type sshd struct {
	open chan struct{} // a session is opened when something comes from it
	ran  chan string
}

func (d *sshd) serve(t *testing.T) *Client {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	config := &ssh.ServerConfig{NoClientAuth: true}
	config.AddHostKey(signer)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		raw, err := l.Accept()
		if err != nil {
			return
		}
		_, channels, requests, err := ssh.NewServerConn(raw, config)
		if err != nil {
			return
		}
		go ssh.DiscardRequests(requests)
		for c := range channels {
			<-d.open
			channel, requests, err := c.Accept()
			if err != nil {
				return
			}
			go d.session(channel, requests)
		}
	}()
	conn, err := ssh.Dial("tcp", l.Addr().String(), &ssh.ClientConfig{User: "root", HostKeyCallback: ssh.FixedHostKey(signer.PublicKey())})
	if err != nil {
		t.Fatal(err)
	}
	client := &Client{conn: conn, maxOutput: 1 << 20}
	t.Cleanup(func() { client.Close() })
	return client
}

func (d *sshd) session(channel ssh.Channel, requests <-chan *ssh.Request) {
	defer channel.Close()
	for r := range requests {
		if r.Type != "exec" {
			_ = r.Reply(false, nil)
			continue
		}
		var command struct{ Text string }
		_ = ssh.Unmarshal(r.Payload, &command)
		_ = r.Reply(true, nil)
		if command.Text == "flood" {
			_, _ = io.Copy(channel, endless{}) // until the client closes it
			return
		}
		d.ran <- command.Text
		_, _ = io.Copy(channel, strings.NewReader("said"))
		_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{0}))
		return
	}
}

type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }

func TestACommandWhoseSessionOpensTooLateIsNotRun(t *testing.T) {
	d := &sshd{open: make(chan struct{}), ran: make(chan string, 2)}
	client := d.serve(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := client.Run(ctx, "late", nil)
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	d.open <- struct{}{} // only now the session of the first command opens
	go func() { d.open <- struct{}{} }()
	out, err := client.Run(t.Context(), "next", nil)
	if err != nil || string(out.Stdout) != "said" {
		t.Fatal(err, out)
	}
	if first := <-d.ran; first != "next" {
		t.Errorf("%q was run after its context had ended", first)
	}
}

func TestACommandThatSaysTooMuchIsEnded(t *testing.T) {
	d := &sshd{open: make(chan struct{}, 1), ran: make(chan string, 1)}
	d.open <- struct{}{}
	client := d.serve(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := client.Run(ctx, "flood", nil)
	if err == nil || !strings.Contains(err.Error(), "said more than 1024 KiB") || len(out.Stdout) > 0 {
		t.Errorf("%v, %d bytes", err, len(out.Stdout))
	}
}

func TestABoundedBufferTakesWhatIsAllowedAndNoMore(t *testing.T) {
	full := 0
	b := &bounded{limit: 100, full: func() { full++ }}
	for _, n := range []int{99, 1, 1, 100} {
		if took, err := b.Write(bytes.Repeat([]byte{1}, n)); took != n || err != nil {
			t.Errorf("it took %d of %d bytes, %v", took, n, err)
		}
	}
	if b.text.Len() != 100 || full != 2 {
		t.Errorf("%d bytes, full %d times", b.text.Len(), full)
	}
}

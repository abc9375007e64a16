package hypervisor

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"platter/fault"

	"github.com/digitalocean/go-libvirt"
)

// listen serves a unix socket with handle, which gets each connection, and returns its URI.
func listen(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sock") // t.TempDir has the test's name in it: too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var conns []net.Conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, conn)
			handle(conn)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
		for _, conn := range conns {
			conn.Close()
		}
		os.RemoveAll(dir)
	})
	return "qemu+unix:///system?socket=" + path
}

func TestADaemonThatNeverAnswersIsGivenUpWithTheContext(t *testing.T) {
	uri := listen(t, func(net.Conn) {})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := Connect(ctx, uri)
	if !errors.Is(err, context.DeadlineExceeded) || fault.Of(err) != fault.Rig {
		t.Errorf("got %v, want the rig's error that wraps the deadline", err)
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("it took %s", took)
	}
	if !strings.Contains(err.Error(), "did not answer in time") || !strings.Contains(err.Error(), "/s:") {
		t.Errorf("the error names neither the fault nor the socket: %v", err)
	}
}

func TestADaemonThatHangsUpIsALostConnection(t *testing.T) {
	uri := listen(t, func(conn net.Conn) { conn.Close() })
	_, err := Connect(t.Context(), uri)
	if !errors.Is(err, ErrDisconnected) || fault.Of(err) != fault.Rig {
		t.Errorf("got %v, want the rig's error that wraps ErrDisconnected", err)
	}
}

func TestConnectNamesTheSocketsItTriedAndWhatToDo(t *testing.T) {
	addr := fakeEnvironment(0, nil, nil).systemAddress()
	dir := t.TempDir()
	addr.sockets = []string{filepath.Join(dir, "libvirt-sock"), filepath.Join(dir, "virtqemud-sock")}
	_, err := dial(t.Context(), addr)
	if err == nil {
		t.Fatal("connected to nothing")
	}
	for _, want := range []string{addr.sockets[0] + ": no such file", addr.sockets[1], "systemctl start libvirtd", "libvirtd -d"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("more than one line: %q", err)
	}
}

func TestAClosedSocketIsPassedOverForTheNext(t *testing.T) {
	uri := listen(t, func(conn net.Conn) { conn.Close() })
	_, path, err := splitURI(uri)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := dial(t.Context(), address{sockets: []string{filepath.Join(t.TempDir(), "missing"), path}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := conn.RemoteAddr().String(); got != path {
		t.Errorf("connected to %s, want %s", got, path)
	}
}

func TestTheHintForARefusedSocketIsAboutTheGroup(t *testing.T) {
	if hint := startHint(address{}, syscall.EACCES); !strings.Contains(hint, "group libvirt") {
		t.Errorf("got %q", hint)
	}
	if hint := startHint(address{session: true}, syscall.ENOENT); !strings.Contains(hint, "session") {
		t.Errorf("got %q", hint)
	}
}

func TestAnAnswerThatComesTooLateIsUndone(t *testing.T) {
	h := &Host{}
	ctx, cancel := context.WithCancel(t.Context())
	begun, finish := make(chan struct{}), make(chan struct{})
	undone := make(chan string, 1)
	go func() {
		<-begun
		cancel()
	}()
	_, err := callOrUndo(ctx, h, "start domain x", func(*libvirt.Libvirt) (string, error) {
		close(begun)
		<-finish
		return "x", nil
	}, func(name string) { undone <- name })
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want the cancellation", err)
	}
	close(finish)
	h.calls.Wait()
	select {
	case name := <-undone:
		if name != "x" {
			t.Errorf("undone %q", name)
		}
	default:
		t.Error("the late success was left behind")
	}
}

func TestAnAnswerIsEitherTakenOrUndone(t *testing.T) {
	h := &Host{}
	for range 500 {
		ctx, cancel := context.WithCancel(t.Context())
		var undone atomic.Int32
		go cancel()
		_, err := callOrUndo(ctx, h, "start", func(*libvirt.Libvirt) (int, error) { return 1, nil }, func(int) { undone.Add(1) })
		h.calls.Wait()
		// A call that was cancelled before it began has nothing to undo.
		if err == nil && undone.Load() != 0 {
			t.Fatal("a success was given to the caller and undone")
		}
	}
}

func TestACallAfterCloseIsRefused(t *testing.T) {
	h := &Host{closed: true}
	_, err := h.Lookup(t.Context(), "x")
	if !errors.Is(err, ErrDisconnected) {
		t.Errorf("got %v, want ErrDisconnected", err)
	}
	if err := h.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

func TestStartRefusesWhatIsNotADomain(t *testing.T) {
	for _, text := range []string{"", "<network><name>x</name></network>", "<domain/>", "<domain><name>x</name>"} {
		if _, err := (&Host{}).Start(t.Context(), text); fault.Of(err) != fault.Usage || err == nil {
			t.Errorf("%q: got %v, want a usage error", text, err)
		}
	}
}

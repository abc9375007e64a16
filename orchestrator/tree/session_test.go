package tree

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"platter/fault"
)

// The tests of this file enter a real tree: the first that is in the cache directory, or else trixie, which is built.

// This binary is what platter is for a session: its PID 1. With holdVariable it is a program that entered a tree and is then killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 3 && os.Args[1] == "hypervisor" && os.Args[2] == InitCommand {
		if err := Init(os.Args[3], len(os.Args) > 4, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if path := os.Getenv(holdVariable); path != "" {
		hold, err := read(path)
		if err == nil {
			err = enterAndStay(hold)
		}
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

const holdVariable = "PLATTER_TEST_HOLD"

// enterAndStay enters, starts libvirt and a command, says the process id of PID 1, and waits to be killed.
func enterAndStay(t *Tree) error {
	s, err := t.Enter(context.Background(), os.Args[0], nil)
	if err != nil {
		return err
	}
	if err := s.StartLibvirt(context.Background()); err != nil {
		return err
	}
	go func() { fmt.Println(s.init.Process.Pid) }()
	return s.Run(context.Background(), Command{Args: []string{"sleep", "600"}})
}

func realTree(t testing.TB) *Tree {
	t.Helper()
	if os.Getenv("PLATTER_REAL") != "1" {
		t.Skip("needs root and a hypervisor's tree: make test sets PLATTER_REAL=1")
	}
	cache := "/var/cache/platter"
	if d := os.Getenv("XDG_CACHE_HOME"); filepath.IsAbs(d) {
		cache = filepath.Join(d, "platter")
	}
	kept, err := List(cache)
	if err != nil {
		t.Fatal(err)
	}
	if len(kept) > 0 {
		return kept[0]
	}
	built, err := Build(context.Background(), cache, "trixie", BuildOptions{Program: os.Args[0], Log: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	return built
}

func enterReal(t testing.TB, share ...string) *Session {
	t.Helper()
	s, err := realTree(t).Enter(context.Background(), os.Args[0], share)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// say runs a command and returns what it wrote.
func say(t testing.TB, s *Session, dir string, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if err := s.Run(t.Context(), Command{Args: args, Dir: dir, Stdout: &out, Stderr: &errs}); err != nil {
		t.Fatalf("%q: %v: %s", args, err, errs.String())
	}
	return out.String()
}

func TestACommandSeesTheTreeAndTheSharedDirectories(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "in"), []byte("from the host\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	hostMounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	s := enterReal(t, dir)
	if err := s.StartLibvirt(t.Context()); err != nil {
		t.Fatal(err)
	}
	out := say(t, s, dir, "sh", "-c", "cat in && pwd && virsh -c qemu:///system version && echo out >out && echo x >/etc/platter-was-here")
	for _, want := range []string{"from the host\n", dir + "\n", "libvirt " + s.Tree().Libvirt, "QEMU " + s.Tree().QEMU} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	if text, err := os.ReadFile(filepath.Join(dir, "out")); err != nil || string(text) != "out\n" {
		t.Errorf("what it wrote to the shared directory is %q, %v", text, err)
	}
	for _, where := range []string{"/etc", filepath.Join(s.Tree().Root(), "etc")} {
		if _, err := os.Stat(filepath.Join(where, "platter-was-here")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("what it wrote for itself is in %s: %v", where, err)
		}
	}
	if _, err := os.Stat(s.Root() + "/etc/platter-was-here"); err != nil {
		t.Errorf("the host does not see the session's root: %v", err)
	}
	now, err := os.ReadFile("/proc/self/mounts")
	if err != nil || !bytes.Equal(hostMounts, now) && strings.Contains(string(now), s.Tree().Path) {
		t.Errorf("the host has mounts of the session: %s, %v", now, err)
	}

	// A second session in the same tree has a libvirt and files of its own.
	other := enterReal(t)
	if err := other.StartLibvirt(t.Context()); err != nil {
		t.Fatalf("a second session in one tree: %v", err)
	}
	if out := say(t, other, "/", "sh", "-c", "ls /etc/platter-was-here 2>&1 || :"); !strings.Contains(out, "No such file") {
		t.Errorf("a session sees what another one wrote: %s", out)
	}
}

func TestTheEndOfACommandIsPassedOn(t *testing.T) {
	s := enterReal(t)
	for command, want := range map[string]int{"exit 7": 7, "kill -9 $$": 137, "read x && test \"$x\" = word": 0} {
		err := s.Run(t.Context(), Command{Args: []string{"sh", "-c", command}, Stdin: strings.NewReader("word\n")})
		var exit *ExitError
		if got := 0; errors.As(err, &exit) {
			if got = exit.Status; got != want {
				t.Errorf("%s: status %d, want %d", command, got, want)
			}
		} else if err != nil || want != 0 {
			t.Errorf("%s: %v, want status %d", command, err, want)
		}
	}
	err := s.Run(t.Context(), Command{Args: []string{"no-such-program"}})
	if fault.Of(err) != fault.Usage || !strings.Contains(err.Error(), "has no command no-such-program") {
		t.Errorf("a command that is not there: %v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	var out syncBuffer
	go func() {
		for !strings.Contains(out.String(), "up") {
			time.Sleep(10 * time.Millisecond)
		}
		cancel()
	}()
	err = s.Run(ctx, Command{Args: []string{"sh", "-c", "trap 'echo told; exit 0' TERM; echo up; while :; do sleep 0.1; done"}, Stdout: &out})
	if !errors.Is(err, context.Canceled) || !strings.Contains(out.String(), "told") {
		t.Errorf("a command that is interrupted: %v, it said %q", err, out.String())
	}
}

// syncBuffer is a buffer that is read while it is written.
type syncBuffer struct{ tail }

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.text)
}

func TestAnOrphanInASessionIsReaped(t *testing.T) {
	s := enterReal(t)
	out := say(t, s, "/", "sh", "-c", "(sleep 0.1 & echo $!) ; sleep 0.5")
	pid := strings.TrimSpace(out)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(s.Root() + "/proc/" + pid); errors.Is(err, fs.ErrNotExist) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("process %s was not reaped", pid)
		}
	}
}

func TestADirectoryMountedLaterIsSharedAgain(t *testing.T) {
	dir := t.TempDir()
	s := enterReal(t, dir)
	if err := unix.Mount("later", dir, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	if err := os.WriteFile(filepath.Join(dir, "later"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := s.Share(dir); err != nil {
		t.Fatal(err)
	}
	if out := say(t, s, dir, "ls"); out != "later\n" {
		t.Errorf("it sees %q", out)
	}
}

func TestALibvirtThatDiedEndsTheSession(t *testing.T) {
	s := enterReal(t)
	if err := s.StartLibvirt(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.Err() != nil {
		t.Fatalf("dead from the beginning: %v", s.Err())
	}
	i := slices.IndexFunc(s.daemons, func(d *daemon) bool { return d.name == "libvirtd" })
	if err := s.daemons[i].cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.Dead()
	err := s.Err()
	if fault.Of(err) != fault.Rig || !strings.Contains(err.Error(), "libvirtd in hypervisor "+s.Tree().Name+" died (signal: killed") ||
		strings.Contains(err.Error(), "\n") {
		t.Errorf("it says %v", err)
	}
	if err := s.Run(t.Context(), Command{Args: []string{"true"}}); err == nil || err.Error() != s.Err().Error() {
		t.Errorf("a command after that: %v", err)
	}
}

func TestATreeThatRunsIsNotChangedOrRemoved(t *testing.T) {
	s := enterReal(t)
	for what, err := range map[string]error{
		"change": func() error { _, err := s.Tree().Change(t.Context(), os.Args[0], nil); return err }(),
		"remove": s.Tree().Remove(),
	} {
		if fault.Of(err) != fault.Rig || !strings.Contains(err.Error(), "is in use by") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// namespaces are the processes that have this PID or mount namespace.
func inNamespaces(t *testing.T, pidNamespace, mountNamespace string) []string {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		pids, _ := os.Readlink("/proc/" + e.Name() + "/ns/pid")
		mounts, _ := os.Readlink("/proc/" + e.Name() + "/ns/mnt")
		if pids == pidNamespace || mounts == mountNamespace {
			found = append(found, e.Name())
		}
	}
	return found
}

func TestKillingWhoEnteredLeavesNoProcessAndNoMount(t *testing.T) {
	tr := realTree(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holdVariable+"="+tr.Path)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	init, bad := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || bad != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		t.Fatalf("it said %q, %v", line, err)
	}
	pids, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", init))
	if err != nil {
		t.Fatal(err)
	}
	mounts, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", init))
	if err != nil {
		t.Fatal(err)
	}
	if own, _ := os.Readlink("/proc/self/ns/mnt"); own == mounts {
		t.Fatal("the session has this process's mounts")
	}
	// PID 1, virtlogd, libvirtd and sleep, at the least; the command may only just begin.
	for end := time.Now().Add(20 * time.Second); len(inNamespaces(t, pids, mounts)) < 4; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("only %v are in the session", inNamespaces(t, pids, mounts))
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	// A mount namespace that no process has is gone, and its mounts with it.
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		left := inNamespaces(t, pids, mounts)
		if len(left) == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("processes %v are left", left)
		}
	}
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil || strings.Contains(string(text), tr.Path) {
		t.Errorf("mounts are left: %s, %v", text, err)
	}
}

// BenchmarkEnter is what it takes until a libvirt of a tree answers; the goal is 2 s.
func BenchmarkEnter(b *testing.B) {
	tr := realTree(b)
	for b.Loop() {
		s, err := tr.Enter(context.Background(), os.Args[0], nil)
		if err == nil {
			err = s.StartLibvirt(context.Background())
		}
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

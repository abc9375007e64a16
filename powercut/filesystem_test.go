package powercut

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"platter/cell"
)

// as runs a shell command as another user.
func as(user uint32, command string) error {
	c := exec.Command("/bin/sh", "-c", command)
	c.Dir = "/"
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	return c.Run()
}

func TestAnImageBelongsToWhoMountedItUntilItIsGivenAway(t *testing.T) {
	s, c := serveHere(t)
	const qemu, other = 4711, 4712
	path := image(t, c, ImageSpec{Name: "disk.img"})
	for dir := filepath.Dir(path); dir != "/tmp" && dir != "/"; dir = filepath.Dir(dir) { // else the path alone would keep them out
		if err := os.Chmod(dir, 0o755); err != nil && dir != s.mount {
			t.Fatal(err)
		}
	}
	reads, writes := "head -c 512 "+path+" >/dev/null", "head -c 512 /dev/zero | dd conv=notrunc status=none of="+path
	if as(other, "ls "+filepath.Dir(path)) != nil {
		t.Fatal("another user cannot even list the directory: what follows would prove nothing")
	}
	if as(other, reads) == nil || as(other, writes) == nil || as(other, "chmod 666 "+path) == nil {
		t.Error("another user reads, writes or opens up the image of who mounted it")
	}
	if err := os.Chown(path, qemu, qemu); err != nil {
		t.Fatal(err)
	}
	if as(qemu, reads) != nil || as(qemu, writes) != nil {
		t.Error("the user that was given the image cannot use it")
	}
	if as(other, reads) == nil {
		t.Error("a third user reads it")
	}
	if _, err := c.Cut(t.Context(), cell.HostCrash); err != nil {
		t.Fatal(err)
	}
	names, err := c.Restore(t.Context(), 0)
	if err != nil {
		t.Fatal(err, names)
	}
	if as(qemu, reads) != nil || as(other, reads) == nil {
		t.Error("after a restore the image is another's")
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o640 || info.Sys().(*syscall.Stat_t).Uid != qemu {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestNodesGoWithTheirImages(t *testing.T) {
	s, c := serveHere(t)
	nodes := func() int {
		s.fs.mu.RLock()
		defer s.fs.mu.RUnlock()
		return len(s.fs.nodes)
	}
	for range 20 {
		path := image(t, c, ImageSpec{Name: "disk.img"})
		f := open(t, path, 0)
		if err := c.Remove(t.Context(), "disk.img"); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	for end := time.Now().Add(20 * time.Second); nodes() > 1 && time.Now().Before(end); { // the kernel forgets when it likes
		time.Sleep(10 * time.Millisecond)
	}
	if n := nodes(); n > 1 {
		t.Errorf("of 20 images that are gone %d nodes are left", n)
	}
	kept := image(t, c, ImageSpec{Name: "kept.img"})
	f := open(t, kept, 0)
	if err := c.Remove(t.Context(), "kept.img"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Stat(); err != nil {
		t.Errorf("a file that is open was forgotten: %v", err)
	}
}

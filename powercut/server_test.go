package powercut

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"platter/cell"
	"platter/powercut/oplog"
)

// TestMain is also the platter binary of Launch: platter powercut serve|guard MOUNT STATE.
func TestMain(m *testing.M) {
	if len(os.Args) < 5 || os.Args[1] != "powercut" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var err error
	switch os.Args[2] {
	case ServeCommand:
		err = Serve(ctx, os.Args[3], os.Args[4], os.Args[0], os.Stdin, os.Stdout)
	case GuardCommand:
		err = Guard(os.Args[3], os.Args[4], os.Stdin)
	case "copier":
		err = serveCopier(os.Args[3])
	}
	if err != nil {
		os.Stderr.WriteString("platter: " + err.Error() + "\n")
		os.Exit(3)
	}
	os.Exit(0)
}

func needsFUSE(t testing.TB) {
	t.Helper()
	if os.Getenv("PLATTER_REAL") == "1" {
		return
	}
	if f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0); err != nil || os.Geteuid() != 0 {
		t.Skip("needs root and /dev/fuse")
	} else {
		f.Close()
	}
}

// serveHere serves in this process.
func serveHere(t testing.TB) (*Server, *Client) {
	t.Helper()
	needsFUSE(t)
	mount := t.TempDir()
	s, err := NewServer(mount, filepath.Join(t.TempDir(), "state"), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	c, err := Dial(mount)
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

func image(t testing.TB, c *Client, spec ImageSpec) string {
	t.Helper()
	if spec.SizeBytes == 0 {
		spec.SizeBytes = 1 << 20
	}
	path, err := c.Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t testing.TB, path string, flags int) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|flags, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// block is a page that O_DIRECT takes.
func block(t testing.TB, fill byte) []byte {
	t.Helper()
	b, err := unix.Mmap(-1, 0, pageBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(b) })
	for i := range b {
		b[i] = fill
	}
	return b
}

func writeAt(t testing.TB, f *os.File, b []byte, offset int64) {
	t.Helper()
	if _, err := f.WriteAt(b, offset); err != nil {
		t.Fatal(err)
	}
}

func TestOverFUSEEachKindOfWriteLosesWhatItShould(t *testing.T) {
	s, c := serveHere(t)
	ctx := t.Context()
	path := image(t, c, ImageSpec{Name: "disk.img"})
	log := filepath.Join(t.TempDir(), "log")
	if err := c.StartLog(ctx, log, "disk.img"); err != nil {
		t.Fatal(err)
	}
	opens := []struct {
		flags int
		dsync bool
		want  uint16
	}{
		{0, false, 0}, {syscall.O_DIRECT, false, oplog.Direct}, {syscall.O_DSYNC, false, oplog.Dsync}, {syscall.O_SYNC, false, oplog.Dsync},
		{syscall.O_DIRECT | syscall.O_DSYNC, false, oplog.Direct | oplog.Dsync}, {0, true, oplog.Dsync},
	}
	for i, o := range opens {
		f := open(t, path, o.flags)
		b := block(t, byte(i+1))
		if !o.dsync {
			writeAt(t, f, b, int64(i)*pageBytes)
		} else if _, err := unix.Pwritev2(int(f.Fd()), [][]byte{b}, int64(i)*pageBytes, unix.RWF_DSYNC); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil { // promises nothing
			t.Fatal(err)
		}
	}
	old := open(t, path, 0)
	cutAndRestore := func(class string) *os.File {
		t.Helper()
		if _, err := c.Cut(ctx, class); err != nil {
			t.Fatal(err)
		}
		if _, err := old.WriteAt([]byte{1}, 0); !errors.Is(err, syscall.EIO) {
			t.Errorf("write after the cut: %v", err)
		}
		if _, err := os.Open(path); !errors.Is(err, syscall.EIO) {
			t.Errorf("open after the cut: %v", err)
		}
		names, err := c.Restore(ctx, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := old.ReadAt(make([]byte, 1), 0); !errors.Is(err, syscall.EIO) {
			t.Errorf("read of the old generation after the restore: %v", err)
		}
		if err := old.Sync(); !errors.Is(err, syscall.EIO) {
			t.Errorf("fsync of the old generation after the restore: %v", err)
		}
		for _, n := range names {
			return open(t, filepath.Join(s.mount, n), 0)
		}
		t.Fatal("nothing survived")
		return nil
	}
	first := func(f *os.File) (got []byte) {
		for i := range opens {
			b := make([]byte, 1)
			if _, err := f.ReadAt(b, int64(i)*pageBytes); err != nil {
				t.Fatal(err)
			}
			got = append(got, b[0])
		}
		return got
	}
	old = cutAndRestore(cell.HostCrash)
	if got := first(old); !bytes.Equal(got, []byte{0, 2, 3, 4, 5, 6}) {
		t.Errorf("after the host's crash: %v", got)
	}
	if filepath.Base(old.Name()) != "disk-2.img" {
		t.Errorf("the survivor is %s", old.Name())
	}
	info, err := c.StopLog(ctx)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(log)
	if err != nil || int64(len(b)) != info.Bytes {
		t.Fatalf("log of %d bytes, said to have %d, %v", len(b), info.Bytes, err)
	}
	var flags []uint16
	var last oplog.Event
	count := int64(0)
	for e := range events(t, b) {
		count++
		if last = e; e.Kind == oplog.WriteEnd {
			flags = append(flags, e.Flags)
		}
	}
	want := []uint16{}
	for _, o := range opens {
		want = append(want, o.want)
	}
	if !slices.Equal(flags, want) || last.Kind != oplog.Cut || count != info.Events {
		t.Errorf("the log has %d events, flags %v, and ends with %+v; want %d events and flags %v", count, flags, last, info.Events, want)
	}
	old = cutAndRestore(cell.PowerLoss)
	if got := first(old); !bytes.Equal(got, []byte{0, 0, 3, 4, 5, 6}) {
		t.Errorf("after the power loss: %v", got)
	}
	writeAt(t, old, block(t, 9), 0)
	if err := old.Sync(); err != nil {
		t.Fatal(err)
	}
	old = cutAndRestore(cell.PowerLoss)
	if got := first(old); got[0] != 9 {
		t.Errorf("what fsync promised is gone: %v", got)
	}
	st, err := c.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if k := st.Images[0].Counters; k.Writes != 7 || k.DsyncWrites != 4 || k.Flushes != 1 || st.Images[0].Generation != 4 {
		t.Errorf("counted %+v", st.Images[0])
	}
}

func TestAFileOfTheMountBehavesAsADisk(t *testing.T) {
	_, c := serveHere(t)
	path := image(t, c, ImageSpec{Name: "disk.img"})
	f := open(t, path, 0)
	writeAt(t, f, bytes.Repeat([]byte{7}, 3*pageBytes), 0)
	if err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, pageBytes, pageBytes); err != nil {
		t.Error("punch hole:", err)
	}
	if err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_ZERO_RANGE, 2*pageBytes+100, 100); err != nil {
		t.Error("zero range:", err)
	}
	b := make([]byte, 3*pageBytes)
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	want := slices.Concat(bytes.Repeat([]byte{7}, pageBytes), make([]byte, pageBytes), bytes.Repeat([]byte{7}, pageBytes))
	clear(want[2*pageBytes+100 : 2*pageBytes+200])
	if !bytes.Equal(b, want) {
		t.Errorf("discard zeroed something else, from %d", differAt(b, want))
	}
	if at, err := unix.Seek(int(f.Fd()), 0, unix.SEEK_HOLE); at != pageBytes || err != nil {
		t.Errorf("first hole at %d, %v", at, err)
	}
	if at, err := unix.Seek(int(f.Fd()), pageBytes, unix.SEEK_DATA); at != 2*pageBytes || err != nil {
		t.Errorf("next data at %d, %v", at, err)
	}
	if at, err := f.Seek(0, io.SeekEnd); at != 1<<20 || err != nil {
		t.Errorf("end at %d, %v", at, err)
	}
	if err := f.Truncate(1 << 20); err != nil {
		t.Error("truncate to its own size:", err)
	}
	for _, size := range []int64{0, 2 << 20} {
		if err := f.Truncate(size); !errors.Is(err, syscall.EPERM) {
			t.Errorf("truncate to %d: %v", size, err)
		}
	}
	if _, err := f.WriteAt([]byte{1}, 1<<20); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("write beyond the end: %v", err)
	}
	for name, err := range map[string]error{
		"fallocate": unix.Fallocate(int(f.Fd()), 0, 0, 1<<20), "chown": os.Chown(path, 1, 1), "chmod": os.Chmod(path, 0o600),
		"fsync of the directory": syncDirectory(filepath.Dir(path)),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := unix.Setxattr(path, "trusted.libvirt.security.dac", []byte("x"), 0); err != unix.ENOTSUP {
		t.Errorf("setxattr: %v", err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil || st.Blocks == 0 {
		t.Errorf("statfs: %+v, %v", st, err)
	}
	if _, err := os.Create(filepath.Join(filepath.Dir(path), "other")); err == nil {
		t.Error("a file was made")
	}
	direct := open(t, path, syscall.O_DIRECT)
	if _, err := direct.WriteAt(block(t, 1)[:100], 0); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("O_DIRECT of 100 bytes: %v", err)
	}
	if _, err := direct.WriteAt(block(t, 1)[:512], 512); err != nil {
		t.Errorf("O_DIRECT of a sector: %v", err)
	}
}

func syncDirectory(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

func TestTwoOpenersLockEachOtherOut(t *testing.T) {
	_, c := serveHere(t)
	path := image(t, c, ImageSpec{Name: "disk.img"})
	lock := func(f *os.File) error {
		return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Start: 100, Len: 1})
	}
	one, two := open(t, path, 0), open(t, path, 0)
	if err := lock(one); err != nil {
		t.Fatal(err)
	}
	if err := lock(two); err != unix.EAGAIN {
		t.Errorf("both have the lock: %v", err)
	}
	// QEMU asks who has it.
	ask := unix.Flock_t{Type: unix.F_WRLCK, Start: 100, Len: 1}
	if err := unix.FcntlFlock(two.Fd(), unix.F_OFD_GETLK, &ask); err != nil || ask.Type == unix.F_UNLCK {
		t.Errorf("F_OFD_GETLK: %v, type %d", err, ask.Type)
	}
	one.Close()
	if err := lock(two); err != nil {
		t.Errorf("after the first one closed: %v", err)
	}
}

func TestALogOfTwoImagesHoldsThemInOneOrder(t *testing.T) {
	_, c := serveHere(t)
	ctx := t.Context()
	from := filepath.Join(t.TempDir(), "from.img")
	if err := os.WriteFile(from, bytes.Repeat([]byte{5}, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	data := open(t, image(t, c, ImageSpec{Name: "data.img", From: from, SizeBytes: 2 << 20}), 0)
	watch := open(t, image(t, c, ImageSpec{Name: "witness.img"}), 0)
	b := make([]byte, 1)
	if _, err := data.ReadAt(b, 1<<20-1); err != nil || b[0] != 5 {
		t.Errorf("the image is no copy of its file: %d, %v", b[0], err)
	}
	writeAt(t, data, block(t, 1), 0)
	log := filepath.Join(t.TempDir(), "log")
	if err := c.StartLog(ctx, log, "data.img", "witness.img"); err != nil {
		t.Fatal(err)
	}
	if st, err := c.Status(ctx); err != nil || st.Images[0].DirtyHostBytes != 0 || st.Log == nil {
		t.Errorf("the log begins with %+v, %v", st, err)
	}
	for i := range 3 {
		writeAt(t, data, block(t, byte(i)), 0)
		writeAt(t, watch, block(t, byte(i)), 0)
	}
	info, err := c.StopLog(ctx)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	var images []uint8
	for e, data := range events(t, raw) {
		if e.Kind == oplog.Write {
			if images = append(images, e.Image); data[0] != byte((len(images)-1)/2) {
				t.Errorf("write %d of the log has %d", len(images), data[0])
			}
		}
	}
	if !bytes.Equal(images, []uint8{0, 1, 0, 1, 0, 1}) || info.Events != 12 {
		t.Errorf("the log has %d events, writes to %v", info.Events, images)
	}
	if err := c.Remove(ctx, "witness.img"); err != nil {
		t.Fatal(err)
	}
	if _, err := watch.ReadAt(b, 0); !errors.Is(err, syscall.EIO) {
		t.Errorf("read of a removed image: %v", err)
	}
	image(t, c, ImageSpec{Name: "witness.img"})
}

func TestCommandsThatMakeNoSenseAreUsageErrors(t *testing.T) {
	s, c := serveHere(t)
	ctx := t.Context()
	image(t, c, ImageSpec{Name: "disk.img"})
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	mountOn := func(dir string) error {
		server, err := NewServer(dir, filepath.Join(t.TempDir(), "state"), "")
		if err == nil {
			server.Close()
		}
		return err
	}
	create := func(spec ImageSpec) error {
		_, err := c.Create(ctx, spec)
		return err
	}
	for want, err := range map[string]error{
		"there is an image disk.img":  create(ImageSpec{Name: "disk.img", SizeBytes: 1 << 20}),
		"is one file name":            create(ImageSpec{Name: "a/b", SizeBytes: 1 << 20}),
		"is too large for":            create(ImageSpec{Name: "huge.img", SizeBytes: 1 << 50}),
		"needs a multiple":            create(ImageSpec{Name: "odd.img", SizeBytes: 1000}),
		"no such file":                create(ImageSpec{Name: "x.img", From: "/no/such/file"}),
		"make it larger":              create(ImageSpec{Name: "x.img", From: os.Args[0], SizeBytes: 512}),
		"there is no image other.img": c.Remove(ctx, "other.img"),
		"there was no cut":            func() error { _, err := c.Restore(ctx, 0); return err }(),
		"it is host_crash":            func() error { _, err := c.Cut(ctx, "fire"); return err }(),
		"stop log":                    func() error { _, err := c.StopLog(ctx); return err }(),
		"no powercut disk is mounted": func() error { _, err := Dial(t.TempDir()); return err }(),
		"is in use: a powercut disk":  mountOn(s.mount),
		"is in use: a proc":           mountOn("/proc"),
		"is not empty (file":          mountOn(full),
		"is not a directory":          mountOn(filepath.Join(full, "file")),
		"does not exist: mkdir":       mountOn(filepath.Join(full, "no")),
	} {
		var e *Error
		if !errors.As(err, &e) || e.Fault != Usage || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("want a usage error with %q, got %v", want, err)
		}
	}
}

// launch starts a server process.
func launch(t *testing.T) *Process {
	t.Helper()
	needsFUSE(t)
	mount := t.TempDir()
	p, err := Launch(t.Context(), os.Args[0], mount, filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return p
}

func gone(t *testing.T, p *Process) {
	t.Helper()
	for range 1000 {
		_, mounted := mountedAt(p.mount)
		_, err := os.Stat(p.state)
		if !mounted && os.IsNotExist(err) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	m, mounted := mountedAt(p.mount)
	_, err := os.Stat(p.state)
	t.Errorf("left behind: mounted %v %+v, state directory %v", mounted, m, err)
}

func TestAKilledServerLeavesNothing(t *testing.T) {
	p := launch(t)
	f := open(t, image(t, p.Client, ImageSpec{Name: "disk.img"}), 0) // busy
	if err := syscall.Kill(p.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-p.Dead()
	gone(t, p)
	if _, err := f.ReadAt(make([]byte, 1), 0); err == nil {
		t.Error("a dead server's image can be read")
	}
	if _, err := p.Status(t.Context()); err == nil {
		t.Error("a dead server has a status")
	}
	for range 2 {
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestAClosedServerLeavesNothingThoughItIsBusy(t *testing.T) {
	p := launch(t)
	open(t, image(t, p.Client, ImageSpec{Name: "disk.img"}), 0)
	for range 2 {
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	gone(t, p)
}

func TestASignalledOrUnmountedServerLeavesNothing(t *testing.T) {
	p := launch(t)
	image(t, p.Client, ImageSpec{Name: "disk.img"})
	if err := syscall.Kill(p.PID(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-p.Dead()
	gone(t, p)
	p = launch(t)
	if err := unix.Unmount(p.mount, 0); err != nil {
		t.Fatal(err)
	}
	<-p.Dead()
	gone(t, p)
}

func TestADeadMountIsRemovedBeforeTheNext(t *testing.T) {
	p := launch(t)
	// The guard is killed as well.
	guards, err := exec.Command("pgrep", "-P", strconv.Itoa(p.PID())).Output()
	if err != nil {
		t.Fatal(err)
	}
	for g := range strings.FieldsSeq(string(guards)) {
		pid, err := strconv.Atoi(g)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Kill(p.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-p.Dead()
	if _, mounted := mountedAt(p.mount); !mounted {
		t.Fatal("somebody removed the dead mount")
	}
	if _, err := Dial(p.mount); err == nil || !strings.Contains(err.Error(), "is dead") {
		t.Errorf("dial a dead mount: %v", err)
	}
	if err := RemoveStale(p.mount); err != nil {
		t.Error(err)
	}
	gone(t, p)
	if err := RemoveStale(p.mount); err != nil {
		t.Error(err)
	}
}

func TestALaunchThatFailsSaysWhy(t *testing.T) {
	needsFUSE(t)
	_, err := Launch(t.Context(), os.Args[0], "/no/such/directory", filepath.Join(t.TempDir(), "state"))
	if err == nil || !strings.Contains(err.Error(), "does not exist: mkdir") {
		t.Errorf("launch: %v", err)
	}
}

func TestFioVerifiesWhatItWroteOverTheMount(t *testing.T) {
	s, c := serveHere(t)
	fio, err := exec.LookPath("fio")
	if err != nil {
		if os.Getenv("PLATTER_REAL") == "1" {
			t.Fatal(err)
		}
		t.Skip("needs fio")
	}
	path := image(t, c, ImageSpec{Name: "disk.img", SizeBytes: 32 << 20, Settings: Settings{
		DriveCacheBytes: 256 << 10, DirtyBackgroundBytes: 512 << 10, DirtyWriteback: 5 * time.Millisecond, DirtyExpire: 20 * time.Millisecond,
		DriveCacheExpire: 50 * time.Millisecond,
	}})
	for _, args := range [][]string{
		{"--ioengine=psync", "--rw=randrw", "--bs=512-64k", "--fsync=7"},
		{"--ioengine=libaio", "--direct=1", "--rw=randwrite", "--bs=4k", "--iodepth=16"},
		{"--ioengine=sync", "--rw=write", "--bs=1m", "--sync=dsync"},
	} {
		args = append([]string{"--name=x", "--filename=" + path, "--size=32m", "--verify=crc32c", "--verify_fatal=1",
			"--verify_state_save=0", "--allow_file_create=0"}, args...)
		if out, err := exec.Command(fio, args...).CombinedOutput(); err != nil {
			t.Errorf("fio %v: %v\n%s", args, err, out)
		}
	}
	st := s.status().Images[0]
	if st.Counters.Flushes == 0 || st.DirtyDriveBytes > 256<<10 {
		t.Errorf("after fio: %+v", st)
	}
}

func TestADatabaseOfRecordsLosesOnlyTheUnsyncedTail(t *testing.T) {
	s, c := serveHere(t)
	ctx := t.Context()
	path := image(t, c, ImageSpec{Name: "disk.img", SizeBytes: 8 << 20})
	random := rand.New(rand.NewPCG(1, 2))
	want := make([]byte, 8<<20/pageBytes) // the newest synced version of each page
	for range 10 {
		f := open(t, path, 0)
		version := slices.Clone(want)
		for i := range 200 {
			p := random.IntN(len(want))
			version[p]++
			writeAt(t, f, bytes.Repeat([]byte{version[p]}, pageBytes), int64(p)*pageBytes)
			if i == 150 {
				if err := f.Sync(); err != nil {
					t.Fatal(err)
				}
				copy(want, version)
			}
		}
		f.Close()
		if _, err := c.Cut(ctx, cell.PowerLoss); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Restore(ctx, 0); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for p := range want {
			if !bytes.Equal(got[p*pageBytes:(p+1)*pageBytes], bytes.Repeat(want[p:p+1], pageBytes)) {
				t.Fatalf("page %d has %d, want %d", p, got[p*pageBytes], want[p])
			}
		}
	}
	if st := s.status(); st.Images[0].Name != "disk-11.img" {
		t.Errorf("after ten restores it is called %s", st.Images[0].Name)
	}
}

func TestAMountIsFoundByItsEscapedNameAndTheTopmostCounts(t *testing.T) {
	m, ok := findMounted(strings.NewReader(`36 35 98:0 / /mnt\0402 rw,noatime shared:1 - ext4 /dev/sda1 rw
37 36 0:40 / /mnt\0402 rw,noatime shared:1 - fuse.platter-powercut platter-powercut:/var/a\040b rw
`), "/mnt 2")
	if !ok || m.state != "/var/a b" {
		t.Errorf("%+v, %v", m, ok)
	}
}

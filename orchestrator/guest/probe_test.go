package guest

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"

	"platter/powercut/witness"
)

func TestAJobIsRenderedInFiosWords(t *testing.T) {
	j := ProbeJob{Layout: witness.Layout{Campaign: 1<<64 - 1, Pattern: witness.Overwrite, Jobs: 2, BlockBytes: 4096, Blocks: 512,
		Random: true, Seed: 7}, Target: "/dev/vdb",
		Witness: "/dev/vdc", RW: "randrw", RWMixRead: 30, Direct: true, Sync: "dsync", Fsync: 4, Fdatasync: 2, IODepth: 8,
		Runtime: 1500 * time.Millisecond, Lie: true}
	got := strings.Join(j.runArguments(), " ")
	want := "run --filename=/dev/vdb --campaign=18446744073709551615 --size=4194304 --bs=4096 --numjobs=2 --pattern=overwrite " +
		"--witness=/dev/vdc --seed=7 --rw=randrw " +
		"--rwmixread=30 --direct=1 --sync=dsync --fsync=4 --fdatasync=2 --iodepth=8 --runtime=1.5 --lie"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	got = strings.Join(j.prefillArguments(), " ")
	want = "prefill --filename=/dev/vdb --campaign=18446744073709551615 --size=4194304 --bs=4096 --numjobs=2 --pattern=overwrite"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAPlatterBuiltWithoutItsProbeSaysSo(t *testing.T) {
	var e *Error
	if _, err := probeBinary(fstest.MapFS{}); !errors.As(err, &e) || e.Error() != "platter was built without its probe: run make build" {
		t.Errorf("got %v", err)
	}
}

func TestALedgerMustHaveEveryJob(t *testing.T) {
	if b, err := probeLedger(witness.Layout{Jobs: 2}, []uint32{1}, []uint32{1, 2}); err == nil {
		t.Errorf("got %s", b)
	}
}

func FuzzTheProbesAnswer(f *testing.F) {
	f.Add([]byte(`{"jobs":[{"job":0,"writes":3}],"iodepth":1,"seconds":1.5}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var run ProbeRun
		if err := parseProbe("run", b, &run); err == nil && !json.Valid(b) {
			t.Errorf("%q was taken for %+v", b, run)
		}
	})
}

// hostProbe is the built probe as a program of this host.
func hostProbe(t *testing.T) string {
	t.Helper()
	binary, err := probeBinary(probes)
	if err != nil && os.Getenv("PLATTER_REAL") != "1" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "probe")
	if err := os.WriteFile(path, binary, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheBuiltProbeUnderstandsWhatIsRendered(t *testing.T) {
	program, dir := hostProbe(t), t.TempDir()
	watch := filepath.Join(dir, "witness")
	if err := os.WriteFile(watch, make([]byte, witness.DiskBytes), 0o644); err != nil {
		t.Fatal(err)
	}
	j := ProbeJob{Layout: witness.Layout{Campaign: 1<<63 + 1, Pattern: witness.Overwrite, Jobs: 2, BlockBytes: 4096, Blocks: 64,
		Random: true, Seed: 1<<63 + 2},
		Target: filepath.Join(dir, "data"), Witness: watch, RW: "randrw", RWMixRead: 20, Sync: "none", Fdatasync: 2, IODepth: 2,
		Runtime: 100 * time.Millisecond}
	ask := func(args []string, into any) {
		t.Helper()
		out, err := exec.Command(program, args...).Output()
		var exit *exec.ExitError
		if errors.As(err, &exit) && strings.Contains(string(exit.Stderr), "invalid argument") {
			t.Skipf("needs a file system with O_DIRECT: set TMPDIR to one: %s", exit.Stderr)
		}
		if err == nil {
			err = parseProbe(args[0], out, into)
		}
		if err != nil {
			t.Fatalf("probe %s: %v", strings.Join(args, " "), err)
		}
	}
	var mapped struct{ Extents []Extent }
	ask(j.prefillArguments(), &mapped)
	if len(mapped.Extents) == 0 || mapped.Extents[0].Length == 0 {
		t.Errorf("extents: %+v", mapped)
	}
	var run ProbeRun
	ask(j.runArguments(), &run)
	promised, acknowledged := sequences(run)
	if run.Error != "" || run.IODepth != 2 || len(run.Jobs) != 2 || promised[0] == 0 {
		t.Fatalf("run: %+v", run)
	}
	loss, err := CheckProbeHere(t.Context(), dir, j.Target, j.Layout, promised, acknowledged)
	if want := (ProbeLoss{Promises: int64(promised[0] + promised[1])}); err != nil || loss != want {
		t.Errorf("got %+v, %v, want %+v", loss, err, want)
	}
	for i := range promised {
		promised[i] += 1000
	}
	if loss, err = CheckProbeHere(t.Context(), dir, j.Target, j.Layout, promised,
		acknowledged); err != nil || loss.PromisesLost == 0 || loss.FirstLost == "" {
		t.Errorf("what was never written is not missed: %+v, %v", loss, err)
	}
	if _, err = CheckProbeHere(t.Context(), dir, filepath.Join(dir, "none"), j.Layout, promised,
		acknowledged); err == nil || !strings.Contains(err.Error(), "mounted?") {
		t.Errorf("a survivor that is not there: %v", err)
	}
}

func TestAProbeThatMayNotBeExecutedSaysWhere(t *testing.T) {
	hostProbe(t)
	dir := t.TempDir()
	if err := unix.Mount("platter-test", dir, "tmpfs", unix.MS_NOEXEC, ""); err != nil {
		t.Skip(err)
	}
	defer unix.Unmount(dir, 0)
	layout := witness.Layout{Campaign: 7, Pattern: witness.Overwrite, Jobs: 1, BlockBytes: 4096, Blocks: 1}
	_, err := CheckProbeHere(t.Context(), dir, "/dev/null", layout, []uint32{1}, []uint32{1})
	if err == nil || !strings.Contains(err.Error(), dir+" on a file system mounted noexec") {
		t.Errorf("got %v", err)
	}
}

func sequences(run ProbeRun) (promised, acknowledged []uint32) {
	for _, j := range run.Jobs {
		promised, acknowledged = append(promised, uint32(j.Promised)), append(acknowledged, uint32(j.Acknowledged))
	}
	return promised, acknowledged
}

// realGuest boots the guest image under emulation with disks of 64 MiB, and a witness disk for each. Serials are data-0,
// witness-0, data-1, …
func realGuest(t testing.TB, disks int) *Client {
	t.Helper()
	if os.Getenv("PLATTER_REAL") != "1" {
		t.Skip("needs QEMU and the guest image: make test sets PLATTER_REAL=1")
	}
	img, err := Open("/var/cache/platter")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	args := []string{"-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35,accel=tcg", "-cpu", "max", "-smp", "2",
		"-m", "512", "-no-reboot",
		"-kernel", img.KernelPath(), "-initrd", img.InitrdPath(), "-append", img.CommandLine(), "-serial", "null",
		"-netdev", "user,id=net,restrict=on,hostfwd=tcp:" + addr + "-:22", "-device", "virtio-net-pci,netdev=net",
		"-drive", "if=none,id=root,format=raw,readonly=on,file=" + img.RootPath(), "-device", "virtio-blk-pci,drive=root"}
	dir := t.TempDir()
	for i := range disks {
		for name, size := range map[string]int64{"data": 64 << 20, "witness": witness.DiskBytes} {
			name += "-" + string(rune('0'+i))
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, nil, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, size); err != nil {
				t.Fatal(err)
			}
			args = append(args, "-drive", "if=none,format=raw,cache=none,id="+name+",file="+path, "-device",
				"virtio-blk-pci,drive="+name+",serial="+name)
		}
	}
	qemu := exec.Command("qemu-system-x86_64", args...)
	var said strings.Builder
	qemu.Stdout, qemu.Stderr = &said, &said
	if err := qemu.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = qemu.Wait(); close(ended) }()
	t.Cleanup(func() { _ = qemu.Process.Kill(); <-ended })
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	go func() {
		select {
		case <-ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	c, err := Dial(ctx, addr, img)
	if err != nil {
		t.Fatalf("%v (QEMU said: %q)", err, said.String())
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestTheProbeWorksInAGuest(t *testing.T) {
	c := realGuest(t, 4)
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	for range 2 { // the second time it has it
		c.hasProbe.Store(false)
		if err := c.SendProbe(ctx); err != nil {
			t.Fatal(err)
		}
	}
	for i, pattern := range []string{witness.Overwrite, witness.Append, witness.FileEach, witness.Rename} {
		t.Run(pattern, func(t *testing.T) { probeInGuest(ctx, t, c, string(rune('0'+i)), pattern, "ext4") })
	}
	t.Run("raw device", func(t *testing.T) {
		watch, err := c.DeviceBySerial(ctx, "witness-0")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Run(ctx, "blkdiscard -z "+watch, nil); err != nil {
			t.Fatal(err)
		}
		probeInGuest(ctx, t, c, "0", witness.Overwrite, "none")
	})
}

// probeInGuest makes a whole campaign of one disk without a crash: nothing may be missing after it.
func probeInGuest(ctx context.Context, t *testing.T, c *Client, number, pattern, filesystem string) {
	setup := Setup{Filesystem: filesystem, Barrier: "on", WriteCache: "device", CacheType: "device"}
	j := ProbeJob{Layout: witness.Layout{Campaign: 9, Pattern: pattern, Jobs: 2, BlockBytes: 4096, Blocks: 512, Random: true,
		Seed: 4}, RW: "randwrite",
		Direct: true, Sync: "none", Fsync: 2, IODepth: 2, Runtime: time.Second}
	if filesystem != "none" {
		if err := c.Format(ctx, "data-"+number, filesystem, 0); err != nil {
			t.Fatal(err)
		}
	}
	disk, err := c.Prepare(ctx, "data-"+number, setup)
	if err != nil {
		t.Fatal(err)
	}
	j.Target = disk.Target
	if j.Witness, err = c.DeviceBySerial(ctx, "witness-"+number); err != nil {
		t.Fatal(err)
	}
	if pattern == witness.Overwrite {
		extents, err := c.PrefillProbe(ctx, j)
		if err != nil || (len(extents) > 0) != (filesystem != "none") {
			t.Fatalf("prefill: %+v, %v", extents, err)
		}
		setup.FileBytes = j.Layout.JobBytes() * int64(j.Layout.Jobs)
	}
	run, err := c.RunProbe(ctx, j)
	if err != nil || run.Error != "" {
		t.Fatalf("run: %+v, %v", run, err)
	}
	t.Logf("%s: %+v", pattern, run)
	promised, acknowledged := sequences(run)
	if promised[0] == 0 || promised[1] == 0 {
		t.Errorf("nothing was promised: %+v", run)
	}
	if err := c.Release(ctx); err != nil {
		t.Fatal(err)
	}
	if disk, err = c.Prepare(ctx, "data-"+number, setup); err != nil {
		t.Fatal(err)
	}
	loss, err := c.CheckProbe(ctx, disk.Target, j.Layout, promised, acknowledged)
	if want := (ProbeLoss{Promises: int64(promised[0]) + int64(promised[1])}); err != nil || loss != want {
		t.Errorf("got %+v, %v, want %+v", loss, err, want)
	}
	if err := c.Release(ctx); err != nil {
		t.Fatal(err)
	}
	j.Witness = "/dev/null"
	var exit *ExitError
	if _, err := c.RunProbe(ctx, j); !errors.As(err, &exit) || exit.Status != 1 || !strings.HasPrefix(exit.Stderr, "probe: ") {
		t.Errorf("a run that cannot be: %v", err)
	}
}

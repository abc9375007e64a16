package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"platter/results"
)

// The tests of this file run the built program against the real libvirt, QEMU, guest and fio.

const realMatrix = `
name: real
description: five modes for the tests
storage: {size: 64MiB}
guest: {memory: 512MiB, vcpus: 2}
axes:
  disk.cache: [none, writeback, writethrough, directsync, unsafe]
  fio.fsync: [0, 1]
fio: {rw: randwrite, bs: 4k, ioengine: libaio, iodepth: 1, direct: 1, size: 64m, runtime: 300ms}
trials: 2
`

// builtProgram builds the program once for all tests. It lies beside this test binary, which go test throws away.
var builtProgram = sync.OnceValues(func() (string, error) {
	path := os.Args[0] + ".platter"
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %v: %s", err, out)
	}
	return path, nil
})

// rig is a directory with the program, a matrix, and a storage directory that QEMU's user can enter.
type rig struct {
	t       *testing.T
	dir     string
	storage string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	if os.Getenv("PLATTER_REAL") != "1" {
		t.Skip("needs libvirt, QEMU and the guest image: make test sets PLATTER_REAL=1")
	}
	r := &rig{t: t, dir: t.TempDir()}
	program, err := builtProgram()
	if err == nil {
		err = os.Symlink(program, filepath.Join(r.dir, "platter"))
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.dir, "real.yaml"), []byte(realMatrix), 0o644); err != nil {
		t.Fatal(err)
	}
	storage, err := os.MkdirTemp(cacheDir(), "test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(storage) })
	if err := os.Chmod(storage, 0o755); err != nil {
		t.Fatal(err)
	}
	r.storage = storage
	return r
}

func (r *rig) command(args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(r.dir, "platter"), args...)
	cmd.Dir = r.dir
	return cmd
}

// run runs the program and gives its output; it must end with the exit status.
func (r *rig) run(status int, args ...string) (stdout, stderr string) {
	r.t.Helper()
	cmd := r.command(args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run()
	if got := cmd.ProcessState.ExitCode(); got != status {
		r.t.Fatalf("platter %v: exit status %d, want %d\n%s%s", args, got, status, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

// clean fails unless nothing is left: no work directory in the storage, no domain of it.
func (r *rig) clean() {
	r.t.Helper()
	if left, _ := filepath.Glob(filepath.Join(r.storage, "*")); len(left) != 0 {
		r.t.Errorf("left in the storage directory: %v", left)
	}
	out, err := exec.Command("virsh", "-q", "-c", "qemu:///system", "list", "--all", "--name").Output()
	if err != nil {
		r.t.Fatal(err)
	}
	for name := range strings.FieldsSeq(string(out)) {
		doc, _ := exec.Command("virsh", "-q", "-c", "qemu:///system", "dumpxml", name).Output()
		if strings.Contains(string(doc), r.storage) {
			r.t.Errorf("domain %s was left", name)
		}
	}
}

// One run of five modes on a real guest is killed, resumed, interrupted, resumed, and measured to its end.
func TestARunThatIsKilledAndInterruptedGoesOnAndMeasuresAllFiveModes(t *testing.T) {
	r := newRig(t)
	cmd := r.command("run", "real.yaml", "-o", "out", "--storage", r.storage, "--seed", "5")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.poll(1)
	// Clean-up is about the whole host: it may find what others left, too.
	if stdout, _ := r.run(0, "cleanup", "--storage", r.storage); strings.Contains(stdout, r.storage) {
		t.Errorf("cleanup took a living run for a dead one: %s", stdout)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if stdout, _ := r.run(0, "doctor", "--storage", r.storage); !strings.Contains(stdout, "warn  leftovers") {
		t.Errorf("the doctor does not see what is left:\n%s", stdout)
	}
	if stdout, _ := r.run(0, "cleanup", "--storage", r.storage, "--dry-run"); !strings.Contains(stdout, "would remove") ||
		!strings.Contains(stdout, r.storage) {
		t.Errorf("cleanup --dry-run: %s", stdout)
	}
	if stdout, _ := r.run(0, "cleanup", "--storage", r.storage); !strings.Contains(stdout, "removed") ||
		!strings.Contains(stdout, r.storage) {
		t.Errorf("cleanup: %s", stdout)
	}
	r.clean()
	killed, err := results.Read(filepath.Join(r.dir, "out"))
	if err != nil || len(killed.Trials) == 0 {
		t.Fatalf("the trials that were over are gone: %v", err)
	}

	cmd = r.command("run", "--resume", "out")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.poll(len(killed.Trials) + 2)
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case <-done:
	case <-time.After(2 * time.Minute):
		t.Fatal("the run did not end")
	}
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted {
		t.Fatalf("exit status %d, want %d: %s", code, exitInterrupted, stderr.String())
	}
	r.clean()
	before, err := results.Read(filepath.Join(r.dir, "out"))
	if err != nil || len(before.Trials) < len(killed.Trials)+2 || len(before.Trials) == 20 {
		t.Fatalf("%d trials were kept (%v)", len(before.Trials), err)
	}
	r.run(2, "run", "--resume", "out", "--storage", r.dir) // another disk
	stdout, _ := r.run(0, "run", "--resume", "out")
	r.clean()
	after, err := results.Read(filepath.Join(r.dir, "out"))
	if err != nil || len(after.Trials) != 20 {
		t.Fatalf("%d trials after going on (%v), want 20", len(after.Trials), err)
	}
	for i, tr := range before.Trials {
		if !tr.Started.Equal(after.Trials[i].Started) {
			t.Errorf("trial %d was made again", i)
		}
	}

	for _, want := range []string{"directsync", "Safety is not", "platter report out"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the run's output lacks %q:\n%s", want, stdout)
		}
	}
	shown, _ := r.run(0, "show", "out", "--json")
	var got struct {
		Cells []struct {
			ID        string                    `json:"id"`
			Axes      map[string]any            `json:"axes"`
			Trials    int                       `json:"trials"`
			IOPS      struct{ Median float64 }  `json:"iops"`
			Latency   map[string]map[string]int `json:"latency"`
			FlushPath map[string]int            `json:"flush_path"`
			Writes    int                       `json:"writes"`
			Effective map[string]bool           `json:"effective"`
			Missing   []string                  `json:"missing"`
			Failures  []map[string]any          `json:"failures"`
			Guards    []struct{ Guard string }  `json:"guards"`
		} `json:"cells"`
		Phases map[string]float64 `json:"phases"`
	}
	if err := json.Unmarshal([]byte(shown), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Cells) != 10 {
		t.Fatalf("%d cells, want 10", len(got.Cells))
	}
	for _, c := range got.Cells {
		if c.Trials != 2 || len(c.Failures) != 0 || c.IOPS.Median <= 0 || c.Latency["write"]["p99_ns"] <= 0 {
			t.Errorf("cell %s was not measured: %+v", c.ID, c)
		}
		mode := c.Axes["disk.cache"].(string)
		flags := map[string]map[string]bool{
			"none":         {"writeback": true, "direct": true, "no_flush": false},
			"writeback":    {"writeback": true, "direct": false, "no_flush": false},
			"writethrough": {"writeback": false, "direct": false, "no_flush": false},
			"directsync":   {"writeback": false, "direct": true, "no_flush": false},
			"unsafe":       {"writeback": true, "direct": false, "no_flush": true},
		}[mode]
		for name, want := range flags {
			if c.Effective[name] != want {
				t.Errorf("cell %s: flag %s is %v", c.ID, name, c.Effective[name])
			}
		}
		// The flush path as docs/ARCHITECTURE.md's sources have it: with a volatile device every fsync of the application
		// reaches QEMU; a device without a cache is sent none; without fsync nobody flushes.
		fio, guest, qemu := c.FlushPath["fio"], c.FlushPath["guest"], c.FlushPath["qemu"]
		switch {
		case c.Axes["fio.fsync"] == 0.0:
			if fio != 0 || guest != 0 || qemu != 0 {
				t.Errorf("cell %s: flushes %d/%d/%d without an fsync", c.ID, fio, guest, qemu)
			}
		case mode == "writethrough" || mode == "directsync":
			if fio < c.Writes-10 || guest != 0 || qemu != 0 {
				t.Errorf("cell %s: flushes %d/%d/%d; the device has no cache to flush", c.ID, fio, guest, qemu)
			}
		default:
			if fio < c.Writes-10 || guest != fio || qemu != fio {
				t.Errorf("cell %s: flushes %d/%d/%d for %d writes; want each to arrive", c.ID, fio, guest, qemu, c.Writes)
			}
		}
		// On a busy machine fio may end before it has logged a rate; nothing else may be missing.
		missing := slices.DeleteFunc(c.Missing, func(name string) bool { return name == "iops_log" })
		if _, measured := c.FlushPath["image"]; measured || len(missing) != 1 || missing[0] != "flush_path.image" {
			t.Errorf("cell %s: the image's flushes are not counted on a plain file, but missing is %v", c.ID, c.Missing)
		}
	}
	if p := got.Phases; p["measure_s"] < 5 || p["wall_s"] < p["measure_s"] || p["measuring_share"] <= 0 || p["measuring_share"] > 1 {
		t.Errorf("phases: %v", p)
	}
	r.run(0, "report", "out")
	if page, err := os.ReadFile(filepath.Join(r.dir, "out", "report.html")); err != nil || !bytes.Contains(page, []byte("directsync")) {
		t.Errorf("the report: %v", err)
	}
}

const shapesMatrix = `
name: shapes
description: images, file systems, buses and memories for the tests
storage: {size: 192MiB}
guest: {memory: 512MiB, vcpus: 2}
axes:
  storage.format: [raw, qcow2]
  guest.filesystem: [none, ext4]
  variant.place:
    virtio: {disk.bus: virtio}
    scsi: {disk.bus: scsi}
    roomy: {guest.memory: 640MiB, disk.iothread: 1}
    sata: {disk.bus: sata}
fio: {rw: randwrite, bs: 4k, ioengine: psync, direct: 1, fdatasync: 1, size: 16m, runtime: 300ms}
trials: 1
`

func TestEveryShapeOfImageAndPlaceOfDiskIsMeasured(t *testing.T) {
	r := newRig(t)
	if err := os.WriteFile(filepath.Join(r.dir, "shapes.yaml"), []byte(shapesMatrix), 0o644); err != nil {
		t.Fatal(err)
	}
	r.run(0, "run", "shapes.yaml", "-o", "out", "--storage", r.storage)
	r.clean()
	run, err := results.Read(filepath.Join(r.dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	if len(run.Trials) != 12 {
		t.Fatalf("%d trials, want 12", len(run.Trials))
	}
	boots := 0
	for _, tr := range run.Trials {
		if tr.Phases.BootS > 0 {
			boots++
		}
		for _, g := range tr.Guards {
			if g.Name == "allocation" || g.Name == "prefilled" || g.Name == "counters" || g.Name == "residency" {
				t.Errorf("%s: %s", tr.Cell, g.Message)
			}
		}
		if mounted := strings.HasPrefix(tr.Evidence.Mount, "ext4"); mounted != strings.Contains(tr.Cell, "ext4") {
			t.Errorf("%s: mounted as %q", tr.Cell, tr.Evidence.Mount)
		}
		if p := tr.Evidence.FlushPath; *p.Fio == 0 || *p.Guest < *p.Fio-5 {
			t.Errorf("%s: %d of %d flushes arrived", tr.Cell, *p.Guest, *p.Fio)
		}
	}
	if boots != 2 {
		t.Errorf("booted %d times for two sizes of memory", boots)
	}
	for _, c := range run.Manifest.Cells {
		if strings.Contains(c.ID, "sata") != (c.Excluded != "") {
			t.Errorf("%s: excluded %q", c.ID, c.Excluded)
		}
	}
}

const failingMatrix = `
name: failing
description: fio fails for want of huge pages, which the guest has none of
storage: {size: 64MiB}
guest: {memory: 512MiB, vcpus: 2}
axes: {fio.mem: [malloc, mmaphuge]}
fio: {rw: randwrite, bs: 4k, direct: 1, size: 16m, runtime: 300ms}
trials: 2
`

func TestARunWhoseFioFailsGoesOnAndEndsWithFour(t *testing.T) {
	r := newRig(t)
	if err := os.WriteFile(filepath.Join(r.dir, "failing.yaml"), []byte(failingMatrix), 0o644); err != nil {
		t.Fatal(err)
	}
	stdout, stderr := r.run(exitUnmeasured, "run", "failing.yaml", "-o", "out", "--storage", r.storage)
	r.clean()
	run, err := results.Read(filepath.Join(r.dir, "out"))
	if err != nil || len(run.Trials) != 4 {
		t.Fatalf("%d trials (%v), want 4", len(run.Trials), err)
	}
	for _, tr := range run.Trials {
		failed := tr.Status == results.Failed
		if failed != strings.Contains(tr.Cell, "mmaphuge") || failed && (tr.Failure.Fault != "fio" || len(tr.Failure.Console) == 0) {
			t.Errorf("%s: %s, %+v", tr.Cell, tr.Status, tr.Failure)
		}
	}
	if !strings.Contains(stdout, "fio.mem=mmaphuge: ") || !strings.Contains(stderr, "2 of 4 trials failed") {
		t.Errorf("the failure is not told:\n%s%s", stdout, stderr)
	}
}

// The disk is too small for a file system: nothing of the person's was run, so it is not the status of a failed command, 4.
func TestAGuestShellWhoseFileSystemFailsEndsWithThree(t *testing.T) {
	r := newRig(t)
	_, stderr := r.run(3, "guest", "shell", "--storage", r.storage, "--size", "16KiB", "--filesystem", "ext4", "--run", "echo ran")
	if !strings.Contains(stderr, "make ext4 on disk") {
		t.Errorf("it failed for another reason:\n%s", stderr)
	}
	r.clean()
}

// poll waits until so many trials are recorded.
func (r *rig) poll(n int) {
	r.t.Helper()
	for range 1200 {
		text, _ := os.ReadFile(filepath.Join(r.dir, "out", results.TrialsFile))
		if bytes.Count(text, []byte("\n")) >= n {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	r.t.Fatalf("no %d trials within two minutes", n)
}

package orchestrator

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"platter/cell"
	"platter/fault"
	"platter/fiojob"
	"platter/libvirtxml"
	"platter/orchestrator/guest"
	"platter/orchestrator/hypervisor"
	"platter/orchestrator/scratch"
	"platter/powercut/witness"
	"platter/results"
)

func TestTheFakeLabPassesTheLabSuite(t *testing.T) {
	labSuite(t, &fakeLab{}, filepath.Join(t.TempDir(), "scratch.img"))
}

func TestTheRealLabPassesTheLabSuite(t *testing.T) {
	l, image := realLab(t)
	labSuite(t, l, image)
}

// needReal skips a test that needs libvirt, QEMU and the guest image, unless they must be there.
func needReal(t testing.TB) {
	t.Helper()
	if os.Getenv("PLATTER_REAL") != "1" {
		t.Skip("needs libvirt, QEMU and the guest image: make test sets PLATTER_REAL=1")
	}
}

// realStorage is a directory of the test that QEMU's user can enter.
func realStorage(t testing.TB) string {
	t.Helper()
	dir, err := makeStorage()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// makeStorage makes a directory that QEMU's user can enter; a test's own temporary directory is closed to it.
func makeStorage() (string, error) {
	if err := os.MkdirAll(realCache, 0o755); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(realCache, "test-")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
}

const realCache = "/var/cache/platter"

// realLab connects to libvirt and gives a lab with a scratch image of 64 MiB.
func realLab(t testing.TB) (*liveLab, string) {
	t.Helper()
	needReal(t)
	l, err := openLab(realStorage(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.work.Close()
		l.host.Close()
	})
	return l, realScratch(t, l)
}

// openLab makes a lab with its own connection whose work directory is in the storage directory.
func openLab(storage string) (*liveLab, error) {
	ctx := context.Background()
	host, err := hypervisor.Connect(ctx, "qemu:///system")
	if err != nil {
		return nil, err
	}
	image, err := guest.Open(realCache)
	if err != nil {
		return nil, err
	}
	work, err := newWorkdir(storage)
	if err != nil {
		return nil, err
	}
	facts, err := host.Facts(ctx)
	if err != nil {
		return nil, err
	}
	accel, err := probeAccel(ctx, newLiveLab(host, image, work, "kvm"), facts, filepath.Join(realCache, kvmProbeFile))
	if err != nil {
		return nil, err
	}
	return newLiveLab(host, image, work, accel.Name), nil
}

// realScratch makes a raw image of 64 MiB in the work directory of the lab.
func realScratch(t testing.TB, l *liveLab) string {
	t.Helper()
	file := scratch.NewFile(l.work.path, 99, rawShape(64<<20))
	if err := file.Make(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Remove(context.Background()) })
	return file.Source().Path
}

// sharedLab is a lab for the tests that are not about booting: its guest is booted and saved once, with the probe in it, and restored for
// each of them. TestMain ends it.
var sharedLab struct {
	once sync.Once
	lab  *liveLab
	err  error
}

func realSharedLab(t testing.TB) *liveLab {
	t.Helper()
	needReal(t)
	sharedLab.once.Do(func() {
		var storage string
		if storage, sharedLab.err = makeStorage(); sharedLab.err != nil {
			return
		}
		if sharedLab.lab, sharedLab.err = openLab(storage); sharedLab.err == nil {
			sharedLab.lab.again, sharedLab.lab.crash = true, true
		}
	})
	if sharedLab.err != nil {
		t.Fatal(sharedLab.err)
	}
	return sharedLab.lab
}

func TestMain(m *testing.M) {
	status := m.Run()
	if l := sharedLab.lab; l != nil {
		l.host.Close()
		l.work.Close()
		os.RemoveAll(filepath.Dir(l.work.path))
	}
	os.Exit(status)
}

// rawShape is a raw image without a file system.
func rawShape(bytes int64) scratch.Shape {
	return scratch.Shape{Format: "raw", SizeBytes: bytes, Filesystem: "none"}
}

// rawSetup leaves the disk as it is.
var rawSetup = guest.Setup{Filesystem: "none", Barrier: "on", WriteCache: "device", CacheType: "device"}

// qemuFlags is the table of cache modes in QEMU's manual ("cache" of -drive).
var qemuFlags = map[string]results.CacheFlags{
	"none":         {Writeback: true, Direct: true},
	"writeback":    {Writeback: true},
	"writethrough": {},
	"directsync":   {Direct: true},
	"unsafe":       {Writeback: true, NoFlush: true},
}

var suiteBoot = Boot{MemoryBytes: 512 << 20, VCPUs: 2}

// labSuite is what every Lab must do.
func labSuite(t *testing.T, lab Lab, image string) {
	ctx := t.Context()
	m, err := lab.Boot(ctx, suiteBoot)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close(context.Background()) })
	disk := func(attrs ...string) libvirtxml.ScratchDisk {
		var driver []libvirtxml.Attr
		for i := 0; i < len(attrs); i += 2 {
			driver = append(driver, libvirtxml.Attr{Name: attrs[i], Value: attrs[i+1]})
		}
		return scratch.Plain(scratch.FileSource(image), "raw", "virtio", driver)
	}
	const logged = 10 * time.Millisecond
	job := func(device string) string {
		text, err := fiojob.Job{Name: "platter", LogIOPS: logged, Options: []fiojob.Option{
			{Name: "rw", Value: "randwrite"}, {Name: "bs", Value: "4k"}, {Name: "size", Value: "4000k"}, {Name: "direct", Value: "1"},
			{Name: "fsync", Value: "1"}, {Name: "filename", Value: device}, {Name: "allow_file_create", Value: "0"},
			{Name: "lat_percentiles", Value: "1"},
		}}.Render()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}

	t.Run("detaching without a disk does nothing", func(t *testing.T) {
		if err := m.Detach(ctx); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("the console has lines after a boot", func(t *testing.T) {
		if len(m.Console()) == 0 {
			t.Fatal("the console is empty")
		}
	})
	for mode, want := range qemuFlags {
		t.Run("cache="+mode+" has the flags of QEMU's table and counts what fio does", func(t *testing.T) {
			if err := m.Attach(ctx, disk("cache", mode)); err != nil {
				t.Fatal(err)
			}
			d, err := m.Prepare(ctx, rawSetup)
			if err != nil {
				t.Fatal(err)
			}
			before, err := m.Read(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if before.Flags != want {
				t.Errorf("flags are %+v, want %+v", before.Flags, want)
			}
			if before.ODirect == nil || *before.ODirect != want.Direct {
				t.Errorf("O_DIRECT on the image: %v, want %v", before.ODirect, want.Direct)
			}
			run, err := m.RunFio(ctx, d.Device, job(d.Device))
			if err != nil || run.Status != 0 {
				t.Fatalf("fio: status %d, %v: %s", run.Status, err, run.Text)
			}
			if rates, err := fiojob.ParseIOPSLog(run.IOPSLog, logged); err != nil || len(rates) == 0 {
				t.Errorf("the log of rates has %v, error %v", rates, err)
			}
			out, err := fiojob.Parse(run.JSON)
			if err != nil {
				t.Fatal(err)
			}
			metrics := out.Metrics()
			after, err := m.Read(ctx)
			if err != nil {
				t.Fatal(err)
			}
			got := difference(after.Counters, before.Counters)
			if metrics.Write == nil || metrics.Write.IOs != 1000 || metrics.Sync == nil || metrics.Sync.IOs < 999 {
				t.Fatalf("fio counted %+v, want 1000 writes and as many syncs", metrics)
			}
			if got.WriteBytes < metrics.Write.Bytes {
				t.Errorf("QEMU counted %d bytes written, fio %d", got.WriteBytes, metrics.Write.Bytes)
			}
			// Where the device has no volatile cache the guest's kernel sends no flush (safety.md's measured flush path).
			wantFlushes := metrics.Sync.IOs
			if !want.Writeback {
				wantFlushes = 0
			}
			if run.Flushes != wantFlushes || got.FlushOps != wantFlushes {
				t.Errorf("flushes: fio %d, guest %d, QEMU %d; want %d at the last two", metrics.Sync.IOs, run.Flushes, got.FlushOps, wantFlushes)
			}
			if doc, err := m.XML(ctx); err != nil || !strings.Contains(doc, image) {
				t.Errorf("the live XML does not name the scratch image (%v)", err)
			}
			if err := m.Detach(ctx); err != nil {
				t.Fatal(err)
			}
		})
	}
	t.Run("io=native with a cached mode is refused and does no harm", func(t *testing.T) {
		err := m.Attach(ctx, disk("cache", "writeback", "io", "native"))
		if fault.Of(err) != fault.Refused {
			t.Fatalf("got %v, want a refusal", err)
		}
		if !keepsMachine(err) {
			t.Error("the run would throw the machine away")
		}
	})
	t.Run("io=native with none and io=io_uring work", func(t *testing.T) {
		for _, d := range []libvirtxml.ScratchDisk{disk("cache", "none", "io", "native"), disk("cache", "none", "io", "io_uring")} {
			if err := m.Attach(ctx, d); err != nil {
				t.Fatal(err)
			}
			if _, err := m.Prepare(ctx, rawSetup); err != nil {
				t.Fatal(err)
			}
			if err := m.Detach(ctx); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("a file system is made once and mounted for each trial, and barrier=0 sends no flush", func(t *testing.T) {
		if err := m.Attach(ctx, disk("cache", "unsafe")); err != nil {
			t.Fatal(err)
		}
		if err := m.Format(ctx, "ext4", 8<<20); err != nil {
			t.Fatal(err)
		}
		if err := m.Detach(ctx); err != nil {
			t.Fatal(err)
		}
		for _, barrier := range []string{"on", "off"} {
			if err := m.Attach(ctx, disk("cache", "none")); err != nil {
				t.Fatal(err)
			}
			d, err := m.Prepare(ctx, guest.Setup{Filesystem: "ext4", Barrier: barrier, WriteCache: "device", CacheType: "device",
				FileBytes: 8 << 20})
			if err != nil {
				t.Fatal(err)
			}
			run, err := m.RunFio(ctx, d.Device, job(d.Target))
			if err != nil || run.Status != 0 {
				t.Fatalf("fio: status %d, %v: %s", run.Status, err, run.Text)
			}
			if arrived := run.Flushes >= 900; arrived != (barrier == "on") {
				t.Errorf("barrier %s: %d flushes of 1000 fsyncs at the device", barrier, run.Flushes)
			}
			if err := m.Detach(ctx); err != nil {
				t.Fatal(err)
			}
		}
	})
	for _, knob := range []struct {
		name, mode string
		setup      guest.Setup
		flushes    bool // whether an fsync's flush reaches the device
	}{
		{"queue/write_cache hides the device's cache and drops flushes", "none", guest.Setup{Filesystem: "none", WriteCache: "write through",
			CacheType: "device"}, false},
		{"cache_type=write through turns none into directsync", "none", guest.Setup{Filesystem: "none", WriteCache: "device",
			CacheType: "write through"}, false},
		{"cache_type=write back turns directsync into none", "directsync", guest.Setup{Filesystem: "none", WriteCache: "device",
			CacheType: "write back"}, true},
	} {
		t.Run(knob.name, func(t *testing.T) {
			if err := m.Attach(ctx, disk("cache", knob.mode)); err != nil {
				t.Fatal(err)
			}
			d, err := m.Prepare(ctx, knob.setup)
			if err != nil {
				t.Fatal(err)
			}
			reading, err := m.Read(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if want := scratch.Flags(cellWith("disk.cache", knob.mode, "guest.cache_type", knob.setup.CacheType)); reading.Flags != want {
				t.Errorf("flags are %+v, want %+v", reading.Flags, want)
			}
			run, err := m.RunFio(ctx, d.Device, job(d.Target))
			if err != nil || run.Status != 0 {
				t.Fatalf("fio: status %d, %v: %s", run.Status, err, run.Text)
			}
			if arrived := run.Flushes >= 900; arrived != knob.flushes {
				t.Errorf("%d flushes of 1000 fsyncs at the device", run.Flushes)
			}
			if err := m.Detach(ctx); err != nil {
				t.Fatal(err)
			}
		})
	}
	t.Run("what the guest changed is undone with the disk", func(t *testing.T) {
		if err := m.Attach(ctx, disk("cache", "none")); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Prepare(ctx, rawSetup); err != nil {
			t.Fatal(err)
		}
		if r, err := m.Read(ctx); err != nil || r.Flags != qemuFlags["none"] {
			t.Errorf("flags are %+v (%v)", r.Flags, err)
		}
		if err := m.Detach(ctx); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a fio that fails is an answer, not an error", func(t *testing.T) {
		if err := m.Attach(ctx, disk("cache", "none")); err != nil {
			t.Fatal(err)
		}
		d, err := m.Prepare(ctx, rawSetup)
		if err != nil {
			t.Fatal(err)
		}
		run, err := m.RunFio(ctx, d.Device, job("/dev/nosuchdevice"))
		if err != nil || run.Status == 0 {
			t.Fatalf("status %d, error %v; want a status that is not 0", run.Status, err)
		}
		if run.Text == "" && len(run.JSON) == 0 {
			t.Error("nothing says why")
		}
	})
	t.Run("the probe promises on a witness disk beside the scratch disk, reads its writes back, and a crash ends the machine",
		func(t *testing.T) {
			watch := filepath.Join(filepath.Dir(image), "witness.img")
			if err := errors.Join(os.WriteFile(watch, nil, 0o644), os.Truncate(watch, witness.DiskBytes), m.Detach(ctx)); err != nil {
				t.Fatal(err)
			}
			for _, d := range []libvirtxml.ScratchDisk{disk("cache", "none"), scratch.Witness(scratch.FileSource(watch))} {
				if err := m.Attach(ctx, d); err != nil {
					t.Fatal(err)
				}
			}
			d, err := m.Prepare(ctx, rawSetup)
			if err != nil {
				t.Fatal(err)
			}
			layout := witness.Layout{Campaign: 7, Pattern: witness.Overwrite, Jobs: 1, BlockBytes: 4096, Blocks: 64, Random: true, Seed: 7}
			probing := guest.ProbeJob{Layout: layout, Target: d.Target, RW: "randwrite", Direct: true, Sync: "none", Fdatasync: 1, IODepth: 1,
				Runtime: 500 * time.Millisecond}
			if extents, err := m.Prefill(ctx, probing); err != nil || len(extents) != 0 {
				t.Fatalf("prefill: extents %v of a raw device, %v", extents, err)
			}
			run, err := m.Probe(ctx, probing)
			if err != nil || run.Error != "" || len(run.Jobs) != 1 || run.Jobs[0].Promised == 0 || run.Jobs[0].Syncs == 0 {
				t.Fatalf("probe: %+v, %v", run, err)
			}
			promised := uint32(run.Jobs[0].Promised)
			for more, lost := range map[uint32]bool{0: false, 1000: true} {
				loss, err := m.Check(ctx, d.Target, layout, []uint32{promised + more}, []uint32{promised + more})
				if err != nil || loss.PromisesLost > 0 != lost {
					t.Errorf("of %d promises %+v, %v", promised+more, loss, err)
				}
			}
			if err := m.Crash(ctx, cell.QEMUKill); err != nil {
				t.Fatal(err)
			}
			if _, err := m.Read(ctx); err == nil {
				t.Error("a machine that crashed still has its disk")
			}
		})
	t.Run("closing twice is closing once, and a guest can be started again", func(t *testing.T) {
		for range 2 {
			if err := m.Close(ctx); err != nil {
				t.Fatal(err)
			}
		}
		again, err := lab.Boot(ctx, suiteBoot)
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Attach(ctx, disk("cache", "none")); err != nil {
			t.Error(err)
		}
		if _, err := again.Prepare(ctx, rawSetup); err != nil {
			t.Error(err)
		}
		if err := again.Close(ctx); err != nil {
			t.Error(err)
		}
	})
}

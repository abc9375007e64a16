package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"platter/powercut/witness"
)

// asProbe makes the test binary be the probe, so that it can be killed.
const asProbe = "PLATTER_TEST_IS_THE_PROBE"

func TestMain(m *testing.M) {
	if os.Getenv(asProbe) != "" {
		main()
	}
	os.Exit(m.Run())
}

// disks are a data file and an empty witness in a directory that takes O_DIRECT; else the test is skipped.
func disks(t *testing.T) (data, watch string) {
	t.Helper()
	dir := t.TempDir()
	data, watch = filepath.Join(dir, "data"), filepath.Join(dir, "witness")
	f, err := open(data, unix.O_RDWR|unix.O_CREAT|unix.O_DIRECT)
	if err != nil {
		t.Skipf("needs a file system with O_DIRECT: set TMPDIR to one: %v", err)
	}
	f.Close()
	newWitness(t, watch)
	return data, watch
}

func newWitness(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, make([]byte, witness.DiskBytes), 0o644); err != nil {
		t.Fatal(err)
	}
}

// ask runs the probe, which must succeed, and reads its answer.
func ask(t *testing.T, into any, stdin string, args ...string) {
	t.Helper()
	var out, errs bytes.Buffer
	if status := probe(args, strings.NewReader(stdin), &out, &errs); status != 0 {
		t.Fatalf("probe %s: status %d: %s", strings.Join(args, " "), status, errs.String())
	}
	if err := json.Unmarshal(out.Bytes(), into); err != nil {
		t.Fatalf("probe %s: %v: %s", strings.Join(args, " "), err, out.String())
	}
}

// refused runs the probe, which must fail and say so in a line.
func refused(t *testing.T, say string, args ...string) {
	t.Helper()
	var out, errs bytes.Buffer
	status := probe(args, strings.NewReader(""), &out, &errs)
	if status != 1 || out.Len() > 0 || !strings.Contains(errs.String(), say) || strings.Count(errs.String(), "\n") != 1 {
		t.Errorf("probe %s: status %d, %q, %q: wanted %q", strings.Join(args, " "), status, out.String(), errs.String(), say)
	}
}

// heard is what the witness says of each job.
func heard(t *testing.T, watch string, l witness.Layout) ledger {
	t.Helper()
	disk, err := os.ReadFile(watch)
	if err != nil {
		t.Fatal(err)
	}
	led := ledger{Layout: l}
	for job := range l.Jobs {
		read := func(k witness.Kind) uint32 {
			r, _ := witness.ReadRecord(disk[witness.Record{Job: uint16(job), Kind: k}.Offset():])
			return r.Sequence
		}
		led.Jobs = append(led.Jobs, struct {
			Promised     uint32 `json:"promised"`
			Acknowledged uint32 `json:"acknowledged"`
		}{read(witness.Promise), read(witness.Ack)})
	}
	return led
}

func (l ledger) text(t *testing.T) string {
	t.Helper()
	b, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestAKilledProbeHasKeptEveryPromise(t *testing.T) {
	for _, pattern := range patterns {
		t.Run(pattern, func(t *testing.T) {
			data, watch := disks(t)
			common := []string{"--filename=" + data, "--campaign=5", "--size=8m", "--numjobs=2", "--pattern=" + pattern}
			if pattern == witness.Overwrite {
				ask(t, &mapped{}, "", append([]string{"prefill"}, common...)...)
			}
			cmd := exec.Command(os.Args[0], append(append([]string{"run"}, common...), "--witness="+watch, "--runtime=600",
				"--fdatasync=2", "--iodepth=3")...)
			cmd.Env = append(os.Environ(), asProbe+"=1")
			var errs bytes.Buffer
			cmd.Stderr = &errs
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			l := witness.Layout{Campaign: 5, Pattern: pattern, Jobs: 2, BlockBytes: 4096, Blocks: 1024, Random: true}
			ended := make(chan struct{})
			go func() { _ = cmd.Wait(); close(ended) }()
			for waiting := true; waiting; {
				select {
				case <-ended:
					waiting = false // what grows may be at its size already
				case <-time.After(5 * time.Millisecond):
					led := heard(t, watch, l)
					waiting = led.Jobs[0].Promised < 100 || led.Jobs[1].Promised < 100
				}
			}
			_ = cmd.Process.Kill()
			<-ended
			led := heard(t, watch, l)
			var got loss
			ask(t, &got, led.text(t), "check", "--filename="+data)
			if got.PromisesLost != 0 || got.Torn != 0 || got.ExposedWrites != 0 || got.Promises < 200 || got.FirstLost != "" {
				t.Errorf("a killed probe lost something of the page cache: %+v of %+v; %s", got, led.Jobs, errs.String())
			}
		})
	}
}

func TestAPrefilledFileIsWholeAndMapped(t *testing.T) {
	data, _ := disks(t)
	var m mapped
	ask(t, &m, "", "prefill", "--filename="+data, "--campaign=5", "--size=3m", "--bs=12k", "--numjobs=3")
	at := int64(0)
	for _, e := range m.Extents {
		if e.File != at || e.Length < 1 || e.Image < 1 {
			t.Errorf("extents are not whole and in order: %+v", m.Extents)
		}
		at += e.Length
	}
	l := witness.Layout{Campaign: 5, Pattern: witness.Overwrite, Jobs: 3, BlockBytes: 12 << 10, Blocks: 85}
	if at != l.JobBytes()*3 {
		t.Errorf("extents end at %d", at)
	}
	led := heard(t, data, l)
	for i := range led.Jobs {
		led.Jobs[i].Promised, led.Jobs[i].Acknowledged = 0, 0
	}
	var got loss
	if ask(t, &got, led.text(t), "check", "--filename="+data); got != (loss{}) {
		t.Errorf("freshly prefilled: %+v", got)
	}
}

func TestTheRunIsRefusedOnDisksThatAreNotForIt(t *testing.T) {
	data, watch := disks(t)
	run := func(more ...string) []string {
		return append([]string{"run", "--filename=" + data, "--witness=" + watch, "--campaign=5", "--size=64k", "--runtime=0.01"}, more...)
	}
	refused(t, "read 4096 bytes", run()...)
	if err := os.Truncate(data, 1<<20); err != nil {
		t.Fatal(err)
	}
	refused(t, "is not stamped for this campaign", run()...)
	ask(t, &mapped{}, "", "prefill", "--filename="+data, "--campaign=6", "--size=64k")
	refused(t, "is not stamped for this campaign", run()...)
	ask(t, &mapped{}, "", "prefill", "--filename="+data, "--campaign=5", "--size=64k")
	refused(t, "no such file", run("--witness="+watch+"x")...)
	ask(t, &report{}, "", run()...)
	refused(t, "is not empty", run("--pattern=append")...)
	newWitness(t, watch)
	ask(t, &report{}, "", run("--pattern=append")...)
	newWitness(t, watch)
	refused(t, "must not be there yet", run("--pattern=append")...)
}

func TestAFullDiskEndsTheRunWithItsError(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("needs /dev/full")
	}
	_, watch := disks(t)
	o := someOptions(witness.Overwrite)
	o.filename = "/dev/full"
	w, err := open(watch, unix.O_RDWR|unix.O_DIRECT)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	rep, err := (&run{o: o, os: kernel{}, witness: w}).jobs()
	if err != nil || !strings.Contains(rep.Error, "write 1024 bytes") || !strings.Contains(rep.Error,
		"no space left on device") || rep.Jobs[0].Acknowledged != 0 {
		t.Errorf("%+v, %v", rep, err)
	}
}

// written makes a data file of a layout on which each job has made so many writes.
func written(t *testing.T, l witness.Layout, writes ...int) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := stamp(stdFile{f}, l); err != nil {
		t.Fatal(err)
	}
	block := make([]byte, l.BlockBytes)
	for job, n := range writes {
		walk := l.Walk(uint16(job))
		for range n {
			s := walk.Next()
			s.Job = uint16(job)
			s.PutBlock(block)
			if _, err := f.WriteAt(block, l.Home(s.Job, s.Block)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return f
}

// stdFile is a file without O_DIRECT.
type stdFile struct{ *os.File }

func (f stdFile) WriteAt(b []byte, at int64) error { _, err := f.File.WriteAt(b, at); return err }
func (f stdFile) ReadAt(b []byte, at int64) error  { _, err := f.File.ReadAt(b, at); return err }
func (f stdFile) Datasync() error                  { return f.Sync() }

func ledgerOf(l witness.Layout, sequences ...[2]uint32) ledger {
	led := ledger{Layout: l}
	for _, s := range sequences {
		led.Jobs = append(led.Jobs, struct {
			Promised     uint32 `json:"promised"`
			Acknowledged uint32 `json:"acknowledged"`
		}{s[0], s[1]})
	}
	return led
}

func TestLossIsCountedByTheRules(t *testing.T) {
	// Blocks are written in turn: after 20 writes each of the 4 blocks of a job is in generation 5.
	l := witness.Layout{Campaign: 4, Pattern: witness.Overwrite, Jobs: 2, BlockBytes: 2048, Blocks: 4}
	sector := func(f *os.File, s witness.Stamp) {
		b := make([]byte, witness.SectorSize)
		s.Put(b)
		if _, err := f.WriteAt(b, l.Home(s.Job, s.Block)+int64(s.Sector)*witness.SectorSize); err != nil {
			t.Fatal(err)
		}
	}
	at := func(job uint16, block uint32, s uint16, generation uint32) witness.Stamp {
		return witness.Stamp{Campaign: 4, Job: job, Block: block, Sector: s, Generation: generation, Sequence: block + 1 + (generation-1)*4}
	}
	for _, c := range []struct {
		name     string
		promised [2]uint32
		acked    [2]uint32
		damage   func(*os.File)
		want     loss
	}{
		{"nothing is gone", [2]uint32{20, 20}, [2]uint32{20, 20}, nil, loss{Promises: 40}},
		{"newer than promised is fine", [2]uint32{3, 0}, [2]uint32{3, 0}, nil, loss{Promises: 3}},
		{"an acknowledgement that came after its promise is no exposure", [2]uint32{20, 20}, [2]uint32{1, 0}, nil, loss{Promises: 40}},
		{"one block is two generations too old", [2]uint32{20, 20}, [2]uint32{20, 20}, func(f *os.File) {
			for s := range uint16(4) {
				sector(f, at(1, 2, s, 3))
			}
		}, loss{Promises: 40, PromisesLost: 2, FirstLost: "job 1, block 2: generation 5 was promised, 3 was found"}},
		{"one old sector is enough", [2]uint32{20, 20}, [2]uint32{20, 20}, func(f *os.File) { sector(f, at(0, 3, 3, 4)) },
			loss{Promises: 40, PromisesLost: 1, FirstLost: "job 0, block 3: generation 5 was promised, 4 was found"}},
		{"an old block that was not promised is exposed", [2]uint32{16, 20}, [2]uint32{20, 20}, func(f *os.File) {
			for s := range uint16(4) {
				sector(f, at(0, 1, s, 4))
			}
		}, loss{Promises: 36, ExposedWrites: 1}},
		{"what is gone counts once, as lost or as exposed", [2]uint32{12, 20}, [2]uint32{20, 20}, func(f *os.File) {
			for s := range uint16(4) {
				sector(f, at(0, 1, s, 1))
			}
		}, loss{Promises: 32, PromisesLost: 2, ExposedWrites: 2, FirstLost: "job 0, block 1: generation 3 was promised, 1 was found"}},
		{"a mix of promised and newer is torn", [2]uint32{16, 20}, [2]uint32{16, 20}, func(f *os.File) { sector(f, at(0, 0, 1, 4)) },
			loss{Promises: 36, Torn: 1}},
		{"a mix with older is lost and not torn", [2]uint32{16, 20}, [2]uint32{16, 20}, func(f *os.File) { sector(f, at(0, 0, 1, 3)) },
			loss{Promises: 36, PromisesLost: 1, FirstLost: "job 0, block 0: generation 4 was promised, 3 was found"}},
		{"a damaged sector is as old as can be", [2]uint32{20, 20}, [2]uint32{20, 20}, func(f *os.File) {
			if _, err := f.WriteAt([]byte{1}, l.Home(1, 0)+100); err != nil {
				t.Fatal(err)
			}
		}, loss{Promises: 40, PromisesLost: 5, FirstLost: "job 1, block 0: generation 5 was promised, damage was found"}},
		{"another campaign's sector is damage", [2]uint32{20, 20}, [2]uint32{20, 20}, func(f *os.File) {
			s := at(0, 0, 0, 9)
			s.Campaign = 3
			sector(f, s)
		}, loss{Promises: 40, PromisesLost: 5, FirstLost: "job 0, block 0: generation 5 was promised, damage was found"}},
		{"what cannot be read is damage", [2]uint32{20, 20}, [2]uint32{20, 20}, func(f *os.File) {
			if err := f.Truncate(l.Home(1, 3) + 512); err != nil {
				t.Fatal(err)
			}
		}, loss{Promises: 40, PromisesLost: 5, FirstLost: "job 1, block 3: generation 5 was promised, damage was found"}},
	} {
		f := written(t, l, 20, 20)
		if c.damage != nil {
			c.damage(f)
		}
		led := ledgerOf(l, [2]uint32{c.promised[0], c.acked[0]}, [2]uint32{c.promised[1], c.acked[1]})
		if got := led.checkBlocks(stdFile{f}); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}

// wroteFiles runs the probe for a pattern that makes files and gives its ledger with the given promises.
func wroteFiles(t *testing.T, pattern string, promised, acknowledged uint32) (data string, led ledger) {
	t.Helper()
	data, _ = disks(t)
	if err := makeDirectory(data); err != nil {
		t.Fatal(err)
	}
	o := someOptions(pattern)
	o.filename, o.fsync = data, 1
	o.layout.Random, o.layout.Blocks = false, 4
	tg, err := openTarget(kernel{}, &o, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tg.close()
	j := newJob(0, &o, tg, nil, func(uint32) error { return nil }, func(uint32) {})
	for range 10 {
		if err := j.next(); err != nil {
			t.Fatal(err)
		}
	}
	return data, ledgerOf(o.layout, [2]uint32{promised, acknowledged})
}

func TestLossOfFilesIsCountedByTheRules(t *testing.T) {
	for _, c := range []struct {
		name, pattern   string
		promised, acked uint32
		damage          func(dir string) error
		want            loss
	}{
		{"files are whole", witness.FileEach, 10, 10, nil, loss{Promises: 10}},
		{"a file is gone", witness.FileEach, 10, 10, func(d string) error { return os.Remove(d + "/0-7") }, loss{Promises: 10, PromisesLost: 1}},
		{"an empty file is lost", witness.FileEach, 10, 10, func(d string) error { return os.Truncate(d+"/0-7", 0) }, loss{Promises: 10,
			PromisesLost: 1}},
		{"a longer file is lost", witness.FileEach, 10, 10, func(d string) error { return os.Truncate(d+"/0-7", 4096) },
			loss{Promises: 10, PromisesLost: 1}},
		{"another's content is lost", witness.FileEach, 10, 10, func(d string) error { return os.Rename(d+"/0-6", d+"/0-7") },
			loss{Promises: 10, PromisesLost: 2}},
		{"what was acknowledged is exposed", witness.FileEach, 5, 10, func(d string) error { return os.Remove(d + "/0-7") },
			loss{Promises: 5, ExposedWrites: 1}},
		{"what was begun is nothing", witness.FileEach, 5, 6, func(d string) error { return os.Remove(d + "/0-7") }, loss{Promises: 5}},
		{"all are gone", witness.FileEach, 5, 10, os.RemoveAll, loss{Promises: 5, PromisesLost: 5, ExposedWrites: 5}},
		{"a file has grown", witness.Append, 10, 10, nil, loss{Promises: 10}},
		{"a grown file is cut", witness.Append, 9, 10, func(d string) error { return os.Truncate(d+"/0", 8*1024-1) }, loss{Promises: 9,
			PromisesLost: 2, ExposedWrites: 1}},
		{"a grown file is gone", witness.Append, 10, 10, os.RemoveAll, loss{Promises: 10, PromisesLost: 10}},
		{"the newest is there", witness.Rename, 10, 10, nil, loss{Promises: 10}},
		{"an older one is there", witness.Rename, 10, 10, func(d string) error { return os.Rename(d+"/0-1", d+"/0-1x") },
			loss{Promises: 10, PromisesLost: 3}},
		{"a name leads to another's file", witness.Rename, 10, 10, func(d string) error { return os.Rename(d+"/0-2", d+"/0-3") },
			loss{Promises: 10, PromisesLost: 4}},
		{"a name leads to half a file", witness.Rename, 10, 10, func(d string) error { return os.Truncate(d+"/0-0", 512) },
			loss{Promises: 10, PromisesLost: 3}},
		{"the newest was not promised", witness.Rename, 4, 10, func(d string) error { return os.Truncate(d+"/0-0", 512) },
			loss{Promises: 4, PromisesLost: 1, ExposedWrites: 2}},
		{"half a file that nobody was promised", witness.Rename, 0, 10, func(d string) error { return os.Truncate(d+"/0-0", 512) },
			loss{ExposedWrites: 3}},
	} {
		data, led := wroteFiles(t, c.pattern, c.promised, c.acked)
		if c.damage != nil {
			if err := c.damage(ownDirectory(data)); err != nil {
				t.Fatal(err)
			}
		}
		var got loss
		ask(t, &got, led.text(t), "check", "--filename="+data)
		if (got.FirstLost != "") != (got.PromisesLost > 0) {
			t.Errorf("%s: %d lost, and the first is %q", c.name, got.PromisesLost, got.FirstLost)
		}
		if got.FirstLost = ""; got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestASurvivorThatIsNotThereIsNoLoss(t *testing.T) {
	led := ledgerOf(someOptions(witness.FileEach).layout, [2]uint32{1, 1})
	var out, errs bytes.Buffer
	status := probe([]string{"check", "--filename=" + t.TempDir() + "/none"}, strings.NewReader(led.text(t)), &out, &errs)
	if status != 1 || !strings.Contains(errs.String(), "is the survivor mounted?") {
		t.Errorf("status %d: %s", status, errs.String())
	}
}

func TestALedgerThatDoesNotFitItsLayoutIsRefused(t *testing.T) {
	for _, bad := range []string{"", "{}", `{"layout":{"pattern":"append","jobs":2,"block_bytes":512,"blocks":1},"jobs":[{}]}`,
		`{"jobs":[{"promised":-1}]}`} {
		if l, err := readLedger(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was taken for %+v", bad, l)
		}
	}
}

func FuzzReadLedger(f *testing.F) {
	f.Add(`{"layout":{"pattern":"append","jobs":1,"block_bytes":512,"blocks":1},"jobs":[{"promised":3,"acknowledged":4}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		if l, err := readLedger(strings.NewReader(text)); err == nil && len(l.Jobs) != l.Layout.Jobs {
			t.Errorf("%q: %+v", text, l)
		}
	})
}

func TestExtentsThatAreNotPlainDataAreRefused(t *testing.T) {
	e := func(logical, physical, length uint64, flags uint32) fiemapExtent {
		return fiemapExtent{logical: logical, physical: physical, length: length, flags: flags}
	}
	next, got, err := takeExtents([]fiemapExtent{e(0, 1<<20, 8192, 0), e(8192, 5<<20, 8192, fiemapLast|fiemapMerged)}, 4096, 12000)
	if want := []extent{{4096, 1<<20 + 4096, 4096}, {8192, 5 << 20,
		3808}}; err != nil || next != 12000 || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v up to %d, %v", got, next, err)
	}
	for name, es := range map[string][]fiemapExtent{
		"nothing": nil, "a hole at the start": {e(4096, 1, 4096, 1)}, "a hole between": {e(0, 1, 4096, 0), e(8192, 1, 4096,
			1)}, "no length": {e(0, 1, 0, 0)},
		"unknown": {e(0, 1, 8192, 2)}, "delayed": {e(0, 1, 8192, 6)}, "encoded": {e(0, 1, 8192, 8)}, "inline": {e(0, 1, 8192, 0x200)},
		"unwritten": {e(0, 1, 8192, 0x800)}, "shared": {e(0, 1, 8192, 0x2000)},
	} {
		if next, got, err := takeExtents(es, 0, 16384); err == nil {
			t.Errorf("%s was taken for %v up to %d", name, got, next)
		}
	}
}

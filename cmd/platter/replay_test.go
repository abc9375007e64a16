package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"platter/cell"
	"platter/powercut/oplog"
	"platter/powercut/replay"
	"platter/powercut/witness"
	"platter/reports"
	"platter/results"
)

const replayedCell = "disk.cache=none,fio.fsync=1"

// recordedRun makes a run directory with one campaign: a direct write that is flushed and promised, and one that is promised
// and not flushed.
func recordedRun(t *testing.T) (dir string, campaign replay.Campaign, blocks [2][]byte) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "run")
	j, err := results.Create(dir, results.Manifest{Schema: results.Schema, Cells: []cell.Cell{
		{ID: replayedCell}, {ID: "disk.cache=unsafe,fio.fsync=1"}}})
	if err != nil {
		t.Fatal(err)
	}
	safety, err := j.SafetyDir(replayedCell)
	if err != nil {
		t.Fatal(err)
	}
	campaign = replay.Campaign{
		Layout: witness.Layout{Campaign: 7, Pattern: witness.Overwrite, Jobs: 1, BlockBytes: 4096, Blocks: 2}, Data: 0, Witness: 1,
		Filesystem: "none", Format: "raw", SizeBytes: 1 << 20, Classes: []string{"host_crash", "power_loss"}, DriveCaches: []string{"volatile"},
	}
	text, err := json.Marshal(campaign)
	if err != nil {
		t.Fatal(err)
	}
	var log []byte
	log, blocks = recordedLog(t, campaign)
	for name, content := range map[string][]byte{"campaign.json": text, "oplog.gz": log} {
		if err := os.WriteFile(filepath.Join(safety, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []results.Safety{
		{Cell: replayedCell, Class: "power_loss", DriveCache: "volatile", Worst: &results.CrashPoint{Point: 9, Seed: 77}},
		{Cell: replayedCell, Class: "host_crash", DriveCache: "volatile"},
	} {
		if err := j.AppendSafety(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, campaign, blocks
}

func recordedLog(t *testing.T, c replay.Campaign) (packed []byte, blocks [2][]byte) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w, err := oplog.NewWriter(z, []oplog.Image{{Name: "data", SizeBytes: c.SizeBytes}, {Name: "witness", SizeBytes: witness.DiskBytes}})
	if err != nil {
		t.Fatal(err)
	}
	walk := c.Layout.Walk(0)
	now, op := int64(0), uint64(0)
	add := func(e oplog.Event, data []byte) {
		now += 1e6
		e.TimeNS, e.Op, e.Length = now, op, max(e.Length, int64(len(data)))
		if err := w.Append(e, data); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 2 {
		blocks[n] = make([]byte, c.Layout.BlockBytes)
		walk.Next().PutBlock(blocks[n])
		op++
		add(oplog.Event{Kind: oplog.Write, Flags: oplog.Direct, Offset: int64(n) * 4096}, blocks[n])
		add(oplog.Event{Kind: oplog.WriteEnd, Flags: oplog.Direct, Offset: int64(n) * 4096, Length: 4096}, nil)
		op++
		if n == 0 {
			for _, kind := range []oplog.Kind{oplog.Flush, oplog.Flushed, oplog.FlushEnd} {
				add(oplog.Event{Kind: kind}, nil)
			}
		}
		op++
		record := make([]byte, witness.RecordSize)
		witness.Record{Campaign: 7, Kind: witness.Promise, Serial: uint64(n) + 1, Sequence: uint32(n) + 1}.Put(record)
		add(oplog.Event{Kind: oplog.Write, Image: 1, Flags: oplog.Direct}, record)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), blocks
}

func platterReplay(args ...string) (status int, stdout, stderr string) {
	var out, err bytes.Buffer
	status = run(context.Background(), append([]string{"platter", "replay"}, args...), strings.NewReader(""), &out, &err)
	return status, out.String(), err.String()
}

func TestReplayPrintsWhatACrashTakes(t *testing.T) {
	dir, _, _ := recordedRun(t)
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"the end", []string{"--class", "power_loss", "--at", "end"}, `cell      disk.cache=none,fio.fsync=1
crash     power_loss, drive cache volatile, at point 9, 9.000 ms after the log began
seed      0: all that can be lost is lost
promised  2 writes
lost      1 of them
exposed   0 writes that were acknowledged and not promised
first     write 2 of job 0: block 1 at byte 4096 should have generation 1 or a newer one, and has 0; it was held by the drive's cache
`},
		{"a point before the second promise", []string{"--class", "power_loss", "--at", "8"}, `cell      disk.cache=none,fio.fsync=1
crash     power_loss, drive cache volatile, at point 8, 8.000 ms after the log began
seed      0: all that can be lost is lost
promised  1 writes
lost      0 of them
exposed   0 writes that were acknowledged and not promised
`},
		{"another class", []string{"--class=host_crash", "--at=9", "--seed=3"}, `cell      disk.cache=none,fio.fsync=1
crash     host_crash, drive cache volatile, at point 9, 9.000 ms after the log began
seed      3: each sector that can be lost is lost or not by it
promised  2 writes
lost      0 of them
exposed   0 writes that were acknowledged and not promised
`},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, stdout, stderr := platterReplay(append([]string{dir, "--cell", replayedCell}, test.args...)...)
			if status != 0 || stdout != test.want || stderr != "" {
				t.Errorf("status %d, stderr %q, stdout\n%s\nwant\n%s", status, stderr, stdout, test.want)
			}
		})
	}
}

func TestReplayWritesTheSurvivor(t *testing.T) {
	dir, c, blocks := recordedRun(t)
	path := filepath.Join(t.TempDir(), "survivor.img")
	status, stdout, stderr := platterReplay(dir, "--cell", replayedCell, "--class", "power_loss", "--at", "end", "-o", path)
	if status != 0 || !strings.HasSuffix(stdout, "survivor  "+path+"\n") {
		t.Fatalf("status %d, %s%s", status, stdout, stderr)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, c.SizeBytes)
	copy(want, blocks[0])
	witness.Stamp{Campaign: 7, Block: 1}.PutBlock(want[4096:8192]) // as it was prefilled
	if !bytes.Equal(got, want) {
		t.Error("the survivor is not the first block as written and the second as prefilled")
	}
	if status, text, errs := platterReplay(dir, "--cell", plainCell(replayedCell), "--class", "power_loss"); status != 0 ||
		!strings.Contains(text, replayedCell) {
		t.Errorf("a cell without namespaces: %s%s", text, errs)
	}
	if _, worst, _ := platterReplay(dir, "--cell", replayedCell, "--class", "power_loss"); !strings.Contains(worst, "at point 9,") ||
		!strings.Contains(worst, "77: each sector") {
		t.Errorf("the worst point: %s", worst)
	}
	if _, worst, _ := platterReplay(dir, "--cell", replayedCell, "--class", "power_loss", "--seed", "0"); !strings.Contains(worst,
		"at point 9,") || !strings.Contains(worst, "0: all that") {
		t.Errorf("the worst point with a seed that is said: %s", worst)
	}
	status, _, stderr = platterReplay(dir, "--cell", replayedCell, "--class", "power_loss", "--at", "end", "-o", path)
	if status != 2 || !strings.Contains(stderr, "survivor.img exists: name another file with -o") {
		t.Errorf("again: status %d, %s", status, stderr)
	}
}

func TestReplayDrawsWhatHappenedAroundTheCrash(t *testing.T) {
	dir, _, _ := recordedRun(t)
	args := []string{dir, "--cell", replayedCell, "--class", "power_loss", "--at", "9", "--timeline"}
	status, stdout, stderr := platterReplay(args...)
	if status != 0 || stderr != "" {
		t.Fatalf("status %d, %s", status, stderr)
	}
	for _, want := range []string{
		"power_loss, drive cache volatile, at crash point 9\nseed 0: all that can be lost is lost\n",
		"job 0         []   PXX!|\n", "flushes         [*]    |\n", "drive's cache .oo....XX|\n", "by nothing: the log ends at the cut",
		"promised  event 9, 9.000 ms, 1.000 ms later: the application was told that it is\n",
		"There is no reproduction without a guest: ",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
	status, stdout, stderr = platterReplay(append(args, "--json")...)
	var line struct {
		Cell         string
		Fate         replay.Fate
		Lanes        []replay.Lane
		Reproduction reports.Reproduction
	}
	if err := json.Unmarshal([]byte(stdout), &line); status != 0 || err != nil {
		t.Fatalf("status %d, %s, %v", status, stderr, err)
	}
	if line.Cell != replayedCell || line.Fate.Sequence != 2 || len(line.Lanes) != 2 || line.Reproduction.Text == "" {
		t.Errorf("as JSON: %s", stdout)
	}
	if status, _, stderr := platterReplay(append(args[:len(args)-1], "--json")...); status != 2 ||
		!strings.Contains(stderr, "--json says how --timeline prints") {
		t.Errorf("--json alone: status %d, %s", status, stderr)
	}
}

// TestTheLinesReproduceTheLossWithoutAGuest pastes the lines into a shell, with this host's qemu-io. Where the lines say that a QEMU loses
// nothing, it must not.
func TestTheLinesReproduceTheLossWithoutAGuest(t *testing.T) {
	if os.Getenv("PLATTER_REAL") != "1" {
		t.Skip("needs root, /dev/fuse, qemu-io and strace: make test sets PLATTER_REAL=1")
	}
	bin := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(bin, "platter"), ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	version, err := exec.CommandContext(t.Context(), "qemu-io", "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	var major, minor, patch int
	if _, err := fmt.Sscanf(string(version), "qemu-io version %d.%d.%d", &major, &minor, &patch); err != nil {
		t.Fatalf("%q: %v", version, err)
	}
	newer := major > 10 || major == 10 && (minor > 0 || patch >= 3)
	setting := func(pairs ...string) (s cell.Settings) {
		for i := 0; i < len(pairs); i += 2 {
			s = append(s, cell.Setting{Name: pairs[i], Value: cell.Value{V: pairs[i+1]}})
		}
		return s
	}
	ten := results.Hypervisor{QEMU: "10.0.13", Libvirt: "9.0.0"}
	for _, test := range []struct {
		name  string
		axes  cell.Settings
		host  results.Hypervisor
		class string
		first bool
		loses bool
	}{
		{"unsafe", setting("disk.cache", "unsafe"), ten, cell.PowerLoss, true, true},
		{"no raw node", setting("disk.cache", "directsync"), results.Hypervisor{QEMU: "7.2.22", Libvirt: "11.3.0"}, cell.PowerLoss, true, true},
		{"no raw node, writethrough", setting("disk.cache", "writethrough"), results.Hypervisor{Libvirt: "11.3.0"}, cell.HostCrash, true, true},
		{"the first write", setting("disk.cache", "writethrough"), ten, cell.HostCrash, true, newer},
		{"FUA", setting("disk.cache", "none", "disk.bus", "scsi"), ten, cell.PowerLoss, true, newer},
		{"FUA, buffered", setting("disk.cache", "writeback", "disk.bus", "scsi"), ten, cell.HostCrash, true, newer},
		{"overlapping", setting("disk.cache", "writethrough", "fio.numjobs", "4"), ten, cell.PowerLoss, false, newer},
		{"overlapping, no raw node", setting("disk.cache", "writethrough", "fio.numjobs", "4"), results.Hypervisor{Libvirt: "12.9.0"},
			cell.PowerLoss, false, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			again := reports.Reproduce(cell.Cell{Settings: test.axes}, test.host, &replay.Timeline{Class: test.class, DriveCache: cell.Volatile,
				Lost: 1, Fate: &replay.Fate{First: test.first}})
			c := exec.CommandContext(t.Context(), "bash", "-c", strings.Join(again.Lines, "\n")+"\nwait\nrmdir \"$d\"")
			c.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "TMPDIR="+t.TempDir())
			out, err := c.CombinedOutput()
			if lost := strings.Contains(string(out), "Pattern verification failed"); err != nil || lost != test.loses {
				t.Errorf("%v, the pattern is lost: %v, want %v:\n%s", err, lost, test.loses, out)
			}
		})
	}
}

func TestReplayBeginsFromTheKeptImage(t *testing.T) {
	dir, c, blocks := recordedRun(t)
	safety := filepath.Join(dir, "raw", replayedCell, "safety")
	base := bytes.Repeat([]byte("base"), int(c.SizeBytes)/4)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(base)
	z.Close()
	c.Base, c.Filesystem = "../base.gz", "ext4"
	text, _ := json.Marshal(c)
	for name, content := range map[string][]byte{"../base.gz": packed.Bytes(), "campaign.json": text} {
		if err := os.WriteFile(filepath.Join(safety, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "survivor.img")
	if status, _, stderr := platterReplay(dir, "--cell", replayedCell, "--class", "power_loss", "--at", "end", "-o", path); status != 0 {
		t.Fatal(stderr)
	}
	got, _ := os.ReadFile(path)
	copy(base, blocks[0])
	if !bytes.Equal(got, base) {
		t.Error("the survivor is not the kept image with the first block written")
	}
	if err := os.WriteFile(filepath.Join(safety, "../base.gz"), packed.Bytes()[:packed.Len()/2], 0o644); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := platterReplay(dir, "--cell", replayedCell, "--class", "power_loss", "--at", "end", "-o", path+"2"); status != 3 ||
		!strings.Contains(stderr, "base.gz") {
		t.Errorf("half an image: status %d, %s", status, stderr)
	}
	if _, err := os.Stat(path + "2"); err == nil {
		t.Error("a survivor that could not be made was left")
	}
}

func TestReplayRefusesInOneLine(t *testing.T) {
	dir, _, _ := recordedRun(t)
	cell := []string{"--cell", replayedCell}
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"no directory", nil, "RUNDIR is missing"},
		{"no cell", []string{dir}, "--cell is missing: " + dir + " has " + replayedCell},
		{"another cell", []string{dir, "--cell", "disk.cache=unsafe,fio.fsync=1"}, `no crash campaign of a cell "disk.cache=unsafe,fio.fsync=1"`},
		{"a way out", []string{dir, "--cell", "../.."}, `no crash campaign of a cell "../.."`},
		{"no class", append(cell, dir), "--class is missing: the run asked about host_crash, power_loss"},
		{"another class", append(cell, "--class", "flood", dir), `class "flood" was not asked about`},
		{"another drive cache", append(cell, "--class", "power_loss", "--drive-cache", "none", dir),
			`drive cache "none" was not asked about: the run asked about volatile`},
		{"beyond the log", append(cell, "--class", "power_loss", "--at", "10", dir), "no crash point 10: the log has 1 to 9"},
		{"no worst point", append(cell, "--class", "host_crash", dir), "no crash point is worst"},
		{"point 0", append(cell, "--class", "power_loss", "--at", "0", dir), "a number from 1, worst or end"},
		{"a word", append(cell, "--class", "power_loss", "--at", "last", dir), "a number from 1, worst or end"},
		{"no run", []string{filepath.Dir(dir)}, "no run directory"},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, stdout, stderr := platterReplay(test.args...)
			if status != 2 || stdout != "" || !strings.Contains(stderr, test.want) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("status %d, stdout %q, stderr %q, want %q", status, stdout, stderr, test.want)
			}
		})
	}
	log := filepath.Join(dir, "raw", replayedCell, "safety", "oplog.gz")
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(log, text[:len(text)-30], 0o644); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := platterReplay(dir, "--cell", replayedCell, "--class", "power_loss", "--at", "end"); status != 2 ||
		!strings.Contains(stderr, "the log is cut short") {
		t.Errorf("a truncated log: status %d, %s", status, stderr)
	}
}

func TestReplayStaysBeneathTheRunDirectory(t *testing.T) {
	dir, campaign, _ := recordedRun(t)
	outside := t.TempDir()
	safety := filepath.Join(dir, "raw", replayedCell, "safety")
	base := filepath.Join(outside, "base.gz")
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(bytes.Repeat([]byte("secret"), 100)); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.WriteFile(base, b.Bytes(), 0o644), os.Rename(filepath.Join(safety, "oplog.gz"), filepath.Join(outside, "oplog.gz")),
		os.Symlink(filepath.Join(outside, "oplog.gz"), filepath.Join(safety, "oplog.gz")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	args := []string{dir, "--cell", replayedCell, "--class", "power_loss", "--at", "end"}
	if status, out, errs := platterReplay(args...); status != exitUsage || strings.Contains(out, "promised") ||
		!strings.Contains(errs, "oplog.gz") {
		t.Errorf("a log that is a link: status %d, %q, %q", status, out, errs)
	}
	if err := os.Rename(filepath.Join(outside, "oplog.gz"), filepath.Join(safety, "oplog.gz")); err != nil {
		t.Fatal(err)
	}
	relative, err := filepath.Rel(safety, base)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{relative, base} {
		campaign.Base = name
		text, err := json.Marshal(campaign)
		if err == nil {
			err = os.WriteFile(filepath.Join(safety, "campaign.json"), text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		survivor := filepath.Join(t.TempDir(), "survivor.img")
		status, out, errs := platterReplay(append(args, "-o", survivor)...)
		if _, err := os.Stat(survivor); status == exitOK || err == nil {
			t.Errorf("base %s: status %d, %q, %q, %v", name, status, out, errs, err)
		}
	}
}

func TestNearCellsShareMostSettings(t *testing.T) {
	cells := []string{"a=1,b=1", "a=1,b=2", "a=2,b=2", "a=3,b=3", "a=4,b=4", "a=5,b=5", "a=6,b=6", "a=7,b=7"}
	got := nearCells("a=2,b=2,c=3", cells)
	if got[0] != "a=2,b=2" || got[1] != "a=1,b=2" || len(got) != 7 || got[6] != "and 2 more" {
		t.Errorf("%q", got)
	}
}

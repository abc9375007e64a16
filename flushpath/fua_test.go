package flushpath

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"platter/cell"
	"platter/internal/golden"
	"platter/version"
)

// The versions that were tried.
var (
	qemu72  = numbers(7, 2, 22)
	qemu102 = numbers(10, 0, 2)
	qemu100 = numbers(10, 0, 13)
	qemu111 = numbers(11, 1, 3)
)

func numbers(major, minor, micro int) version.Version {
	return version.Version{Major: major, Minor: minor, Micro: micro}
}

// on is base below a QEMU, in a domain of its newest machine type.
func on(qemu version.Version, cache, io string) Config {
	c := base(cache)
	c.QEMU, c.IO, c.Machine = qemu, io, numbers(qemu.Major, qemu.Minor, 0)
	return c
}

// The table is written by hand from what was tried, so that no update of a golden file can move it: the newest promises are lost, or all
// are kept. Which class takes them follows from the layer that they rest in.
func TestTheNewestPromisesAreLostWhereQEMUsFlushLeavesTheirWriteOut(t *testing.T) {
	for _, tc := range []struct {
		qemu    version.Version
		io      string
		noRaw   bool
		format  string
		through bool // promises are lost under writethrough and directsync
	}{
		{version.Version{}, "", false, "raw", false},
		{version.Version{}, "", true, "raw", true},
		{qemu72, "", false, "raw", false},
		{qemu72, "threads", true, "raw", true},
		{qemu72, "native", false, "raw", false},
		{qemu72, "native", true, "raw", true},
		{qemu72, "io_uring", true, "raw", true},
		{numbers(9, 2, 1), "", false, "raw", false},
		{qemu102, "", false, "raw", false},
		{qemu102, "", true, "raw", false},
		{qemu102, "native", true, "raw", false},
		{numbers(10, 0, 3), "", false, "raw", true},
		{qemu100, "", false, "raw", true},
		{qemu100, "threads", true, "raw", true},
		{qemu100, "native", true, "raw", false},
		{qemu100, "io_uring", true, "raw", false},
		{qemu111, "", true, "raw", true},
		{qemu111, "native", false, "raw", false},
		{qemu111, "io_uring", true, "raw", false},
		{qemu72, "", true, "qcow2", false},
		{qemu100, "", false, "qcow2", false},
		{qemu111, "", true, "qcow2", false},
	} {
		for _, mode := range modes {
			c := on(tc.qemu, mode, tc.io)
			c.NoRawNode, c.Format = tc.noRaw, tc.format
			for _, class := range cell.FailureClasses() {
				for _, drive := range cell.DriveCaches() {
					p := Predict(c, class, drive)
					lost := tc.through && (mode == "writethrough" && (class == cell.HostCrash || class == cell.PowerLoss) ||
						mode == "directsync" && class == cell.PowerLoss && drive == cell.Volatile)
					unsafe := mode == "unsafe" && (class == cell.HostCrash || class == cell.PowerLoss)
					if p.Newest != lost || (p.Verdict == Loses) != (lost || unsafe) {
						t.Errorf("QEMU %s, io=%q, no raw node %v, %s, %s, %s, %s: %+v", tc.qemu, tc.io, tc.noRaw, tc.format, mode, class, drive, p)
					}
					if lost && (!p.Exposed || !strings.Contains(p.Because, "may leave that write out")) {
						t.Errorf("%s, %s: %+v", mode, class, p)
					}
				}
			}
		}
	}
}

func TestWithoutAPromiseTheNewestWritesAreExposed(t *testing.T) {
	c := on(qemu111, "writethrough", "")
	c.Fsync = 0
	if p := Predict(c, cell.HostCrash, cell.Volatile); p.Verdict != NoPromise || !p.Exposed || !p.Newest {
		t.Errorf("%+v", p)
	}
	c.Direct = false
	if p := Predict(c, cell.HostCrash, cell.Volatile); !p.Exposed || p.Newest {
		t.Errorf("what rests in the guest's page cache is more than the newest: %+v", p)
	}
	c.Cache, c.Direct = "writeback", true
	if p := Predict(c, cell.HostCrash, cell.Volatile); !p.Exposed || p.Newest {
		t.Errorf("%+v", p)
	}
}

func TestSeveralWritersRiskMoreThanTheFirstWrite(t *testing.T) {
	const more = "and any that ends while another's fdatasync runs"
	one, four := on(qemu111, "directsync", ""), on(qemu111, "directsync", "")
	one.Writers, four.Writers = 1, 4
	if p := Predict(one, cell.PowerLoss, cell.Volatile); !p.Newest || strings.Contains(p.Because, more) {
		t.Errorf("%+v", p)
	}
	if p := Predict(four, cell.PowerLoss, cell.Volatile); !p.Newest || !strings.Contains(p.Because, more) {
		t.Errorf("%+v", p)
	}
}

// A FUA write is a promise's last word on a file system where it overwrites with O_DSYNC, or where a commit makes the data reachable.
func TestFUAIsWhatTheDeviceMakesOfIt(t *testing.T) {
	grows := func(c Config) Config {
		c.Filesystem, c.Barrier, c.Grows = "ext4", true, true
		return c
	}
	dsync := func(c Config) Config {
		c.Filesystem, c.Barrier, c.Fsync, c.Sync = "ext4", true, 0, "dsync"
		return c
	}
	overwrite := func(c Config) Config {
		c.Filesystem, c.Barrier = "ext4", true
		return c
	}
	raw := func(c Config) Config {
		c.Fsync, c.Sync = 0, "dsync"
		return c
	}
	const kept, newest, lost = "kept", "newest", "lost"
	for _, tc := range []struct {
		name    string
		bus     string
		qemu    version.Version
		io, fua string
		job     func(Config) Config
		want    string // of a power loss under cache=none behind a volatile drive cache
	}{
		{"scsi before 10.1", "scsi", qemu72, "", "", grows, kept},
		{"scsi before 10.1, O_DSYNC", "scsi", qemu72, "", "", dsync, kept},
		{"scsi before 10.1 with FUA", "scsi", qemu100, "", "1", dsync, kept},
		{"scsi", "scsi", qemu111, "", "", grows, newest},
		{"scsi, O_DSYNC", "scsi", qemu111, "", "", dsync, newest},
		{"scsi, overwriting", "scsi", qemu111, "", "", overwrite, kept},
		{"scsi, the raw device", "scsi", qemu111, "", "", raw, kept},
		{"scsi, native", "scsi", qemu111, "native", "", grows, kept},
		{"scsi, io_uring, O_DSYNC", "scsi", qemu111, "io_uring", "", dsync, kept},
		{"scsi that says it has none", "scsi", qemu111, "", "0", grows, kept},
		{"virtio", "virtio", qemu111, "", "", grows, kept},
		{"nvme", "nvme", qemu72, "", "", grows, newest},
		{"nvme, native", "nvme", qemu111, "native", "", grows, newest},
		{"nvme, O_DSYNC", "nvme", qemu72, "", "", dsync, lost},
		{"nvme, overwriting", "nvme", qemu72, "", "", overwrite, kept},
		{"nvme, the raw device", "nvme", qemu72, "", "", raw, kept},
		{"sd", "sd", qemu72, "", "", asItIs, lost},
	} {
		c := on(tc.qemu, "none", tc.io)
		c.Bus, c.FUA = tc.bus, tc.fua
		c = tc.job(c)
		p := Predict(c, cell.PowerLoss, cell.Volatile)
		got := kept
		switch {
		case p.Newest:
			got = newest
		case p.Promises == Lost:
			got = lost
		}
		if got != tc.want {
			t.Errorf("%s: %s, want %s (%s)", tc.name, got, tc.want, p.Because)
		}
	}
}

// asItIs changes nothing.
func asItIs(c Config) Config { return c }

// Under writethrough and directsync an NVMe disk still says that it has a cache: the flush that the guest sends comes after the write.
func TestAnNVMeGuestsOwnFlushMakesUpForALateOne(t *testing.T) {
	c := on(qemu111, "directsync", "")
	c.Bus = "nvme"
	if p := Predict(c, cell.PowerLoss, cell.Volatile); p.Promises != Kept || !p.Exposed {
		t.Errorf("fsync on the raw device: %+v", p)
	}
	c.Filesystem, c.Barrier, c.Grows = "ext4", true, true
	if p := Predict(c, cell.PowerLoss, cell.Volatile); !p.Newest {
		t.Errorf("a commit's last block: %+v", p)
	}
	c.QEMU = qemu72
	if p := Predict(c, cell.PowerLoss, cell.Volatile); p.Promises != Kept {
		t.Errorf("before 10.0: %+v", p)
	}
}

// The counts are those that were seen: the application's syncs or O_DSYNC writes, guest, QEMU, image (flushes and O_DSYNC writes).
func TestNoFlushIsMissedWhereAWriteIsDurableByItself(t *testing.T) {
	dsync := func(bus, io string, qemu version.Version) Config {
		c := on(qemu, "none", io)
		c.Bus, c.Filesystem, c.Barrier, c.Sync, c.Fsync = bus, "ext4", true, "dsync", 0
		return c
	}
	for _, tc := range []struct {
		name   string
		config Config
		want   Expected
	}{
		{"directsync, native", on(qemu111, "directsync", "native"), Expected{NoneNeeded, NoneNeeded, DsyncEach}},
		{"writethrough, io_uring", on(qemu100, "writethrough", "io_uring"), Expected{NoneNeeded, NoneNeeded, DsyncEach}},
		{"directsync, native, 7.2", on(qemu72, "directsync", "native"), Expected{NoneNeeded, NoneNeeded, EachWrite}},
		{"directsync, threads", on(qemu111, "directsync", ""), Expected{NoneNeeded, NoneNeeded, EachWrite}},
		{"scsi with FUA, O_DSYNC", dsync("scsi", "", qemu111), Expected{ByFUA, NoneSent, EachWrite}},
		{"scsi with FUA, O_DSYNC, native", dsync("scsi", "native", qemu111), Expected{ByFUA, NoneSent, DsyncEach}},
		{"scsi without", dsync("scsi", "", qemu72), Expected{Arrive, Arrive, Arrive}},
		{"nvme, O_DSYNC", dsync("nvme", "", qemu72), Expected{ByFUA, NotCounted, AreDropped}},
		{"none, native, fsync", on(qemu111, "none", "native"), Expected{Arrive, Arrive, Arrive}},
	} {
		if got := Trace(tc.config).Expected; got != tc.want {
			t.Errorf("%s: %+v, want %+v", tc.name, got, tc.want)
		}
	}
	e := Trace(on(qemu111, "directsync", "native")).Expected.Image
	if e.Swallowed(400, 400) || !e.Swallowed(400, 0) {
		t.Error("O_DSYNC writes at the image are not counted for flushes, or their lack is not seen")
	}
}

func TestAMachineTypeHasItsVersionOrThatOfItsQEMU(t *testing.T) {
	for machine, want := range map[string]version.Version{"pc-q35-10.1": numbers(10, 1, 0), "pc-i440fx-7.2": numbers(7, 2, 0),
		"q35": numbers(11, 1, 0), "": numbers(11, 1, 0), "pc-q35-rhel9.6.0": {}, "pc-q35-noble": {}, "microvm": {}, "pc-q35-": {}} {
		if got := MachineVersion(machine, qemu111); got != want {
			t.Errorf("machine type %q: %v, want %v", machine, got, want)
		}
	}
	if f := FactsOf("11.1.3", ""); f != (Facts{QEMU: qemu111}) {
		t.Errorf("%+v", f)
	}
}

func TestPredictionsByVersionAreThoseOfTheGoldenFile(t *testing.T) {
	var b strings.Builder
	for _, bus := range []string{"virtio", "scsi", "nvme", "sd"} {
		for _, qemu := range []version.Version{qemu72, qemu102, qemu100, qemu111} {
			for _, io := range []string{"threads", "native", "io_uring"} {
				fmt.Fprintf(&b, "\n%s, QEMU %s, io=%s\n", bus, qemu, io)
				var reasons []string
				for _, cache := range []string{"none", "writeback", "writethrough", "directsync"} {
					for _, job := range []string{"fsync", "O_DSYNC on ext4", "growing file on ext4"} {
						c := on(qemu, cache, io)
						c.Bus, c.Writers, c.NoRawNode = bus, 4, qemu != qemu72
						if job != "fsync" {
							c.Filesystem, c.Barrier, c.Grows = "ext4", true, strings.HasPrefix(job, "growing")
						}
						if strings.HasPrefix(job, "O_DSYNC") {
							c.Sync, c.Fsync = "dsync", 0
						}
						for _, class := range []string{cell.HostCrash, cell.PowerLoss} {
							p := Predict(c, class, cell.Volatile)
							if p.Verdict == Safe {
								continue
							}
							word := p.Verdict
							if p.Newest {
								word += " the newest"
							}
							fmt.Fprintf(&b, "  %-12s %-20s %-10s %s\n", cache, job, class, word)
							if why := fmt.Sprintf("  %s [%s]\n", p.Because, p.Source); !slices.Contains(reasons, why) {
								reasons = append(reasons, why)
							}
						}
					}
				}
				b.WriteString(strings.Join(reasons, ""))
			}
		}
	}
	golden.Equal(t, "testdata/versions.txt", b.String())
}

// A measured cell is what the model predicts for its hypervisor. The one way out is a cell that lost nothing of which the model has the
// newest promises alone at risk: the table then says why.
func TestTheModelPredictsWhatWasMeasured(t *testing.T) {
	text, err := os.ReadFile("testdata/measured.txt")
	if err != nil {
		t.Fatal(err)
	}
	losses, rows := 0, 0
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 15 {
			t.Fatalf("%d columns: %s", len(f), line)
		}
		rows++
		facts := FactsOf(f[0], f[1])
		c := Config{QEMU: facts.QEMU, NoRawNode: LeavesRawOut(facts.Libvirt), Bus: f[2], FUA: strings.TrimPrefix(f[3], "-"), Cache: f[4],
			IO: f[5], Filesystem: f[6], Barrier: true, Direct: true}
		if f[7] == "dsync" {
			c.Sync = "dsync"
		} else {
			c.Fsync = 1
		}
		if c.Writers, err = strconv.Atoi(f[8]); err != nil {
			t.Fatal(err)
		}
		p := Predict(c, f[9], f[10])
		switch {
		case p.Verdict == f[11] && f[14] == "-":
			if p.Newest {
				losses++
			}
		case p.Newest && f[11] == Safe && len(f[14]) > 10:
		default:
			t.Errorf("predicted %s (the newest alone: %v), measured %s", p.Verdict, p.Newest, line)
		}
	}
	if rows < 250 || losses < 40 {
		t.Errorf("%d rows, %d of them with losses that depend on QEMU's version: the table says little", rows, losses)
	}
}

package flushpath

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"platter/cell"
	"platter/internal/golden"
)

var modes = []string{"none", "writeback", "writethrough", "directsync", "unsafe"}

// base is a raw local image behind virtio, O_DIRECT writes on the raw device, and a promise by fsync=1.
func base(cache string) Config {
	return Config{Cache: cache, Bus: "virtio", Format: "raw", Direct: true, Fsync: 1}
}

// outcome is a prediction in a word: what becomes of promises, and of writes without one.
func outcome(p Prediction) string {
	if p.Exposed {
		return p.Promises + "/lost"
	}
	return p.Promises + "/kept"
}

// The table is written by hand from the rules, promises/unpromised, so that no update of a golden file can move it. In each
// row: none, writeback, writethrough, directsync, unsafe.
func TestTheTableOfTheModelHolds(t *testing.T) {
	k, e, l := "kept/kept", "kept/lost", "lost/lost"
	for _, row := range []struct {
		class, drive string
		want         [5]string
	}{
		{cell.GuestCrash, cell.Volatile, [5]string{k, k, k, k, k}},
		{cell.GuestCrash, cell.Protected, [5]string{k, k, k, k, k}},
		{cell.QEMUKill, cell.Volatile, [5]string{k, k, k, k, k}},
		{cell.QEMUKill, cell.Protected, [5]string{k, k, k, k, k}},
		{cell.HostCrash, cell.Volatile, [5]string{k, e, k, k, l}},
		{cell.HostCrash, cell.Protected, [5]string{k, e, k, k, l}},
		{cell.PowerLoss, cell.Volatile, [5]string{e, e, k, k, l}},
		{cell.PowerLoss, cell.Protected, [5]string{k, e, k, k, l}},
		{cell.PowerLoss, cell.NoCache, [5]string{k, e, k, k, l}},
	} {
		for i, mode := range modes {
			p := Predict(base(mode), row.class, row.drive)
			if got := outcome(p); got != row.want[i] {
				t.Errorf("%s, %s, %s: %s, want %s (%s)", mode, row.class, row.drive, got, row.want[i], p.Because)
			}
		}
	}
}

// What each modifier changes, by hand: only the cells named differ from the table.
func TestModifiersChangeWhatTheySayAndNothingElse(t *testing.T) {
	type row struct{ mode, class, drive, want string }
	for _, tc := range []struct {
		name   string
		modify func(*Config)
		differ []row
	}{
		{"barrier=0", func(c *Config) { c.Filesystem, c.Barrier = "ext4", false }, []row{
			{"none", cell.PowerLoss, cell.Volatile, "lost/lost"},
			{"writeback", cell.HostCrash, cell.Volatile, "lost/lost"}, {"writeback", cell.HostCrash, cell.Protected, "lost/lost"},
			{"writeback", cell.PowerLoss, cell.Volatile, "lost/lost"}, {"writeback", cell.PowerLoss, cell.Protected, "lost/lost"},
		}},
		{"queue/write_cache", func(c *Config) { c.WriteCache = "write through" }, []row{
			{"none", cell.PowerLoss, cell.Volatile, "lost/lost"},
			{"writeback", cell.HostCrash, cell.Volatile, "lost/lost"}, {"writeback", cell.HostCrash, cell.Protected, "lost/lost"},
			{"writeback", cell.PowerLoss, cell.Volatile, "lost/lost"}, {"writeback", cell.PowerLoss, cell.Protected, "lost/lost"},
		}},
		{"queue/write_cache with O_DSYNC", func(c *Config) { c.WriteCache, c.Sync, c.Fsync = "write through", "dsync", 0 }, []row{
			{"none", cell.PowerLoss, cell.Volatile, "lost/kept"},
			{"writeback", cell.HostCrash, cell.Volatile, "lost/kept"}, {"writeback", cell.HostCrash, cell.Protected, "lost/kept"},
			{"writeback", cell.PowerLoss, cell.Volatile, "lost/kept"}, {"writeback", cell.PowerLoss, cell.Protected, "lost/kept"},
			{"unsafe", cell.HostCrash, cell.Volatile, "lost/kept"}, {"unsafe", cell.HostCrash, cell.Protected, "lost/kept"},
			{"unsafe", cell.PowerLoss, cell.Volatile, "lost/kept"}, {"unsafe", cell.PowerLoss, cell.Protected, "lost/kept"},
		}},
		{"xfs", func(c *Config) { c.Filesystem = "xfs" }, nil},
		{"fdatasync", func(c *Config) { c.Fsync, c.Fdatasync = 0, 8 }, nil},
		{"scsi", func(c *Config) { c.Bus = "scsi" }, nil},
		{"qcow2", func(c *Config) { c.Format = "qcow2" }, []row{
			{"none", cell.QEMUKill, cell.Volatile, "kept/lost"}, {"none", cell.QEMUKill, cell.Protected, "kept/lost"},
			{"none", cell.HostCrash, cell.Volatile, "kept/lost"}, {"none", cell.HostCrash, cell.Protected, "kept/lost"},
			{"none", cell.PowerLoss, cell.Protected, "kept/lost"},
			{"writeback", cell.QEMUKill, cell.Volatile, "kept/lost"}, {"writeback", cell.QEMUKill, cell.Protected, "kept/lost"},
			{"unsafe", cell.QEMUKill, cell.Volatile, "kept/lost"}, {"unsafe", cell.QEMUKill, cell.Protected, "kept/lost"},
		}},
	} {
		for _, mode := range modes {
			for _, class := range cell.FailureClasses() {
				for _, drive := range []string{cell.Volatile, cell.Protected} {
					c := base(mode)
					want := outcome(Predict(c, class, drive))
					tc.modify(&c)
					if each := c.syncedWrites(); each {
						want = strings.Replace(want, "/lost", "/kept", 1)
					}
					for _, d := range tc.differ {
						if d.mode == mode && d.class == class && d.drive == drive {
							want = d.want
						}
					}
					if p := Predict(c, class, drive); outcome(p) != want {
						t.Errorf("%s: %s, %s, %s: %s, want %s (%s)", tc.name, mode, class, drive, outcome(p), want, p.Because)
					}
				}
			}
		}
	}
}

func TestBufferedWritesAreExposedInEveryModeAndClassButTheirFsyncKeepsThem(t *testing.T) {
	for _, mode := range modes {
		for _, barrier := range []bool{true, false} {
			c := base(mode)
			c.Direct, c.Filesystem, c.Barrier = false, "ext4", barrier
			for _, class := range cell.FailureClasses() {
				if p := Predict(c, class, cell.Volatile); !p.Exposed {
					t.Errorf("%s, %s: buffered writes are not exposed: %+v", mode, class, p)
				}
			}
			for _, class := range []string{cell.GuestCrash, cell.QEMUKill} {
				if p := Predict(c, class, cell.Volatile); p.Promises != Kept {
					t.Errorf("%s, %s, barrier %v: what fsync wrote out is gone: %+v", mode, class, barrier, p)
				}
			}
		}
	}
}

func TestWithoutAPromiseThereIsNoVerdictButAnExposure(t *testing.T) {
	for _, mode := range modes {
		c := base(mode)
		c.Fsync = 0
		for _, class := range cell.FailureClasses() {
			p, with := Predict(c, class, cell.Volatile), Predict(base(mode), class, cell.Volatile)
			if p.Verdict != NoPromise || p.Promises != NoPromises || p.Exposed != with.Exposed {
				t.Errorf("%s, %s: %+v", mode, class, p)
			}
		}
	}
}

func TestTheGuestMayRecomputeTheModeButNotUnsafe(t *testing.T) {
	for _, tc := range []struct{ cache, cacheType, as string }{
		{"none", "write through", "directsync"},
		{"writeback", "write through", "writethrough"},
		{"", "write through", "writethrough"},
		{"directsync", "write back", "none"},
		{"writethrough", "write back", "writeback"},
		{"none", "write back", "none"},
		{"default", "", "writeback"},
		{"", "", "writeback"},
	} {
		c := base(tc.cache)
		c.CacheType = tc.cacheType
		w, d, n := Effective(c)
		if w2, d2, n2 := Effective(base(tc.as)); w != w2 || d != d2 || n != n2 {
			t.Errorf("%s with cache_type %q: %v %v %v, not as %s", tc.cache, tc.cacheType, w, d, n, tc.as)
		}
		for _, class := range cell.FailureClasses() {
			if got, want := outcome(Predict(c, class, cell.Volatile)), outcome(Predict(base(tc.as), class, cell.Volatile)); got != want {
				t.Errorf("%s with cache_type %q, %s: %s, as %s it is %s", tc.cache, tc.cacheType, class, got, tc.as, want)
			}
		}
	}
	for _, cacheType := range []string{"write through", "write back"} {
		c := base("unsafe")
		c.CacheType = cacheType
		if p := Predict(c, cell.HostCrash, cell.Protected); p.Verdict != Loses {
			t.Errorf("unsafe with cache_type %q: %+v", cacheType, p)
		}
	}
}

// qcow2's metadata goes to the image file with any flush that reaches QEMU, also under no-flush; a flush that does not leave
// the guest does not move it.
func TestAPromiseOnQcow2SurvivesAKilledQEMUIfItsFlushGotThere(t *testing.T) {
	for _, tc := range []struct {
		cache, writeCache, want string
	}{
		{"unsafe", "", Kept}, {"none", "", Kept}, {"writeback", "", Kept}, {"writethrough", "write through", Kept},
		{"unsafe", "write through", Lost}, {"none", "write through", Lost}, {"writeback", "write through", Lost},
	} {
		c := base(tc.cache)
		c.Format, c.WriteCache = "qcow2", tc.writeCache
		if p := Predict(c, cell.QEMUKill, cell.Protected); p.Promises != tc.want {
			t.Errorf("%s, write_cache %q: %+v, want %s", tc.cache, tc.writeCache, p, tc.want)
		}
	}
}

func TestRBDKeepsItsCacheInQEMUAndTheDriveDoesNotMatter(t *testing.T) {
	rbd := func(cache string, until bool) Config {
		c := base(cache)
		c.Protocol, c.WritethroughUntilFlush = "rbd", until
		return c
	}
	for _, tc := range []struct {
		config Config
		want   string // of qemu_kill and all that comes after it
	}{
		{rbd("none", false), "kept/kept"},
		{rbd("directsync", false), "kept/kept"},
		{rbd("writethrough", false), "kept/kept"},
		{rbd("writeback", false), "kept/lost"},
		{rbd("writeback", true), "kept/lost"}, // the first fsync ends it
		{rbd("unsafe", false), "lost/lost"},
		{rbd("unsafe", true), "kept/kept"}, // no flush ever comes to end it
	} {
		for _, class := range cell.FailureClasses() {
			for _, drive := range []string{cell.Volatile, cell.Protected, cell.NoCache} {
				want := tc.want
				if class == cell.GuestCrash {
					want = "kept/kept"
				}
				if p := Predict(tc.config, class, drive); outcome(p) != want {
					t.Errorf("rbd %s, until flush %v, %s, %s: %s, want %s (%s)",
						tc.config.Cache, tc.config.WritethroughUntilFlush, class, drive, outcome(p), want, p.Because)
				}
			}
		}
	}
	for _, mode := range modes {
		for _, l := range Trace(rbd(mode, false)).Layers {
			if l.Where == InHost {
				t.Errorf("rbd %s crosses the host's %s", mode, l.Name)
			}
		}
	}
}

func TestTheControlsLoseInTheirClasses(t *testing.T) {
	unsafe := Config{Cache: "unsafe", Format: "raw", Direct: true, Fdatasync: 1}
	unbarred := Config{Cache: "none", Format: "raw", Filesystem: "ext4", Direct: true, Fdatasync: 1}
	liar := Config{Cache: "none", Format: "raw", Lies: true}
	for _, tc := range []struct {
		config Config
		class  string
	}{
		{unsafe, cell.HostCrash}, {unsafe, cell.PowerLoss}, {unbarred, cell.PowerLoss}, {liar, cell.GuestCrash}, {liar, cell.QEMUKill},
	} {
		if p := Predict(tc.config, tc.class, cell.Volatile); p.Verdict != Loses {
			t.Errorf("%+v, %s: %+v", tc.config, tc.class, p)
		}
	}
}

func TestMetadataOfFilesThatGrowIsInTheGuestUntilASync(t *testing.T) {
	c := base("directsync")
	c.Filesystem, c.Barrier, c.Grows = "ext4", true, true
	if p := Predict(c, cell.GuestCrash, cell.Volatile); outcome(p) != "kept/lost" {
		t.Errorf("%+v", p)
	}
}

func TestAFileSystemThatMovesBlocksHoldsWhereTheyAreUntilASync(t *testing.T) {
	for _, tc := range []struct {
		filesystem string
		direct     bool
		want       string
	}{
		{"btrfs", true, "kept/lost"}, {"btrfs", false, "kept/lost"}, {"f2fs", true, "kept/kept"}, {"f2fs", false, "kept/lost"},
	} {
		c := base("directsync")
		c.Filesystem, c.Barrier, c.Direct = tc.filesystem, true, tc.direct
		if p := Predict(c, cell.GuestCrash, cell.Volatile); outcome(p) != tc.want {
			t.Errorf("%s, direct %t: %s, want %s: %+v", tc.filesystem, tc.direct, outcome(p), tc.want, p)
		}
		c.Cache, c.Barrier, c.Sector = "none", false, 4096
		if p := Predict(c, cell.PowerLoss, cell.Volatile); p.Verdict != Loses || !strings.Contains(p.Because, "nobarrier") {
			t.Errorf("%s, nobarrier: %+v", tc.filesystem, p)
		}
	}
}

func TestF2fsLosesToTornNodeBlocksWhereTheDriveWritesLessThanThemWhole(t *testing.T) {
	for _, tc := range []struct {
		filesystem, cache, class, drive string
		sector                          int
		want                            string
	}{
		{"f2fs", "none", cell.PowerLoss, cell.Volatile, 0, Loses},
		{"f2fs", "none", cell.PowerLoss, cell.Volatile, 512, Loses},
		{"f2fs", "directsync", cell.PowerLoss, cell.Volatile, 0, Loses},
		{"f2fs", "none", cell.PowerLoss, cell.Volatile, 4096, Safe},
		{"f2fs", "none", cell.PowerLoss, cell.Protected, 0, Safe},
		{"f2fs", "none", cell.HostCrash, cell.Volatile, 0, Safe},
		{"f2fs", "writeback", cell.HostCrash, cell.Volatile, 0, Loses},
		{"f2fs", "writeback", cell.GuestCrash, cell.Volatile, 0, Safe},
		{"ext4", "none", cell.PowerLoss, cell.Volatile, 0, Safe},
		{"btrfs", "none", cell.PowerLoss, cell.Volatile, 0, Safe},
	} {
		c := base(tc.cache)
		c.Filesystem, c.Barrier, c.Sector = tc.filesystem, true, tc.sector
		if p := Predict(c, tc.class, tc.drive); p.Verdict != tc.want {
			t.Errorf("%+v: %+v", tc, p)
		}
	}
}

func TestNothingIsPredictedOfWhatIsNotKnown(t *testing.T) {
	for _, tc := range []struct {
		config Config
		class  string
		want   string
	}{
		{Config{Protocol: "nbd", Fsync: 1}, cell.PowerLoss, "what lies behind nbd is not modelled"},
		{Config{Cache: "fast", Fsync: 1}, cell.PowerLoss, "cache=fast is none of"},
		{Config{Filesystem: "zfs", Fsync: 1}, cell.PowerLoss, "file system zfs is not modelled; none, ext4, xfs, btrfs, f2fs are"},
		{Config{Fsync: 1}, "flood", `failure class "flood" is none of`},
	} {
		p := Predict(tc.config, tc.class, cell.Volatile)
		if p.Promises != "" || p.Verdict != "" || !strings.HasPrefix(p.Because, tc.want) {
			t.Errorf("%+v: %+v", tc.config, p)
		}
	}
}

// every calls f for each combination of everything that the model looks at.
func every(f func(Config)) {
	words := []string{"", "write back", "write through"}
	bools := []bool{false, true}
	for _, cache := range append([]string{""}, modes...) {
		for _, filesystem := range cell.Filesystems() {
			for _, writeCache := range words {
				for _, cacheType := range words {
					for _, sync := range []string{"none", "dsync"} {
						for _, fsync := range []int{0, 1} {
							for bits := range 32 {
								c := Config{Cache: cache, Bus: "virtio", Format: "raw", Filesystem: filesystem, WriteCache: writeCache, CacheType: cacheType,
									Sync: sync, Fsync: fsync, Barrier: bools[bits&1], Direct: bools[bits>>1&1], Lies: bools[bits>>2&1], Grows: bools[bits>>3&1]}
								if bits>>4 == 1 {
									c.Format = "qcow2"
								}
								f(c)
								c.Protocol = "rbd"
								f(c)
							}
						}
					}
				}
			}
		}
	}
}

func TestAHarderFailureNeverTakesLess(t *testing.T) {
	every(func(c Config) {
		for _, drive := range []string{cell.Volatile, cell.Protected, cell.NoCache} {
			var before Prediction
			for _, class := range cell.FailureClasses() {
				p := Predict(c, class, drive)
				if before.Promises == Lost && p.Promises != Lost || before.Exposed && !p.Exposed {
					t.Fatalf("%+v: %s takes less than the class before it: %+v, %+v", c, class, p, before)
				}
				before = p
			}
		}
	})
}

func TestAProtectedDriveTurnsAPowerLossIntoAHostCrash(t *testing.T) {
	every(func(c Config) {
		for _, drive := range []string{cell.Protected, cell.NoCache} {
			if a, b := outcome(Predict(c, cell.PowerLoss, drive)), outcome(Predict(c, cell.HostCrash, drive)); a != b {
				t.Fatalf("%+v, %s: power_loss %s, host_crash %s", c, drive, a, b)
			}
		}
	})
}

func TestEveryLayerAndPredictionHasAReasonAndASource(t *testing.T) {
	every(func(c Config) {
		for _, l := range Trace(c).Layers {
			if l.Reason == "" || l.Source == "" || l.Flush == "" || l.Where == "" || l.Holds != (len(l.TakenBy) > 0) {
				t.Fatalf("%+v: %+v", c, l)
			}
		}
		for _, class := range cell.FailureClasses() {
			if p := Predict(c, class, cell.Volatile); p.Because == "" || p.Source == "" {
				t.Fatalf("%+v: %+v", c, p)
			}
		}
	})
}

func TestAFlushEndsOnceOrIsSwallowedOnce(t *testing.T) {
	every(func(c Config) {
		p := Trace(c)
		count := func(flush string) (n int) {
			for _, l := range p.Layers {
				if l.Flush == flush {
					n++
				}
			}
			return n
		}
		ends, swallowed, made := count(Ends), count(Swallowed), count(Made)
		if ends+swallowed-made > 1 && !c.Lies || ends > 1 || swallowed > 1 && !c.Lies || ends+swallowed == 0 {
			t.Fatalf("%+v: %d ends, %d swallowed, %d made: %+v", c, ends, swallowed, made, p)
		}
		if p.Layers[len(p.Layers)-1].Flush == Ends && swallowed > 0 && made == 0 {
			t.Fatalf("%+v: a swallowed flush arrives: %+v", c, p)
		}
	})
}

// The counts are those that were seen (fio's syncs or O_DSYNC writes, guest, QEMU, image; -1 not counted).
func TestSwallowedIsSaidOnlyWhereAFlushIsDueAndDoesNotArrive(t *testing.T) {
	dsync := base("none")
	dsync.Sync, dsync.Fsync = "dsync", 0
	dropped := base("none")
	dropped.WriteCache = "write through"
	unbarred := base("none")
	unbarred.Filesystem = "ext4"
	unbarredThrough := base("writethrough")
	unbarredThrough.Filesystem = "ext4"
	ext4 := base("writeback")
	ext4.Filesystem, ext4.Barrier = "ext4", true
	idle := base("unsafe")
	idle.Fsync = 0
	for _, tc := range []struct {
		name   string
		config Config
		writes int64
		counts [4]int64
		want   string // where flushes were swallowed on the way
	}{
		{"none", base("none"), 400, [4]int64{99, 99, 99, 99}, ""},
		{"writeback", base("writeback"), 400, [4]int64{99, 99, 99, 99}, ""},
		{"writethrough", base("writethrough"), 400, [4]int64{99, 0, 0, 400}, ""},
		{"directsync", base("directsync"), 400, [4]int64{99, 0, 0, 400}, ""},
		{"unsafe", base("unsafe"), 400, [4]int64{99, 99, 99, 0}, "image"},
		{"queue/write_cache write through", dropped, 400, [4]int64{99, 0, 0, 0}, "guest"},
		{"barrier=0", unbarred, 400, [4]int64{719, 1, 1, 1}, "guest"},
		{"barrier=0 under writethrough", unbarredThrough, 400, [4]int64{99, 0, 0, 400}, ""},
		{"sync=dsync", dsync, 100, [4]int64{100, 200, 200, 200}, ""},
		{"4 jobs, fsync=1", base("none"), 400, [4]int64{396, 390, 390, 390}, ""},
		{"ext4, appending", ext4, 100, [4]int64{100, 200, 200, 200}, ""},
		{"nobody asks", idle, 100, [4]int64{0, 0, 0, 0}, ""},
		{"a disk that drops flushes", base("none"), 400, [4]int64{99, 99, 99, 0}, "image"},
		{"a disk that drops QEMU's own flushes", base("writethrough"), 400, [4]int64{99, 0, 0, 3}, "image"},
	} {
		e := Trace(tc.config).Expected
		aboveImage := tc.counts[2]
		if e.Image == EachWrite {
			aboveImage = tc.writes
		}
		var at []string
		for _, hop := range []struct {
			name        string
			expect      Expect
			above, here int64
		}{{"guest", e.Guest, tc.counts[0], tc.counts[1]}, {"qemu", e.QEMU, tc.counts[1], tc.counts[2]}, {"image", e.Image, aboveImage,
			tc.counts[3]}} {
			if hop.expect.Swallowed(hop.above, hop.here) {
				at = append(at, hop.name)
			}
		}
		if got := strings.Join(at, " "); got != tc.want {
			t.Errorf("%s: swallowed at %q, want %q (%+v)", tc.name, got, tc.want, e)
		}
	}
}

func TestPredictionsAreThoseOfTheGoldenFile(t *testing.T) {
	var b strings.Builder
	modifiers := []struct {
		name   string
		modify func(*Config)
	}{
		{"fsync=1", func(*Config) {}},
		{"no sync", func(c *Config) { c.Fsync = 0 }},
		{"fsync=1, direct=0", func(c *Config) { c.Direct = false }},
		{"no sync, direct=0", func(c *Config) { c.Fsync, c.Direct = 0, false }},
		{"sync=dsync", func(c *Config) { c.Fsync, c.Sync = 0, "dsync" }},
		{"sync=dsync, direct=0", func(c *Config) { c.Fsync, c.Sync, c.Direct = 0, "dsync", false }},
		{"ext4, barrier=1", func(c *Config) { c.Filesystem, c.Barrier = "ext4", true }},
		{"ext4, barrier=0", func(c *Config) { c.Filesystem = "ext4" }},
		{"ext4, barrier=0, direct=0", func(c *Config) { c.Filesystem, c.Direct = "ext4", false }},
		{"ext4, barrier=1, files grow", func(c *Config) { c.Filesystem, c.Barrier, c.Grows = "ext4", true, true }},
		{"write_cache=write through", func(c *Config) { c.WriteCache = "write through" }},
		{"write_cache=write through, sync=dsync", func(c *Config) { c.WriteCache, c.Fsync, c.Sync = "write through", 0, "dsync" }},
		{"cache_type=write through", func(c *Config) { c.CacheType = "write through" }},
		{"cache_type=write back", func(c *Config) { c.CacheType = "write back" }},
		{"qcow2", func(c *Config) { c.Format = "qcow2" }},
		{"qcow2, ext4, barrier=0", func(c *Config) { c.Format, c.Filesystem = "qcow2", "ext4" }},
		{"qcow2, write_cache=write through", func(c *Config) { c.Format, c.WriteCache = "qcow2", "write through" }},
		{"rbd", func(c *Config) { c.Protocol = "rbd" }},
		{"rbd, no sync", func(c *Config) { c.Protocol, c.Fsync = "rbd", 0 }},
		{"rbd, write_cache=write through", func(c *Config) { c.Protocol, c.WriteCache = "rbd", "write through" }},
		{"rbd, writethrough until flush", func(c *Config) { c.Protocol, c.WritethroughUntilFlush = "rbd", true }},
		{"btrfs", func(c *Config) { c.Filesystem, c.Barrier = "btrfs", true }},
		{"btrfs, nobarrier", func(c *Config) { c.Filesystem = "btrfs" }},
		{"f2fs", func(c *Config) { c.Filesystem, c.Barrier = "f2fs", true }},
		{"f2fs, direct=0", func(c *Config) { c.Filesystem, c.Barrier, c.Direct = "f2fs", true, false }},
		{"a probe that lies, direct=0", func(c *Config) { c.Lies, c.Direct, c.Fsync = true, false, 0 }},
	}
	for _, m := range modifiers {
		fmt.Fprintf(&b, "\n%s\n", m.name)
		for _, mode := range modes {
			c := base(mode)
			m.modify(&c)
			e := Trace(c).Expected
			fmt.Fprintf(&b, "  %-12s  flushes expected: guest %s, qemu %s, image %s\n", mode, e.Guest, e.QEMU, e.Image)
			for _, class := range cell.FailureClasses() {
				for _, drive := range []string{cell.Volatile, cell.Protected} {
					p := Predict(c, class, drive)
					if drive == cell.Protected && (class != cell.PowerLoss || outcome(p) == outcome(Predict(c, class, cell.Volatile))) {
						continue // the drive cache matters to a power loss alone: TestTheTableOfTheModelHolds
					}
					fmt.Fprintf(&b, "    %-11s %-9s %-10s %-9s %s [%s]\n", class, drive, p.Verdict, outcome(p), p.Because, p.Source)
				}
			}
		}
	}
	golden.Equal(t, "testdata/predictions.txt", b.String())
}

func TestPathsAreThoseOfTheGoldenFile(t *testing.T) {
	var b strings.Builder
	show := func(title string, p Path) {
		fmt.Fprintf(&b, "\n%s\n", title)
		for _, l := range p.Layers {
			rests := ""
			if l.Holds {
				rests = "holds"
			}
			if l.Unpromised {
				rests += " unpromised"
			}
			if l.Promised {
				rests += " promised"
			}
			fmt.Fprintf(&b, "  %-7s %-17s %-10s %-26s %s [%s]\n", l.Where, l.Name, l.Flush, rests, l.Reason, l.Source)
		}
	}
	for _, mode := range modes {
		c := base(mode)
		c.Filesystem, c.Barrier, c.Direct, c.Format = "ext4", true, false, "qcow2"
		show(mode+", qcow2, ext4, buffered", Trace(c))
	}
	for _, mode := range []string{"none", "writeback", "unsafe"} {
		c := base(mode)
		c.Filesystem = "ext4"
		show(mode+", ext4, barrier=0, O_DIRECT", Trace(c))
	}
	c := base("writeback")
	c.Protocol = "rbd"
	show("rbd, writeback", Trace(c))
	show("none, protected drive", TraceWith(base("none"), cell.Protected))
	show("none, no drive cache, nothing asked", TraceWith(Config{Cache: "none", Direct: true}, cell.NoCache))
	golden.Equal(t, "testdata/paths.txt", b.String())
}

func TestLayersComeInTheOrderOfTheirPlaces(t *testing.T) {
	order := []string{InGuest, InQEMU, InHost, InCluster}
	every(func(c Config) {
		if !slices.IsSortedFunc(Trace(c).Layers, func(a, b Layer) int { return slices.Index(order, a.Where) - slices.Index(order, b.Where) }) {
			t.Fatalf("%+v: %+v", c, Trace(c).Layers)
		}
	})
}

func TestTheModelSeesACellAsItIsSet(t *testing.T) {
	of := func(settings ...string) cell.Cell {
		var c cell.Cell
		for _, s := range settings {
			name, value, _ := strings.Cut(s, "=")
			c.Settings = append(c.Settings, cell.Setting{Name: name, Value: cell.Value{V: value}})
		}
		return c
	}
	for _, test := range []struct {
		c    cell.Cell
		want Config
	}{
		{of("disk.cache=none", "storage.format=raw", "guest.filesystem=none", "guest.barrier=on", "guest.write_cache=device",
			"fio.direct=1", "fio.sync=dsync"),
			Config{Cache: "none", Bus: "virtio", Format: "raw", Filesystem: "none", Barrier: true, Direct: true, Sync: "dsync", Writers: 1}},
		{of("disk.cache=unsafe", "disk.bus=scsi", "storage.format=qcow2", "guest.filesystem=ext4", "guest.barrier=off",
			"guest.cache_type=write back", "fio.fsync=1k"),
			Config{Cache: "unsafe", Bus: "scsi", Format: "qcow2", Filesystem: "ext4", CacheType: "write back", Sync: "none", Fsync: 1024,
				Writers: 1}},
		{of("guest.write_cache=write through", "fio.fdatasync=8", "fio.file_append=1", "fio.sync=1"),
			Config{Bus: "virtio", Format: "raw", Filesystem: "none", Barrier: true, WriteCache: "write through", Fdatasync: 8, Grows: true,
				Sync: "sync", Writers: 1}},
		{of("disk.cache=none", "disk.io=native", "fio.numjobs=4", "fio.iodepth=8"),
			Config{Cache: "none", IO: "native", Bus: "virtio", Format: "raw", Filesystem: "none", Barrier: true, Sync: "none", Writers: 4}},
		{of("disk.cache=none", "fio.numjobs=4", "fio.iodepth=8", "fio.ioengine=libaio"),
			Config{Cache: "none", Bus: "virtio", Format: "raw", Filesystem: "none", Barrier: true, Sync: "none", Writers: 32}},
	} {
		if got := Of(test.c, Facts{}); got != test.want {
			t.Errorf("%s is %+v, want %+v", test.c.Settings, got, test.want)
		}
	}
}

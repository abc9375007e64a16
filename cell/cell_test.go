package cell

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestNumbersAreWrittenAsPeopleWriteThem(t *testing.T) {
	for _, c := range []struct {
		v    any
		want string
	}{
		{int64(-3), "-3"}, {uint64(math.MaxUint64), "18446744073709551615"}, {1e21, "1000000000000000000000"}, {0.5, "0.5"}, {true, "true"},
		{"a b", "a b"},
	} {
		if got := (Value{V: c.v}).String(); got != c.want {
			t.Errorf("%v is written %q, want %q", c.v, got, c.want)
		}
	}
}

func TestSizesOfStorageAndGuest(t *testing.T) {
	for text, want := range map[string]int64{
		"4096": 4096, "4KiB": 4096, "4k": 4096, "4K": 4096, "512MiB": 512 << 20, "1M": 1 << 20, "2GiB": 2 << 30, "2 GiB": 2 << 30, "1T": 1 << 40,
		"8388607T": 8388607 << 40,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%q is %d (%v), want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "1GB", "1.5G", "-1", "1 KiBs", "8388608T", "99999999999999999999", "1e9", "0x10", "G"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q was read as %d", text, got)
		}
	}
}

func TestTimesOfFio(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"10": 10 * time.Second, "1500ms": 1500 * time.Millisecond, "1500msec": 1500 * time.Millisecond, "2s": 2 * time.Second,
		"3m": 3 * time.Minute, "1h": time.Hour, "1d": 24 * time.Hour, "250us": 250 * time.Microsecond, "7usec": 7 * time.Microsecond, "0": 0,
	} {
		if got, err := ParseFioTime(text); err != nil || got != want {
			t.Errorf("%q is %v (%v), want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "1.5", "1.5s", "1min", "1sec", "1ns", "-1", "1:00", "99999999999d", "5x", "1S"} {
		if got, err := ParseFioTime(text); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}

func TestSizesOfFio(t *testing.T) {
	for text, want := range map[string]int64{
		"4k": 4096, "4K": 4096, "4kb": 4096, "4kB": 4096, "1g": 1 << 30, "4096": 4096, "4096b": 4096, "1t": 1 << 40, "0": 0,
		"4KiB": 4096, "1GiB": 1 << 30, "2TiB": 2 << 40,
	} {
		if got, err := ParseFioSize(text); err != nil || got != want {
			t.Errorf("%q is %d (%v), want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "4ki", "1gib", "4KIB", "50%", "0.5m", "4mm", "4Mx", "1:8", "0x1000", "9000000p"} {
		if got, err := ParseFioSize(text); err == nil {
			t.Errorf("%q was read as %d", text, got)
		}
	}
}

// Counts are sizes to fio, too: fsync=1k is after each 1024 writes (fio 3.33, tried).
func TestNumbersAreReadByFiosRules(t *testing.T) {
	c := Cell{Settings: Settings{{"fio.fsync", Value{"1k"}}, {"fio.numjobs", Value{"4"}}, {"fio.bs", Value{"8k,16k"}},
		{"fio.iodepth", Value{int64(32)}}}}
	if c.Fsync() != 1024 || c.Jobs() != 4 || c.IODepth() != 32 || c.BlockBytes() != 8192 || c.Commits() != CommitsSometimes {
		t.Errorf("fsync %d, jobs %d, depth %d, block %d, commits %s", c.Fsync(), c.Jobs(), c.IODepth(), c.BlockBytes(), c.Commits())
	}
}

func TestWhatACellMeans(t *testing.T) {
	for _, c := range []struct {
		name           string
		settings       Settings
		sync, commits  string
		promises, held bool
	}{
		{"nothing set", nil, NoSync, CommitsNever, false, false},
		{"fsync after each", Settings{{"fio.fsync", Value{int64(1)}}}, NoSync, CommitsEach, true, false},
		{"fdatasync now and then", Settings{{"fio.fdatasync", Value{"32"}}}, NoSync, CommitsSometimes, true, false},
		{"sync=1 of old", Settings{{"fio.sync", Value{int64(1)}}}, Sync, CommitsEach, true, false},
		{"sync=0 of old", Settings{{"fio.sync", Value{"0"}}}, NoSync, CommitsNever, false, false},
		{"dsync", Settings{{"fio.sync", Value{"dsync"}}}, DSync, CommitsEach, true, false},
		{"barrier off", Settings{{"guest.barrier", Value{"off"}}}, NoSync, CommitsNever, false, true},
		{"cache_type", Settings{{"guest.cache_type", Value{"write through"}}}, NoSync, CommitsNever, false, true},
		{"cache_type back", Settings{{"guest.cache_type", Value{"write back"}}}, NoSync, CommitsNever, false, false},
	} {
		got := Cell{Settings: c.settings}
		if got.Sync() != c.sync || got.Commits() != c.commits || got.Promises() != c.promises || got.FlushesStopped() != c.held {
			t.Errorf("%s: sync %s, commits %s, promises %v, flushes stopped %v", c.name, got.Sync(), got.Commits(), got.Promises(),
				got.FlushesStopped())
		}
	}
}

func TestDefaultsOfACellWithoutSettings(t *testing.T) {
	c := Cell{Settings: Settings{{"storage.size", Value{int64(1 << 30)}}}}
	if c.Cache() != "" || c.Bus() != "virtio" || c.Filesystem() != RawDevice || c.Barrier() != "on" || c.RW() != "read" ||
		c.Engine() != "psync" ||
		c.Jobs() != 1 || c.IODepth() != 1 || c.BlockBytes() != 4096 || c.WorkingSet() != 1<<30 || c.FileBytes() != 0 || c.Device() != (Device{}) {
		t.Errorf("%+v means otherwise", c)
	}
}

// The order of settings is that of attributes and options in what is written from them; types are those of the matrix.
func TestACellIsTheSameWhenItWasWrittenAndRead(t *testing.T) {
	c := Cell{ID: "a=1", Axes: Settings{{"z", Value{"1"}}, {"a", Value{int64(1)}}}, Excluded: "why", Unprobed: "nothing is written",
		Settings: Settings{
			{"disk.z", Value{"on"}}, {"disk.a", Value{0.5}}, {"fio.big", Value{uint64(math.MaxUint64)}}, {"fio.yes", Value{true}},
			{"fio.size", Value{int64(1 << 60)}}}}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var got Cell
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c, got); diff != "" {
		t.Errorf("%s\n%s", text, diff)
	}
	for _, bad := range []string{`{"id":"x","axes":[]}`, `{"id":"x","axes":{"a":null}}`, `{"id":"x","axes":{"a":[1]}}`,
		`{"id":"x","axes":{"a":1,"a":2}}`, `{"id":"x","axes":7}`} {
		if err := json.Unmarshal([]byte(bad), new(Cell)); err == nil {
			t.Errorf("%s was read as a cell", bad)
		}
	}
}

func TestSettingsAreNotChangedByWhatIsMadeOfThem(t *testing.T) {
	base := Settings{{"disk.cache", Value{"none"}}, {"fio.bs", Value{"4k"}}}
	more := base.With("fio.bs", Value{"8k"}).With("fio.rw", Value{"write"}).Without("disk.cache")
	if base.String() != "disk.cache=none fio.bs=4k" || more.String() != "fio.bs=8k fio.rw=write" ||
		more.Of("fio").String() != "bs=8k rw=write" {
		t.Errorf("%s; %s; %s", base, more, more.Of("fio"))
	}
}

func TestAQuestionInWords(t *testing.T) {
	for want, q := range map[string]Question{
		"power loss (volatile)": {Class: PowerLoss, DriveCache: Volatile}, "power loss": {Class: PowerLoss},
		"host crash": {Class: HostCrash, DriveCache: Protected},
	} {
		if q.String() != want {
			t.Errorf("%q, want %q", q, want)
		}
	}
}

func FuzzCellsInJSON(f *testing.F) {
	f.Add([]byte(`{"id":"a","axes":{"disk.cache":"none","fio.fsync":1},"settings":{"x":0.5}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var c, again Cell
		if json.Unmarshal(text, &c) != nil {
			return
		}
		out, err := json.Marshal(c)
		if err != nil {
			t.Fatalf("%q was read and cannot be written: %v", text, err)
		}
		if err := json.Unmarshal(out, &again); err != nil {
			t.Fatalf("%q was written as %q, which cannot be read: %v", text, out, err)
		}
		if a, b := c.Settings.String(), again.Settings.String(); a != b {
			t.Fatalf("%q became %q", a, b)
		}
	})
}

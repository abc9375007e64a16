package orchestrator

import (
	"slices"
	"testing"

	"platter/fiojob"
)

// The counts are those that fio made on a local file, fsync and fdatasync calls as strace counted them.
func TestOfFiosSyncCallsThoseWithNewWritesAreCounted(t *testing.T) {
	for name, c := range map[string]struct {
		settings     []string
		writes, made int64
		due, idle    int64
	}{
		"fsync=1":                              {[]string{"fio.fsync", "1"}, 100, 99, 99, 0},
		"fdatasync=8":                          {[]string{"fio.fdatasync", "8"}, 200, 24, 24, 0},
		"randrw, fsync=1, fio 3.33":            {[]string{"fio.fsync", "1"}, 101, 196, 101, 95},
		"randrw, fsync=1, fio 3.39":            {[]string{"fio.fsync", "1"}, 101, 101, 101, 0},
		"randrw, fdatasync=1, fio 3.33":        {[]string{"fio.fdatasync", "1"}, 101, 196, 101, 95},
		"io_uring, depth 8, fsync=8, fio 3.33": {[]string{"fio.fsync", "8"}, 200, 94, 25, 69},
		"io_uring, depth 8, fsync=8, fio 3.41": {[]string{"fio.fsync", "8"}, 200, 24, 24, 0},
		"both":                                 {[]string{"fio.fsync", "8", "fio.fdatasync", "4"}, 80, 19, 19, 0},
		"sync_file_range, which is no promise": {[]string{"fio.sync_file_range", "write:8"}, 100, 12, 0, 12},
	} {
		m := &fiojob.Metrics{Write: &fiojob.Direction{IOs: c.writes}, Sync: &fiojob.Sync{IOs: c.made}}
		due, idle := syncCalls(cellWith(c.settings...), m)
		if due == nil || *due != c.due || idle != c.idle {
			t.Errorf("%s: %v calls are due and %d idle, want %d and %d", name, due, idle, c.due, c.idle)
		}
	}
	if due, _ := syncCalls(cellWith("fio.fsync", "1"), &fiojob.Metrics{}); due == nil || *due != 0 {
		t.Errorf("no section of sync calls: %v, want 0", due)
	}
	for _, missing := range []string{"sync", "sync.ios"} {
		m := &fiojob.Metrics{Write: &fiojob.Direction{IOs: 100}, Missing: []string{missing, "write.latency"}}
		if due, idle := syncCalls(cellWith("fio.fdatasync", "1"), m); due != nil || idle != 0 {
			t.Errorf("%s is missing: %d and %d calls, want none counted", missing, *due, idle)
		}
	}
}

// Only by gettimeofday is every flush that fio mistimes longer than the trial, however short the guest is up.
func TestTheClockIsSetWhereFioMistimesFlushes(t *testing.T) {
	for name, c := range map[string]struct {
		settings []string
		want     string
	}{
		"libaio, depth 8, fsync":     {[]string{"fio.ioengine", "libaio", "fio.iodepth", "8", "fio.fsync", "1"}, "gettimeofday"},
		"libaio, depth 8, fdatasync": {[]string{"fio.ioengine", "libaio", "fio.iodepth", "8", "fio.fdatasync", "4"}, "gettimeofday"},
		"a clock of its own": {[]string{"fio.ioengine", "libaio", "fio.iodepth", "8", "fio.fsync", "1", "fio.clocksource", "cpu"},
			"cpu"},
		"libaio, depth 8":          {[]string{"fio.ioengine", "libaio", "fio.iodepth", "8"}, ""},
		"libaio, depth 1, fsync":   {[]string{"fio.ioengine", "libaio", "fio.fsync", "1"}, ""},
		"io_uring, depth 8, fsync": {[]string{"fio.ioengine", "io_uring", "fio.iodepth", "8", "fio.fsync", "1"}, ""},
		"psync, fsync, no iodepth": {[]string{"fio.fsync", "1"}, ""},
	} {
		var clocks []string
		for _, o := range jobOptions(Step{Cell: cellWith(c.settings...)}, 7, "/dev/vdb") {
			if o.Name == "clocksource" {
				clocks = append(clocks, o.Value)
			}
		}
		if c.want == "" && clocks != nil || c.want != "" && !slices.Equal(clocks, []string{c.want}) {
			t.Errorf("%s: clocksource is %q, want %q", name, clocks, c.want)
		}
	}
}

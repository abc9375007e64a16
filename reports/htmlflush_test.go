package reports

import (
	"testing"

	"platter/flushpath"
	"platter/results"
)

// What was counted: with io=native and io_uring each write is RWF_DSYNC, on a SCSI disk with FUA no flush leaves the guest, and QEMU's NVMe
// device accounts for none.
func TestNothingIsCalledSwallowedWhereWritesAreDurableByThemselves(t *testing.T) {
	qemu := flushpath.FactsOf("11.1.3", "12.9.0").QEMU
	native := flushpath.Config{Cache: "directsync", IO: "native", Direct: true, Fsync: 1, QEMU: qemu}
	threads := native
	threads.IO = "threads"
	fua := flushpath.Config{Cache: "none", Bus: "scsi", FUA: "1", Filesystem: "ext4", Barrier: true, Direct: true, Sync: "dsync", QEMU: qemu}
	nvme := flushpath.Config{Cache: "none", Bus: "nvme", Direct: true, Fsync: 1, QEMU: qemu}
	n := func(v int64) *int64 { return &v }
	for _, tc := range []struct {
		name    string
		config  flushpath.Config
		path    results.FlushPath
		differs bool
	}{
		{"native", native, results.FlushPath{Fio: n(400), Guest: n(0), QEMU: n(0), Image: n(0), ImageDsyncWrites: n(400)}, false},
		{"native, O_DSYNC writes not counted", native, results.FlushPath{Fio: n(400), Guest: n(0), QEMU: n(0), Image: n(0)}, false},
		{"native, and nothing arrived", native, results.FlushPath{Fio: n(400), Guest: n(0), QEMU: n(0), Image: n(0), ImageDsyncWrites: n(0)}, true},
		{"threads", threads, results.FlushPath{Fio: n(400), Guest: n(0), QEMU: n(0), Image: n(399), ImageDsyncWrites: n(0)}, false},
		{"O_DSYNC with FUA", fua, results.FlushPath{Fio: n(0), FioDsyncWrites: n(400), Guest: n(0), QEMU: n(0), Image: n(399),
			ImageDsyncWrites: n(0)}, false},
		{"O_DSYNC with FUA, and nothing arrived", fua, results.FlushPath{Fio: n(0), FioDsyncWrites: n(400), Guest: n(0), QEMU: n(0), Image: n(0),
			ImageDsyncWrites: n(0)}, true},
		{"NVMe", nvme, results.FlushPath{Fio: n(400), Guest: n(400), QEMU: n(0), Image: n(400), ImageDsyncWrites: n(0)}, false},
		{"NVMe, and nothing arrived", nvme, results.FlushPath{Fio: n(400), Guest: n(400), QEMU: n(0), Image: n(0), ImageDsyncWrites: n(0)}, true},
	} {
		e := flushpath.Trace(tc.config).Expected
		r := flushRow{Expected: &e}
		r.compare(Cell{Trials: 1, Writes: 400, FlushPath: tc.path})
		if r.Differs != tc.differs {
			t.Errorf("%s: %q, expected %+v", tc.name, r.Found, e)
		}
	}
}

func TestALossOfTheNewestPromisesThatWasNotSeenIsNoSurprise(t *testing.T) {
	row := func(verdict string, lost int64) SafetyRow {
		return SafetyRow{Safety: results.Safety{Status: results.OK, Class: "power_loss", DriveCache: "volatile", Verdict: verdict, Predicted: results.Loses,
			PredictedExposed: true, PredictedNewest: true, PromisesLost: lost, Promises: 900}}
	}
	for _, tc := range []struct {
		row      SafetyRow
		surprise bool
		unseen   int
	}{{row(results.Safe, 0), false, 1}, {row(results.Loses, 3), false, 0}, {row(results.Loses, 900), true, 0}} {
		s := Safety{Rows: []SafetyRow{tc.row}}
		if (tc.row.Surprise() != "") != tc.surprise || len(s.Unseen()) != tc.unseen {
			t.Errorf("%s %d: %q, %q", tc.row.Verdict, tc.row.PromisesLost, tc.row.Surprise(), s.Unseen())
		}
	}
}

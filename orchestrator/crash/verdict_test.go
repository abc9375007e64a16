package crash

import (
	"math"
	"testing"

	"platter/cell"
	"platter/matrices"
	"platter/results"
)

// lost is a control that lost, as it must.
var lost = []results.Control{{Name: "unsafe", Promises: 100, PromisesLost: 100, Lost: true}}

func TestAVerdictFollowsTheRules(t *testing.T) {
	clean := &results.LiveCuts{Cuts: 1, Promises: 10, Agrees: true}
	for _, c := range []struct {
		name   string
		record results.Safety
		want   string
	}{
		{"kept promises are safe", results.Safety{Promises: 100, CrashPoints: 400, Controls: lost}, results.Safe},
		{"one broken promise is a loss", results.Safety{Promises: 100, PromisesLost: 1, PointsLost: 1, Controls: lost}, results.Loses},
		{"nothing promised is no promise, whatever was exposed", results.Safety{Writes: 50, Exposure: results.Exposure{Writes: 50},
			Controls: lost}, results.NoPromise},
		{"a torn block is counted apart", results.Safety{Promises: 100, Torn: 3, Controls: lost}, results.Safe},
		{"a broken file system is a loss where something was promised", results.Safety{Promises: 100, Filesystem: "e2fsck: no", Controls: lost},
			results.Loses},
		{"a broken file system breaks no promise that was not made", results.Safety{Filesystem: "e2fsck: no", Controls: lost}, results.NoPromise},
		{"a live cut that lost is a loss", results.Safety{Promises: 100, Controls: lost,
			Live: &results.LiveCuts{Cuts: 1, Lost: 1, PromisesLost: 2, Promises: 9, Agrees: true}}, results.Loses},
		{"clean live cuts are safe", results.Safety{Promises: 100, Controls: lost, Live: clean}, results.Safe},
		{"a live cut that disagrees makes it worth nothing", results.Safety{Promises: 100, Controls: lost,
			Live: &results.LiveCuts{Cuts: 1, Disagreement: "differs"}}, results.Invalid},
		{"xfs is not safe when no live cut has looked at its file system", results.Safety{Method: results.Live, Promises: 100, Controls: lost},
			results.Invalid},
		{"nor when nothing was promised yet at its cuts", results.Safety{Method: results.Live, Promises: 100, Controls: lost,
			Live: &results.LiveCuts{Cuts: 1, Agrees: true}}, results.Invalid},
		{"xfs is safe when it read back at a cut", results.Safety{Method: results.Live, Promises: 100, Controls: lost, Live: clean},
			results.Safe},
		{"what the log says is lost of xfs is lost without any cut", results.Safety{Method: results.Live, Promises: 100, PromisesLost: 1,
			Controls: lost}, results.Loses},
		{"xfs without a promise needs no cut", results.Safety{Method: results.Live, Writes: 9, Controls: lost}, results.NoPromise},
		{"without a control it is worth nothing", results.Safety{Promises: 100}, results.Invalid},
		{"a control that did not lose makes it worth nothing", results.Safety{Promises: 100, PromisesLost: 4,
			Controls: []results.Control{{Name: "unsafe", Promises: 100}}}, results.Invalid},
		{"one of two controls that did not lose is enough", results.Safety{Promises: 100,
			Controls: append([]results.Control{{Name: "none without barriers"}}, lost...)}, results.Invalid},
	} {
		got, reason := verdict(c.record)
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		if (reason != "") != (got == results.Invalid) {
			t.Errorf("%s: reason %q", c.name, reason)
		}
	}
}

func TestCleanCutsBoundTheProbabilityOfLoss(t *testing.T) {
	// The figures of the rule of three's exact form, 1 − 0.05^(1/N).
	for n, want := range map[int]float64{1: 0.95, 30: 0.095, 300: 0.00994} {
		if got := cleanBound(n); math.Abs(got-want) > 0.0005 {
			t.Errorf("%d cuts: %.4f, want %.4f", n, got, want)
		}
	}
}

func TestCutsThatCouldLoseNothingBoundNothing(t *testing.T) {
	for _, c := range []struct {
		live  results.LiveCuts
		bound bool
	}{
		{results.LiveCuts{Cuts: 3, Promises: 10}, true},
		{results.LiveCuts{Cuts: 3, Promises: 10, PromisesLost: 1, Lost: 1}, false},
		{results.LiveCuts{Cuts: 3}, false},
	} {
		if got := liveBound(c.live); (got > 0) != c.bound {
			t.Errorf("%+v: bound %v", c.live, got)
		}
	}
}

func TestControlsAreThoseOfTheClassesAskedFor(t *testing.T) {
	names := func(filesystem string, classes ...string) []string {
		var all []string
		for _, c := range controlsFor(filesystem, classes) {
			for _, class := range c.classes {
				all = append(all, c.name+"/"+class)
			}
		}
		return all
	}
	for _, c := range []struct {
		filesystem string
		classes    []string
		want       []string
	}{
		{"none", []string{cell.PowerLoss}, []string{"unsafe/power_loss"}},
		{"none", []string{cell.GuestCrash, cell.QEMUKill, cell.HostCrash, cell.PowerLoss},
			[]string{"unsafe/host_crash", "unsafe/power_loss", "a probe that lies/guest_crash", "a probe that lies/qemu_kill"}},
		{"ext4", []string{cell.PowerLoss}, []string{"unsafe/power_loss", "none without barriers/power_loss"}},
		{"ext4", []string{cell.GuestCrash}, []string{"a probe that lies/guest_crash"}},
	} {
		got := names(c.filesystem, c.classes...)
		if len(got) != len(c.want) {
			t.Errorf("%s %v: %v, want %v", c.filesystem, c.classes, got, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s %v: %v, want %v", c.filesystem, c.classes, got, c.want)
			}
		}
	}
}

func TestAControlVouchesForCampaignsOnTheSameKindOfGuestAndDisk(t *testing.T) {
	m, err := matrices.Parse("test.yaml", []byte(`
name: test
description: for tests
storage: {size: 64MiB}
axes:
  device.dirty_expire: [1ms, 30s]
  device.sector: [512, 4096]
  disk.cache: [none, unsafe]
  fio.bs: [4k, 64k]
  fio.numjobs: [1, 4]
fio: {rw: randwrite, direct: 1, size: 4m, runtime: 1, fsync: 1}
safety: {classes: [host_crash], size: 1MiB}
`))
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[controlKey]bool{}
	all := Plan(m.Cells(), *m.Safety)
	for _, c := range all {
		kinds[keyOf(c.Cell)] = true
	}
	if len(all) != 32 || len(kinds) != 4 {
		t.Errorf("%d campaigns have controls of %d kinds, want 32 and one kind for each of 4 devices", len(all), len(kinds))
	}
}

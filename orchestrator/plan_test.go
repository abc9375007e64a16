package orchestrator

import (
	"reflect"
	"testing"

	"platter/cell"
	"platter/fault"
	"platter/matrices"
)

func testMatrix(t testing.TB, trials string) *matrices.Matrix {
	t.Helper()
	m, err := matrices.Parse("test.yaml", []byte(`
name: test
description: for tests
storage: {size: 8MiB}
guest: {memory: 512MiB, vcpus: 2}
axes:
  disk.cache: [none, writeback, writethrough, directsync, unsafe]
  disk.io: [threads, native]
  fio.fsync: [0, 1]
fio: {rw: randwrite, bs: 4k, ioengine: libaio, iodepth: 4, direct: 1, size: 8m, runtime: 500ms}
trials: `+trials+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAPlanHoldsEveryMeasuredCellOnceABlockInAnOrderOfTheSeed(t *testing.T) {
	m := testMatrix(t, "4")
	p := NewPlan(m, 4, 7)
	measured := 0
	for _, c := range p.Cells {
		if c.Excluded == "" {
			measured++
		}
	}
	if measured != 14 || len(p.Cells) != 20 || len(p.Steps) != 4*14 {
		t.Fatalf("%d cells of %d measured in %d steps; want 14 of 20 in 56", measured, len(p.Cells), len(p.Steps))
	}
	orders := map[string]bool{}
	for b := range 4 {
		seen := map[string]bool{}
		order := ""
		for i, s := range p.Steps[b*14 : (b+1)*14] {
			if s.Block != b || s.Order != b*14+i || s.Cell.Excluded != "" {
				t.Fatalf("step %d of block %d is %+v", i, b, s)
			}
			seen[s.Cell.ID] = true
			order += s.Cell.ID + ";"
		}
		if len(seen) != 14 {
			t.Errorf("block %d holds %d cells, want 14", b, len(seen))
		}
		orders[order] = true
	}
	if len(orders) != 4 {
		t.Errorf("the blocks have %d different orders, want 4", len(orders))
	}
	if again := NewPlan(m, 4, 7); !reflect.DeepEqual(p, again) {
		t.Error("the same seed gave another plan")
	}
	if other := NewPlan(m, 4, 8); reflect.DeepEqual(p.Steps, other.Steps) {
		t.Error("another seed gave the same plan")
	}
	if p.Estimate(p.Work()) <= 0 || p.Estimate(Work{Steps: p.Steps[:10]}) >= p.Estimate(p.Work()) {
		t.Error("the estimate does not grow with the steps")
	}
}

func TestEveryCellOfABlockMeetsTheSameRandomSequence(t *testing.T) {
	p := NewPlan(testMatrix(t, "2"), 2, 7)
	seeds := map[int]map[string]bool{}
	for _, s := range p.Steps {
		for _, o := range jobOptions(s, p.Seed, "/dev/vdb") {
			if o.Name == "randseed" {
				if seeds[s.Block] == nil {
					seeds[s.Block] = map[string]bool{}
				}
				seeds[s.Block][o.Value] = true
			}
		}
	}
	if len(seeds) != 2 || len(seeds[0]) != 1 || len(seeds[1]) != 1 || reflect.DeepEqual(seeds[0], seeds[1]) {
		t.Errorf("random seeds by block: %v; want one for each block, and two different ones", seeds)
	}
}

func TestEveryXFSCellThatPromisesHasLiveCutsOfItsOwn(t *testing.T) {
	m, err := matrices.Parse("test.yaml", []byte(`
name: test
description: for tests
storage: {size: 1GiB}
axes:
  guest.filesystem: [ext4, xfs]
  disk.cache: [none, unsafe]
  fio.fsync: [0, 1, 8]
fio: {rw: randwrite, bs: 4k, direct: 1, size: 16m, runtime: 1}
safety: {classes: [host_crash, power_loss], drive_cache: [volatile, protected], live: 2}
`))
	if err != nil {
		t.Fatal(err)
	}
	p := NewPlan(m, 1, 7)
	groups := map[string]int{}
	for _, c := range p.Campaigns {
		switch own := c.Cell.Filesystem() == "xfs" && c.Cell.Promises(); {
		case own && c.LiveCuts != 2:
			t.Errorf("%s: %d live cuts, want 2", c.Cell.ID, c.LiveCuts)
		case !own && c.LiveCuts > 0:
			groups[c.Cell.Filesystem()]++
		}
	}
	if groups["ext4"] != 2 {
		t.Errorf("%d cells of ext4 have live cuts, want one of each cache mode", groups["ext4"])
	}
	if groups["xfs"] != 0 {
		t.Errorf("%d cells of xfs that promise nothing have live cuts beside those that do", groups["xfs"])
	}
	// For two classes: on two cells of ext4 behind the first drive cache, on four of xfs behind both.
	if want := 2 * 2 * (2 + 4*2); p.Cuts() != want {
		t.Errorf("%d live cuts in all, want %d", p.Cuts(), want)
	}
}

func TestCellsThatAHypervisorsLibvirtCannotHaveAreExcludedFromThePlan(t *testing.T) {
	m, err := matrices.Parse("m.yaml", []byte(`name: m
axes:
  host.hypervisor: [host, trixie-backports]
  disk.bus: [virtio, nvme]
fio: {rw: randwrite, bs: 4k, runtime: 1}
`))
	if err != nil {
		t.Fatal(err)
	}
	plan := NewPlan(m, 3, 1)
	old, err := plan.On(map[string]string{"host": "9.0.0", "trixie-backports": "12.9.0"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range old.Cells {
		if want := c.Hypervisor() == "host" && c.Bus() == "nvme"; (c.Excluded != "") != want {
			t.Errorf("%s: excluded %q", c.ID, c.Excluded)
		}
	}
	if len(old.Steps) != 9 || len(plan.Steps) != 12 {
		t.Errorf("%d and %d steps", len(old.Steps), len(plan.Steps))
	}
	same, err := plan.On(map[string]string{"host": "11.5.0", "trixie-backports": "12.9.0"})
	if err != nil || len(same.Steps) != 12 {
		t.Errorf("%d steps, %v", len(same.Steps), err)
	}
	for i := range plan.Cells {
		if plan.Cells[i].Excluded != "" {
			t.Errorf("the plan that was asked has lost %s", plan.Cells[i].ID)
		}
		plan.Cells[i].Settings = plan.Cells[i].Settings.With("disk.dpofua", cell.Value{V: "on"})
	}
	if _, err := plan.On(map[string]string{"host": "9.0.0", "trixie-backports": "11.3.0"}); fault.Of(err) != fault.Usage {
		t.Errorf("no cell is left: %v", err)
	}
}

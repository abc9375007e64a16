package gate

import (
	"strings"
	"testing"

	"platter/cell"
	"platter/results"
)

// upgraded is a run of both sides of an upgrade of the hypervisor: right in every way.
func upgraded() *results.Run {
	run := newRun(shape{seed: 3, cells: 2, blocks: 12, noise: 0.01, factor: 1, both: true, safety: true})
	m := &run.Manifest
	m.Hypervisors = []results.Hypervisor{{Name: "host", QEMU: "9.0.0", Libvirt: "9.0.0", Accel: "kvm"},
		{Name: "trixie", QEMU: "10.0.13", Libvirt: "11.3.0", Accel: "kvm"}}
	for i, c := range m.Cells {
		name := "host"
		if c.Side() == cell.SideAfter {
			name = "trixie"
		}
		m.Cells[i].Settings = append(cell.Settings{{Name: "host.hypervisor", Value: cell.Value{V: name}}}, c.Axes.Without(cell.SideAxis)...)
	}
	return run
}

func TestAnUpgradeOfTheHypervisorIsJudgedAsAnyChange(t *testing.T) {
	here := Facts{Host: "h", QEMU: "9.0.0", Kernel: "6.1"}
	v := JudgeAB(iopsPolicy(true), upgraded(), today, here)
	wants(t, v, Pass, "1 rule")
	want := "hypervisor: host (QEMU 9.0.0, libvirt 9.0.0) → trixie (QEMU 10.0.13, libvirt 11.3.0)"
	if len(v.Changes) != 1 || v.Changes[0] != want {
		t.Errorf("changes %q, want %q", v.Changes, want)
	}
	lose := func(run *results.Run, side string) {
		for i, s := range run.Safety {
			if strings.Contains(s.Cell, side) && s.Class == cell.HostCrash {
				run.Safety[i].Verdict, run.Safety[i].PromisesLost, run.Safety[i].PointsLost = results.Loses, 1, 30
				break
			}
		}
	}
	after := upgraded()
	lose(after, cell.SideAfter)
	wants(t, JudgeAB(iopsPolicy(true), after, today, here), Fail, "1 of 1")
	mended := upgraded()
	lose(mended, cell.SideBefore)
	wants(t, JudgeAB(iopsPolicy(true), mended, today, here), Pass, "")
	unlike := upgraded()
	unlike.Manifest.Hypervisors[1].Accel = "tcg"
	wants(t, JudgeAB(iopsPolicy(true), unlike, today, here), Inconclusive, "guests ran under kvm on host and under tcg on trixie")
}

func TestARunOnTreesExpiresWithTheHostsOwnQEMUOnlyWhereItRanOnThat(t *testing.T) {
	p := iopsPolicy(true)
	p.Evidence.Same = []string{"qemu"}
	newer := Facts{Host: "h", QEMU: "9.1.0", Kernel: "6.1"}
	wants(t, JudgeAB(p, upgraded(), today, newer), Inconclusive, "has expired: it was measured with QEMU 9.0.0, and this host has 9.1.0")
	trees := upgraded()
	trees.Manifest.Hypervisors[0].Name = "bookworm"
	for i, c := range trees.Manifest.Cells {
		if c.Hypervisor() == "host" {
			trees.Manifest.Cells[i].Settings = c.Settings.With("host.hypervisor", cell.Value{V: "bookworm"})
		}
	}
	wants(t, JudgeAB(p, trees, today, newer), Pass, "")
}

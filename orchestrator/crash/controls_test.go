package crash

import (
	"testing"

	"platter/cell"
)

// A control shows that guest, disk and judge let a loss through on the hypervisor of the campaign, with its QEMU.
func TestAControlRunsOnItsCampaignsHypervisor(t *testing.T) {
	set := func(name, value string) cell.Setting { return cell.Setting{Name: name, Value: cell.Value{V: value}} }
	of := cell.Cell{Settings: cell.Settings{set("host.hypervisor", "trixie"), set("disk.emulator", "/opt/qemu"), set("disk.cache", "none"),
		set("disk.io", "native")}}
	losing := controlCell(of, control{name: "unsafe", cache: "unsafe", barrier: "on"})
	if losing.Hypervisor() != "trixie" || losing.Emulator() != "/opt/qemu" {
		t.Errorf("the control runs on %s with QEMU %q", losing.Hypervisor(), losing.Emulator())
	}
	if losing.Cache() != "unsafe" || losing.Settings.Text("disk.io") != "" {
		t.Errorf("the control's disk is %s", losing.Settings)
	}
	for _, other := range []cell.Cell{
		{Settings: of.Settings.With("host.hypervisor", cell.Value{V: "sid"})},
		{Settings: of.Settings.With("disk.emulator", cell.Value{V: "/usr/bin/qemu"})},
	} {
		if keyOf(other) == keyOf(of) {
			t.Errorf("the controls of %s count for %s", of.Settings, other.Settings)
		}
	}
}

package change

import (
	"slices"
	"strings"
	"testing"
)

// Below disks that did not change something else may have: the hypervisor.
func TestDisksThatDidNotChangeAreAmongAllOfThem(t *testing.T) {
	lun := strings.Replace(web, "    </disk>",
		"    </disk><disk type='block' device='lun'><source dev='/dev/sdx'/><target dev='sdb' bus='scsi'/></disk>", 1)
	ch, err := BetweenAll("web.xml", []byte(lun), "web.xml", []byte(lun), "")
	if err != nil {
		t.Fatal(err)
	}
	if len(ch.Disks) != 1 || ch.Disks[0].Target != "vda" || !slices.Equal(ch.Disks[0].Before, ch.Disks[0].After) ||
		ch.Disks[0].After.Text("disk.cache") != "none" || ch.Disks[0].After.Text("disk.discard") != "unmap" {
		t.Errorf("disks %+v", ch.Disks)
	}
	if want := []string{"sdb: is not measured: platter's scratch disk is nothing like a lun"}; !slices.Equal(ch.Elsewhere, want) {
		t.Errorf("elsewhere %q, want %q", ch.Elsewhere, want)
	}
	ch, err = BetweenAll("web.xml", []byte(lun), "web.xml", []byte(lun), "vda")
	if err != nil || len(ch.Disks) != 1 || len(ch.Elsewhere) != 0 {
		t.Errorf("of one disk: %+v, %v", ch, err)
	}
	changed := strings.Replace(lun, "cache='none'", "cache='unsafe'", 1)
	if ch, err = BetweenAll("web.xml", []byte(lun), "new.xml", []byte(changed), ""); err != nil || len(ch.Disks) != 1 ||
		ch.Disks[0].After.Text("disk.cache") != "unsafe" {
		t.Errorf("with a change of its own: %+v, %v", ch, err)
	}
	if ch, err = Between("web.xml", []byte(lun), "web.xml", []byte(lun), ""); err != nil || len(ch.Disks) != 0 || len(ch.Elsewhere) != 0 {
		t.Errorf("between two equal files: %+v, %v", ch, err)
	}
}

package host

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"platter/results"
)

// sysfs makes a tree of attributes and links as the kernel has it. A value that begins with "→" is a link's target.
func sysfs(t *testing.T, tree map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, value := range tree {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, link := strings.CutPrefix(value, "→"); link {
			err = os.Symlink(filepath.Join(root, target), path)
		} else {
			err = os.WriteFile(path, []byte(value+"\n"), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestTheDrivesBelowAFileSystem(t *testing.T) {
	disk := func(tree map[string]string, dir, cache, rotational string) {
		for name, value := range map[string]string{"size": "2000", "queue/write_cache": cache, "queue/fua": "0", "queue/rotational": rotational,
			"queue/logical_block_size": "512", "queue/physical_block_size": "4096", "queue/scheduler": "none [mq-deadline] bfq"} {
			tree[dir+"/"+name] = value
		}
	}
	drive := func(name, cache string, rotational bool) results.Drive {
		return results.Drive{Name: name, SizeBytes: 1024000, WriteCache: cache, FUA: new(false), Rotational: new(rotational),
			LogicalBlock: 512, PhysicalBlock: 4096, Scheduler: "mq-deadline"}
	}
	nvme := map[string]string{
		"dev/block/259:2":                                                  "→devices/pci0/0000:01:00.0/nvme/nvme0/nvme0n1/nvme0n1p2",
		"devices/pci0/0000:01:00.0/vendor":                                 "0x144d",
		"devices/pci0/0000:01:00.0/device":                                 "0xa80a",
		"devices/pci0/0000:01:00.0/class":                                  "0x010802",
		"devices/pci0/0000:01:00.0/driver":                                 "→bus/pci/drivers/nvme",
		"bus/pci/drivers/nvme/bind":                                        "",
		"devices/pci0/0000:01:00.0/nvme/nvme0/nvme0n1/nvme0n1p2/partition": "2",
		"devices/pci0/0000:01:00.0/nvme/nvme0/nvme0n1/device/model":        "Drive   of  someone  ",
		"devices/pci0/0000:01:00.0/nvme/nvme0/nvme0n1/device/firmware_rev": "5B2QGXA7",
	}
	disk(nvme, "devices/pci0/0000:01:00.0/nvme/nvme0/nvme0n1", "write back", "0")
	ofNVMe := drive("nvme0n1", "write back", false)
	ofNVMe.Model, ofNVMe.Firmware, ofNVMe.Controller = "Drive of someone", "5B2QGXA7", "nvme [144d:a80a]"

	stack := map[string]string{
		"dev/block/253:0":                       "→devices/virtual/block/dm-0",
		"devices/virtual/block/dm-0/dm/uuid":    "CRYPT-LUKS2-0123",
		"devices/virtual/block/dm-0/slaves/md0": "→devices/virtual/block/md0",
		"devices/virtual/block/md0/md/level":    "raid1",
		"devices/virtual/block/md0/slaves/sda1": "→devices/ata/sda/sda1",
		"devices/virtual/block/md0/slaves/sdb1": "→devices/ata/sdb/sdb1",
		"devices/ata/sda/sda1/partition":        "1",
		"devices/ata/sdb/sdb1/partition":        "1",
		"devices/ata/sda/device/vendor":         "ATA     ",
		"devices/ata/sda/device/model":          "DISK 1",
		"devices/ata/sda/device/rev":            "A1",
	}
	disk(stack, "devices/ata/sda", "write back", "1")
	disk(stack, "devices/ata/sdb", "write through", "1")
	sda, sdb := drive("sda", "write back", true), drive("sdb", "write through", true)
	sda.Model, sda.Firmware = "ATA DISK 1", "A1"

	mirror := map[string]string{
		"dev/block/8:1":                  "→devices/ata/sda/sda1",
		"devices/ata/sda/sda1/partition": "1",
		"fs/btrfs/01-23/devices/sda1":    "→devices/ata/sda/sda1",
		"fs/btrfs/01-23/devices/sdb":     "→devices/ata/sdb",
		"fs/btrfs/45-67/devices/sdc1":    "→devices/ata/sdc/sdc1",
		"devices/ata/sdc/sdc1/partition": "1",
		"dev/block/8:33":                 "→devices/ata/sdc/sdc1",
	}
	for _, name := range []string{"sda", "sdb", "sdc"} {
		disk(mirror, "devices/ata/"+name, "write back", "1")
	}

	for _, test := range []struct {
		name, device string
		tree         map[string]string
		drives       []results.Drive
		layers       []string
	}{
		{"a partition of an NVMe drive", "259:2", nvme, []results.Drive{ofNVMe}, nil},
		{"encryption over a mirror of partitions", "253:0", stack, []results.Drive{sda, sdb}, []string{"dm-0 (CRYPT)", "md0 (raid1)"}},
		{"btrfs over two devices", "8:1", mirror, []results.Drive{drive("sda", "write back", true), drive("sdb", "write back", true)},
			[]string{"btrfs (2 devices)"}},
		{"btrfs on one", "8:33", mirror, []results.Drive{drive("sdc", "write back", true)}, nil},
		{"a device that sysfs does not know", "0:42", nvme, nil, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			drives, layers := drivesBelow(sysfs(t, test.tree), test.device)
			if diff := cmp.Diff(test.drives, drives); diff != "" {
				t.Errorf("drives, -want +got:\n%s", diff)
			}
			if diff := cmp.Diff(test.layers, layers); diff != "" {
				t.Errorf("layers, -want +got:\n%s", diff)
			}
		})
	}
}

func TestADriveInALine(t *testing.T) {
	for want, d := range map[string]results.Drive{
		"vda": {Name: "vda"},
		"sda ATA DISK, firmware A1, 2000 GB, rotational, cache write back, no FUA, blocks 512/4096 B, scheduler mq-deadline, controller ahci " +
			"[8086:a282]": {
			Name: "sda", Model: "ATA DISK", Firmware: "A1", SizeBytes: 2000398934016, Rotational: new(true), WriteCache: "write back",
			FUA:          new(false),
			LogicalBlock: 512, PhysicalBlock: 4096, Scheduler: "mq-deadline", Controller: "ahci [8086:a282]"},
	} {
		if got := d.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

package host

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"platter/results"
)

// drivesBelow finds the drives that a block device ends on, and the layers between, in sysfs, which is mounted at sys. device is
// "major:minor". One that sysfs does not know, as a network's, has none. Of a btrfs over several devices they are those of all.
func drivesBelow(sys, device string) (drives []results.Drive, layers []string) {
	dir, err := filepath.EvalSymlinks(filepath.Join(sys, "dev/block", device))
	if err != nil {
		return nil, nil
	}
	seen := map[string]bool{}
	var walk func(dir string)
	walk = func(dir string) {
		if _, err := os.Stat(filepath.Join(dir, "partition")); err == nil {
			dir = filepath.Dir(dir)
		}
		if seen[dir] {
			return
		}
		seen[dir] = true
		below := devicesIn(filepath.Join(dir, "slaves"))
		if len(below) == 0 {
			drives = append(drives, readDrive(dir))
			return
		}
		layers = append(layers, layerName(dir))
		for _, d := range below {
			walk(d)
		}
	}
	all := btrfsDevices(sys, dir)
	if len(all) > 1 {
		layers = append(layers, fmt.Sprintf("btrfs (%d devices)", len(all)))
	} else {
		all = []string{dir}
	}
	for _, d := range all {
		walk(d)
	}
	return drives, layers
}

// btrfsDevices are all the devices of the btrfs that lies on one of them; none where no mounted one does.
func btrfsDevices(sys, device string) []string {
	all, _ := filepath.Glob(filepath.Join(sys, "fs/btrfs/*/devices"))
	for _, links := range all {
		if devices := devicesIn(links); slices.Contains(devices, device) {
			return devices
		}
	}
	return nil
}

// devicesIn are the devices that the links in a directory lead to.
func devicesIn(links string) []string {
	entries, _ := os.ReadDir(links)
	var devices []string
	for _, e := range entries {
		if dir, err := filepath.EvalSymlinks(filepath.Join(links, e.Name())); err == nil {
			devices = append(devices, dir)
		}
	}
	return devices
}

// layerName names a device that is made of others: device mapper's by the owner of its target, which stands before the first "-" of
// its uuid, md's by its level.
func layerName(dir string) string {
	name := filepath.Base(dir)
	kind, _, _ := strings.Cut(sysText(dir, "dm/uuid"), "-")
	if kind == "" {
		kind = sysText(dir, "md/level")
	}
	if kind == "" {
		return name
	}
	return fmt.Sprintf("%s (%s)", name, kind)
}

func readDrive(dir string) results.Drive {
	d := results.Drive{
		Name:       filepath.Base(dir),
		Model:      strings.Join(strings.Fields(sysText(dir, "device/vendor")+" "+sysText(dir, "device/model")), " "),
		Firmware:   sysText(dir, "device/firmware_rev"),
		SizeBytes:  512 * sysNumber(dir, "size"),
		WriteCache: sysText(dir, "queue/write_cache"),
		FUA:        sysBool(dir, "queue/fua"), Rotational: sysBool(dir, "queue/rotational"),
		LogicalBlock: sysNumber(dir, "queue/logical_block_size"), PhysicalBlock: sysNumber(dir, "queue/physical_block_size"),
	}
	if d.Firmware == "" {
		d.Firmware = sysText(dir, "device/rev")
	}
	if strings.HasPrefix(d.Model, "0x") { // a virtio device's vendor is a number, which its controller's ids have
		d.Model = ""
	}
	schedulers := sysText(dir, "queue/scheduler") // "none [mq-deadline]"
	if _, rest, ok := strings.Cut(schedulers, "["); ok {
		d.Scheduler, _, _ = strings.Cut(rest, "]")
	}
	d.Controller = controllerOf(dir)
	return d
}

// controllerOf names the nearest PCI device above: that has a class, as well as a vendor and a device.
func controllerOf(dir string) string {
	for at := filepath.Dir(dir); len(at) > 1; at = filepath.Dir(at) {
		vendor, device := sysText(at, "vendor"), sysText(at, "device")
		if vendor == "" || device == "" || sysText(at, "class") == "" {
			continue
		}
		ids := fmt.Sprintf("[%s:%s]", strings.TrimPrefix(vendor, "0x"), strings.TrimPrefix(device, "0x"))
		driver, err := os.Readlink(filepath.Join(at, "driver"))
		if err != nil {
			return ids
		}
		return filepath.Base(driver) + " " + ids
	}
	return ""
}

// sysText is an attribute's text; empty where there is none.
func sysText(dir, name string) string {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

func sysNumber(dir, name string) int64 {
	n, _ := strconv.ParseInt(sysText(dir, name), 10, 64)
	return n
}

// sysBool is nil for an attribute that is not there.
func sysBool(dir, name string) *bool {
	text := sysText(dir, name)
	if !slices.Contains([]string{"0", "1"}, text) {
		return nil
	}
	return new(text == "1")
}

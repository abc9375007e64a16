package libvirtxml

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/beevik/etree"
)

// ScratchDisk is a disk that is attached to a Domain, measured and detached again.
type ScratchDisk struct {
	Source Source // where its bytes lie: a file with an absolute path
	Format string // libvirt's name of the image format: "raw", "qcow2", …
	Target string // target name, for example "vdb"
	Bus    string // "virtio", "scsi" (on the virtio-scsi controller 0) or another of libvirt's
	DPOFUA string // of a SCSI disk, "on" or "off"; empty for QEMU's choice
	Serial string // what the guest sees as the disk's serial; optional, at most 20 bytes
	// FlushBins are where the bins begin, in ns and rising from 0, of a histogram that QEMU is to keep of its flushes; none for none.
	FlushBins []int64
	Driver    []Attr // further attributes of <driver>; those with an empty value are left out
}

// XML returns the <disk> element as attach-device takes it. The error says which attribute libvirt does not know, or which
// libvirt would refuse on such a disk, with its reason.
func (s ScratchDisk) XML() (string, error) {
	doc := newDocument()
	if err := s.addTo(&doc.Element); err != nil {
		return "", err
	}
	return written(doc)
}

// Cold reports whether the disk must be there when the guest starts: neither QEMU's SATA nor libvirt's NVMe takes one later ("disk bus
// 'nvme' cannot be hotplugged", libvirt 12.9).
func (s ScratchDisk) Cold() bool { return s.Bus == "nvme" || s.Bus == "sata" }

// addTo appends the <disk> element.
func (s ScratchDisk) addTo(parent *etree.Element) error {
	index, err := diskIndex(s.Target)
	if err == nil {
		err = s.check()
	}
	if err != nil {
		return fmt.Errorf("disk %s: %w", s.Target, err)
	}
	disk := add(parent, "disk", "type", s.Source.Kind, "device", "disk")
	driver := add(disk, "driver", "name", "qemu", "type", s.Format)
	for _, a := range s.Driver {
		if a.Value != "" {
			driver.CreateAttr(a.Name, a.Value)
		}
	}
	if len(s.FlushBins) > 0 {
		histogram := add(add(driver, "statistics"), "latency-histogram", "type", "flush")
		for _, ns := range s.FlushBins {
			add(histogram, "bin", "start", strconv.FormatInt(ns, 10))
		}
	}
	add(disk, "source", "file", s.Source.Path)
	target := add(disk, "target", "dev", s.Target, "bus", s.Bus)
	if s.DPOFUA != "" {
		target.CreateAttr("dpofua", s.DPOFUA)
	}
	if s.Serial != "" {
		addText(disk, "serial", s.Serial)
	}
	if s.Bus == "scsi" {
		// A target of its own, so that the disk's place does not depend on other disks.
		add(disk, "address", "type", "drive", "controller", "0", "bus", "0", "target", strconv.Itoa(index), "unit", "0")
	}
	return nil
}

// check refuses what libvirt would refuse.
func (s ScratchDisk) check() error {
	set := append([]Attr{{"type", s.Format}, {busAttr, s.Bus}}, s.Driver...)
	for _, a := range s.Driver {
		if a.Name == "name" || a.Name == "type" || a.Name == busAttr {
			return fmt.Errorf("%s has its own field and must not be among the driver attributes", a.Name)
		}
	}
	if err := checkSet(set); err != nil {
		return err
	}
	if s.Format == "" || s.Bus == "" {
		return errors.New("format and bus must be given")
	}
	if s.Source.Kind != "file" {
		return fmt.Errorf("a source of the type %q cannot be attached", s.Source.Kind)
	}
	if s.DPOFUA != "" && s.DPOFUA != "on" && s.DPOFUA != "off" {
		return fmt.Errorf("dpofua cannot be %q; libvirt takes on, off", s.DPOFUA)
	}
	if s.DPOFUA != "" && s.Bus != "scsi" {
		return errors.New("only a SCSI disk has dpofua")
	}
	if err := checkPath("image", s.Source.Path); err != nil {
		return err
	}
	if err := checkSerial(s.Serial); err != nil {
		return err
	}
	disk := Disk{Target: s.Target, Device: "disk", Source: s.Source}
	for _, r := range disk.with(set).Refusals() {
		return errors.New(r.Reason)
	}
	return nil
}

// diskIndex returns the number in a target name: 0 for vda, 25 for vdz, 26 for vdaa, and the controller's for nvme0n1. It ends at 255, the
// last target that a virtio-scsi controller has.
func diskIndex(target string) (int, error) {
	if controller, is := strings.CutPrefix(target, "nvme"); is {
		controller, is = strings.CutSuffix(controller, "n1")
		if n, err := strconv.ParseUint(controller, 10, 8); is && err == nil && strconv.FormatUint(n, 10) == controller {
			return int(n), nil
		}
		return 0, fmt.Errorf("target %q must be nvme0n1 to nvme255n1", target)
	}
	wrong := fmt.Errorf("target %q must be vd, sd or hd with letters from a to iv behind it", target)
	if len(target) < 3 || len(target) > 4 || !slices.Contains([]string{"vd", "sd", "hd"}, target[:2]) {
		return 0, wrong
	}
	n := 0
	for _, c := range target[2:] {
		if c < 'a' || c > 'z' {
			return 0, wrong
		}
		n = n*26 + int(c-'a') + 1
	}
	if n > 256 {
		return 0, wrong
	}
	return n - 1, nil
}

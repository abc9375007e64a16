package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"platter/libvirtxml"
	"platter/matrices"
)

// defaults are what a disk's settings are where the XML does not say: libvirt, formatdomain, "driver"; QEMU's for queues.
var defaults = map[string]string{
	"cache": "writeback", "io": "threads", "discard": "ignore", "detect_zeroes": "off", "error_policy": "report", "rerror_policy": "report",
	"copy_on_read": "off", "ioeventfd": "on", "event_idx": "on", "packed": "off", "ats": "off", "iommu": "off", "page_per_vq": "off",
}

// find compares the disks of both sides by their targets.
func (ch *change) find(before, after []libvirtxml.Disk, only string) error {
	measured := func(d libvirtxml.Disk) bool { return d.Device == "disk" && (only == "" || d.Target == only) }
	var targets []string
	for _, d := range after {
		targets = append(targets, d.Target)
		if !measured(d) {
			continue
		}
		i := slices.IndexFunc(before, func(o libvirtxml.Disk) bool { return o.Target == d.Target })
		if i < 0 {
			ch.elsewhere = append(ch.elsewhere, d.Target+": is new, and has no other side to compare it with")
			continue
		}
		if c, differs := changed(before[i], d); differs {
			ch.disks = append(ch.disks, c)
		}
		for _, name := range others(before[i], d) {
			ch.elsewhere = append(ch.elsewhere, fmt.Sprintf("%s: driver attribute %s %q → %q differs and is not measured", d.Target, name, before[i].Get(name), d.Get(name)))
		}
		if a, b := before[i].Source, d.Source; a.Kind != b.Kind || a.Protocol != b.Protocol {
			ch.elsewhere = append(ch.elsewhere, fmt.Sprintf("%s: source %s%s → %s%s differs and is not measured", d.Target, a.Kind, a.Protocol, b.Kind, b.Protocol))
		}
	}
	if only != "" && !slices.Contains(targets, only) {
		return &errUsage{fmt.Sprintf("ab: the domain with the change has no disk %s: it has %s", only, strings.Join(targets, ", "))}
	}
	return nil
}

// changed gives the settings of a disk on both sides, and whether any differs. What neither names is left to the guest's defaults.
func changed(before, after libvirtxml.Disk) (c diskChange, differs bool) {
	c.target = after.Target
	for _, name := range matrices.DiskSettings() {
		if name != "cache" && name != "bus" && before.Get(name) == "" && after.Get(name) == "" {
			continue
		}
		a, b := value(before, name), value(after, name)
		if a != "" {
			c.before = append(c.before, matrices.Setting{Name: "disk." + name, Value: a.value()})
		}
		if b != "" {
			c.after = append(c.after, matrices.Setting{Name: "disk." + name, Value: b.value()})
		}
		differs = differs || a != b
	}
	return c, differs
}

// others names the driver attributes that differ and that no matrix has.
func others(before, after libvirtxml.Disk) []string {
	var names []string
	for _, d := range []libvirtxml.Disk{before, after} {
		for _, a := range d.Driver {
			if !slices.Contains(matrices.DiskSettings(), a.Name) && before.Get(a.Name) != after.Get(a.Name) && !slices.Contains(names, a.Name) {
				names = append(names, a.Name)
			}
		}
	}
	return names
}

// attribute is the value of a driver attribute.
type attribute string

// value is a disk's setting, or what it is by default; empty where that is not known.
func value(d libvirtxml.Disk, name string) attribute {
	v := d.Get(name)
	if v == "" || v == "default" {
		return attribute(defaults[name])
	}
	return attribute(v)
}

// value is the attribute as a matrix types it: numbers as numbers.
func (a attribute) value() matrices.Value {
	if n, err := strconv.ParseInt(string(a), 10, 64); err == nil {
		return matrices.Value{V: n}
	}
	return matrices.Value{V: string(a)}
}

// meaningless are elements of a domain that say nothing about how its disks work, and those of a disk that are compared by
// themselves or say only which disk it is, by their paths.
var meaningless = []string{"domain/name", "domain/uuid", "domain/title", "domain/description", "domain/metadata",
	"domain/devices/disk/driver", "domain/devices/disk/source", "domain/devices/disk/target", "domain/devices/disk/alias",
	"domain/devices/disk/address", "domain/devices/disk/serial", "domain/devices/disk/wwn", "domain/devices/disk/boot"}

// differences names what differs between two domains beside their disks, whatever the order and the white space: the paths of the elements.
func differences(before, after []byte) ([]string, error) {
	a, err := leaves(before)
	if err != nil {
		return nil, err
	}
	b, err := leaves(after)
	if err != nil {
		return nil, err
	}
	var paths []string
	for text, n := range a {
		if b[text] != n {
			paths = append(paths, pathOf(text))
		}
	}
	for text, n := range b {
		if a[text] != n {
			paths = append(paths, pathOf(text))
		}
	}
	slices.Sort(paths)
	paths = slices.Compact(paths)
	for i, p := range paths {
		paths[i] = p + " differs and is not measured"
	}
	return paths, nil
}

func pathOf(leaf string) string {
	path, _, _ := strings.Cut(leaf, "\x00")
	return path
}

// leaves counts what a domain says: each element's path with its sorted attributes and its text.
func leaves(doc []byte) (map[string]int, error) {
	found := map[string]int{}
	dec := xml.NewDecoder(strings.NewReader(string(doc)))
	var path []string
	skip := 0
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read domain XML: %w", err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			path = append(path, t.Name.Local)
			if skip > 0 || slices.Contains(meaningless, strings.Join(path, "/")) {
				skip++
				continue
			}
			var attrs []string
			for _, a := range t.Attr {
				if a.Name.Space != "xmlns" && a.Name.Local != "xmlns" && !(len(path) == 1 && a.Name.Local == "id") {
					attrs = append(attrs, a.Name.Local+"="+a.Value)
				}
			}
			slices.Sort(attrs)
			found[strings.Join(path, "/")+"\x00"+strings.Join(attrs, " ")]++
		case xml.EndElement:
			path = path[:len(path)-1]
			skip = max(0, skip-1)
		case xml.CharData:
			if text := strings.TrimSpace(string(t)); text != "" && skip == 0 && len(path) > 0 {
				found[strings.Join(path, "/")+"\x00text "+text]++
			}
		}
	}
}

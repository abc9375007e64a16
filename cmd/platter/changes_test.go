package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// abDomain is a domain with one disk.
const abDomain = `<domain type='kvm'>
  <name>web</name>
  <memory unit='MiB'>1024</memory>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw' cache='none' discard='unmap'/>
      <source file='/var/lib/libvirt/images/web.img'/>
      <target dev='vda' bus='virtio'/>
    </disk>
  </devices>
</domain>
`

func TestWhatDiffersForADiskIsFoundAndNothingElse(t *testing.T) {
	for _, c := range []struct {
		name, old, new string
		want           string
	}{
		{"nothing", "", "", ""},
		{"white space", "  <memory", "\n\n <memory", ""},
		{"the order of attributes", "cache='none' discard='unmap'", "discard='unmap'  cache='none'", ""},
		{"a comment and another name", "<name>web</name>", "<!-- new --><name>web2</name><title>a title</title>", ""},
		{"another image", "web.img", "web2.img", ""},
		{"what is the default anyway", "discard='unmap'", "discard='unmap' io='threads'", ""},
		{"the cache mode", "cache='none'", "cache='unsafe'", "vda: cache none → unsafe"},
		{"the cache mode by default", "cache='none' ", "", "vda: cache none → writeback"},
		{"an iothread", "cache='none'", "cache='none' iothread='1'", "vda: iothread (not set) → 1"},
		{"the bus", "bus='virtio'", "bus='scsi'", "vda: bus virtio → scsi"},
		{"the format", "type='raw'", "type='qcow2'", `vda: driver attribute type "raw" → "qcow2" differs and is not measured`},
		{"memory", "1024", "2048", "domain/memory differs and is not measured"},
		{"the machine", "q35-7.2", "q35-8.0", "domain/os/type differs and is not measured"},
		{"a limit of the disk", "<target", "<iotune><total_iops_sec>10</total_iops_sec></iotune><target",
			"domain/devices/disk/iotune differs and is not measured; domain/devices/disk/iotune/total_iops_sec differs and is not measured"},
		{"a new disk", "    </disk>", "    </disk><disk type='file' device='disk'><source file='/x'/><target dev='vdb'/></disk>",
			"vdb: is new, and has no other side to compare it with; domain/devices/disk differs and is not measured"},
	} {
		dir := t.TempDir()
		before, after := filepath.Join(dir, "before.xml"), filepath.Join(dir, "after.xml")
		changed := abDomain
		if c.old != "" {
			changed = strings.Replace(abDomain, c.old, c.new, 1)
		}
		for path, text := range map[string]string{before: abDomain, after: changed} {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		ch, err := readChange(before, after, "")
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var got []string
		for _, d := range ch.disks {
			got = append(got, d.lines()...)
		}
		got = append(got, ch.elsewhere...)
		if text := strings.Join(got, "; "); text != c.want {
			t.Errorf("%s: %q, want %q", c.name, text, c.want)
		}
	}
}

func TestADiskThatIsNotThereIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.xml")
	if err := os.WriteFile(path, []byte(abDomain), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := readChange(path, path, "vdz")
	if err == nil || !strings.Contains(fmt.Sprint(err), "it has vda") {
		t.Errorf("got %v", err)
	}
}

func FuzzLeaves(f *testing.F) {
	f.Add([]byte(abDomain))
	f.Add([]byte("<a><b/></a></a>"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		a, err := leaves(doc)
		if err != nil {
			return
		}
		if same, err := differences(doc, doc); err != nil || len(same) != 0 {
			t.Errorf("a document differs from itself: %v (%v), %d leaves", same, err, len(a))
		}
	})
}

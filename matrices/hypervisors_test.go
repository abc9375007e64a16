package matrices

import (
	"strings"
	"testing"

	"platter/cell"
)

const twoCaches = `
name: mine
axes: {disk.cache: [none, writeback]}
fio: {rw: randwrite, bs: 4k, size: 16m, runtime: 1}
storage: {size: 64MiB}
trials: 3
`

// hypervisorsOf gives for each measured cell its id and its hypervisor.
func hypervisorsOf(m *Matrix) string {
	var all []string
	for _, c := range m.Cells() {
		if c.Excluded == "" {
			all = append(all, c.ID+" "+c.Hypervisor())
		}
	}
	return strings.Join(all, "; ")
}

func TestAMatrixIsMeasuredOnTheHypervisorsThatAreNamed(t *testing.T) {
	for names, want := range map[string]string{
		"host":   "disk.cache=none host; disk.cache=writeback host",
		"trixie": "disk.cache=none trixie; disk.cache=writeback trixie",
		"host trixie": "host.hypervisor=host,disk.cache=none host; host.hypervisor=host,disk.cache=writeback host; " +
			"host.hypervisor=trixie,disk.cache=none trixie; host.hypervisor=trixie,disk.cache=writeback trixie",
	} {
		on, err := On(parse(t, twoCaches), strings.Fields(names)...)
		if err != nil {
			t.Fatal(err)
		}
		if got := hypervisorsOf(on); got != want || on.Name != "mine" || on.Trials != 3 {
			t.Errorf("on %s the cells are %s\nwant %s", names, got, want)
		}
		again, err := Parse(on.File, []byte(on.Text)) // as a run that goes on reads it
		if err != nil || hypervisorsOf(again) != want {
			t.Errorf("the text of it is another matrix: %v, %s", err, on.Text)
		}
	}
	for name, text := range map[string]string{
		"an axis":                strings.Replace(twoCaches, "{disk.cache", "{host.hypervisor: [trixie], disk.cache", 1),
		"a section":              twoCaches + "host: {hypervisor: trixie}\n",
		"a variant of the cells": strings.Replace(twoCaches, "{disk.cache", "{variant.v: {a: {host.hypervisor: trixie}}, disk.cache", 1),
	} {
		if _, err := On(parse(t, text), "sid"); err == nil || !strings.Contains(err.Error(), "says itself") {
			t.Errorf("%s names a hypervisor already: %v", name, err)
		}
	}
	if _, err := On(parse(t, twoCaches), "../trixie"); err == nil {
		t.Error("a tree was called ../trixie")
	}
}

func TestTheSidesOfAnUpgradeAreItsHypervisors(t *testing.T) {
	side := func(hypervisor string) cell.Settings {
		return cell.Settings{{Name: "disk.cache", Value: cell.Value{V: "none"}}, {Name: "host.hypervisor", Value: cell.Value{V: hypervisor}}}
	}
	want := "variant.side=before,fio.fsync=1 host; variant.side=after,fio.fsync=1 trixie"
	const text = `
name: mine
axes: {host.hypervisor: [host, sid], disk.cache: [none, unsafe], fio.fsync: [1, 0]}
fio: {rw: randwrite, bs: 4k, size: 16m, runtime: 1}
storage: {size: 64MiB}
exclude: [{host.hypervisor: sid}, {fio.fsync: 0}]
`
	for name, m := range map[string]string{
		"axes of its own": text,
		"a section of its own": strings.NewReplacer("host.hypervisor: [host, sid], ", "", "{host.hypervisor: sid}, ", "").Replace(text) +
			"host: {hypervisor: sid}\n",
	} {
		ab, err := Sides(parse(t, m), side("host"), side("trixie"))
		if err != nil {
			t.Fatal(err)
		}
		if got := hypervisorsOf(ab); got != want {
			t.Errorf("of a matrix with %s the cells are %s\nwant %s", name, got, want)
		}
	}
	variant := strings.Replace(twoCaches, "{disk.cache: [none, writeback]}", "{variant.v: {a: {host.hypervisor: sid}}}", 1)
	if _, err := Sides(parse(t, variant), side("host"), side("trixie")); err == nil {
		t.Error("a variant that sets the hypervisor was laid over")
	}
}

func TestAnEmulatorOfOnesOwnIsNoSettingOfADisksXML(t *testing.T) {
	text := strings.Replace(twoCaches, "{disk.cache", "{disk.emulator: [/opt/qemu/bin/qemu-system-x86_64], disk.cache", 1)
	m := parse(t, text)
	if got := m.Cells()[0].Emulator(); got != "/opt/qemu/bin/qemu-system-x86_64" {
		t.Errorf("the emulator is %q", got)
	}
	for _, name := range DiskSettings() {
		if name == "emulator" {
			t.Error("emulator is among the settings that two domain XML files are compared by")
		}
	}
	settings := cell.Settings{{Name: "disk.cache", Value: cell.Value{V: "none"}}}
	ab, err := Sides(m, settings, settings.With("disk.cache", cell.Value{V: "unsafe"}))
	if err != nil || ab.Cells()[0].Emulator() == "" {
		t.Errorf("the sides of a change have lost the matrix's emulator: %v", err)
	}
}

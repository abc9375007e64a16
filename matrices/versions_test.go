package matrices

import (
	"strings"
	"testing"

	"platter/cell"
)

func TestHistogramsOfFlushesAreKeptFromLibvirt12_1On(t *testing.T) {
	for version, want := range map[string]bool{"9.0.0": false, "12.0.0": false, "12.1.0": true, "12.9.0": true, "": false} {
		if got := FlushHistograms(version); got != want {
			t.Errorf("libvirt %q: %t", version, got)
		}
	}
}

func TestSettingsThatAnOlderLibvirtDoesNotHaveAreNamedWithItsVersion(t *testing.T) {
	of := func(name, value string) cell.Cell {
		return cell.Cell{Settings: cell.Settings{{Name: name, Value: cell.Value{V: value}}}}
	}
	for _, tc := range []struct {
		cell          cell.Cell
		libvirt, want string
	}{
		{of("disk.bus", "nvme"), "9.0.0", "bus=nvme needs libvirt 11.5.0 or newer, and this is 9.0.0"},
		{of("disk.bus", "nvme"), "11.4.9", "bus=nvme needs"},
		{of("disk.bus", "nvme"), "11.5.0", ""},
		{of("disk.bus", "nvme"), "12.0.0", ""},
		{of("disk.bus", "scsi"), "9.0.0", ""},
		{of("disk.dpofua", "off"), "11.9.0", "dpofua=off needs libvirt 11.10.0 or newer, and this is 11.9.0"},
		{of("disk.dpofua", "on"), "11.10.0", ""},
		{of("disk.dpofua", "on"), "", ""},
		{of("disk.dpofua", "on"), "9.0~rc1", "dpofua=on needs"},
		{cell.Cell{}, "9.0.0", ""},
	} {
		got := Unsupported(tc.cell, tc.libvirt)
		if !strings.HasPrefix(got, tc.want) || tc.want == "" && got != "" {
			t.Errorf("%v on %q: %q, want %q", tc.cell.Settings, tc.libvirt, got, tc.want)
		}
	}
}

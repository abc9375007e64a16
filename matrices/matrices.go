// Package matrices reads matrix files and turns them into cells.
//
// A matrix file is one YAML document of name, description, banner, storage, guest, device, host, axes, workload, fio, exclude, trials
// and safety; Parse refuses anything else with its place. What may vary is named with its namespace: "host." for the hypervisor that
// runs the guest, "disk." for libvirt's driver attributes, the bus and the emulator, "guest." for what the guest does to the disk,
// "storage." for the image, "device." for the simulated disk that loses power, "fio." for fio's options in fio's spelling. An axis
// "variant.NAME" has named values that each stand for several of these settings. Settings of host, guest, storage and device may stand
// in the sections of that name instead of among the axes. The section safety asks for crash campaigns (Safety). Switches are written on
// and off; true and false are refused. Combinations that libvirt, QEMU or the guest refuse, or that would not do what they say, stay
// among the cells and carry the reason; the table is in rules.go.
package matrices

import "platter/cell"

// Matrix is a matrix file, checked.
type Matrix struct {
	Name        string
	Description string
	Banner      string // shown with every output of the run, for example "demonstration length"
	// Fixed is what the sections storage, guest, device and host set for all cells, by full names, with the defaults of storage and
	// guest. Sizes are in bytes.
	Fixed    cell.Settings
	Axes     []Axis          // in the order of the file
	Workload string          // the name of one of Workloads; empty when fio alone says what is done
	Fio      cell.Settings   // the base workload by fio's own names: the named one's options and over them those of the file
	Exclude  []cell.Settings // each takes out the cells that have all its axis values
	Trials   int
	Safety   *Safety // nil: no crash campaigns are asked for
	File     string  // the name it was read from, for messages
	Text     string  // the file itself
	fio      *Fio    // whose options it may have
}

// Package matrices reads matrix files and turns them into cells.
//
// A matrix file is one YAML document of name, description, banner, storage, guest, device, axes, workload, fio, exclude,
// trials and safety; Parse refuses anything else with its place. What may vary is named with its namespace: "disk." for libvirt's
// driver attributes and the bus, "guest." for what the guest does to the disk, "storage." for the image, "device." for the
// simulated disk that loses power, "fio." for fio's options in fio's spelling. An axis "variant.NAME" has named values that each
// stand for several of these settings. Settings of guest, storage and device may stand in the sections of that name instead of
// among the axes. The section safety asks for crash campaigns (Safety). Switches are written on and off;
// true and false are refused. Combinations that libvirt, QEMU or the guest refuse, or that would not do what they say, stay
// among the cells and carry the reason; the table is in rules.go.
package matrices

// Value is one value of an axis or option. It keeps its YAML type.
type Value struct{ V any } // string, bool, int64, uint64 or float64

// Setting is a name with its value, for example disk.cache=none or bs=4k.
type Setting struct {
	Name  string
	Value Value
}

// Matrix is a matrix file, checked.
type Matrix struct {
	Name        string
	Description string
	Banner      string // shown with every output of the run, for example "demonstration length"
	Storage     Storage
	Guest       Guest
	Axes        []Axis      // in the order of the file
	Workload    string      // the name of one of Workloads; empty when fio alone says what is done
	Fio         []Setting   // the base workload, fio's spelling: the named one's options and over them those of the file
	Exclude     [][]Setting // each takes out the cells that have all its axis values
	Trials      int
	Safety      *Safety // nil: no crash campaigns are asked for
	Device      Device  // the simulated disk of the crash campaigns
	File        string  // the name it was read from, for messages
	Text        string  // the file itself
}

// Cell is one combination of axis values with everything that follows from it.
type Cell struct {
	ID       string    // made of its values: "disk.cache=none,fio.fsync=1"; safe as a file name
	Axes     []Setting // this cell's axis values, in the order of the matrix
	Excluded string    // why the cell is not measured; empty when it is
	Disk     []Setting // libvirt driver attributes and "bus", without the "disk." prefix
	Fio      []Setting // the whole workload as fio spells it: the base with this cell's axes laid over it
	Storage  Storage
	Guest    Guest
	Device   Device
}

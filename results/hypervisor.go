package results

import (
	"slices"
	"strings"

	"platter/cell"
)

// Hypervisor is one that runs guests on the machine of a run: its own, or that of a root tree, or either with another QEMU.
type Hypervisor struct {
	Name string `json:"name"` // cell.HostHypervisor, or the root tree's
	// Emulator is the path of the QEMU that stands in for the hypervisor's own; empty for that one.
	Emulator    string `json:"emulator,omitempty"`
	QEMU        string `json:"qemu"`
	Libvirt     string `json:"libvirt"`
	Accel       string `json:"accel"`        // "kvm" or "tcg"
	AccelReason string `json:"accel_reason"` // why it is that one
}

// String names it with its version: "trixie (QEMU 10.0.13, libvirt 11.3.0)".
func (h Hypervisor) String() string {
	if h.Emulator != "" {
		return h.Name + " with " + h.Emulator + " (QEMU " + h.QEMU + ", libvirt " + h.Libvirt + ")"
	}
	return h.Name + " (QEMU " + h.QEMU + ", libvirt " + h.Libvirt + ")"
}

// HypervisorOf returns the hypervisor that runs a cell's guest. In a run whose cells name none it is the host's.
func (m Manifest) HypervisorOf(c cell.Cell) Hypervisor {
	i := slices.IndexFunc(m.Hypervisors, func(h Hypervisor) bool { return h.Name == c.Hypervisor() && h.Emulator == c.Emulator() })
	if i < 0 {
		return Hypervisor{Name: c.Hypervisor(), Emulator: c.Emulator(), QEMU: m.Host.QEMU, Libvirt: m.Host.Libvirt, Accel: m.Host.Accel,
			AccelReason: m.Host.AccelReason}
	}
	return m.Hypervisors[i]
}

// QEMUs returns the version of the run's QEMU; of several hypervisors each with its name, in a line.
func (m Manifest) QEMUs() string {
	if len(m.Hypervisors) == 0 {
		return m.Host.QEMU
	}
	var all []string
	for _, h := range m.Hypervisors {
		all = append(all, strings.Join(slices.DeleteFunc([]string{h.Name, h.Emulator, h.QEMU}, func(s string) bool { return s == "" }), " "))
	}
	return strings.Join(all, ", ")
}

package libvirtxml

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/beevik/etree"
)

const (
	// DefaultSparePorts is how many PCIe ports a Domain keeps free when it asks for no number.
	DefaultSparePorts = 8

	// qemuNamespace is that of <qemu:commandline> (docs/drvqemu in libvirt).
	qemuNamespace = "http://libvirt.org/schemas/domain/qemu/1.0"

	// networkSlot is the slot of the network card. libvirt does not know of the card and gives out slots from below, so
	// that a high one stays free.
	networkSlot = "0x1e"
)

// Domain is the throw-away domain of a run: a q35 machine that boots a kernel directly, has a read-only root disk, a
// serial console that goes into a file, SSH on a loopback port, and free PCIe ports for disks that come and go. It has
// no graphics, USB, input, memory balloon or power management, and it is destroyed when it powers off, reboots or crashes.
type Domain struct {
	Name string // libvirt's name of it, without "/"
	UUID string // optional; libvirt chooses one
	Type string // "kvm", or "qemu" for emulation

	// CPU is a fixed model in libvirt's spelling, for example "qemu64". When it is empty the guest sees the host's
	// processor under KVM (host-passthrough) and all that QEMU can emulate otherwise (maximum).
	CPU         string
	MemoryBytes int64
	VCPUs       int
	Emulator    string // absolute path of the QEMU; optional, libvirt has its own

	Kernel  string // absolute path on the host, as are the next ones
	Initrd  string // optional
	Cmdline string // the kernel's command line

	Root       string // raw image; attached as vda, read-only and shareable, so that many domains can use it
	RootSerial string // serial of the root disk; optional

	ConsoleLog string // the serial console is written to it; a start empties it
	SSHPort    int    // port on the host's 127.0.0.1 that leads to the guest's port 22; the guest reaches nothing else

	IOThreads  int  // I/O threads 1 to IOThreads, for disks that name one
	SparePorts int  // free PCIe ports for hot-plug; 0 means DefaultSparePorts
	SCSI       bool // with a virtio-scsi controller, number 0

	// Scratch is a disk that is there from the start; nil for none. libvirt adds the controller that its bus needs, behind a spare port.
	Scratch *ScratchDisk

	// RunDir is the run's work directory. It is written into the domain's metadata, where ParseOwner finds it.
	RunDir string
}

// XML returns the domain in libvirt's format, indented. The error names the field that is missing or out of range.
func (d Domain) XML() (string, error) {
	if err := d.check(); err != nil {
		return "", fmt.Errorf("domain %q: %w", d.Name, err)
	}
	doc := newDocument()
	root := doc.CreateElement("domain")
	root.CreateAttr("type", d.Type)
	root.CreateAttr("xmlns:qemu", qemuNamespace)
	d.addIdentity(root)
	d.addMachine(root)
	if err := d.addDevices(root.CreateElement("devices")); err != nil {
		return "", fmt.Errorf("domain %q: %w", d.Name, err)
	}
	d.addNetwork(root.CreateElement("qemu:commandline"))
	return written(doc)
}

// check refuses what libvirt would refuse later or, worse, would not.
func (d Domain) check() error {
	switch {
	case d.Name == "" || strings.Contains(d.Name, "/"):
		return errors.New("the name must not be empty or contain a slash")
	case d.Type != "kvm" && d.Type != "qemu":
		return fmt.Errorf("type is %q, must be kvm or qemu", d.Type)
	case d.MemoryBytes <= 0 || d.VCPUs <= 0:
		return fmt.Errorf("memory (%d bytes) and vcpus (%d) must be positive", d.MemoryBytes, d.VCPUs)
	case d.SSHPort < 1 || d.SSHPort > 65535:
		return fmt.Errorf("ssh port %d must be from 1 to 65535", d.SSHPort)
	case d.IOThreads < 0 || d.SparePorts < 0:
		return fmt.Errorf("i/o threads (%d) and spare ports (%d) must not be negative", d.IOThreads, d.SparePorts)
	}
	for _, p := range []struct{ what, path string }{
		{"emulator", d.Emulator}, {"kernel", d.Kernel}, {"initrd", d.Initrd}, {"root disk", d.Root}, {"console log", d.ConsoleLog},
		{"run directory", d.RunDir},
	} {
		if (p.what == "initrd" || p.what == "emulator") && p.path == "" {
			continue
		}
		if err := checkPath(p.what, p.path); err != nil {
			return err
		}
	}
	if err := checkSerial(d.RootSerial); err != nil {
		return err
	}
	return checkText(d.Name, d.UUID, d.CPU, d.Cmdline)
}

// addIdentity adds what the domain is called and whose it is.
func (d Domain) addIdentity(root *etree.Element) {
	addText(root, "name", d.Name)
	if d.UUID != "" {
		addText(root, "uuid", d.UUID)
	}
	run := root.CreateElement("metadata").CreateElement("platter:run")
	run.CreateAttr("xmlns:platter", ownerNamespace)
	run.CreateAttr("dir", d.RunDir)
}

// addMachine adds memory, processors, boot and what happens at the end.
func (d Domain) addMachine(root *etree.Element) {
	add(root, "memory", "unit", "bytes").SetText(strconv.FormatInt(d.MemoryBytes, 10))
	addText(root, "vcpu", strconv.Itoa(d.VCPUs))
	if d.IOThreads > 0 {
		addText(root, "iothreads", strconv.Itoa(d.IOThreads))
	}
	boot := root.CreateElement("os")
	add(boot, "type", "arch", "x86_64", "machine", "q35").SetText("hvm")
	addText(boot, "kernel", d.Kernel)
	if d.Initrd != "" {
		addText(boot, "initrd", d.Initrd)
	}
	addText(boot, "cmdline", d.Cmdline)
	features := root.CreateElement("features")
	add(features, "acpi")
	add(features, "apic")
	d.addCPU(root)
	add(root, "clock", "offset", "utc")
	for _, event := range []string{"on_poweroff", "on_reboot", "on_crash"} {
		addText(root, event, "destroy")
	}
	pm := root.CreateElement("pm")
	add(pm, "suspend-to-mem", "enabled", "no")
	add(pm, "suspend-to-disk", "enabled", "no")
}

// addCPU adds the processor model.
func (d Domain) addCPU(root *etree.Element) {
	switch {
	case d.CPU != "":
		add(root, "cpu", "mode", "custom", "match", "exact", "check", "none").CreateElement("model").SetText(d.CPU)
	case d.Type == "kvm":
		add(root, "cpu", "mode", "host-passthrough", "check", "none")
	default:
		add(root, "cpu", "mode", "maximum", "check", "none")
	}
}

// addDevices adds everything that libvirt shall know of.
func (d Domain) addDevices(devices *etree.Element) error {
	if d.Emulator != "" {
		addText(devices, "emulator", d.Emulator)
	}
	d.addRoot(devices)
	if d.Scratch != nil {
		if err := d.Scratch.addTo(devices); err != nil {
			return err
		}
	}
	add(devices, "controller", "type", "usb", "index", "0", "model", "none")
	d.addPorts(devices)
	if d.SCSI {
		add(devices, "controller", "type", "scsi", "index", "0", "model", "virtio-scsi")
	}
	serial := add(devices, "serial", "type", "file")
	add(serial, "source", "path", d.ConsoleLog, "append", "off")
	add(serial, "target", "type", "isa-serial", "port", "0")
	add(devices, "memballoon", "model", "none")
	rng := add(devices, "rng", "model", "virtio")
	add(rng, "backend", "model", "random").SetText("/dev/urandom")
	return nil
}

// addRoot adds the root disk.
func (d Domain) addRoot(devices *etree.Element) {
	disk := add(devices, "disk", "type", "file", "device", "disk")
	add(disk, "driver", "name", "qemu", "type", "raw")
	add(disk, "source", "file", d.Root)
	add(disk, "target", "dev", "vda", "bus", "virtio")
	add(disk, "readonly")
	add(disk, "shareable")
	if d.RootSerial != "" {
		addText(disk, "serial", d.RootSerial)
	}
}

// addPorts adds the PCIe ports: those to spare and one for each device of the domain that libvirt puts behind a port,
// because it fills the declared ports before it makes new ones.
func (d Domain) addPorts(devices *etree.Element) {
	ports := d.SparePorts
	if ports == 0 {
		ports = DefaultSparePorts
	}
	ports += 2 // root disk, random numbers
	if d.SCSI {
		ports++
	}
	add(devices, "controller", "type", "pci", "index", "0", "model", "pcie-root")
	for i := range ports {
		add(devices, "controller", "type", "pci", "index", strconv.Itoa(i+1), "model", "pcie-root-port")
	}
}

// addNetwork adds the network card past libvirt, which cannot forward a port to QEMU's user network. The card boots
// nothing, so it gets no option ROM.
func (d Domain) addNetwork(commandline *etree.Element) {
	for _, arg := range []string{
		"-netdev", fmt.Sprintf("user,id=platter,restrict=on,hostfwd=tcp:127.0.0.1:%d-:22", d.SSHPort),
		"-device", "virtio-net-pci,netdev=platter,romfile=,addr=" + networkSlot,
	} {
		add(commandline, "qemu:arg", "value", arg)
	}
}

// newDocument returns an empty document that is written as libvirt writes its own.
func newDocument() *etree.Document {
	doc := etree.NewDocument()
	doc.WriteSettings = etree.WriteSettings{AttrSingleQuote: true, CanonicalText: true}
	return doc
}

// written returns the document as text, indented.
func written(doc *etree.Document) (string, error) {
	doc.Indent(2)
	return doc.WriteToString()
}

// add appends an element with attributes, given as names and values in turn.
func add(parent *etree.Element, name string, attrs ...string) *etree.Element {
	e := parent.CreateElement(name)
	for i := 0; i+1 < len(attrs); i += 2 {
		e.CreateAttr(attrs[i], attrs[i+1])
	}
	return e
}

// addText appends an element with text in it.
func addText(parent *etree.Element, name, text string) { parent.CreateElement(name).SetText(text) }

// checkPath refuses what is not an absolute path or cannot be written down.
func checkPath(what, path string) error {
	if !strings.HasPrefix(path, "/") {
		return fmt.Errorf("%s %q is not an absolute path", what, path)
	}
	return checkText(path)
}

// checkSerial refuses what does not reach the guest: QEMU cuts a virtio disk's serial after 20 bytes
// (VIRTIO_BLK_ID_BYTES), and libvirt's schema (diskSerial) takes few characters.
func checkSerial(serial string) error {
	if len(serial) > 20 {
		return fmt.Errorf("serial %q is longer than the 20 bytes that a virtio disk has", serial)
	}
	if strings.ContainsFunc(serial, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("_.+- ", r))
	}) {
		return fmt.Errorf("serial %q must be made of letters, digits, blanks and _.+-", serial)
	}
	return nil
}

// checkText refuses characters that XML cannot carry, and line breaks.
func checkText(texts ...string) error {
	for _, s := range texts {
		if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool {
			return r < ' ' || r == 0x7f || r == 0xfffe || r == 0xffff
		}) {
			return fmt.Errorf("%q has characters that do not belong there", s)
		}
	}
	return nil
}

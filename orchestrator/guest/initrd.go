package guest

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// The initial RAM disk is platter's own: one static busybox, the modules of what the guest's machine has, and a script that is PID 1.
// A distribution's runs udev and some hundred programs, each of which an emulator translates anew: two thirds of a boot's time.

// drivers are the kernel modules that /init loads, in this order. A kernel has them built in, as modules, or not at all.
var drivers = []string{
	"virtio_pci", "virtio_blk", "crc32c_generic", "ext4", "overlay", "virtio_net", "virtio_rng", "virtio_scsi", "sd_mod", "nvme",
}

// applets are the programs of busybox that /init calls.
var applets = []string{"sh", "mount", "insmod", "sleep", "mkdir", "ip", "switch_root"}

// writeInitrd makes the initial RAM disk of a kernel in the tree.
func writeInitrd(file, tree, release string) error {
	dep, err := os.ReadFile(filepath.Join(tree, "lib/modules", release, "modules.dep"))
	if err != nil {
		return fmt.Errorf("read dependencies of the guest's modules: %w", err)
	}
	busybox, err := os.ReadFile(filepath.Join(tree, "bin/busybox"))
	if err != nil {
		return fmt.Errorf("read the guest's busybox: %w", err)
	}
	script, err := rootfs.ReadFile("rootfs/init")
	if err != nil {
		return err
	}
	var a cpioArchive
	for _, dir := range []string{"bin", "dev", "proc", "sys", "modules", "lower", "over", "root"} {
		a.add(dir, 0o040755, nil)
	}
	a.add("bin/busybox", 0o100755, busybox)
	for _, name := range applets {
		a.add("bin/"+name, 0o120777, []byte("busybox"))
	}
	for i, module := range loadOrder(string(dep), drivers) {
		code, err := readModule(filepath.Join(tree, "lib/modules", release, module))
		if err != nil {
			return fmt.Errorf("read module %s of the guest: %w", module, err)
		}
		a.add(fmt.Sprintf("modules/%02d-%s", i, moduleName(module)), 0o100644, code)
	}
	a.add("init", 0o100755, script)
	a.add("TRAILER!!!", 0, nil)
	if err := os.WriteFile(file, a.buf.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write the guest's initial RAM disk: %w", err)
	}
	return nil
}

// loadOrder returns the files of the named modules and of those that they need, each after what it needs. dep is the text of
// modules.dep(5), whose lines name a module's needs so that the last is to be loaded first. Names that it has not are left out.
func loadOrder(dep string, names []string) []string {
	needs, file := map[string][]string{}, map[string]string{}
	for line := range strings.Lines(dep) {
		module, others, _ := strings.Cut(line, ":")
		needs[module], file[moduleName(module)] = strings.Fields(others), module
	}
	var order []string
	for _, name := range names {
		for _, m := range slices.Backward(append([]string{file[name]}, needs[file[name]]...)) {
			if m != "" && !slices.Contains(order, m) {
				order = append(order, m)
			}
		}
	}
	return order
}

// moduleName returns the name of a module by its file: "a/virtio-rng.ko.xz" is virtio_rng.
func moduleName(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".")
	return strings.ReplaceAll(name, "-", "_")
}

// readModule reads a module, which distributions compress in different ways: busybox and the kernel do not know all of them.
func readModule(file string) ([]byte, error) {
	code, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var plain io.Reader
	switch in := bytes.NewReader(code); filepath.Ext(file) {
	case ".ko":
		return code, nil
	case ".gz":
		plain, err = gzip.NewReader(in)
	case ".xz":
		plain, err = xz.NewReader(in)
	case ".zst":
		plain, err = zstd.NewReader(in, zstd.WithDecoderConcurrency(1))
	default:
		return nil, errors.New("it is compressed in an unknown way")
	}
	if err != nil {
		return nil, err
	}
	return io.ReadAll(plain)
}

// cpioArchive is an archive in the format "newc" of the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.
type cpioArchive struct {
	buf     bytes.Buffer
	entries int
}

// add adds a file, directory or symbolic link of the owner root; mode is that of stat(2), content a link's target.
func (a *cpioArchive) add(name string, mode int, content []byte) {
	a.entries++
	fmt.Fprintf(&a.buf, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", a.entries, mode, 0, 0, 1, 0, len(content),
		0, 0, 0, 0, len(name)+1, 0)
	a.buf.WriteString(name + "\x00")
	a.pad()
	a.buf.Write(content)
	a.pad()
}

func (a *cpioArchive) pad() {
	for a.buf.Len()%4 != 0 {
		a.buf.WriteByte(0)
	}
}

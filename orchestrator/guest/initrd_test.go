package guest

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

func TestModulesAreLoadedAfterWhatTheyNeed(t *testing.T) {
	const dep = `kernel/drivers/virtio/virtio_pci.ko: kernel/drivers/virtio/virtio_pci_modern_dev.ko kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/virtio/virtio_pci_modern_dev.ko:
kernel/drivers/virtio/virtio.ko: kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/virtio/virtio_ring.ko:
kernel/drivers/char/hw_random/virtio-rng.ko.xz: kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/fs/overlayfs/overlay.ko:
`
	got := loadOrder(dep, []string{"virtio_pci", "ext4", "virtio_rng", "overlay"})
	var names []string
	for _, file := range got {
		names = append(names, moduleName(file))
	}
	if want := []string{"virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci", "virtio_rng", "overlay"}; !slices.Equal(names, want) {
		t.Errorf("got %q", got)
	}
}

func TestTheInitialRAMDiskHoldsWhatInitCallsAndModulesPlain(t *testing.T) {
	tree := t.TempDir()
	write := func(name string, text []byte) {
		t.Helper()
		path := filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	packed := func(w io.WriteCloser, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, "code"); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var gz, xzText, zst bytes.Buffer
	packed(gzip.NewWriter(&gz), nil)
	xzWriter, err := xz.NewWriter(&xzText)
	packed(xzWriter, err)
	zstWriter, err := zstd.NewWriter(&zst)
	packed(zstWriter, err)
	write("bin/busybox", []byte("busy"))
	write("lib/modules/6/modules.dep", []byte("a/virtio_blk.ko: a/virtio_ring.ko.gz\na/virtio_ring.ko.gz:\na/ext4.ko.xz:\na/overlay.ko.zst:\na/other.ko:\n"))
	write("lib/modules/6/a/virtio_blk.ko", []byte("code"))
	write("lib/modules/6/a/virtio_ring.ko.gz", gz.Bytes())
	write("lib/modules/6/a/ext4.ko.xz", xzText.Bytes())
	write("lib/modules/6/a/overlay.ko.zst", zst.Bytes())

	file := filepath.Join(t.TempDir(), "initrd")
	if err := writeInitrd(file, tree, "6"); err != nil {
		t.Fatal(err)
	}
	archive, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	content, modules := map[string]string{}, []string(nil)
	field := func(i int) int {
		n, err := strconv.ParseInt(string(archive[6+8*i:14+8*i]), 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		return int(n)
	}
	for name := ""; name != "TRAILER!!!"; {
		size, end := field(6), 110+field(11)
		name = string(archive[110 : end-1])
		begin := (end + 3) / 4 * 4
		content[name] = string(archive[begin : begin+size])
		if rest, ok := strings.CutPrefix(name, "modules/"); ok {
			modules = append(modules, rest)
			if content[name] != "code" {
				t.Errorf("%s holds %q", name, content[name])
			}
		}
		archive = archive[(begin+size+3)/4*4:]
	}
	if want := []string{"00-virtio_ring", "01-virtio_blk", "02-ext4", "03-overlay"}; !slices.Equal(modules, want) {
		t.Errorf("modules %q", modules)
	}
	if content["bin/busybox"] != "busy" || content["bin/insmod"] != "busybox" || !strings.HasPrefix(content["init"], "#!/bin/sh -e\n") {
		t.Errorf("the archive holds %q", content)
	}
	if len(archive) != 0 {
		t.Errorf("%d bytes follow the trailer", len(archive))
	}

	write("lib/modules/6/modules.dep", []byte("a/overlay.ko.lz4:\n"))
	write("lib/modules/6/a/overlay.ko.lz4", nil)
	if err := writeInitrd(file, tree, "6"); err == nil || !strings.Contains(err.Error(), "compressed in an unknown way") {
		t.Errorf("a module that cannot be read: %v", err)
	}
}

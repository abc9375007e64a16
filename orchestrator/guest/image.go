package guest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"platter/cell"
	"platter/orchestrator/mmdebstrap"
)

// Image is a built guest: a directory with kernel, initrd, root file system and the two keys. It never changes after it
// was built, so any number of guests may run from it at once.
type Image struct {
	Dir    string `json:"-"`
	Digest string `json:"digest"` // SHA-256 of what went in; the keys are made at build and are not part of it
	Kernel string `json:"kernel"` // release of the guest's kernel
	Fio    string `json:"fio"`    // package version of the guest's fio
	Suite  string `json:"suite"`
	// Filesystems are those of cell.Filesystems that its kernel has, built in or as a module.
	Filesystems []string `json:"filesystems,omitempty"`
}

// Mounts reports whether the guest's kernel has a file system; "none" it always has.
func (i *Image) Mounts(filesystem string) bool {
	return filesystem == cell.RawDevice || slices.Contains(i.Filesystems, filesystem)
}

const (
	kernelFile  = "vmlinuz"
	initrdFile  = "initrd.img"
	rootFile    = "root.img"
	clientKey   = "client_key"
	hostKey     = "host_key.pub"
	imageFile   = "image.json"
	currentLink = "guest-current"
)

// KernelPath returns the path of the kernel that QEMU boots.
func (i *Image) KernelPath() string { return filepath.Join(i.Dir, kernelFile) }

// InitrdPath returns the path of the initial RAM disk.
func (i *Image) InitrdPath() string { return filepath.Join(i.Dir, initrdFile) }

// RootPath returns the path of the root file system: a raw ext4 image that is only read.
func (i *Image) RootPath() string { return filepath.Join(i.Dir, rootFile) }

// CommandLine returns the kernel's command line. The serial console comes first and early: the first kernel line tells a
// guest that boots from one that hangs. The ciphers of the kernel test themselves at every boot unless they are told not to.
// root and init are for images that an earlier platter built, whose RAM disk was the distribution's.
func (i *Image) CommandLine() string {
	return "earlyprintk=serial,ttyS0,115200 console=ttyS0 root=/dev/vda ro init=/sbin/platter-init net.ifnames=0 panic=-1 " +
		"cryptomgr.notests"
}

// UpLine is what the guest says on its console when it has its network and starts sshd (rootfs/init).
const UpLine = "platter: guest is up"

// Open finds the guest image in the cache directory that was built last for a machine of this one's suite, else that of another suite: in
// the tree of another hypervisor that is the guest of the host.
func Open(cache string) (*Image, error) {
	dir, err := filepath.EvalSymlinks(filepath.Join(cache, ownLink()))
	if errors.Is(err, fs.ErrNotExist) {
		dir, err = filepath.EvalSymlinks(filepath.Join(cache, currentLink))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Error{Message: fmt.Sprintf("no guest image in %s: build one with: platter guest build", cache)}
	}
	if err != nil {
		return nil, fmt.Errorf("find guest image: %w", err)
	}
	return open(dir)
}

func open(dir string) (*Image, error) {
	text, err := os.ReadFile(filepath.Join(dir, imageFile))
	if err != nil {
		return nil, fmt.Errorf("read guest image: %w", err)
	}
	img := &Image{Dir: dir}
	if err := json.Unmarshal(text, img); err != nil {
		return nil, &Error{Message: fmt.Sprintf("guest image %s is damaged (%v): remove that directory and run: platter guest build", dir, err)}
	}
	if img.Filesystems == nil { // of a version that did not ask: it knew these two, and its kernels have them
		img.Filesystems = []string{"ext4", "xfs"}
	}
	return img, nil
}

// Build makes the guest image in the cache directory from packages of the host's own distribution, or finds it already
// made. kernel is the package of its kernel, empty for the distribution's small one. It needs root, mmdebstrap and mke2fs, and writes its
// steps to log. Two builds at once wait for each other.
func Build(ctx context.Context, cache, kernel string, log io.Writer) (*Image, error) {
	if os.Geteuid() != 0 {
		return nil, &Error{Message: "building the guest needs root: run it as root"}
	}
	for _, tool := range []string{"mmdebstrap", "mke2fs"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, &Error{Message: tool + " is not installed: apt-get install mmdebstrap e2fsprogs"}
		}
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, fmt.Errorf("make cache directory: %w", err)
	}
	unlock, err := lock(ctx, filepath.Join(cache, "guest.lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()

	r, err := newRecipe(ctx, kernel)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(cache, "guest-"+r.digest()[:16])
	if img, err := open(dir); err == nil {
		return img, point(cache, dir)
	}
	// Nobody else builds while the lock is held, so whatever is half made belongs to a build that was killed.
	stale, _ := filepath.Glob(filepath.Join(cache, "guest-*.building"))
	for _, s := range append(stale, dir) {
		if err := os.RemoveAll(s); err != nil {
			return nil, fmt.Errorf("remove unfinished guest image: %w", err)
		}
	}
	building := dir + ".building"
	defer os.RemoveAll(building)
	if err := r.build(ctx, building, filepath.Join(cache, "guest-build.log"), log); err != nil {
		return nil, err
	}
	if err := os.Rename(building, dir); err != nil {
		return nil, fmt.Errorf("keep guest image: %w", err)
	}
	if err := point(cache, dir); err != nil {
		return nil, err
	}
	return open(dir)
}

// ownLink names the current image of this machine's suite. A machine that has none by os-release(5) builds no guest.
func ownLink() string {
	d, _ := readDistribution()
	return currentLink + "-" + d.codename
}

// point makes dir the image that Open finds: on machines of this suite, and on others that have none of their own if it is the first.
// Several machines share a cache directory where hypervisors' trees do: none may take the guest from under another.
func point(cache, dir string) error {
	links := []string{ownLink()}
	img, err := open(dir)
	if err != nil {
		return err
	}
	current, err := filepath.EvalSymlinks(filepath.Join(cache, currentLink))
	if err == nil {
		var old *Image
		if old, err = open(current); err == nil && old.Suite == img.Suite {
			links = append(links, currentLink)
		}
	}
	if err != nil {
		links = append(links, currentLink) // there is none, or it leads nowhere
	}
	for _, link := range links {
		next := filepath.Join(cache, link+".next")
		_ = os.Remove(next)
		err := os.Symlink(filepath.Base(dir), next)
		if err == nil {
			err = os.Rename(next, filepath.Join(cache, link))
		}
		if err != nil {
			return fmt.Errorf("name current guest image: %w", err)
		}
	}
	return nil
}

// build makes the image in dir, which does not exist yet. If that fails, mmdebstrap's log is kept as failed.
func (r recipe) build(ctx context.Context, dir, failed string, log io.Writer) error {
	start := time.Now()
	tree := filepath.Join(dir, "root")
	settings := filepath.Join(dir, "settings")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make guest image: %w", err)
	}
	if err := writeInitramfsSettings(settings); err != nil {
		return err
	}
	options, err := mmdebstrap.Options(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(log, "guest: installing %s from %s\n", strings.Join(r.packages, ", "), r.suite)
	bootstrap := mmdebstrap.Tree{
		Dir: tree, Suite: r.suite, Sources: r.sources, Packages: r.packages, Options: options,
		Flags: []string{"--essential-hook=copy-in " + filepath.Join(settings, "etc") + " /"},
		Log:   filepath.Join(dir, "mmdebstrap.log"),
	}
	if err := bootstrap.Make(ctx, nil); err != nil {
		return bootstrap.KeepLog(err, failed)
	}
	installed, err := mmdebstrap.Installed(tree)
	if err != nil {
		return err
	}
	release, err := takeKernel(tree, dir)
	if err != nil {
		return err
	}
	filesystems, err := mountable(tree, release)
	if err != nil {
		return err
	}
	if err := installRootfs(tree); err != nil {
		return err
	}
	if err := makeKeys(tree, dir); err != nil {
		return err
	}
	help, err := askFio(exec.CommandContext(ctx, "chroot", tree, "/bin/sh", "-s"))
	if err != nil {
		return err
	}
	if err := keepHelp(dir, help); err != nil {
		return err
	}
	fmt.Fprintf(log, "guest: making the root file system (kernel %s, fio %s)\n", release, installed["fio"])
	if err := makeRoot(ctx, tree, filepath.Join(dir, rootFile)); err != nil {
		return err
	}
	for _, scratch := range []string{tree, settings} {
		if err := os.RemoveAll(scratch); err != nil {
			return fmt.Errorf("remove guest tree: %w", err)
		}
	}
	text, err := json.MarshalIndent(Image{Digest: r.digest(), Kernel: release, Fio: installed["fio"], Suite: r.suite,
		Filesystems: filesystems}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, imageFile), append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write guest image facts: %w", err)
	}
	unix.Sync() // the image is trusted by its name from now on: it must be whole
	fmt.Fprintf(log, "guest: built in %.0f s\n", time.Since(start).Seconds())
	return nil
}

// writeInitramfsSettings prepares the files that must lie in the tree before the kernel package is configured. The initrd that the
// distribution makes then is thrown away (see writeInitrd): a small one costs least.
func writeInitramfsSettings(dir string) error {
	base := filepath.Join(dir, "etc", "initramfs-tools")
	if err := os.MkdirAll(filepath.Join(base, "conf.d"), 0o755); err != nil {
		return fmt.Errorf("write initramfs settings: %w", err)
	}
	err := errors.Join(
		os.WriteFile(filepath.Join(base, "conf.d", "platter"), []byte("MODULES=list\nBUSYBOX=n\nCOMPRESS=gzip\n"), 0o644),
		os.WriteFile(filepath.Join(base, "modules"), nil, 0o644))
	if err != nil {
		return fmt.Errorf("write initramfs settings: %w", err)
	}
	return nil
}

// takeKernel moves the kernel from the tree into dir, makes its initial RAM disk there, and returns the kernel's release.
func takeKernel(tree, dir string) (string, error) {
	kernels, _ := filepath.Glob(filepath.Join(tree, "boot", "vmlinuz-*"))
	if len(kernels) != 1 {
		return "", &Error{Message: fmt.Sprintf(
			"the guest tree has %d kernels, wanted one: remove the guest images and build again", len(kernels))}
	}
	release := strings.TrimPrefix(filepath.Base(kernels[0]), "vmlinuz-")
	err := errors.Join(
		os.Rename(kernels[0], filepath.Join(dir, kernelFile)),
		writeInitrd(filepath.Join(dir, initrdFile), tree, release))
	if err != nil {
		return "", fmt.Errorf("take kernel out of the guest tree: %w", err)
	}
	return release, nil
}

// mountable returns which of the file systems the kernel in the tree has: its lists of built-in and of loadable modules name them by
// their files, kernel/fs/NAME/NAME.ko, with the suffix of a compression perhaps.
func mountable(tree, release string) ([]string, error) {
	var modules []byte
	for _, list := range []string{"modules.builtin", "modules.dep"} {
		text, err := os.ReadFile(filepath.Join(tree, "lib", "modules", release, list))
		if err != nil {
			return nil, fmt.Errorf("read which file systems the guest's kernel has: %w", err)
		}
		modules = append(modules, text...)
	}
	var found []string
	for _, name := range cell.Filesystems() {
		if bytes.Contains(modules, fmt.Appendf(nil, "kernel/fs/%s/%s.ko", name, name)) {
			found = append(found, name)
		}
	}
	return found, nil
}

// installRootfs puts platter's own files into the tree.
func installRootfs(tree string) error {
	for name, to := range map[string]struct {
		path string
		mode fs.FileMode
	}{
		"rootfs/sshd_config": {"etc/ssh/platter_sshd_config", 0o644},
	} {
		text, err := rootfs.ReadFile(name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(tree, to.path), text, to.mode); err != nil {
			return fmt.Errorf("install %s: %w", to.path, err)
		}
	}
	return nil
}

// makeKeys makes the key that opens the guest and the host key that proves it is this guest.
func makeKeys(tree, dir string) error {
	clientPrivate, clientPublic, err := newKey()
	if err != nil {
		return err
	}
	hostPrivate, hostPublic, err := newKey()
	if err != nil {
		return err
	}
	err = errors.Join(
		os.WriteFile(filepath.Join(dir, clientKey), clientPrivate, 0o600),
		os.WriteFile(filepath.Join(dir, hostKey), hostPublic, 0o644),
		os.WriteFile(filepath.Join(tree, "etc/ssh/platter_host_key"), hostPrivate, 0o600),
		os.WriteFile(filepath.Join(tree, "etc/ssh/platter_authorized_keys"), clientPublic, 0o644))
	if err != nil {
		return fmt.Errorf("write guest keys: %w", err)
	}
	return nil
}

// newKey returns an Ed25519 key pair: the private one in OpenSSH's PEM, the public one as an authorized_keys line.
func newKey() (private, public []byte, err error) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(priv, "platter")
	if err != nil {
		return nil, nil, fmt.Errorf("make key: %w", err)
	}
	sshPub, err := ssh.NewPublicKey(pub)
	if err != nil {
		return nil, nil, fmt.Errorf("make key: %w", err)
	}
	return pem.EncodeToMemory(block), ssh.MarshalAuthorizedKey(sshPub), nil
}

// makeRoot packs the tree into an ext4 image without a journal: it is only ever read.
func makeRoot(ctx context.Context, tree, image string) error {
	var bytesUsed int64
	err := filepath.WalkDir(tree, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			bytesUsed += (info.Size()+4095)/4096*4096 + 4096
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("measure guest tree: %w", err)
	}
	kib := (bytesUsed + bytesUsed/8 + 32<<20) / 1024
	mke2fs := exec.CommandContext(ctx, "mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-d", tree, image,
		fmt.Sprintf("%dk", kib))
	if out, err := mke2fs.CombinedOutput(); err != nil {
		return fmt.Errorf("make root file system: %w: %s", err, lastLine(out))
	}
	return os.Chmod(image, 0o644)
}

// lock takes an exclusive flock on file, waiting until ctx ends. The kernel gives it back if the process dies.
func lock(ctx context.Context, file string) (unlock func(), err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock guest images: %w", err)
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			f.Close()
			return nil, fmt.Errorf("lock guest images: %w", err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("another build holds %s: %w", file, ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// signer returns the key that opens the guest.
func (i *Image) signer() (ssh.Signer, error) {
	text, err := os.ReadFile(filepath.Join(i.Dir, clientKey))
	if err != nil {
		return nil, fmt.Errorf("read guest key: %w", err)
	}
	return ssh.ParsePrivateKey(text)
}

func (i *Image) knownHost() (ssh.PublicKey, error) {
	text, err := os.ReadFile(filepath.Join(i.Dir, hostKey))
	if err != nil {
		return nil, fmt.Errorf("read guest host key: %w", err)
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(bytes.TrimSpace(text))
	return key, err
}

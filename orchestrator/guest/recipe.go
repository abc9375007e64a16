package guest

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"platter/orchestrator/mmdebstrap"
)

//go:embed rootfs
var rootfs embed.FS

// packages are the distribution packages of the guest, without its kernel. Their dependencies come with them.
var packages = []string{
	"initramfs-tools", "busybox-static", "kmod",
	"openssh-server", "fio", "e2fsprogs", "xfsprogs", "btrfs-progs", "f2fs-tools",
}

// kernels are the packages of the small kernel for virtual machines: Debian's and Ubuntu's. A distribution has one of them. They boot
// fastest under emulation, and Debian's has no f2fs.
var kernels = []string{"linux-image-cloud-amd64", "linux-image-virtual"}

// A recipe is everything that goes into an image, so that equal recipes make equal guests.
type recipe struct {
	suite    string            // the distribution's code name, for example "bookworm"
	sources  []string          // lines of a sources.list, taken from the host's own apt
	packages []string          // those above that this distribution has
	versions map[string]string // package → version that apt would install
}

// newRecipe asks the host's apt what it would install now. It fails when apt has no lists or does not know a package.
// kernel is the package of the guest's kernel, empty for the small one of the distribution.
func newRecipe(ctx context.Context, kernel string) (recipe, error) {
	kernels := kernels
	if kernel != "" {
		kernels = []string{kernel}
	}
	d, err := readDistribution()
	if err != nil {
		return recipe{}, err
	}
	repositories, err := mmdebstrap.Repositories(ctx)
	if err != nil {
		return recipe{}, err
	}
	r := recipe{}
	if r.suite, r.sources = d.sources(repositories); len(r.sources) == 0 {
		return recipe{}, &Error{Message: fmt.Sprintf("apt has no package lists for %q: run apt-get update, then try again", d.codename)}
	}
	r.versions, err = mmdebstrap.Candidates(ctx, slices.Concat(kernels, packages))
	if err != nil {
		return recipe{}, err
	}
	r.packages, err = choose(kernels, r.versions)
	return r, err
}

// choose returns the packages of the guest, with one of the kernels, where apt has these versions.
func choose(kernels []string, versions map[string]string) ([]string, error) {
	kernel := slices.IndexFunc(kernels, func(k string) bool { return versions[k] != "" })
	if kernel < 0 {
		return nil, &Error{Message: fmt.Sprintf("apt knows none of the kernel packages %s: run apt-get update, then try again (Debian and "+
			"Ubuntu have one)", strings.Join(kernels, ", "))}
	}
	for _, p := range packages {
		if versions[p] == "" {
			return nil, &Error{Message: fmt.Sprintf(
				"apt knows no version of package %s: run apt-get update, then try again (Debian 12 has it, Ubuntu in universe)", p)}
		}
	}
	return append([]string{kernels[kernel]}, packages...), nil
}

// buildVersion stands for how an image is built: raise it when build, bootstrap or the initramfs settings change.
const buildVersion = 4

// digest names the image: hex of the SHA-256 over what was asked for: the build, sources, packages with their versions
// and platter's own files. Versions of dependencies follow from those; keys are made at build.
func (r recipe) digest() string {
	h := sha256.New()
	fmt.Fprintf(h, "build %d\nsuite %s\nsources %q\n", buildVersion, r.suite, r.sources)
	for _, p := range r.packages {
		fmt.Fprintf(h, "package %s %s\n", p, r.versions[p])
	}
	_ = fs.WalkDir(rootfs, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := rootfs.ReadFile(name)
		fmt.Fprintf(h, "file %s %d\n%s", name, len(text), text)
		return err
	})
	return hex.EncodeToString(h.Sum(nil))
}

// A distribution is what os-release(5) says of this machine.
type distribution struct {
	id       string // "debian"
	codename string // "bookworm"; of Debian's sid it is that of the next release
}

func readDistribution() (distribution, error) {
	text, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return distribution{}, fmt.Errorf("read distribution name: %w", err)
	}
	d := parseDistribution(string(text))
	if d.codename == "" {
		return d, &Error{Message: "/etc/os-release names no VERSION_CODENAME: the guest is built from the packages of a Debian-family host"}
	}
	return d, nil
}

func parseDistribution(text string) distribution {
	var d distribution
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch value = strings.Trim(value, `"'`); name {
		case "ID":
			d.id = value
		case "VERSION_CODENAME":
			d.codename = value
		}
	}
	return d
}

// sources returns the code name of the suite that the machine runs and the sources.list lines for it and its updates. The machine's
// sources may name the suite ("stable") or its code name. Other distributors' repositories are left out, and backports, from which
// nothing is taken unasked: with and without them the guest is the same.
func (d distribution) sources(repositories []mmdebstrap.Repository) (suite string, lines []string) {
	ours := func(r mmdebstrap.Repository) bool { return strings.EqualFold(r.Origin, d.id) }
	anyOurs := slices.ContainsFunc(repositories, ours)
	for _, suite = range []string{d.codename, "sid"} { // sid bears the code name of the next release in os-release
		of := func(name string) bool { return name == suite || strings.HasPrefix(name, suite+"-") }
		for _, r := range repositories {
			if !(of(r.Suite) || of(r.Codename)) || (anyOurs && !ours(r)) ||
				strings.HasSuffix(r.Suite, "-backports") || strings.HasSuffix(r.Codename, "-backports") {
				continue
			}
			if line := r.Line(); !slices.Contains(lines, line) {
				lines = append(lines, line)
			}
		}
		if len(lines) > 0 {
			break
		}
	}
	return suite, lines
}

func lastLine(text []byte) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}

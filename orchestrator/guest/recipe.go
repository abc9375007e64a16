package guest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
)

//go:embed rootfs
var rootfs embed.FS

// packages are the distribution packages of the guest. Their dependencies come with them.
var packages = []string{
	"linux-image-cloud-amd64", "initramfs-tools", "busybox", "kmod", "iproute2",
	"openssh-server", "fio", "e2fsprogs", "xfsprogs",
}

// A recipe is everything that goes into an image, so that equal recipes make equal guests.
type recipe struct {
	suite    string            // the distribution's code name, for example "bookworm"
	sources  []string          // lines of a sources.list, taken from the host's own apt
	versions map[string]string // package → version that apt would install
}

// newRecipe asks the host's apt what it would install now. It fails when apt has no lists or does not know a package.
func newRecipe(ctx context.Context) (recipe, error) {
	suite, err := codename("/etc/os-release")
	if err != nil {
		return recipe{}, err
	}
	targets, err := output(ctx, "apt-get", "indextargets", "--format",
		"$(REPO_URI)|$(RELEASE)|$(CODENAME)|$(COMPONENT)|$(SIGNED_BY)", "Created-By: Packages")
	if err != nil {
		return recipe{}, err
	}
	r := recipe{suite: suite, sources: sourceLines(targets, suite)}
	if len(r.sources) == 0 {
		return recipe{}, &Error{Message: fmt.Sprintf("apt has no package lists for %q: run apt-get update, then try again", suite)}
	}
	policy, err := output(ctx, "apt-cache", append([]string{"policy"}, packages...)...)
	if err != nil {
		return recipe{}, err
	}
	r.versions = candidates(policy)
	for _, p := range packages {
		if v := r.versions[p]; v == "" || v == "(none)" {
			return recipe{}, &Error{Message: fmt.Sprintf(
				"apt knows no version of package %s: run apt-get update, then try again (Debian 12 has it)", p)}
		}
	}
	return r, nil
}

// buildVersion stands for how an image is built: raise it when build, bootstrap or the initramfs settings change.
const buildVersion = 2

// digest names the image: hex of the SHA-256 over what was asked for: the build, sources, packages with their versions
// and platter's own files. Versions of dependencies follow from those; keys are made at build.
func (r recipe) digest() string {
	h := sha256.New()
	fmt.Fprintf(h, "build %d\nsuite %s\nsources %q\n", buildVersion, r.suite, r.sources)
	for _, p := range packages {
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

// codename reads VERSION_CODENAME of an os-release(5) file.
func codename(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read distribution name: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "VERSION_CODENAME="); ok {
			return strings.Trim(v, `"'`), nil
		}
	}
	return "", &Error{Message: file + " names no VERSION_CODENAME: the guest is built from the packages of a Debian-family host"}
}

// sourceLines turns the output of apt-get indextargets into sources.list lines for the suite and its updates. Sources of
// other suites (a vendor's repository) are left out.
func sourceLines(targets []byte, suite string) []string {
	var lines []string
	for s := bufio.NewScanner(bytes.NewReader(targets)); s.Scan(); {
		f := strings.Split(s.Text(), "|")
		if len(f) != 5 || (f[1] != suite && !strings.HasPrefix(f[1], suite+"-")) {
			continue
		}
		signed := ""
		if f[4] != "" && f[4] != "$(SIGNED_BY)" {
			signed = "[signed-by=" + f[4] + "] "
		}
		line := fmt.Sprintf("deb %s%s %s %s", signed, f[0], f[1], f[3])
		if !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return lines
}

// candidates reads apt-cache policy's output: package → version that would be installed.
func candidates(policy []byte) map[string]string {
	versions := map[string]string{}
	name := ""
	for s := bufio.NewScanner(bytes.NewReader(policy)); s.Scan(); {
		line := s.Text()
		if n, ok := strings.CutSuffix(line, ":"); ok && !strings.HasPrefix(line, " ") {
			name = n
		}
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "Candidate: "); ok {
			versions[name] = v
		}
	}
	return versions
}

// output runs a command and returns its standard output; the error carries the last line of its standard error.
func output(ctx context.Context, name string, args ...string) ([]byte, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("run %s: %w: %s", name, err, lastLine(stderr.Bytes()))
	}
	return out, nil
}

func lastLine(text []byte) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}

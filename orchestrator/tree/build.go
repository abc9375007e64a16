package tree

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/digitalocean/go-libvirt"
	"golang.org/x/sys/unix"

	"platter/fault"
	"platter/orchestrator/mmdebstrap"
)

// A plan says of what a tree of a name is made.
type plan struct {
	name     string
	suites   []string // of Debian's archive, the base first
	security string   // of its security archive, or ""
	target   string   // the suite that packages are taken from where it has them, or "" for the base
}

// plans are the trees that can be built: the suites of Debian that have another QEMU and libvirt than one another.
var plans = []plan{
	{"bookworm", []string{"bookworm", "bookworm-updates"}, "bookworm-security", ""},
	{"bookworm-backports", []string{"bookworm", "bookworm-updates", "bookworm-backports"}, "bookworm-security", "bookworm-backports"},
	{"trixie", []string{"trixie", "trixie-updates"}, "trixie-security", ""},
	{"trixie-backports", []string{"trixie", "trixie-updates", "trixie-backports"}, "trixie-security", "trixie-backports"},
	{"sid", []string{"sid"}, "", ""},
}

// Names returns the names of the trees that can be built, the oldest suite first.
func Names() []string {
	var names []string
	for _, p := range plans {
		names = append(names, p.name)
	}
	return names
}

func planOf(name string) (plan, error) {
	i := slices.IndexFunc(plans, func(p plan) bool { return p.name == name })
	if i < 0 {
		return plan{}, fault.New(fault.Usage, "no such hypervisor: %q: it is one of %s", name, strings.Join(Names(), ", "))
	}
	return plans[i], nil
}

// packages are what platter needs to run in a tree; mmdebstrap, so that a tree can build the guest of its own suite.
var packages = []string{
	"qemu-system-x86", "qemu-utils", "libvirt-daemon-system", "libvirt-clients", "libvirt-daemon-driver-qemu",
	"fio", "mmdebstrap", "e2fsprogs", "fuse3", "procps", "ca-certificates", "debian-archive-keyring",
}

// keyring has Debian's keys, for a source of the host's apt that names none.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// lines returns the sources.list of the tree, from the mirrors that the host's apt uses. A host that takes no security updates of Debian's
// makes trees without them; one whose apt has nothing of Debian's makes none, which is an error.
func (p plan) lines(host []mmdebstrap.Repository) ([]string, error) {
	var lines []string
	add := func(label string, suites ...string) bool {
		i := slices.IndexFunc(host, func(r mmdebstrap.Repository) bool { return r.Origin == "Debian" && r.Label == label })
		if i < 0 {
			return false
		}
		for _, suite := range suites {
			lines = append(lines, mmdebstrap.Repository{
				URI: host[i].URI, SignedBy: cmp.Or(host[i].SignedBy, keyring), Suite: suite, Component: "main",
			}.Line())
		}
		return true
	}
	if !add("Debian", p.suites...) {
		return nil, fault.New(fault.Rig, "build hypervisor %s: apt has no lists of Debian's archive: run apt-get update; on another "+
			"distribution add a Debian mirror to /etc/apt/sources.list.d first", p.name)
	}
	if p.security != "" {
		add("Debian-Security", p.security)
	}
	return lines, nil
}

// BuildOptions says how a tree is built.
type BuildOptions struct {
	Program string // the platter binary, which starts libvirt in the tree once: see Enter
	Force   bool   // build anew what is there already
	Log     io.Writer
}

// Build makes the tree name in the cache directory, or finds it already made. It needs root and mmdebstrap and takes minutes. The tree
// is there whole or not at all. The errors are one line with the mend; of a failed build the log is kept beside the trees.
func Build(ctx context.Context, cache, name string, o BuildOptions) (*Tree, error) {
	p, err := planOf(name)
	if err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return nil, fault.New(fault.Rig, "building a hypervisor needs root: run it as root")
	}
	dir := filepath.Join(cache, trees, name)
	if !o.Force {
		t, err := read(dir)
		if !errors.Is(err, fs.ErrNotExist) {
			return t, err
		}
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, fmt.Errorf("make cache directory: %w", err)
	}
	lock, err := hold(cache, name, unix.LOCK_EX)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	// Nobody else builds or removes while the lock is held: what is half there belongs to a process that was killed.
	half := dir + building
	for _, stale := range []string{half, dir + removing} {
		if err := removeAll(stale); err != nil {
			return nil, err
		}
	}
	t, err := p.build(ctx, half, o, lock)
	if err != nil {
		return nil, errors.Join(err, removeAll(half))
	}
	if _, err := os.Stat(dir); err == nil {
		if err := os.Rename(dir, dir+removing); err != nil {
			return nil, fmt.Errorf("replace hypervisor %s: %w", name, err)
		}
	}
	if err := os.Rename(half, dir); err != nil {
		return nil, fmt.Errorf("keep hypervisor %s: %w", name, err)
	}
	t.Path = dir
	return t, removeAll(dir + removing)
}

// build makes the tree in dir, which does not exist yet.
func (p plan) build(ctx context.Context, dir string, o BuildOptions, lock *os.File) (*Tree, error) {
	start := time.Now()
	say := func(format string, args ...any) {
		fmt.Fprintf(o.Log, "hypervisor %s: %s (%.0f s)\n", p.name, fmt.Sprintf(format, args...), time.Since(start).Seconds())
	}
	host, err := mmdebstrap.Repositories(ctx)
	if err != nil {
		return nil, err
	}
	sources, err := p.lines(host)
	if err != nil {
		return nil, err
	}
	options, err := mmdebstrap.Options(ctx)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(dir, mountDir), 0o755); err != nil {
		return nil, fmt.Errorf("make hypervisor %s: %w", p.name, err)
	}
	base := mmdebstrap.Tree{
		Dir: filepath.Join(dir, rootDir), Suite: p.suites[0], Sources: sources, Packages: packages, Options: options,
		// The lists stay: they say what was there when the tree was made, and its own guest is built by them.
		Flags: []string{"--skip=cleanup/apt/lists"},
		Log:   filepath.Join(dir, "build.log"),
	}
	if p.target != "" {
		// Packages of a backports suite are only taken when asked for, and so are those that they need (apt_preferences(5)). In the
		// tree that ends with the build: its guest is the suite's own, not that of the backports.
		base.Flags = append(base.Flags,
			`--setup-hook=mkdir -p "$1/etc/apt/apt.conf.d" && echo 'APT::Default-Release "`+p.target+`";' >"$1/etc/apt/apt.conf.d/98target"`,
			`--customize-hook=rm "$1/etc/apt/apt.conf.d/98target"`)
	}
	say("installing %s from %s: takes about three minutes", strings.Join(packages[:3], ", "), strings.Join(p.suites, " and "))
	if err := base.Make(ctx, func(step string) { say("%s", step) }, lock); err != nil {
		return nil, base.KeepLog(err, filepath.Join(filepath.Dir(dir), p.name+".log"))
	}
	t := &Tree{Name: p.name, Suites: p.suites, Built: start.UTC().Truncate(time.Second), Path: dir}
	if err := t.settle(ctx, o, lock); err != nil {
		return nil, err
	}
	for _, line := range base.Sources {
		t.Repositories = append(t.Repositories, release(t.Root(), line))
	}
	if err := t.record(); err != nil {
		return nil, err
	}
	unix.Sync() // the tree is trusted by its name from now on: it must be whole
	say("built: QEMU %s, libvirt %s, fio %s", t.QEMU, t.Libvirt, t.Fio)
	return t, nil
}

// settle starts libvirt in the tree once: it must answer before the tree is called built, and what it found out about QEMU stays in the
// tree's cache, or every session would begin with that.
func (t *Tree) settle(ctx context.Context, o BuildOptions, lock *os.File) error {
	// The host's network is the tree's: no bridge may come up by itself.
	started, _ := filepath.Glob(filepath.Join(t.Root(), "etc/libvirt/qemu/networks/autostart/*"))
	for _, link := range started {
		if err := os.Remove(link); err != nil {
			return fmt.Errorf("make hypervisor %s: %w", t.Name, err)
		}
	}
	s, err := t.enter(ctx, o.Program, nil, true, lock)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.StartLibvirt(ctx); err != nil {
		return err
	}
	// It looks at QEMU when it is asked for it first, which takes seconds.
	if err := s.ask(ctx, func(l *libvirt.Libvirt) error { _, err := l.ConnectGetVersion(); return err }); err != nil {
		return fault.New(fault.Rig, "libvirt in hypervisor %s finds no QEMU: %v: platter hypervisor build %s", t.Name, err, t.Name)
	}
	return s.stopLibvirt()
}

// record reads back what the tree has and writes its record.
func (t *Tree) record() error {
	installed, err := mmdebstrap.Installed(t.Root())
	if err != nil {
		return err
	}
	t.Packages = installed
	t.QEMU = upstream(installed["qemu-system-x86"])
	t.Libvirt = upstream(installed["libvirt-daemon-system"])
	t.Fio = upstream(installed["fio"])
	if t.QEMU == "" || t.Libvirt == "" {
		return fault.New(fault.Rig, "hypervisor %s has no QEMU or no libvirt: platter hypervisor build --force %s", t.Name, t.Name)
	}
	return t.write()
}

// release is the repository of a line of sources.list with what its Release file says, which apt keeps by the repository's name
// with "_" for "/".
func release(root, line string) Repository {
	r := Repository{Line: line}
	fields := strings.Fields(line)
	if len(fields) < 3 {
		return r
	}
	uri := strings.TrimRight(fields[len(fields)-3], "/")
	_, uri, _ = strings.Cut(uri, "://")
	file := strings.ReplaceAll(uri+"/dists/"+fields[len(fields)-2], "/", "_") + "_InRelease"
	text, err := os.ReadFile(filepath.Join(root, "var/lib/apt/lists", file))
	if err != nil {
		return r // a mirror that signs apart has a Release file of another name: the line says what was asked for
	}
	r.Suite, r.Codename, r.Version, r.Date = parseRelease(string(text))
	return r
}

// parseRelease reads the fields of a Release file (DebianRepository/Format) that say which state of the suite it is.
func parseRelease(text string) (suite, codename, version, date string) {
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok || strings.HasPrefix(line, " ") {
			continue
		}
		switch name {
		case "Suite":
			suite = value
		case "Codename":
			codename = value
		case "Version":
			version = value
		case "Date":
			date = value
		}
	}
	return suite, codename, version, date
}

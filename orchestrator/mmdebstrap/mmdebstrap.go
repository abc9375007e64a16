// Package mmdebstrap makes root trees of a Debian-family distribution with the tool of that name: what the host's apt is configured to
// (repositories, proxies, checks), the run, and a failure in one line with the mend.
package mmdebstrap

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"platter/fault"
)

// A Tree is what is asked of mmdebstrap.
type Tree struct {
	Dir      string   // the tree to make; it does not exist yet, its parent does
	Suite    string   // code name or suite name, as Sources names it
	Sources  []string // lines of a sources.list
	Packages []string // without their dependencies
	Options  []string // lines of an apt.conf, which stay in the tree as etc/apt/apt.conf.d/99mmdebstrap
	Flags    []string // further flags: hooks, --skip
	Log      string   // file that gets all that is said
}

// end is how long mmdebstrap may take to unmount and end once it was told to.
const end = 30 * time.Second

// Make makes the tree, without documentation and translations. It needs root. told is called with each step as mmdebstrap names it
// ("downloading packages with apt..."); it may be nil. held are files that stay open until mmdebstrap ended, however this process does:
// locks. The error is of the rig, gives apt's first complaint, the mend and the log's path.
func (t Tree) Make(ctx context.Context, told func(step string), held ...*os.File) error {
	if os.Geteuid() != 0 {
		return fault.New(fault.Rig, "making %s needs root: run it as root", t.Dir)
	}
	if _, err := exec.LookPath("mmdebstrap"); err != nil {
		return fault.New(fault.Rig, "mmdebstrap is not installed: apt-get install mmdebstrap")
	}
	sources := t.Dir + ".list"
	options := t.Dir + ".conf"
	err := errors.Join(
		os.WriteFile(sources, []byte(strings.Join(t.Sources, "\n")+"\n"), 0o644),
		os.WriteFile(options, []byte(strings.Join(t.Options, "\n")+"\n"), 0o644))
	if err != nil {
		return fmt.Errorf("write sources of %s: %w", t.Dir, err)
	}
	defer os.Remove(sources)
	defer os.Remove(options)
	log, err := os.Create(t.Log)
	if err != nil {
		return fmt.Errorf("write mmdebstrap log: %w", err)
	}
	defer log.Close()

	// dpkg syncs each file of each package: who made the tree syncs it whole.
	args := []string{"--mode=root", "--variant=minbase", "--include=" + strings.Join(t.Packages, ","), "--aptopt=" + options,
		"--dpkgopt=force-unsafe-io"}
	for _, unread := range []string{"doc", "man", "locale", "info"} {
		args = append(args, "--dpkgopt=path-exclude=/usr/share/"+unread+"/*")
	}
	args = append(args, t.Flags...)
	cmd := exec.CommandContext(ctx, "mmdebstrap", append(args, t.Suite, t.Dir, sources)...)
	out := &steps{log: log, told: told}
	cmd.Stdout = out
	cmd.Stderr = out
	cmd.ExtraFiles = held
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}                    // an interrupt at the terminal is for us, who end it
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it unmounts on SIGTERM
	cmd.WaitDelay = end
	err = cmd.Run()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		text, _ := os.ReadFile(t.Log)
		complaint := firstError(string(text))
		if complaint == "" {
			complaint = err.Error()
		}
		return fault.New(fault.Rig, "mmdebstrap could not make a tree of %s: %s: %s; its log is %s", t.Suite, complaint, mend(complaint), t.Log)
	}
	return nil
}

// steps is a log that tells what mmdebstrap calls its steps: its lines that begin with "I: ".
type steps struct {
	log  *os.File
	told func(string)
	line []byte
}

func (s *steps) Write(p []byte) (int, error) {
	if s.told != nil {
		for _, b := range p {
			if b != '\n' {
				s.line = append(s.line, b)
				continue
			}
			if step, ok := strings.CutPrefix(string(s.line), "I: "); ok {
				s.told(step)
			}
			s.line = s.line[:0]
		}
	}
	return s.log.Write(p)
}

// firstError returns the first line of the log that apt, dpkg or mmdebstrap calls an error, without the mark: what comes after it
// follows from it. It is "" when there is none.
func firstError(log string) string {
	for line := range strings.Lines(log) {
		line = strings.TrimSpace(line)
		for _, mark := range []string{"E: ", "dpkg: error: "} {
			if complaint, ok := strings.CutPrefix(line, mark); ok {
				return strings.TrimRight(strings.TrimSpace(complaint), ".:")
			}
		}
	}
	return ""
}

// mends are apt's complaints with what helps: the texts are apt's (apt-pkg/deb/debmetaindex.cc, acquire-item.cc, methods/connect.cc).
var mends = []struct {
	complaint *regexp.Regexp
	mend      string
}{
	{regexp.MustCompile(`is expired|Valid-Until`),
		`look at the clock; a mirror that is meant to be old: echo 'Acquire::Check-Valid-Until "false";' >/etc/apt/apt.conf.d/90old`},
	{regexp.MustCompile(`is not valid yet`),
		`look at the clock; where it is meant to be behind: echo 'Acquire::Check-Date "false";' >/etc/apt/apt.conf.d/90old`},
	{regexp.MustCompile(`does not have a Release file|404 +Not Found|no longer has a Release file`),
		"the mirror does not have this suite: configure one in /etc/apt/sources.list.d that does"},
	{regexp.MustCompile(`NO_PUBKEY|is not signed|EXPKEYSIG|signature`),
		"the keyring does not know this suite: apt-get install debian-archive-keyring, or a newer one"},
	{regexp.MustCompile(`resolving|resolve|connect|Connection|unreachable|timed out|Failed to fetch`),
		"the mirror cannot be reached: look at the network, and at Acquire::http::Proxy in /etc/apt/apt.conf.d"},
	{regexp.MustCompile(`Unable to locate package|has no installation candidate`),
		"the suite has no such package"},
	{regexp.MustCompile(`No space left|not have enough free space`),
		"free space, or name another directory with XDG_CACHE_HOME"},
	{regexp.MustCompile(`nodev|noexec`),
		"name a directory on a file system with devices and programs, with XDG_CACHE_HOME"},
}

func mend(complaint string) string {
	for _, m := range mends {
		if m.complaint.MatchString(complaint) {
			return m.mend
		}
	}
	return "run apt-get update on this host and look whether it complains, too"
}

// KeepLog moves the log of a tree that could not be made to a place where it stays, and returns the error with that place.
func (t Tree) KeepLog(failed error, to string) error {
	if _, err := os.Stat(t.Log); err != nil || errors.Is(failed, context.Canceled) {
		return failed
	}
	if err := os.Rename(t.Log, to); err != nil {
		return failed
	}
	var f *fault.Error
	if errors.As(failed, &f) {
		f.Message = strings.ReplaceAll(f.Message, t.Log, to)
	}
	return failed
}

// Installed returns the installed packages of the tree with their exact versions, from dpkg's status file.
func Installed(dir string) (map[string]string, error) {
	text, err := os.ReadFile(filepath.Join(dir, "var/lib/dpkg/status"))
	if err != nil {
		return nil, fmt.Errorf("read the packages of %s: %w", dir, err)
	}
	return parseStatus(string(text)), nil
}

// parseStatus reads dpkg's status file (dpkg(1)): paragraphs of fields, "Status: install ok installed" in those that count.
func parseStatus(text string) map[string]string {
	packages := map[string]string{}
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		fields := map[string]string{}
		for line := range strings.Lines(paragraph) {
			if name, value, ok := strings.Cut(line, ": "); ok && !strings.HasPrefix(line, " ") {
				fields[name] = strings.TrimSpace(value)
			}
		}
		if fields["Package"] != "" && strings.HasSuffix(fields["Status"], " ok installed") {
			packages[fields["Package"]] = fields["Version"]
		}
	}
	return packages
}

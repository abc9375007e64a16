package mmdebstrap

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

// A Repository is one that the host's apt has lists of.
type Repository struct {
	URI       string // with a slash at its end
	Suite     string // as the host's sources name it: "bookworm", "stable", "sid"
	Codename  string // as the Release file has it
	Component string
	SignedBy  string // path of a keyring, or "" for the host's trusted ones
	Origin    string // "Debian", "Ubuntu", …
	Label     string // "Debian", "Debian-Security", "Debian Backports", …
}

// Repositories returns what the host's apt has lists of: none before apt-get update.
func Repositories(ctx context.Context) ([]Repository, error) {
	targets, err := output(ctx, "apt-get", "indextargets", "--format",
		"$(REPO_URI)|$(RELEASE)|$(CODENAME)|$(COMPONENT)|$(SIGNED_BY)|$(ORIGIN)|$(LABEL)", "Created-By: Packages")
	if err != nil {
		return nil, err
	}
	return parseTargets(string(targets)), nil
}

func parseTargets(targets string) []Repository {
	var found []Repository
	for line := range strings.Lines(targets) {
		f := strings.Split(strings.TrimSpace(line), "|")
		if len(f) != 7 {
			continue
		}
		for i := range f {
			if strings.HasPrefix(f[i], "$(") {
				f[i] = "" // apt leaves what it does not know as it was written
			}
		}
		r := Repository{f[0], f[1], f[2], f[3], f[4], f[5], f[6]}
		if r.URI != "" && !slices.Contains(found, r) {
			found = append(found, r)
		}
	}
	return found
}

// Line returns the repository as a line of sources.list.
func (r Repository) Line() string {
	signed := ""
	if r.SignedBy != "" {
		signed = "[signed-by=" + r.SignedBy + "] "
	}
	return fmt.Sprintf("deb %s%s %s %s", signed, r.URI, r.Suite, r.Component)
}

// Candidates returns the version of each package that the host's apt would install; of one it does not know there is none.
func Candidates(ctx context.Context, packages []string) (map[string]string, error) {
	policy, err := output(ctx, "apt-cache", append([]string{"policy"}, packages...)...)
	if err != nil {
		return nil, err
	}
	return parsePolicy(string(policy)), nil
}

func parsePolicy(policy string) map[string]string {
	versions := map[string]string{}
	name := ""
	for line := range strings.Lines(policy) {
		line = strings.TrimRight(line, "\n")
		if n, ok := strings.CutSuffix(line, ":"); ok && !strings.HasPrefix(line, " ") {
			name = n
		}
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "Candidate: "); ok && v != "(none)" {
			versions[name] = v
		}
	}
	return versions
}

// Options returns how the host's apt was told to fetch and to trust (proxies, checks of dates, retries), as lines of an apt.conf: a tree
// is made from the same repositories, so it must be allowed the same.
func Options(ctx context.Context) ([]string, error) {
	dump, err := output(ctx, "apt-config", "dump", "Acquire", "APT::Sandbox")
	if err != nil {
		return nil, err
	}
	return parseOptions(string(dump)), nil
}

// notFetching are the parts of Acquire that do not say how to fetch: apt's own tables, and what lists a user wants to have.
var notFetching = []string{"Acquire::cdrom", "Acquire::Changelogs", "Acquire::IndexTargets", "Acquire::CompressionTypes",
	"Acquire::Languages", "Acquire::GzipIndexes"}

func parseOptions(dump string) []string {
	var options []string
	for line := range strings.Lines(dump) {
		line = strings.TrimSpace(line)
		name, value, _ := strings.Cut(line, " ")
		if value == `"";` || !strings.HasSuffix(value, `";`) {
			continue
		}
		part := func(p string) bool { return name == p || strings.HasPrefix(name, p+"::") }
		if slices.ContainsFunc(notFetching, part) {
			continue
		}
		options = append(options, line)
	}
	return options
}

// output runs a command and returns its standard output; the error carries apt's first complaint.
func output(ctx context.Context, name string, args ...string) ([]byte, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		complaint := firstError(stderr.String())
		if complaint == "" {
			complaint = strings.TrimSpace(stderr.String())
		}
		return nil, fmt.Errorf("run %s: %w: %s", name, err, complaint)
	}
	return out, nil
}

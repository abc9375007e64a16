package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheShellPipelineJudgesPullRequests(t *testing.T) {
	r := newRig(t)
	hook, err := filepath.Abs("../../docs/ci/check-disks.sh")
	if err != nil {
		t.Fatal(err)
	}
	repo := filepath.Join(r.dir, "repo")
	git := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", repo, "-c", "user.name=test", "-c", "user.email=test@localhost"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(repo, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	domain, err := os.ReadFile("../../change/testdata/web.xml")
	if err != nil {
		t.Fatal(err)
	}
	// change commits another version of the domain on a branch of its own and gives what the hook says of it.
	change := func(branch, old, new, options string) (markdown string, status int) {
		t.Helper()
		git("checkout", "-q", "-b", branch, "main")
		write("web.xml", strings.Replace(string(domain), old, new, 1))
		git("commit", "-q", "-a", "-m", branch)
		cmd := exec.Command(hook, "main", branch)
		cmd.Dir = repo
		cmd.Env = append(os.Environ(), "PATH="+r.dir+":"+os.Getenv("PATH"), "PLATTER_MATRIX="+filepath.Join(r.dir, "ab.yaml"),
			"PLATTER_AB=--storage "+r.storage+" "+options)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		err := cmd.Run()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		t.Logf("%s: %s%s", branch, out.String(), errs.String())
		return out.String(), cmd.ProcessState.ExitCode()
	}
	if err := os.MkdirAll(repo, 0o755); err != nil {
		t.Fatal(err)
	}
	matrix := `
name: pull-request
storage: {size: 64MiB}
guest: {memory: 512MiB}
axes: {fio.fsync: [1, 0]}
fio: {rw: randwrite, bs: 4k, ioengine: psync, direct: 1, size: 32m, time_based: 1, runtime: 300ms}
trials: 3
safety: {seconds: 0.5, size: 4MiB}
`
	if err := os.WriteFile(filepath.Join(r.dir, "ab.yaml"), []byte(matrix), 0o644); err != nil {
		t.Fatal(err)
	}
	git("init", "-q", "-b", "main")
	write("web.xml", string(domain))
	git("add", "web.xml")
	git("commit", "-q", "-m", "a domain")

	wants := func(what, text string, parts ...string) {
		t.Helper()
		for _, p := range parts {
			if !strings.Contains(text, p) {
				t.Errorf("%s: the verdict has no %q", what, p)
			}
		}
	}
	text, status := change("order", "cache='none' discard='unmap'", "discard='unmap'   cache='none'", "")
	if status != 0 {
		t.Errorf("a change that means nothing: status %d", status)
	}
	wants("a change that means nothing", text, "PASS", "nothing was measured")

	text, status = change("unsafe", "cache='none'", "cache='unsafe'", "")
	if status != 1 {
		t.Errorf("unsafe: status %d, want FAIL by lint", status)
	}
	wants("unsafe", text, "FAIL", "unsafe-not-ephemeral", "cache none → unsafe")

	text, status = change("unsafe-measured", "cache='none'", "cache='unsafe'", "--measure-anyway")
	if status != 1 {
		t.Errorf("unsafe, measured: status %d, want FAIL by measured safety", status)
	}
	wants("unsafe, measured", text, "FAIL", "LOSES", "promises")

	text, status = change("writeback", "cache='none'", "cache='writeback'", "")
	if status != 0 && status != 1 && status != 5 {
		t.Errorf("writeback: status %d is no verdict", status)
	}
	wants("writeback", text, "cache none → writeback", "What it costs", "iops over all cells", "What it risks", "ms exposed")
	r.clean()
}

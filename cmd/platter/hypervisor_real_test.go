package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"platter/orchestrator/tree"
	"platter/results"
)

// aTree is the hypervisor that PLATTER_HYPERVISOR names, else one in the cache directory; trixie is built if there is none.
func (r *rig) aTree() *tree.Tree {
	r.t.Helper()
	if name := os.Getenv("PLATTER_HYPERVISOR"); name != "" {
		t, err := tree.Open(cacheDir(), name)
		if err != nil {
			r.t.Fatal(err)
		}
		return t
	}
	kept, err := tree.List(cacheDir())
	if err != nil {
		r.t.Fatal(err)
	}
	if len(kept) > 0 {
		return kept[0]
	}
	if out, err := r.command("hypervisor", "build", "trixie").CombinedOutput(); err != nil {
		r.t.Fatalf("%v: %s", err, out)
	}
	t, err := tree.Open(cacheDir(), "trixie")
	if err != nil {
		r.t.Fatal(err)
	}
	return t
}

func TestPlatterRunsInAnotherHypervisor(t *testing.T) {
	r := newRig(t)
	tr := r.aTree()
	cmd := r.command("hypervisor", "run", "--storage", r.storage, tr.Name, "--", "sh", "-c",
		"platter --version; virsh -c qemu:///system version && ls && cat && exit 7")
	cmd.Env = append(os.Environ(), "PATH="+r.dir+":"+os.Getenv("PATH"))
	cmd.Stdin = strings.NewReader("typed\n")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 7 {
		t.Errorf("it ended with %v: %s", err, errs.String())
	}
	if errs.Len() > 0 {
		t.Errorf("it complained: %s", errs.String())
	}
	for _, want := range []string{"platter version ", "QEMU " + tr.QEMU, "libvirt " + tr.Libvirt, "real.yaml\n", "typed\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, out.String())
		}
	}

	// What is there already is not built again.
	if out, err := r.command("hypervisor", "build", tr.Name).Output(); err != nil || string(out) != tr.Path+"\n" {
		t.Errorf("build: %q, %v", out, err)
	}
}

// A libvirt that dies is told at once, and a command that fails for it ends with the rig's status.
func TestALibvirtOfATreeThatDiesIsTold(t *testing.T) {
	r := newRig(t)
	tr := r.aTree()
	ready := filepath.Join(r.dir, "ready")
	cmd := r.command("hypervisor", "run", "--storage", r.storage, tr.Name, "--", "sh", "-c",
		"cp /run/libvirtd.pid "+ready+"; while virsh -q -c qemu:///system list >/dev/null 2>&1; do sleep 0.1; done; exit 9")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	awaitFile(t, ready)
	daemon := childNamed(t, cmd.Process.Pid, "libvirtd")
	if err := daemon.Kill(); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != exitRig {
		t.Errorf("it ended with %v", err)
	}
	if !strings.Contains(errs.String(), "platter: libvirtd in hypervisor "+tr.Name+" died (signal: killed") {
		t.Errorf("it says: %s", errs.String())
	}
}

func awaitFile(t *testing.T, path string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if info, err := os.Stat(path); err == nil && info.Size() > 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s did not come", path)
		}
	}
}

// childNamed is the child of a process that runs the named program.
func childNamed(t *testing.T, parent int, name string) *os.Process {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if err != nil {
			continue // ended meanwhile
		}
		var pid, ppid int
		var comm, state string
		if _, err := fmt.Sscan(string(text), &pid, &comm, &state, &ppid); err != nil || ppid != parent || comm != "("+name+")" {
			continue
		}
		p, err := os.FindProcess(pid)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	t.Fatalf("process %d has no child %s", parent, name)
	return nil
}

// Six cells on a newer hypervisor, then the upgrade to it as a change that is judged.
func TestANewerHypervisorIsMeasuredAndTheUpgradeToItJudged(t *testing.T) {
	r := newRig(t)
	tr := r.aTree()
	for name, text := range map[string]string{
		"six.yaml": `
name: six
storage: {size: 64MiB}
guest: {memory: 512MiB}
axes: {disk.cache: [none, writethrough, unsafe], fio.fsync: [0, 1]}
fio: {rw: randwrite, bs: 4k, ioengine: psync, direct: 1, size: 16m, runtime: 300ms}
trials: 1
safety: {classes: [power_loss], seconds: 1, size: 4MiB}
`,
		"upgrade.yaml": `
name: upgrade
storage: {size: 64MiB}
guest: {memory: 512MiB}
axes: {fio.fsync: [1]}
fio: {rw: randwrite, bs: 4k, ioengine: psync, direct: 1, size: 16m, runtime: 300ms}
trials: 2
safety: {classes: [power_loss], seconds: 1, size: 4MiB}
`,
	} {
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r.run(0, "run", "--hypervisor", tr.Name, "six.yaml", "-o", "six", "--storage", r.storage)
	r.clean()
	run, err := results.Read(filepath.Join(r.dir, "six"))
	if err != nil || len(run.Trials) != 6 || len(run.Safety) != 6 {
		t.Fatalf("%d trials and %d safety records, %v; want 6 of each", len(run.Trials), len(run.Safety), err)
	}
	for _, s := range run.Safety {
		switch {
		case s.Status != results.OK:
			t.Errorf("%s: %s", s.Cell, s.Failure.Message)
		case strings.Contains(s.Cell, "disk.cache=writethrough"): // whether it loses is what QEMU's version and chance make of it
			if s.CrashPoints == 0 {
				t.Errorf("%s: nothing was judged", s.Cell)
			}
		case s.Verdict != s.Predicted:
			t.Errorf("%s: %s (%s), predicted %s", s.Cell, s.Verdict, s.Reason, s.Predicted)
		}
	}

	domain, err := filepath.Abs("../../change/testdata/web.xml")
	if err != nil {
		t.Fatal(err)
	}
	stdout, _ := r.run(exitInconclusive, "ab", "--hypervisor-before", "host", "--hypervisor-after", tr.Name, domain, "upgrade.yaml",
		"-o", "upgrade", "--storage", r.storage)
	r.clean()
	for _, want := range []string{tr.Name, "needs 10"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the verdict on the upgrade has no %q:\n%s", want, stdout)
		}
	}
	if run, err := results.Read(filepath.Join(r.dir, "upgrade")); err != nil || len(run.Trials) != 4 || len(run.Safety) != 2 {
		t.Errorf("%d trials and %d safety records of both sides, %v", len(run.Trials), len(run.Safety), err)
	}
}

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
)

// aTree is the name of a hypervisor in the cache directory; trixie is built if there is none.
func (r *rig) aTree() *tree.Tree {
	r.t.Helper()
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

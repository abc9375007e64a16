package orchestrator

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"platter/orchestrator/guest"
	"platter/orchestrator/host"
	"platter/orchestrator/hypervisor"
	"platter/orchestrator/tree"
)

// Status of a check.
const (
	CheckOK      = "ok"
	CheckWarning = "warn" // a run works, but not as well as it could
	CheckFailed  = "fail" // a run would not work
)

// Check is one line of the doctor's.
type Check struct {
	Name    string `json:"check"`
	Status  string `json:"status"`
	Message string `json:"message"`
	Mend    string `json:"mend,omitempty"` // what to do; empty when there is nothing to do
}

func ok(name, format string, args ...any) Check {
	return Check{Name: name, Status: CheckOK, Message: fmt.Sprintf(format, args...)}
}

func warn(name, mend, format string, args ...any) Check {
	return Check{Name: name, Status: CheckWarning, Message: fmt.Sprintf(format, args...), Mend: mend}
}

func fail(name, mend, format string, args ...any) Check {
	return Check{Name: name, Status: CheckFailed, Message: fmt.Sprintf(format, args...), Mend: mend}
}

// Examine checks whether a run would work with this libvirt URI, storage and cache directory, and whether the installed QEMU keeps what it
// acknowledges. It may boot a guest. program is the path of platter's own executable.
func Examine(ctx context.Context, program, uri, storage, cache string) []Check {
	var checks []Check
	add := func(c ...Check) { checks = append(checks, c...) }
	host, err := hypervisor.Connect(ctx, uri)
	if err != nil {
		add(fail("libvirt", "", "%v", err))
	} else {
		defer host.Close()
		add(examineLibvirt(ctx, host, program, storage, cache)...)
	}
	add(examineTool("fio", "fio --version"), examineFUSE())
	add(examineStorage(storage)...)
	add(examineIOUring())
	add(examineTrees(cache)...)
	return append(checks, examineLeftovers(ctx, host, storage))
}

func examineLibvirt(ctx context.Context, host *hypervisor.Host, program, storage, cache string) []Check {
	facts, err := host.Facts(ctx)
	if err != nil {
		return []Check{fail("libvirt", "", "%v", err)}
	}
	checks := []Check{
		ok("libvirt", "%s at %s, socket %s", facts.Libvirt, facts.URI, facts.Socket),
		ok("qemu", "%s (%s)", facts.QEMU, facts.Emulator),
	}
	if facts.KVMProblem != "" {
		checks = append(checks, warn("/dev/kvm", "", "%s", facts.KVMProblem))
	}
	work, err := newWorkdir(storage)
	if err != nil {
		return append(checks, fail("storage", "name another directory with --storage", "%v", err))
	}
	defer work.Close()
	checks = append(checks, examineDurability(ctx, facts, program, work.path))
	image, err := guest.Open(cache)
	if err != nil {
		return append(checks, fail("guest", "platter guest build", "%v", err))
	}
	checks = append(checks, ok("guest", "kernel %s, fio %s in %s", image.Kernel, image.Fio, image.Dir))
	if err := searchable(work.path, facts); err != nil {
		return append(checks, fail("storage", "name a directory that QEMU's user can enter with --storage", "%v", err))
	}
	os.Remove(filepath.Join(cache, kvmProbeFile)) // the doctor looks anew
	accel, err := probeAccel(ctx, newLiveLab(host, image, work, "kvm"), facts, filepath.Join(cache, kvmProbeFile))
	switch {
	case err != nil:
		checks = append(checks, fail("kvm", "", "%v", err))
	case accel.Name == "kvm":
		checks = append(checks, ok("kvm", "%s", accel.Reason))
	default:
		checks = append(checks, warn("kvm", "", "guests run under emulation (TCG): %s", accel.Reason))
	}
	return checks
}

func examineTool(name, command string) Check {
	args := strings.Fields(command)
	out, err := exec.Command(args[0], args[1:]...).Output()
	if err != nil {
		return warn(name, "apt-get install "+name, "not on this host (guests have their own)")
	}
	return ok(name, "%s on this host", strings.TrimSpace(string(out)))
}

func examineFUSE() Check {
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return warn("fuse", "modprobe fuse, and run as root", "/dev/fuse cannot be opened (%v): only the simulated disk needs it", err)
	}
	f.Close()
	return ok("fuse", "/dev/fuse can be opened")
}

func examineStorage(storage string) []Check {
	free, err := host.FreeBytes(storage)
	if err != nil {
		return []Check{fail("storage", "mkdir -p "+storage, "%s: %v", storage, err)}
	}
	checks := []Check{ok("storage", "%s: %s free on %s", storage, size(free), host.Storage(storage).FileSystem)}
	if free < 3<<30 {
		checks[0] = warn("storage", "free space, or name another directory with --storage", "%s: only %s free", storage, size(free))
	}
	if err := host.CheckDirect(storage); err != nil {
		return append(checks, fail("o_direct", "name another directory with --storage", "%v", err))
	}
	return append(checks, ok("o_direct", "files in %s open with O_DIRECT", storage))
}

// examineTrees looks at the hypervisors beside the installed one. A machine without any needs no line.
func examineTrees(cache string) []Check {
	built, problems := tree.List(cache)
	var words, mends []string
	for _, t := range built {
		words = append(words, fmt.Sprintf("%s (QEMU %s, libvirt %s)", t.Name, t.QEMU, t.Libvirt))
	}
	said := strings.Join(words, ", ")
	for _, dir := range tree.Unfinished(cache) {
		said = strings.TrimPrefix(said+"; half built: "+dir, "; ")
		name, _, _ := strings.Cut(filepath.Base(dir), ".")
		mends = append(mends, "platter hypervisor build "+name+", or platter cleanup")
	}
	switch {
	case problems != nil:
		return []Check{warn("hypervisors", "", "%s", strings.ReplaceAll(problems.Error(), "\n", "; "))}
	case mends != nil:
		return []Check{warn("hypervisors", strings.Join(mends, "; "), "%s", said)}
	case said == "":
		return nil
	}
	return []Check{ok("hypervisors", "%s", said)}
}

func examineIOUring() Check {
	if err := host.IOUring(); err != nil {
		return warn("io_uring", "sysctl kernel.io_uring_disabled=0", "not allowed here (%v): cells with disk.io=io_uring will fail", err)
	}
	return ok("io_uring", "can be used")
}

func examineLeftovers(ctx context.Context, host *hypervisor.Host, storage string) Check {
	found, err := Leftovers(ctx, host, storage)
	if err != nil {
		return fail("leftovers", "", "%v", err)
	}
	Release(found)
	if len(found) == 0 {
		return ok("leftovers", "none")
	}
	var names []string
	for _, l := range found {
		names = append(names, l.String())
	}
	return warn("leftovers", "platter cleanup", "%s", strings.Join(names, ", "))
}

package orchestrator

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"platter/results"
)

// hostFacts reads what the kernel tells of this machine. What it does not tell stays empty.
func hostFacts() results.Host {
	h := results.Host{CPUs: runtime.NumCPU(), MemoryBytes: memTotal()}
	h.Name, _ = os.Hostname()
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		h.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	h.CPU = cpuinfo("model name")
	h.CPUMHz, _ = strconv.ParseFloat(cpuinfo("cpu MHz"), 64)
	governor, _ := os.ReadFile("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
	h.Governor = strings.TrimSpace(string(governor))
	return h
}

// cpuinfo is a field of the first processor in /proc/cpuinfo; empty where there is none.
func cpuinfo(field string) string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == field {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func memTotal() int64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	return int64(info.Totalram) * int64(info.Unit)
}

// userHZ is the unit of times in /proc (USER_HZ, 100 on all of Linux's architectures that QEMU's KVM runs on).
const userHZ = 100

// busyCPU is the time that the host's processors have spent on any work since boot, without what a hypervisor below took
// away (/proc/stat, proc(5)).
func busyCPU() time.Duration {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	f := strings.Fields(line)
	if len(f) < 8 || f[0] != "cpu" {
		return 0
	}
	var ticks int64
	for _, i := range []int{1, 2, 3, 6, 7} { // user, nice, system, irq, softirq
		n, _ := strconv.ParseInt(f[i], 10, 64)
		ticks += n
	}
	return time.Duration(ticks) * time.Second / userHZ
}

// processCPU is the processor time that a process has used (/proc/PID/stat, fields 14 and 15); 0 if it is gone.
func processCPU(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name in parentheses may hold spaces
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * time.Second / userHZ
}

// mount is one line of /proc/self/mountinfo, as far as it is needed here (proc(5)).
type mount struct {
	point, kind, source string
	device              string // "major:minor"
}

// mountOf finds the mount that holds path.
func mountOf(path string) (mount, bool) {
	path, err := filepath.Abs(path)
	if err != nil {
		return mount{}, false
	}
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return mount{}, false
	}
	return findMount(text, path)
}

// findMount gives the mount with the longest mount point above path; of equal ones the last, which covers the others.
func findMount(mountinfo []byte, path string) (mount, bool) {
	var best mount
	for s := bufio.NewScanner(bytes.NewReader(mountinfo)); s.Scan(); {
		left, right, ok := strings.Cut(s.Text(), " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !ok || len(l) < 5 || len(r) < 2 {
			continue
		}
		m := mount{point: unescapeMount(l[4]), device: l[2], kind: r[0], source: r[1]}
		if len(m.point) >= len(best.point) && (m.point == "/" || path == m.point || strings.HasPrefix(path, m.point+"/")) {
			best = m
		}
	}
	return best, best.point != ""
}

// unescapeMount undoes the kernel's octal escapes of space, tab, newline and backslash.
func unescapeMount(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// deviceFlushes reads how many flush requests the device below path has completed since boot, from everybody
// (/sys/dev/block/MAJOR:MINOR/stat, field 16; kernel Documentation/block/stat.rst). Not every file system has one.
func deviceFlushes(path string) (int64, error) {
	m, ok := mountOf(path)
	if !ok {
		return 0, fmt.Errorf("no mount holds %s", path)
	}
	text, err := os.ReadFile(filepath.Join("/sys/dev/block", m.device, "stat"))
	if err != nil {
		return 0, err
	}
	f := strings.Fields(string(text))
	if len(f) < 17 {
		return 0, fmt.Errorf("kernel counts no flushes for %s", m.source)
	}
	return strconv.ParseInt(f[15], 10, 64)
}

// mincore tells for each page of m whether it is resident; x/sys/unix has no wrapper for mincore(2).
func mincore(m, pages []byte) error {
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)), uintptr(unsafe.Pointer(&pages[0])))
	if errno != 0 {
		return errno
	}
	return nil
}

// uintptrOf passes a structure to a system call that x/sys/unix does not wrap.
func uintptrOf(p *[120]byte) uintptr { return uintptr(unsafe.Pointer(p)) }

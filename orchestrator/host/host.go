// Package host reads what the kernel tells of this machine: processors and memory, where a directory lies and on which drives, what of a
// file is in the page cache, and what QEMU and its disks have used and done.
package host

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"platter/results"
)

// Facts returns what the kernel tells of this machine. What it does not tell stays empty; libvirt's side is not in it.
func Facts() results.Host {
	h := results.Host{CPUs: runtime.NumCPU()}
	h.Name, _ = os.Hostname()
	var memory unix.Sysinfo_t
	if unix.Sysinfo(&memory) == nil {
		h.MemoryBytes = int64(memory.Totalram) * int64(memory.Unit)
	}
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

// cpuinfo returns a field of the first processor in /proc/cpuinfo; empty where there is none.
func cpuinfo(field string) string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == field {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// userHZ is the unit of times in /proc (USER_HZ, 100 on all of Linux's architectures that QEMU's KVM runs on).
const userHZ = 100

// BusyCPU returns the time that all processors together have spent on any work since boot, without what a hypervisor below took away
// (/proc/stat, proc(5)); 0 where that cannot be read.
func BusyCPU() time.Duration {
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

// ProcessCPU returns the processor time that a process has used (/proc/PID/stat, fields 14 and 15); 0 if it is gone.
func ProcessCPU(pid int) time.Duration {
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

// IOUring makes a ring as disk.io=io_uring would have QEMU do (io_uring_setup(2)) and returns the kernel's error if it may not be made.
func IOUring() error {
	var params [120]byte // struct io_uring_params
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params)), 0)
	if errno != 0 {
		return errno
	}
	return unix.Close(int(fd))
}

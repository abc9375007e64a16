package hypervisor

import (
	"context"
	"os/exec"
	"regexp"
	"time"
)

// installedLimit bounds the question after a program's version.
const installedLimit = 5 * time.Second

// Installed returns the versions of the QEMU and the libvirt daemon that are installed on this machine, "7.2.22" and "9.0.0", as the
// programs themselves say; empty where there is none. No daemon is asked.
func Installed(ctx context.Context) (qemu, libvirt string) {
	qemu = versionOf(ctx, "qemu-system-x86_64", "/usr/libexec/qemu-kvm")
	return qemu, versionOf(ctx, "libvirtd", "/usr/sbin/libvirtd", "virtqemud", "/usr/sbin/virtqemud")
}

// aVersion is what programs print with --version: "QEMU emulator version 7.2.22 (Debian …)", "libvirtd (libvirt) 9.0.0".
var aVersion = regexp.MustCompile(`[0-9]+\.[0-9]+\.[0-9]+`)

// versionOf returns the version of the first of some programs that is there and says one.
func versionOf(ctx context.Context, programs ...string) string {
	ctx, cancel := context.WithTimeout(ctx, installedLimit)
	defer cancel()
	for _, program := range programs {
		out, err := exec.CommandContext(ctx, program, "--version").Output()
		if err != nil {
			continue
		}
		if v := aVersion.Find(out); v != nil {
			return string(v)
		}
	}
	return ""
}

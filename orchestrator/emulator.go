package orchestrator

import (
	"context"
	"os/exec"
	"regexp"
	"time"

	"platter/fault"
)

// emulatorLimit bounds how long a QEMU may take to say its version.
const emulatorLimit = 10 * time.Second

// qemuVersion is in the first line that QEMU says of itself: "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)".
var qemuVersion = regexp.MustCompile(`^QEMU emulator version ([0-9]+\.[0-9]+\.[0-9]+)`)

// emulatorVersion asks the QEMU at a path for its version. says runs a command where guests run. A path that is no QEMU which can be run is
// a usage error.
func emulatorVersion(ctx context.Context, path string, says func(ctx context.Context, args ...string) (string, error)) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, emulatorLimit)
	defer cancel()
	out, err := says(ctx, path, "--version")
	if err != nil {
		return "", fault.New(fault.Usage, "disk.emulator %s cannot be run: %v: name the absolute path of a QEMU", path, err)
	}
	m := qemuVersion.FindStringSubmatch(out)
	if m == nil {
		return "", fault.New(fault.Usage, "disk.emulator %s does not say which QEMU it is: name the absolute path of a QEMU for x86_64", path)
	}
	return m[1], nil
}

// hostSays runs a command on the host and returns what it says.
func hostSays(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).Output()
	return string(out), err
}

package hypervisor

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"platter/fault"

	"github.com/digitalocean/go-libvirt"
)

func TestMessagesOfLibvirtAndQEMUAreUnderstood(t *testing.T) {
	const internal = libvirt.ErrInternalError
	for _, test := range []struct {
		code    libvirt.ErrorNumber
		message string
		fault   fault.Fault
		hint    string
	}{
		{internal, "internal error: unable to execute QEMU command 'device_add': Bus 'ide.0' does not support hotplugging", fault.Refused,
			"when it starts"},
		{libvirt.ErrOperationUnsupported, "Operation not supported: disk bus 'sata' cannot be hotplugged.", fault.Refused, "when it starts"},
		{internal, "internal error: unable to execute QEMU command 'device_add': Bus 'pcie.0' does not support hotplugging", fault.Refused, ""},
		{internal, "internal error: No more available PCI slots", fault.Refused, "pcie-root-port"},
		{libvirt.ErrConfigUnsupported, "unsupported configuration: io='native' needs either no disk cache or directsync cache mode",
			fault.Refused, "cache=directsync"},
		{libvirt.ErrConfigUnsupported, "unsupported configuration: Disk iothread '9' not defined in iothreadid", fault.Refused, ""},
		{libvirt.ErrXMLError, "XML error: Invalid value for attribute 'cache' in element 'driver': 'bogus'.", fault.Refused, ""},
		{internal, "internal error: unable to execute QEMU command 'device_add': invalid queue-size property (7), must be a power of 2 (max " +
			"1024)", fault.Refused, ""},
		{internal, "internal error: unable to execute QEMU command 'blockdev-add': Could not open '/d/i': filesystem does not support O_DIRECT",
			fault.Refused, "direct I/O"},
		{internal, "internal error: unable to execute QEMU command 'blockdev-add': Unknown driver 'rbd'", fault.Refused, "qemu-block-extra"},
		{internal, "internal error: unable to execute QEMU command 'blockdev-add': Image is not in qcow2 format", fault.Refused,
			"type attribute"},
		{internal, "internal error: unable to execute QEMU command 'device_add': Failed to get \"write\" lock", fault.Rig, "fuser"},
		{internal, "internal error: qemu unexpectedly closed the monitor: Could not access KVM kernel module: Permission " +
			"denied\n2026-01-01T00:00:00Z qemu-system-x86_64: -accel kvm: failed to initialize kvm: Permission denied\n", fault.Rig, "chgrp kvm /dev/kvm"},
		{libvirt.ErrConfigUnsupported, "unsupported configuration: Emulator '/usr/bin/qemu-system-x86_64' does not support virt type 'kvm'",
			fault.Rig, "emulation"},
		{libvirt.ErrOperationFailed, "operation failed: domain 'x' already exists with uuid 530195b2-899a-4996-9199-d2d1c81e95f8", fault.Rig,
			"virsh destroy"},
		{libvirt.ErrSystemError, "Cannot access storage file '/d/nope.img': No such file or directory", fault.Rig, "must exist"},
		{libvirt.ErrSystemError, "Unable to set XATTR trusted.libvirt.security.dac on /d/i: Operation not permitted", fault.Rig, "relabel='no'"},
		{libvirt.ErrAuthFailed, "authentication failed: access denied by policy", fault.Rig, "group libvirt"},
		{internal, "internal error: Could not find sata controller with index 3 required for device", fault.Refused, "when it starts"},
		{libvirt.ErrSystemError, "Cannot check QEMU binary /usr/bin/nonesuch: No such file or directory", fault.Rig, ""},
	} {
		err := classify("attach disk vdb to domain x", libvirt.Error{Code: uint32(test.code), Message: test.message})
		var e *Error
		if !errors.As(err, &e) {
			t.Fatalf("%s: not an *Error: %v", test.message, err)
		}
		if e.Fault != test.fault {
			t.Errorf("%s: the fault is %s, want %s", test.message, e.Fault, test.fault)
		}
		if test.hint == "" && e.Hint != "" || !strings.Contains(e.Hint, test.hint) {
			t.Errorf("%s: the hint is %q, want %q in it", test.message, e.Hint, test.hint)
		}
		if e.Message != test.message {
			t.Errorf("libvirt's message was changed to %q", e.Message)
		}
		if strings.ContainsAny(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "attach disk vdb to domain x: ") {
			t.Errorf("not one line that begins with what was tried: %q", err)
		}
	}
}

func TestADomainThatIsNotThereIsGone(t *testing.T) {
	for _, refusal := range []libvirt.Error{
		{Code: uint32(libvirt.ErrNoDomain), Message: "Domain not found: no domain with matching name 'x'"},
		{Code: uint32(libvirt.ErrOperationInvalid), Message: "Requested operation is not valid: domain is not running"},
	} {
		if err := classify("op", refusal); !errors.Is(err, ErrGone) {
			t.Errorf("%s: not ErrGone: %v", refusal.Message, err)
		}
	}
	if err := classify("op", libvirt.Error{Code: uint32(libvirt.ErrOperationInvalid),
		Message: "network 'default' is not active"}); errors.Is(err, ErrGone) {
		t.Errorf("another invalid operation is ErrGone: %v", err)
	}
}

func TestALostConnectionIsRecognised(t *testing.T) {
	for _, err := range []error{libvirt.ErrInterrupted, syscall.EINVAL} {
		if got := classify("op", err); !errors.Is(got, ErrDisconnected) || !errors.Is(got, err) {
			t.Errorf("%v became %v", err, got)
		}
	}
}

func TestTheFaultIsFoundThroughWrapping(t *testing.T) {
	err := fmt.Errorf("cell x: %w", &Error{Op: "attach", Fault: fault.Refused, Message: "no"})
	if got := fault.Of(err); got != fault.Refused {
		t.Errorf("got %s", got)
	}
	if got := fault.Of(errors.New("unknown")); got != "" {
		t.Errorf("an unknown error is the fault of %s, want the rig", got)
	}
}

func TestTheImageIsFoundInAPermissionMessage(t *testing.T) {
	for message, want := range map[string]string{
		"internal error: unable to execute QEMU command 'blockdev-add': Could not open '/root/r.img': Permission denied":                                                  "/root/r.img",
		"Cannot access storage file '/root/r.img' (as uid:64055, gid:107): Permission denied":                                                                             "/root/r.img",
		`qemu unexpectedly closed the monitor: qemu-system-x86_64: -blockdev {"driver":"file","filename":"/root/r.img"}: Could not open '/root/r.img': Permission denied`: "/root/r.img",
		"Could not open '/root/r.img': No such file or directory":                                                                                                         "",
		"Could not access KVM kernel module: Permission denied":                                                                                                           "",
	} {
		path, ok := deniedPath(message)
		if path != want || ok != (want != "") {
			t.Errorf("%s: got %q, %v; want %q", message, path, ok, want)
		}
	}
}

package hypervisor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"syscall"
	"time"

	"platter/fault"

	"github.com/digitalocean/go-libvirt"
)

// explainLimit bounds the questions asked only to make an error clearer.
const explainLimit = 5 * time.Second

// ErrGone is wrapped in the error of a call for a domain that is not there, or not running any more.
var ErrGone = errors.New("the domain is gone")

// ErrDisconnected is wrapped in the errors of a Host that was closed or whose connection was lost. It is permanent.
var ErrDisconnected = errors.New("not connected to libvirt")

// Error is what failed, whose fault it is, and what to do. Its text is one line.
type Error struct {
	// Op is what was tried, naming the domain and disk: "attach disk vdb to domain x".
	Op    string
	Fault fault.Fault
	// Message is libvirt's own message where it is libvirt that failed.
	Message string
	// Hint says what to do about it; "" when nothing certain is known.
	Hint string
	// Err is the cause: a context's error, ErrGone, ErrDisconnected, or libvirt's error.
	Err error
}

// Error is "op: message; hint".
func (e *Error) Error() string {
	text := e.Op + ": " + oneLine(e.Message)
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Whose returns the fault.
func (e *Error) Whose() fault.Fault { return e.Fault }

// oneLine joins the lines of a message; QEMU's errors often have several.
func oneLine(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, " / ")
}

func rigError(op string, err error) *Error {
	return &Error{Op: op, Fault: fault.Rig, Message: err.Error(), Err: err}
}

// classify makes an *Error of what a call of go-libvirt returned.
func classify(op string, err error) error {
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	var refusal libvirt.Error
	if errors.As(err, &refusal) {
		return classifyRefusal(op, refusal)
	}
	if errors.Is(err, libvirt.ErrInterrupted) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, net.ErrClosed) {
		return &Error{Op: op, Fault: fault.Rig, Message: "the connection to libvirt was lost",
			Hint: "see whether the daemon was stopped or has crashed", Err: fmt.Errorf("%w: %w", ErrDisconnected, err)}
	}
	return rigError(op, err)
}

// classifyRefusal looks at libvirt's error number and, where that says too little ("internal error"), at its message.
func classifyRefusal(op string, err libvirt.Error) *Error {
	e := &Error{Op: op, Fault: fault.Rig, Message: err.Message, Err: err}
	switch libvirt.ErrorNumber(err.Code) {
	case libvirt.ErrNoDomain:
		e.Err = fmt.Errorf("%w: %w", ErrGone, err)
	case libvirt.ErrConfigUnsupported, libvirt.ErrXMLError, libvirt.ErrXMLDetail, libvirt.ErrXMLInvalidSchema,
		libvirt.ErrOperationUnsupported, libvirt.ErrArgumentUnsupported:
		e.Fault = fault.Refused
	case libvirt.ErrAuthFailed, libvirt.ErrAuthCancelled, libvirt.ErrAuthUnavailable, libvirt.ErrAccessDenied:
		e.Hint = "run platter as root or as a member of the group libvirt"
	}
	if strings.Contains(err.Message, "domain is not running") {
		e.Err = fmt.Errorf("%w: %w", ErrGone, err)
	}
	for _, known := range knownMessages() {
		if regexp.MustCompile(known.pattern).MatchString(err.Message) {
			e.Fault, e.Hint = known.fault, known.hint
			break
		}
	}
	return e
}

// knownMessage is a message of libvirt 9 or QEMU 7.2 that says too little to act on.
type knownMessage struct {
	pattern string
	fault   fault.Fault
	hint    string
}

func knownMessages() []knownMessage {
	const (
		plugCold = "SATA and IDE disks must be in the domain when it starts"
		openKVM  = "let the group kvm use it: chgrp kvm /dev/kvm && chmod 660 /dev/kvm"
		taken    = "another run uses this name, or a killed one left it: virsh destroy NAME ends it"
	)
	return []knownMessage{
		{`Bus 'ide\.\d+' does not support hotplugging|disk bus '.*' cannot be hotplugged`, fault.Refused, plugCold},
		{`Could not find (sata|ide) controller`, fault.Refused, plugCold},
		{`does not support hotplugging`, fault.Refused, ""},
		{`No more available PCI slots`, fault.Refused, "give the domain more pcie-root-port controllers"},
		{`io='native' needs`, fault.Refused, "io=native works with cache=none and cache=directsync only"},
		{`does not support O_DIRECT`, fault.Refused,
			"keep the image on a file system that has direct I/O, or leave out cache=none, cache=directsync and io=native"},
		{`linux io_uring`, fault.Refused, "see whether the kernel lets QEMU use io_uring: sysctl kernel.io_uring_disabled"},
		{`is not supported in this build`, fault.Refused, "this QEMU was built without it"},
		{`must be a power of 2`, fault.Refused, ""},
		{`Unknown driver '`, fault.Refused, "this QEMU lacks the block driver: install the package that has it, for example qemu-block-extra"},
		{`Image is not in .* format`, fault.Refused, "the disk's type attribute must be the format of the image"},
		{`Could not access KVM kernel module`, fault.Rig, openKVM},
		{`failed to initialize kvm`, fault.Rig, openKVM},
		{`does not support virt type 'kvm'`, fault.Rig, "this host has no KVM: use emulation"},
		{`already exists with uuid|is already active`, fault.Rig, taken},
		{`Failed to get .*lock`, fault.Rig, "another process has the image open: fuser IMAGE names it"},
		{`Unable to set XATTR`, fault.Rig, "give the disk's source <seclabel model='dac' relabel='no'/>"},
		{`Cannot access storage file .*No such file`, fault.Rig,
			"the image must exist, and be on a mount older than the domain for QEMU to see it"},
		{`Could not open .*No such file`, fault.Rig, "the image must exist, and be on a mount older than the domain for QEMU to see it"},
	}
}

// deniedPath finds the image in libvirt's ("Cannot access storage file") and QEMU's ("Could not open") words for EACCES.
func deniedPath(message string) (path string, ok bool) {
	pattern := regexp.MustCompile(
		`(?:Could not open|Cannot access storage file|Failed to open file|Failed to create file) '([^']+)'.*: Permission denied`)
	m := pattern.FindStringSubmatch(message)
	if m == nil {
		return "", false
	}
	return m[1], true
}

// explain adds to a "permission denied" on an image which directory QEMU's user cannot enter.
func (h *Host) explain(ctx context.Context, err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	path, denied := deniedPath(e.Message)
	if !denied {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), explainLimit)
	defer cancel()
	facts, factsErr := h.Facts(ctx)
	if factsErr != nil || facts.QEMUUser == nil {
		e.Hint = "let QEMU's user enter every directory above the image"
		return err
	}
	who := *facts.QEMUUser
	if blocked := Searchable(path, who.UID, who.Groups...); blocked != nil {
		e.Hint = blocked.Error()
		return err
	}
	e.Hint = fmt.Sprintf("the directories are open to QEMU's user (uid %d): see the image's own mode, AppArmor and SELinux", who.UID)
	return err
}

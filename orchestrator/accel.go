package orchestrator

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"platter/orchestrator/hypervisor"
)

// Accel is how guests run and why.
type Accel struct {
	Name   string `json:"accel"`  // "kvm" or "tcg"
	Reason string `json:"reason"` // for people
}

// kvmLimit is how long a guest may take under KVM to print its first kernel line. Where KVM works it takes well under
// a second; where it does not (a paravirtual KVM in a cloud guest) it never comes.
const kvmLimit = 8 * time.Second

// kvmProbeFile keeps the answer in the cache directory.
const kvmProbeFile = "kvm-probe.json"

// probeAccel finds out by booting a guest of a lab of KVM whether that really runs one: libvirt and /dev/kvm may both say so and be wrong.
// The answer holds until the host reboots or QEMU or the guest image change; it is kept in a file.
func probeAccel(ctx context.Context, lab *liveLab, facts hypervisor.Facts, path string) (Accel, error) {
	if !facts.KVM {
		return Accel{Name: "tcg", Reason: "libvirt offers no KVM on this host"}, nil
	}
	bootID, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	known := knownAccel{Key: fmt.Sprintf("%s %s %s %s", strings.TrimSpace(string(bootID)), facts.QEMU, lab.image.Digest, kvmPermissions())}
	if a, ok := known.read(path); ok {
		return a, nil
	}
	a, started, err := bootUnderKVM(ctx, lab)
	if err == nil && started { // a start that was refused may have a passing cause
		known.Accel = a
		known.write(path)
	}
	return a, err
}

// kvmPermissions is part of what a probe's answer depends on.
func kvmPermissions() string {
	info, err := os.Stat("/dev/kvm")
	if err != nil {
		return "absent"
	}
	return info.Mode().String()
}

type knownAccel struct {
	Key string `json:"key"`
	Accel
}

func (k knownAccel) read(path string) (Accel, bool) {
	text, err := os.ReadFile(path)
	var found knownAccel
	if err != nil || json.Unmarshal(text, &found) != nil || found.Key != k.Key || found.Name == "" {
		return Accel{}, false
	}
	return found.Accel, true
}

// write keeps the answer; if that fails the next run probes again.
func (k knownAccel) write(path string) {
	if text, err := json.Marshal(k); err == nil {
		_ = os.WriteFile(path, append(text, '\n'), 0o644)
	}
}

// bootUnderKVM starts the guest under KVM and waits for its first kernel line. Only the caller's ctx makes it fail:
// whatever goes wrong with KVM is an answer. started is false when not even QEMU started.
func bootUnderKVM(ctx context.Context, lab *liveLab) (a Accel, started bool, err error) {
	port, err := freePort()
	if err != nil {
		return Accel{}, false, err
	}
	doc, err := lab.domain(Boot{MemoryBytes: 512 << 20, VCPUs: 1}, port).XML()
	if err != nil {
		return Accel{}, false, err
	}
	domain, err := lab.host.Start(ctx, doc)
	if ctx.Err() != nil {
		return Accel{}, false, context.Cause(ctx)
	}
	if err != nil {
		return Accel{Name: "tcg", Reason: fmt.Sprintf("KVM starts no guest here: %v", err)}, false, nil
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
		defer cancel()
		_ = domain.Destroy(closing)
	}()
	for deadline := time.Now().Add(kvmLimit); time.Now().Before(deadline); {
		if text, _ := readTail(lab.consolePath(), consoleTail); bytes.Contains(text, []byte("Linux version")) {
			return Accel{Name: "kvm", Reason: "a guest booted under KVM"}, true, nil
		}
		select {
		case <-ctx.Done():
			return Accel{}, false, context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
	return Accel{Name: "tcg", Reason: fmt.Sprintf("/dev/kvm is there, but a guest under KVM printed nothing within %.0f s",
		kvmLimit.Seconds())}, true, nil
}

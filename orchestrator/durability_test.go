package orchestrator

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"platter/flushpath"
	"platter/orchestrator/hypervisor"
)

// fakeQEMU answers the monitor like a QEMU that says answer to a command of qemu-io's.
func fakeQEMU(t *testing.T, answer string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "qemu")
	script := "#!/bin/sh\necho '{\"QMP\": {}}'\nread -r line\necho '{\"return\": {}}'\nwhile read -r line; do\n" + answer + "\ndone\n"
	if err := os.WriteFile(file, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestAWriteThatQEMURefusesIsNoWrite(t *testing.T) {
	for _, tc := range []struct{ answer, want string }{
		{"echo 'wrote 4096/4096 bytes at offset 0'; echo '4 KiB, 1 ops; 00.00 sec (1 MiB/sec and 300.0000 ops/sec)'; echo '{\"return\": \"\"}'", ""},
		{"echo '{\"event\": \"STOP\"}'; echo '1 ops; 1 ops/sec)'; echo '{\"return\": \"\"}'", ""},
		{"echo 'write failed: Input/output error'; echo '{\"return\": \"\"}'", "write failed: Input/output error"},
		{"echo '{\"return\": \"Error: Cannot find device\"}'", "Cannot find device"},
		{"echo '{\"error\": {\"class\": \"X\", \"desc\": \"no such command\"}}'", "no such command"},
		{"echo 'aio=io_uring was not compiled in' >&2; exit 1", "aio=io_uring was not compiled in"},
		{"exit 1", "QEMU ended and said nothing"},
		{"echo '{broken'", "read QEMU's monitor"},
	} {
		q, err := startBareQEMU(t.Context(), fakeQEMU(t, tc.answer), "/image", "threads", false)
		if err != nil {
			t.Fatal(err)
		}
		err = q.io("write -f 0 4k")
		q.close()
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q: %v, want %q", tc.answer, err, tc.want)
		}
	}
}

func TestAQEMUThatIsNotThereIsNoVerdict(t *testing.T) {
	c := examineDurability(t.Context(), hypervisor.Facts{QEMU: "7.2.22", Emulator: "/nowhere/qemu"}, "/nowhere/platter", t.TempDir())
	if c.Status != CheckWarning || !strings.Contains(c.Message, "could not be tried") {
		t.Errorf("%+v", c)
	}
}

func TestTheInstalledQEMUIsAsDurableAsTheModelSaysOfItsVersion(t *testing.T) {
	if os.Getenv("PLATTER_REAL") != "1" {
		t.Skip("needs QEMU and FUSE: make test sets PLATTER_REAL=1")
	}
	program := filepath.Join(t.TempDir(), "platter")
	if out, err := exec.Command("go", "build", "-o", program, "platter/cmd/platter").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	qemu, libvirt := hypervisor.Installed(t.Context())
	emulator, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Fatal(err)
	}
	about := flushpath.FactsOf(qemu, libvirt)
	for _, leftOut := range []string{libvirt, "9.0.0", "11.3.0"} { // with the raw node and without it, whatever this libvirt does
		c := examineDurability(t.Context(), hypervisor.Facts{QEMU: qemu, Libvirt: leftOut, Emulator: emulator}, program, t.TempDir())
		early := about.QEMU.AtLeast(10, 0, 3) || !about.QEMU.AtLeast(10, 0, 0) && flushpath.LeavesRawOut(flushpath.FactsOf("", leftOut).Libvirt)
		if strings.Contains(c.Message, "could not be tried") || (c.Status == CheckWarning) != early || strings.Contains(c.Message, "says otherwise") {
			t.Errorf("QEMU %s, libvirt %s: %+v", qemu, leftOut, c)
		}
	}
}

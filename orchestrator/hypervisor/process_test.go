package hypervisor

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// writeFile makes a file and its directories.
func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestQEMUIsFoundByTheNameOfItsGuest(t *testing.T) {
	proc := t.TempDir()
	for pid, cmdline := range map[int]string{
		10: "qemu-system-x86_64\x00-name\x00guest=platter-ab,debug-threads=on\x00-S\x00",
		11: "qemu-system-x86_64\x00-name\x00guest=platter-a,,b,debug-threads=on\x00",
		12: "grep\x00guest=platter-a,debug-threads=on\x00",
		13: "qemu-system-x86_64\x00-name\x00guest=platter-a,debug-threads=on\x00",
		14: "",
	} {
		writeFile(t, filepath.Join(proc, fmt.Sprint(pid), "cmdline"), cmdline)
	}
	writeFile(t, filepath.Join(proc, "self/cmdline"), "x")
	for name, want := range map[string]int{"platter-a": 13, "platter-ab": 10, "platter-a,b": 11} {
		if pid, ok := scanForGuest(proc, name); !ok || pid != want {
			t.Errorf("%s: got %d, %v; want %d", name, pid, ok, want)
		}
	}
	if pid, ok := scanForGuest(proc, "platter"); ok {
		t.Errorf("a name that only begins others was found: %d", pid)
	}
	if isGuest(proc, 99, "platter-a") {
		t.Error("a process that is not there was taken for the guest")
	}
}

func TestAPidFileHoldsAPositiveNumber(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.pid")
	if _, ok := pidFromFile(path); ok {
		t.Error("no file, but a pid")
	}
	for text, want := range map[string]int{"12\n": 12, "7": 7, "": 0, "-1\n": 0, "x": 0} {
		writeFile(t, path, text)
		if pid, ok := pidFromFile(path); ok != (want != 0) || (ok && pid != want) {
			t.Errorf("%q: got %d, %v; want %d", text, pid, ok, want)
		}
	}
}

func TestODirectIsThatOfTheWritableDescriptor(t *testing.T) {
	image := filepath.Join(t.TempDir(), "a.img")
	writeFile(t, image, "")
	link := filepath.Join(t.TempDir(), "link.img")
	if err := os.Symlink(image, link); err != nil {
		t.Fatal(err)
	}
	const rdwr, rdwrDirect, rdonly, rdonlyDirect = "02100002", "02140002", "02100000", "02140000"
	for _, test := range []struct {
		name   string
		flags  []string // of the descriptors on the image
		want   bool
		failed string
	}{
		{"buffered", []string{rdwr}, false, ""},
		{"direct", []string{rdwrDirect}, true, ""},
		{"a reader does not count", []string{rdonlyDirect, rdwr}, false, ""},
		{"a buffered reader does not count", []string{rdonly, rdwrDirect}, true, ""},
		{"readers only", []string{rdonlyDirect}, false, "no descriptor"},
		{"none", nil, false, "no descriptor"},
		{"two that differ", []string{rdwr, rdwrDirect}, false, "1 descriptors with O_DIRECT on it and 1 without"},
	} {
		t.Run(test.name, func(t *testing.T) {
			proc := t.TempDir()
			fakeDescriptor(t, proc, 3, "/dev/null", rdwrDirect)
			for i, flags := range test.flags {
				fakeDescriptor(t, proc, 4+i, image, flags)
			}
			got, err := imageODirect(proc, 42, link)
			if test.failed == "" && err != nil || test.failed != "" && (err == nil || !strings.Contains(err.Error(), test.failed)) {
				t.Fatalf("got the error %v, want %q", err, test.failed)
			}
			if got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// fakeDescriptor makes a descriptor of the process 42 below proc.
func fakeDescriptor(t *testing.T, proc string, fd int, file, flags string) {
	t.Helper()
	dir := filepath.Join(proc, "42")
	writeFile(t, filepath.Join(dir, "fdinfo", fmt.Sprint(fd)), "pos:\t0\nflags:\t"+flags+"\nmnt_id:\t29\n")
	if err := os.MkdirAll(filepath.Join(dir, "fd"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, filepath.Join(dir, "fd", fmt.Sprint(fd))); err != nil {
		t.Fatal(err)
	}
}

func FuzzDescriptorFlags(f *testing.F) {
	f.Add("pos:\t0\nflags:\t02140002\n")
	f.Add("flags:")
	f.Add("flags:\t9")
	f.Fuzz(func(t *testing.T, text string) {
		if flags, err := parseFlags(text); err == nil && flags < 0 {
			t.Errorf("%q gives %d", text, flags)
		}
	})
}

func TestTheLastLinesOfALogAreWhole(t *testing.T) {
	for _, test := range []struct {
		text string
		size int64
		n    int
		want []string
	}{
		{"", 10, 3, nil},
		{"\n", 10, 3, nil},
		{"a\nb\n", 10, 3, []string{"a", "b"}},
		{"a\nb\nc", 10, 2, []string{"b", "c"}},
		{"first line\nlast\n", 8, 3, []string{"last"}},
	} {
		got, err := lastLines(strings.NewReader(test.text), test.size, test.n)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%q: %s", test.text, diff)
		}
	}
}

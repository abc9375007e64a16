package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"platter/cell"
	"platter/explain"
	"platter/flushpath"
)

const explainInput = `<domain type='kvm'>
  <name>vm</name>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a.img'/><target dev='vda'/></disk>
    <disk type='block' device='disk'><driver name='qemu' cache='none'/><source dev='/dev/vg/b'/><target dev='vdb'/></disk>
    <disk type='network' device='disk'><driver name='qemu'/><source protocol='nbd' name='c'/><target dev='vdc'/></disk>
    <disk type='file' device='cdrom'><source file='/c.iso'/><target dev='sda' bus='sata'/><readonly/></disk>
    <disk type='file' device='disk'><driver name='qemu' cache='quick'/><source file='/d'/><target dev='vdd'/></disk>
  </devices>
</domain>
`

// runExplain runs the command alone, in a directory with vm.xml and where no libvirt is.
func runExplain(t *testing.T, args ...string) (stdout string, err error) {
	t.Helper()
	t.Chdir(t.TempDir())
	t.Setenv("LIBVIRT_DEFAULT_URI", "qemu+unix:///system?socket=/no-libvirt")
	if err := os.WriteFile("vm.xml", []byte(explainInput), 0o644); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	app := &cli.App{
		Reader: strings.NewReader(explainInput), Writer: &out, ErrWriter: &out,
		Commands:       []*cli.Command{explainCommand()},
		ExitErrHandler: func(*cli.Context, error) {},
	}
	err = app.Run(append([]string{"platter", "explain"}, args...))
	return out.String(), err
}

func TestExplainSaysTheSameInTextAndJSONAndFromStandardInput(t *testing.T) {
	fromFile, err := runExplain(t, "vm.xml", "--disk", "vdb")
	if err != nil {
		t.Fatal(err)
	}
	fromStdin, err := runExplain(t, "-", "--disk", "vdb")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Replace(fromFile, "vm.xml", "standard input", 1) != fromStdin {
		t.Errorf("from a file:\n%s\nfrom standard input:\n%s", fromFile, fromStdin)
	}
	text, err := runExplain(t, "vm.xml", "--disk", "vdb", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var x explain.Explanation
	if err := json.Unmarshal([]byte(text), &x); err != nil {
		t.Fatal(err)
	}
	if x.Schema != 1 || len(x.Disks) != 1 || len(x.Disks[0].Predictions) != len(cell.FailureClasses()) || x.Disks[0].Format != "raw" ||
		!x.Disks[0].Effective.Direct {
		t.Errorf("%+v", x)
	}
	for _, p := range x.Disks[0].Predictions {
		want := flushpath.Predict(flushpath.Config{Cache: "none", Direct: true, Fsync: 1}, p.Class, cell.Volatile)
		if p.Prediction != want {
			t.Errorf("%s: %+v, want %+v", p.Class, p.Prediction, want)
		}
		if !strings.Contains(fromFile, fmt.Sprintf("%-13s %-11s", p.Class, p.Verdict)) {
			t.Errorf("%s %s is not in\n%s", p.Class, p.Verdict, fromFile)
		}
	}
}

func TestExplainPredictsNothingOfADiskThatIsNotModelled(t *testing.T) {
	for disk, want := range map[string]string{"vdc": "no prediction: what lies behind nbd", "vdd": "no prediction: cache=quick is none of"} {
		text, err := runExplain(t, "vm.xml", "--disk", disk)
		if err != nil || !strings.Contains(strings.Join(strings.Fields(text), " "), want) || strings.Contains(text, "SAFE") {
			t.Errorf("%s: %v\n%s", disk, err, text)
		}
		text, err = runExplain(t, "vm.xml", "--disk", disk, "--json")
		if err != nil || strings.Contains(text, "SAFE") || strings.Contains(text, "LOSES") {
			t.Errorf("%s: %v\n%s", disk, err, text)
		}
	}
}

// Under unsafe the guest's flush never comes, so that with writethrough until flush nothing ever rests in librbd's cache.
func TestExplainTakesCephsWritethroughUntilFlushWhereItIsSaid(t *testing.T) {
	dir := t.TempDir()
	doc := "<domain type='kvm'><devices><disk type='network'><driver name='qemu' cache='unsafe'/>" +
		"<source protocol='rbd' name='p/i'/><target dev='vda' bus='virtio'/></disk></devices></domain>"
	if err := os.WriteFile(dir+"/rbd.xml", []byte(doc), 0o644); err != nil {
		t.Fatal(err)
	}
	const flag = "--rbd-cache-writethrough-until-flush"
	for _, c := range []struct {
		args  []string
		holds bool
		note  bool
	}{{[]string{dir + "/rbd.xml", "--json"}, true, true}, {[]string{dir + "/rbd.xml", flag, "--json"}, false, false}} {
		out, err := runExplain(t, c.args...)
		if err != nil {
			t.Fatal(err)
		}
		var x explain.Explanation
		if err := json.Unmarshal([]byte(out), &x); err != nil || len(x.Disks) != 1 {
			t.Fatalf("%v\n%s", err, out)
		}
		i := slices.IndexFunc(x.Disks[0].Path.Layers, func(l flushpath.Layer) bool { return l.Name == "librbd cache" })
		if i < 0 || x.Disks[0].Path.Layers[i].Holds != c.holds || strings.Contains(out, "not taken for granted") != c.note {
			t.Errorf("%q:\n%s", c.args, out)
		}
	}
}

func TestExplainFitsEightyColumns(t *testing.T) {
	for _, line := range []string{
		"vm.xml", "vm.xml --filesystem ext4 --barrier off --fio fsync=8", "vm.xml --filesystem xfs --fio sync=dsync --drive-cache none",
		"vm.xml --write-cache=write\u00a0through",
	} {
		var args []string
		for _, word := range strings.Fields(strings.ReplaceAll(line, "\u00a0", "_")) {
			args = append(args, strings.ReplaceAll(word, "_", " "))
		}
		text, err := runExplain(t, args...)
		if err != nil {
			t.Errorf("%s: %v", line, err)
		}
		for row := range strings.Lines(text) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(row, "\n")); n > 80 {
				t.Errorf("%s: %d columns: %s", line, n, row)
			}
		}
	}
}

func TestExplainRefusesWhatItWasNotAskedProperly(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want string
	}{
		{nil, "explain: DOMAIN|FILE.xml is missing: a domain, a file, or - for standard input"},
		{[]string{"vm.xml", "--disk", "vdx"}, `explain: vm.xml has no disk "vdx"; its disks: vda, vdb, vdc, sda, vdd`},
		{[]string{"vm.xml", "--disk", "sda"}, "explain: disk sda of vm.xml: a cdrom"},
		{[]string{"none.xml"}, "explain: open none.xml: no such file"},
		{[]string{"vm.xml", "--fio", "fsnc=1"}, `explain: --fio: "fsnc=1": it is none of rw, direct, buffered, fsync, fdatasync, sync`},
		{[]string{"vm.xml", "--fio", "fsync=-1"}, `explain: --fio: "fsync=-1": it is after how many writes`},
		{[]string{"vm.xml", "--fio", "direct=yes"}, `explain: --fio: "direct=yes": it is 0 or 1`},
		{[]string{"vm.xml", "--fio", "sync=fsync"}, `explain: --fio: "sync=fsync": it is none, dsync or sync`},
		{[]string{"vm.xml", "--fio", "rw=randread"}, "explain: --fio: rw=randread writes nothing"},
		{[]string{"vm.xml", "--filesystem", "zfs"}, `explain: --filesystem "zfs": it is none, ext4, xfs, btrfs, f2fs`},
		{[]string{"vm.xml", "--barrier", "off"}, "explain: --barrier off is a mount option of ext4, btrfs and f2fs"},
		{[]string{"vm.xml", "--drive-cache", "battery"}, `explain: --drive-cache "battery": it is volatile, protected, none`},
		{[]string{"vm.xml", "--disk", "vdb", "--rbd-cache-writethrough-until-flush"}, "explain: disk vdb of vm.xml is no RBD disk"},
		{[]string{"vm.xml", "--rbd-cache-writethrough-until-flush"}, "explain: disk vda of vm.xml is no RBD disk"},
		{[]string{"vm.xml", "--write-cache", "off"}, `explain: --write-cache "off": it is write through`},
	} {
		got, err := runExplain(t, tc.args...)
		var usage *errUsage
		if !errors.As(err, &usage) || !strings.HasPrefix(err.Error(), tc.want) || got != "" {
			t.Errorf("%q: got %v (%T), output %q, want %q", tc.args, err, err, got, tc.want)
		}
	}
}

func TestExplainReadsADomainFromLibvirt(t *testing.T) {
	if os.Getenv("PLATTER_REAL") != "1" {
		t.Skip("needs libvirt: make test sets PLATTER_REAL=1")
	}
	name := fmt.Sprintf("platter-explain-%d", os.Getpid())
	file := t.TempDir() + "/domain.xml"
	text := fmt.Sprintf(`<domain type='qemu'><name>%s</name><memory>65536</memory>
<os><type arch='x86_64'>hvm</type></os><devices>
<disk type='file'><driver name='qemu' type='raw' cache='unsafe'/><source file='/nowhere.img'/><target dev='vda'/></disk></devices></domain>`, name)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	virsh := func(args ...string) {
		if out, err := exec.Command("virsh", append([]string{"-c", "qemu:///system"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("virsh %v: %v\n%s", args, err, out)
		}
	}
	virsh("define", file)
	t.Cleanup(func() { virsh("undefine", name) })
	out, err := runExplain(t, "-c", "qemu:///system", name)
	if err != nil || !strings.HasPrefix(out, name+" vda: virtio, raw, /nowhere.img\n") || !strings.Contains(out, "power_loss    LOSES") {
		t.Errorf("%v\n%s", err, out)
	}
	_, err = runExplain(t, "-c", "qemu:///system", name+"-none")
	var usage *errUsage
	if !errors.As(err, &usage) || !strings.Contains(err.Error(), "is neither a domain of qemu:///system nor a file") {
		t.Errorf("a domain that is not there: %v", err)
	}
}

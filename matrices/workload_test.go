package matrices

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"platter/internal/golden"
)

func workloads(t *testing.T) []*Workload {
	t.Helper()
	all, err := Workloads()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestTheWorkloadsSayWhatTheyModelAndWhereTheirFiguresComeFrom(t *testing.T) {
	var b strings.Builder
	for _, w := range workloads(t) {
		fmt.Fprintf(&b, "%s: %s\n  source: %s\n  expect: %s\n  fio: %s\n", w.Name, w.Description, w.Source, w.Expect, spelled(w.Fio))
		if w.Description == "" || w.Source == "" || !strings.Contains(w.Text, "name: "+w.Name+"\n") {
			t.Errorf("%s has the description %q and the source %q", w.Name, w.Description, w.Source)
		}
	}
	golden.Equal(t, "testdata/workloads.golden", b.String())
	if names, _ := workloadNames(); len(names) < 9 || !slices.Contains(names, "etcd-wal") {
		t.Errorf("the workloads are %v", names)
	}
}

func TestEveryWorkloadIsMeasuredOnTheRawDeviceAndOnFileSystemsOfTwoGiB(t *testing.T) {
	for _, w := range workloads(t) {
		m := parse(t, "name: small\nworkload: "+w.Name+"\naxes: {guest.filesystem: [none, ext4, xfs], disk.cache: [none, writeback]}\n")
		if m.Workload != w.Name {
			t.Errorf("the matrix names the workload %q, not %s", m.Workload, w.Name)
		}
		for _, c := range m.Cells() {
			if c.Excluded != "" || c.Runtime() == 0 || size(c, "size") == 0 || size(c, "size") > 1<<30 {
				t.Errorf("%s in %s: excluded %q, runtime %v, size %d", w.Name, c.ID, c.Excluded, c.Runtime(), size(c, "size"))
			}
		}
	}
}

func TestOptionsOfTheFileAndTheCellLieOverThoseOfTheWorkload(t *testing.T) {
	m := parse(t, "name: small\nworkload: oltp\nfio: {bs: 4KiB, fsync: 1}\naxes: {fio.rwmixread: [0, 50]}\n")
	got := m.Cells()[1]
	want := "rw=randrw rwmixread=50 bs=4k ioengine=libaio iodepth=16 direct=1 size=512m time_based=1 runtime=10 fsync=1"
	if spelled(got.Settings.Of("fio")) != want {
		t.Errorf("fio: %s\nwant %s", spelled(got.Settings.Of("fio")), want)
	}
}

// TestFioRunsTheWorkloads runs each for a moment in a file of the temporary directory.
func TestFioRunsTheWorkloads(t *testing.T) {
	if os.Getenv("PLATTER_REAL") != "1" {
		t.Skip("needs fio and a file system with O_DIRECT; set PLATTER_REAL=1")
	}
	for _, w := range workloads(t) {
		t.Run(w.Name, func(t *testing.T) {
			m := parse(t, "name: small\nworkload: "+w.Name+"\nfio: {runtime: 100ms, size: 16m}\naxes: {disk.cache: [none]}\n")
			job := filepath.Join(t.TempDir(), "job.fio")
			text := "[job]\n" + strings.ReplaceAll(spelled(m.Cells()[0].Settings.Of("fio")), " ", "\n") + "\nfilename=" +
				filepath.Join(t.TempDir(), "file") + "\n"
			if err := os.WriteFile(job, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command("fio", job).CombinedOutput()
			if err != nil || !strings.Contains(string(out), "err= 0") {
				t.Errorf("%v\n%s\n%s", err, out, text)
			}
		})
	}
}

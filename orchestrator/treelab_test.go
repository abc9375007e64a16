package orchestrator

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"platter/matrices"
	"platter/orchestrator/guest"
	"platter/orchestrator/hypervisor"
	"platter/orchestrator/scratch"
	"platter/orchestrator/tree"
	"platter/results"
)

// realTree is a root tree that is built, the first by name, or one that is built now.
func realTree(t testing.TB) *tree.Tree {
	t.Helper()
	program := realProgram(t)
	kept, err := tree.List(realCache)
	if err != nil {
		t.Fatal(err)
	}
	if len(kept) > 0 {
		return kept[0]
	}
	built, err := tree.Build(t.Context(), realCache, "trixie", tree.BuildOptions{Program: program, Log: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	return built
}

func TestTheLabOfATreePassesTheLabSuite(t *testing.T) {
	root := realTree(t)
	image, err := guest.Open(realCache)
	if err != nil {
		t.Fatal(err)
	}
	work, err := newWorkdir(realStorage(t))
	if err != nil {
		t.Fatal(err)
	}
	lab := newTreeLab(root, realProgram(t), image, work)
	lab.accel = "tcg" // what holds under it holds under KVM
	file := scratch.NewFile(work.path, 99, rawShape(64<<20))
	if err := file.Make(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(file.Remove(context.Background()), lab.leave(), work.Close()); err != nil {
			t.Error(err)
		}
	})
	labSuite(t, lab, file.Source().Path)
	if lab.session == nil {
		t.Fatal("the guests did not run in the tree")
	}
	// A tree that is entered anew restores what was saved in the session before.
	lab.again = true
	other := suiteBoot
	other.VCPUs = 1
	for range 2 {
		m, err := lab.Boot(t.Context(), other)
		if err != nil {
			t.Fatal(err)
		}
		_, pidErr := m.(*liveMachine).domain.PID(t.Context())
		if err := errors.Join(pidErr, m.Close(context.Background()), lab.leave()); err != nil {
			t.Fatal(err)
		}
	}
	if lab.boots[other] != 1 || lab.saved[other] == "" {
		t.Errorf("booted %d times, saved at %q: want a boot and a restored guest", lab.boots[other], lab.saved[other])
	}
}

// TestOneRunMeasuresOnTheHostsOwnHypervisorAndOnATree makes trials and crash campaigns on both, in turns, and looks for what is left.
func TestOneRunMeasuresOnTheHostsOwnHypervisorAndOnATree(t *testing.T) {
	root := realTree(t)
	m, err := matrices.Parse("both.yaml", []byte(`
name: both
storage: {size: 64MiB}
guest: {memory: 512MiB}
axes:
  host.hypervisor: [host, `+root.Name+`]
  disk.cache: [writethrough]
fio: {rw: randwrite, bs: 4k, direct: 1, fsync: 1, size: 8m, runtime: 500ms}
safety: {classes: [host_crash], seconds: 1, size: 4MiB}
`))
	if err != nil {
		t.Fatal(err)
	}
	storage := realStorage(t)
	s := Settings{URI: hypervisor.DefaultURI, Storage: storage, Cache: realCache, Accel: "tcg", Dir: filepath.Join(t.TempDir(), "run"),
		Matrix: m, Trials: 3, Seed: 7, Program: realProgram(t), Tool: "platter test", Tell: func(e Event) { t.Log(e.Message) }}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	outcome, err := Execute(ctx, s)
	if err != nil || outcome.Failed > 0 || outcome.Unjudged > 0 || outcome.Done != 6 || outcome.Campaigns != 2 {
		t.Fatalf("%+v, %v", outcome, err)
	}
	run, err := results.Read(s.Dir)
	if err != nil {
		t.Fatal(err)
	}
	h := run.Manifest.Hypervisors
	if len(h) != 2 || h[0].Name != "host" || h[1].Name != root.Name || h[1].QEMU != root.QEMU || h[0].Libvirt == "" || h[1].Libvirt == "" {
		t.Errorf("hypervisors %+v; the tree's record says QEMU %s", h, root.QEMU)
	}
	switches := 0
	for _, tr := range run.Trials {
		if tr.Phases.SwitchS > 0 {
			switches++
			t.Logf("a switch took %.1f s", tr.Phases.SwitchS)
		}
		if tr.Evidence.ImageODirect == nil || *tr.Evidence.ImageODirect {
			t.Errorf("%s: O_DIRECT on the image: %v; the QEMU of the cell was not found", tr.Cell, tr.Evidence.ImageODirect)
		}
	}
	if switches == 0 {
		t.Error("no guest was switched to")
	}
	for _, r := range run.Safety {
		if len(r.Controls) != 1 || !r.Controls[0].Lost {
			t.Errorf("%s: controls %+v", r.Cell, r.Controls)
		}
	}
	left, err := os.ReadDir(storage)
	if err != nil || len(left) > 0 {
		t.Errorf("left in the storage directory: %v, %v", left, err)
	}
	if mounts, _ := os.ReadFile("/proc/self/mountinfo"); strings.Contains(string(mounts), storage) {
		t.Error("a mount was left")
	}
	if out, err := exec.Command("pgrep", "-f", storage).Output(); err == nil {
		t.Errorf("processes were left: %s", out)
	}
}

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"platter/cell"
	"platter/results"
)

// gatedHere runs platter gate on a run of this host that was measured with another QEMU and another guest image, by a policy that wants
// the same fact, and returns what it says.
func gatedHere(t *testing.T, same string) string {
	t.Helper()
	dir := t.TempDir()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	var cells []cell.Cell
	for _, side := range []string{cell.SideBefore, cell.SideAfter} {
		cells = append(cells, cell.Cell{ID: side, Axes: cell.Settings{{Name: cell.SideAxis, Value: cell.Value{V: side}}}})
	}
	run := filepath.Join(dir, "run")
	journal, err := results.Create(run, results.Manifest{Schema: results.Schema, Name: "m", Started: time.Now(), Cells: cells,
		Host: results.Host{Name: host, URI: "qemu:///system", QEMU: "0.0.1"}, Guest: results.Guest{ImageDigest: "old"}})
	if err == nil {
		err = journal.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	policy := filepath.Join(dir, "policy.yaml")
	if err := os.WriteFile(policy, []byte("name: p\nevidence: {same: ["+same+"]}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	app := &cli.App{Writer: &out, ErrWriter: &out, Commands: []*cli.Command{gateCommand()}, ExitErrHandler: func(*cli.Context, error) {}}
	err = app.Run([]string{"platter", "gate", "--policy", policy, "--candidate", run})
	if _, ok := err.(*errInconclusive); !ok {
		t.Errorf("the gate gives %v", err)
	}
	return strings.Join(strings.Fields(out.String()), " ")
}

func TestARunOfThisHostExpiresWithItsGuestImage(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	if err := os.MkdirAll(filepath.Join(cache, "platter", "guest-new"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cache, "platter", "guest-new", "image.json"), []byte(`{"digest": "new"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("guest-new", filepath.Join(cache, "platter", "guest-current")); err != nil {
		t.Fatal(err)
	}
	if out := gatedHere(t, "guest_image"); !strings.Contains(out, "has expired: it was measured with guest image old, and this host has new") {
		t.Errorf("the gate said\n%s", out)
	}
}

func TestARunOfThisHostIsNotKnownToHaveExpiredWhereThereIsNoGuestImage(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	out := gatedHere(t, "guest_image")
	if strings.Contains(out, "has expired:") || !strings.Contains(out, "whose guest image could not be found out") {
		t.Errorf("the gate said\n%s", out)
	}
}

func TestARunOfThisHostExpiresWithItsQEMU(t *testing.T) {
	if os.Getenv("PLATTER_REAL") != "1" {
		t.Skip("needs libvirt: make test sets PLATTER_REAL=1")
	}
	if out := gatedHere(t, "qemu"); !strings.Contains(out, "has expired: it was measured with QEMU 0.0.1, and this host has ") {
		t.Errorf("the gate said\n%s", out)
	}
}

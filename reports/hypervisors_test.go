package reports

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"platter/cell"
	"platter/internal/golden"
	"platter/results"
)

// onThree is a generated run with crash campaigns on three hypervisors. The newer two lose under writethrough and directsync, as far as the
// cell has an fsync; on the last one the control of power_loss did not lose, and a campaign failed.
func onThree() *results.Run {
	run := withSafety(6)
	m := &run.Manifest
	m.Hypervisors = []results.Hypervisor{
		{Name: "host", QEMU: "7.2.22", Libvirt: "9.0.0", Accel: "tcg", AccelReason: "libvirt offers no KVM on this host"},
		{Name: "trixie", QEMU: "10.0.13", Libvirt: "11.3.0", Accel: "tcg", AccelReason: "libvirt offers no KVM on this host"},
		{Name: "trixie-backports", QEMU: "11.1.3", Libvirt: "12.9.0", Accel: "tcg", AccelReason: "libvirt offers no KVM on this host"},
	}
	var cells []cell.Cell
	var trials []results.Trial
	var safety []results.Safety
	for k, h := range m.Hypervisors {
		name := cell.Setting{Name: "host.hypervisor", Value: cell.Value{V: h.Name}}
		on := func(id string) string { return "host.hypervisor=" + h.Name + "," + id }
		for _, c := range m.Cells {
			c.ID = on(c.ID)
			c.Axes = append(cell.Settings{name}, c.Axes...)
			c.Settings = append(slices.Clone(c.Settings), name)
			cells = append(cells, c)
		}
		for _, t := range run.Trials {
			t.Cell = on(t.Cell)
			if t.Order == 0 && k > 0 {
				t.Phases.BootS, t.Phases.SwitchS = 0, 1.5
			}
			trials = append(trials, t)
		}
		for _, s := range run.Safety {
			mode := strings.Contains(s.Cell, "directsync") || strings.Contains(s.Cell, "writethrough") && s.Class == cell.HostCrash
			s.Cell = on(s.Cell)
			if k > 0 && mode && strings.Contains(s.Cell, "fsync=1") && (s.Class == cell.HostCrash || s.Class == cell.PowerLoss) {
				s.Verdict, s.PromisesLost, s.PointsLost = results.Loses, int64(k), int64(30*k)
			}
			if k == 2 && strings.Contains(s.Cell, "cache=none,fio.fsync=1") {
				s = results.Safety{Cell: s.Cell, Class: s.Class, DriveCache: s.DriveCache, Status: results.Failed,
					Failure: &results.Failure{Fault: "guest", Message: "lost"}}
			}
			s.Controls = slices.Clone(s.Controls)
			for i := range s.Controls {
				s.Controls[i].Promises += int64(k)
				if k == 2 && s.Class == cell.PowerLoss {
					s.Controls[i].Lost, s.Controls[i].PromisesLost = false, 0
				}
			}
			safety = append(safety, s)
		}
	}
	m.Axes = append([]string{"host.hypervisor"}, m.Axes...)
	m.Cells, run.Trials, run.Safety = cells, trials, safety
	return run
}

func TestARunOnSeveralHypervisorsSetsTheirLossesSideBySide(t *testing.T) {
	run := onThree()
	golden.Equal(t, "testdata/table-hypervisors.txt", []byte(table(t, run)))
	var markdown, page bytes.Buffer
	if err := Markdown(&markdown, New(run)); err != nil {
		t.Fatal(err)
	}
	golden.Equal(t, "testdata/markdown-hypervisors.md", markdown.Bytes())
	if err := HTML(&page, nil, New(run)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Promises lost on each hypervisor", "<td class=\"loses\"", "1/3\u202f875 at 30",
		"trixie-backports (QEMU 11.1.3, libvirt 12.9.0): 684",
		"<dt>Hypervisor</dt><dd>trixie (QEMU 10.0.13, libvirt 11.3.0), tcg: libvirt offers no KVM on this host</dd>", "switching hypervisors"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page has no %s", want)
		}
	}
}

func TestJSONSaysOnWhichHypervisorEachCellRan(t *testing.T) {
	read := func(run *results.Run) (got struct {
		Run    struct{ Hypervisors []results.Hypervisor }
		Phases struct {
			SwitchS float64 `json:"switch_s"`
		}
		Cells, Safety []struct {
			ID, Cell, Hypervisor string
			QEMU                 string `json:"qemu_version"`
		}
	}) {
		var b bytes.Buffer
		if err := JSON(&b, New(run)); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	got := read(onThree())
	if len(got.Run.Hypervisors) != 3 || got.Phases.SwitchS != 3 || len(got.Cells) == 0 || len(got.Safety) == 0 {
		t.Fatalf("%+v", got.Run)
	}
	versions := map[string]string{"host": "7.2.22", "trixie": "10.0.13", "trixie-backports": "11.1.3"}
	for _, c := range append(got.Cells, got.Safety...) {
		if !strings.HasPrefix(c.ID+c.Cell, fmt.Sprintf("host.hypervisor=%s,", c.Hypervisor)) || versions[c.Hypervisor] != c.QEMU {
			t.Errorf("%+v", c)
		}
	}
	one := read(withSafety(6))
	if len(one.Run.Hypervisors) != 0 || one.Cells[0].Hypervisor != "" {
		t.Error("a run on the host's own hypervisor alone names hypervisors")
	}
}

func TestHypervisorsThatRunUnlikeGuestsAreSaid(t *testing.T) {
	m := results.Manifest{Host: results.Host{Accel: "kvm"}, Hypervisors: []results.Hypervisor{{Name: "host", Accel: "kvm"},
		{Name: "trixie", Accel: "tcg", AccelReason: "a guest under KVM printed nothing"}}}
	b := banners(m)
	if len(b) != 1 || !strings.Contains(b[0], "under kvm on host and under tcg on trixie") {
		t.Errorf("banners %q", b)
	}
}

package reports

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"platter/cell"
	"platter/internal/golden"
	"platter/matrices"
	"platter/results"
)

func table(t *testing.T, run *results.Run) string {
	t.Helper()
	var b bytes.Buffer
	if err := Table(&b, New(run)); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("a line of %d columns: %s", n, line)
		}
	}
	return b.String()
}

func TestTheTableOfARunWithCrashCampaigns(t *testing.T) {
	golden.Equal(t, "testdata/table-safety.txt", []byte(table(t, withSafety(6))))
	golden.Equal(t, "testdata/table-safety-failures.txt", []byte(table(t, withFailedCampaigns())))
	only := withSafety(6)
	only.Trials = nil
	golden.Equal(t, "testdata/table-safety-only.txt", []byte(table(t, only)))
}

func TestTheJSONOfARunWithCrashCampaigns(t *testing.T) {
	for name, run := range map[string]*results.Run{"run-safety.json": withSafety(6), "run-safety-failures.json": withFailedCampaigns()} {
		var b bytes.Buffer
		if err := JSON(&b, New(run)); err != nil {
			t.Fatal(err)
		}
		golden.Equal(t, "testdata/"+name, b.Bytes())
	}
}

func TestAFailedCampaignHasNoFiguresInJSON(t *testing.T) {
	var b bytes.Buffer
	if err := JSON(&b, New(withFailedCampaigns())); err != nil {
		t.Fatal(err)
	}
	var got struct{ Safety []map[string]any }
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for _, s := range got.Safety {
		if s["status"] != results.Failed {
			continue
		}
		failed++
		for _, key := range []string{"verdict", "promises", "promises_lost", "exposure", "crash_points"} {
			if v, is := s[key]; is {
				t.Errorf("a failed campaign has %s %v", key, v)
			}
		}
	}
	if failed != 8 {
		t.Errorf("%d failed rows, want 8", failed)
	}
}

func TestARunWithCrashCampaignsExportsThem(t *testing.T) {
	run := withFailedCampaigns()
	golden.Equal(t, "testdata/export-safety.csv", export(t, run, "safety-csv"))
	rows, err := csv.NewReader(bytes.NewReader(export(t, run, "safety-csv"))).ReadAll()
	if err != nil || len(rows) != 1+len(run.Safety) {
		t.Errorf("%d rows (%v), want a header and %d", len(rows), err, len(run.Safety))
	}
	var object struct{ Safety []results.Safety }
	if err := json.Unmarshal(export(t, run, "json"), &object); err != nil || len(object.Safety) != len(run.Safety) {
		t.Errorf("%d safety records in JSON (%v), want %d", len(object.Safety), err, len(run.Safety))
	}
}

func TestTheAnswerIsTheFastestCellThatIsSafeUnderEverythingAsked(t *testing.T) {
	run := withSafety(6)
	got := strings.Join(New(run).Answer, "\n")
	// unsafe is the fastest at fsync=1 and loses; directsync is the next and INVALID; nothing is promised at fsync=0
	for _, want := range []string{
		"No SAFE answer at fsync=0: nothing is promised",
		"Fastest SAFE at fsync=1: cache=writethrough with 4\u202f033 IOPS",
		"crash points judged on a simulated disk",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the answer lacks %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "not measured") {
		t.Errorf("%s", got)
	}
	for name, change := range map[string]func(s *results.Safety) bool{ // false takes the record away
		"loses":   func(s *results.Safety) bool { s.Verdict = results.Loses; return true },
		"invalid": func(s *results.Safety) bool { s.Verdict = results.Invalid; return true },
		"failed":  func(s *results.Safety) bool { s.Status, s.Verdict = results.Failed, ""; return true },
		"nothing": func(s *results.Safety) bool { s.Verdict = results.NoPromise; return true },
		"missing": func(*results.Safety) bool { return false },
	} {
		run := withSafety(6)
		run.Safety = slices.DeleteFunc(run.Safety, func(s results.Safety) bool { return false })
		var kept []results.Safety
		for _, s := range run.Safety {
			if s.Cell == "disk.cache=writethrough,fio.fsync=1" && s.Class == cell.GuestCrash && s.DriveCache == "protected" && !change(&s) {
				continue
			}
			kept = append(kept, s)
		}
		run.Safety = kept
		if got := strings.Join(New(run).Answer, "\n"); !strings.Contains(got, "Fastest SAFE at fsync=1: cache=none with 1\u202f362 IOPS") {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestWhereNothingIsSafeTheAnswerSaysWhyAndUnderWhatItIs(t *testing.T) {
	run := withSafety(6)
	for i := range run.Safety {
		if s := &run.Safety[i]; s.Class == cell.PowerLoss && s.DriveCache == "volatile" && s.Promises > 0 {
			s.Verdict, s.PromisesLost = results.Loses, 1
		}
	}
	got := strings.Join(New(run).Answer, "\n")
	want := "No SAFE answer at fsync=1: 5 of 5 cells lose promises (some are SAFE under guest crash, QEMU kill, host crash, power loss " +
		"(protected))."
	if !strings.Contains(got, want) {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestManyWorkloadsAreNamedInTheSafeAnswer(t *testing.T) {
	run := withSafety(6)
	var cells []cell.Cell
	var trials []results.Trial
	var safety []results.Safety
	for _, size := range []string{"4k", "64k", "1m"} {
		for _, c := range run.Manifest.Cells {
			id := c.ID
			c.ID, c.Axes = id+size, c.Axes.With("fio.bs", cell.Value{V: size})
			cells = append(cells, c)
			for _, t := range run.Trials {
				if t.Cell == id {
					t.Cell = c.ID
					trials = append(trials, t)
				}
			}
			for _, s := range run.Safety {
				if s.Cell == id {
					s.Cell = c.ID
					safety = append(safety, s)
				}
			}
		}
	}
	run.Manifest.Axes = append(run.Manifest.Axes, "fio.bs")
	run.Manifest.Cells, run.Trials, run.Safety = cells, trials, safety
	got := New(run).Answer
	want := []string{
		"Fastest SAFE in 3 of 6 workloads: cache=writethrough (fsync=1, bs=4k; fsync=1, bs=64k; fsync=1, bs=1m); ×1.49 of cache=writeback, " +
			"QEMU's default.",
		"No SAFE answer at fsync=0, bs=4k; fsync=0, bs=64k; fsync=0, bs=1m: nothing is promised, so only the exposure below says what a crash " +
			"takes.",
	}
	if !slices.Equal(got[:len(got)-1], want) {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
	table(t, run) // no line is too wide
}

func TestAPredictionThatWasWrongIsMarkedAndExplained(t *testing.T) {
	m := New(withSafety(6))
	q := cell.Question{Class: cell.PowerLoss, DriveCache: "volatile"}
	if got := m.Safety.Verdict("disk.cache=writeback,fio.fsync=1", q); got != "LOSES 3/3\u202f375 ≠" {
		t.Errorf("%q", got)
	}
	if got := m.Safety.Verdict("disk.cache=none,fio.fsync=0", q); got != "– ≥5.0\u202fs" {
		t.Errorf("%q", got)
	}
	all := m.Safety.Surprises()
	want := "cache=writeback, fsync=1, power loss (volatile): 3 of 3\u202f375 promises lost, and the model predicts SAFE"
	if len(all) != 1 || all[0] != want {
		t.Errorf("%q", all)
	}
	for name, c := range map[string]struct {
		change func(*results.Safety)
		want   string
	}{
		"safe where loss was predicted": {func(s *results.Safety) { s.Predicted = results.Loses }, "measured SAFE, and the model predicts LOSES"},
		"exposed where nothing was": {func(s *results.Safety) { s.Exposure = results.Exposure{Writes: 7, MS: 20} },
			"7 acknowledged writes exposed (20\u202fms), and the model predicts none"},
		"no prediction":                 {func(s *results.Safety) { s.Predicted, s.Verdict = "", results.Loses }, ""},
		"INVALID":                       {func(s *results.Safety) { s.Verdict = results.Invalid }, ""},
		"failed":                        {func(s *results.Safety) { s.Status = results.Failed }, ""},
		"hardly exposed between fsyncs": {func(s *results.Safety) { s.PredictedExposed = true }, ""},
	} {
		r := SafetyRow{Safety: results.Safety{Status: results.OK, Verdict: results.Safe, Predicted: results.Safe, Promises: 5,
			Class: cell.HostCrash}}
		c.change(&r.Safety)
		if got := r.Surprise(); !strings.HasSuffix(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestFewerThanThirtyCutsAreACrossCheckAndGetNoBound(t *testing.T) {
	row := func(live results.LiveCuts) SafetyRow {
		return SafetyRow{Safety: results.Safety{Status: results.OK, Live: &live}}
	}
	for _, c := range []struct {
		live results.LiveCuts
		want string
	}{
		{results.LiveCuts{Cuts: 1, Bound: 0.95, Agrees: true}, "1 live cut, 0 of them lost promises, all as their logs say: a cross-check"},
		{results.LiveCuts{Cuts: 29, Bound: 0.098, Agrees: true}, "a cross-check"},
		{results.LiveCuts{Cuts: 30, Bound: 0.095, Agrees: true}, "30 clean cuts of one kind bound its loss to 9.5 % of such crashes (95 %)"},
		{results.LiveCuts{Cuts: 40, Lost: 40, Agrees: true}, "40 live cuts, 40 of them lost promises, all as their logs say: a cross-check"},
		{results.LiveCuts{Cuts: 2, Agrees: false}, "in 1 row cuts and log DISAGREE"},
	} {
		s := Safety{Rows: []SafetyRow{row(c.live)}, Cuts: c.live.Cuts}
		if got := s.CutsText(); !strings.Contains(got, c.want) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestAControlThatLostNothingIsShouted(t *testing.T) {
	s := Safety{Controls: []results.Control{{Name: "unsafe", Class: cell.HostCrash, Promises: 9}}}
	if got := s.ControlsText(); got != "unsafe lost 0 of 9 (host crash), AND MUST LOSE" {
		t.Errorf("%q", got)
	}
}

func TestTheCommandOfTheWorstPointIsOneToType(t *testing.T) {
	m := New(withSafety(6))
	want := "platter replay generated --cell disk.cache=none,fio.fsync=0 --at 8999 --class guest_crash --drive-cache volatile"
	if got := m.Safety.Rows[0].Replay; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestTheRowsComeInTheOrderOfCellsClassesAndDrives(t *testing.T) {
	run := withSafety(1)
	slices.Reverse(run.Safety)
	got := New(run).Safety.Rows
	for i, r := range New(withSafety(1)).Safety.Rows {
		if got[i].Key() != r.Key() {
			t.Fatalf("row %d is %v, want %v", i, got[i].Key(), r.Key())
		}
	}
}

func TestWideMatricesStayWithinTheTerminal(t *testing.T) {
	run := withSafety(6)
	run.Manifest.Axes = append(run.Manifest.Axes, "variant.commit")
	for i := range run.Manifest.Cells {
		run.Manifest.Cells[i].Axes = run.Manifest.Cells[i].Axes.With("variant.commit", cell.Value{V: fmt.Sprintf("a_variant_named_%d", i)})
	}
	for i := range run.Safety { // no two questions are answered alike
		s := &run.Safety[i]
		s.PromisesLost, s.Verdict = int64(100000+i), results.Loses
		s.Promises = 900000
	}
	table(t, run)
}

func TestTheAnswerOfAChangeHoldsTheSettingsAgainstThePresentOnes(t *testing.T) {
	run := withSafety(7)
	m := &run.Manifest
	m.Matrix = `name: web-ab
axes:
  variant.side: {before: {disk.cache: none, disk.bus: virtio}, after: {disk.cache: writethrough, disk.bus: virtio}}
  fio.fsync: [0, 1]
fio: {rw: randwrite, direct: 1, runtime: 1}
`
	m.MatrixFile, m.Axes = "web-ab.yaml", []string{cell.SideAxis, "fio.fsync"}
	side := map[string]string{"none": cell.SideBefore, "writethrough": cell.SideAfter}
	renamed := map[string]string{}
	var cells []cell.Cell
	for _, c := range m.Cells {
		if name := side[c.Axes.Text("disk.cache")]; name != "" {
			one := cell.Cell{Axes: append(axes(cell.SideAxis, name), c.Axes.Without("disk.cache")...)}
			one.ID = cell.ID(one.Axes)
			renamed[c.ID] = one.ID
			cells = append(cells, one)
		}
	}
	m.Cells = cells
	resolve(m)
	run.Trials = slices.DeleteFunc(run.Trials, func(x results.Trial) bool { return renamed[x.Cell] == "" })
	run.Safety = slices.DeleteFunc(run.Safety, func(x results.Safety) bool { return renamed[x.Cell] == "" })
	for i := range run.Trials {
		run.Trials[i].Cell = renamed[run.Trials[i].Cell]
	}
	for i := range run.Safety {
		run.Safety[i].Cell = renamed[run.Safety[i].Cell]
	}
	got := strings.Join(New(run).Answer, "\n")
	for _, want := range []string{"Before: cache=none. After: cache=writethrough.",
		"Fastest SAFE at fsync=1: side=after with 4\u202f037 IOPS; ×2.97 of before, the present setting, block by block ["} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if page := htmlOf(t, bare(t), run); !strings.Contains(page, "after: cache=writethrough") ||
		!strings.Contains(page, "against before, the present setting") {
		t.Error("the page does not say what the sides are")
	}
	for i := range run.Safety { // as if the change were faster and lost promises
		if s := &run.Safety[i]; strings.HasPrefix(s.Cell, cell.SideAxis+"="+cell.SideAfter) {
			s.Verdict, s.PromisesLost = results.Loses, 1
		}
	}
	run.Judgement = &results.Judgement{Policy: "default", Outcome: "FAIL", Reasons: []string{"one", "two"}}
	got = strings.Join(New(run).Answer, "\n")
	for _, want := range []string{"FAIL by the policy default: one (and 1 reason more).",
		"New with the change: promises are broken by guest crash, QEMU kill, host crash, power loss (volatile), power loss (protected) at " +
			"fsync=0; fsync=1."} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if !strings.Contains(got, "it is the present setting, and after, which is not SAFE, is ×2.97 of it, block by block [") {
		t.Errorf("a change that loses promises: %s", got)
	}
	for i := range run.Safety { // as if it only exposed more
		if s := &run.Safety[i]; strings.HasPrefix(s.Cell, cell.SideAxis+"="+cell.SideAfter) {
			s.Verdict, s.PromisesLost = results.Safe, 0
			if s.Class == cell.HostCrash {
				s.Exposure = results.Exposure{Writes: 3, MS: 1500, Censored: true}
			}
		}
	}
	if got := strings.Join(New(run).Answer, "\n"); !strings.Contains(got,
		"New with the change: a host crash takes unpromised writes (before: none), as old as ≥1.5\u202fs at fsync=0; ≥1.5\u202fs at fsync=1.") {
		t.Errorf("a change that exposes: %s", got)
	}
}

func TestNothingIsTheFastestBeforeItsSafetyIsKnown(t *testing.T) {
	run := withSafety(6)
	all := run.Safety
	run.Safety = nil
	if got := strings.Join(New(run).Answer, "\n"); strings.Contains(got, "Fastest") || !strings.Contains(got, "none has been judged") ||
		!strings.Contains(got, "0 of 72 safety verdicts are in") {
		t.Errorf("before the first campaign: %s", got)
	}
	run.Safety = all[:40]
	if got := strings.Join(New(run).Answer, "\n"); !strings.Contains(got, "40 of 72 safety verdicts are in") {
		t.Errorf("in the midst of the campaigns: %s", got)
	}
	run.Safety = all
	if got := strings.Join(New(run).Answer, "\n"); strings.Contains(got, "verdicts are in") {
		t.Errorf("at the end: %s", got)
	}
}

func TestCellsThatTheProbeCannotDoAreNotWaitedFor(t *testing.T) {
	run := withSafety(6)
	m := &run.Manifest
	for i := range m.Cells {
		m.Cells[i].Unprobed = "nothing is written"
	}
	run.Safety = nil // nothing is written: no cell has a campaign
	got := strings.Join(New(run).Answer, "\n")
	if strings.Contains(got, "not done") || strings.Contains(got, "planned") || !strings.Contains(got, "Fastest at fsync=1") {
		t.Errorf("a run of reads: %s", got)
	}
}

func TestSidesSayWhatTheySet(t *testing.T) {
	for _, test := range []struct{ name, sides, before, after string }{
		{"the disk", "{before: {disk.cache: none}, after: {disk.cache: writethrough}}", "cache=none", "cache=writethrough"},
		{"one more", "{before: {disk.cache: none}, after: {disk.cache: none, disk.io: native}}", "io not set", "io=native"},
		{"the guest", "{before: {guest.filesystem: ext4, guest.barrier: on}, after: {guest.filesystem: ext4, guest.barrier: off}}",
			"guest.barrier=on", "guest.barrier=off"},
		{"one side alone", "{before: {guest.filesystem: ext4}, after: {guest.filesystem: ext4, fio.fsync: 8}}", "as the rest of the matrix says",
			"fio.fsync=8"},
	} {
		matrix, err := matrices.Parse("x.yaml",
			[]byte("name: x\naxes:\n  variant.side: "+test.sides+"\nfio: {rw: randwrite, size: 1GiB, runtime: 1}\n"))
		if err != nil {
			t.Fatal(err)
		}
		got := sides(results.Manifest{Axes: []string{cell.SideAxis}, Cells: matrix.Cells()})
		if got[cell.SideBefore] != test.before || got[cell.SideAfter] != test.after {
			t.Errorf("%s: %q", test.name, got)
		}
	}
}

func TestAnAgeIsWrittenForPeople(t *testing.T) {
	for ms, want := range map[float64]string{0.25: "0.25\u202fms", 99.4: "99\u202fms", 99.7: "0.1\u202fs", 4960: "5.0\u202fs"} {
		if got := (SafetyRow{Safety: results.Safety{Exposure: results.Exposure{MS: ms}}}).Age(); got != want {
			t.Errorf("%v ms are %q, want %q", ms, got, want)
		}
	}
}

package claims

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"platter/cell"
	"platter/fiojob"
	"platter/internal/golden"
	"platter/matrices"
	"platter/results"
)

// world says how the cells of a made-up run behave.
type world struct {
	accel  string
	speed  func(c cell.Cell) float64                                 // IOPS; blocks and trials spread around it
	record func(c cell.Cell, class, drive string, r *results.Safety) // changes the record of the world below
}

// runOf is a run of a matrix in a world where safety is as the model of docs/SAFETY.md has it.
func runOf(t *testing.T, text string, w world) *results.Run {
	t.Helper()
	m, err := matrices.Parse("matrix.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	run := &results.Run{Manifest: results.Manifest{Schema: results.Schema, Matrix: text, MatrixFile: "matrix.yaml", Trials: m.Trials,
		Host: results.Host{Accel: w.accel}}}
	if m.Safety != nil {
		run.Manifest.SafetyClasses, run.Manifest.DriveCaches = m.Safety.Classes, m.Safety.DriveCaches
	}
	for i, c := range m.Cells() {
		run.Manifest.Cells = append(run.Manifest.Cells, c)
		if c.Excluded != "" {
			continue
		}
		for b := range m.Trials {
			iops := w.speed(c) * (1 + 0.002*float64((7*b+3*i)%5)) * (1 + 0.3*float64(b%3)) // the block moves all cells
			run.Trials = append(run.Trials, results.Trial{Cell: c.ID, Block: b, Status: results.OK,
				Metrics: &fiojob.Metrics{Write: &fiojob.Direction{IOPS: iops}}})
		}
		if m.Safety == nil || c.Unprobed != "" {
			continue
		}
		for _, class := range m.Safety.Classes {
			for _, drive := range m.Safety.DriveCaches {
				r := modelled(c, class, drive)
				if w.record != nil {
					w.record(c, class, drive, &r)
				}
				run.Safety = append(run.Safety, r)
			}
		}
	}
	return run
}

// modelled is what the model says of a raw image and O_DIRECT writes.
func modelled(c cell.Cell, class, drive string) results.Safety {
	mode := valueOf(c, "disk.cache")
	host := class == cell.HostCrash || class == cell.PowerLoss
	power := class == cell.PowerLoss && drive == "volatile"
	atRisk := host && (mode == "writeback" || mode == "unsafe") || power && mode == "none"
	r := results.Safety{Cell: c.ID, Class: class, DriveCache: drive, Method: results.EveryOp, Status: results.OK, Verdict: results.Safe,
		CrashPoints: 9000, Writes: 3000,
		Controls: []results.Control{{Name: "unsafe", Class: class, Promises: 100, PromisesLost: 99, Lost: true}}}
	interval := int64(3000)
	switch c.Commits() {
	case "never":
		r.Verdict = results.NoPromise
	case "each":
		r.Promises, interval = 3000, 1
	case "sometimes":
		r.Promises, interval = 3000, 8
	}
	if atRisk {
		r.Exposure = results.Exposure{Writes: interval, Bytes: interval * 4096, MS: float64(interval), Censored: interval == 3000}
	}
	if r.Promises > 0 && host && mode == "unsafe" || atRisk && r.Promises > 0 && valueOf(c, "flushes") == "stopped" {
		r.Verdict, r.PromisesLost, r.PointsLost = results.Loses, 2999, 8990
	}
	return r
}

// as claimed: a mode's speed, faster with fewer flushes.
func asClaimed(c cell.Cell) float64 {
	base := map[string]float64{"writeback": 4000, "unsafe": 4000, "none": 3000, "writethrough": 1000,
		"directsync": 1000}[valueOf(c, "disk.cache")]
	if valueOf(c, "guest.barrier") == "off" {
		base *= 1.5
	}
	return base * map[string]float64{"never": 4, "sometimes": 2, "each": 1}[c.Commits()]
}

func builtin(t *testing.T, name string) string {
	t.Helper()
	m, err := matrices.Builtin(name)
	if err != nil {
		t.Fatal(err)
	}
	return m.Text
}

func trials(text string, n int) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "trials:") {
			lines[i] = fmt.Sprintf("trials: %d", n)
		}
	}
	return strings.Join(lines, "\n")
}

func byName(claims []Claim) map[string]Claim {
	all := map[string]Claim{}
	for _, c := range claims {
		all[c.Name] = c
	}
	return all
}

func TestTheThirteenClaimsAreRead(t *testing.T) {
	all := hypotheses()
	if len(all) != 13 {
		t.Errorf("%d claims", len(all))
	}
}

func TestAWorldAsClaimedConfirmsTheClaims(t *testing.T) {
	got := byName(Evaluate(runOf(t, trials(builtin(t, "safety"), 11), world{accel: "kvm", speed: asClaimed})))
	for _, name := range []string{"writeback-as-safe-as-writethrough", "none-without-flush", "writeback-without-flush",
		"unsafe-breaks-promises",
		"no-barriers-no-promise", "no-barriers-protected-drive", "fsync-interval", "grouped-flushes", "order-of-safety", "order-of-speed"} {
		if c, ok := got[name]; !ok || c.Outcome != Confirmed || c.Why != "" || len(c.Figures) == 0 {
			t.Errorf("%s: %+v", name, c)
		}
	}
	for _, name := range []string{"second-read", "dirty-memory"} {
		if c, ok := got[name]; ok {
			t.Errorf("the run has no cells for %s, and it came out %+v", name, c)
		}
	}
}

func TestSpeedIsNeverConfirmedUnderEmulationOrOnTheSimulatedDisk(t *testing.T) {
	text := trials(builtin(t, "safety"), 11)
	run := runOf(t, text, world{accel: "tcg", speed: asClaimed})
	for _, want := range []Outcome{ConsistentEmulated, ConsistentSimulated} {
		for _, c := range Evaluate(run) {
			if c.Kind == "safety" && c.Outcome != Confirmed || c.Kind != "safety" && (c.Outcome != want || c.Why == "") {
				t.Errorf("%s (%s) is %s: %s", c.Name, c.Kind, c.Outcome, c.Why)
			}
		}
		run.Manifest.SimulatedTrials = true
	}
}

func TestSpeedIsNeverRefutedUnderEmulationOrOnTheSimulatedDisk(t *testing.T) {
	reversed := func(c cell.Cell) float64 { return 1e8 / asClaimed(c) }
	run := runOf(t, trials(builtin(t, "safety"), 11), world{accel: "tcg", speed: reversed})
	for _, want := range []Outcome{InconsistentEmulated, InconsistentSimulated} {
		if c := byName(Evaluate(run))["order-of-speed"]; c.Outcome != want || c.Why == "" {
			t.Errorf("%s: %s", c.Outcome, c.Why)
		}
		run.Manifest.SimulatedTrials = true
	}
	lost := runOf(t, builtin(t, "safety"), world{accel: "tcg", speed: asClaimed, record: func(_ cell.Cell, _, _ string, r *results.Safety) {
		r.Verdict, r.PromisesLost, r.PointsLost = results.Loses, 1, 1
	}})
	if c := byName(Evaluate(lost))["writeback-as-safe-as-writethrough"]; c.Outcome != Refuted {
		t.Errorf("promises that were lost refute, emulated or not: %+v", c)
	}
}

func TestThreeTrialsDecideNothingAboutSpeedAndSayHowManyWould(t *testing.T) {
	got := byName(Evaluate(runOf(t, builtin(t, "safety"), world{accel: "kvm", speed: asClaimed})))
	c := got["order-of-speed"]
	if c.Outcome != Inconclusive || !strings.Contains(c.Why, "needs 6 pairs, and there are 3") {
		t.Errorf("%+v", c)
	}
	if c := got["order-of-safety"]; c.Outcome != Confirmed {
		t.Errorf("safety needs no trials: %+v", c)
	}
}

func TestTheClaimsOfADemo(t *testing.T) {
	golden.Equal(t, "testdata/demo.txt", spelled(Evaluate(runOf(t, builtin(t, "demo"), world{accel: "tcg", speed: asClaimed}))))
}

func TestTheClaimsOfOtherMatrices(t *testing.T) {
	reads := func(c cell.Cell) float64 {
		if valueOf(c, "fio.loops") == "2" && !(valueOf(c, "fio.direct") == "1" && valueOf(c, "disk.cache") == "none") {
			return 2000
		}
		return 1000
	}
	more := func(c cell.Cell, class, drive string, r *results.Safety) {
		if valueOf(c, "device.dirty_background") == fmt.Sprint(1<<20) {
			r.Exposure.Writes = 300
		}
	}
	var b strings.Builder
	for _, run := range []*results.Run{
		runOf(t, builtin(t, "page-cache"), world{accel: "kvm", speed: reads}),
		runOf(t, builtin(t, "dirty-memory"), world{accel: "kvm", speed: asClaimed, record: more}),
		runOf(t, builtin(t, "safety-quick"), world{accel: "tcg", speed: asClaimed}),
		runOf(t, builtin(t, "cache-modes"), world{accel: "kvm", speed: asClaimed}),
	} {
		fmt.Fprintf(&b, "== %s\n%s", strings.Split(run.Manifest.Matrix, "\n")[0], spelled(Evaluate(run)))
	}
	golden.Equal(t, "testdata/matrices.txt", b.String())
}

func spelled(all []Claim) string {
	var b strings.Builder
	for _, c := range all {
		fmt.Fprintf(&b, "%s: %s [%s]\n  %s\n", c.Outcome, c.Text, c.Name, c.Why)
		for _, f := range c.Figures {
			fmt.Fprintf(&b, "    %s\n", f)
		}
	}
	return b.String()
}

// TestEachClaimAboutSafetyCanBeRefuted breaks the world for one claim at a time.
func TestEachClaimAboutSafetyCanBeRefuted(t *testing.T) {
	loses := func(r *results.Safety) { r.Verdict, r.PromisesLost, r.PointsLost = results.Loses, 1, 1 }
	is := func(c cell.Cell, name, value string) bool { return valueOf(c, name) == value }
	for name, change := range map[string]func(c cell.Cell, class, drive string, r *results.Safety){
		"writeback-as-safe-as-writethrough": func(c cell.Cell, class, drive string, r *results.Safety) {
			if is(c, "disk.cache", "writeback") && is(c, "fio.fsync", "8") && class == cell.HostCrash {
				loses(r)
			}
		},
		"none-without-flush": func(c cell.Cell, class, drive string, r *results.Safety) {
			if is(c, "disk.cache", "none") && is(c, "commits", "never") && class == cell.HostCrash {
				r.Exposure.Writes = 1
			}
		},
		"writeback-without-flush": func(c cell.Cell, class, drive string, r *results.Safety) {
			if is(c, "disk.cache", "writeback") && is(c, "commits", "never") && class == cell.PowerLoss && drive == "protected" {
				r.Exposure = results.Exposure{}
			}
		},
		"unsafe-breaks-promises": func(c cell.Cell, class, drive string, r *results.Safety) {
			if is(c, "disk.cache", "unsafe") && is(c, "fio.sync", "dsync") && class == cell.HostCrash {
				r.Verdict, r.PromisesLost = results.Safe, 0
			}
		},
		"no-barriers-no-promise": func(c cell.Cell, class, drive string, r *results.Safety) {
			if is(c, "disk.cache", "none") && is(c, "guest.barrier", "off") && drive == "volatile" {
				r.Verdict, r.PromisesLost = results.Safe, 0
			}
		},
		"no-barriers-protected-drive": func(c cell.Cell, class, drive string, r *results.Safety) {
			if is(c, "disk.cache", "none") && is(c, "guest.barrier", "off") && drive == "protected" {
				loses(r)
			}
		},
		"fsync-interval": func(c cell.Cell, class, drive string, r *results.Safety) {
			if is(c, "disk.cache", "none") && is(c, "fio.fsync", "8") {
				r.Exposure.Writes = 0
			}
		},
		"order-of-safety": func(c cell.Cell, class, drive string, r *results.Safety) {
			if is(c, "disk.cache", "directsync") && is(c, "commits", "never") && class == cell.PowerLoss {
				r.Exposure.Writes = 1
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := byName(Evaluate(runOf(t, trials(builtin(t, "safety"), 11), world{accel: "kvm", speed: asClaimed, record: change})))
			if c := got[name]; c.Outcome != Refuted || c.Why == "" || !slices.Contains(c.Figures, c.Why) {
				t.Errorf("%+v", c)
			}
			for other, c := range got {
				if other != name && c.Outcome == Refuted && !strings.HasPrefix(name, "no-barriers") {
					t.Errorf("and %s: %s", other, c.Why)
				}
			}
		})
	}
}

func TestEachClaimAboutSpeedCanBeRefuted(t *testing.T) {
	alike := func(cell.Cell) float64 { return 1000 }
	got := byName(Evaluate(runOf(t, trials(builtin(t, "safety"), 20), world{accel: "kvm", speed: alike})))
	for _, name := range []string{"writeback-as-safe-as-writethrough", "no-barriers-protected-drive", "fsync-interval", "grouped-flushes",
		"order-of-speed"} {
		if c := got[name]; c.Outcome != Refuted {
			t.Errorf("%+v", c)
		}
	}
	got = byName(Evaluate(runOf(t, trials(builtin(t, "page-cache"), 20), world{accel: "kvm", speed: alike})))
	if c := got["second-read"]; c.Outcome != Refuted {
		t.Errorf("%+v", c)
	}
}

func TestANoisyRunDecidesNothing(t *testing.T) {
	n := 0.0
	noise := func(cell.Cell) float64 { n++; return 1000 * math.Exp(math.Sin(n*n)) }
	for _, c := range Evaluate(runOf(t, trials(builtin(t, "demo"), 10), world{accel: "kvm", speed: noise})) {
		if c.Kind == "performance" && c.Outcome != Inconclusive {
			t.Errorf("%s is %s: %q", c.Name, c.Outcome, c.Figures)
		}
	}
}

func TestWhatWasNotValidlyJudgedLeavesAClaimOpen(t *testing.T) {
	text := trials(builtin(t, "safety"), 11)
	for name, change := range map[string]func(r *results.Safety){
		"campaign failed": func(r *results.Safety) {
			*r = results.Safety{Cell: r.Cell, Class: r.Class, DriveCache: r.DriveCache, Status: results.Failed,
				Failure: &results.Failure{Message: "no"}}
		},
		"INVALID":        func(r *results.Safety) { r.Verdict, r.Reason = results.Invalid, "live cuts disagree" },
		"no crash point": func(r *results.Safety) { r.CrashPoints, r.Method = 0, results.Live },
		"no control":     func(r *results.Safety) { r.Controls = nil },
		"not judged yet": nil,
	} {
		t.Run(name, func(t *testing.T) {
			run := runOf(t, text, world{accel: "kvm", speed: asClaimed, record: func(c cell.Cell, class, drive string, r *results.Safety) {
				if change != nil && valueOf(c, "disk.cache") == "unsafe" && c.Commits() != "never" {
					change(r)
				}
			}})
			if change == nil {
				run.Safety = slices.DeleteFunc(run.Safety, func(r results.Safety) bool { return strings.Contains(r.Cell, "unsafe") })
			}
			got := byName(Evaluate(run))
			for _, claim := range []string{"unsafe-breaks-promises", "order-of-safety"} {
				if c := got[claim]; c.Outcome != Inconclusive || !strings.Contains(c.Why, name) {
					t.Errorf("%+v", c)
				}
			}
		})
	}
}

func TestARunThatAsksForNoSafetySaysNothingOfIt(t *testing.T) {
	for _, c := range Evaluate(runOf(t, builtin(t, "cache-modes"), world{accel: "kvm", speed: asClaimed})) {
		if c.Kind == "safety" || c.Kind == "both" && c.Outcome == Confirmed {
			t.Errorf("%+v", c)
		}
	}
}

func TestARunWhoseMatrixCannotBeReadHasNoClaims(t *testing.T) {
	if got := Evaluate(&results.Run{Manifest: results.Manifest{Matrix: "name: [", MatrixFile: "x.yaml"}}); got != nil {
		t.Errorf("%+v", got)
	}
}

func TestABadFileOfClaimsIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"- {name: a, text: b, kind: speed, over: c}":                                                            "kind",
		"- {name: a, text: b, kind: safety}":                                                                    "missing",
		"- {name: a, text: b, kind: safety, over: c}":                                                           "0 checks of safety",
		"- {name: a, text: b, kind: both, over: c, safety: [{after: [x], promises: kept}]}":                     "0 of speed",
		"- {name: a, text: b, kind: safety, over: c, safety: [{promises: kept}]}":                               "after which failures",
		"- {name: a, text: b, kind: safety, over: c, safety: [{after: [x]}]}":                                   "not 0",
		"- {name: a, text: b, kind: safety, over: c, safety: [{after: [x], promises: kept, unpromised: lost}]}": "not 2",
		"- {name: a, text: b, kind: safety, over: c, safety: [{after: [x], promises: gone}]}":                   "kept or lost",
		"- {name: a, text: b, kind: safety, over: c, safety: [{after: [x], exposure: rising}]}":                 "rising by a setting",
		"- {name: a, text: b, kind: performance, over: c, speed: [{by: disk.cache, faster: a < b}]}":            "no chain",
		"- {name: a, text: b, kind: performance, over: c, speed: [{by: disk.cache, faster: a > b =}]}":          "no chain",
		"- {name: a, text: b, kind: performance, over: c, speed: [{faster: a > b}]}":                            "of no setting",
		"- {name: a, text: b, kind: performance, over: c, speed: [{by: x, faster: a > b}], notes: d}":           "unknown field",
		"- {name: a, text: b, kind: performance, over: c, speed: [{by: x, faster: a > b}]}\n- {name: a, text: b, kind: performance, over: " +
			"c, speed: [{by: x, faster: a > b}]}": "twice",
	} {
		if _, err := readHypotheses([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

package reports

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"platter/cell"
	"platter/fiojob"
	"platter/matrices"
	"platter/results"
)

// generated is a run of five cache modes with and without fsync, made up from a seed: the same for the same seed.
func generated(trials int, seed uint64) *results.Run {
	rng := rand.New(rand.NewPCG(seed, 0))
	run := &results.Run{Dir: "generated", Manifest: results.Manifest{
		Schema: results.Schema, Name: "generated", Tool: "platter test", Command: []string{"platter", "run", "generated"},
		Matrix: "name: generated\naxes: {…}\n", MatrixFile: "generated.yaml", Banner: "demonstration length", Seed: seed, Trials: trials,
		Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Axes: []string{"disk.cache", "fio.fsync"},
		Host: results.Host{Name: "host", Kernel: "6.1", CPU: "a processor", CPUs: 2, MemoryBytes: 24 << 30, URI: "qemu:///system",
			Libvirt: "9.0.0", QEMU: "7.2.0", Accel: "tcg", AccelReason: "libvirt offers no KVM on this host"},
		Guest: results.Guest{ImageDigest: "0123456789abcdef", Kernel: "6.1-cloud", Fio: "3.33-3", MemoryBytes: 1 << 30, VCPUs: 2},
		Storage: results.Storage{Directory: "/srv", FileSystem: "ext4", Device: "/dev/vda", Format: "raw", SizeBytes: 256 << 20,
			Drives: []results.Drive{{Name: "vda", SizeBytes: 64e9, WriteCache: "write back", Rotational: new(false),
				Controller: "virtio-pci [1af4:1042]"}}},
	}}
	for _, mode := range []string{"none", "writeback", "writethrough", "directsync", "unsafe"} {
		for _, fsync := range []int64{0, 1} {
			c := cell.Cell{ID: fmt.Sprintf("disk.cache=%s,fio.fsync=%v", mode, fsync), Axes: axes("disk.cache", mode, "fio.fsync", fsync)}
			if mode == "unsafe" && fsync == 0 {
				c.Excluded = "excluded by the matrix"
			}
			run.Manifest.Cells = append(run.Manifest.Cells, c)
		}
	}
	order := 0
	for b := range trials {
		for i, c := range run.Manifest.Cells {
			if c.Excluded == "" {
				run.Trials = append(run.Trials, generatedTrial(rng, c, i, b, order))
				order++
			}
		}
	}
	return run
}

func generatedTrial(rng *rand.Rand, c cell.Cell, index, block, order int) results.Trial {
	writes := int64(1000*(index+1)) + rng.Int64N(100)
	n := func(v int64) *int64 { return &v }
	syncs := writes * int64(cell.Cell{Settings: c.Axes}.Fsync())
	flags := results.CacheFlags{Writeback: index%2 == 0}
	t := results.Trial{
		Cell: c.ID, Block: block, Order: order, Status: results.OK, Started: time.Date(2026, 1, 2, 3, 4, order, 0, time.UTC),
		Phases: results.Phases{AttachS: 0.1, PrepareS: 0.2, MeasureS: 1.5, CollectS: 0.7, WallS: 2.5},
		Metrics: &fiojob.Metrics{Write: &fiojob.Direction{IOs: writes, Bytes: writes * 4096, RuntimeNS: 15e8, IOPS: float64(writes) / 1.5,
			BW:          float64(writes) * 4096 / 1.5,
			Latency:     fiojob.NewHistogram(fiojob.Bucket{NS: 100_000 * int64(index+1), Count: writes - 20}, fiojob.Bucket{NS: 3_000_000, Count: 20}),
			LatencyKind: "lat"}},
		Evidence: results.Evidence{Effective: &flags, Expected: &flags,
			FlushPath: results.FlushPath{Fio: n(syncs), Guest: n(syncs), QEMU: n(syncs)}},
		Missing: []string{"flush_path.image"},
	}
	if block == 0 && order == 0 {
		t.Phases.BootS, t.Phases.WallS = 8, 10.5
	}
	if syncs > 0 {
		t.Metrics.Sync = &fiojob.Sync{IOs: syncs, Latency: fiojob.NewHistogram(fiojob.Bucket{NS: 250_000, Count: syncs})}
	}
	if index == 2 || index == 3 {
		t.Guards = []results.Guard{{Name: "host_memory", Message: "host page cache included: writes return before they are on the host's disk"}}
	}
	return t
}

// withSafety is a generated run with crash campaigns as the model has them, one surprise, one INVALID class and live cuts.
func withSafety(trials int) *results.Run {
	run := generated(trials, 1)
	m := &run.Manifest
	m.Matrix = `name: generated
axes: {disk.cache: [none, writeback, writethrough, directsync, unsafe], fio.fsync: [0, 1]}
exclude: [{disk.cache: unsafe, fio.fsync: 0}]
fio: {rw: randwrite, direct: 1, runtime: 1}
safety: {drive_cache: [volatile, protected], live: 1}
`
	resolve(m)
	m.SafetyClasses, m.DriveCaches = []string{cell.GuestCrash, cell.QEMUKill, cell.HostCrash, cell.PowerLoss},
		[]string{"volatile", "protected"}
	for i, c := range m.Cells {
		for _, class := range m.SafetyClasses {
			for _, drive := range m.DriveCaches {
				if c.Excluded == "" {
					run.Safety = append(run.Safety, generatedSafety(c, i, class, drive))
				}
			}
		}
	}
	return run
}

func generatedSafety(c cell.Cell, index int, class, drive string) results.Safety {
	mode := c.Axes.Text("disk.cache")
	fsync := cell.Cell{Settings: c.Axes}.Fsync()
	host := class == cell.HostCrash || class == cell.PowerLoss
	writes := int64(3000 + 125*index)
	n := func(v int64) *int64 { return &v }
	s := results.Safety{Cell: c.ID, Class: class, DriveCache: drive, Method: results.EveryOp, Status: results.OK,
		Started: time.Date(2026, 1, 2, 4, 0, index, 0, time.UTC),
		Verdict: results.Safe, Predicted: results.Safe, CrashPoints: 3 * writes, Writes: writes, Seconds: 5,
		Worst: &results.CrashPoint{Point: 3*writes - 1, MS: 4990}, FlushPath: results.FlushPath{Fio: n(writes * int64(fsync)),
			QEMU: n(writes * int64(fsync)), Image: n(writes * int64(fsync))},
		Controls: []results.Control{{Name: "unsafe", Class: class, Promises: 6000, PromisesLost: 5999, Lost: true}}}
	if !host {
		s.Controls[0].Name = "a probe that lies"
	}
	if fsync == 1 {
		s.Promises = writes
	} else {
		s.Verdict, s.Predicted = results.NoPromise, results.NoPromise
	}
	if host && (mode == "writeback" || mode == "unsafe") || class == cell.PowerLoss && drive == "volatile" && mode == "none" {
		s.PredictedExposed = true
		s.Exposure = results.Exposure{Writes: 1, Bytes: 4096, MS: 0.4}
		if fsync == 0 {
			s.Exposure = results.Exposure{Writes: writes, Bytes: 4096 * writes, MS: 4980, Censored: true}
		}
	}
	if host && mode == "unsafe" {
		s.Verdict, s.Predicted, s.PromisesLost, s.PointsLost = results.Loses, results.Loses, writes-1, 3*writes-5
	}
	if fsync == 1 && drive == "volatile" {
		s.Live = &results.LiveCuts{Cuts: 1, Promises: 400, Bound: 0.95, Agrees: true}
		if s.Verdict == results.Loses {
			s.Live.Lost, s.Live.PromisesLost, s.Live.Bound = 1, 400, 0
		}
	}
	switch {
	case mode == "writeback" && fsync == 1 && class == cell.PowerLoss && drive == "volatile": // the surprise
		s.Verdict, s.PromisesLost, s.PointsLost, s.Torn = results.Loses, 3, 17, 1
	case mode == "directsync" && fsync == 1 && class == cell.QEMUKill:
		s.Verdict, s.Reason = results.Invalid, "a live cut and the replay of its log disagree: 3 promises against 0"
		if s.Live != nil {
			s.Live.Agrees, s.Live.Disagreement = false, "3 promises against 0"
		}
	}
	s.Strip = generatedStrip(s)
	return s
}

// generatedStrip is a log in a hundred stretches over which losses grow to the record's.
func generatedStrip(s results.Safety) []results.StripPoint {
	var strip []results.StripPoint
	for i := range int64(100) {
		strip = append(strip, results.StripPoint{CrashPoint: results.CrashPoint{Point: 1 + i*s.CrashPoints/100, MS: float64(50 * i)},
			PromisesLost: s.PromisesLost * i / 99, ExposedWrites: s.Exposure.Writes * i / 99, ExposedMS: s.Exposure.MS * float64(i) / 99})
	}
	return strip
}

// withFailedCampaigns has besides failed trials a campaign that failed and a cell that was not judged yet.
func withFailedCampaigns() *results.Run {
	run := withSafety(6)
	var kept []results.Safety
	for _, s := range run.Safety {
		switch s.Cell {
		case "disk.cache=none,fio.fsync=1":
			s = results.Safety{Cell: s.Cell, Class: s.Class, DriveCache: s.DriveCache, Method: s.Method, Status: results.Failed, Started: s.Started,
				Failure: &results.Failure{Fault: "guest", Message: "the probe failed: no space left on device", Console: []string{"I/O error"}}}
		case "disk.cache=writeback,fio.fsync=0":
			continue
		}
		kept = append(kept, s)
	}
	run.Safety = kept
	return run
}

// axes are axis values, name and value in turn.
func axes(pairs ...any) cell.Settings {
	var all cell.Settings
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, cell.Setting{Name: pairs[i].(string), Value: cell.Value{V: pairs[i+1]}})
	}
	return all
}

// resolve gives the cells what follows from the matrix of the manifest.
func resolve(m *results.Manifest) {
	matrix, err := matrices.Parse(m.MatrixFile, []byte(m.Matrix))
	if err != nil {
		panic(err)
	}
	for _, c := range matrix.Cells() {
		if i := slices.IndexFunc(m.Cells, func(o cell.Cell) bool { return o.ID == c.ID }); i >= 0 {
			m.Cells[i].Settings, m.Cells[i].Unprobed = c.Settings, c.Unprobed
		}
	}
}

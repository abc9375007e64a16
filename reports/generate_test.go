package reports

import (
	"fmt"
	"math/rand/v2"
	"time"

	"platter/fiojob"
	"platter/results"
)

// generated is a run of five cache modes with and without fsync, made up from a seed: the same for the same seed.
func generated(trials int, seed uint64) *results.Run {
	rng := rand.New(rand.NewPCG(seed, 0))
	run := &results.Run{Dir: "generated", Manifest: results.Manifest{
		Schema: results.Schema, Name: "generated", Tool: "platter test", Command: []string{"platter", "run", "generated"},
		Matrix: "name: generated\naxes: {…}\n", MatrixFile: "generated.yaml", Banner: "demonstration length", Seed: seed, Trials: trials,
		Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Axes: []string{"disk.cache", "fio.fsync"},
		Host:    results.Host{Name: "host", Kernel: "6.1", CPU: "a processor", CPUs: 2, MemoryBytes: 24 << 30, URI: "qemu:///system", Libvirt: "9.0.0", QEMU: "7.2.0", Accel: "tcg", AccelReason: "libvirt offers no KVM on this host"},
		Guest:   results.Guest{ImageDigest: "0123456789abcdef", Kernel: "6.1-cloud", Fio: "3.33-3", MemoryBytes: 1 << 30, VCPUs: 2},
		Storage: results.Storage{Directory: "/srv", FileSystem: "ext4", Device: "/dev/vda", Format: "raw", SizeBytes: 256 << 20},
	}}
	for _, mode := range []string{"none", "writeback", "writethrough", "directsync", "unsafe"} {
		for _, fsync := range []float64{0, 1} {
			c := results.Cell{ID: fmt.Sprintf("disk.cache=%s,fio.fsync=%v", mode, fsync), Axes: map[string]any{"disk.cache": mode, "fio.fsync": fsync}}
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

func generatedTrial(rng *rand.Rand, c results.Cell, cell, block, order int) results.Trial {
	writes := int64(1000*(cell+1)) + rng.Int64N(100)
	n := func(v int64) *int64 { return &v }
	syncs := writes * int64(c.Axes["fio.fsync"].(float64))
	flags := results.CacheFlags{Writeback: cell%2 == 0}
	t := results.Trial{
		Cell: c.ID, Block: block, Order: order, Status: results.OK, Started: time.Date(2026, 1, 2, 3, 4, order, 0, time.UTC),
		Phases: results.Phases{AttachS: 0.1, PrepareS: 0.2, MeasureS: 1.5, CollectS: 0.7, WallS: 2.5},
		Metrics: &fiojob.Metrics{Write: &fiojob.Direction{IOs: writes, Bytes: writes * 4096, RuntimeNS: 15e8, IOPS: float64(writes) / 1.5, BW: float64(writes) * 4096 / 1.5,
			Latency: fiojob.Histogram{{NS: 100_000 * int64(cell+1), Count: writes - 20}, {NS: 3_000_000, Count: 20}}, LatencyKind: "lat"}},
		Evidence: results.Evidence{Effective: &flags, Expected: &flags,
			FlushPath: results.FlushPath{Fio: n(syncs), Guest: n(syncs), QEMU: n(syncs)}},
		Missing: []string{"flush_path.image"},
	}
	if block == 0 && order == 0 {
		t.Phases.BootS, t.Phases.WallS = 8, 10.5
	}
	if syncs > 0 {
		t.Metrics.Sync = &fiojob.Sync{IOs: syncs, Latency: fiojob.Histogram{{NS: 250_000, Count: syncs}}}
	}
	if cell == 2 || cell == 3 {
		t.Guards = []results.Guard{{Name: "host_memory", Message: "host page cache included: writes return before they are on the host's disk"}}
	}
	return t
}

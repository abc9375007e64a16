package compare

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"platter/cell"
	"platter/fiojob"
	"platter/results"
)

// trial is one that wrote at a rate, with a latency that fits it.
func trial(cell string, block int, iops float64) results.Trial {
	ns := int64(1e9 / iops)
	return results.Trial{Cell: cell, Block: block, Status: results.OK, Metrics: &fiojob.Metrics{
		Write: &fiojob.Direction{IOs: 2000, IOPS: iops, BW: 4096 * iops, LatencyKind: "lat",
			Latency: fiojob.NewHistogram(fiojob.Bucket{NS: ns, Count: 1900}, fiojob.Bucket{NS: 3 * ns, Count: 100})},
	}}
}

// noisyRun has so many cells and trials, each a little different.
func noisyRun(seed uint64, cells, trials int) *results.Run {
	random := rand.New(rand.NewPCG(seed, 1))
	run := &results.Run{Manifest: results.Manifest{Schema: results.Schema}}
	for c := range cells {
		id := fmt.Sprintf("fio.bs=%d", c)
		run.Manifest.Cells = append(run.Manifest.Cells, cell.Cell{ID: id, Axes: cell.Settings{{Name: "fio.bs", Value: cell.Value{V: int64(c)}}}})
		for b := range trials {
			run.Trials = append(run.Trials, trial(id, b, 1000*math.Exp(0.05*random.NormFloat64())))
		}
	}
	return run
}

func TestAMetricIsAPositiveNumberOrAReason(t *testing.T) {
	good := trial("a", 0, 500)
	for m, want := range map[Metric]float64{IOPS: 500, BW: 4096 * 500, "write_p50": 2e6, "write_p99": 6e6, "write_p999": 6e6} {
		if v, err := m.Of(&good); err != nil || v != want {
			t.Errorf("%s is %v, %v; want %v", m, v, err, want)
		}
	}
	if _, err := Metric("read_p99").Of(&good); !errors.Is(err, ErrNotDone) {
		t.Errorf("a read latency of writes: %v", err)
	}
	if _, err := Metric("flush_p99").Of(&good); !errors.Is(err, ErrNotDone) {
		t.Errorf("a flush latency without flushes: %v", err)
	}
	for what, c := range map[string]struct {
		m      Metric
		change func(*results.Trial)
	}{
		"failed":          {IOPS, func(t *results.Trial) { t.Status = results.Failed }},
		"without figures": {IOPS, func(t *results.Trial) { t.Metrics = nil }},
		"without work":    {IOPS, func(t *results.Trial) { t.Metrics = &fiojob.Metrics{} }},
		"zero":            {IOPS, func(t *results.Trial) { t.Metrics.Write.IOPS = 0 }},
		"not a number":    {BW, func(t *results.Trial) { t.Metrics.Write.BW = math.NaN() }},
		"too few": {"write_p999", func(t *results.Trial) {
			t.Metrics.Write.Latency = fiojob.NewHistogram(fiojob.Bucket{NS: 5,
				Count: 999})
		}},
		"histogram lost":   {"write_p50", func(t *results.Trial) { t.Metrics.Write.Latency = fiojob.Histogram{} }},
		"sync lost":        {"flush_p50", func(t *results.Trial) { t.Metrics.Missing = []string{"sync.latency"} }},
		"read missing":     {"read_p50", func(t *results.Trial) { t.Missing = []string{"read"} }},
		"a strange metric": {"speed", func(t *results.Trial) {}},
	} {
		bad := trial("a", 0, 500)
		c.change(&bad)
		if v, err := c.m.Of(&bad); err == nil || errors.Is(err, ErrNotDone) {
			t.Errorf("%s: %v, %v", what, v, err)
		}
	}
}

func TestAnExplorationAdjustsOverAllItsTests(t *testing.T) {
	a, b := noisyRun(1, 3, 8), noisyRun(2, 3, 8)
	for i := range b.Trials {
		if b.Trials[i].Cell == "fio.bs=1" {
			b.Trials[i].Metrics.Write.IOPS /= 2
		}
	}
	b.Manifest.Cells = append(b.Manifest.Cells, cell.Cell{ID: "fio.bs=9"})
	e := Explore(Sampled(a), Sampled(b))
	if e.Tests != 6 || len(e.Cells) != 6 {
		t.Fatalf("%d tests of %d comparisons, want 6", e.Tests, len(e.Cells))
	}
	for _, c := range e.Cells {
		slower := c.Cell == "fio.bs=1" && c.Metric == IOPS
		if (c.Adjusted <= 0.05) != slower {
			t.Errorf("%s %s: ratio %.3f, adjusted p %v", c.Cell, c.Metric, c.Ratio.Estimate, c.Adjusted)
		}
		if c.Adjusted < c.Ratio.P {
			t.Errorf("%s %s: adjusted %v, below %v", c.Cell, c.Metric, c.Adjusted, c.Ratio.P)
		}
	}
	if !strings.Contains(strings.Join(e.Warnings, "\n"), "only the second run has the cell fio.bs=9") {
		t.Errorf("warnings %q", e.Warnings)
	}
}

func TestRunsOfUnlikeFioAreComparedWithAWarning(t *testing.T) {
	run := func(fio string) *results.Run {
		setting := func(name string, v any) cell.Setting { return cell.Setting{Name: name, Value: cell.Value{V: v}} }
		return &results.Run{Manifest: results.Manifest{Guest: results.Guest{Fio: fio}, Cells: []cell.Cell{
			{ID: "one at a time", Settings: cell.Settings{setting("fio.fsync", int64(1))}},
			{ID: "deep", Settings: cell.Settings{setting("fio.fsync", int64(1)), setting("fio.iodepth", int64(8))}},
			{ID: "mixed", Settings: cell.Settings{setting("fio.fdatasync", int64(8)), setting("fio.rw", "randrw")}},
			{ID: "without syncs", Settings: cell.Settings{setting("fio.iodepth", int64(8))}},
			{ID: "excluded", Excluded: "x", Settings: cell.Settings{setting("fio.fsync", int64(1)), setting("fio.iodepth", int64(8))}},
		}}}
	}
	for _, same := range [][2]string{{"3.33-3", "3.33-3"}, {"3.33-3", "3.33-3+b1"}, {"", "3.41-1"}, {"3.33-3", ""}} {
		if w := UnlikeFio(run(same[0]), run(same[1])); w != "" {
			t.Errorf("%q: %s", same, w)
		}
	}
	e := Explore(Sampled(run("3.33-3")), Sampled(run("3.41-1")))
	const want = "fio 3.33 here and fio 3.41 there"
	if len(e.Warnings) != 1 || !strings.HasPrefix(e.Warnings[0], want) || !strings.Contains(e.Warnings[0], "2 of 5 cells") {
		t.Errorf("warnings %q", e.Warnings)
	}
}

func TestACellWithoutTrialsIsNotCompared(t *testing.T) {
	a, b := noisyRun(1, 2, 6), noisyRun(2, 2, 6)
	b.Trials = b.Trials[:6]
	e := Explore(Sampled(a), Sampled(b))
	if last := e.Cells[len(e.Cells)-1]; last.Missing == "" || last.Adjusted != 1 {
		t.Errorf("%+v", last)
	}
}

// Whoever compares runs need not keep their trials.
func TestARunReadForItsSamplesHasThoseOfItsTrials(t *testing.T) {
	const dir = "../cmd/platter/testdata/schema1/run"
	run, err := results.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	short, err := ReadSamples(dir)
	if err != nil || short.Trials != nil || len(short.Samples) < 2 {
		t.Fatalf("%v, %+v", err, short)
	}
	if want := Sampled(run); !reflect.DeepEqual(short.Samples, want.Samples) {
		t.Errorf("got %+v, want %+v", short.Samples, want.Samples)
	}
	for i, m := range Explored {
		v, err := m.Of(&run.Trials[0])
		if s := short.Samples[0]; s.values[i] != v || !reflect.DeepEqual(s.whys[i], err) {
			t.Errorf("%s: %v, %v; want %v, %v", m, s.values[i], s.whys[i], v, err)
		}
	}
}

// BenchmarkExplore compares two runs of 1,000 cells × 10 trials: to take under 1 s and 200 MiB (see -benchmem).
func BenchmarkExplore(b *testing.B) {
	x, y := Sampled(noisyRun(1, 1000, 10)), Sampled(noisyRun(2, 1000, 10))
	b.ReportAllocs()
	for b.Loop() {
		if e := Explore(x, y); e.Tests != 2000 {
			b.Fatal(e.Tests)
		}
	}
}

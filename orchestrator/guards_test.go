package orchestrator

import (
	"strings"
	"testing"

	"platter/cell"
	"platter/fiojob"
	"platter/matrices"
	"platter/results"
)

// guardCell is a cell of random writes with O_DIRECT for 2 s over 1 GiB, with the settings laid over it.
func guardCell(t *testing.T, axis, value string) cell.Cell {
	t.Helper()
	text := `
name: guards
description: for the guards
storage: {size: 2GiB}
guest: {memory: 1GiB, vcpus: 2}
axes:
  ` + axis + `: [` + value + `]
fio: {bs: 4k, size: 1g, runtime: 2, ` + map[bool]string{true: "direct: 1, ", false: ""}[axis != "fio.direct"] + `rw: randwrite}
trials: 1
`
	m, err := matrices.Parse("guards.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m.Cells()[0]
}

func TestEachGuardIsViolatedByItsOwnNonsenseOnly(t *testing.T) {
	const gib = int64(1) << 30
	write := func(seconds float64) *fiojob.Metrics {
		return &fiojob.Metrics{Write: &fiojob.Direction{Bytes: 100 << 20, RuntimeNS: int64(seconds * 1e9)}}
	}
	mistimed := write(2)
	mistimed.Sync = &fiojob.Sync{IOs: 100, Impossible: 7}
	read := &fiojob.Metrics{Read: &fiojob.Direction{Bytes: 100 << 20, RuntimeNS: 2e9}}
	counters := &results.BlockCounters{WriteBytes: 100 << 20, ReadBytes: 100 << 20}
	for name, c := range map[string]struct {
		axis, value string
		host, fill  int64
		metrics     *fiojob.Metrics
		qemu        *results.BlockCounters
		residency   *results.Residency
		want        string // name of the one guard; empty for none
	}{
		"a sound trial violates none": {"disk.cache", "none", 64 * gib, 2 * gib, write(2), counters,
			&results.Residency{ImageBytes: 2 * gib}, ""},
		"a run that ended early": {"disk.cache", "none", 64 * gib, 2 * gib, write(0.8), counters, nil, "runtime"},
		"a buffered working set that fits the guest": {"fio.direct", "0", 64 * gib, 2 * gib, write(2), counters, nil,
			"guest_memory host_memory"},
		"cached reads of what fits the host":         {"disk.cache", "writethrough", 64 * gib, 2 * gib, read, counters, nil, "host_memory"},
		"cached reads of what does not fit the host": {"disk.cache", "writethrough", gib / 2, 2 * gib, read, counters, nil, ""},
		"writes that end in the host's page cache":   {"disk.cache", "writeback", 64 * gib, 2 * gib, write(2), counters, nil, "host_memory"},
		"writes through the host's page cache":       {"disk.cache", "writethrough", 64 * gib, 2 * gib, write(2), counters, nil, ""},
		"an image that lay in the page cache": {"disk.cache", "none", 64 * gib, 2 * gib, write(2), counters,
			&results.Residency{BeforeBytes: gib, ImageBytes: 2 * gib}, "residency"},
		"a direct mode that filled the page cache": {"disk.cache", "none", 64 * gib, 2 * gib, write(2), counters,
			&results.Residency{AfterBytes: gib, ImageBytes: 2 * gib}, "residency"},
		"a cached mode that filled the page cache": {"disk.cache", "writethrough", 64 * gib, 2 * gib, write(2), counters,
			&results.Residency{AfterBytes: gib, ImageBytes: 2 * gib}, ""},
		"fio claiming more than QEMU saw": {"disk.cache", "none", 64 * gib, 2 * gib, write(2),
			&results.BlockCounters{WriteBytes: 50 << 20}, nil, "counters"},
		"flushes that fio measured longer than it ran": {"disk.cache", "none", 64 * gib, 2 * gib, mistimed, counters, nil,
			"impossible_latency"},
		"a mode that libvirt leaves to QEMU's writeback": {"disk.io", "threads", 64 * gib, 2 * gib, write(2), counters, nil, "host_memory"},
	} {
		t.Run(name, func(t *testing.T) {
			guarded := guardCell(t, c.axis, c.value)
			var got []string
			step := Step{Cell: guarded, Shape: rawShape(c.fill)}
			for _, g := range guards(step, results.Host{MemoryBytes: c.host, CPUs: 2}, &results.Trial{Metrics: c.metrics,
				Evidence: results.Evidence{QEMU: c.qemu, Residency: c.residency}}) {
				if g.Name != "steady_state" { // all of these trials are short
					got = append(got, g.Name)
				}
				if g.Message == "" {
					t.Errorf("guard %s says nothing", g.Name)
				}
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("violated: %v, want %q", got, c.want)
			}
		})
	}
}

func TestARateIsSteadyByTheRuleOfSNIA(t *testing.T) {
	rate := func(at func(second int) float64) []float64 {
		seconds := make([]float64, 60)
		for i := range seconds {
			seconds[i] = at(i)
		}
		return seconds
	}
	text := func(seconds []float64) string {
		return steadyGuard(cell.Cell{}, &results.IOPSLog{IntervalS: 1, IOPS: seconds})
	}
	for name, c := range map[string]struct {
		seconds []float64
		want    string
	}{
		"flat":                 {rate(func(int) float64 { return 1000 }), ""},
		"noise around a level": {rate(func(i int) float64 { return 1000 + 300*float64(i%2) }), ""},
		"a fall by half":       {rate(func(i int) float64 { return 1000 - 500*float64(i)/60 }), "range over"},
		"a slow drift":         {rate(func(i int) float64 { return 1000 - 180*float64(i)/60 }), "drifts by"},
		"a drift within 10 %":  {rate(func(i int) float64 { return 1000 - 90*float64(i)/60 }), ""},
	} {
		if got := text(c.seconds); (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if got := steadyGuard(guardCell(t, "disk.cache", "none"), nil); !strings.Contains(got, "too short") {
		t.Errorf("a trial of 2 s: %q", got)
	}
}

func TestAnImageThatGrowsAndABusyHostAreSaid(t *testing.T) {
	grown, little := int64(8<<20), int64(4096)
	if prefilledGuard(grown) == "" || prefilledGuard(little) != "" {
		t.Error("the guard of prefilling does not follow what was given back")
	}
	held, none := true, guardCell(t, "disk.cache", "none")
	if directGuard(none, &held) != "" || directGuard(guardCell(t, "disk.cache", "unsafe"), &held) == "" || directGuard(none, nil) != "" {
		t.Error("the guard of O_DIRECT does not follow the image's descriptor")
	}
	if allocationGuard(&grown) == "" || allocationGuard(&little) != "" || allocationGuard(nil) != "" {
		t.Error("the guard of allocation does not follow the image's growth")
	}
	busy, idle := 0.5, 0.1
	if hostLoadGuard(2, &busy) == "" || hostLoadGuard(2, &idle) != "" || hostLoadGuard(2, nil) != "" {
		t.Error("the guard of the host's load does not follow it")
	}
}

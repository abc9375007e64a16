package fiojob

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The recordings are of libaio at a depth of 8 with fsync=1: fio 3.33 by clock_gettime, 3.39 by gettimeofday.
func TestFlushesLongerThanTheRunAreLeftOutAndCounted(t *testing.T) {
	for name, impossible := range map[string]int64{"mistimed": 1, "mistimed-3.39": 7} {
		m := metricsOf(t, string(readFile(t, filepath.Join("testdata", name+".out"))))
		if m.Sync.Impossible != impossible || m.Sync.Latency.Count() != m.Sync.IOs-impossible {
			t.Errorf("%s: %d of %d syncs are impossible and %d have a latency, want %d impossible ones", name, m.Sync.Impossible, m.Sync.IOs,
				m.Sync.Latency.Count(), impossible)
		}
		for _, p := range []float64{99, 100} {
			if ns, ok := m.Sync.Latency.Percentile(p); !ok || ns > m.Write.RuntimeNS {
				t.Errorf("%s: the %gth percentile of a run of %d ns is %d ns", name, p, m.Write.RuntimeNS, ns)
			}
		}
	}
}

func TestOfFlushesInTheLastBinThoseAsLongAsFiosMaximumAreImpossible(t *testing.T) {
	const year = int64(365 * 24 * 3600 * 1e9)
	for name, c := range map[string]struct {
		runtimeMS, slow  int64 // of the run; how many real flushes took 20 s
		mistimed, lasted int64 // how many were mistimed, and how long, in ns
		options          string
		want             int64
	}{
		"a short run":                               {1500, 0, 7, 40 * year, "", 7},
		"a long run":                                {60_000, 0, 7, 40 * year, "", 7},
		"a long run with flushes of 20 s":           {60_000, 3, 7, 40 * year, "", 7},
		"a long run on a machine that is up 2 min":  {60_000, 3, 7, 120e9, "", 7},
		"flushes of 20 s alone":                     {60_000, 3, 0, 0, "", 0},
		"flushes of 20 s that began in the ramp":    {5_000, 3, 0, 0, `"ramp_time" : "20"`, 0},
		"a ramp that cannot be read":                {5_000, 3, 0, 0, `"ramp_time" : "soon"`, 0},
		"flushes of 20 s in a run of 5 s":           {5_000, 3, 0, 0, "", 3},
		"a machine that is up as long as fio's run": {60_000, 0, 1, 30e9, "", 0}, // it cannot be told
	} {
		t.Run(name, func(t *testing.T) {
			n := 100 + c.slow + c.mistimed
			worst := max(c.lasted*min(1, c.mistimed), 20e9*min(1, c.slow))
			sum := 100*1e6 + float64(c.slow)*20e9 + float64(c.mistimed)*float64(c.lasted)
			m := metricsOf(t, fmt.Sprintf(`{"fio version" : "fio-3.39", "jobs" : [{"jobname" : "j", "job options" : {%s},
				"write" : {"total_ios" : %d, "io_bytes" : 4096, "runtime" : %d, "iops" : 1, "bw_bytes" : 4096},
				"sync" : {"total_ios" : %d, "lat_ns" : {"N" : %d, "max" : %d, "mean" : %f,
				"bins" : {"1003520" : 100, "17112760320" : %d}}}}]}`,
				strings.Join([]string{`"rw" : "randwrite"`, c.options}[:1+min(1, len(c.options))], ", "), n, c.runtimeMS, n, n, worst, sum/float64(n),
				n-100))
			if m.Sync.IOs != n || m.Sync.Impossible != c.want || m.Sync.Latency.Count() != n-c.want {
				t.Errorf("%d syncs, %d impossible, %d with a latency; want %d and %d", m.Sync.IOs, m.Sync.Impossible, m.Sync.Latency.Count(), n,
					c.want)
			}
		})
	}
}

// TestRealFioMistimesFirstSyncsBeforeItsFsyncIsAsynchronous holds FirstSyncsMistimed against the installed fio.
func TestRealFioMistimesFirstSyncsBeforeItsFsyncIsAsynchronous(t *testing.T) {
	version := installedFio(t)
	var newer int
	if _, err := fmt.Sscanf(version, "fio-3.%d", &newer); err != nil {
		t.Fatalf("fio calls itself %q", version)
	}
	for _, engine := range []string{"libaio", "io_uring", "posixaio", "psync"} {
		for _, depth := range []int{1, 8} {
			dir := t.TempDir()
			file := filepath.Join(dir, "out")
			args := []string{"--name=x", "--filename=" + filepath.Join(dir, "disk"), "--size=512k", "--bs=4k", "--rw=randwrite", "--fsync=1",
				"--output-format=json+", "--output=" + file, "--ioengine=" + engine, fmt.Sprintf("--iodepth=%d", depth),
				"--clocksource=gettimeofday"}
			if out, err := command(t, dir, args).CombinedOutput(); err != nil {
				if engine == "io_uring" && os.Getenv("PLATTER_REAL") != "1" {
					continue // some containers forbid it
				}
				t.Fatalf("%s: %v: %s", engine, err, out)
			}
			m := metricsOf(t, string(readFile(t, file)))
			if want := FirstSyncsMistimed(engine, depth) && newer < 41; (m.Sync.Impossible > 0) != want {
				t.Errorf("%s, %s at depth %d: %d of %d syncs are longer than the run; mistimed: %v", version, engine, depth, m.Sync.Impossible,
					m.Sync.IOs, want)
			}
		}
	}
}

package reports

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"platter/cell"
	"platter/fiojob"
	"platter/results"
)

// manyTrials is a run of so many cells, a multiple of 50, with 20 trials each, and crash campaigns under two classes.
func manyTrials(cells int) *results.Run {
	run := withSafety(0)
	m := &run.Manifest
	var depths []string
	for i := range cells / 50 {
		depths = append(depths, fmt.Sprint(1+i))
	}
	m.Matrix = "name: many\naxes: {disk.cache: [none, writeback, writethrough, directsync, unsafe], fio.bs: [4k, 8k, 16k, 64k, 1m], " +
		"fio.fsync: [0, 1], fio.iodepth: [" + strings.Join(depths, ", ") +
		"]}\nfio: {rw: randwrite, ioengine: libaio, direct: 1, runtime: 1}\nsafety: {classes: [host_crash, power_loss]}\n"
	m.Axes, m.Cells, run.Safety, m.Trials = []string{"disk.cache", "fio.bs", "fio.fsync", "fio.iodepth"}, nil, nil, 20
	m.SafetyClasses, m.DriveCaches = []string{cell.HostCrash, cell.PowerLoss}, []string{"volatile"}
	for _, mode := range []string{"none", "writeback", "writethrough", "directsync", "unsafe"} {
		for _, bs := range []string{"4k", "8k", "16k", "64k", "1m"} {
			for _, fsync := range []float64{0, 1} {
				for _, depth := range depths {
					m.Cells = append(m.Cells, cell.Cell{ID: fmt.Sprintf("disk.cache=%s,fio.bs=%s,fio.fsync=%v,fio.iodepth=%s", mode, bs, fsync, depth),
						Axes: axes("disk.cache", mode, "fio.bs", bs, "fio.fsync", fsync, "fio.iodepth", depth)})
				}
			}
		}
	}
	rng := rand.New(rand.NewPCG(7, 0))
	for b := range 20 {
		for i, c := range m.Cells {
			t := generatedTrial(rng, c, i%9, b, len(run.Trials))
			t.Metrics.Write.Latency = spread(rng, 250)
			if t.Metrics.Sync != nil {
				t.Metrics.Sync.Latency = spread(rng, 150)
			}
			t.IOPSLog = &results.IOPSLog{IntervalS: 0.1}
			for range 15 {
				t.IOPSLog.IOPS = append(t.IOPSLog.IOPS, float64(rng.IntN(10_000)))
			}
			run.Trials = append(run.Trials, t)
		}
	}
	for i, c := range m.Cells {
		for _, class := range m.SafetyClasses {
			run.Safety = append(run.Safety, generatedSafety(c, i%9, class, "volatile"))
		}
	}
	return run
}

// spread is a distribution over so many of fio's bins.
func spread(rng *rand.Rand, bins int) fiojob.Histogram {
	var buckets []fiojob.Bucket
	ns := int64(100_000)
	for range bins {
		ns += ns/64 + 1
		buckets = append(buckets, fiojob.Bucket{NS: ns, Count: 1 + rng.Int64N(500)})
	}
	return fiojob.NewHistogram(buckets...)
}

// BenchmarkReport reads run directories and writes their reports; 500 cells are 10,000 trials. It says how large the file is and how
// much memory was taken from the system at most.
func BenchmarkReport(b *testing.B) {
	for _, cells := range []int{50, 100, 500} {
		b.Run(fmt.Sprintf("trials=%d", 20*cells), func(b *testing.B) {
			dir := writeRun(b, manyTrials(cells))
			var size countingWriter
			runtime.GC()
			for b.Loop() {
				run, err := results.Read(dir)
				if err != nil {
					b.Fatal(err)
				}
				size = 0
				if err := HTML(&size, nil, New(run)); err != nil {
					b.Fatal(err)
				}
			}
			var mem runtime.MemStats
			runtime.ReadMemStats(&mem)
			b.ReportMetric(float64(size)/(1<<20), "MiB-file")
			b.ReportMetric(float64(mem.Sys)/(1<<20), "MiB-memory")
		})
	}
}

type countingWriter int64

func (w *countingWriter) Write(p []byte) (int, error) {
	*w += countingWriter(len(p))
	return len(p), nil
}

// writeRun writes a run directory as a run leaves it.
func writeRun(t testing.TB, run *results.Run) string {
	t.Helper()
	dir := t.TempDir()
	file := func(name string, write func(w io.Writer) error) {
		var out bytes.Buffer
		if err := write(&out); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file(results.ManifestFile, func(w io.Writer) error { return json.NewEncoder(w).Encode(run.Manifest) })
	file(results.TrialsFile, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		for _, x := range run.Trials {
			if err := enc.Encode(x); err != nil {
				return err
			}
		}
		return nil
	})
	file(results.SafetyFile, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		for _, x := range run.Safety {
			if err := enc.Encode(x); err != nil {
				return err
			}
		}
		return nil
	})
	return dir
}

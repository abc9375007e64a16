package orchestrator

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"platter/matrices"
	"platter/orchestrator/host"
	"platter/orchestrator/scratch"
	"platter/results"
)

// BenchmarkTrial runs a block of the five cache modes on the real rig and prints what a trial costs beside measuring,
// in seconds of its phases. make bench runs it.
func BenchmarkTrial(b *testing.B) {
	l, path := realLab(b)
	m := testMatrix(b, "1")
	p := NewPlan(m, b.N, 1)
	journal, err := results.Create(filepath.Join(b.TempDir(), "run"), results.Manifest{Schema: results.Schema})
	if err != nil {
		b.Fatal(err)
	}
	defer journal.Close()
	var sum results.Phases
	n := 0.0
	r := &Run{Lab: l, Journal: journal, Storage: filepath.Dir(path), Plan: p, Host: host.Facts(), Tell: func(e Event) {
		if e.Trial == nil {
			return
		}
		if e.Trial.Status != results.OK {
			b.Errorf("trial failed: %s", e.Trial.Failure.Message)
		}
		n++
		sum.AttachS += e.Trial.Phases.AttachS
		sum.PrepareS += e.Trial.Phases.PrepareS
		sum.CollectS += e.Trial.Phases.CollectS
		sum.BootS += e.Trial.Phases.BootS
	}}
	b.ResetTimer()
	if err := r.Do(b.Context(), p.Work()); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(sum.BootS, "boot-s")
	b.ReportMetric(sum.AttachS/n, "attach-s/trial")
	b.ReportMetric(sum.PrepareS/n, "knobs-s/trial")
	b.ReportMetric(sum.CollectS/n, "collect-s/trial")
	b.ReportMetric((sum.AttachS+sum.PrepareS+sum.CollectS)/n, "overhead-s/trial")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkMeasuringShare runs 20 trials of 5 s and prints the share of the wall time after boot that fio measured.
func BenchmarkMeasuringShare(b *testing.B) {
	l, path := realLab(b)
	m, err := matrices.Parse("share.yaml", []byte(`
name: share
storage: {size: 256MiB}
axes: {disk.cache: [none, writeback, writethrough, directsync, unsafe]}
fio: {rw: randwrite, bs: 4k, ioengine: libaio, iodepth: 8, direct: 1, size: 256m, runtime: 5}
`))
	if err != nil {
		b.Fatal(err)
	}
	for range b.N {
		p := NewPlan(m, 4, 1)
		journal, err := results.Create(filepath.Join(b.TempDir(), "run"), results.Manifest{Schema: results.Schema})
		if err != nil {
			b.Fatal(err)
		}
		var wall, boot, measure float64
		r := &Run{Lab: l, Journal: journal, Storage: filepath.Dir(path), Plan: p, Host: host.Facts(), Tell: func(e Event) {
			if e.Trial != nil {
				wall, boot, measure = wall+e.Trial.Phases.WallS, boot+e.Trial.Phases.BootS, measure+e.Trial.Phases.MeasureS
			}
		}}
		if err := errors.Join(r.Do(b.Context(), p.Work()), journal.Close()); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(100*measure/(wall-boot), "%-measuring")
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkAxisKinds prints what another value of an axis costs: a boot, a restored guest, a disk plugged in anew.
func BenchmarkAxisKinds(b *testing.B) {
	l, path := realLab(b)
	disk := scratch.Cached(scratch.FileSource(path), "raw", "none")
	for range b.N {
		var boots []float64
		for range 3 { // the first boots, the second boots and is saved, the third is restored
			start := time.Now()
			m, err := l.Boot(b.Context(), suiteBoot)
			if err != nil {
				b.Fatal(err)
			}
			boots = append(boots, time.Since(start).Seconds())
			if len(boots) == 3 {
				start = time.Now()
				for range 10 {
					if err := errors.Join(m.Attach(b.Context(), disk), m.Detach(b.Context())); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(time.Since(start).Seconds()/10, "hot-plug-s")
			}
			if err := m.Close(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(boots[0], "boot-s")
		b.ReportMetric(boots[2], "restore-s")
	}
	b.ReportMetric(0, "ns/op")
}

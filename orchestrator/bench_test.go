package orchestrator

import (
	"path/filepath"
	"testing"

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
	r := &Run{Lab: l, Journal: journal, Storage: filepath.Dir(path), Plan: p, Host: hostFacts(), Tell: func(e Event) {
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
	if err := r.Do(b.Context(), p.Steps); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(sum.BootS, "boot-s")
	b.ReportMetric(sum.AttachS/n, "attach-s/trial")
	b.ReportMetric(sum.PrepareS/n, "knobs-s/trial")
	b.ReportMetric(sum.CollectS/n, "collect-s/trial")
	b.ReportMetric((sum.AttachS+sum.PrepareS+sum.CollectS)/n, "overhead-s/trial")
	b.ReportMetric(0, "ns/op")
}

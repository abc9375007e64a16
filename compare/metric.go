package compare

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"platter/fiojob"
	"platter/results"
)

// Metric names a figure of a trial: iops, bw (bytes/s), or a percentile of a latency in ns: write_p50, write_p99, write_p999 and
// likewise for read and flush. The first two are those of all directions together.
type Metric string

// The rates. The percentiles are made of a direction and a percentile.
const (
	IOPS Metric = "iops"
	BW   Metric = "bw"
)

var (
	directions  = []string{"write", "read", "flush"}
	percentiles = map[string]float64{"p50": 50, "p99": 99, "p999": 99.9}
)

// Metrics are all metrics, rates first.
func Metrics() []Metric {
	all := []Metric{IOPS, BW}
	for _, d := range directions {
		for _, p := range []string{"p50", "p99", "p999"} {
			all = append(all, Metric(d+"_"+p))
		}
	}
	return all
}

// Known reports whether it is one of Metrics.
func (m Metric) Known() bool { return slices.Contains(Metrics(), m) }

// MoreIsBetter tells rates from latencies.
func (m Metric) MoreIsBetter() bool { return m == IOPS || m == BW }

// ErrNotDone says that a trial has no such figure because it did nothing of the kind: a read latency where nothing was read.
// Anything else that Of returns means that the figure should be there.
var ErrNotDone = errors.New("nothing of the kind was done")

// Of is the metric of a trial: finite and above 0. A percentile needs as many operations as leave one beyond it, since of fewer it
// is merely the slowest.
func (m Metric) Of(t *results.Trial) (float64, error) {
	if t.Status != results.OK {
		if t.Failure != nil {
			return 0, fmt.Errorf("the trial failed (%s): %s", t.Failure.Fault, t.Failure.Message)
		}
		return 0, errors.New("the trial failed")
	}
	if t.Metrics == nil {
		return 0, errors.New("the trial has no figures")
	}
	v, err := m.of(t)
	if err == nil && !(v > 0 && !math.IsInf(v, 1)) {
		err = fmt.Errorf("%s is %v: it must be a number above 0", m, v)
	}
	return v, err
}

func (m Metric) of(t *results.Trial) (float64, error) {
	if m == IOPS || m == BW {
		return m.rate(t.Metrics)
	}
	name, percentile, _ := strings.Cut(string(m), "_")
	p, known := percentiles[percentile]
	if !known || !slices.Contains(directions, name) {
		return 0, fmt.Errorf("no such metric: %q", m)
	}
	histogram, err := latency(t, name)
	if err != nil {
		return 0, err
	}
	if n := histogram.Count(); float64(n)*(100-p) < 100 {
		return 0, fmt.Errorf("%d operations are too few for a %gth percentile", n, p)
	}
	v, _ := histogram.Percentile(p)
	return float64(v), nil
}

func (m Metric) rate(f *fiojob.Metrics) (float64, error) {
	sum, done := 0.0, false
	for _, d := range []*fiojob.Direction{f.Read, f.Write, f.Trim} {
		if d == nil {
			continue
		}
		done = true
		if m == IOPS {
			sum += d.IOPS
		} else {
			sum += d.BW
		}
	}
	if !done {
		return 0, fmt.Errorf("%s was not measured: the trial has neither reads, writes nor trims", m)
	}
	return sum, nil
}

// latency is the histogram of a kind of operation that was done at all.
func latency(t *results.Trial, name string) (fiojob.Histogram, error) {
	var histogram fiojob.Histogram
	done := false
	switch d := map[string]*fiojob.Direction{"read": t.Metrics.Read, "write": t.Metrics.Write}[name]; {
	case name == "flush" && t.Metrics.Sync != nil:
		histogram, done = t.Metrics.Sync.Latency, t.Metrics.Sync.IOs > 0
	case d != nil:
		histogram, done = d.Latency, d.IOs > 0
	}
	if !histogram.IsZero() {
		return histogram, nil
	}
	if name == "flush" {
		name = "sync" // fio's word, which stands in Missing
	}
	missing := func(figure string) bool { return figure == name || strings.HasPrefix(figure, name+".") }
	if done || slices.ContainsFunc(t.Missing, missing) || slices.ContainsFunc(t.Metrics.Missing, missing) {
		return histogram, fmt.Errorf("the latency of %s was not measured", name)
	}
	return histogram, ErrNotDone
}

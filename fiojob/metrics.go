package fiojob

import (
	"maps"
	"slices"
)

// Metrics adds the jobs up: counts, bytes, operations/s and bytes/s by addition, histograms by merging, the runtime
// as the longest. It fits jobs that ran side by side.
//
// A sum without one of its parts is no sum: where a job lacks a direction that it was asked for, or the histogram of
// one, the total has none either and Missing names it. Kinds of latency are never mixed in one histogram. Counts stop
// at math.MaxInt64.
func (o *Output) Metrics() Metrics {
	missing := map[string]bool{}
	for _, j := range o.Jobs {
		for _, name := range j.Missing {
			missing[name] = true
		}
	}
	m := Metrics{
		Read:  addDirections("read", o.Jobs, func(j JobResult) *Direction { return j.Read }, missing),
		Write: addDirections("write", o.Jobs, func(j JobResult) *Direction { return j.Write }, missing),
		Trim:  addDirections("trim", o.Jobs, func(j JobResult) *Direction { return j.Trim }, missing),
		Sync:  addSyncs(o.Jobs, missing),
	}
	m.Missing = slices.Sorted(maps.Keys(missing))
	return m
}

// addDirections adds one direction up. It adds to missing where jobs do not fit together.
func addDirections(name string, jobs []JobResult, of func(JobResult) *Direction, missing map[string]bool) *Direction {
	for _, figure := range []string{"", ".ios", ".bytes", ".runtime", ".iops", ".bw"} {
		if missing[name+figure] {
			return nil
		}
	}
	var sum *Direction
	kinds := map[string]bool{}
	for _, j := range jobs {
		d := of(j)
		if d == nil {
			continue
		}
		if sum == nil {
			sum = &Direction{}
		}
		sum.add(d)
		if d.IOs > 0 {
			kinds[d.LatencyKind] = true
		}
	}
	if sum != nil && (missing[name+".latency"] || len(kinds) > 1) {
		missing[name+".latency"] = true
		sum.Latency, sum.LatencyKind = Histogram{}, ""
	}
	return sum
}

// add adds the figures of another job; whether the latencies fit together is the caller's to see.
func (d *Direction) add(other *Direction) {
	d.IOs = addCounts(d.IOs, other.IOs)
	d.Bytes = addCounts(d.Bytes, other.Bytes)
	d.RuntimeNS = max(d.RuntimeNS, other.RuntimeNS)
	d.IOPS += other.IOPS
	d.BW += other.BW
	d.Latency = Merge(d.Latency, other.Latency)
	if other.LatencyKind != "" {
		d.LatencyKind = other.LatencyKind
	}
}

// addSyncs adds the sync calls up.
func addSyncs(jobs []JobResult, missing map[string]bool) *Sync {
	if missing["sync"] || missing["sync.ios"] {
		return nil
	}
	var sum *Sync
	for _, j := range jobs {
		if j.Sync == nil {
			continue
		}
		if sum == nil {
			sum = &Sync{}
		}
		sum.IOs = addCounts(sum.IOs, j.Sync.IOs)
		sum.Latency = Merge(sum.Latency, j.Sync.Latency)
		sum.Impossible = addCounts(sum.Impossible, j.Sync.Impossible)
	}
	if sum != nil && missing["sync.latency"] {
		sum.Latency = Histogram{}
	}
	return sum
}

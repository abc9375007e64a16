package fiojob

import (
	"math"
	"strconv"
	"time"

	"platter/cell"
)

// lastBin is the value that fio prints for the last bin of its histograms: everything from 16.98 s on is there, however long it took
// (stat.h: FIO_IO_U_PLAT_GROUP_NR is 29).
const lastBin = 17_112_760_320

// FirstSyncsMistimed reports whether fio may measure the first syncs of a job from the start of its clock instead of from their own: that
// of the engine libaio at an iodepth above 1. Tried at a depth of 8 with fsync=1: fio 3.33 writes one such latency for each job, 3.39 7;
// 3.41, whose fsync of libaio is asynchronous, none. With clocksource=clock_gettime they are as long as the machine is up, and with
// gettimeofday they date from 1970; with cpu they are as long as fio runs, which looks like a latency.
func FirstSyncsMistimed(engine string, iodepth int) bool { return engine == "libaio" && iodepth > 1 }

// longest returns how long a latency of a job may be, in ns: the longest of its directions' times, fio's ramp_time before them, and a
// second for fio's rounding. It is the largest int64 where that is not known.
func longest(job JobResult, global map[string]string) int64 {
	text := job.Options["ramp_time"]
	if text == "" {
		text = global["ramp_time"]
	}
	var ramp time.Duration
	var err error
	if text != "" {
		ramp, err = cell.ParseFioTime(text)
	}
	var ran int64
	for _, d := range []*Direction{job.Read, job.Write, job.Trim} {
		if d != nil {
			ran = max(ran, d.RuntimeNS)
		}
	}
	if err != nil || ran == 0 {
		return math.MaxInt64
	}
	return addCounts(addCounts(ran, int64(ramp)), int64(time.Second))
}

// possible reads fio's bins and leaves out the latencies above longest, which it counts. What is impossible lies in the last bin, and so
// may what took longer than 16.98 s in a longer run: there fio's mean tells how many of the bin's are as long as its max.
func (r *reader) possible(name string, s latencySection, longest int64) (Histogram, int64) {
	all := r.histogram(name+".bins", s)
	var kept []Bucket
	var impossible, last int64
	var known float64 // ns of all that is not in the last bin
	for b := range all.Buckets() {
		switch {
		case b.NS-b.NS/128 > longest:
			impossible = addCounts(impossible, b.Count)
			continue
		case b.NS == lastBin:
			last = b.Count
		default:
			known += float64(b.NS) * float64(b.Count)
		}
		kept = append(kept, b)
	}
	if worst, _ := r.count(name+".max", s.Max); last > 0 && worst > longest {
		n, _ := r.count(name+".N", s.N)
		mean, err := strconv.ParseFloat(string(s.Mean), 64)
		such := last
		if share := math.Round((mean*float64(n) - known) / float64(worst)); err == nil && share < float64(last) {
			such = max(1, int64(share))
		}
		kept[len(kept)-1].Count -= such
		impossible = addCounts(impossible, such)
	}
	return NewHistogram(kept...), impossible
}

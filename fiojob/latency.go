package fiojob

// fio's words for its two latencies, as Direction.LatencyKind has them.
const (
	kindLat  = "lat"  // from submission by the application to completion
	kindClat = "clat" // from submission to the kernel to completion
)

// latencies are the histograms that fio printed for one direction of one job; an absent one is zero.
type latencies struct{ lat, clat Histogram }

// jobLatencies are the histograms of one job.
type jobLatencies struct{ read, write, trim latencies }

// settleLatency puts one histogram into each direction that did something: lat where every such job has it, else
// clat where every such job has it, else of each job what it has. A direction without one is named in Missing.
func settleLatency(jobs []JobResult, found []jobLatencies) {
	settleDirection("read.latency", jobs,
		func(i int) (*Direction, latencies) { return jobs[i].Read, found[i].read })
	settleDirection("write.latency", jobs,
		func(i int) (*Direction, latencies) { return jobs[i].Write, found[i].write })
	settleDirection("trim.latency", jobs,
		func(i int) (*Direction, latencies) { return jobs[i].Trim, found[i].trim })
}

func settleDirection(name string, jobs []JobResult, at func(i int) (*Direction, latencies)) {
	lat := true
	clat := true
	for i := range jobs {
		if d, l := at(i); d != nil && d.IOs > 0 {
			lat = lat && !l.lat.IsZero()
			clat = clat && !l.clat.IsZero()
		}
	}
	for i := range jobs {
		d, l := at(i)
		if d == nil || d.IOs == 0 {
			continue
		}
		d.Latency, d.LatencyKind = l.choose(clat && !lat)
		if d.LatencyKind == "" {
			jobs[i].Missing = append(jobs[i].Missing, name)
		}
	}
}

// choose returns lat if there is one and clat is not wanted, else clat if there is one.
func (l latencies) choose(wantClat bool) (Histogram, string) {
	switch {
	case !l.lat.IsZero() && !wantClat:
		return l.lat, kindLat
	case !l.clat.IsZero():
		return l.clat, kindClat
	}
	return Histogram{}, ""
}

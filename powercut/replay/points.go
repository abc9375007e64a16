package replay

import (
	"math/bits"
	"slices"

	"platter/powercut/oplog"
	"platter/powercut/witness"
)

// PointsFile picks at most limit crash points of a log for the sampled method, in order. Three in four are at the edges of
// flushes: just before one takes effect, when most can be lost, and just after a promise, when it counts. The rest, and what is
// left when there are few flushes, are random. The last point of the log is always among them. Equal seeds pick equal points.
func PointsFile(in Log, limit int, seed uint64) ([]int64, error) {
	p, err := points(in.source, limit, seed)
	return p, in.in(err)
}

func points(log source, limit int, seed uint64) ([]int64, error) {
	reader, closer, err := log()
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	var edges []int64
	err = each(reader, -1, func(e oplog.Event, data []byte) error {
		switch {
		case e.Kind == oplog.Flushed && reader.Events() > 1:
			edges = append(edges, reader.Events()-1)
		case e.Kind == oplog.Write && promises(data):
			edges = append(edges, reader.Events())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return choose(edges, reader.Events(), limit, seed), nil
}

// promises reports whether there is a promise among the records that were written.
func promises(data []byte) bool {
	for len(data) >= witness.RecordSize {
		if r, ok := witness.ReadRecord(data); ok && r.Kind == witness.Promise {
			return true
		}
		data = data[witness.RecordSize:]
	}
	return false
}

// choose picks limit of the crash points 1..last.
func choose(edges []int64, last int64, limit int, seed uint64) []int64 {
	if limit < 1 || last < 1 {
		return nil
	}
	if int64(limit) >= last {
		all := make([]int64, last)
		for i := range all {
			all[i] = int64(i) + 1
		}
		return all
	}
	dice := func(n int64) int64 {
		seed++
		high, _ := bits.Mul64(oplog.Mix(seed), uint64(n))
		return int64(high)
	}
	edges = slices.Compact(slices.Sorted(slices.Values(edges)))
	chosen := map[int64]bool{last: true}
	for i, wanted := 0, min(len(edges), limit*3/4); i < wanted; i++ {
		j := i + int(dice(int64(len(edges)-i)))
		edges[i], edges[j] = edges[j], edges[i]
		if len(chosen) < limit {
			chosen[edges[i]] = true
		}
	}
	for len(chosen) < limit {
		chosen[1+dice(last)] = true
	}
	all := make([]int64, 0, len(chosen))
	for p := range chosen {
		all = append(all, p)
	}
	slices.Sort(all)
	return all
}

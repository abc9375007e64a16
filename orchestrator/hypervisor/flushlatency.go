package hypervisor

import (
	"context"
	"fmt"
	"math"

	"github.com/digitalocean/go-libvirt"

	"platter/fiojob"
)

// FlushBins returns where the bins begin, in ns, of the histograms that FlushLatency reads: from 1 µs to 17 s four to each power of two,
// so that a latency is known to 9 %.
func FlushBins() []int64 {
	bins := []int64{0}
	for quarter := range 24*4 + 1 {
		bins = append(bins, int64(math.Round(1000*math.Exp2(float64(quarter)/4))))
	}
	return bins
}

// FlushLatency returns how long QEMU has taken for the flushes of the disk with this target since it was attached, in a histogram with a
// bucket at the geometric middle of each bin; nil where the disk was attached without bins for one.
func (d *Domain) FlushLatency(ctx context.Context, target string) (*fiojob.Histogram, error) {
	op := fmt.Sprintf("read the flush latencies of disk %s of domain %s", target, d.Name())
	records, err := call(ctx, d.host, op, func(l *libvirt.Libvirt) ([]libvirt.DomainStatsRecord, error) {
		return l.ConnectGetAllDomainStats([]libvirt.Domain{d.dom}, uint32(libvirt.DomainStatsBlock), 0)
	})
	if err != nil {
		return nil, err
	}
	if len(records) != 1 {
		return nil, rigError(op, fmt.Errorf("libvirt gives the statistics of %d domains, not of one", len(records)))
	}
	h, err := flushLatencyOf(records[0].Params, target)
	if err != nil {
		return nil, rigError(op, err)
	}
	return h, nil
}

// maxBins is far above what FlushBins asks for.
const maxBins = 10_000

// flushLatencyOf picks the histogram of a disk out of libvirt's statistics: block.N.name says which N it is, and
// block.N.latency_histogram.flush.bin.M has start and value of its bins (virConnectGetAllDomainStats).
func flushLatencyOf(params []libvirt.TypedParam, target string) (*fiojob.Histogram, error) {
	values := map[string]any{}
	for _, p := range params {
		values[p.Field] = p.Value.I
	}
	number := func(format string, args ...any) (int64, error) {
		name := fmt.Sprintf(format, args...)
		n, ok := whole(values[name])
		if !ok {
			return 0, fmt.Errorf("libvirt's statistic %s is %v, not a number of the kind expected", name, values[name])
		}
		return n, nil
	}
	disks, err := number("block.count")
	if err != nil {
		return nil, err
	}
	for disk := range min(disks, maxBins) {
		if values[fmt.Sprintf("block.%d.name", disk)] != target {
			continue
		}
		if _, kept := values[fmt.Sprintf("block.%d.latency_histogram.flush.bin.count", disk)]; !kept {
			return nil, nil
		}
		bins, err := number("block.%d.latency_histogram.flush.bin.count", disk)
		if err != nil || bins < 1 || bins > maxBins {
			return nil, fmt.Errorf("the histogram of disk %s has %d bins (%v)", target, bins, err)
		}
		buckets := make([]fiojob.Bucket, bins)
		for i := range buckets {
			if buckets[i].NS, err = number("block.%d.latency_histogram.flush.bin.%d.start", disk, i); err != nil {
				return nil, err
			}
			if buckets[i].Count, err = number("block.%d.latency_histogram.flush.bin.%d.value", disk, i); err != nil {
				return nil, err
			}
			if i > 0 && buckets[i].NS <= buckets[i-1].NS {
				return nil, fmt.Errorf("the bins of disk %s do not rise: %d ns after %d ns", target, buckets[i].NS, buckets[i-1].NS)
			}
		}
		for i := range len(buckets) - 1 { // the last one has no end: it stands where it begins
			buckets[i].NS = int64(math.Sqrt(float64(max(1, buckets[i].NS)) * float64(buckets[i+1].NS)))
		}
		h := fiojob.NewHistogram(buckets...)
		return &h, nil
	}
	return nil, ErrNoDisk
}

// whole returns a number of libvirt's that is not negative.
func whole(value any) (int64, bool) {
	switch n := value.(type) {
	case int32:
		return int64(n), n >= 0
	case uint32:
		return int64(n), true
	case int64:
		return n, n >= 0
	case uint64:
		return int64(n), n <= math.MaxInt64
	}
	return 0, false
}

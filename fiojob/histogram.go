package fiojob

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// Bucket counts the operations whose latency fio put into one bin.
type Bucket struct {
	NS    int64 // the value that fio prints for the bin
	Count int64
}

// Histogram is a latency distribution: buckets with rising NS. In JSON it is a list of pairs, [[ns,count],…].
//
// The bins are fio's (stat.h, stat.c: FIO_IO_U_PLAT_BITS is 6): latencies below 128 ns have a bin each; above, every
// power of two is cut into 64 bins of equal width, and NS is the middle of the bin. A latency is therefore known to
// half a bin, less than 1/128 of its value.
type Histogram []Bucket

// Count returns the number of operations in all the buckets. It stops at math.MaxInt64 rather than overflow.
func (h Histogram) Count() int64 {
	var n int64
	for _, b := range h {
		n = addCounts(n, b.Count)
	}
	return n
}

// Merge returns the sum of two histograms and changes neither: the counts of equal bins are added. The order of
// merging does not matter. The buckets of both must rise, as in every Histogram that this package makes.
func (h Histogram) Merge(other Histogram) Histogram {
	if len(h)+len(other) == 0 {
		return nil
	}
	sum := make(Histogram, 0, len(h)+len(other))
	for len(h) > 0 && len(other) > 0 {
		switch {
		case h[0].NS < other[0].NS:
			sum = append(sum, h[0])
			h = h[1:]
		case h[0].NS > other[0].NS:
			sum = append(sum, other[0])
			other = other[1:]
		default:
			sum = append(sum, Bucket{h[0].NS, addCounts(h[0].Count, other[0].Count)})
			h, other = h[1:], other[1:]
		}
	}
	sum = append(sum, h...)
	return append(sum, other...)
}

// Percentile returns the latency in ns that at least p percent of the operations did not exceed, by nearest rank:
// the bin of the smallest operation whose rank is at least p/100 of the count. p lies in (0,100]. The second result
// is false where there is no answer: the histogram is empty or p lies outside. The resolution is that of the bins,
// see Histogram; nothing is interpolated.
func (h Histogram) Percentile(p float64) (int64, bool) {
	total := h.Count()
	if total == 0 || !(p > 0 && p <= 100) {
		return 0, false
	}
	rank := nearestRank(p, total)
	var below int64
	for _, b := range h {
		below = addCounts(below, b.Count)
		if below >= rank {
			return b.NS, true
		}
	}
	return 0, false
}

// nearestRank returns ⌈p·n/100⌉ in 1…n. A product that a rounding error has pushed just above a whole number is that
// number: 99.9 % of 1000 is 999.
func nearestRank(p float64, n int64) int64 {
	exact := p / 100 * float64(n)
	rank := math.Ceil(exact - exact*1e-12)
	if rank >= float64(n) {
		return n
	}
	return max(1, int64(rank))
}

// MarshalJSON writes [[ns,count],…] without spaces.
func (h Histogram) MarshalJSON() ([]byte, error) {
	out := make([]byte, 0, 2+16*len(h))
	out = append(out, '[')
	for i, b := range h {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, '[')
		out = strconv.AppendInt(out, b.NS, 10)
		out = append(out, ',')
		out = strconv.AppendInt(out, b.Count, 10)
		out = append(out, ']')
	}
	return append(out, ']'), nil
}

// UnmarshalJSON reads [[ns,count],…]. The order of the pairs says nothing, so unsorted pairs are sorted, equal bins
// added and empty ones dropped. Negative or fractional numbers, numbers beyond int64 and pairs of another length are
// refused.
func (h *Histogram) UnmarshalJSON(data []byte) error {
	if bytes.Equal(data, []byte("null")) {
		*h = nil
		return nil
	}
	if read, ok := plainPairs(data); ok {
		*h = inOrder(read)
		return nil
	}
	var pairs [][]*int64 // a null must not pass for 0
	if err := json.Unmarshal(data, &pairs); err != nil {
		return fmt.Errorf("read histogram: want [[ns,count],…] in whole numbers: %w", err)
	}
	read := make(Histogram, 0, len(pairs))
	for i, pair := range pairs {
		if len(pair) != 2 {
			return fmt.Errorf("read histogram: pair %d has %d numbers, want a latency in ns and a count", i, len(pair))
		}
		if pair[0] == nil || pair[1] == nil || *pair[0] < 0 || *pair[1] < 0 {
			return fmt.Errorf("read histogram: pair %d has a negative number or null, want a latency in ns and a count", i)
		}
		read = append(read, Bucket{*pair[0], *pair[1]})
	}
	*h = inOrder(read)
	return nil
}

// plainPairs reads what MarshalJSON writes, many times faster than a decoder that must expect anything. It reports false for any
// other text, which may be right or wrong. Journals are mostly histograms.
func plainPairs(data []byte) (Histogram, bool) {
	const beyond = 18 // digits that an int64 always holds
	h := make(Histogram, 0, max(0, bytes.Count(data, []byte{'['})-1))
	at := 0
	next := func(c byte) bool {
		if at >= len(data) || data[at] != c {
			return false
		}
		at++
		return true
	}
	number := func() (n int64, ok bool) {
		first := at
		for ; at < len(data) && '0' <= data[at] && data[at] <= '9'; at++ {
			n = 10*n + int64(data[at]-'0')
			if at-first >= beyond {
				return 0, false
			}
		}
		return n, at == first+1 || at > first && data[first] != '0' // JSON has no leading zeros
	}
	if !next('[') {
		return nil, false
	}
	for len(h) == 0 && !next(']') || len(h) > 0 && next(',') {
		var b Bucket
		var ok bool
		if !next('[') {
			return nil, false
		}
		if b.NS, ok = number(); !ok || !next(',') {
			return nil, false
		}
		if b.Count, ok = number(); !ok || !next(']') {
			return nil, false
		}
		h = append(h, b)
	}
	if len(h) > 0 && !next(']') {
		return nil, false
	}
	return h, at == len(data)
}

// inOrder sorts buckets, adds those of the same bin and drops the empty ones, in place.
func inOrder(buckets Histogram) Histogram {
	slices.SortFunc(buckets, func(a, b Bucket) int { return cmp.Compare(a.NS, b.NS) })
	kept := buckets[:0]
	for _, b := range buckets {
		switch last := len(kept) - 1; {
		case b.Count == 0:
		case last >= 0 && kept[last].NS == b.NS:
			kept[last].Count = addCounts(kept[last].Count, b.Count)
		default:
			kept = append(kept, b)
		}
	}
	return kept
}

// addCounts adds two counts that are not negative and stops at math.MaxInt64, so that adding stays associative.
func addCounts(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

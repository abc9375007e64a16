package fiojob

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"
)

// Bucket counts the operations whose latency fio put into one bin.
type Bucket struct {
	NS    int64 // the value that fio prints for the bin
	Count int64
}

// Histogram is a latency distribution: buckets with rising NS and a count above 0. In JSON it is a list of pairs, [[ns,count],…]. The
// zero value has no buckets. Histograms with the same buckets are equal by ==.
//
// The bins are fio's (stat.h, stat.c: FIO_IO_U_PLAT_BITS is 6): latencies below 128 ns have a bin each; above, every
// power of two is cut into 64 bins of equal width, and NS is the middle of the bin. A latency is therefore known to
// half a bin, less than 1/128 of its value.
type Histogram struct {
	// packed has two unsigned varints (encoding/binary) for each bucket: by how much NS rises, and the count. A run has thousands of
	// histograms with hundreds of buckets each; packed they take a fifth of the memory and nothing for the garbage collector to follow.
	packed string
	count  int64 // of the operations in all the buckets, at most math.MaxInt64
}

// NewHistogram returns the histogram of buckets in any order: those of one bin are added and empty ones dropped. Latencies and counts
// are not negative. It sorts the buckets that it is given.
func NewHistogram(buckets ...Bucket) Histogram {
	slices.SortFunc(buckets, func(a, b Bucket) int { return cmp.Compare(a.NS, b.NS) })
	var p packer
	for i := 0; i < len(buckets); {
		sum := buckets[i]
		for i++; i < len(buckets) && buckets[i].NS == sum.NS; i++ {
			sum.Count = addCounts(sum.Count, buckets[i].Count)
		}
		p.add(sum)
	}
	return p.histogram()
}

// packer makes a Histogram of buckets with rising NS.
type packer struct {
	packed []byte
	last   int64 // NS of the last bucket
	count  int64
}

// add drops an empty bucket.
func (p *packer) add(b Bucket) {
	if b.Count > 0 {
		p.packed = binary.AppendUvarint(binary.AppendUvarint(p.packed, uint64(b.NS-p.last)), uint64(b.Count))
		p.last = b.NS
		p.count = addCounts(p.count, b.Count)
	}
}

func (p *packer) histogram() Histogram { return Histogram{string(p.packed), p.count} }

// IsZero reports whether the histogram has no buckets.
func (h Histogram) IsZero() bool { return h.packed == "" }

// Buckets returns the buckets in the order of NS.
func (h Histogram) Buckets() iter.Seq[Bucket] {
	return func(yield func(Bucket) bool) {
		var b Bucket
		for at := 0; at < len(h.packed); {
			var rise, count uint64
			rise, at = uvarint(h.packed, at)
			count, at = uvarint(h.packed, at)
			b.NS += int64(rise)
			b.Count = int64(count)
			if !yield(b) {
				return
			}
		}
	}
}

// uvarint is binary.Uvarint of a string that this package packed, from an index on. It returns the index behind the number.
func uvarint(packed string, at int) (n uint64, next int) {
	for shift := 0; ; shift += 7 {
		c := packed[at]
		at++
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return n, at
		}
	}
}

// String returns the buckets as they stand in JSON.
func (h Histogram) String() string { return string(h.appendJSON(nil)) }

// Count returns the number of operations in all the buckets. It stops at math.MaxInt64 rather than overflow.
func (h Histogram) Count() int64 { return h.count }

// Merge returns the sum of histograms: the counts of equal bins are added. The order of merging does not matter.
func Merge(all ...Histogram) Histogram {
	var sum, next []Bucket
	for _, h := range all {
		next = next[:0]
		at := 0 // in sum
		for b := range h.Buckets() {
			for ; at < len(sum) && sum[at].NS < b.NS; at++ {
				next = append(next, sum[at])
			}
			if at < len(sum) && sum[at].NS == b.NS {
				b.Count = addCounts(b.Count, sum[at].Count)
				at++
			}
			next = append(next, b)
		}
		sum, next = append(next, sum[at:]...), sum
	}
	var p packer
	for _, b := range sum {
		p.add(b)
	}
	return p.histogram()
}

// Percentile returns the latency in ns that at least p percent of the operations did not exceed, by nearest rank:
// the bin of the smallest operation whose rank is at least p/100 of the count. p lies in (0,100]. The second result
// is false where there is no answer: the histogram is empty or p lies outside. The resolution is that of the bins,
// see Histogram; nothing is interpolated.
func (h Histogram) Percentile(p float64) (int64, bool) {
	if h.count == 0 || !(p > 0 && p <= 100) {
		return 0, false
	}
	rank := uint64(nearestRank(p, h.count))
	var ns, upTo uint64
	for at := 0; upTo < rank; { // each count is an int64, as the rank is: there is no overflow, and the rank is reached
		var rise, count uint64
		rise, at = uvarint(h.packed, at)
		count, at = uvarint(h.packed, at)
		ns += rise
		upTo += count
	}
	return int64(ns), true
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
	return h.appendJSON(make([]byte, 0, 2+4*len(h.packed))), nil
}

func (h Histogram) appendJSON(out []byte) []byte {
	out = append(out, '[')
	for b := range h.Buckets() {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = strconv.AppendInt(append(out, '['), b.NS, 10)
		out = strconv.AppendInt(append(out, ','), b.Count, 10)
		out = append(out, ']')
	}
	return append(out, ']')
}

// UnmarshalJSON reads [[ns,count],…]. The order of the pairs says nothing, so unsorted pairs are sorted, equal bins
// added and empty ones dropped. Negative or fractional numbers, numbers beyond int64 and pairs of another length are
// refused.
func (h *Histogram) UnmarshalJSON(data []byte) error {
	if bytes.Equal(data, []byte("null")) {
		*h = Histogram{}
		return nil
	}
	if read, rest, ok := ReadHistogram(data); ok && len(rest) == 0 {
		*h = read
		return nil
	}
	var pairs [][]*int64 // a null must not pass for 0
	if err := json.Unmarshal(data, &pairs); err != nil {
		return fmt.Errorf("read histogram: want [[ns,count],…] in whole numbers: %w", err)
	}
	read := make([]Bucket, 0, len(pairs))
	for i, pair := range pairs {
		if len(pair) != 2 {
			return fmt.Errorf("read histogram: pair %d has %d numbers, want a latency in ns and a count", i, len(pair))
		}
		if pair[0] == nil || pair[1] == nil || *pair[0] < 0 || *pair[1] < 0 {
			return fmt.Errorf("read histogram: pair %d has a negative number or null, want a latency in ns and a count", i)
		}
		read = append(read, Bucket{*pair[0], *pair[1]})
	}
	*h = NewHistogram(read...)
	return nil
}

// ReadHistogram reads the histogram that a text begins with, as MarshalJSON writes it, and returns what follows it. It does not judge
// anything else: where ok is false, UnmarshalJSON may still read it. Journals are mostly histograms, and this is many times faster than
// a decoder that expects any JSON.
func ReadHistogram(text []byte) (h Histogram, rest []byte, ok bool) {
	var space [4 << 10]byte // larger than most histograms, and on the stack as long as no pointer to what has it is passed on: no packer
	packed := space[:0]
	var last, total int64
	if len(text) < 2 || text[0] != '[' {
		return h, text, false
	}
	if text[1] == ']' {
		return h, text[2:], true
	}
	for at := 0; ; { // of the bracket or comma before a pair
		if at+1 >= len(text) || text[at+1] != '[' {
			return h, text, false
		}
		ns, comma := wholeNumber(text, at+2)
		if comma >= len(text) || text[comma] != ',' {
			return h, text, false
		}
		count, end := wholeNumber(text, comma+1)
		if end+1 >= len(text) || text[end] != ']' || count <= 0 || ns < 0 || ns <= last && len(packed) > 0 {
			return h, text, false
		}
		packed = binary.AppendUvarint(binary.AppendUvarint(packed, uint64(ns-last)), uint64(count))
		last, total = ns, addCounts(total, count)
		switch at = end + 1; text[at] {
		case ',':
		case ']':
			return Histogram{string(packed), total}, text[at+1:], true
		default:
			return h, text, false
		}
	}
}

// wholeNumber reads the digits of a JSON number from an index on, and returns the index behind them. The number is -1 where there are
// none, more than an int64 holds for certain, or a leading zero.
func wholeNumber(text []byte, at int) (n int64, next int) {
	first := at
	for ; at < len(text) && '0' <= text[at] && text[at] <= '9'; at++ {
		n = 10*n + int64(text[at]-'0')
	}
	if digits := at - first; digits == 0 || digits > 18 || digits > 1 && text[first] == '0' {
		return -1, at
	}
	return n, at
}

// addCounts adds two counts that are not negative and stops at math.MaxInt64, so that adding stays associative.
func addCounts(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

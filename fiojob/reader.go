package fiojob

import (
	"math"
	"strconv"
)

// number is a JSON value where fio prints a number, as text. It is empty where fio printed nothing, and "" (with its
// quotes) or null where it printed NaN or infinity. What it means is decided where its path is known.
type number string

// UnmarshalJSON keeps the text.
func (n *number) UnmarshalJSON(text []byte) error {
	*n = number(text)
	return nil
}

// reported reports whether fio printed a number there.
func (n number) reported() bool { return n != "" && n != `""` && n != "null" }

// maxRate bounds operations/s and bytes/s, so that sums stay finite. No device comes near it.
const maxRate = 1e18

// reader turns numbers into figures. It keeps the first error, with the path of its figure, and what was missing.
type reader struct {
	path    string
	err     *ParseError
	missing []string
}

// under returns a reader for a section below.
func (r *reader) under(name string) *reader { return &reader{path: r.path + "." + name} }

// join takes over the error of a section below.
func (r *reader) join(below *reader) {
	if r.err == nil {
		r.err = below.err
	}
}

// miss notes that a figure is missing, if it is.
func (r *reader) miss(missing bool, name string) {
	if missing {
		r.missing = append(r.missing, name)
	}
}

func (r *reader) fail(name, what string) {
	if r.err == nil {
		r.err = &ParseError{Where: r.path + "." + name, What: what, Do: "this is not what fio prints; " + rerun}
	}
}

// count reads a whole number from 0 to the largest int64. It is false where there is none.
func (r *reader) count(name string, n number) (int64, bool) {
	if !n.reported() {
		return 0, false
	}
	v, err := strconv.ParseInt(string(n), 10, 64)
	if err != nil || v < 0 {
		r.fail(name, quoteShort(string(n))+" is not a count")
		return 0, false
	}
	return v, true
}

const nsPerMS = 1_000_000

// milliseconds reads a time that fio prints in ms, and returns ns.
func (r *reader) milliseconds(name string, n number) (int64, bool) {
	ms, ok := r.count(name, n)
	if ms > math.MaxInt64/nsPerMS {
		r.fail(name, quoteShort(string(n))+" ms is not a time")
		return 0, false
	}
	return ms * nsPerMS, ok
}

// rate reads operations/s or bytes/s.
func (r *reader) rate(name string, n number) (float64, bool) {
	if !n.reported() {
		return 0, false
	}
	v, err := strconv.ParseFloat(string(n), 64)
	if err != nil || !(v >= 0 && v <= maxRate) {
		r.fail(name, quoteShort(string(n))+" is not a rate")
		return 0, false
	}
	return v, true
}

// histogram reads fio's bins, an object of ns to count. It is zero where there are none.
func (r *reader) histogram(name string, s latencySection) Histogram {
	buckets := make([]Bucket, 0, len(s.Bins))
	for ns, n := range s.Bins {
		at := name + "." + quoteShort(ns)
		latency, isLatency := r.count(at, number(ns))
		count, isCount := r.count(at, n)
		if !isLatency || !isCount {
			r.fail(at, "the bin is not a latency in ns with a count")
			return Histogram{}
		}
		buckets = append(buckets, Bucket{latency, count})
	}
	return NewHistogram(buckets...)
}

// quoteShort quotes a text for a message, and cuts a long one.
func quoteShort(text string) string {
	const limit = 80
	if len(text) > limit {
		text = text[:limit] + "…"
	}
	return strconv.Quote(text)
}

package fiojob

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// anyHistogram draws up to 20 buckets from few latencies, so that bins of two histograms often coincide.
func anyHistogram(random *rand.Rand) Histogram {
	h := make([]Bucket, random.IntN(20))
	for i := range h {
		h[i] = Bucket{NS: random.Int64N(30), Count: random.Int64N(1000)}
		if random.IntN(20) == 0 {
			h[i].Count = math.MaxInt64 - random.Int64N(5)
		}
	}
	return NewHistogram(h...)
}

func TestMergingDoesNotDependOnTheOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		a, b, c := anyHistogram(random), anyHistogram(random), anyHistogram(random)
		before := [2]string{a.String(), b.String()}
		if x, y := Merge(a, b), Merge(b, a); x != y {
			t.Fatalf("%v and %v merge to %v one way and to %v the other", a, b, x, y)
		}
		if x, y, z := Merge(Merge(a, b), c), Merge(a, Merge(b, c)), Merge(a, b, c); x != y || x != z {
			t.Fatalf("%v, %v and %v merge to %v from the left, to %v from the right and to %v at once", a, b, c, x, y, z)
		}
		if a.String() != before[0] || b.String() != before[1] {
			t.Fatalf("merging changed %v to %v or %v to %v", before[0], a, before[1], b)
		}
	}
}

func TestMergingGivesTheHistogramOfAllOperationsTogether(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		a, b := anyHistogram(random), anyHistogram(random)
		together := NewHistogram(slices.AppendSeq(slices.Collect(a.Buckets()), b.Buckets())...)
		if merged := Merge(a, b); merged != together {
			t.Fatalf("%v and %v merge to %v, want %v", a, b, merged, together)
		}
	}
}

func TestAPercentileIsTheOperationOfTheNearestRank(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 500 {
		var buckets []Bucket
		var sorted []int64
		for ns := int64(1); ns <= 8; ns++ {
			count := random.Int64N(40)
			buckets = append(buckets, Bucket{ns, count})
			sorted = append(sorted, slices.Repeat([]int64{ns}, int(count))...)
		}
		h := NewHistogram(buckets...)
		for _, perMille := range []int{1, 10, 333, 500, 900, 990, 999, 1000} {
			got, ok := h.Percentile(float64(perMille) / 10)
			if len(sorted) == 0 {
				continue
			}
			rank := (perMille*len(sorted) + 999) / 1000
			if want := sorted[rank-1]; !ok || got != want {
				t.Fatalf("p%g of %v is %d, %v; want %d", float64(perMille)/10, h, got, ok, want)
			}
		}
	}
}

func TestAWholeRankIsNotRoundedUp(t *testing.T) {
	h := NewHistogram(Bucket{NS: 1, Count: 999}, Bucket{NS: 2, Count: 1})
	if got, _ := h.Percentile(99.9); got != 1 {
		t.Errorf("p99.9 of 1000 operations is the 999th, 1 ns; got %d", got)
	}
	if got, _ := h.Percentile(99.91); got != 2 {
		t.Errorf("p99.91 of 1000 operations is the 1000th, 2 ns; got %d", got)
	}
}

func TestAPercentileOfNothingIsNoNumber(t *testing.T) {
	some := NewHistogram(Bucket{NS: 5, Count: 1})
	tests := map[string]struct {
		h Histogram
		p float64
	}{
		"empty histogram": {Histogram{}, 50},
		"empty bins":      {NewHistogram(Bucket{5, 0}), 50},
		"p of 0":          {some, 0},
		"negative p":      {some, -1},
		"p above 100":     {some, 100.1},
		"NaN":             {some, math.NaN()},
	}
	for name, test := range tests {
		if got, ok := test.h.Percentile(test.p); ok {
			t.Errorf("%s: got %d ns", name, got)
		}
	}
}

func TestAHugeCountStopsAtTheLargestAndKeepsItsPercentiles(t *testing.T) {
	h := NewHistogram(Bucket{NS: 1, Count: math.MaxInt64}, Bucket{NS: 2, Count: math.MaxInt64})
	if h.Count() != math.MaxInt64 {
		t.Errorf("count is %d", h.Count())
	}
	if got, ok := h.Percentile(100); !ok || got != 1 {
		t.Errorf("p100 is %d, %v", got, ok)
	}
}

func TestAHistogramIsPairsInJSON(t *testing.T) {
	h := NewHistogram(Bucket{NS: 31360, Count: 1}, Bucket{NS: 39168, Count: 22})
	text, err := json.Marshal(Direction{Latency: h, LatencyKind: "clat"})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"ios":0,"bytes":0,"runtime_ns":0,"iops":0,"bw":0,"latency":[[31360,1],[39168,22]],"latency_kind":"clat"}`
	if string(text) != want {
		t.Errorf("got %s, want %s", text, want)
	}
	var back Direction
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(h.String(), back.Latency.String()); diff != "" {
		t.Errorf("read back differently (-want +got):\n%s", diff)
	}
}

func TestAnAbsentHistogramStaysAbsentInJSON(t *testing.T) {
	text, err := json.Marshal(Sync{IOs: 3, Latency: Merge(Histogram{}, Histogram{})})
	if err != nil || string(text) != `{"ios":3}` {
		t.Errorf("got %s, %v", text, err)
	}
}

func TestPairsInAnyOrderAreReadInOrder(t *testing.T) {
	var h Histogram
	if err := json.Unmarshal([]byte(`[[7,1],[3,2],[7,4],[5,0]]`), &h); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("[[3,2],[7,5]]", h.String()); diff != "" {
		t.Errorf("read differently (-want +got):\n%s", diff)
	}
}

func TestPairsThatAreNoHistogramAreRefused(t *testing.T) {
	for _, text := range []string{
		`[[1,-1]]`, `[[-1,1]]`, `[[1]]`, `[[1,2,3]]`, `[[null,1]]`, `[null]`, `[[1.5,1]]`, `[[1,9223372036854775808]]`,
		`[["1",1]]`, `{"1":1}`, `5`,
	} {
		h := NewHistogram(Bucket{1, 1})
		if err := json.Unmarshal([]byte(text), &h); err == nil {
			t.Errorf("%s was read as %v", text, h)
		} else if !strings.Contains(err.Error(), "read histogram") {
			t.Errorf("%s: the error does not say what it is about: %v", text, err)
		}
	}
}

func FuzzHistogramJSONIsReadOnceAndWrittenTheSame(f *testing.F) {
	f.Add([]byte(`[[1,2],[3,4]]`))
	f.Add([]byte(`[[3,4],[3,9223372036854775807]]`))
	f.Add([]byte(`[[null,1]]`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var h Histogram
		if json.Unmarshal(text, &h) != nil {
			return
		}
		last := int64(-1)
		for b := range h.Buckets() {
			if b.NS <= last || b.Count <= 0 {
				t.Fatalf("%s was read as %v, which does not rise or has an empty bin", text, h)
			}
			last = b.NS
		}
		if p100, ok := h.Percentile(100); ok && h.Count() < math.MaxInt64 && p100 != last {
			t.Fatalf("p100 of %v is %d", h, p100)
		}
		written, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		var again Histogram
		if err := json.Unmarshal(written, &again); err != nil || h != again {
			t.Fatalf("%v came back from %s as %v, %v", h, written, again, err)
		}
	})
}

func TestTheFastReaderAgreesWithTheCarefulOne(t *testing.T) {
	for _, text := range []string{
		"[]", "[[0,1]]", "[[1000,3],[2000,4]]", "[[2000,4],[1000,3]]", "[[5,0]]", "[[5,1],[5,2]]", "[[999999999999999999,1]]",
		"[[9223372036854775807,1]]",
		"[[-1,2]]", "[[01,2]]", "[[1,2],]", "[[1]]", "[[1,2,3]]", "[1,2]", "[[1,2]", "[[1,2]]x", "[[1.5,2]]",
		"[[null,2]]", "[ [1,2] ]", "[[1,-2]]", "[[,1]]", "[[1,]]", "",
	} {
		var careful [][]*int64
		fits := json.Unmarshal([]byte(text), &careful) == nil
		read, rest, ok := ReadHistogram([]byte(text))
		if len(rest) > 0 {
			continue
		}
		fast := slices.Collect(read.Buckets())
		if !ok {
			continue // the careful one reads it
		}
		if !fits || len(fast) != len(careful) {
			t.Errorf("%s: the fast reader takes it, and finds %v", text, fast)
			continue
		}
		for i, b := range fast {
			if len(careful[i]) != 2 || b.NS != *careful[i][0] || b.Count != *careful[i][1] {
				t.Errorf("%s: bucket %d is %+v", text, i, b)
			}
		}
	}
	for _, text := range []string{"[]", "[[0,1]]", "[[1000,3],[2000,4]]"} {
		if _, rest, ok := ReadHistogram([]byte(text + ",5")); !ok || string(rest) != ",5" {
			t.Errorf("%s: what is written is not read fast", text)
		}
	}
}

// BenchmarkReadHistogram reads a histogram as the trial of a minute has it: journals are mostly these.
func BenchmarkReadHistogram(b *testing.B) {
	var p packer
	for i := range int64(250) {
		p.add(Bucket{NS: 100_000 + 1024*i, Count: 1 + 37*i%500})
	}
	text := []byte(p.histogram().String())
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		h, _, ok := ReadHistogram(text)
		if _, known := h.Percentile(99); !ok || !known {
			b.Fatal(h)
		}
	}
}

package fiojob

// Bucket counts the operations whose latency fio put into one bin.
type Bucket struct {
	NS    int64 // the value that fio prints for the bin
	Count int64
}

// Histogram is a latency distribution: buckets with rising NS. In JSON it is a list of pairs, [[ns,count],…].
type Histogram []Bucket

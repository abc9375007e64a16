// Package fiojob writes fio job files and reads what fio says of them: its JSON and JSON+ output, with latency histograms that merge.
package fiojob

import "time"

// Option is one fio option in fio's own spelling. The value stands in the job file behind "=".
type Option struct {
	Name  string
	Value string
}

// Job is one section of a job file; Options keep their order.
type Job struct {
	Name    string
	Options []Option
	// LogIOPS has fio write the operations of each such interval, of all jobs of the section together, into the file IOPSLogFile
	// in its working directory, for ParseIOPSLog; 0 for no log. It is in whole milliseconds.
	LogIOPS time.Duration
}

// Metrics are the counts and latencies of one fio run, added up over its jobs. What fio did not report is nil and
// named in Missing; it is never 0.
type Metrics struct {
	Read  *Direction `json:"read,omitempty"`
	Write *Direction `json:"write,omitempty"`
	Trim  *Direction `json:"trim,omitempty"`
	// Sync counts the fsync, fdatasync and sync_file_range calls that fio made between its writes; those of end_fsync
	// and fsync_on_close are in no figure of fio's. Writes with sync=dsync or sync=sync are not among them.
	Sync *Sync `json:"sync,omitempty"`
	// Missing names what the output should have had and did not, for example "write.latency".
	Missing []string `json:"missing,omitempty"`
}

// Direction is what fio reports for reads, writes or trims.
type Direction struct {
	IOs       int64     `json:"ios"`        // completed operations
	Bytes     int64     `json:"bytes"`      // bytes moved
	RuntimeNS int64     `json:"runtime_ns"` // time during which the jobs did it, the longest of them
	IOPS      float64   `json:"iops"`       // operations/s
	BW        float64   `json:"bw"`         // bytes/s
	Latency   Histogram `json:"latency,omitzero"`
	// LatencyKind says what Latency measures: "lat" from submission by the application to completion, or "clat"
	// from submission to the kernel, in fio's words. It is empty where there is no histogram.
	LatencyKind string `json:"latency_kind,omitempty"`
}

// Sync is what fio reports for its sync calls.
type Sync struct {
	IOs     int64     `json:"ios"`
	Latency Histogram `json:"latency,omitzero"`
	// Impossible is how many latencies were longer than fio ran. They are not in Latency: fio measured them from the start of its
	// clock (FirstSyncsMistimed).
	Impossible int64 `json:"impossible,omitempty"`
}

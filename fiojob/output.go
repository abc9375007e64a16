package fiojob

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"syscall"
)

// Output is what one run of fio said.
type Output struct {
	Version string            // as fio calls itself, for example "fio-3.33"
	Global  map[string]string // the options of the job file's global section
	Jobs    []JobResult       // in fio's order; with group_reporting one for each group
	// Notes are the lines around and between the JSON: fio's messages, and whatever else was written to the same place.
	Notes []string
}

// JobResult is what fio reports for one job, or with group_reporting for one group of jobs, under the name and
// options of its first. A figure that fio did not report is nil and named in Missing, as in Metrics.
type JobResult struct {
	Name      string
	Errno     int    // the errno of Linux that ended the job, 0 if it ended well
	Error     string // the errno in words; empty if the job ended well
	RuntimeNS int64  // fio's job_runtime; where older versions lack it, the longest of the directions
	// Options are the job's own, as fio reports them; those in Output.Global hold beside them.
	Options map[string]string
	Read    *Direction
	Write   *Direction
	Trim    *Direction
	Sync    *Sync
	Missing []string
}

// Err returns an error that names the first job that failed and why, or nil. The other figures of such an output are
// those up to the failure.
func (o *Output) Err() error {
	for _, j := range o.Jobs {
		if j.Errno != 0 {
			return fmt.Errorf("fio job %q failed: %s (errno %d)", j.Name, j.Error, j.Errno)
		}
	}
	return nil
}

// ParseError says why fio's output cannot be read.
type ParseError struct {
	Offset int64  // the byte in the output where reading stopped; of the JSON's beginning for a figure that cannot be
	Where  string // the figure, for example "jobs[0].write.total_ios"; empty when the text itself is broken
	What   string // what is wrong there
	Do     string // what the user can do
	Err    error  // the JSON decoder's error, or nil
}

// Error returns one line: what, where and what to do.
func (e *ParseError) Error() string {
	where := ""
	if e.Where != "" {
		where = e.Where + ": "
	}
	return fmt.Sprintf("read fio output: %s%s at byte %d; %s", where, e.What, e.Offset, e.Do)
}

// Unwrap returns the JSON decoder's error.
func (e *ParseError) Unwrap() error { return e.Err }

// rerun is what helps against broken output.
const rerun = "run fio again with --output=FILE, so that nothing else writes there"

// Parse reads the output of fio 3 with --output-format=json or json+; only json+ has histograms.
//
// Text around the JSON, and whole lines of it inside, become Notes. If there are several reports, as from
// --status-interval, the last counts and must be whole: the earlier ones are intermediate. Of a key that stands twice
// the last one counts, as fio itself takes the last of an option given twice: the one place where it prints a key
// twice with different values. NaN and infinity, which fio writes where it divided by nothing, are taken as not
// reported. A failed job is not an error of Parse, see Output.Err.
//
// The error is a *ParseError: there is no report or no whole one, it is older than fio 3, it has no jobs, or it has
// a count that is negative, fractional or beyond int64.
func Parse(data []byte) (*Output, error) {
	found, err := findReport(data)
	if err != nil {
		return nil, err
	}
	var doc document
	if err := json.Unmarshal(found.json, &doc); err != nil {
		return nil, brokenJSON(err, found)
	}
	if strings.HasPrefix(doc.Version, "fio-1.") || strings.HasPrefix(doc.Version, "fio-2.") {
		return nil, &ParseError{Offset: found.offset, Where: "fio version", What: "this is " + quoteShort(doc.Version),
			Do: "use fio 3.0 or newer, which reports in ns"}
	}
	if len(doc.Jobs) == 0 {
		return nil, &ParseError{Offset: found.offset, Where: "jobs", What: "the report has no jobs",
			Do: "see what fio said about the job file: " + complaint(found.notes)}
	}
	out := &Output{Version: doc.Version, Global: doc.Global, Notes: found.notes}
	out.Jobs, err = readJobs(doc)
	if err != nil {
		err.Offset = found.offset
		return nil, err
	}
	return out, nil
}

// brokenJSON turns a decoder's error into one that knows its place in the whole output.
func brokenJSON(err error, found report) *ParseError {
	broken := &ParseError{Offset: found.offset, What: "the JSON is broken (" + err.Error() + ")", Do: rerun, Err: err}
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		broken.Offset += max(0, syntax.Offset-1) // the decoder counts the bytes read, with the one it did not expect
		if int(syntax.Offset) >= len(found.json) {
			broken.Offset = found.offset + int64(len(found.json))
			broken.What = "the JSON ends too early"
			broken.Do = "fio was stopped or the disk is full; " + rerun
		}
	case errors.As(err, &kind):
		broken.Offset += kind.Offset
		broken.Where = kind.Field
		broken.What = "found a " + kind.Value + " that does not belong there"
	}
	return broken
}

// document is the shape of fio's JSON, as far as platter reads it. Its source is fio's stat.c.
type document struct {
	Version string            `json:"fio version"`
	Global  map[string]string `json:"global options"`
	Jobs    []jobSection      `json:"jobs"`
}

type jobSection struct {
	Name    string            `json:"jobname"`
	Error   number            `json:"error"`
	Options map[string]string `json:"job options"`
	Runtime number            `json:"job_runtime"` // ms
	Read    *ioSection        `json:"read"`
	Write   *ioSection        `json:"write"`
	Trim    *ioSection        `json:"trim"`
	Sync    *syncSection      `json:"sync"`
}

type ioSection struct {
	IOs     number         `json:"total_ios"`
	Bytes   number         `json:"io_bytes"`
	Runtime number         `json:"runtime"` // ms
	IOPS    number         `json:"iops"`
	BW      number         `json:"bw_bytes"`
	BWKiB   number         `json:"bw"` // KiB/s; before bw_bytes there was only this
	Lat     latencySection `json:"lat_ns"`
	Clat    latencySection `json:"clat_ns"`
}

type syncSection struct {
	IOs number         `json:"total_ios"`
	Lat latencySection `json:"lat_ns"`
}

type latencySection struct {
	N    number            `json:"N"` // operations timed
	Max  number            `json:"max"`
	Mean number            `json:"mean"`
	Bins map[string]number `json:"bins"`
}

// readJobs turns fio's sections into results. The histograms of a direction are of one kind in all jobs where that
// is possible, so that they can be merged.
func readJobs(doc document) ([]JobResult, *ParseError) {
	results := make([]JobResult, 0, len(doc.Jobs))
	latencies := make([]jobLatencies, 0, len(doc.Jobs))
	for i, section := range doc.Jobs {
		r := reader{path: fmt.Sprintf("jobs[%d]", i)}
		result, latency := r.job(section, doc.Global)
		if r.err != nil {
			return nil, r.err
		}
		results = append(results, result)
		latencies = append(latencies, latency)
	}
	settleLatency(results, latencies)
	return results, nil
}

// job reads one job's section.
func (r *reader) job(s jobSection, global map[string]string) (JobResult, jobLatencies) {
	asked := askedFor(global, s.Options)
	if len(global)+len(s.Options) == 0 { // it does not say; what is there was asked for if it was done
		asked = requested{read: s.Read == nil, write: s.Write == nil, trim: s.Trim == nil, sync: s.Sync == nil}
	}
	job := JobResult{Name: s.Name, Options: s.Options}
	if errno, ok := r.count("error", s.Error); ok && errno != 0 {
		job.Errno = int(errno)
		job.Error = syscall.Errno(errno).Error()
	}
	var found jobLatencies
	job.Read, found.read = r.direction("read", s.Read, asked.read)
	job.Write, found.write = r.direction("write", s.Write, asked.write)
	job.Trim, found.trim = r.direction("trim", s.Trim, asked.trim)
	job.Sync = r.sync(s, asked, longest(job, global))
	job.RuntimeNS = r.jobRuntime(s.Runtime, job)
	job.Missing = r.missing
	return job, found
}

func (r *reader) jobRuntime(ms number, job JobResult) int64 {
	if ns, ok := r.milliseconds("job_runtime", ms); ok {
		return ns
	}
	var longest int64
	for _, d := range []*Direction{job.Read, job.Write, job.Trim} {
		if d != nil {
			longest = max(longest, d.RuntimeNS)
		}
	}
	return longest
}

// direction reads the section of reads, writes or trims. It is nil if fio did none and was not asked to, or if one
// of its figures is missing, since a Direction cannot say which of them counts.
func (r *reader) direction(name string, s *ioSection, asked bool) (*Direction, latencies) {
	if s == nil {
		r.miss(asked, name)
		return nil, latencies{}
	}
	in := r.under(name)
	d, missing := in.figures(s)
	found := latencies{lat: in.histogram("lat_ns.bins", s.Lat), clat: in.histogram("clat_ns.bins", s.Clat)}
	r.join(in)
	switch {
	case len(missing) > 0:
		for _, figure := range missing {
			r.miss(true, name+"."+figure)
		}
		return nil, latencies{}
	case d.IOs == 0 && !asked:
		return nil, latencies{}
	}
	return &d, found
}

// figures reads the five figures of a direction, and returns the names of those that are missing.
func (r *reader) figures(s *ioSection) (d Direction, missing []string) {
	need := func(figure string, reported bool) {
		if !reported {
			missing = append(missing, figure)
		}
	}
	var ok bool
	d.IOs, ok = r.count("total_ios", s.IOs)
	need("ios", ok)
	d.Bytes, ok = r.count("io_bytes", s.Bytes)
	need("bytes", ok)
	d.RuntimeNS, ok = r.milliseconds("runtime", s.Runtime)
	need("runtime", ok && (d.RuntimeNS > 0 || d.IOs == 0)) // operations in 0 ms: fio prints 0 operations/s then
	d.IOPS, ok = r.rate("iops", s.IOPS)
	need("iops", ok)
	d.BW, ok = r.bandwidth(s)
	need("bw", ok)
	return d, missing
}

// bandwidth returns bw_bytes, or bw of the versions before it.
func (r *reader) bandwidth(s *ioSection) (float64, bool) {
	if bw, ok := r.rate("bw_bytes", s.BW); ok {
		return bw, true
	}
	kib, ok := r.rate("bw", s.BWKiB)
	return kib * 1024, ok
}

// sync reads the section of sync calls. Where fio has it, no calls are a measured 0. A latency above longest, in ns, is impossible.
//
// Tried with fio 3.33, 3.39 and 3.41: total_ios has the fsync calls only; fdatasync and sync_file_range are seen by their latencies
// alone, of which lat_ns.N is the number. With disable_clat or gtod_reduce even that is gone, and then they are missing, not 0.
func (r *reader) sync(s jobSection, asked requested, longest int64) *Sync {
	if s.Sync == nil {
		r.miss(asked.sync || asked.dataSync, "sync")
		return nil
	}
	in := r.under("sync")
	fsyncs, ok := in.count("total_ios", s.Sync.IOs)
	timed, _ := in.count("lat_ns.N", s.Sync.Lat.N)
	latency, impossible := in.possible("lat_ns", s.Sync.Lat, longest)
	untimed := asked.dataSync && timed == 0 && s.Write.untimed(in)
	r.join(in)
	if !ok || untimed {
		r.miss(true, "sync.ios")
		return nil
	}
	ios := max(fsyncs, timed, addCounts(latency.Count(), impossible))
	r.miss(ios > 0 && latency.IsZero(), "sync.latency")
	return &Sync{IOs: ios, Latency: latency, Impossible: impossible}
}

// untimed reports whether operations were done and fio did not take their completion latencies.
func (s *ioSection) untimed(r *reader) bool {
	if s == nil {
		return false
	}
	ios, _ := r.count("total_ios", s.IOs)
	timed, _ := r.count("clat_ns.N", s.Clat.N)
	return ios > 0 && timed == 0
}

// requested says which figures a job must have, after its options.
type requested struct {
	read, write, trim bool
	sync              bool // fsync
	dataSync          bool // fdatasync, sync_file_range
}

// askedFor reads fio's rw (alias readwrite, default read) and the options that make fio sync.
func askedFor(global, own map[string]string) requested {
	options := map[string]string{}
	maps.Copy(options, global)
	maps.Copy(options, own)
	rw := options["rw"]
	if rw == "" {
		rw = options["readwrite"]
	}
	asked := directionsOf(rw)
	isSet := func(name string) bool { return options[name] != "" && options[name] != "0" }
	asked.sync = isSet("fsync")
	asked.dataSync = isSet("fdatasync") || isSet("sync_file_range")
	return asked
}

// directionsOf reads a value of fio's rw; what follows a colon is about the order of the offsets.
func directionsOf(rw string) requested {
	pattern, _, _ := strings.Cut(rw, ":")
	switch pattern {
	case "", "read", "randread":
		return requested{read: true}
	case "write", "randwrite":
		return requested{write: true}
	case "trim", "randtrim":
		return requested{trim: true}
	case "rw", "readwrite", "randrw":
		return requested{read: true, write: true}
	case "trimwrite", "randtrimwrite":
		return requested{trim: true, write: true}
	}
	return requested{}
}

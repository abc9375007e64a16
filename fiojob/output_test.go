package fiojob

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// outputWith is a report of one job with these members beside its name.
func outputWith(members string) string {
	return `{"fio version" : "fio-3.33", "jobs" : [ { "jobname" : "j", "error" : 0, ` + members + ` } ] }`
}

// section is what fio prints for 10 operations in 5 ms, followed by more members.
func section(more string) string {
	return `{"io_bytes" : 40960, "bw_bytes" : 8192000, "iops" : 2000.0, "runtime" : 5, "total_ios" : 10` + more + `}`
}

const idle = `{"io_bytes" : 0, "bw_bytes" : 0, "iops" : 0.0, "runtime" : 0, "total_ios" : 0}`

func metricsOf(t *testing.T, text string) Metrics {
	t.Helper()
	out, err := Parse([]byte(text))
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return out.Metrics()
}

func TestWhatWasNotMeasuredIsAbsentAndNamed(t *testing.T) {
	const writer = `"job options" : {"rw" : "write"}, `
	const flusher = `"job options" : {"rw" : "write", "fdatasync" : "1"}, `
	latency := `, "clat_ns" : {"N" : 10, "bins" : {"70" : 10}}`
	tests := map[string]struct {
		members string
		missing []string
		write   bool
	}{
		"everything is there": {writer + `"write" : ` + section(latency), nil, true},
		"no bins":             {writer + `"write" : ` + section(``), []string{"write.latency"}, true},
		"empty bins":          {writer + `"write" : ` + section(`, "clat_ns" : {"bins" : {}}`), []string{"write.latency"}, true},
		"no section":          {writer + `"read" : ` + idle, []string{"write"}, false},
		"a section of null":   {writer + `"write" : null`, []string{"write"}, false},
		"no operations":       {writer + `"write" : ` + idle, nil, true},
		"no operation counted": {writer + `"write" : {"io_bytes" : 1, "bw_bytes" : 1, "iops" : 1, "runtime" : 1}`,
			[]string{"write.ios"}, false},
		"NaN operations/s": {writer + `"write" : ` + strings.Replace(section(latency), "2000.0", "-nan", 1),
			[]string{"write.iops"}, false},
		"infinite operations/s": {writer + `"write" : ` + strings.Replace(section(latency), "2000.0", "inf", 1),
			[]string{"write.iops"}, false},
		"under a millisecond": {writer + `"write" : ` + strings.Replace(section(latency), `"runtime" : 5`, `"runtime" : 0`, 1),
			[]string{"write.runtime"}, false},
		"no sync section":           {flusher + `"write" : ` + section(latency), []string{"sync"}, true},
		"a sync without its number": {flusher + `"write" : ` + section(latency) + `, "sync" : {}`, []string{"sync.ios"}, true},
		"a sync without its latencies": {flusher + `"write" : ` + section(latency) + `, "sync" : {"total_ios" : 3}`,
			[]string{"sync.latency"}, true},
		"fdatasync without latencies": {flusher + `"write" : ` + section(`, "clat_ns" : {"N" : 0}`) +
			`, "sync" : {"total_ios" : 0, "lat_ns" : {"N" : 0}}`,
			[]string{"sync.ios", "write.latency"}, true},
		"no options and no sections": {`"elapsed" : 1`, []string{"read", "sync", "trim", "write"}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := metricsOf(t, outputWith(test.members))
			if diff := cmp.Diff(test.missing, m.Missing); diff != "" {
				t.Errorf("missing differs (-want +got):\n%s", diff)
			}
			if (m.Write != nil) != test.write {
				t.Errorf("write is %+v, want it to be there: %v", m.Write, test.write)
			}
			if m.Read != nil {
				t.Errorf("read is %+v, and nobody read", m.Read)
			}
		})
	}
}

func TestFdatasyncCallsAreCountedByTheirLatencies(t *testing.T) {
	m := metricsOf(t, string(readFile(t, filepath.Join("testdata", "jobs.out"))))
	if m.Sync == nil || m.Sync.IOs != 14 || m.Sync.Latency.Count() != 14 {
		t.Errorf("two writers with 16 writes and fdatasync=2 sync 7 times each, got %+v", m.Sync)
	}
}

func TestLatIsPreferredToClatIfAllJobsHaveIt(t *testing.T) {
	both := `, "lat_ns" : {"bins" : {"80" : 10}}, "clat_ns" : {"bins" : {"70" : 10}}`
	lat := `, "lat_ns" : {"bins" : {"80" : 10}}`
	clat := `, "clat_ns" : {"bins" : {"70" : 10}}`
	tests := map[string]struct {
		first, second string
		kind          string
		latency       Histogram
		missing       []string
	}{
		"both have both":              {both, both, "lat", NewHistogram(Bucket{80, 20}), nil},
		"one has lat":                 {both, clat, "clat", NewHistogram(Bucket{70, 20}), nil},
		"none has lat":                {clat, clat, "clat", NewHistogram(Bucket{70, 20}), nil},
		"they have nothing in common": {lat, clat, "", Histogram{}, []string{"write.latency"}},
		"one has nothing":             {both, "", "", Histogram{}, []string{"write.latency"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			job := func(more string) string {
				return `{"jobname" : "j", "job options" : {"rw" : "randwrite"}, "write" : ` + section(more) + `}`
			}
			m := metricsOf(t, `{"fio version" : "fio-3.33", "jobs" : [`+job(test.first)+`,`+job(test.second)+`]}`)
			if m.Write.LatencyKind != test.kind {
				t.Errorf("kind is %q, want %q", m.Write.LatencyKind, test.kind)
			}
			if diff := cmp.Diff(test.latency.String(), m.Write.Latency.String()); diff != "" {
				t.Errorf("latency differs (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.missing, m.Missing); diff != "" {
				t.Errorf("missing differs (-want +got):\n%s", diff)
			}
			if m.Write.IOs != 20 || m.Write.Bytes != 81920 || m.Write.IOPS != 4000 || m.Write.BW != 16384000 || m.Write.RuntimeNS != 5e6 {
				t.Errorf("the sum is %+v", m.Write)
			}
		})
	}
}

func TestADirectionThatOneJobLacksHasNoTotal(t *testing.T) {
	job := func(write string) string {
		return `{"jobname" : "j", "job options" : {"readwrite" : "randrw:4"}, "read" : ` + section("") + `, "write" : ` + write + `}`
	}
	m := metricsOf(t, `{"fio version" : "fio-3.33", "jobs" : [`+job(section(""))+`,`+job("null")+`]}`)
	if m.Write != nil || !slices.Contains(m.Missing, "write") {
		t.Errorf("write is %+v and missing is %q", m.Write, m.Missing)
	}
	if m.Read == nil || m.Read.IOs != 20 {
		t.Errorf("read is %+v, want 20 operations", m.Read)
	}
}

func TestBandwidthOfOldVersionsIsInKiB(t *testing.T) {
	m := metricsOf(t, outputWith(`"write" : `+strings.Replace(section(""), `"bw_bytes" : 8192000`, `"bw" : 8000`, 1)))
	if m.Write == nil || m.Write.BW != 8192000 {
		t.Errorf("8000 KiB/s became %+v", m.Write)
	}
}

func TestAKeyThatStandsTwiceCountsAsTheLast(t *testing.T) {
	// testdata/twice.fio says rw=read, then rw=write; fio wrote.
	m := metricsOf(t, string(readFile(t, filepath.Join("testdata", "twice.out"))))
	if m.Write == nil || m.Read != nil || m.Missing != nil {
		t.Errorf("read %+v, write %+v, missing %q", m.Read, m.Write, m.Missing)
	}
	m = metricsOf(t, outputWith(`"job options" : {"rw" : "read", "rw" : "write"}, "write" : `+idle))
	if m.Write == nil || m.Missing != nil {
		t.Errorf("rw=write was overlooked: write %+v, missing %q", m.Write, m.Missing)
	}
}

func TestAFailedJobIsReadAndNamed(t *testing.T) {
	out, err := Parse(readFile(t, filepath.Join("testdata", "polluted.out")))
	if err != nil {
		t.Fatal(err)
	}
	want := `fio job "bad" failed: no space left on device (errno 28)`
	if err := out.Err(); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if out.Jobs[0].Errno != 0 || out.Jobs[0].Read == nil {
		t.Errorf("the good job was spoilt by the bad one: %+v", out.Jobs[0])
	}
}

func TestTextAroundAndWithinTheJSONBecomesNotes(t *testing.T) {
	clean := string(readFile(t, filepath.Join("testdata", "fsync.out")))
	want, err := Parse([]byte(clean))
	if err != nil {
		t.Fatal(err)
	}
	half := strings.Index(clean, "\n      \"write\"")
	tests := map[string]struct {
		text  string
		notes []string
	}{
		"before":              {"warning: {not JSON}\n" + clean, []string{"warning: {not JSON}"}},
		"before on one line":  {"\rJobs: 1 (f=1)\r" + clean, []string{"Jobs: 1 (f=1)"}},
		"after":               {clean + "\nfio: done }\n", []string{"fio: done }"}},
		"after on one line":   {strings.TrimSpace(clean) + "[tail", []string{"[tail"}},
		"within":              {clean[:half] + "\nfio: \"{ no space\n" + clean[half:], []string{`fio: "{ no space`}},
		"between two reports": {clean + "clock {set}\n" + clean, []string{"clock {set}"}},
		"after half a report": {clean[:half] + "\nfio: killed\n" + clean, []string{"fio: killed"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Parse([]byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.notes, got.Notes); diff != "" {
				t.Errorf("notes differ (-want +got):\n%s", diff)
			}
			got.Notes = nil
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(Histogram{})); diff != "" {
				t.Errorf("the text changed what was read (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheLastOfSeveralReportsCounts(t *testing.T) {
	data := readFile(t, filepath.Join("testdata", "interval.out"))
	if n := bytes.Count(data, []byte(`"fio version"`)); n < 2 {
		t.Fatalf("the recording has %d reports, want several", n)
	}
	out, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if out.Jobs[0].Read.IOs != 40 {
		t.Errorf("2 s at 20 operations/s make 40, got %d", out.Jobs[0].Read.IOs)
	}
	if _, err := Parse(data[:len(data)-40]); err == nil {
		t.Error("an intermediate report was taken for the last, which is cut off")
	}
}

func TestBareNaNOnlyCountsOutsideOfStrings(t *testing.T) {
	text := strings.Replace(outputWith(`"job options" : {"rw" : "write", "description" : "what: nan, or inf"}, "write" : `+
		section(`, "clat_ns" : {"mean" : -nan, "stddev" : infinity, "bins" : {"70" : 10}}`)), `"j"`, `"nan"`, 1)
	out, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if out.Jobs[0].Name != "nan" || out.Jobs[0].Options["description"] != "what: nan, or inf" {
		t.Errorf("a string was changed: %+v", out.Jobs[0])
	}
	if m := out.Metrics(); m.Missing != nil || m.Write.Latency.Count() != 10 {
		t.Errorf("missing %q, write %+v", m.Missing, m.Write)
	}
}

func TestBrokenOutputIsRefusedWithPlaceAndRemedy(t *testing.T) {
	const prefix = "noise\n"
	whole := string(readFile(t, filepath.Join("testdata", "fsync.out")))
	write := func(from, to string) string {
		return prefix + outputWith(`"write" : `+strings.Replace(section(`, "clat_ns" : {"bins" : {"70" : 10}}`), from, to, 1))
	}
	tests := map[string]struct {
		text   string
		offset int64
		parts  []string
	}{
		"nothing":            {"", 0, []string{"no fio JSON in 0 bytes", "fio said: nothing"}},
		"no JSON":            {"usage\nfio: job j dropped\nmore\n", 0, []string{"no fio JSON", `"fio: job j dropped"`}},
		"another JSON":       {`{"jobs":[]}`, 0, []string{"no fio JSON"}},
		"cut off":            {prefix + whole[:2000], 2006, []string{"ends too early", "--output=FILE"}},
		"cut off at the end": {strings.TrimSpace(whole)[:len(strings.TrimSpace(whole))-1], -1, []string{"ends too early"}},
		"a line split": {prefix + outputWith(`"write" : {"total_fio: x`+"\n"+`ios" : 5}`), -1, []string{"JSON is broken",
			"--output=FILE"}},
		"no jobs":         {prefix + "fio: oh\n" + `{"fio version" : "fio-3.33", "jobs" : []}`, 14, []string{"no jobs", `"fio: oh"`}},
		"old fio":         {prefix + `{"fio version" : "fio-2.21", "jobs" : []}`, 6, []string{"fio-2.21", "3.0 or newer"}},
		"jobs of no kind": {prefix + `{"fio version" : "fio-3.33", "jobs" : 5}`, -1, []string{"jobs", "number"}},
		"a count beyond": {write(`"total_ios" : 10`, `"total_ios" : 18446744073709551615`), 6, []string{"jobs[0].write.total_ios",
			"18446744073709551615", "not a count"}},
		"a negative count":     {write(`"io_bytes" : 40960`, `"io_bytes" : -1`), 6, []string{"jobs[0].write.io_bytes", "not a count"}},
		"a fractional count":   {write(`"total_ios" : 10`, `"total_ios" : 1.5`), 6, []string{"jobs[0].write.total_ios", "not a count"}},
		"a count in words":     {write(`"total_ios" : 10`, `"total_ios" : "ten"`), 6, []string{"jobs[0].write.total_ios", "not a count"}},
		"a time beyond":        {write(`"runtime" : 5`, `"runtime" : 9223372036854775`), 6, []string{"jobs[0].write.runtime", "not a time"}},
		"a rate beyond":        {write(`2000.0`, `1e999`), 6, []string{"jobs[0].write.iops", "not a rate"}},
		"a negative rate":      {write(`2000.0`, `-1`), 6, []string{"jobs[0].write.iops", "not a rate"}},
		"a negative bin":       {write(`"70" : 10`, `"-70" : 10`), 6, []string{"jobs[0].write.clat_ns.bins", "-70"}},
		"a negative bin count": {write(`"70" : 10`, `"70" : -10`), 6, []string{"jobs[0].write.clat_ns.bins", "-10"}},
		"a NaN bin":            {write(`"70" : 10`, `"70" : nan`), 6, []string{"jobs[0].write.clat_ns.bins", "not a latency"}},
		"absurd nesting":       {prefix + `{"fio version" : ` + strings.Repeat("[", 1_000_000), -1, []string{"JSON is broken", "depth"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(test.text))
			var broken *ParseError
			if !errors.As(err, &broken) {
				t.Fatalf("got %v, want a *ParseError", err)
			}
			if test.offset >= 0 && broken.Offset != test.offset {
				t.Errorf("offset is %d, want %d: %v", broken.Offset, test.offset, err)
			}
			for _, part := range append(test.parts, "at byte ", "; ") {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error does not say %q: %v", part, err)
				}
			}
		})
	}
}

func TestASyntaxErrorIsFoundAtItsByte(t *testing.T) {
	text := "noise\nmore noise\n" + strings.Replace(outputWith(`"write" : `+section("")), `"total_ios" : 10`, `"total_ios" : §`, 1)
	_, err := Parse([]byte(text))
	var broken *ParseError
	if !errors.As(err, &broken) {
		t.Fatalf("got %v, want a *ParseError", err)
	}
	if want := int64(strings.Index(text, "§")); broken.Offset != want {
		t.Errorf("offset is %d, want %d", broken.Offset, want)
	}
}

// printed is a part of fio's JSON that has percentiles beside the bins.
type printed struct {
	path       string
	percentile map[string]int64
	bins       Histogram
}

// printedPercentiles finds them all, wherever they stand.
func printedPercentiles(t *testing.T, path string, v any) []printed {
	t.Helper()
	var found []printed
	switch v := v.(type) {
	case []any:
		for i, element := range v {
			found = append(found, printedPercentiles(t, path+"["+strconv.Itoa(i)+"]", element)...)
		}
	case map[string]any:
		percentile, hasPercentile := v["percentile"].(map[string]any)
		bins, hasBins := v["bins"].(map[string]any)
		if hasPercentile && hasBins {
			p := printed{path: path, percentile: map[string]int64{}}
			for key, ns := range percentile {
				p.percentile[key] = int64(ns.(float64))
			}
			var buckets []Bucket
			for ns, count := range bins {
				latency, err := strconv.ParseInt(ns, 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				buckets = append(buckets, Bucket{latency, int64(count.(float64))})
			}
			p.bins = NewHistogram(buckets...)
			found = append(found, p)
		}
		for key, member := range v {
			found = append(found, printedPercentiles(t, path+"."+key, member)...)
		}
	}
	return found
}

// checkPercentiles compares our percentiles with those that fio prints in the same report. fio takes p/100·n with the
// rounding error of p in binary, and so may come out one operation higher.
func checkPercentiles(t *testing.T, data []byte) int {
	t.Helper()
	found, parseErr := findReport(data)
	if parseErr != nil {
		return 0
	}
	var doc any
	if err := json.Unmarshal(found.json, &doc); err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, p := range printedPercentiles(t, "report", doc) {
		for key, want := range p.percentile {
			percent, err := strconv.ParseFloat(key, 64)
			if err != nil {
				t.Fatal(err)
			}
			got, ok := p.bins.Percentile(percent)
			higher, _ := p.bins.Percentile(math.Min(100, percent+100/float64(p.bins.Count())))
			if !ok || got != want && higher != want {
				t.Errorf("%s: p%s is %d ns, fio says %d", p.path, key, got, want)
			}
			checked++
		}
	}
	return checked
}

func TestPercentilesAreThoseThatFioPrints(t *testing.T) {
	checked := 0
	for _, r := range recordings {
		checked += checkPercentiles(t, readFile(t, r.path(".out")))
	}
	if checked < 30 {
		t.Errorf("only %d percentiles were there to compare", checked)
	}
}

func TestEveryBinHoldsItsValueToLessThanHalfOf64thOfAPowerOfTwo(t *testing.T) {
	for _, r := range recordings {
		out, err := Parse(readFile(t, r.path(".out")))
		if err != nil {
			continue
		}
		for _, j := range out.Jobs {
			for _, d := range []*Direction{j.Read, j.Write, j.Trim} {
				if d == nil {
					continue
				}
				for b := range d.Latency.Buckets() {
					if !isMiddleOfBin(b.NS) {
						t.Errorf("%s: %d ns is not the middle of a bin", r.name, b.NS)
					}
				}
			}
		}
	}
}

// isMiddleOfBin tells that ns is exact below 128, and above the middle of one of 64 equal parts of a power of two.
func isMiddleOfBin(ns int64) bool {
	width := int64(1)
	for ns >= 128*width {
		width *= 2
	}
	return ns%width == width/2
}

func TestRealFioDoesWhatARenderedJobSays(t *testing.T) {
	fio := command(t, t.TempDir(), nil)
	file := filepath.Join(fio.Dir, "disk")
	job := Job{Name: "disk.cache=none,fio.fsync=1", Options: []Option{
		{"ioengine", "psync"}, {"filename", file}, {"size", "256k"}, {"bs", "4k"}, {"rw", "randrw"}, {"rwmixread", "25"},
		{"fsync", "1"}, {"lat_percentiles", "1"}, {"numjobs", "2"}, {"description", `a = "b" [c] \d, {e}`},
	}}
	text, err := job.Render()
	if err != nil {
		t.Fatal(err)
	}
	jobFile, outFile := filepath.Join(fio.Dir, "job.fio"), filepath.Join(fio.Dir, "fio.json")
	writeFile(t, jobFile, []byte(text))
	fio.Args = append(fio.Args, "--output-format=json+", "--output="+outFile, jobFile)
	if said, err := fio.CombinedOutput(); err != nil {
		t.Fatalf("fio refused the job: %v\n%s\n%s", err, said, text)
	}
	data := readFile(t, outFile)
	out, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Err(); err != nil {
		t.Fatal(err)
	}
	if len(out.Jobs) != 2 || out.Jobs[0].Name != job.Name {
		t.Fatalf("fio ran other jobs: %+v", out.Jobs)
	}
	for _, o := range job.Options {
		if got := out.Jobs[0].Options[o.Name]; got != o.Value {
			t.Errorf("fio read option %s as %q, want %q", o.Name, got, o.Value)
		}
	}
	checkRandrw(t, out.Metrics())
	if checkPercentiles(t, data) == 0 {
		t.Error("fio printed no percentiles")
	}
	if info, err := os.Stat(file); err != nil || info.Size() != 256<<10 {
		t.Errorf("the file of the job: %v, %v", info, err)
	}
}

// checkRandrw checks the figures of two jobs with 64 operations of 4 KiB each, mixed, and a sync after each write.
func checkRandrw(t *testing.T, m Metrics) {
	t.Helper()
	if m.Read == nil || m.Write == nil || m.Sync == nil || m.Trim != nil {
		t.Fatalf("got %+v, want reads, writes and syncs", m)
	}
	if len(m.Missing) > 0 {
		t.Errorf("missing: %q", m.Missing)
	}
	if ios, bytes := m.Read.IOs+m.Write.IOs, m.Read.Bytes+m.Write.Bytes; ios != 128 || bytes != 128*4096 {
		t.Errorf("fio did %d operations and %d bytes, want 128 of 4 KiB", ios, bytes)
	}
	for _, d := range []*Direction{m.Read, m.Write} {
		if d.LatencyKind != "lat" || d.Latency.Count() != d.IOs || d.RuntimeNS == 0 || d.IOPS == 0 || d.BW == 0 {
			t.Errorf("a direction is incomplete: %+v", d)
		}
	}
	// fio does not sync behind the last operation of a job, and with fsync=1 also behind reads once it has written.
	if m.Sync.IOs > 126 || m.Sync.IOs < m.Write.IOs-2 || m.Sync.Latency.Count() != m.Sync.IOs {
		t.Errorf("%d syncs with %d latencies for %d writes", m.Sync.IOs, m.Sync.Latency.Count(), m.Write.IOs)
	}
}

func FuzzParseGivesMetricsThatAreJSONOrOneLineOfError(f *testing.F) {
	for _, r := range recordings {
		f.Add(readFile(f, r.path(".out")))
	}
	f.Add([]byte(outputWith(`"write" : ` + section(`, "clat_ns" : {"bins" : {"70" : 10, "+70" : 9223372036854775807}}`))))
	f.Add([]byte(`{"fio version":"fio-3.33","jobs":[null,{"read":{"total_ios":nan}}]}` + "\nfio: x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		out, err := Parse(data)
		if !bytes.Equal(before, data) {
			t.Fatal("Parse changed its input")
		}
		if err != nil {
			var broken *ParseError
			if !errors.As(err, &broken) || strings.Contains(err.Error(), "\n") || broken.Offset < 0 || broken.Offset > int64(len(data)) {
				t.Fatalf("the error is not one line with a place in %d bytes: %#v", len(data), err)
			}
			return
		}
		m := out.Metrics()
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatalf("metrics do not become JSON: %v", err)
		}
		var again Metrics
		if err := json.Unmarshal(text, &again); err != nil {
			t.Fatalf("metrics do not come back from %s: %v", text, err)
		}
		if diff := cmp.Diff(m, again, cmp.AllowUnexported(Histogram{})); diff != "" {
			t.Fatalf("metrics come back differently (-before +after):\n%s", diff)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	data := readFile(b, filepath.Join("testdata", "jobs.out"))
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := Parse(data); err != nil {
			b.Fatal(err)
		}
	}
}

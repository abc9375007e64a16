package fiojob

import (
	"fmt"
	"slices"
	"strings"
)

// Limits of a rendered job. fio 3.33 reads a job file in pieces of 8 KiB and takes what follows in a longer line for
// an option of its own, so a long value could smuggle in exec_prerun; it cuts a section's name at 255 bytes.
const (
	maxLine = 2048
	maxName = 200
)

// engines are the I/O engines that a job may name: those that do I/O on an open file. The others run programs
// (exec), load libraries (external:, or any path), talk to the network, or create and delete files.
var engines = []string{"sync", "psync", "vsync", "pvsync", "pvsync2", "libaio", "io_uring", "posixaio", "mmap", "null"}

// RenderError says why a job cannot be written as a job file.
type RenderError struct {
	Job    string // the job's name
	Option string // the option's name; empty when it is the job that is refused
	Reason string // what is wrong and what to do
}

// Error returns one line: the job, the option and the reason.
func (e *RenderError) Error() string {
	if e.Option == "" {
		return fmt.Sprintf("render fio job %q: %s", e.Job, e.Reason)
	}
	return fmt.Sprintf("render fio job %q: option %q: %s", e.Job, e.Option, e.Reason)
}

// Render writes the job as one section of a job file; the sections of several jobs may be put one after another.
//
// The section says what Options say, nothing more and nothing else: a name or value that fio would expand, split,
// cut off or run is refused with a *RenderError, and so are options that run programs, reach files other than the
// one of filename, or leave something behind in the guest. What fio does with a line stands in its init.c and
// options.c: comments and "include" first, then ${VARIABLE}, then $keywords, for which it runs a shell.
// Render knows the options that it must refuse, not all of fio's: an unknown one is refused by fio.
func (j Job) Render() (string, error) {
	if reason := refuseJobName(j.Name); reason != "" {
		return "", &RenderError{Job: j.Name, Reason: reason}
	}
	var file strings.Builder
	fmt.Fprintf(&file, "[%s]\n", j.Name)
	for i, o := range j.Options {
		if reason := refuseOption(o, j.Options[:i]); reason != "" {
			return "", &RenderError{Job: j.Name, Option: o.Name, Reason: reason}
		}
		fmt.Fprintf(&file, "%s=%s\n", o.Name, o.Value)
	}
	if j.LogIOPS > 0 {
		fmt.Fprintf(&file, "write_iops_log=%s\nlog_avg_msec=%d\nper_job_logs=0\n", iopsLogName, j.LogIOPS.Milliseconds())
	}
	return file.String(), nil
}

// refuseJobName returns why a section may not have this name, or "".
func refuseJobName(name string) string {
	switch {
	case name == "":
		return "it has no name; give it one"
	case name == "global":
		return `"global" is fio's section of defaults; use another name`
	case len(name) > maxName:
		return fmt.Sprintf("its name has %d bytes; use at most %d", len(name), maxName)
	case strings.ContainsAny(name, "[]/"):
		return "its name has a bracket or slash, which ends the section's name or makes a path; leave it out"
	}
	return refuseText("its name", name)
}

// refuseOption returns why an option may not stand after those before it, or "".
func refuseOption(o Option, before []Option) string {
	if reason := refuseOptionName(o.Name); reason != "" {
		return reason
	}
	if slices.ContainsFunc(before, func(b Option) bool { return b.Name == o.Name }) {
		return "it stands twice; keep one"
	}
	if reason := refusedOption(o.Name); reason != "" {
		return reason
	}
	switch {
	case o.Value == "":
		return `it has no value; give one, 1 for a switch`
	case len(o.Name)+len("=")+len(o.Value) > maxLine:
		return fmt.Sprintf("its line has more than %d bytes, and fio takes the rest of a long line for another option; "+
			"shorten the value", maxLine)
	}
	if reason := refuseText("its value", o.Value); reason != "" {
		return reason
	}
	return refuseValue(o)
}

// refuseOptionName returns why a text cannot be the name of an option, or "".
func refuseOptionName(name string) string {
	if name == "" {
		return "it has no name; give it fio's"
	}
	if name[0] < 'a' || name[0] > 'z' || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") != "" {
		return `its name may only have the letters a-z, digits, "_" and "-", and begins with a letter; use fio's spelling`
	}
	if strings.HasPrefix(name, "include") {
		return "fio reads a line that begins so as the name of another job file; leave it out"
	}
	return ""
}

// refuseText returns why fio would not read a name or value as it is written, or "".
func refuseText(what, text string) string {
	for i := range len(text) {
		switch c := text[i]; {
		case c == '\n' || c == '\r':
			return what + " has a line break, which would begin another option; leave it out"
		case c < ' ' || c > '~':
			return fmt.Sprintf("%s has the byte 0x%02x at %d; use printable ASCII only", what, c, i)
		case c == '$' || c == '`':
			return fmt.Sprintf("%s has %q, which fio expands with the environment and a shell; write the value out", what, c)
		case c == ';' || c == '#':
			return fmt.Sprintf("%s has %q, where fio cuts the line off; leave it out", what, c)
		case c == '\'':
			return what + " has a single quote, in which fio reads the name of a file; leave it out"
		}
	}
	if strings.TrimSpace(text) != text {
		return what + " begins or ends with a space, which fio drops; leave it out"
	}
	return ""
}

// refusedOption returns why platter never gives fio this option, or "".
func refusedOption(name string) string {
	switch name {
	case "exec_prerun", "exec_postrun":
		return "it runs a shell command; leave it out"
	case "opendir", "filename_format", "read_iolog", "merge_blktrace_file", "replay_redirect", "verify_state_load":
		return "it lets fio reach files other than filename; leave it out"
	case "write_iolog", "write_bw_log", "write_lat_log", "write_iops_log", "write_hist_log":
		return "it writes files that nobody collects; leave it out, the histograms are in the output"
	case "allow_mounted_write":
		return "it lets fio write to a device under a mounted file system; leave it out"
	case "ioscheduler", "cgroup", "cgroup_weight", "cgroup_nodelete":
		return "it changes the guest for the trials after this one too; leave it out"
	case "write_barrier":
		return "it does nothing with ordinary engines; use fsync or fdatasync"
	case "unified_rw_reporting":
		return "it mixes reads and writes in one figure; leave it out"
	case "stats":
		return "without it the job is not in the output; leave it out"
	case "profile":
		return "it replaces the workload by another; write the workload out"
	case "name":
		return "the section's name is the job's; leave it out"
	case "output", "output-format", "status-interval":
		return "it belongs on fio's command line, which is platter's; leave it out"
	}
	return ""
}

// refuseValue returns why an option may not have its value, or "".
func refuseValue(o Option) string {
	switch o.Name {
	case "ioengine":
		if !slices.Contains(engines, o.Value) {
			return fmt.Sprintf("engine %q may load a library, run a program or reach beyond the file; use one of %s",
				o.Value, strings.Join(engines, ", "))
		}
	case "filename", "directory":
		return refusePath(o.Value)
	case "mem", "iomem":
		if strings.Contains(o.Value, ":") {
			return "memory in a file creates that file; use a value without a path"
		}
	}
	return ""
}

// refusePath returns why a value is not one absolute path, or "". fio takes an unescaped colon for a list.
func refusePath(path string) string {
	if !strings.HasPrefix(path, "/") {
		return "it must be an absolute path, fio would look in its working directory or read its standard input"
	}
	for i := range len(path) {
		if path[i] == ':' && path[i-1] != '\\' {
			return `it names several files; name one, and write "\:" for a colon in its name`
		}
	}
	return ""
}

package fiojob

import (
	"errors"
	"strings"
	"testing"

	"platter/internal/golden"

	"github.com/google/go-cmp/cmp"
)

func ordinaryJob() Job {
	return Job{Name: "disk.cache=none,fio.fsync=1", Options: []Option{
		{"ioengine", "libaio"}, {"filename", `/dev/disk/by-path/pci-0000\:05\:00.0`}, {"rw", "randwrite"}, {"bs", "4k"},
		{"direct", "1"}, {"iodepth", "8"}, {"fsync", "1"}, {"hugepage-size", "2m"}, {"description", "80% of \"all\" jobs"},
		{"random_distribution", "zipf:1.2"}, {"percentile_list", "50:99:99.9"},
	}}
}

func TestAJobIsRenderedAsTheGoldenFileSays(t *testing.T) {
	got, err := ordinaryJob().Render()
	if err != nil {
		t.Fatal(err)
	}
	golden.Equal(t, "testdata/render.golden", got)
}

func TestAJobThatIsNotWhatItSaysIsRefusedWithTheReason(t *testing.T) {
	with := func(name, value string) Job { return Job{Name: "j", Options: []Option{{name, value}}} }
	named := func(name string) Job { return Job{Name: name} }
	tests := map[string]struct {
		job    Job
		option string
		reason string
	}{
		"no name":                          {named(""), "", "no name"},
		"the section of defaults":          {named("global"), "", "defaults"},
		"a bracket in the name":            {named("a]\n[b"), "", "bracket"},
		"a leading bracket":                {named("[b"), "", "bracket"},
		"a path as name":                   {named("../b"), "", "path"},
		"a line break in the name":         {named("a\nexec_prerun=id"), "", "line break"},
		"a comment in the name":            {named("a#b"), "", "cuts the line off"},
		"a variable in the name":           {named("$jobname"), "", "expands"},
		"a long name":                      {named(strings.Repeat("n", 201)), "", "at most 200"},
		"a space before the name":          {named(" a"), "", "space"},
		"a line break in a value":          {with("bs", "4k\nexec_prerun=id"), "bs", "line break"},
		"a carriage return in a value":     {with("bs", "4k\rexec_prerun=id"), "bs", "line break"},
		"a NUL in a value":                 {with("bs", "4k\x00"), "bs", "byte 0x00"},
		"a control character in a value":   {with("bs", "4k\x1b[0m"), "bs", "byte 0x1b"},
		"a delete in a value":              {with("bs", "4k\x7f"), "bs", "byte 0x7f"},
		"another alphabet in a value":      {with("description", "naïve"), "description", "printable ASCII"},
		"an environment variable":          {with("size", "${HOME}"), "size", "expands"},
		"a keyword that runs a shell":      {with("size", "$mb_memory*2"), "size", "expands"},
		"a backtick":                       {with("size", "`id`"), "size", "expands"},
		"a comment in a value":             {with("description", "a;b"), "description", "cuts the line off"},
		"a file in single quotes":          {with("buffer_pattern", "'/etc/passwd'"), "buffer_pattern", "single quote"},
		"a trailing space":                 {with("bs", "4k "), "bs", "space"},
		"an empty value":                   {with("direct", ""), "direct", "no value"},
		"a line that fio splits":           {with("description", strings.Repeat("a", 8179)+"exec_prerun=id"), "description", "another option"},
		"no option name":                   {with("", "1"), "", "has no name"},
		"a section as an option":           {with("[b]", "1"), "[b]", "letters"},
		"an equals sign in an option name": {with("a=b", "1"), "a=b", "letters"},
		"a line break in an option name":   {with("bs\nexec_prerun", "id"), "bs\nexec_prerun", "letters"},
		"an option in upper case":          {with("EXEC_PRERUN", "id"), "EXEC_PRERUN", "letters"},
		"an include":                       {with("include", "/etc/passwd"), "include", "another job file"},
		"an include in disguise":           {with("includes", "/etc/passwd"), "includes", "another job file"},
		"a command before":                 {with("exec_prerun", "id"), "exec_prerun", "shell command"},
		"a command after":                  {with("exec_postrun", "id"), "exec_postrun", "shell command"},
		"a directory of files":             {with("opendir", "/"), "opendir", "other than filename"},
		"a replay":                         {with("read_iolog", "/tmp/log"), "read_iolog", "other than filename"},
		"a log":                            {with("write_lat_log", "x"), "write_lat_log", "nobody collects"},
		"a mounted device":                 {with("allow_mounted_write", "1"), "allow_mounted_write", "mounted"},
		"a lasting change":                 {with("ioscheduler", "none"), "ioscheduler", "after this one"},
		"a barrier that is none":           {with("write_barrier", "1"), "write_barrier", "does nothing"},
		"reads and writes in one":          {with("unified_rw_reporting", "1"), "unified_rw_reporting", "mixes"},
		"no statistics":                    {with("stats", "0"), "stats", "not in the output"},
		"another workload":                 {with("profile", "tiobench"), "profile", "workload"},
		"another name":                     {with("name", "k"), "name", "the job's"},
		"an option of the command line":    {with("output-format", "json"), "output-format", "command line"},
		"an external engine":               {with("ioengine", "external:/tmp/e.so"), "ioengine", "load a library"},
		"an engine by path":                {with("ioengine", "/tmp/e.so"), "ioengine", "load a library"},
		"an engine that runs programs":     {with("ioengine", "exec"), "ioengine", "run a program"},
		"a relative file":                  {with("filename", "disk"), "filename", "absolute"},
		"standard input as file":           {with("filename", "-"), "filename", "absolute"},
		"two files":                        {with("filename", "/dev/vdb:/dev/vda"), "filename", "several files"},
		"two directories":                  {with("directory", "/a:/b"), "directory", "several files"},
		"memory in a file":                 {with("iomem", "mmap:/etc/passwd"), "iomem", "creates that file"},
		"an option twice":                  {Job{Name: "j", Options: []Option{{"bs", "4k"}, {"bs", "8k"}}}, "bs", "stands twice"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			text, err := test.job.Render()
			var refused *RenderError
			if !errors.As(err, &refused) {
				t.Fatalf("Render gave %q and %v, want a *RenderError", text, err)
			}
			if text != "" {
				t.Errorf("Render gave %q beside the error", text)
			}
			if refused.Option != test.option || !strings.Contains(refused.Reason, test.reason) {
				t.Errorf("refused option %q because %q, want %q because of %q", refused.Option, refused.Reason, test.option, test.reason)
			}
			if strings.ContainsAny(err.Error(), "\n\r") {
				t.Errorf("the error is more than one line: %q", err.Error())
			}
		})
	}
}

func FuzzARenderedJobSaysWhatItsOptionsSay(f *testing.F) {
	f.Add("job", "bs", "4k", "rw", "read")
	f.Add("a]b", "bs\n", "4k\nexec_prerun=id", "ioengine", "external:x")
	f.Add("global", "include", "x", "filename", `/dev/vdb:/dev/vda`)
	f.Add("disk.cache=none", "description", strings.Repeat("a", 3000), "size", "$ncpus*2")
	f.Fuzz(func(t *testing.T, job, name1, value1, name2, value2 string) {
		given := Job{Name: job, Options: []Option{{name1, value1}, {name2, value2}}}
		text, err := given.Render()
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("the error is more than one line: %q", err.Error())
			}
			return
		}
		if diff := cmp.Diff(given, readAsFio(t, text)); diff != "" {
			t.Fatalf("fio would read another job (-given +read):\n%s", diff)
		}
	})
}

// readAsFio reads a job file the way fio's init.c does: pieces of at most 8 KiB, comments cut off, a section's name
// to the last bracket, and no file, variable or keyword that it would replace.
func readAsFio(t *testing.T, text string) Job {
	t.Helper()
	if strings.ContainsAny(text, "$`'\x00") {
		t.Fatalf("fio would expand %q", text)
	}
	var job Job
	for i, line := range strings.SplitAfter(text, "\n") {
		if len(line) >= 4096 {
			t.Fatalf("fio would split a line of %d bytes", len(line))
		}
		if cut := strings.IndexAny(line, ";#"); cut >= 0 {
			line = line[:cut]
		}
		line = strings.TrimSpace(line)
		switch name, value, isOption := strings.Cut(line, "="); {
		case line == "":
		case strings.HasPrefix(line, "include"):
			t.Fatalf("fio would include the file of %q", line)
		case strings.HasPrefix(line, "["):
			if i != 0 {
				t.Fatalf("fio would begin another section with %q", line)
			}
			job.Name = strings.TrimSuffix(line[1:], "]")
		case isOption:
			if strings.HasPrefix(name, "exec_") {
				t.Fatalf("fio would run %q", line)
			}
			job.Options = append(job.Options, Option{name, value})
		}
	}
	return job
}

package fiojob

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"platter/internal/golden"
)

// The recordings in testdata are what fio 3.33 printed, or a version that they name. Make them and what follows from them again with
//
//	go test ./fiojob -record   # run fio on testdata/*.fio, write *.out; needs fio
//	go test ./fiojob -update   # write *.golden from *.out
var record = flag.Bool("record", false, "run fio on testdata/*.fio and write its output to testdata/*.out")

// scratch stands in the job files for a directory that fio may fill.
const scratch = "/scratch"

// recording is one job file in testdata and how fio was run on it.
type recording struct {
	name   string
	args   []string
	stdout bool // what fio writes to stdout and stderr, instead of --output
	// version is fio's where it is not 3.33; -record leaves the recordings of other versions than the installed one.
	version string
}

var recordings = []recording{
	{name: "randrw", args: []string{"--output-format=json+"}},
	{name: "fsync", args: []string{"--output-format=json+"}},
	{name: "dsync", args: []string{"--output-format=json+"}},
	{name: "jobs", args: []string{"--output-format=json+"}},
	{name: "grouped", args: []string{"--output-format=json+"}},
	{name: "failed", args: []string{"--output-format=json+"}},
	{name: "nobins", args: []string{"--output-format=json"}},
	{name: "nolatency", args: []string{"--output-format=json+"}},
	{name: "mistimed", args: []string{"--output-format=json+"}},
	{name: "mistimed-3.39", args: []string{"--output-format=json+"}, version: "3.39"},
	{name: "mixed", args: []string{"--output-format=json+"}},
	{name: "twice", args: []string{"--output-format=json+"}},
	{name: "polluted", args: []string{"--output-format=normal,json+"}, stdout: true},
	{name: "interval", args: []string{"--output-format=json+", "--status-interval=1"}, stdout: true},
	{name: "refused", args: []string{"--output-format=json+"}, stdout: true},
}

func (r recording) path(suffix string) string { return filepath.Join("testdata", r.name+suffix) }

// output is what fio printed, recorded now if -record says so.
func (r recording) output(t *testing.T) []byte {
	t.Helper()
	if *record && installedFio(t) == "fio-"+cmp.Or(r.version, "3.33") {
		writeFile(t, r.path(".out"), r.run(t))
	}
	return readFile(t, r.path(".out"))
}

// run runs the real fio on the job file.
func (r recording) run(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	job := filepath.Join(dir, "job.fio")
	writeFile(t, job, bytes.ReplaceAll(readFile(t, r.path(".fio")), []byte(scratch), []byte(dir)))
	args := append(r.args, job)
	var out []byte
	if r.stdout {
		out, _ = command(t, dir, args).CombinedOutput() // some of these jobs fail on purpose
	} else {
		file := filepath.Join(dir, "out")
		_ = command(t, dir, append(args, "--output="+file)).Run()
		out = readFile(t, file)
	}
	return bytes.ReplaceAll(out, []byte(dir), []byte(scratch))
}

// installedFio is how the real fio calls itself.
func installedFio(t *testing.T) string {
	t.Helper()
	version, err := command(t, t.TempDir(), []string{"--version"}).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(version))
}

func command(t *testing.T, dir string, args []string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), realFio(t), args...)
	cmd.Dir = dir
	return cmd
}

// realFio finds fio. Without it the test is skipped, or fails if PLATTER_REAL=1 asks for the real thing.
func realFio(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("fio")
	if err != nil && os.Getenv("PLATTER_REAL") == "1" {
		t.Fatalf("PLATTER_REAL=1 needs fio: %v", err)
	}
	if err != nil {
		t.Skipf("fio is not installed: %v", err)
	}
	return path
}

func TestRecordedOutputsAreReadAsTheGoldenFilesSay(t *testing.T) {
	for _, r := range recordings {
		t.Run(r.name, func(t *testing.T) {
			golden.Equal(t, r.path(".golden"), describe(t, r.output(t)))
		})
	}
}

// describe is everything that Parse and Metrics make of an output, one thing a line.
func describe(t *testing.T, data []byte) string {
	t.Helper()
	out, err := Parse(data)
	if err != nil {
		return "error " + err.Error() + "\n"
	}
	var text strings.Builder
	line := func(what string, v any) {
		encoded, err := json.Marshal(v)
		if err != nil {
			t.Fatalf("write %s as JSON: %v", what, err)
		}
		text.WriteString(what + " " + string(encoded) + "\n")
	}
	line("version", out.Version)
	line("global", out.Global)
	for _, j := range out.Jobs {
		line("job", j)
	}
	for _, note := range out.Notes {
		line("note", note)
	}
	if err := out.Err(); err != nil {
		line("failure", err.Error())
	}
	line("metrics", out.Metrics())
	return text.String()
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func writeFile(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

package matrices

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"platter/cell"

	"platter/internal/golden"
)

const fioOptionsHead = `# The options of fio 3.33, as its --cmdhelp and --enghelp describe them: name, kind, and what fio says of bounds, other
# names, engines and choices. TestTheListOfOptionsIsThatOfTheInstalledFio compares it with the installed fio.
`

// TestTheListOfOptionsIsThatOfTheInstalledFio asks fio for every option it has. With -update it writes the list.
func TestTheListOfOptionsIsThatOfTheInstalledFio(t *testing.T) {
	if os.Getenv("PLATTER_REAL") != "1" {
		t.Skip("needs fio; set PLATTER_REAL=1")
	}
	got := fioOptionsHead + strings.Join(installedOptions(t), "\n") + "\n"
	if golden.Updating() {
		if err := os.WriteFile("fio-options.txt", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Skip("fio-options.txt is written; run again to compare")
	}
	if diff := cmp.Diff(fioOptionsText, got); diff != "" {
		t.Errorf("fio-options.txt is not what the installed fio says (-file +fio):\n%s", diff)
	}
}

func installedOptions(t *testing.T) []string {
	t.Helper()
	var lines []string
	for _, name := range listedNames(fioSays(t, "--cmdhelp=all")) {
		lines = append(lines, describe(name, fioSays(t, "--cmdhelp="+name)))
	}
	owners := map[string][]string{}
	described := map[string]string{}
	var names []string
	for _, engine := range engines() {
		for _, name := range listedNames(fioSays(t, "--enghelp="+engine)) {
			if owners[name] == nil {
				names = append(names, name)
				described[name] = describe(name, fioSays(t, "--enghelp="+engine+","+name))
			}
			owners[name] = append(owners[name], engine)
		}
	}
	for _, name := range names {
		lines = append(lines, described[name]+" engines="+strings.Join(owners[name], ","))
	}
	return lines
}

func fioSays(t *testing.T, arg string) string {
	t.Helper()
	out, err := exec.Command("fio", arg).CombinedOutput()
	if err != nil && !strings.Contains(string(out), "has no options") {
		t.Fatalf("fio %s: %v\n%s", arg, err, out)
	}
	return string(out)
}

func listedNames(help string) []string {
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^ *([a-z][a-z0-9_-]*) *: `).FindAllStringSubmatch(help, -1) {
		names = append(names, m[1])
	}
	return names
}

// describe makes a line of the list of what fio says about one option.
func describe(name, help string) string {
	line := name + " " + kindOf(field(help, "type"))
	if strings.Contains(line, " int") {
		if m := regexp.MustCompile(`range: min=(-?\d+)(?:, max=(-?\d+))?`).FindStringSubmatch(help); m != nil {
			line += " min=" + m[1]
			if m[2] != "" && m[2] != "-1" {
				line += " max=" + m[2]
			}
		}
	}
	if alias := field(help, "alias"); alias != "" {
		line += " alias=" + alias
	}
	if choices := choicesOf(help); choices != nil {
		line += " choices=" + strings.Join(choices, ",")
	}
	return line
}

func field(help, name string) string {
	m := regexp.MustCompile(`(?m)^ *` + name + `: *(.*?) *$`).FindStringSubmatch(help)
	if m == nil {
		return ""
	}
	return m[1]
}

func kindOf(described string) string {
	for _, k := range [][2]string{
		{"boolean value", "bool"}, {"empty or boolean", "flag"}, {"integer value", "int"}, {"string with time postfix", "time"},
		{"list of floating", "floats"}, {"one to three ranges", "ranges"}, {"(null)", "size"},
	} {
		if strings.HasPrefix(described, k[0]) {
			return k[1]
		}
	}
	return "text"
}

func choicesOf(help string) []string {
	_, list, found := strings.Cut(help, "valid values:")
	if !found {
		return nil
	}
	var choices []string
	for line := range strings.Lines(list) {
		if words := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), ":")); len(words) > 0 {
			choices = append(choices, words[0])
		}
	}
	return choices
}

// TestFioReadsSizesAndTimesAsThisPackageDoes runs jobs that move nothing (the null engine) and looks at what fio did.
func TestFioReadsSizesAndTimesAsThisPackageDoes(t *testing.T) {
	if os.Getenv("PLATTER_REAL") != "1" {
		t.Skip("needs fio; set PLATTER_REAL=1")
	}
	for _, text := range []string{"64k", "64K", "64kb", "64kB", "1m", "1M", "65536", "65536b", "1g"} {
		want, p := cell.ParseFioSize(text)
		if got := runNull(t, "--size="+text, "--bs=4k").Bytes; p != nil || got != want {
			t.Errorf("size=%s: fio moved %d bytes, and here it is %d", text, got, want)
		}
	}
	for _, text := range []string{"64KiB", "1MiB"} {
		want, p := cell.ParseFioSize(text)
		if got := runNull(t, "--size="+cell.FioSpelling(text), "--bs=4k").Bytes; p != nil || got != want {
			t.Errorf("size=%s reaches fio as %s: it moved %d bytes, and here it is %d", text, cell.FioSpelling(text), got, want)
		}
		if got := runNull(t, "--size="+text, "--bs=500").Bytes; got%65536 == 0 {
			t.Errorf("fio reads %s as a power of 1024 (%d bytes): it need not be spelled otherwise any more", text, got)
		}
	}
	for _, text := range []string{"300ms", "300msec", "300000us", "1s", "1"} {
		d, p := cell.ParseFioTime(text)
		got := runNull(t, "--size=1g", "--time_based", "--runtime="+text, "--thinktime=1000").Milliseconds
		if want := d.Milliseconds(); p != nil || got < want || got > 10*want+10_000 { // a wrong unit is off by more
			t.Errorf("runtime=%s: fio ran %d ms, and here it is %d", text, got, want)
		}
	}
}

// nullRun is what fio reports of a job.
type nullRun struct {
	Bytes        int64 `json:"io_bytes"`
	Milliseconds int64 `json:"runtime"`
}

func runNull(t *testing.T, args ...string) nullRun {
	t.Helper()
	out := filepath.Join(t.TempDir(), "fio.json")
	args = append([]string{"--name=x", "--ioengine=null", "--rw=write", "--output-format=json", "--output=" + out}, args...)
	if text, err := exec.Command("fio", args...).CombinedOutput(); err != nil {
		t.Fatalf("fio %v: %v\n%s", args, err, text)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Jobs []struct {
			Write nullRun `json:"write"`
		} `json:"jobs"`
	}
	if err := json.Unmarshal(text, &report); err != nil || len(report.Jobs) != 1 {
		t.Fatalf("fio %v wrote %s (%v)", args, text, err)
	}
	return report.Jobs[0].Write
}

// TestFioTakesTheWorkloadsOfTheBuiltInMatrices has fio read the jobs without running them.
func TestFioTakesTheWorkloadsOfTheBuiltInMatrices(t *testing.T) {
	if os.Getenv("PLATTER_REAL") != "1" {
		t.Skip("needs fio; set PLATTER_REAL=1")
	}
	all, err := Builtins()
	if err != nil {
		t.Fatal(err)
	}
	taken := map[string]bool{}
	for _, m := range all {
		for _, c := range m.Cells() {
			job := filepath.Join(t.TempDir(), "job.fio")
			text := "[job]\n" + strings.ReplaceAll(spelled(c.Settings.Of("fio")), " ", "\n") + "\n"
			if taken[text] {
				continue
			}
			taken[text] = true
			if err := os.WriteFile(job, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command("fio", "--parse-only", job).CombinedOutput(); err != nil || strings.Contains(string(out), "dropped") {
				t.Errorf("%s: %v\n%s\n%s", c.ID, err, out, text)
			}
		}
	}
}

func TestEveryOptionOfFioIsEitherTakenOrRefusedWithAReason(t *testing.T) {
	v := newVocabulary()
	var lines []string
	for _, o := range fioOptions() {
		if p := v.checkName("fio." + o.name); p != nil {
			lines = append(lines, fmt.Sprintf("refused %s: %s", o.name, p.message))
			continue
		}
		lines = append(lines, "taken   "+o.name)
	}
	slices.Sort(lines)
	golden.Equal(t, "testdata/options.golden", strings.Join(lines, "\n")+"\n")
}

func TestEveryPatternOfTheRulesMeetsAnOption(t *testing.T) {
	known := []string{"fio.include"} // a line of job files, and no option
	for _, n := range newVocabulary().namespaces {
		known = append(known, n.settings()...)
	}
	// These are refused before anybody asks whether they exist.
	known = append(known, "disk.name", "disk.type", "disk.discard_no_unref", "disk.metadata_cache", "storage.type", "storage.size")
	for _, r := range rules(fioOptions()) {
		for _, pattern := range r.settings {
			one := rule{settings: []string{pattern}}
			if !slices.ContainsFunc(known, one.matches) {
				t.Errorf("the pattern %q meets no setting", pattern)
			}
		}
	}
}

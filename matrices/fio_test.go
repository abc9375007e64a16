package matrices

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"platter/cell"

	"platter/internal/golden"
)

// helps are the answers of versions of fio to fio-help.sh: the built-in one, and those of Debian 13 and of sid when it had 3.41.
var helps = map[string]string{"3.33": "fio-help.txt", "3.39": "testdata/fio-3.39.txt", "3.41": "testdata/fio-3.41.txt"}

func readHelp(t testing.TB, file string) *Fio {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f, err := ReadFio(text)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return f
}

// TestTheInstalledFioSaysWhatIsKeptOfItsVersion asks fio for every option it has. With -update it writes the file of its version.
func TestTheInstalledFioSaysWhatIsKeptOfItsVersion(t *testing.T) {
	if os.Getenv("PLATTER_REAL") != "1" {
		t.Skip("needs fio; set PLATTER_REAL=1")
	}
	said, err := exec.Command("sh", "../orchestrator/guest/fio-help.sh").Output()
	if err != nil {
		t.Fatal(err)
	}
	f, err := ReadFio(said)
	if err != nil || len(f.options) < 200 {
		t.Fatalf("fio's help is read as %d options: %v", len(f.options), err)
	}
	if file, kept := helps[f.Version]; kept {
		golden.Equal(t, file, string(said))
	}
}

func TestEachVersionOfFioHasTheOptionsThatItsHelpNames(t *testing.T) {
	has := func(f *Fio, name string) bool {
		return slices.ContainsFunc(f.options, func(o fioOption) bool { return o.name == name })
	}
	for version, file := range helps {
		f := readHelp(t, file)
		if f.Version != version {
			t.Errorf("%s is of fio %q", file, f.Version)
		}
		newer, newest := version != "3.33", version == "3.41"
		for name, want := range map[string]bool{"fsync": true, "hipri": true, "allrandrepeat": !newer, "priohint": newer, "num_range": newer,
			"writefua": newer, "cmdprio_hint": newer, "sprandom": newest} {
			if has(f, name) != want {
				t.Errorf("fio %s has %s: %v, want %v", version, name, !want, want)
			}
		}
	}
	f := readHelp(t, "testdata/fio-3.41.txt")
	for _, want := range []fioOption{
		{name: "rw", kind: "text", alias: "readwrite", choices: []string{"read", "write", "trim", "randread", "randwrite", "randtrim", "rw",
			"readwrite", "randrw", "trimwrite", "randtrimwrite"}},
		{name: "runtime", kind: "time", alias: "timeout"},
		{name: "nice", kind: "int", min: -20, max: 19, bounded: true},
		{name: "iodepth", kind: "int", min: 1, max: math.MaxInt64, bounded: true},
		{name: "fsync", kind: "int", max: math.MaxInt64, bounded: true},
		{name: "fdatasync", kind: "int", max: math.MaxInt64, bounded: true},
		{name: "priohint", kind: "int", max: 1023, bounded: true},
		{name: "cmdprio_hint", kind: "int", max: 1023, bounded: true, engines: []string{"libaio", "io_uring"}},
		{name: "size", kind: "size"},
	} {
		i := slices.IndexFunc(f.options, func(o fioOption) bool { return o.name == want.name })
		if got := f.options[i]; !reflect.DeepEqual(got, want) {
			t.Errorf("fio 3.41 has %+v, want %+v", got, want)
		}
	}
}

func TestAnOptionOfTheGuestsFioIsTakenAndTheMessageNamesTheFioThatWasAsked(t *testing.T) {
	matrix := func(option string) []byte {
		return []byte("name: x\naxes: {fio." + option + ": [0, 1]}\nfio: {rw: randwrite, runtime: 1}\n")
	}
	debian13 := readHelp(t, helps["3.39"])
	if m, err := debian13.Parse("x.yaml", matrix("priohint")); err != nil || len(m.Cells()) != 2 || m.Cells()[1].Excluded != "" {
		t.Errorf("fio 3.39 has priohint: %v", err)
	} else if on, err := On(m, "host", "trixie"); err != nil || len(on.Cells()) != 4 {
		t.Errorf("the matrix is changed, and its fio is another: %v", err)
	}
	for _, tc := range []struct {
		fio          *Fio
		option, want string
	}{
		{BuiltInFio("there is no guest image to ask"), "priohint",
			"there is no fio.priohint in fio 3.33, whose list comes with platter: there is no guest image to ask"},
		{debian13, "sprandom", "there is no fio.sprandom in fio 3.39, which is the guest's"},
	} {
		_, err := tc.fio.Parse("x.yaml", matrix(tc.option))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%v, want %q", err, tc.want)
		}
	}
	if text, err := debian13.Schema(); err != nil || !strings.Contains(string(text), `"fio.priohint"`) {
		t.Errorf("the schema lacks an option of the guest's fio (%v)", err)
	}
}

func TestWritefuaOfIOUringIsNoPromise(t *testing.T) {
	text, err := os.ReadFile("testdata/newer/nvme-commands.yaml")
	if err != nil {
		t.Fatal(err)
	}
	m, err := readHelp(t, helps["3.39"]).Parse("nvme-commands.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	writeCells(&b, m.Cells())
	golden.Equal(t, "testdata/newer/nvme-commands.golden", b.String())
}

func TestHelpThatIsNotFiosIsRefusedWithItsLine(t *testing.T) {
	for text, want := range map[string]string{
		"":                                   "it has no option",
		"fio-3.33\n":                         "it has no option",
		"sh: fio: not found\n":               "line 1",
		"fio-3.33\nrw: IO direction\n":       "line 2",
		"fio-3.33\n[option]\n":               "line 2",
		"fio-3.33\n[option a;b]\n":           "line 2",
		"fio-3.33\n[option a]\n[option a]\n": "line 3: the option a stands there twice",
		"fio-\n[option a]\n":                 "line 1",
		strings.Repeat("x", maxHelp+1):       "4194305 bytes",
	} {
		if _, err := ReadFio([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", text, err, want)
		}
	}
}

func FuzzReadFio(f *testing.F) {
	f.Add([]byte("fio-3.33\n[option rw]\n type: string (opt=bla)\n valid values: read  Sequential\n : write  Sequential\n"))
	f.Add([]byte("fio-3.33\n[engine libaio]\n[engine libaio nowait]\n type: integer value\n range: min=1\n[engine io_uring nowait]\n"))
	f.Add(builtInHelp)
	f.Fuzz(func(t *testing.T, text []byte) {
		fio, err := ReadFio(text)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r\x1b") {
				t.Fatalf("the error is not one line: %q", err)
			}
			return
		}
		seen := map[string]bool{}
		for _, o := range fio.options {
			if seen[o.name] || !settingName.MatchString(o.name) {
				t.Fatalf("an option is %+v", o)
			}
			seen[o.name] = true
			if _, err := json.Marshal(o.schema()); err != nil {
				t.Fatalf("%+v has no schema: %v", o, err)
			}
			if p := o.check(cell.Value{V: "1"}); p != nil && p.message == "" {
				t.Fatalf("%+v says nothing of its value", o)
			}
		}
	})
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
	sentence := func(f *Fio, name string) string {
		if p := newVocabulary(f).checkName("fio." + name); p != nil {
			return fmt.Sprintf("refused %s: %s", name, p.message)
		}
		return "taken   " + name
	}
	builtIn := BuiltInFio(noGuest)
	var old, newer []string
	for _, o := range builtIn.options {
		old = append(old, sentence(builtIn, o.name))
	}
	for _, version := range slices.Sorted(maps.Keys(helps)) {
		f := readHelp(t, helps[version])
		for _, o := range f.options {
			s := sentence(f, o.name)
			if !slices.Contains(old, s) && !slices.ContainsFunc(newer, func(n string) bool { return strings.HasSuffix(n, s) }) {
				newer = append(newer, version+" "+s)
			}
		}
	}
	slices.Sort(old)
	slices.Sort(newer)
	golden.Equal(t, "testdata/options.golden", strings.Join(old, "\n")+"\n")
	golden.Equal(t, "testdata/options-newer.golden", strings.Join(newer, "\n")+"\n")
}

func TestEveryPatternOfTheRulesMeetsAnOption(t *testing.T) {
	known := []string{"fio.include"} // a line of job files, and no option
	for _, file := range helps {
		for _, n := range newVocabulary(readHelp(t, file)).namespaces {
			known = append(known, n.settings()...)
		}
	}
	// These are refused before anybody asks whether they exist.
	known = append(known, "disk.name", "disk.type", "disk.discard_no_unref", "disk.metadata_cache", "storage.type", "storage.size")
	for _, r := range rules(BuiltInFio(noGuest).options) {
		for _, pattern := range r.settings {
			one := rule{settings: []string{pattern}}
			if !slices.ContainsFunc(known, one.matches) {
				t.Errorf("the pattern %q meets no setting", pattern)
			}
		}
	}
}

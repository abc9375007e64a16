package matrices

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"platter/cell"
	"platter/internal/golden"
	"platter/strictyaml"
)

// parse reads a matrix that must be good.
func parse(t *testing.T, text string) *Matrix {
	t.Helper()
	m, err := Parse("matrix.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, detail(err))
	}
	return m
}

func detail(err error) string {
	var e *strictyaml.Error
	if errors.As(err, &e) {
		return e.Detail()
	}
	return ""
}

// with is a small matrix with these axes; the rest of the workload is given, too.
func with(axes, fio string) string {
	return "name: small\naxes: " + axes + "\nfio: " + fio + "\n"
}

func TestTheBuiltInMatricesGiveTheseCells(t *testing.T) {
	all, err := Builtins()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, m := range all {
		fmt.Fprintf(&b, "%s: %s; trials %d; banner %q\n", m.Name, m.Description, m.Trials, m.Banner)
		if m.Safety != nil {
			fmt.Fprintf(&b, "safety: %+v\n", *m.Safety)
		}
		writeCells(&b, m.Cells())
	}
	golden.Equal(t, "testdata/builtin.golden", b.String())
}

func TestCellsFollowTheOrderOfTheMatrixAndSayWhyTheyAreExcluded(t *testing.T) {
	files, err := filepath.Glob("testdata/cells/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no matrices in testdata/cells", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		writeCells(&b, parse(t, string(text)).Cells())
		golden.Equal(t, strings.TrimSuffix(file, ".yaml")+".golden", b.String())
	}
}

func writeCells(b *strings.Builder, cells []cell.Cell) {
	for _, c := range cells {
		fmt.Fprintln(b, c.ID)
		if c.Excluded != "" {
			fmt.Fprintf(b, "  excluded: %s\n", c.Excluded)
			continue
		}
		fmt.Fprintf(b, "  disk: %s\n  fio: %s\n", spelled(c.Settings.Of("disk")), spelled(c.Settings.Of("fio")))
		fmt.Fprintf(b, "  storage: {Type:%s Format:%s SizeBytes:%d ClusterSize:%d Preallocation:%s}\n",
			c.Settings.Text("storage.type"), c.Format(), c.SizeBytes(), c.ClusterSize(), c.Preallocation())
		fmt.Fprintf(b, "  guest: {MemoryBytes:%d VCPUs:%d Filesystem:%s Barrier:%s WriteCache:%s CacheType:%s}\n",
			c.MemoryBytes(), c.VCPUs(), c.Filesystem(), c.Barrier(), c.WriteCache(), c.CacheType())
		fmt.Fprintf(b, "  ramp %v, runtime %v, working set %d\n", c.Ramp(), c.Runtime(), c.WorkingSet())
		if c.Device() != (cell.Device{}) {
			fmt.Fprintf(b, "  device: %+v\n", c.Device())
		}
		if c.Unprobed != "" {
			fmt.Fprintf(b, "  no safety: %s\n", c.Unprobed)
		}
	}
}

func spelled(settings cell.Settings) string {
	var all []string
	for _, s := range settings {
		all = append(all, s.Name+"="+s.Value.String())
	}
	return strings.Join(all, " ")
}

func TestEveryRuleThatExcludesIsSeenInTheGoldenCells(t *testing.T) {
	files, _ := filepath.Glob("testdata/cells/*.golden")
	var seen strings.Builder
	for _, file := range append(files, "testdata/newer/nvme-commands.golden") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		seen.Write(text)
	}
	for _, r := range rules(BuiltInFio(noGuest).options) {
		if r.effect == exclude && !strings.Contains(seen.String(), "excluded: "+r.reason+"\n") {
			t.Errorf("no cell in testdata/cells is excluded because %q", r.reason)
		}
	}
}

func TestEveryRuleThatRefusesIsSeenInTheGoldenErrors(t *testing.T) {
	files, _ := filepath.Glob("testdata/bad/*.golden")
	var seen strings.Builder
	for _, file := range append(files, "testdata/options.golden", "testdata/options-newer.golden") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		seen.Write(text)
	}
	for _, r := range rules(BuiltInFio(noGuest).options) {
		if r.effect == refuse && !strings.Contains(seen.String(), r.reason) {
			t.Errorf("no matrix in testdata/bad is refused because %q", r.reason)
		}
	}
}

func TestEveryRuleHasAReasonAndASource(t *testing.T) {
	for _, r := range rules(BuiltInFio(noGuest).options) {
		if r.reason == "" || r.source == "" {
			t.Errorf("a rule about %v has the reason %q and the source %q", r.settings, r.reason, r.source)
		}
		if r.effect == refuse && r.hint == "" {
			t.Errorf("the rule %q refuses and does not say what to do", r.reason)
		}
		if r.cell == nil && r.effect == exclude {
			t.Errorf("the rule %q excludes settings; only cells can be excluded", r.reason)
		}
	}
}

// TestABadMatrixIsRefusedWithItsPlace reads each file of testdata/bad; beside it stands what is said of it.
func TestABadMatrixIsRefusedWithItsPlace(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d matrices in testdata/bad (%v)", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			m, err := Parse(filepath.Base(file), text)
			if err == nil {
				t.Fatalf("it was read: %+v", m)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("the error has more than one line: %q", err.Error())
			}
			golden.Equal(t, strings.TrimSuffix(file, ".yaml")+".golden", err.Error()+"\n"+detail(err))
		})
	}
}

// A parser that takes the square of these lengths takes hours; a minute is no matter of how busy the machine is.
func TestAMatrixThatIsTooLargeIsRefusedAtOnce(t *testing.T) {
	for name, text := range map[string]string{
		"bytes":    "# " + strings.Repeat("x", yamlKind.Bytes),
		"brackets": "name: " + strings.Repeat("[", 500000),
		"braces":   "name: " + strings.Repeat("{a: ", 200000),
		"dashes":   strings.Repeat("- ", 400000),
		"keys":     manyKeys(100000),
		"text":     "---\n" + strings.Repeat("---\n", 200000),
		"cells":    with("{fio.fsync: ["+numbers(101)+"], fio.fdatasync: ["+numbers(100)+"]}", "{runtime: 1, rw: write}"),
	} {
		start := time.Now()
		_, err := Parse("large.yaml", []byte(text))
		var e *strictyaml.Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %v is not a *strictyaml.Error", name, err)
		}
		if took := time.Since(start); took > time.Minute {
			t.Errorf("%s: the refusal took %v", name, took)
		}
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "k%d: v\n", i)
	}
	return b.String()
}

func numbers(n int) string {
	words := make([]string, n)
	for i := range words {
		words[i] = fmt.Sprint(i)
	}
	return strings.Join(words, ", ")
}

func TestAMatrixOfTenThousandCellsIsStillRead(t *testing.T) {
	m := parse(t, with("{fio.fsync: ["+numbers(100)+"], fio.fdatasync: ["+numbers(100)+"]}", "{runtime: 1, rw: write}"))
	if n := len(m.Cells()); n != 10000 {
		t.Errorf("%d cells", n)
	}
}

func TestDefaultsAreThoseOfTheDocumentation(t *testing.T) {
	m := parse(t, with("{disk.cache: [none]}", "{rw: write, runtime: 1}"))
	want := "storage.type=file storage.format=raw storage.size=2147483648 storage.preallocation=off guest.memory=1073741824 " +
		"guest.vcpus=2 guest.filesystem=none guest.barrier=on guest.write_cache=device guest.cache_type=device"
	got := m.Fixed.String()
	if m.Trials != 10 || m.Safety != nil {
		t.Errorf("%d trials, safety %+v", m.Trials, m.Safety)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestASafetySectionNeedsToSayNothing(t *testing.T) {
	m := parse(t, with("{disk.cache: [none]}", "{rw: write, runtime: 1}")+"safety: {}\n")
	want := &Safety{Classes: []string{"guest_crash", "qemu_kill", "host_crash", "power_loss"}, DriveCaches: []string{"volatile"},
		Seconds: 5, Pattern: "overwrite", SizeBytes: 64 << 20}
	if diff := cmp.Diff(want, m.Safety); diff != "" {
		t.Error(diff)
	}
}

func TestCrashPointsThatAreNotSaidAreFewWhereAGuestMountsEachSurvivor(t *testing.T) {
	of := func(name, value string) cell.Cell {
		return cell.Cell{Settings: cell.Settings{{Name: name, Value: cell.Value{V: value}}}}
	}
	ext4, btrfs, f2fs := of("guest.filesystem", "ext4"), of("guest.filesystem", "btrfs"), of("guest.filesystem", "f2fs")
	said := Safety{Points: 33}
	var unsaid Safety
	got := []int{unsaid.PointsOf(ext4), unsaid.PointsOf(btrfs), unsaid.PointsOf(f2fs), said.PointsOf(ext4), said.PointsOf(btrfs)}
	if !slices.Equal(got, []int{200, 10, 10, 33, 33}) {
		t.Errorf("got %v", got)
	}
}

func TestWindowsLineEndsAndAByteOrderMarkChangeNothing(t *testing.T) {
	text := with("\n  disk.cache: [none, unsafe]\n  fio.fsync: [0, 1]", "{rw: write, runtime: 1}")
	plain := parse(t, text)
	windows := parse(t, "\uFEFF"+strings.ReplaceAll(text, "\n", "\r\n"))
	if diff := cmp.Diff(plain.Cells(), windows.Cells()); diff != "" {
		t.Error(diff)
	}
}

func TestValuesKeepTheirTypeInJSON(t *testing.T) {
	m := parse(t, with(`{fio.fsync: [0, "1", 32], fio.rw: [write], fio.latency_percentile: [99.5]}`, "{runtime: 1}"))
	got, err := json.Marshal(m.Axes)
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"Name":"fio.fsync","Values":[0,"1",32]},{"Name":"fio.rw","Values":["write"]},{"Name":"fio.latency_percentile","Values":[99.5]}]`
	if string(got) != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestSizesInIECUnitsReachFioAsItSpellsThem(t *testing.T) {
	m, err := Parse("iec.yaml", []byte(`
name: iec
axes: {fio.bs: [4KiB, 64KiB]}
fio: {rw: randwrite, size: 1GiB, bssplit: "4KiB/50:8KiB/50", runtime: 10}
`))
	if err != nil {
		t.Fatal(err)
	}
	c := m.Cells()[1]
	for name, want := range map[string]string{"fio.bs": "64k", "fio.size": "1g", "fio.bssplit": "4k/50:8k/50"} {
		if got, _ := c.Settings.Get(name); got.String() != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if c.ID != "fio.bs=64KiB" || c.WorkingSet() != 1<<30 {
		t.Errorf("cell %s works on %d bytes; want its id as written, and 1 GiB", c.ID, c.WorkingSet())
	}
}

func TestTheWorkingSetIsTheSizeOrTheRestOfTheDisk(t *testing.T) {
	for fio, want := range map[string]int64{
		"{rw: write, runtime: 1, size: 1g}":      1 << 30,
		"{rw: write, runtime: 1}":                2 << 30,
		"{rw: write, runtime: 1, offset: 512m}":  2<<30 - 512<<20,
		"{rw: write, size: 1048576, fsync: 1}":   1 << 20,
		"{rw: write, io_size: 4m, offset: 1g}":   1 << 30,
		"{rw: write, runtime: 1, numjobs: 4000}": 2 << 30,
	} {
		if got := parse(t, with("{disk.cache: [none]}", fio)).Cells()[0].WorkingSet(); got != want {
			t.Errorf("%s works on %d bytes, want %d", fio, got, want)
		}
	}
}

func TestTheFileReachesToWhereTheLastJobEnds(t *testing.T) {
	m := parse(t, with("{guest.filesystem: [none, ext4]}",
		"{rw: write, runtime: 1, size: 16m, offset: 4m, numjobs: 3, offset_increment: 32m, file_append: 0}"))
	cells := m.Cells()
	if raw, file := cells[0].FileBytes(), cells[1].FileBytes(); raw != 0 || file != 84<<20 {
		t.Errorf("the raw device needs a file of %d bytes, the file system one of %d", raw, file)
	}
}

func TestACellIsAskedForItsSettingsByTheirFullName(t *testing.T) {
	c := parse(t, "storage: {format: qcow2, cluster_size: 4KiB}\nguest: {vcpus: \"3\"}\ndevice: {write_latency: 60us, sector: 4096}\n"+
		with("{disk.cache: [none], fio.fsync: [1], guest.filesystem: [ext4], variant.v: {a: {guest.barrier: off, fio.bs: 8k, "+
			"device.dirty_background: 1MiB}}}",
			"{rw: write, runtime: 10, size: 1m}")).Cells()[0]
	for full, want := range map[string]string{
		"disk.cache": "none", "fio.fsync": "1", "fio.rw": "write", "fio.runtime": "10", "fio.bs": "8k",
		"guest.filesystem": "ext4", "guest.barrier": "off", "guest.write_cache": "device", "guest.cache_type": "device",
		"guest.memory": "1073741824", "guest.vcpus": "3", "storage.type": "file", "storage.format": "qcow2",
		"storage.size": "2147483648", "storage.cluster_size": "4096", "storage.preallocation": "off",
		"device.write_latency": "60µs", "device.sector": "4096", "device.dirty_background": "1048576",
	} {
		if v, ok := c.Settings.Get(full); !ok || v.String() != want {
			t.Errorf("%s is %q (%v), want %q", full, v, ok, want)
		}
	}
	for _, full := range []string{"disk.io", "fio.numjobs", "guest.fs", "cache", "storage.sise", "variant.v", "device.dirty_expire", ""} {
		if v, ok := c.Settings.Get(full); ok {
			t.Errorf("%q is %q, and the cell does not set it", full, v)
		}
	}
}

var safeID = regexp.MustCompile(`^[A-Za-z0-9._+=,%~-]{1,200}$`)

func TestIDsAreUniqueAndSafeAsDirectoryNames(t *testing.T) {
	awkward := []string{"a", "A", "a,b", "a=b", "a,disk.x=b", "%2C", ",", "/", "..", "~", "", " ", "é", "a\x00", "\n",
		strings.Repeat("x", 300), strings.Repeat("x", 301), strings.Repeat("x", 299) + "y", strings.Repeat("é", 90), strings.Repeat("%", 66)}
	seen := map[string]string{}
	for _, a := range awkward {
		for _, b := range awkward {
			id := cell.ID(cell.Settings{{Name: "disk.cache", Value: cell.Value{V: a}}, {Name: "disk.x", Value: cell.Value{V: b}}})
			key := fmt.Sprintf("%q %q", a, b)
			if !safeID.MatchString(id) {
				t.Errorf("the id of %s is %q", key, id)
			}
			if other, taken := seen[id]; taken {
				t.Errorf("%s and %s share the id %q", key, other, id)
			}
			seen[id] = key
		}
	}
}

func TestBlocksHoldEveryMeasuredCellOnceInAnOrderMadeByTheSeed(t *testing.T) {
	m, err := Builtin("cache-modes")
	if err != nil {
		t.Fatal(err)
	}
	cells := m.Cells()
	cells[3].Excluded, cells[7].Excluded = "one", "another"
	var b strings.Builder
	for _, block := range Blocks(cells, 4, 1) {
		fmt.Fprintln(&b, block)
	}
	golden.Equal(t, "testdata/blocks.golden", b.String())
	want := measured(cells)
	for seed := range uint64(50) {
		blocks := Blocks(cells, 5, seed)
		for _, block := range blocks {
			sorted := slices.Sorted(slices.Values(block))
			if !slices.Equal(sorted, want) {
				t.Fatalf("seed %d: the block %v is not a permutation of %v", seed, block, want)
			}
		}
		if longer := Blocks(cells, 9, seed)[:5]; !cmp.Equal(longer, blocks) {
			t.Fatalf("seed %d: more trials change the first blocks", seed)
		}
	}
	if cmp.Equal(Blocks(cells, 3, 1), Blocks(cells, 3, 2)) {
		t.Error("two seeds give one order")
	}
}

func TestAnUnknownBuiltInMatrixIsAnsweredWithTheKnownOnes(t *testing.T) {
	_, err := Builtin("cache")
	if want := `there is no built-in matrix "cache": the built-in ones are ab-quick, barriers, cache-modes, demo, dirty-memory, fsync-interval, hypervisors, page-cache, safety, safety-quick, sync-semantics`; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestTheBuiltInMatricesSayAtTheTopWhatTheyShow(t *testing.T) {
	all, err := Builtins()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		lines := strings.Split(m.Text, "\n")
		if !strings.HasPrefix(lines[0], "# ") || !strings.HasPrefix(lines[1], "# ") || m.Description == "" || m.File != m.Name+".yaml" {
			t.Errorf("%s begins with %q", m.File, lines[:2])
		}
	}
}

// TestTheBuiltInMatricesAreShortAndSmall keeps a run of any of them below about 20 minutes under emulation, where a trial
// costs 2.2 s beside its runtime.
func TestTheBuiltInMatricesAreShortAndSmall(t *testing.T) {
	all, err := Builtins()
	if err != nil {
		t.Fatal(err)
	}
	const overhead, unbounded = 2200 * time.Millisecond, 5 * time.Second
	for _, m := range all {
		var total time.Duration
		cells := m.Cells()
		count := len(measured(cells))
		for _, i := range measured(cells) {
			took := cells[i].Ramp() + cells[i].Runtime()
			if cells[i].Runtime() > 5*time.Second {
				t.Errorf("%s: %s runs %v", m.Name, cells[i].ID, cells[i].Runtime())
			}
			if took == 0 {
				took = unbounded
			}
			total += time.Duration(m.Trials) * (took + overhead)
		}
		t.Logf("%s: %d cells, %d measured, %v", m.Name, len(cells), count, total)
		if count > 100 || total > 21*time.Minute || (cell.Cell{Settings: m.Fixed}).SizeBytes() > 2<<30 {
			t.Errorf("%s measures %d cells in about %v on %d bytes", m.Name, count, total, (cell.Cell{Settings: m.Fixed}).SizeBytes())
		}
		if !strings.Contains(m.Text, "\n# yaml-language-server: $schema="+SchemaFile+"\nname:") &&
			!strings.Contains(m.Text, "\n# yaml-language-server: $schema="+SchemaFile+"\n#\n") {
			t.Errorf("%s does not name its schema for editors", m.Name)
		}
	}
}

// goodMatrices are the built-in ones and those of testdata/cells.
func goodMatrices(t *testing.T) []*Matrix {
	t.Helper()
	all, err := Builtins()
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob("testdata/cells/*.yaml")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, parse(t, string(text)))
	}
	return all
}

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*/*.yaml")
	builtin, _ := filepath.Glob("*.yaml")
	workloads, _ := filepath.Glob("workloads/*.yaml")
	for _, file := range slices.Concat(files, builtin, workloads) {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := Parse("fuzz.yaml", text)
		if err != nil {
			checkError(t, err, text)
			return
		}
		checkMatrix(t, m)
	})
}

func checkError(t *testing.T, err error, text []byte) {
	var e *strictyaml.Error
	if !errors.As(err, &e) {
		t.Fatalf("%v is not a *strictyaml.Error", err)
	}
	if lines := strings.Count(string(text), "\n") + 1; e.Line < 1 || e.Line > lines || e.Column < 1 {
		t.Errorf("the error is at %d:%d of %d lines: %v", e.Line, e.Column, lines, err)
	}
	if e.Message == "" || !printable(err.Error()) || !printable(e.Hint) {
		t.Errorf("the error would not print: %q, hint %q", err.Error(), e.Hint)
	}
}

// checkMatrix holds what every matrix that was read must hold.
func checkMatrix(t *testing.T, m *Matrix) {
	cells := m.Cells()
	ids, any := map[string]bool{}, false
	for _, c := range cells {
		if ids[c.ID] || !safeID.MatchString(c.ID) {
			t.Fatalf("the id %q is used twice or unsafe", c.ID)
		}
		ids[c.ID] = true
		if c.Excluded != "" {
			continue
		}
		any = true
		if s := m.Safety; s != nil && c.Unprobed == "" {
			if _, p := s.misfit(c); p != nil || s.Live < 0 || len(s.Classes)*len(s.DriveCaches) == 0 {
				t.Errorf("%s: %+v (%v)", c.ID, *s, p)
			}
		}
		if c.Runtime() < 0 || c.Ramp() < 0 || c.WorkingSet() > c.Room() {
			t.Errorf("%s: runtime %v, ramp %v, working set %d of %d", c.ID, c.Runtime(), c.Ramp(), c.WorkingSet(), c.Room())
		}
		for _, s := range c.Settings.Of("fio") {
			if strings.ContainsAny(s.Value.String(), "$`\n\r;#'\"\\") {
				t.Errorf("%s: fio would read more than a value in %s=%q", c.ID, s.Name, s.Value)
			}
		}
	}
	if !any || m.Trials < 1 || m.Name == "" {
		t.Errorf("nothing to measure in %+v", m)
	}
}

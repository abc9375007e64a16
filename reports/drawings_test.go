package reports

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"platter/cell"
	"platter/compare"
	"platter/results"
	"platter/text"
)

// drawn is what a drawing says of the cells: by the cell's axis values ("none 1"), then by column. Only columns that all drawings
// have in some form are read.
type drawn map[string]map[string]string

// set notes a figure without its kinds of spaces and brackets, which are the drawing's own.
func (d drawn) set(cell, column, text string) {
	if d[cell] == nil {
		d[cell] = map[string]string{}
	}
	d[cell][column] = strings.NewReplacer("\u202f", " ", "[", "", "]", "", " – ", "–").Replace(strings.TrimSpace(text))
}

// addTable reads a table whose first columns are the axes. A cell's row may have its axis values in merged.
func (d drawn) addTable(axes int, header []string, rows [][]string, wanted func(string) bool) {
	for _, row := range rows {
		if len(row) < len(header) {
			continue
		}
		for i := axes; i < len(header); i++ {
			for _, name := range strings.Split(header[i], ", ") {
				if wanted(name) {
					d.set(strings.Join(row[:axes], " "), name, row[i])
				}
			}
		}
	}
}

var questionTitle = regexp.MustCompile(`^(guest crash|QEMU kill|host crash|power loss( \((volatile|protected)\))?)$`)

func speedColumn(name string) bool {
	return slices.Contains([]string{"n", "IOPS", "95 % interval", "flushes"}, name) || strings.HasSuffix(name, " p99")
}

func verdictColumnName(name string) bool { return questionTitle.MatchString(name) }

// fromTerminal reads Table's tables; their columns stand at least two spaces apart.
func fromTerminal(t *testing.T, m *Model) drawn {
	t.Helper()
	var b bytes.Buffer
	if err := Table(&b, m); err != nil {
		t.Fatal(err)
	}
	apart := regexp.MustCompile(` {2,}`)
	d := drawn{}
	var header []string
	for line := range strings.Lines(b.String()) {
		line = strings.TrimRight(line, "\n")
		fields := apart.Split(strings.TrimSpace(line), -1)
		switch {
		case strings.HasPrefix(line, "cache "):
			header = fields
		case line == "" || header == nil:
			header = nil
		case strings.HasPrefix(line, "  "): // the header's second line is the end of its last column
			header[len(header)-1] += " " + strings.TrimSpace(line)
		default:
			wanted := speedColumn
			if slices.ContainsFunc(header, func(h string) bool { return verdictColumnName(strings.Split(h, ", ")[0]) }) {
				wanted = verdictColumnName
			}
			d.addTable(2, header, [][]string{fields}, wanted)
		}
	}
	return d
}

func fromMarkdown(t *testing.T, m *Model) drawn {
	t.Helper()
	var b bytes.Buffer
	if err := Markdown(&b, m); err != nil {
		t.Fatal(err)
	}
	d := drawn{}
	var header []string
	for line := range strings.Lines(b.String()) {
		row := splitRow(line)
		switch {
		case row == nil:
			header = nil
		case header == nil:
			header = row
		case !strings.HasPrefix(row[0], "---"):
			d.addTable(2, header, [][]string{row}, func(n string) bool { return speedColumn(n) || verdictColumnName(n) })
		}
	}
	return d
}

var (
	pageTable = regexp.MustCompile(`(?s)<table id="run1-(speed|latencies|losses)"[^>]*>.*?</table>`)
	pageRow   = regexp.MustCompile(`(?s)<tr[^>]*>(.*?)</tr>`)
	pageCell  = regexp.MustCompile(`(?s)<t[hd]([^>]*)>(.*?)</t[hd]>`)
	pageTag   = regexp.MustCompile(`(?s)<details.*?</details>|<code.*?</code>|<[^>]*>`)
)

// fromPage reads the page's tables of speed, latency and verdicts.
func fromPage(t *testing.T, m *Model) drawn {
	t.Helper()
	var b bytes.Buffer
	if err := HTML(&b, nil, m); err != nil {
		t.Fatal(err)
	}
	d := drawn{}
	for _, table := range pageTable.FindAllStringSubmatch(b.String(), -1) {
		var rows [][]string
		for _, r := range pageRow.FindAllStringSubmatch(table[0], -1) {
			var row []string
			for _, c := range pageCell.FindAllStringSubmatch(r[1], -1) {
				row = append(row, strings.TrimSpace(html.UnescapeString(pageTag.ReplaceAllString(c[2], ""))))
			}
			rows = append(rows, row)
		}
		switch table[1] {
		case "speed":
			d.addTable(2, rows[0], rows[1:], func(n string) bool { return n == "IOPS" || n == "95 % interval" })
			d.addTable(2, strings.Split(strings.ReplaceAll(strings.Join(rows[0], "\n"), "trials ok", "n"), "\n"), rows[1:],
				func(n string) bool { return n == "n" })
		case "latencies": // p50, p99 and p99.9 of each kind, which the first row names
			header := rows[0][:2:2]
			for _, kind := range rows[0][2:] {
				header = append(header, kind+" p50", kind+" p99", kind+" p99.9")
			}
			d.addTable(2, header, rows[2:], func(n string) bool { return strings.HasSuffix(n, " p99") })
		case "losses":
			d.addTable(2, rows[0], rows[1:], verdictColumnName)
		}
	}
	return d
}

// fromJSON writes the object's numbers as people are shown them.
func fromJSON(t *testing.T, m *Model) drawn {
	t.Helper()
	var b bytes.Buffer
	if err := JSON(&b, m); err != nil {
		t.Fatal(err)
	}
	var run struct {
		Cells  []jsonCell
		Safety []struct { // of the judged ones: an embedded pointer cannot be read back
			Axes                             map[string]any
			Class, Status, Verdict, Surprise string
			DriveCache                       string `json:"drive_cache"`
			Promises                         int64
			PromisesLost                     int64 `json:"promises_lost"`
			Exposure                         results.Exposure
			Live                             *results.LiveCuts
		}
	}
	if err := json.Unmarshal(b.Bytes(), &run); err != nil {
		t.Fatal(err)
	}
	d := drawn{}
	kinds := map[string]bool{}
	bounded := false
	for _, c := range run.Cells {
		bounded = bounded || c.IOPS != nil && c.IOPS.Lo != nil
		for k := range c.Latency {
			kinds[k] = true
		}
	}
	questions := map[string]bool{}
	for _, s := range run.Safety {
		questions[cell.Question{Class: s.Class, DriveCache: s.DriveCache}.String()] = true
	}
	name := func(axes map[string]any) string { return fmt.Sprintf("%v %v", axes["disk.cache"], axes["fio.fsync"]) }
	for _, c := range run.Cells {
		cell := name(c.Axes)
		d.set(cell, "n", fmt.Sprint(c.Trials))
		d.set(cell, "flushes", flushText(c.FlushPath, c.Writes))
		iops, between := absent, absent
		if c.IOPS != nil {
			iops = text.Number(c.IOPS.Median)
			if c.IOPS.Lo != nil {
				between = text.Number(*c.IOPS.Lo) + "–" + text.Number(*c.IOPS.Hi)
			}
		}
		d.set(cell, "IOPS", iops)
		d.set(cell, "95 % interval", between)
		for k := range kinds {
			line := absent
			if l, ok := c.Latency[k]; ok {
				line = text.Duration(l.P99)
			}
			d.set(cell, k+" p99", line)
		}
		for q := range questions {
			d.set(cell, q, "not judged")
		}
	}
	for _, s := range run.Safety {
		row := SafetyRow{Safety: results.Safety{Status: s.Status, Verdict: s.Verdict, Class: s.Class, DriveCache: s.DriveCache,
			Promises: s.Promises, PromisesLost: s.PromisesLost, Exposure: s.Exposure, Live: s.Live}}
		line := row.verdict()
		if s.Surprise != "" {
			line += " ≠"
		}
		d.set(name(s.Axes), row.Answers().String(), line)
	}
	return d
}

func TestAllDrawingsShowTheSameNumbersForEveryCell(t *testing.T) {
	for name, run := range map[string]*results.Run{
		"run": generated(6, 1), "few": generated(2, 1), "failures": withFailures(), "none": generated(0, 1), "safety": withSafety(6),
		"campaigns": withFailedCampaigns(),
	} {
		t.Run(name, func(t *testing.T) {
			m := New(run)
			want := fromJSON(t, m)
			if len(want) != len(m.Cells) {
				t.Fatalf("%d cells in JSON, %d in the model", len(want), len(m.Cells))
			}
			bounded := slices.ContainsFunc(m.Cells, func(c Cell) bool { return c.IOPS != nil && c.IOPS.Bounded() })
			for drawing, got := range map[string]drawn{"terminal": fromTerminal(t, m), "Markdown": fromMarkdown(t, m), "page": fromPage(t, m)} {
				for cell, columns := range want {
					for column, text := range columns {
						if drawing == "page" && column == "flushes" || // in totals there, layer by layer
							drawing == "terminal" && column == "95 % interval" && !bounded { // no such column
							continue
						}
						if shown, there := got[cell][column]; !there || shown != text {
							t.Errorf("%s, %s: the %s shows %q (there: %v), JSON %q", cell, column, drawing, shown, there, text)
						}
					}
				}
				for cell := range got {
					if want[cell] == nil {
						t.Errorf("the %s has a cell %q that JSON has not", drawing, cell)
					}
				}
			}
		})
	}
}

func TestTheDrawingsAreReallyCompared(t *testing.T) {
	m := New(withSafety(6))
	other := New(withSafety(6))
	other.Cells[3].IOPS = &compare.Summary{Median: 1, Lo: 1, Hi: 1}
	for drawing, read := range map[string]func(*testing.T, *Model) drawn{"terminal": fromTerminal, "Markdown": fromMarkdown, "page": fromPage,
		"JSON": fromJSON} {
		a, b := read(t, m), read(t, other)
		if cell := "writeback 1"; a[cell]["IOPS"] == b[cell]["IOPS"] || len(a[cell]) < 7 {
			t.Errorf("a wrong number in the %s is not seen: %q", drawing, a[cell])
		}
	}
}

// TestJSONHasEveryFigureThatIsListed: its types are written out, and no list reaches them.
func TestJSONHasEveryFigureThatIsListed(t *testing.T) {
	var b bytes.Buffer
	m := New(withSafety(6))
	if err := JSON(&b, m); err != nil {
		t.Fatal(err)
	}
	var run struct {
		Cells  []struct{ Latency map[string]map[string]any }
		Safety []map[string]any
	}
	if err := json.Unmarshal(b.Bytes(), &run); err != nil {
		t.Fatal(err)
	}
	for i, c := range run.Cells {
		for kind, l := range m.Cells[i].Latency {
			for _, p := range percentiles {
				if got := c.Latency[kind][p.name+"_ns"]; *p.of(&l) != 0 && got != float64(*p.of(&l)) {
					t.Errorf("cell %d, %s %s: %v, want %d", i, kind, p.name, got, *p.of(&l))
				}
			}
		}
	}
	for i, s := range run.Safety {
		row := m.Safety.Rows[i]
		if row.Status != results.OK {
			continue
		}
		exposure := s["exposure"].(map[string]any)
		for _, f := range safetyFigures {
			name := underlined(f.export)
			got := s[name]
			if of, exposed := strings.CutPrefix(name, "exposed_"); exposed {
				got = exposure[of]
			}
			if got == nil { // only a false may be left out
				got = false
			}
			if want := f.value(row.Safety); fmt.Sprint(got) != fmt.Sprint(want) && got != toFloat(want) {
				t.Errorf("record %d has %s %v, want %v", i, name, got, want)
			}
		}
	}
	path, layers := results.FlushPath{}, map[string]any{}
	for i, l := range flushLayers {
		n := int64(i + 1)
		*l.of(&path) = &n
	}
	text, err := json.Marshal(path)
	if err == nil {
		err = json.Unmarshal(text, &layers)
	}
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range flushLayers {
		if layers[underlined(l.name)] != float64(i+1) {
			t.Errorf("JSON has %s %v, want %d: %s", l.name, layers[underlined(l.name)], i+1, text)
		}
	}
}

// toFloat returns a number as JSON reads it.
func toFloat(v any) float64 {
	n, _ := strconv.ParseFloat(fmt.Sprint(v), 64)
	return n
}

package reports

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"platter/compare"
	"platter/results"
	"platter/text"
)

// assets has the page's own files, and ECharts when the Makefile has fetched it. The second line's patterns match
// package.json, package-lock.json, echarts.min.js and LICENSE-echarts, but never node_modules; those that npm reads are
// always there, so that the package compiles without the other two.
//
//go:embed page.html page.css page.js
//go:embed assets/*.js* assets/*-*
var assets embed.FS

// Where ECharts and its licence lie among the assets.
const (
	echartsFile = "assets/echarts.min.js"
	licenceFile = "assets/LICENSE-echarts"
)

// htmlPage is what page.html shows.
type htmlPage struct {
	Title    string
	Policy   string // content security policy
	Style    template.CSS
	Scripts  []template.JS // empty without ECharts
	Licence  string        // of ECharts
	Compared *comparedPage // nil for a page about one run
	Sections []section
	Tool     string
}

// section is what page.html shows of a run.
type section struct {
	*Model
	ID      string // begins the ids of its elements
	Kinds   []string
	Layers  []layer
	Marked  []markedWarning
	Charts  []chart
	Speeds  []speedFigure
	Losses  lossTable // empty for a run without crash campaigns
	Views   []answerView
	Flush   []flushRow // by cell
	Raw     []rawCell
	Drawn   []drawnLoss
	Undrawn []string        // losses that could not be drawn, and why
	Data    json.RawMessage // of the charts with choosers
}

// lossTable is what the cells lose, a row each.
type lossTable struct {
	Columns []string
	Rows    [][]loss // by cell
}

// loss is a verdict for people, and the class of its style.
type loss struct{ Text, Class, Replay string }

func newLossTable(m *Model) lossTable {
	var t lossTable
	if len(m.Safety.Rows) == 0 {
		return t
	}
	columns := merged(m.Safety, m.Cells)
	for _, v := range columns {
		t.Columns = append(t.Columns, strings.Join(v.names, ", "))
	}
	for i, c := range m.Cells {
		var row []loss
		for _, v := range columns {
			row = append(row, newLoss(v.texts[i], m.Safety.row(c.ID, v.first)))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// newLoss returns a verdict's text with the style of its record, nil for one that is not there.
func newLoss(text string, r *SafetyRow) loss {
	l := loss{Text: text}
	if r != nil && r.Status == results.OK {
		l.Class = map[string]string{results.Safe: "safe", results.Loses: "loses", results.Invalid: "invalid"}[r.Safety.Verdict]
		if r.Safety.Verdict == results.Loses {
			l.Replay = r.Replay
		}
	}
	return l
}

// markedWarning is a warning with the letter that stands at the cells that it concerns.
type markedWarning struct {
	Warning
	Mark, ID string
}

// Scope returns which check a warning is of, and how many trials it concerns.
func (x markedWarning) Scope() string {
	var parts []string
	if x.Name != "trials" {
		parts = append(parts, x.Name)
	}
	if x.Trials > 0 {
		parts = append(parts, text.Plural(x.Trials, "trial"))
	}
	return strings.Join(parts, ": ")
}

// HTML writes one page about at least one run, a section each, before them how they compare unless c is nil. The page is whole: it
// asks for no other file, and its policy forbids every script but its own. Everything that comes from a run is shown as text.
//
// Charts need ECharts, which the Makefile puts into assets before the tool is built; without it the page has all the
// tables and says how to get the charts.
func HTML(w io.Writer, c *Comparison, models ...*Model) error {
	return writeHTML(w, assets, c, models)
}

func writeHTML(w io.Writer, files fs.FS, c *Comparison, models []*Model) error {
	if len(models) == 0 {
		return errors.New("write report: no run to report")
	}
	p, err := newPage(files, c, models)
	if err != nil {
		return err
	}
	t, err := pageTemplate(files)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, 64<<10) // a template writes a few bytes at a time
	if err := cmp.Or(t.Execute(out, p), out.Flush()); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// pageTemplate returns the page with all of its parts.
func pageTemplate(files fs.FS) (*template.Template, error) {
	text, err := fs.ReadFile(files, "page.html")
	if err != nil {
		return nil, fmt.Errorf("write report: %w", err)
	}
	t, err := template.New("page").Funcs(pageFuncs()).Parse(string(text) + comparisonFragment)
	if err != nil {
		return nil, fmt.Errorf("write report: %w", err)
	}
	return t, nil
}

func newPage(files fs.FS, c *Comparison, models []*Model) (*htmlPage, error) {
	style, err := fs.ReadFile(files, "page.css")
	if err != nil {
		return nil, fmt.Errorf("write report: %w", err)
	}
	p := &htmlPage{Title: models[0].Manifest.Name + ": platter report", Style: template.CSS(style), Tool: models[0].Manifest.Tool}
	if len(models) > 1 {
		p.Title = fmt.Sprintf("platter report of %d runs", len(models))
	}
	if err := p.addScripts(files); err != nil {
		return nil, err
	}
	p.Policy = p.policy()
	if c != nil {
		if p.Compared, err = newComparedPage(c, len(p.Scripts) > 0); err != nil {
			return nil, err
		}
	}
	for i, m := range models {
		s, err := newSection(m, fmt.Sprintf("run%d-", i+1), len(p.Scripts) > 0)
		if err != nil {
			return nil, err
		}
		p.Sections = append(p.Sections, s)
	}
	return p, nil
}

// addScripts adds ECharts with its licence and our script, if ECharts is there.
func (p *htmlPage) addScripts(files fs.FS) error {
	echarts, err := fs.ReadFile(files, echartsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	own, err := fs.ReadFile(files, "page.js")
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	licence, err := fs.ReadFile(files, licenceFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write report: %w", err)
	}
	p.Scripts, p.Licence = []template.JS{template.JS(echarts), template.JS(own)}, string(licence)
	return nil
}

// policy returns the content security policy of the page: its own style and scripts, named by their digests, and nothing
// from anywhere (W3C, Content Security Policy Level 3, section 8.4).
func (p *htmlPage) policy() string {
	directives := []string{"default-src 'none'", "style-src " + digest(string(p.Style)), "base-uri 'none'", "form-action 'none'"}
	if len(p.Scripts) > 0 {
		var allowed []string
		for _, s := range p.Scripts {
			allowed = append(allowed, digest(string(s)))
		}
		directives = append(directives, "script-src "+strings.Join(allowed, " "))
	}
	return strings.Join(directives, "; ")
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func newSection(m *Model, id string, draw bool) (section, error) {
	s := section{Model: m, ID: id, Kinds: shown(m.Cells), Layers: layers(m.Cells), Speeds: speedFigures(m), Losses: newLossTable(m),
		Views: answerViews(m), Flush: flushRows(m), Raw: rawCells(m)}
	for i, x := range m.Warnings {
		s.Marked = append(s.Marked, markedWarning{x, letters(i), id + "warning-" + letters(i)})
	}
	s.Drawn, s.Undrawn = drawLosses(m)
	if !draw {
		return s, nil
	}
	data := newViewData(m)
	for _, l := range s.Drawn {
		data.Timelines = append(data.Timelines, newViewTimeline(l))
	}
	text, err := json.Marshal(data)
	if err != nil {
		return s, fmt.Errorf("write report: %w", err)
	}
	s.Data = text
	views, err := newViews(data, id)
	if err != nil {
		return s, err
	}
	s.Charts, err = newCharts(m, id)
	s.Charts = append(s.Charts, views...)
	return s, err
}

// Chart returns the chart with that Draw; nil where the section has none.
func (s section) Chart(draw string) *chart {
	i := slices.IndexFunc(s.Charts, func(c chart) bool { return c.Draw == draw })
	if i < 0 {
		return nil
	}
	return &s.Charts[i]
}

// framed is a chart in its place on the page.
type framed struct {
	*chart
	Banner string // of the run
	Data   string // the id of the element that it draws from
	Table  bool   // it has a table of its own, which follows the choosers
}

// Figure returns the chart with that Draw in its place on the page; nil where the section has none.
func (s section) Figure(draw string) *framed {
	c := s.Chart(draw)
	if c == nil {
		return nil
	}
	return &framed{c, strings.Join(s.Banners, " · "), s.ID + "data", !slices.Contains([]string{"iops", "latency", "flushes"}, draw)}
}

// worstPoint is a crash point that takes something, for the table.
type worstPoint struct {
	SafetyRow
	Question                                int
	Failure, Class, Text, Lost, Exposed, At string
}

// maxWorstPoints is how many rows that table has at most.
const maxWorstPoints = 1000

// WorstPoints returns the rows that lose anything.
func (s section) WorstPoints() []worstPoint {
	all := s.losing()
	return all[:min(len(all), maxWorstPoints)]
}

// WorstLeftOut returns how many of them the table has no room for.
func (s section) WorstLeftOut() int { return max(0, len(s.losing())-maxWorstPoints) }

func (s section) losing() []worstPoint {
	var all []worstPoint
	for _, r := range s.Safety.Rows {
		if r.Status != results.OK || r.PromisesLost == 0 && r.Exposure.Writes == 0 && r.Safety.Verdict != results.Loses {
			continue
		}
		p := worstPoint{SafetyRow: r, Question: slices.Index(s.Safety.Questions, r.Answers()), Failure: questionName(s.Model, r.Answers()),
			Class: strings.ToLower(r.Safety.Verdict), Text: r.Safety.Verdict, Lost: text.Count(r.PromisesLost) + " of " + text.Count(r.Promises),
			Exposed: text.Count(r.Exposure.Writes), At: absent}
		if r.Safety.Verdict == results.NoPromise {
			p.Class, p.Text, p.Lost = "quiet", "no promise", absent
		}
		if r.Worst != nil {
			p.At = text.Count(r.Worst.Point) + " of " + text.Count(r.CrashPoints)
		}
		all = append(all, p)
	}
	return all
}

// Again returns the command that makes such a run once more from the matrix's text, in the same order.
func (s section) Again() string {
	file := filepath.Base(s.Manifest.MatrixFile)
	if s.Manifest.MatrixFile == "" {
		file = s.Manifest.Name + ".yaml"
	}
	return text.Command([]string{"platter", "run", "./" + file, "--seed", fmt.Sprint(s.Manifest.Seed), "--trials",
		fmt.Sprint(s.Manifest.Trials)})
}

// DeviceRows returns the settings that the matrix makes for the simulated disk.
func (s section) DeviceRows() []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(s.Manifest.Device)) {
		all = append(all, fmt.Sprintf("%s %v", name, s.Manifest.Device[name]))
	}
	return all
}

// letters counts a, b, … z, aa, ab, … from 0.
func letters(i int) string {
	text := ""
	for ; i >= 0; i = i/26 - 1 {
		text = string(rune('a'+i%26)) + text
	}
	return text
}

// Marks returns the warnings that concern a cell.
func (s section) Marks(cell string) []markedWarning {
	var mine []markedWarning
	for _, x := range s.Marked {
		for _, id := range x.Cells {
			if id == cell {
				mine = append(mine, x)
			}
		}
	}
	return mine
}

// Everywhere reports whether a warning concerns all the cells.
func (s section) Everywhere(x markedWarning) bool {
	return len(x.Cells) == len(s.Cells) && len(s.Cells) > 1
}

// GroupStart reports whether the first axis has another value at cell i than at the one before.
func (s section) GroupStart(i int) bool {
	return i > 0 && len(s.Cells[i].Axes) > 1 && s.Cells[i].Axes[0].Value.String() != s.Cells[i-1].Axes[0].Value.String()
}

// alike are trials of a cell that failed in the same way.
type alike struct {
	Failure
	Blocks []int // from 0
}

// BlockText names the blocks, counted from 1 as people do.
func (a alike) BlockText() string {
	var texts []string
	for _, b := range a.Blocks {
		texts = append(texts, fmt.Sprint(b+1))
	}
	if len(texts) == 1 {
		return "block " + texts[0]
	}
	return "blocks " + strings.Join(texts, ", ")
}

// FailedAlike gathers the failures that differ in nothing but the block.
func (s section) FailedAlike() []alike {
	var all []alike
	for _, f := range s.Failures {
		i := slices.IndexFunc(all, func(a alike) bool {
			return a.Cell == f.Cell && a.Fault == f.Fault && a.Message == f.Message && slices.Equal(a.Console, f.Console)
		})
		if i < 0 {
			i = len(all)
			all = append(all, alike{Failure: f})
		}
		all[i].Blocks = append(all[i].Blocks, f.Block)
	}
	return all
}

// Planned returns the number of trials that the run was to have.
func (s section) Planned() int { return s.Manifest.Trials * len(s.Cells) }

// Done returns the number of trials that were made, well or not.
func (s section) Done() int { return s.OK + s.Failed }

// WritesText returns the number of a cell's writes; a cell without a trial that went well has none.
func (s section) WritesText(c Cell) string { return orAbsent(c.Trials > 0, text.Count(c.Writes)) }

// Many says that there are more cells than anyone looks at at once.
func (s section) Many() bool { return len(s.Cells) > pageRows }

// ScopeText returns what the answer rests on, as a sentence.
func (s section) ScopeText() string { return upperFirst(scope(s.Model)) + "." }

// Wrong returns what keeps verdicts from being valid or sure, beside the warnings: what has no valid verdict, and what the model did not
// predict.
func (s section) Wrong() []string {
	all := s.Safety.Invalids()
	if more := len(all) - maxWrong; more > 0 {
		all = append(all[:maxWrong:maxWrong], fmt.Sprintf("and %d more without a valid verdict: under Crash campaigns", more))
	}
	if n := len(s.Safety.Surprises()); n > 0 {
		all = append(all, fmt.Sprintf("≠ in %s model and measurement differ: under Crash campaigns", text.Plural(n, "answer")))
	}
	return all
}

// maxWrong is how many of them the top of the page has room for.
const maxWrong = 4

// StandardName returns the name of what the best settings are compared with.
func (s section) StandardName() string { return s.standard.name }

// LegendText explains the short verdicts.
func (s section) LegendText() string { return legendText }

// SimulatedText returns what of the verdicts is simulation.
func (s section) SimulatedText() string { return upperFirst(simulatedText) }

// PointsText returns how much was judged.
func (s section) PointsText() string { return upperFirst(pointsText(s.Safety)) }

// FlushNote returns what the counts have in them beside what fio counts.
func (s section) FlushNote() string { return flushNote(s.Cells) }

// phaseRow is a line of the table of where the time went.
type phaseRow struct {
	Name, Seconds, Share string
}

// switchingPhase is a phase that only runs on several hypervisors have.
const switchingPhase = "switching hypervisors"

// PhaseRows says where the wall time went, with what no phase accounts for.
func (s section) PhaseRows() []phaseRow {
	p := s.Phases
	if p.WallS <= 0 {
		return nil
	}
	named := []struct {
		name    string
		seconds float64
	}{
		{"booting guests", p.BootS}, {switchingPhase, p.SwitchS}, {"plugging the disk in", p.AttachS}, {"preparing it in the guest", p.PrepareS},
		{"filling it", p.PrefillS}, {"ramp time", p.RampS}, {"measuring", p.MeasureS}, {"collecting counters", p.CollectS},
	}
	var table []phaseRow
	rest := p.WallS
	for _, n := range named {
		if n.name == switchingPhase && n.seconds == 0 {
			continue // most runs have one hypervisor
		}
		rest -= n.seconds
		r := phaseRow{n.name, absent, absent}
		if n.seconds > 0 {
			r = phaseRow{n.name, fmt.Sprintf("%.1f", n.seconds), text.Percent(n.seconds / p.WallS)}
		}
		table = append(table, r)
	}
	if rest > 0.005*p.WallS {
		table = append(table, phaseRow{"unplugging, waiting and the rest", fmt.Sprintf("%.1f", rest), text.Percent(rest / p.WallS)})
	}
	return append(table, phaseRow{"wall time", fmt.Sprintf("%.1f", p.WallS), text.Percent(1)})
}

// pageFuncs returns the functions of page.html: they write values for people.
func pageFuncs() template.FuncMap {
	return template.FuncMap{
		"text":        func(s string) string { return orAbsent(s != "", s) },
		"upper":       upperFirst,
		"whole":       func(n int) string { return orAbsent(n > 0, fmt.Sprint(n)) },
		"bytes":       func(n int64) string { return orAbsent(n > 0, text.Bytes(float64(n))) },
		"plural":      text.Plural[int],
		"short":       short,
		"share":       text.Percent,
		"join":        strings.Join,
		"command":     commandText,
		"date":        date,
		"iops":        iops,
		"percentiles": percentileLabels,
		"latency":     latencyOf,
		"count":       count,
		"flags":       flagTexts,
	}
}

func orAbsent(measured bool, text string) string {
	if !measured {
		return absent
	}
	return text
}

func count(n *int64) string {
	if n == nil {
		return absent
	}
	return text.Count(*n)
}

func date(t time.Time) string {
	return orAbsent(!t.IsZero(), t.UTC().Format("2006-01-02 15:04 UTC"))
}

func iops(s *compare.Summary) string {
	if s == nil {
		return absent
	}
	return text.Number(s.Median)
}

func bandwidth(s *compare.Summary) string {
	if s == nil {
		return absent
	}
	return text.Bytes(s.Median) + "/s"
}

func interval(s *compare.Summary) string {
	if s == nil || !s.Bounded() {
		return absent
	}
	return "[" + text.Number(s.Lo) + " – " + text.Number(s.Hi) + "]"
}

func commandText(words []string) string { return orAbsent(len(words) > 0, text.Command(words)) }

// latencyOf returns a cell's percentiles of one kind of latency.
func latencyOf(c Cell, kind string) []string {
	l, ok := c.Latency[kind]
	texts := make([]string, len(percentiles))
	for i, p := range percentiles {
		texts[i] = absent
		if ok {
			texts[i] = text.Duration(*p.of(&l))
		}
	}
	return texts
}

func percentileLabels() []string {
	labels := make([]string, len(percentiles))
	for i, p := range percentiles {
		labels[i] = p.label
	}
	return labels
}

// speedFigure is a column of the page's table of speed.
type speedFigure struct{ cellColumn }

// Title returns the name of the column on the page.
func (s speedFigure) Title() string { return cmp.Or(s.page, s.name) }

// Text returns the figure of a cell.
func (s speedFigure) Text(c Cell) string { return s.text(c) }

// Class returns the style of a cell's figure.
func (s speedFigure) Class(c Cell) string {
	switch {
	case s.name == "IOPS":
		return "n strong"
	case s.name == "failed" && c.Failed > 0:
		return "n bad"
	}
	return "n"
}

// speedFigures returns the columns of the page's table of speed, the rates first.
func speedFigures(m *Model) []speedFigure {
	all := cellColumns(m)
	var columns []speedFigure
	for _, name := range []string{"IOPS", "95 % interval", "bandwidth", "n", "failed"} {
		columns = append(columns, speedFigure{all[slices.IndexFunc(all, func(c cellColumn) bool { return c.name == name })]})
	}
	return columns
}

// flagTexts returns QEMU's three cache flags in the order writeback, direct, no-flush.
func flagTexts(f *results.CacheFlags) []string {
	if f == nil {
		return []string{absent, absent, absent}
	}
	var texts []string
	for _, on := range []bool{f.Writeback, f.Direct, f.NoFlush} {
		if on {
			texts = append(texts, "on")
			continue
		}
		texts = append(texts, "off")
	}
	return texts
}

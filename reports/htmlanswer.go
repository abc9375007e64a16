package reports

import (
	"fmt"
	"slices"
	"strings"

	"platter/cell"
	"platter/results"
)

// answerView is what the top of the page says under some of the questions.
type answerView struct {
	ClassAnswer
	Verdicts verdictMatrix
}

// verdictMatrix has the disk's settings as rows and the workloads as columns: only cells of a column do the same work.
type verdictMatrix struct {
	Corner  string // what rows and columns are values of, where that is one axis each
	Columns []string
	Rows    []verdictRow
}

type verdictRow struct {
	Name  string
	Cells []matrixCell
}

// matrixCell is the worst that is said of a cell.
type matrixCell struct {
	Text, Class, Note, Detail string
	Best                      bool // the fastest SAFE one of its workload
}

// answerViews returns the answers with their verdicts; for a run without crash campaigns none.
func answerViews(m *Model) []answerView {
	var views []answerView
	for _, a := range m.Answers {
		views = append(views, answerView{a, newVerdictMatrix(m, a.Questions)})
	}
	return views
}

func newVerdictMatrix(m *Model, asked []cell.Question) verdictMatrix {
	var t verdictMatrix
	best := map[string]*advantage{} // by the id of a workload's fastest SAFE cell
	for _, g := range workloads(m.Cells) {
		whole := g
		g.cells = slices.DeleteFunc(slices.Clone(g.cells), func(c Cell) bool { return !m.safe(c, asked) })
		if c, ok := g.fastest(); ok {
			best[c.ID] = m.standard.against(whole, c, func(c Cell) bool { return m.safe(c, asked) })
		}
	}
	column, row := map[string]int{}, map[string]int{}
	for _, c := range m.Cells {
		work, name := c.work(), c.settings()
		if _, known := column[work]; !known {
			column[work] = len(t.Columns)
			t.Columns = append(t.Columns, work)
		}
		if _, known := row[name]; !known {
			row[name] = len(t.Rows)
			t.Rows = append(t.Rows, verdictRow{Name: name})
		}
	}
	t.name(m.Manifest.Axes)
	for i, r := range t.Rows {
		if text := m.Sides[r.Name]; text != "" {
			t.Rows[i].Name += ": " + text
		}
	}
	for i := range t.Rows {
		t.Rows[i].Cells = make([]matrixCell, len(t.Columns))
	}
	for _, c := range m.Cells {
		x := m.matrixCell(c, asked)
		var gain *advantage
		gain, x.Best = best[c.ID]
		x.Detail += gain.String()
		if note := gain.note(); note != "" {
			x.Note += " · " + note
		}
		t.Rows[row[c.settings()]].Cells[column[c.work()]] = x
	}
	return t
}

// name leaves the axis out of names that are values of one.
func (t *verdictMatrix) name(axes []string) {
	var disk, work []string
	for _, a := range axes {
		if ofDisk(a) {
			disk = append(disk, short(a))
		} else {
			work = append(work, short(a))
		}
	}
	t.Corner = "setting"
	if len(disk) == 1 {
		t.Corner = disk[0]
		for i, r := range t.Rows {
			t.Rows[i].Name = strings.TrimPrefix(r.Name, disk[0]+"=")
		}
	}
	if len(work) == 1 {
		t.Corner += " \\ " + work[0]
		for i, c := range t.Columns {
			t.Columns[i] = strings.TrimPrefix(c, work[0]+"=")
		}
	}
}

// work returns the values of the cell's axes that are not the disk's: "fsync=1".
func (c Cell) work() string {
	var axes cell.Settings
	for _, a := range c.Axes {
		if !ofDisk(a.Name) {
			axes = append(axes, a)
		}
	}
	return labelOf(axes)
}

// matrixCell returns the worst verdict under the questions, with the classes that it is under where it is not under all.
func (m *Model) matrixCell(c Cell, asked []cell.Question) matrixCell {
	worst := m.worst(c, asked)
	x := matrixCell{Note: iops(c.IOPS)}
	var under []string
	exposed := -1
	for i, q := range asked {
		r := m.Safety.row(c.ID, q)
		if r == nil || r.Status != results.OK {
			if worst == "" {
				under = append(under, q.String())
			}
			continue
		}
		if r.Verdict == worst && !slices.Contains(under, q.String()) {
			under = append(under, q.String())
		}
		if e := r.Exposure; worst == results.NoPromise && e.Writes > 0 && (exposed < 0 || e.MS > m.Safety.row(c.ID, asked[exposed]).Exposure.MS) {
			exposed = i
		}
	}
	switch worst {
	case "":
		x.Text, x.Class = "not judged", "quiet"
	case results.NoPromise:
		x.Text, x.Class = "no promise", "quiet"
		x.Detail = "nothing is promised, and no acknowledged write is exposed"
		if exposed >= 0 {
			r := m.Safety.row(c.ID, asked[exposed])
			x.Note += " · " + r.Age()
			x.Detail = fmt.Sprintf("nothing is promised; a %s takes acknowledged writes of %s", asked[exposed], r.Age())
		}
		return x
	case results.Safe:
		x.Text, x.Class, x.Detail = "SAFE", "safe", "no promise broken at any judged crash point"
		return x
	default:
		x.Text, x.Class = worst, strings.ToLower(worst)
	}
	x.Detail = "under " + strings.Join(under, ", ")
	if len(under) < len(distinct(asked)) {
		x.Note += " · " + strings.Join(shortNames(under), ", ")
	}
	return x
}

// distinct returns the questions' names, each once.
func distinct(asked []cell.Question) []string {
	var names []string
	for _, q := range asked {
		if !slices.Contains(names, q.String()) {
			names = append(names, q.String())
		}
	}
	return names
}

// shortNames returns names of questions as the matrix has room for. What a power loss takes from behind a protected cache it takes from
// behind a volatile one, too.
func shortNames(names []string) []string {
	volatile := cell.Question{Class: cell.PowerLoss, DriveCache: "volatile"}.String()
	var texts []string
	for _, n := range names {
		if n != volatile && strings.HasPrefix(n, cell.Question{Class: cell.PowerLoss}.String()) && slices.Contains(names, volatile) {
			continue
		}
		texts = append(texts, strings.NewReplacer(" crash", "", " (volatile)", "", "power loss", "power").Replace(n))
	}
	return texts
}

package claims

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"platter/cell"
	"platter/results"
	"platter/text"
)

// alike is within how much two figures count as the same, where a claim says "=".
const alike = 0.1

// checkSafety gives a finding for each record or comparison that the check is about; none when the run did not ask for them.
func (e *evidence) checkSafety(check safetyCheck, cells []cell.Cell) []finding {
	questions := e.questions(check)
	if len(questions) == 0 {
		return nil
	}
	cells = slices.DeleteFunc(slices.Clone(cells), func(c cell.Cell) bool { return c.Unprobed != "" })
	switch {
	case check.Exposure != "":
		return e.exposureRises(check, cells, questions)
	case check.Safer != "":
		return e.safer(check, cells, questions)
	}
	var all []finding
	for _, c := range cells {
		for _, q := range questions {
			all = append(all, e.fate(check, c, q))
		}
	}
	return all
}

// questions are those of a check; none unless the run asks them all. Only a power loss depends on the drive's cache: of the
// others one drive cache stands for all.
func (e *evidence) questions(check safetyCheck) []cell.Question {
	var all []cell.Question
	for _, class := range check.After {
		drives := e.drives
		if class != cell.PowerLoss {
			drives = drives[:min(1, len(drives))]
		} else if len(check.Behind) > 0 {
			drives = check.Behind
		}
		for _, drive := range drives {
			if !slices.Contains(e.classes, class) || !slices.Contains(e.drives, drive) {
				return nil
			}
			all = append(all, cell.Question{Class: class, DriveCache: drive})
		}
	}
	return all
}

// record is a valid record, or the finding that there is none.
func (e *evidence) record(c cell.Cell, q cell.Question) (results.Safety, *finding) {
	name := label(c.Axes) + ", " + q.String()
	r, ok := e.records[cell.Question{Cell: c.ID, Class: q.Class, DriveCache: q.DriveCache}]
	var f finding
	switch {
	case !ok:
		f = unknown("%s: not judged yet", name)
	case r.Status != results.OK:
		f = unknown("%s: the crash campaign failed", name)
	case r.Verdict == results.Invalid:
		f = unknown("%s: INVALID, %s", name, r.Reason)
	case r.CrashPoints == 0:
		f = unknown("%s: no crash point of a log was judged", name)
	case len(r.Controls) == 0 || slices.ContainsFunc(r.Controls, func(c results.Control) bool { return !c.Lost }):
		f = unknown("%s: no control showed that a loss would be seen", name)
	default:
		return r, nil
	}
	return r, &f
}

// fate reports whether promised, or acknowledged, writes of a cell are kept or lost as the check says.
func (e *evidence) fate(check safetyCheck, c cell.Cell, q cell.Question) finding {
	r, none := e.record(c, q)
	if none != nil {
		return *none
	}
	name := label(c.Axes) + ", " + q.String()
	want, gone, figure := check.Promises, r.Verdict == results.Loses, promiseFigure(r)
	if check.Unpromised != "" {
		want, gone, figure = check.Unpromised, r.Exposure.Writes > 0, exposureFigure(r)
	}
	figure = name + ": " + figure
	switch {
	case check.Promises != "" && r.Verdict == results.NoPromise:
		return unknown("%s: nothing was promised", name)
	case check.Unpromised != "" && r.Writes == 0:
		return unknown("%s: nothing was acknowledged", name)
	case gone == (want == lost):
		return finding{state: holds, figure: figure}
	}
	return finding{state: fails, figure: figure, why: figure}
}

func promiseFigure(r results.Safety) string {
	line := fmt.Sprintf("%s of %s promises lost", text.Count(r.PromisesLost), text.Count(r.Promises))
	if r.PromisesLost == 0 && r.Verdict == results.Loses {
		line += ", and the file system damaged or a live cut lost"
	}
	return line
}

func exposureFigure(r results.Safety) string {
	if r.Exposure.Writes == 0 {
		return fmt.Sprintf("none of %s acknowledged writes lost", text.Count(r.Writes))
	}
	age := "up to"
	if r.Exposure.Censored {
		age = "at least"
	}
	return fmt.Sprintf("%s of %s acknowledged writes lost, %s %.3g s old", text.Count(r.Exposure.Writes), text.Count(r.Writes), age,
		r.Exposure.MS/1000)
}

// exposureRises looks at the cells that differ in one setting, its values rising.
func (e *evidence) exposureRises(check safetyCheck, cells []cell.Cell, questions []cell.Question) []finding {
	var all []finding
	for _, f := range families(cells, check.By) {
		steps := f.ascending(check.By)
		if len(steps) < 2 {
			continue
		}
		for _, q := range questions {
			all = append(all, e.rises(f, steps, check.By, q))
		}
	}
	return all
}

func (e *evidence) rises(f family, steps []string, by string, q cell.Question) finding {
	var exposed []int64
	var parts []string
	for _, v := range steps {
		r, none := e.record(f[v], q)
		if none != nil {
			return *none
		}
		exposed = append(exposed, r.Exposure.Writes)
		parts = append(parts, fmt.Sprintf("%s at %s=%s", text.Count(r.Exposure.Writes), short(by), written(f[v], by)))
	}
	figure := strings.TrimPrefix(f.label()+", ", ", ") + q.String() + ": writes exposed " + strings.Join(parts, ", ")
	if slices.IsSorted(exposed) && exposed[0] < exposed[len(exposed)-1] {
		return finding{state: holds, figure: figure}
	}
	return finding{state: fails, figure: figure, why: figure}
}

// written is a setting's value as the matrix has it.
func written(c cell.Cell, name string) string {
	if v, ok := c.Axes.Get(name); ok {
		return v.String()
	}
	return valueOf(c, name)
}

// standing is what the cells with one value of a setting lose at worst.
type standing struct {
	lost     float64   // the largest share of the promised writes, 0 to 1
	exposed  []float64 // writes, of each failure, the worst first; +Inf when they date from the start of the campaign
	failures []results.Safety
}

// safer looks at a chain of values over the cells that are alike but for the setting.
func (e *evidence) safer(check safetyCheck, cells []cell.Cell, questions []cell.Question) []finding {
	links := chain(check.Safer)
	var whole []family
	for _, f := range families(cells, check.By) {
		if f.has(values(links)) {
			whole = append(whole, f)
		}
	}
	if !slices.ContainsFunc(whole, func(f family) bool { return check.With.picks(f[links[0].left]) }) {
		return nil
	}
	at := map[string]standing{}
	for _, v := range values(links) {
		s, none := e.standing(whole, v, questions)
		if none != nil {
			return []finding{*none}
		}
		at[v] = s
	}
	var all []finding
	for _, l := range links {
		order := at[l.right].compare(at[l.left]) // above 0: the right one loses more
		f := finding{figure: fmt.Sprintf("%s: %s", l.left, at[l.left])}
		if (l.relation == equal) != (order == 0) || order < 0 {
			f.figure = fmt.Sprintf("not %s %s %s: %s; %s", l.left, l.relation, l.right, at[l.left], at[l.right])
			f.state, f.why = fails, f.figure
		}
		all = append(all, f)
	}
	last := links[len(links)-1].right
	return append(all, finding{figure: fmt.Sprintf("%s: %s", last, at[last])})
}

func (e *evidence) standing(whole []family, value string, questions []cell.Question) (standing, *finding) {
	var s standing
	for _, q := range questions {
		worst := results.Safety{Class: q.Class}
		exposed := -1.0
		for _, f := range whole {
			r, none := e.record(f[value], q)
			if none != nil {
				return s, none
			}
			if r.Promises > 0 {
				s.lost = max(s.lost, float64(r.PromisesLost)/float64(r.Promises))
			}
			if x := atRisk(r); x > exposed {
				worst, exposed = r, x
			}
		}
		s.exposed = append(s.exposed, exposed)
		s.failures = append(s.failures, worst)
	}
	slices.SortFunc(s.exposed, func(a, b float64) int { return cmp.Compare(b, a) })
	return s, nil
}

func atRisk(r results.Safety) float64 {
	if r.Exposure.Writes > 0 && r.Exposure.Censored {
		return math.Inf(1) // how much it is then says how long the campaign was
	}
	return float64(r.Exposure.Writes)
}

// compare is above 0 when s loses more than t, 0 when as much.
func (s standing) compare(t standing) int {
	if o := order(s.lost, t.lost); o != 0 {
		return o
	}
	for i := range min(len(s.exposed), len(t.exposed)) {
		if o := order(s.exposed[i], t.exposed[i]); o != 0 {
			return o
		}
	}
	return 0
}

func order(a, b float64) int {
	if a == b || math.Abs(a-b) <= alike*max(a, b) && !math.IsInf(max(a, b), 1) {
		return 0
	}
	return cmp.Compare(a, b)
}

func (s standing) String() string {
	var exposed []string
	for _, r := range s.failures {
		exposed = append(exposed, fmt.Sprintf("%s after a %s", text.Count(r.Exposure.Writes), cell.Question{Class: r.Class}))
	}
	return fmt.Sprintf("%.4g %% of promises lost, writes exposed %s", 100*s.lost, strings.Join(exposed, ", "))
}

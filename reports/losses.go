package reports

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"

	"platter/cell"
	"platter/powercut/replay"
	"platter/results"
	"platter/text"
)

// drawnLoss is the worst crash point of a cell that loses promises, as its operation log has it.
type drawnLoss struct {
	Name     string // of the cell and the failure
	Timeline *replay.Timeline
	Facts    [][2]string
	Again    Reproduction
	Text     string // the drawing for a terminal
}

// Limits of what of the logs is read and drawn: the rest is for platter replay.
const (
	maxDrawnLosses  = 8
	maxDrawnSteps   = 120
	maxDrawnLog     = 64 << 20 // bytes, as it is stored
	maxDrawnProblem = 4
)

// drawLosses draws the worst loss of each cell that has one, those first that the model did not predict. What cannot be drawn is said in
// problems: a run directory may have been copied without its raw files.
func drawLosses(m *Model) (drawn []drawnLoss, problems []string) {
	worst := map[string]SafetyRow{}
	var cells []string
	for _, r := range m.Safety.Rows {
		if r.Status != results.OK || r.Safety.Verdict != results.Loses || r.Worst == nil {
			continue
		}
		before, known := worst[r.Cell]
		if !known {
			cells = append(cells, r.Cell)
		}
		if !known || r.PromisesLost > before.PromisesLost {
			worst[r.Cell] = r
		}
	}
	predicted := func(id string) int {
		if worst[id].Surprise() != "" {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(cells, func(a, b string) int { return cmp.Compare(predicted(a), predicted(b)) })
	for i, id := range cells {
		r := worst[id]
		if i == maxDrawnLosses {
			problems = append(problems, fmt.Sprintf("%s more: platter replay --timeline draws them", text.Plural(len(cells)-i, "losing cell")))
			break
		}
		loss, err := drawLoss(m, r)
		if err != nil {
			problems = append(problems, labelOf(r.Axes)+": "+err.Error())
			continue
		}
		drawn = append(drawn, *loss)
	}
	if more := len(problems) - maxDrawnProblem; more > 0 {
		problems = append(problems[:maxDrawnProblem], fmt.Sprintf("and %d more", more))
	}
	return drawn, problems
}

// drawLoss draws the worst point of one row.
func drawLoss(m *Model, r SafetyRow) (*drawnLoss, error) {
	dir := results.SafetyDir(r.Cell)
	name := filepath.Join(dir, "oplog.gz")
	log := replay.Log{Name: name, Open: func() (io.ReadCloser, error) {
		f, err := results.Open(m.Dir, name)
		if err != nil {
			return nil, err
		}
		if info, err := f.Stat(); err != nil || info.Size() > maxDrawnLog {
			return nil, errors.Join(fmt.Errorf("it is larger than %d MiB: platter replay --timeline draws it", maxDrawnLog>>20), f.Close())
		}
		return f, nil
	}}
	f, err := results.Open(m.Dir, filepath.Join(dir, "campaign.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not in the run directory %s: copy its raw/ there, too, and make the report again", name, m.Dir)
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	campaign, err := replay.ReadCampaign(f)
	if err != nil {
		return nil, err
	}
	at := replay.At{Point: r.Worst.Point, Seed: r.Worst.Seed, Question: cell.Question{Class: r.Class, DriveCache: r.DriveCache}}
	line, err := replay.TimelineFile(log, campaign, at, maxDrawnSteps)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not in the run directory %s: copy its raw/ there, too, and make the report again", name, m.Dir)
	} else if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := Timeline(&b, line, false); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(m.Manifest.Cells, func(c cell.Cell) bool { return c.ID == r.Cell })
	return &drawnLoss{Name: labelOf(r.Axes) + ": " + questionName(m, r.Answers()), Timeline: line, Facts: TimelineFacts(line),
		Again: Reproduce(m.Manifest.Cells[i], m.Manifest.HypervisorOf(m.Manifest.Cells[i]), line), Text: b.String()}, nil
}

// viewTimeline is a timeline for page.js: positions among its steps instead of events, -1 for what is behind or before all of them.
type viewTimeline struct {
	Name   string     `json:"n"`
	Events []int64    `json:"e"` // of each step
	MS     []float64  `json:"t"`
	Texts  []string   `json:"x"`
	Lost   []int      `json:"l,omitempty"` // steps that are about a lost write
	Gaps   []int      `json:"g,omitempty"` // steps before which events are left out
	Host   []int64    `json:"h"`           // bytes after each step
	Drive  []int64    `json:"d"`
	Holder []string   `json:"w"`
	Cut    int        `json:"c"` // the last step before it
	CutMS  float64    `json:"m"`
	Near   [2]int     `json:"z"` // what to look at first
	Lanes  []viewLane `json:"a"`
}

type viewLane struct {
	Name  string   `json:"n"`
	Spans [][6]any `json:"s"` // kind, first step, last step, lost, text, label
	Marks [][4]any `json:"k"` // kind, step, lost, text
}

func newViewTimeline(l drawnLoss) viewTimeline {
	t := l.Timeline
	v := viewTimeline{Name: l.Name, CutMS: t.Cut.MS, Cut: -1}
	for i, s := range t.Steps {
		v.Events = append(v.Events, s.Event)
		v.MS = append(v.MS, s.MS)
		v.Texts = append(v.Texts, s.Text)
		v.Host = append(v.Host, s.Layers.Host)
		v.Drive = append(v.Drive, s.Layers.Drive)
		v.Holder = append(v.Holder, s.Holder)
		if s.Lost {
			v.Lost = append(v.Lost, i)
		}
		if s.Hidden > gapEvents {
			v.Gaps = append(v.Gaps, i)
		}
		if !s.Behind {
			v.Cut = i
		}
	}
	columns := timelineColumns(t, text.Columns-timelineLabel)
	promised := slices.IndexFunc(t.Steps, func(s replay.Step) bool { return t.Fate != nil && s.Event >= t.Fate.Promised.Event })
	v.Near = [2]int{max(0, promised-12), slices.Max(columns)}
	if t.Fate != nil && t.Fate.Arrived != nil {
		if arrived := v.step(t.Fate.Arrived.Event); arrived >= 0 {
			v.Near[0] = max(0, arrived-3)
		}
	}
	v.Near[0] = min(v.Near[0], max(0, v.Cut-12))
	for _, lane := range t.Lanes {
		w := viewLane{Name: lane.Name}
		if lane.Slot > 0 {
			w.Name = "" // of the one above
		}
		for _, s := range lane.Spans {
			last := len(t.Steps) - 1
			if s.To > 0 {
				last = v.step(s.To)
			}
			label := ""
			if s.Sequence > 0 {
				label = fmt.Sprint(s.Sequence)
			}
			first := v.step(s.From)
			if first < 0 || v.Events[first] < s.From { // it began among events that are left out
				first = min(first+1, last)
			}
			w.Spans = append(w.Spans, [6]any{s.Kind, first, last, s.Lost, s.Text, label})
		}
		for _, k := range lane.Marks {
			w.Marks = append(w.Marks, [4]any{k.Kind, v.step(k.Event), k.Lost, k.Text})
		}
		v.Lanes = append(v.Lanes, w)
	}
	return v
}

// step returns the last step up to an event; -1 where it is before all of them.
func (v *viewTimeline) step(event int64) int {
	i, is := slices.BinarySearch(v.Events, event)
	if is {
		return i
	}
	return i - 1
}

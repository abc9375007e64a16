package reports

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"platter/powercut/replay"
	"platter/text"
)

// timelineLabel is how many columns the name of a lane has.
const timelineLabel = 14

// TimelineSteps is how many events a timeline for a terminal is made of: about as many as have columns.
const TimelineSteps = 200

// Timeline draws a timeline for a terminal, in 80 columns: a column is an event of the log, a line is a lane. No colour says what letters
// do not say.
func Timeline(w io.Writer, t *replay.Timeline, color bool) error {
	p := &text.Printer{W: w}
	steps := timelineColumns(t, text.Columns-timelineLabel)
	d := &timelineDrawing{Timeline: t, steps: steps, at: map[int64]int{}}
	for column, i := range steps {
		if i >= 0 {
			d.at[t.Steps[i].Event] = column
		}
	}
	d.write(p, SparkLook{Color: color})
	return p.Err
}

// Columns of a drawing that are no step.
const (
	columnCut = -1 // the crash
	columnGap = -2 // steps without a column
)

// timelineColumns returns the steps that have a column, as positions among the timeline's: those next to the write's arrival, answer,
// promise and flush and to the cut. Between them stand columnCut and columnGap.
func timelineColumns(t *replay.Timeline, width int) []int {
	anchors := []int64{t.Cut.Event}
	if f := t.Fate; f != nil {
		anchors = append(anchors, f.Promised.Event)
		for _, m := range []*replay.Moment{f.Arrived, f.Answered, f.Flushed} {
			if m != nil {
				anchors = append(anchors, m.Event)
			}
		}
	}
	position := func(event int64) int {
		i, _ := slices.BinarySearchFunc(t.Steps, event, func(s replay.Step, e int64) int { return cmp.Compare(s.Event, e) })
		return i
	}
	distance := func(i int) int {
		least := len(t.Steps)
		for _, a := range anchors {
			least = min(least, max(i-position(a), position(a)-i))
		}
		return least
	}
	near := make([]int, len(t.Steps))
	for i := range near {
		near[i] = i
	}
	slices.SortStableFunc(near, func(a, b int) int { return distance(a) - distance(b) })
	kept := slices.Sorted(slices.Values(near[:min(len(near), width-1-2*len(anchors))]))
	var columns []int
	cut := false
	for n, i := range kept {
		if t.Steps[i].Behind && !cut {
			cut = true
			columns = append(columns, columnCut)
		}
		if i > 0 && (n == 0 || kept[n-1] != i-1) || t.Steps[i].Hidden > gapEvents {
			columns = append(columns, columnGap)
		}
		columns = append(columns, i)
	}
	if !cut {
		columns = append(columns, columnCut)
	}
	return columns[:min(len(columns), width)]
}

// gapEvents is how many events between two steps are more than the ends of records on the witness.
const gapEvents = 16

type timelineDrawing struct {
	*replay.Timeline
	steps []int // of each column
	at    map[int64]int
}

func (d *timelineDrawing) write(p *text.Printer, look SparkLook) {
	d.ruler(p)
	for _, l := range d.Lanes {
		name := l.Name
		if l.Slot > 0 {
			name = "  " + l.Name
		}
		d.line(p, name, d.lane(l), look)
	}
	for _, c := range []struct {
		name, holder string
		bytes        func(replay.Layers) int64
	}{
		{"in flight", replay.HolderFlight, nil},
		{"page cache", replay.HolderHost, func(l replay.Layers) int64 { return l.Host }},
		{"drive's cache", replay.HolderDrive, func(l replay.Layers) int64 { return l.Drive }},
		{"medium", replay.HolderMedium, nil},
	} {
		if d.Fate == nil && c.bytes == nil {
			continue
		}
		d.line(p, c.name, d.each(func(s replay.Step) byte {
			switch {
			case s.Holder == c.holder && s.Holder != "":
				return 'X'
			case c.bytes != nil && c.bytes(s.Layers) > 0:
				return 'o'
			}
			return '.'
		}), look)
	}
	p.Linef("")
	p.Hang("", "", d.legend())
	p.Linef("")
	for _, line := range TimelineFacts(d.Timeline) {
		p.Hang(fmt.Sprintf("%-10s", line[0]), strings.Repeat(" ", 10), line[1])
	}
	p.Linef("")
	d.list(p)
}

// ruler writes the numbers of the events at both ends, and of the cut.
func (d *timelineDrawing) ruler(p *text.Printer) {
	row := []byte(strings.Repeat(" ", len(d.steps)+8))
	put := func(column int, s string) {
		if from := max(0, column-len(s)+1); len(strings.TrimSpace(string(row[max(0, from-1):min(len(row), from+len(s)+1)]))) == 0 {
			copy(row[from:], s)
		}
	}
	cut := slices.Index(d.steps, columnCut)
	put(min(cut+1, len(d.steps)-1), "CUT")
	if first := slices.IndexFunc(d.steps, func(i int) bool { return i >= 0 }); first >= 0 {
		s := fmt.Sprint(d.Steps[d.steps[first]].Event)
		put(first+len(s)-1, s)
	}
	if last := len(d.steps) - 1; last >= 0 && d.steps[last] >= 0 {
		put(last, fmt.Sprint(d.Steps[d.steps[last]].Event))
	}
	p.Linef("%s", strings.TrimRight(fmt.Sprintf("%-*s", timelineLabel, "event")+string(row), " "))
}

// each returns a letter for each column: what of says of a step, and cut and gaps.
func (d *timelineDrawing) each(of func(replay.Step) byte) []byte {
	row := make([]byte, len(d.steps))
	for column, i := range d.steps {
		switch i {
		case columnCut:
			row[column] = '|'
		case columnGap:
			row[column] = ':'
		default:
			row[column] = of(d.Steps[i])
		}
	}
	return row
}

func (d *timelineDrawing) lane(l replay.Lane) []byte {
	row := d.each(func(replay.Step) byte { return ' ' })
	for _, s := range l.Spans {
		body, from, to := byte('='), byte('['), byte(']')
		switch {
		case s.Lost:
			body, from, to = 'X', 'X', 'X'
		case s.Kind == replay.SpanDsync:
			body = 'D'
		case s.Kind == replay.SpanFlush:
			body = '~'
		}
		for column, i := range d.steps {
			if i >= 0 && d.Steps[i].Event > s.From && (s.To == 0 || d.Steps[i].Event < s.To) {
				row[column] = body
			}
		}
		if c, is := d.at[s.From]; is {
			row[c] = from
		}
		if c, is := d.at[s.To]; is {
			row[c] = to
		}
	}
	for _, m := range l.Marks {
		c, is := d.at[m.Event]
		if !is {
			continue
		}
		row[c] = timelineMark(m)
	}
	return row
}

func timelineMark(m replay.Mark) byte {
	switch {
	case m.Lost:
		return '!'
	case m.Kind == replay.MarkPromise:
		return 'P'
	case m.Kind == replay.MarkAck:
		return 'a'
	case m.Kind == replay.MarkDurable:
		return '*'
	}
	return 'w'
}

// line writes a lane, what is lost in red and what would have come after the cut dim.
func (d *timelineDrawing) line(p *text.Printer, name string, row []byte, look SparkLook) {
	parts := []inked{{text: padded(cutTo(name, timelineLabel-1), timelineLabel)}}
	end := len(row)
	for end > 0 && row[end-1] == ' ' {
		end--
	}
	for column, letter := range row[:end] {
		ink := ""
		switch {
		case d.steps[column] == columnCut || letter == '!' || letter == 'X':
			ink = red
		case d.steps[column] >= 0 && d.Steps[d.steps[column]].Behind:
			ink = dim
		}
		if last := &parts[len(parts)-1]; column > 0 && last.ink == ink {
			last.text += string(letter)
			continue
		}
		parts = append(parts, inked{string(letter), ink})
	}
	inkedLine(p, parts, look)
}

// dim is ANSI's faint.
const dim = "2"

func (d *timelineDrawing) legend() string {
	said := "A column is an event of the log, no time. [==] write, from its arrival at the image to its answer; [DD] with DSYNC; [~*~] " +
		"flush, * its effect; P promise; a writes seen to return; w write-back or destaging; o a cache holds bytes that are not below it; | " +
		"the cut, and behind it what would have come; : events left out."
	if d.Fate != nil {
		said += " X a promised write that the crash takes, and where the one told of below lay; ! the promise that it breaks."
	}
	return said
}

// TimelineFacts returns what a timeline comes to, in pairs of a word and a sentence.
func TimelineFacts(t *replay.Timeline) [][2]string {
	f := t.Fate
	var cutLayers replay.Layers
	for _, s := range t.Steps {
		if !s.Behind {
			cutLayers = s.Layers
		}
	}
	caches := fmt.Sprintf("%s bytes were in the host's page cache alone, %s in the drive's", text.Count(cutLayers.Host),
		text.Count(cutLayers.Drive))
	cut := fmt.Sprintf("event %s, %.3f ms", text.Count(t.Cut.Event), t.Cut.MS)
	if f == nil {
		why := cmp.Or(t.Unjudged, "no promised write is lost here")
		return [][2]string{{"cut", cut + ": " + caches}, {"lost", why}}
	}
	all := [][2]string{{"lost", fmt.Sprintf("%s of %s promised writes; this is the one that was promised last:", text.Count(t.Lost),
		text.Count(t.Promises))}}
	has := "something else"
	if f.Found == 0 {
		has = "what was there before the campaign"
	} else if f.Found > 0 {
		has = fmt.Sprintf("version %d", f.Found)
	}
	all = append(all, [2]string{"write", fmt.Sprintf("%d of job %d: block %d, %s bytes at %s, version %d of it; the crash leaves %s",
		f.Sequence, f.Job, f.Block, text.Count(f.Bytes), text.Count(f.Offset), f.Generation, has)})
	since := func(m *replay.Moment, before replay.Moment) string {
		return fmt.Sprintf("event %s, %.3f ms, %.3f ms later", text.Count(m.Event), m.MS, m.MS-before.MS)
	}
	last := f.Promised
	if f.Arrived == nil {
		all = append(all, [2]string{"arrived", "never at the image: the guest or QEMU kept it"})
	} else {
		all = append(all, [2]string{"arrived", fmt.Sprintf("event %s, %.3f ms: at the image", text.Count(f.Arrived.Event), f.Arrived.MS)})
		last = *f.Arrived
		if f.Answered != nil {
			all = append(all, [2]string{"answered", since(f.Answered, last) + ": by the disk to QEMU"})
			last = *f.Answered
		}
	}
	all = append(all, [2]string{"promised", since(&f.Promised, last) + ": the application was told that it is durable"})
	all = append(all, [2]string{"cut", since(&t.Cut, f.Promised) + ": it lay in " + timelineHolder(t) + "; " + caches})
	if f.Flushed != nil {
		return append(all, [2]string{"flushed", since(f.Flushed, f.Promised) + " than the promise: the first flush that covers it would have " +
			"come then"})
	}
	if t.Events == t.Cut.Event {
		return append(all, [2]string{"flushed", "by nothing: the log ends at the cut"})
	}
	return append(all, [2]string{"flushed", fmt.Sprintf("by nothing in the log up to event %s, %s behind the cut", text.Count(t.Events),
		text.Plural(t.Events-t.Cut.Event, "event"))})
}

// list writes what the columns are, each in a line.
func (d *timelineDrawing) list(p *text.Printer) {
	p.Linef("%9s %11s  %s", "event", "ms", "what")
	for _, i := range d.steps {
		switch i {
		case columnCut:
			p.Linef("%9s %11s  %s", strings.Repeat("-", 9), "", "THE CUT; what follows would have come")
		case columnGap:
			p.Linef("%9s", ":")
		default:
			s := d.Steps[i]
			mark := " "
			if s.Lost {
				mark = "!"
			}
			p.Hang(fmt.Sprintf("%9d %11.3f %s", s.Event, s.MS, mark), strings.Repeat(" ", 25), s.Text)
		}
	}
}

// timelineHolder returns where the write lay at the cut, in words.
func timelineHolder(t *replay.Timeline) string {
	where := "nothing on this side of the guest"
	for _, s := range t.Steps {
		if s.Behind {
			break
		}
		switch s.Holder {
		case replay.HolderFlight:
			where = "a write in flight"
		case replay.HolderHost:
			where = "the host's page cache"
		case replay.HolderDrive:
			where = "the drive's cache"
		case replay.HolderMedium:
			where = "the medium"
		}
	}
	return where
}

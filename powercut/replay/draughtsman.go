package replay

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"platter/powercut/oplog"
	"platter/powercut/witness"
)

// draughtsman is the second reading of a log: it draws what the windows show.
type draughtsman struct {
	Timeline
	*survey
	windows []window
	clerk   *clerk
	judge   *judge // nil where the log cannot be judged
	walks   []*witness.Walk
	host    ranges // of the data image, what lies in the host's page cache alone
	drive   ranges // likewise in the drive's
	hidden  int64  // events since the last step that are none
	moves   int64  // write-backs in the last step
	open    map[uint64]*laned
	fateOp  uint64 // operation that wrote the fate's write
	spans   []*laned
	marks   []laned
}

// laned is a span or a mark with its lane.
type laned struct {
	lane lane
	name string // of the span's operation
	span Span
	mark Mark
}

// lane is a job by its number, or what is nobody's.
type lane uint16

const (
	laneOthers lane = witness.MaxJobs + iota
	laneFlushes
	laneMoves
)

// String returns the name that people see.
func (l lane) String() string {
	if l < laneOthers {
		return fmt.Sprintf("job %d", uint16(l))
	}
	return [...]string{"others", "flushes", "write-back"}[l-laneOthers]
}

// shows reports whether an event is in a window.
func (d *draughtsman) shows(event int64) bool {
	return slices.ContainsFunc(d.windows, func(w window) bool { return w.from <= event && event <= w.to })
}

// read goes through the log until a flush after the cut has covered the write, or the last window ends.
func (d *draughtsman) read(log source) error {
	reader, closer, err := log()
	if err != nil {
		return err
	}
	defer closer.Close()
	if d.unjudged == "" {
		if d.judge, err = newJudge(reader, d.campaign); err != nil {
			return err
		}
	}
	err = each(reader, -1, func(e oplog.Event, data []byte) error {
		d.Events = reader.Events()
		if err := d.take(e, data); err != nil {
			return err
		}
		if d.Events >= d.windows[len(d.windows)-1].to {
			return errEnough
		}
		return nil
	})
	if err != nil && d.Events < d.Cut.Event { // what comes behind the cut is there to be looked at, as far as it goes
		return err
	}
	for _, l := range d.open {
		if d.shows(l.span.From) {
			d.spans = append(d.spans, l)
		}
	}
	d.lay()
	return nil
}

// errEnough ends the reading of a log.
var errEnough = errors.New("the windows end here")

// take takes in an event, and makes it a step where it is one.
func (d *draughtsman) take(e oplog.Event, data []byte) error {
	step := Step{Moment: Moment{d.Events, milliseconds(e.TimeNS)}, Behind: d.Events > d.Cut.Event}
	told := false
	err := d.clerk.read(e, data, func(r witness.Record, before uint32) {
		told = told || r.Sequence > before
		d.told(&step, r, before)
	})
	if err == nil && d.judge != nil {
		err = d.judge.take(e, data)
	}
	if err != nil {
		return err
	}
	if e.Image == d.campaign.Data && e.Kind != oplog.Cut {
		d.asked(&step, e, data)
	} else if !told {
		d.hidden++
		return nil
	}
	if !d.shows(step.Event) {
		d.hidden++
		return nil
	}
	step.Layers = Layers{Host: d.host.bytes(), Drive: d.drive.bytes()}
	step.Holder = d.holder()
	step.Hidden = d.hidden
	d.hidden = 0
	last := len(d.Steps) - 1
	if moved := e.Kind == oplog.Writeback || e.Kind == oplog.Destage; !moved {
		d.moves = 0
	} else if d.moves++; d.moves > 1 && d.Steps[last].Holder == step.Holder && d.Steps[last].Behind == step.Behind && step.Hidden == 0 {
		step.Text = fmt.Sprintf("%d stretches are written back or destaged", d.moves)
		step.Hidden = d.Steps[last].Hidden + 1
		d.Steps = d.Steps[:last]
	} else {
		d.moves = 1
	}
	d.Steps = append(d.Steps, step)
	return nil
}

// holder returns what holds the write of the fate now; empty where nothing does.
func (d *draughtsman) holder() string {
	if d.Fate == nil || d.Fate.Arrived == nil {
		return ""
	}
	b := d.block(witness.Stamp{Job: d.Fate.Job, Block: d.Fate.Block})
	for l := medium; ; l-- {
		switch {
		case d.judge.oldestSector(l, b) >= int32(d.Fate.Generation):
			return [...]string{HolderFlight, HolderHost, HolderDrive, HolderMedium}[l]
		case l == arrived:
			return ""
		}
	}
}

// told takes in what the probe said on the witness disk.
func (d *draughtsman) told(step *Step, r witness.Record, before uint32) {
	if r.Sequence == before {
		return
	}
	m := Mark{Kind: MarkAck, Event: step.Event, Sequence: r.Sequence,
		Text: fmt.Sprintf("job %d: writes up to %d have returned", r.Job, r.Sequence)}
	if r.Kind == witness.Promise {
		m.Kind = MarkPromise
		m.Text = fmt.Sprintf("job %d: writes up to %d are promised", r.Job, r.Sequence)
	}
	if r.Kind == witness.Promise && d.judge != nil {
		if d.walks[r.Job] == nil {
			d.walks[r.Job] = d.campaign.Layout.Walk(r.Job)
		}
		for range r.Sequence - before {
			stamp := d.walks[r.Job].Next()
			stamp.Job = r.Job
			m.Lost = m.Lost || d.survey.lost(stamp)
		}
	}
	step.Lost = step.Lost || m.Lost
	step.Lane = lane(r.Job).String()
	step.Text = joined(step.Text, m.Text)
	if d.shows(step.Event) {
		d.marks = append(d.marks, laned{lane: lane(r.Job), mark: m})
	}
}

func joined(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

// asked takes in an event of the data image.
func (d *draughtsman) asked(step *Step, e oplog.Event, data []byte) {
	from, length := d.campaign.sectorsOf(e.Offset, e.Length)
	switch e.Kind {
	case oplog.Write, oplog.Flush:
		d.begin(step, e, data)
	case oplog.WriteEnd:
		where := "the host's page cache"
		switch {
		case e.Flags&oplog.Dsync != 0:
			d.host.remove(from, length)
			d.drive.remove(from, length)
			where = "the medium"
		case e.Flags&oplog.Direct != 0:
			d.host.remove(from, length)
			d.drive.add(from, length)
			where = "the drive's cache"
		default:
			d.host.add(e.Offset, e.Length)
		}
		d.end(step, e, " is answered, in "+where)
	case oplog.FlushEnd:
		d.end(step, e, " is answered")
	case oplog.Flushed:
		d.host = nil
		d.drive = nil
		step.Text = "flush takes effect: all answered before is on the medium"
		if f := d.Fate; f != nil && f.Answered != nil && f.Flushed == nil && step.Behind {
			f.Flushed = &step.Moment
			step.Text = fmt.Sprintf("flush takes effect: write %d of job %d would be on the medium now", f.Sequence, f.Job)
			last := &d.windows[len(d.windows)-1]
			last.to = min(last.to, step.Event+stepsBefore/2)
		}
		d.mark(step, laneFlushes, MarkDurable)
	case oplog.Writeback:
		for _, r := range d.host.remove(from, length) {
			d.drive.add(r.from, r.to-r.from)
		}
		step.Text = fmt.Sprintf("%d bytes at %d are written back to the drive's cache", e.Length, e.Offset)
		d.mark(step, laneMoves, MarkMove)
	case oplog.Destage:
		d.drive.remove(from, length)
		step.Text = fmt.Sprintf("%d bytes at %d are destaged to the medium", e.Length, e.Offset)
		d.mark(step, laneMoves, MarkMove)
	}
}

func (d *draughtsman) mark(step *Step, l lane, kind string) {
	step.Lane = l.String()
	if d.shows(step.Event) {
		d.marks = append(d.marks, laned{lane: l, mark: Mark{Kind: kind, Event: step.Event, Text: step.Text}})
	}
}

// begin takes in the arrival of an operation at the image.
func (d *draughtsman) begin(step *Step, e oplog.Event, data []byte) {
	l := &laned{lane: laneFlushes, name: "flush", span: Span{Kind: SpanFlush, From: step.Event}}
	how := ""
	if e.Kind == oplog.Write {
		l.lane = laneOthers
		l.span.Kind = SpanWrite
		l.name = "another write"
		how = fmt.Sprintf(", %d B at %d, buffered", e.Length, e.Offset)
		if e.Flags&oplog.Direct != 0 {
			how = fmt.Sprintf(", %d B at %d, O_DIRECT", e.Length, e.Offset)
		}
		if e.Flags&oplog.Dsync != 0 {
			l.span.Kind = SpanDsync
			how += ", DSYNC"
		}
		if e.Flags&oplog.Zero != 0 {
			l.name = "discard or write of zeros"
		}
		stamps := d.stamps(e, data)
		if len(stamps) > 0 {
			first, last := stamps[0], stamps[len(stamps)-1]
			l.lane = lane(first.Job)
			l.span.Sequence = first.Sequence
			l.name = fmt.Sprintf("job %d: write %d", first.Job, first.Sequence)
			if last != first {
				l.name = fmt.Sprintf("job %d: write %d and %d more", first.Job, first.Sequence, len(stamps)-1)
			}
		}
		for _, stamp := range stamps {
			l.span.Lost = l.span.Lost || d.survey.lost(stamp)
			if f := d.Fate; f != nil && f.Job == stamp.Job && f.Sequence == stamp.Sequence && f.Arrived == nil {
				f.Arrived = &step.Moment
				d.fateOp = e.Op
			}
		}
	}
	l.span.Text = l.name + how
	step.Lane = l.lane.String()
	step.Lost = l.span.Lost
	step.Text = l.name + " arrives" + how
	d.open[e.Op] = l
}

// end takes in the end of an operation.
func (d *draughtsman) end(step *Step, e oplog.Event, how string) {
	l := d.open[e.Op]
	if l == nil { // a flush that began before the log, say
		step.Lane = laneFlushes.String()
		step.Text = "an operation that is not in the log" + how
		return
	}
	delete(d.open, e.Op)
	l.span.To = step.Event
	step.Lane = l.lane.String()
	step.Lost = l.span.Lost
	step.Text = l.name + how
	if d.Fate != nil && d.Fate.Arrived != nil && d.Fate.Answered == nil && e.Op == d.fateOp {
		d.Fate.Answered = &step.Moment
	}
	if d.shows(l.span.From) || d.shows(l.span.To) {
		d.spans = append(d.spans, l)
	}
}

// lay puts spans and marks on lanes, a job's first; what overlaps has lanes of its own.
func (d *draughtsman) lay() {
	slices.SortFunc(d.spans, func(a, b *laned) int { return cmp.Compare(a.span.From, b.span.From) })
	type place struct {
		lane
		slot int
	}
	places := map[place]*Lane{}
	at := func(p place) *Lane {
		if places[p] == nil {
			places[p] = &Lane{Name: p.lane.String(), Slot: p.slot}
		}
		return places[p]
	}
	for _, l := range d.spans {
		p := place{lane: l.lane}
		for busy := true; busy; p.slot++ {
			spans := at(p).Spans
			busy = len(spans) > 0 && (spans[len(spans)-1].To == 0 || spans[len(spans)-1].To > l.span.From)
			if !busy {
				at(p).Spans = append(spans, l.span)
			}
		}
	}
	for _, l := range d.marks {
		first := at(place{lane: l.lane})
		first.Marks = append(first.Marks, l.mark)
	}
	inOrder := func(a, b place) int { return cmp.Or(cmp.Compare(a.lane, b.lane), a.slot-b.slot) }
	for _, p := range slices.SortedFunc(maps.Keys(places), inOrder) {
		d.Lanes = append(d.Lanes, *places[p])
	}
}

package replay

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"platter/powercut/oplog"
	"platter/powercut/witness"
)

// Timeline is what was asked of a disk around a crash point, and what became of one promised write that the crash takes: steps in the
// order of the log, and lanes with what lasted from one step to another. A log has the order of things for certain; how long they took
// is the server's clock.
type Timeline struct {
	Class      string `json:"class"`
	DriveCache string `json:"drive_cache"`
	Seed       uint64 `json:"seed"`
	Cut        Moment `json:"cut"`    // the crash point: what comes later in the log would not have happened
	Events     int64  `json:"events"` // of the log up to the last step
	Promises   int64  `json:"promises"`
	Lost       int64  `json:"promises_lost"`
	// Unjudged is why it cannot be told from the log alone what is lost; empty where it can.
	Unjudged string `json:"unjudged,omitempty"`
	Fate     *Fate  `json:"fate,omitempty"`
	Steps    []Step `json:"steps"`
	Lanes    []Lane `json:"lanes"`
}

// Moment is a place in the log.
type Moment struct {
	Event int64   `json:"event"` // from 1
	MS    float64 `json:"ms"`    // since the log began
}

// Step is an event that is drawn. Runs of write-back and destaging are one step, at their last event.
type Step struct {
	Moment
	Text   string `json:"text"`
	Lost   bool   `json:"lost,omitempty"`   // it is about a promised write that the crash takes
	Behind bool   `json:"behind,omitempty"` // it comes after the cut
	Hidden int64  `json:"hidden,omitempty"` // how many events before it, since the step before, are not steps
	Layers Layers `json:"layers"`           // after it
	Holder string `json:"holder,omitempty"` // what holds Fate's write after it: HolderFlight, HolderHost, HolderDrive or HolderMedium
	Lane   string `json:"lane"`             // name of the lane that it is on
}

// Layers are the bytes of the data image that lie in a cache and not below it.
type Layers struct {
	Host  int64 `json:"host_bytes"`
	Drive int64 `json:"drive_bytes"`
}

// Holders of a write, from the newest content to the oldest.
const (
	HolderFlight = "flight"
	HolderHost   = "host"
	HolderDrive  = "drive"
	HolderMedium = "medium"
)

// Lane is what one job, or everybody else, asked for, one after the other: what overlaps in time has lanes of its own.
type Lane struct {
	Name  string `json:"name"` // "job 0", "others", "flushes" or "write-back"; Slot tells those with one name apart
	Slot  int    `json:"slot"` // from 0
	Spans []Span `json:"spans"`
	Marks []Mark `json:"marks,omitempty"`
}

// Kinds of spans and marks.
const (
	SpanWrite   = "write" // from its arrival at the image until just before its reply
	SpanDsync   = "dsync" // a write with O_DSYNC or RWF_DSYNC, which is on the medium at its end
	SpanFlush   = "flush"
	MarkPromise = "promise"      // the application is promised all writes of the job up to Sequence
	MarkAck     = "acknowledged" // they have returned to it; the probe tells that when it has time
	MarkDurable = "durable"      // the effect of a flush
	MarkMove    = "moved"        // write-back or destaging
)

// Span is an operation.
type Span struct {
	Kind string `json:"kind"`
	From int64  `json:"from"` // event of its arrival
	To   int64  `json:"to"`   // event of its end, 0 where the timeline ends before
	Text string `json:"text"`
	Lost bool   `json:"lost,omitempty"` // it wrote a promised write that the crash takes
	// Sequence is the first of the probe's writes in it; 0 where there is none.
	Sequence uint32 `json:"sequence,omitempty"`
}

// Mark is something that takes no time.
type Mark struct {
	Kind     string `json:"kind"`
	Event    int64  `json:"event"`
	Sequence uint32 `json:"sequence,omitempty"`
	Text     string `json:"text"`
	Lost     bool   `json:"lost,omitempty"` // a promise that the crash breaks
}

// Fate is what became of a promised write that the crash takes: the one of those that was promised last.
type Fate struct {
	Job        uint16  `json:"job"`
	Sequence   uint32  `json:"sequence"`
	Block      uint32  `json:"block"`
	Generation uint32  `json:"generation"`
	Found      int32   `json:"found"` // generation that the crash leaves; -1 is something else
	Offset     int64   `json:"offset"`
	Bytes      int64   `json:"bytes"`
	Arrived    *Moment `json:"arrived,omitempty"`  // at the image; nil where no write of the log has its stamp
	Answered   *Moment `json:"answered,omitempty"` // by the disk, to QEMU
	Promised   Moment  `json:"promised"`
	// Flushed is the effect of the first flush that covers it, after the cut; nil where none came before the last step.
	Flushed *Moment `json:"flushed,omitempty"`
	// First says that it arrived before any write of the data image had been answered in this log.
	First bool `json:"first"`
}

// MaxSteps is how many events of a log a timeline looks at closely at most.
const MaxSteps = 400

// Of these so many come before the write that it is about at least, and at most so many after the cut.
const (
	stepsBefore = 12
	stepsBehind = 96
)

// TimelineFile makes the timeline of a crash from a log, plain or gzip'd, of at most steps events (from 60 to MaxSteps) up to the cut. The
// log is read twice. A point that the log does not have is a PointError.
func TimelineFile(in Log, c Campaign, at At, steps int) (*Timeline, error) {
	t, err := timeline(in.source, c, at, min(max(steps, 60), MaxSteps))
	return t, in.in(err)
}

func timeline(log source, c Campaign, at At, steps int) (*Timeline, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	left, err := survivorOf(at.Question)
	if err != nil {
		return nil, err
	}
	s := &survey{campaign: c, arrivals: map[sequence]int64{}, promises: make([][]promised, c.Layout.Jobs)}
	if err := s.read(log, at, left); err != nil {
		return nil, err
	}
	d := &draughtsman{survey: s, windows: s.windows(int64(steps)), clerk: newClerk(c), open: map[uint64]*laned{},
		walks: make([]*witness.Walk, c.Layout.Jobs)}
	ledger := Ledger{Jobs: s.upTo}
	d.Timeline = Timeline{Class: at.Class, DriveCache: at.DriveCache, Seed: at.Seed, Cut: s.cut, Promises: ledger.Promises(),
		Lost: s.lostCount, Unjudged: s.unjudged, Fate: s.fate}
	if err := d.read(log); err != nil {
		return nil, err
	}
	return &d.Timeline, nil
}

// sequence names a write of a job.
type sequence struct {
	job uint16
	n   uint32
}

// promised is a promise on the witness: all writes up to n.
type promised struct {
	n  uint32
	at Moment
}

// survey is the first reading of a log, up to the crash point: what the crash takes, and where in the log to look.
type survey struct {
	campaign Campaign
	cut      Moment
	unjudged string

	arrivals  map[sequence]int64 // event at which a write first arrived at the image
	answered  int64              // event at which the first write of the image was answered; 0 is none
	promises  [][]promised       // of each job
	found     []int32            // of each block, the generation that the crash leaves; nil where that cannot be told
	upTo      []Account          // at the crash
	lostCount int64
	fate      *Fate
}

func (s *survey) read(log source, at At, left layer) error {
	reader, closer, err := log()
	if err != nil {
		return err
	}
	defer closer.Close()
	if err := s.campaign.checkLog(reader); err != nil {
		return err
	}
	judge, err := newJudge(reader, s.campaign)
	if errors.Is(err, errPattern) {
		s.unjudged = fmt.Sprintf("what is lost of the pattern %s on %s cannot be told from the log alone", s.campaign.Layout.Pattern,
			s.campaign.Format)
	} else if err != nil {
		return err
	}
	clerk := newClerk(s.campaign)
	err = each(reader, at.Point, func(e oplog.Event, data []byte) error {
		s.cut = Moment{reader.Events(), milliseconds(e.TimeNS)}
		if e.Image == s.campaign.Data {
			if e.Kind == oplog.WriteEnd && s.answered == 0 {
				s.answered = s.cut.Event
			}
			for _, stamp := range s.stamps(e, data) {
				if id := (sequence{stamp.Job, stamp.Sequence}); s.arrivals[id] == 0 {
					s.arrivals[id] = s.cut.Event
				}
			}
		}
		err := clerk.read(e, data, func(r witness.Record, before uint32) {
			if r.Kind == witness.Promise && r.Sequence > before {
				s.promises[r.Job] = append(s.promises[r.Job], promised{r.Sequence, s.cut})
			}
		})
		if err == nil && judge != nil {
			err = judge.take(e, data)
		}
		return err
	})
	if err != nil {
		return err
	}
	s.upTo = clerk.jobs
	if judge != nil {
		s.lose(judge, left, at.Seed)
	}
	return nil
}

// stamps returns the probe's stamps in a write, one of each of its own writes.
func (s *survey) stamps(e oplog.Event, data []byte) []witness.Stamp {
	if e.Kind != oplog.Write {
		return nil
	}
	var all []witness.Stamp
	skip := (witness.SectorSize - e.Offset%witness.SectorSize) % witness.SectorSize
	for at := skip; at+witness.SectorSize <= int64(len(data)); at += witness.SectorSize {
		stamp, ok := witness.ReadStamp(data[at:])
		if !ok || stamp.Campaign != s.campaign.Layout.Campaign || int(stamp.Job) >= s.campaign.Layout.Jobs || stamp.Sequence == 0 {
			continue
		}
		if n := len(all); n == 0 || all[n-1].Job != stamp.Job || all[n-1].Sequence != stamp.Sequence {
			all = append(all, stamp)
		}
	}
	return all
}

// lose finds what the crash takes, and of that the write that was promised last.
func (s *survey) lose(j *judge, left layer, seed uint64) {
	dice := s.campaign.dice(seed)
	s.found = make([]int32, len(j.blocks))
	for b := range j.blocks {
		v := j.subset(left, uint32(b), dice)
		s.found[b] = v.gen
		s.lostCount += v.lost
	}
	for job, account := range s.upTo {
		walk := s.campaign.Layout.Walk(uint16(job))
		next := 0 // among the job's promises
		for range account.Promised {
			stamp := walk.Next()
			stamp.Job = uint16(job)
			for s.promises[job][next].n < stamp.Sequence {
				next++
			}
			promise := s.promises[job][next].at
			if !s.lost(stamp) || s.fate != nil && promise.Event < s.fate.Promised.Event {
				continue
			}
			s.fate = &Fate{Job: stamp.Job, Sequence: stamp.Sequence, Block: stamp.Block, Generation: stamp.Generation,
				Found: s.found[s.block(stamp)], Bytes: int64(s.campaign.Layout.BlockBytes), Promised: promise}
		}
	}
	if s.fate == nil {
		return
	}
	parts := 0
	j.homes.ofBlock(s.block(witness.Stamp{Job: s.fate.Job, Block: s.fate.Block}), func(part stretch) {
		if parts++; parts == 1 {
			s.fate.Offset = part.image
		}
	})
	arrival := s.arrivals[sequence{s.fate.Job, s.fate.Sequence}]
	s.fate.First = arrival > 0 && (s.answered == 0 || arrival < s.answered)
}

// block returns the number of a stamp's block among those of all jobs.
func (s *survey) block(stamp witness.Stamp) uint32 {
	return uint32(stamp.Job)*uint32(s.campaign.Layout.Blocks) + stamp.Block
}

// lost reports whether a write was promised before the crash, and is taken by it.
func (s *survey) lost(stamp witness.Stamp) bool {
	return s.found != nil && stamp.Block < uint32(s.campaign.Layout.Blocks) && stamp.Generation <= math.MaxInt32 &&
		stamp.Sequence <= s.upTo[stamp.Job].Promised && s.found[s.block(stamp)] < int32(stamp.Generation)
}

// window is a stretch of the log that is drawn, from its first event to its last.
type window struct{ from, to int64 }

// windows returns where to look: from before the write's arrival until after the cut, or, where that is more than steps events to the
// cut, around the arrival, the promise and the cut.
func (s *survey) windows(steps int64) []window {
	cut := s.cut.Event
	end := cut + stepsBehind
	if s.fate == nil {
		return []window{{cut - steps + 1, end}}
	}
	begin := s.fate.Promised.Event
	if arrival := s.arrivals[sequence{s.fate.Job, s.fate.Sequence}]; arrival > 0 {
		begin = min(begin, arrival)
	}
	if room := steps - (cut - begin + 1); room >= stepsBefore {
		return []window{{begin - min(room, steps/2), end}}
	}
	part := steps / 3
	all := []window{{begin - stepsBefore, begin + part - stepsBefore}}
	for _, next := range []window{{s.fate.Promised.Event - part/2, s.fate.Promised.Event + part/2}, {cut - part, end}} {
		if last := &all[len(all)-1]; next.from <= last.to {
			last.to = max(last.to, next.to)
			continue
		}
		all = append(all, next)
	}
	return all
}

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

// ranges is a set of bytes: stretches in order that do not touch.
type ranges []struct{ from, to int64 }

// add puts a stretch into the set.
func (r *ranges) add(from, length int64) {
	if length == 0 {
		return
	}
	to := from + length
	i, _ := slices.BinarySearchFunc(*r, from, func(s struct{ from, to int64 }, at int64) int { return cmp.Compare(s.to, at) })
	end := i
	for end < len(*r) && (*r)[end].from <= to {
		from = min(from, (*r)[end].from)
		to = max(to, (*r)[end].to)
		end++
	}
	*r = slices.Replace(*r, i, end, struct{ from, to int64 }{from, to})
}

// remove takes a stretch out of the set, and returns what of it was there.
func (r *ranges) remove(from, length int64) ranges {
	if length == 0 {
		return nil
	}
	to := from + length
	i, _ := slices.BinarySearchFunc(*r, from, func(s struct{ from, to int64 }, at int64) int { return cmp.Compare(s.to, at+1) })
	end := i
	var gone, rest ranges
	for end < len(*r) && (*r)[end].from < to {
		s := (*r)[end]
		if s.from < from {
			rest = append(rest, struct{ from, to int64 }{s.from, from})
		}
		gone = append(gone, struct{ from, to int64 }{max(s.from, from), min(s.to, to)})
		if s.to > to {
			rest = append(rest, struct{ from, to int64 }{to, s.to})
		}
		end++
	}
	*r = slices.Replace(*r, i, end, rest...)
	return gone
}

func (r ranges) bytes() int64 {
	var n int64
	for _, s := range r {
		n += s.to - s.from
	}
	return n
}

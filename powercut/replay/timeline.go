package replay

import (
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

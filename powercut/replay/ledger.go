package replay

import (
	"errors"
	"fmt"
	"slices"

	"platter/powercut/oplog"
	"platter/powercut/witness"
)

// Ledger is what was promised and acknowledged at a crash point.
type Ledger struct {
	Layout witness.Layout `json:"layout"`
	Jobs   []Account      `json:"jobs"` // by their numbers
	Point  int64          `json:"point"`
	MS     float64        `json:"ms"` // since the log began

	acknowledgements [][]acknowledgement // of each job, its acknowledgements; of those that a promise covers some may be missing
}

// acknowledgement is a record of the witness that writes have returned.
type acknowledgement struct {
	sequence uint32 // all writes up to this
	timeNS   int64
	first    bool // of its job
}

// Account is what the witness disk has of a job: 0 is nothing.
type Account struct {
	Promised     uint32 `json:"promised"`     // all writes up to this sequence are promised
	Acknowledged uint32 `json:"acknowledged"` // all writes up to this sequence have returned, as far as the witness has it
}

// Promises returns how many writes were promised.
func (l *Ledger) Promises() int64 {
	var n int64
	for _, j := range l.Jobs {
		n += int64(j.Promised)
	}
	return n
}

// Writes returns how many writes returned to the application, as far as the witness has it.
func (l *Ledger) Writes() int64 {
	var n int64
	for _, j := range l.Jobs {
		n += int64(max(j.Promised, j.Acknowledged))
	}
	return n
}

// Sequences returns the jobs' accounts in two lists, by the jobs' numbers.
func (l *Ledger) Sequences() (promised, acknowledged []uint32) {
	for _, j := range l.Jobs {
		promised = append(promised, j.Promised)
		acknowledged = append(acknowledged, j.Acknowledged)
	}
	return promised, acknowledged
}

// Age returns how old the oldest of a number of exposed writes is at the least, in ms: which ones they are is not known, and they are
// taken for the newest that are acknowledged and not promised. Censored says that it may be older.
func (l *Ledger) Age(exposed int64) (ms float64, censored bool) {
	type batch struct {
		acknowledgement
		writes int64
	}
	var batches []batch
	var unpromised int64
	for job, account := range l.Jobs {
		before := account.Promised
		for _, t := range l.acknowledgements[job] {
			if t.sequence > before {
				batches = append(batches, batch{t, int64(t.sequence - before)})
				unpromised += int64(t.sequence - before)
				before = t.sequence
			}
		}
	}
	slices.SortFunc(batches, func(a, b batch) int { return compare(b.timeNS, a.timeNS) })
	left := exposed
	for _, b := range batches {
		if left <= 0 {
			break
		}
		left -= b.writes
		ms = max(0, l.MS-milliseconds(b.timeNS))
		censored = b.first || exposed < unpromised
	}
	return ms, censored
}

// LedgerFile reads from a log, plain or gzip'd, what was promised and acknowledged at a crash point, or at its end when point
// is negative. A point that the log does not have is a PointError.
func LedgerFile(in Log, c Campaign, point int64) (*Ledger, error) {
	l, err := ledger(in.source, c, point)
	return l, in.in(err)
}

func ledger(log source, c Campaign, point int64) (*Ledger, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	clerk := newClerk(c)
	l := &Ledger{Layout: c.Layout, Jobs: clerk.jobs, acknowledgements: make([][]acknowledgement, c.Layout.Jobs)}
	err := log.each(c, point, func(e oplog.Event, data []byte) error {
		l.Point++
		l.MS = milliseconds(e.TimeNS)
		return clerk.read(e, data, func(r witness.Record, before uint32) {
			switch of := &l.acknowledgements[r.Job]; {
			case r.Kind == witness.Ack:
				*of = append(*of, acknowledgement{sequence: r.Sequence, timeNS: e.TimeNS, first: before == 0})
			case l.Jobs[r.Job].Acknowledged <= r.Sequence:
				*of = (*of)[:0]
			}
		})
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

func milliseconds(ns int64) float64 { return float64(ns) / 1e6 }

// ErrWitness is wrapped in the error of a witness disk that something else than the campaign's probe wrote on.
var ErrWitness = errors.New("the witness disk was written by something else")

// clerk keeps the books from the writes on the witness disk.
type clerk struct {
	campaign Campaign
	jobs     []Account
	serials  [][2]uint64 // of each job's newest promise and acknowledgement
}

func newClerk(c Campaign) *clerk {
	return &clerk{campaign: c, jobs: make([]Account, c.Layout.Jobs), serials: make([][2]uint64, c.Layout.Jobs)}
}

// read takes down the records in an event, if it is the arrival of a write on the witness disk; a record counts from then. each
// is called for each record, with the sequence that its slot had before.
func (k *clerk) read(e oplog.Event, data []byte, each func(r witness.Record, before uint32)) error {
	if e.Image != k.campaign.Witness || e.Kind != oplog.Write || e.Flags&oplog.Zero != 0 {
		return nil
	}
	if e.Offset%witness.RecordSize != 0 || e.Length%witness.RecordSize != 0 {
		return fmt.Errorf("%w: %d bytes at %d are no records", ErrWitness, e.Length, e.Offset)
	}
	for at := 0; at < len(data); at += witness.RecordSize {
		sector := data[at : at+witness.RecordSize]
		if zero(sector) {
			continue // the rest of a slot, or a slot that is made empty
		}
		r, ok := witness.ReadRecord(sector)
		if !ok {
			return fmt.Errorf("%w: no record at %d", ErrWitness, e.Offset+int64(at))
		}
		before, err := k.enter(r, e.Offset+int64(at), e.TimeNS)
		if err != nil {
			return err
		}
		each(r, before)
	}
	return nil
}

// enter takes down a record found at an offset of the witness disk.
func (k *clerk) enter(r witness.Record, at, timeNS int64) (before uint32, err error) {
	switch {
	case r.Campaign != k.campaign.Layout.Campaign:
		return 0, fmt.Errorf("%w: a record of campaign %d, this is %d", ErrWitness, r.Campaign, k.campaign.Layout.Campaign)
	case int(r.Job) >= len(k.jobs):
		return 0, fmt.Errorf("%w: a record of job %d, there are %d", ErrWitness, r.Job, len(k.jobs))
	case r.Offset() != at:
		return 0, fmt.Errorf("%w: a record of job %d stands at %d, its slot is at %d", ErrWitness, r.Job, at, r.Offset())
	}
	account := &k.jobs[r.Job]
	newest := &account.Promised
	if r.Kind == witness.Ack {
		newest = &account.Acknowledged
	}
	serial := &k.serials[r.Job][r.Kind-witness.Promise]
	switch {
	case r.Serial <= *serial:
		return 0, fmt.Errorf("%w: record %d of a slot of job %d comes after record %d", ErrWitness, r.Serial, r.Job, *serial)
	case r.Sequence < *newest:
		return 0, fmt.Errorf("%w: job %d goes back from write %d to %d", ErrWitness, r.Job, *newest, r.Sequence)
	case int64(r.Sequence) > possible(timeNS):
		return 0, fmt.Errorf("%w: job %d claims %d writes after %.1f ms", ErrWitness, r.Job, r.Sequence, milliseconds(timeNS))
	}
	before, *newest, *serial = *newest, r.Sequence, r.Serial
	return before, nil
}

// possible returns a bound of the writes that a job can have made: no system call takes less than 50 ns. It keeps a damaged record
// from sending the judge through four thousand million writes.
func possible(timeNS int64) int64 { return 1<<20 + max(0, timeNS)/50 }

func zero(sector []byte) bool {
	for _, b := range sector {
		if b != 0 {
			return false
		}
	}
	return true
}

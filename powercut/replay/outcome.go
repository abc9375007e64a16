package replay

import "platter/cell"

// Outcome answers a question for a whole log. Its figures mean what the safety record of a run says of them.
type Outcome struct {
	cell.Question
	CrashPoints  int64 // events of the log
	Writes       int64 // that returned to the probe, as far as the witness has it
	Promises     int64 // promised writes at the end of the log
	PromisesLost int64 // at the worst crash point
	PointsLost   int64 // crash points at which any promise is lost
	Torn         int64 // blocks that mix promised and newer sectors, at the worst crash point that was looked at
	Exposure     Exposure
	Worst        *Point  // most promises lost, then most writes exposed; nil where nothing is
	Strip        []Strip // the log in at most 200 stretches, in order
	Seconds      float64 // of the log

	ImageFlushes     int64 // that arrived at the data image
	ImageDsyncWrites int64
}

// Exposure is acknowledged but unpromised data that a crash takes, at the worst crash point for each figure.
type Exposure struct {
	Writes   int64
	Bytes    int64
	MS       float64 // age of the oldest
	Censored bool    // the oldest is of the first that its job acknowledged: the age is "at least"
}

// Point is a crash point.
type Point struct {
	Point int64
	MS    float64 // since the log began
}

// Strip is the worst of a stretch of the log for each figure.
type Strip struct {
	Point               // the worst, as Outcome.Worst; the first where nothing is lost
	PromisesLost  int64 // at the worst point
	ExposedWrites int64 // at the worst point for this figure
	ExposedMS     float64
}

const maxStrip = 200

// tally keeps the worst of all crash points for one surviving layer.
type tally struct {
	layer layer
	Outcome
	age      int64 // ns, of the oldest exposed write at the worst point
	strip    [maxStrip]stretchOfLog
	stretchs int   // in use
	width    int64 // crash points in a stretch
	room     int64 // crash points that the last one still takes
	exposed  int64 // writes at Worst
}

// stretchOfLog is a Strip in the log's units.
type stretchOfLog struct {
	point, time, lost, exposed, age int64
	exposedThere                    int64 // at point
}

// add takes in a crash point.
func (t *tally) add(point, now int64, f figures, age int64, first bool) {
	if f.lost > 0 {
		t.PointsLost++
	}
	t.Torn = max(t.Torn, f.torn)
	if f.lost > t.PromisesLost || f.lost == t.PromisesLost && f.exposed > t.exposed {
		t.PromisesLost = f.lost
		t.exposed = f.exposed
		t.worst(point, now)
	}
	t.Exposure.Writes = max(t.Exposure.Writes, f.exposed)
	if f.exposed > 0 && (age > t.age || age == t.age && first) {
		t.age = age
		t.Exposure.Censored = first
	}
	if t.room == 0 {
		t.next(point, now)
	}
	t.room--
	t.strip[t.stretchs-1].join(stretchOfLog{point: point, time: now, lost: f.lost, exposed: f.exposed, age: age, exposedThere: f.exposed})
}

func (t *tally) worst(point, now int64) {
	if t.Worst == nil {
		t.Worst = new(Point)
	}
	*t.Worst = Point{Point: point, MS: milliseconds(now)}
}

// next begins another stretch; when there are too many, each two become one.
func (t *tally) next(point, now int64) {
	if t.width == 0 {
		t.width = 1
	}
	if t.stretchs == maxStrip {
		for i := range maxStrip / 2 {
			t.strip[i] = t.strip[2*i]
			t.strip[i].join(t.strip[2*i+1])
		}
		t.stretchs = maxStrip / 2
		t.width = 2 * t.width
	}
	t.strip[t.stretchs] = stretchOfLog{point: point, time: now}
	t.stretchs++
	t.room = t.width
}

// join takes a later stretch into this one.
func (s *stretchOfLog) join(o stretchOfLog) {
	if o.lost > s.lost || o.lost == s.lost && o.exposedThere > s.exposedThere {
		s.point = o.point
		s.time = o.time
		s.exposedThere = o.exposedThere
	}
	s.lost = max(s.lost, o.lost)
	s.exposed = max(s.exposed, o.exposed)
	s.age = max(s.age, o.age)
}

// outcomes returns the answers at the end of the log.
func (j *judge) outcomes(questions []cell.Question, tallies []*tally, points int64) []Outcome {
	ledger := Ledger{Jobs: j.clerk.jobs}
	var all []Outcome
	for _, q := range questions {
		survivor, _ := survivorOf(q)
		for _, t := range tallies {
			if t.layer != survivor {
				continue
			}
			o := t.Outcome
			o.Question = q
			o.CrashPoints = points
			o.Seconds = float64(j.now) / 1e9
			o.Writes = ledger.Writes()
			o.Promises = ledger.Promises()
			o.ImageFlushes = j.flushes
			o.ImageDsyncWrites = j.dsyncWrites
			o.Exposure.Bytes = o.Exposure.Writes * int64(j.campaign.Layout.BlockBytes)
			o.Exposure.MS = milliseconds(t.age)
			o.Strip = t.strips()
			all = append(all, o)
		}
	}
	return all
}

func (t *tally) strips() []Strip {
	var all []Strip
	for _, s := range t.strip[:t.stretchs] {
		all = append(all, Strip{
			Point: Point{Point: s.point, MS: milliseconds(s.time)}, PromisesLost: s.lost, ExposedWrites: s.exposed, ExposedMS: milliseconds(s.age),
		})
	}
	return all
}

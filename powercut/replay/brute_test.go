package replay

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"platter/cell"
	"platter/powercut/oplog"
	"platter/powercut/witness"
)

// allQuestions ask for each layer, and for some twice.
var allQuestions = []cell.Question{
	{Class: "guest_crash", DriveCache: "volatile"}, {Class: "qemu_kill", DriveCache: "volatile"}, {Class: "host_crash",
		DriveCache: "volatile"}, {Class: "power_loss", DriveCache: "volatile"}, {Class: "power_loss", DriveCache: "protected"},
}

// TestEveryPointIsJudgedAsItsSurvivorIs holds the judge that keeps sums against the bytes that a naive disk leaves, at every
// crash point of random logs, and Survivor and Check against the same.
func TestEveryPointIsJudgedAsItsSurvivorIs(t *testing.T) { bruteForce(t, 60) }

// BenchmarkBruteForce is TestEveryPointIsJudgedAsItsSurvivorIs with more logs, which take their time.
func BenchmarkBruteForce(b *testing.B) {
	for b.Loop() {
		bruteForce(b, 400)
	}
}

func bruteForce(t testing.TB, logs int) {
	scratch, err := os.Create(filepath.Join(t.TempDir(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	defer scratch.Close()
	var points, lost, exposed, torn int64
	for seed := range logs {
		r := rand.New(rand.NewPCG(uint64(seed), 1))
		c := randomCampaign(r)
		s := randomLog(t, r, c, 10+r.IntN(60))
		b := &brute{t: t, c: c, s: s, scratch: scratch, name: fmt.Sprintf("log %d", seed), r: r}
		b.run()
		points, lost, exposed, torn = points+s.points(), lost+b.sum.lost, exposed+b.sum.exposed, torn+b.sum.torn
		if t.Failed() {
			return
		}
	}
	if lost == 0 || exposed == 0 || torn == 0 {
		t.Errorf("nothing was tried: lost %d, exposed %d, torn %d at %d points", lost, exposed, torn, points)
	}
	t.Logf("%d crash points of %d logs", points, logs)
}

type brute struct {
	t       testing.TB
	c       Campaign
	s       *script
	r       *rand.Rand
	scratch *os.File
	name    string
	sum     figures
}

type seen struct {
	figures
	age int64
}

func (b *brute) run() {
	got := map[string]seen{}
	key := func(p int64, l layer) string { return fmt.Sprint(p, " ", l) }
	outcomes, err := every(b.s.reader(), b.c, allQuestions, func(p int64, l layer, f figures, age int64) {
		got[key(p, l)] = seen{f, age}
	})
	if err != nil {
		b.t.Fatalf("%s: %v", b.name, err)
	}
	worst := make([]Outcome, len(allQuestions))
	disk := newNaive(b.c, baseOf(b.c))
	base := baseOf(b.c)
	acks := newAckBook(b.c)
	log := b.s.reader()
	for p := int64(1); p <= b.s.points(); p++ {
		e, data, err := log.Next()
		if err != nil {
			b.t.Fatal(err)
		}
		disk.take(e, data)
		acks.take(e, data)
		for i, q := range allQuestions {
			l, _ := survivorOf(q)
			image := disk.survivor(l, 0)
			want, exposed := judgement(b.c, image, acks.promised, acks.acknowledged)
			age, first := acks.oldest(e.TimeNS, exposed)
			if have := got[key(p, l)]; have != (seen{want, age}) {
				b.t.Fatalf("%s, point %d, %v: judged %+v, the survivor says %+v", b.name, p, q, have, seen{want, age})
			}
			b.sum.lost, b.sum.exposed, b.sum.torn = b.sum.lost+want.lost, b.sum.exposed+want.exposed, b.sum.torn+want.torn
			note(&worst[i], p, e.TimeNS, want, age, first)
			if (&judge{}).chosen(p) {
				mixed, _ := judgement(b.c, disk.survivor(l, uint64(p)), acks.promised, acks.acknowledged)
				worst[i].Torn = max(worst[i].Torn, mixed.torn)
			}
			if b.r.IntN(100) == 0 {
				b.survivor(disk, acks, base, At{Point: p, Question: q, Seed: uint64(b.r.IntN(2)) * b.r.Uint64()})
			}
		}
	}
	for i, o := range outcomes {
		b.outcome(o, worst[i], acks)
	}
}

// survivor checks Survivor, and Check, LedgerAt and JudgeFile on it.
func (b *brute) survivor(disk *naive, acks *ackBook, base []byte, at At) {
	if err := b.scratch.Truncate(0); err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.scratch.WriteAt(base, 0); err != nil {
		b.t.Fatal(err)
	}
	if err := survive(b.s.source(), b.c, at, b.scratch); err != nil {
		b.t.Fatalf("%s, %+v: %v", b.name, at, err)
	}
	have, err := os.ReadFile(b.scratch.Name())
	if err != nil {
		b.t.Fatal(err)
	}
	l, _ := survivorOf(at.Question)
	image := disk.survivor(l, at.Seed)
	if i := difference(have, image); i >= 0 {
		b.t.Fatalf("%s, %+v: the survivor differs from the naive disk's at byte %d", b.name, at, i)
	}
	ledger, err := ledger(b.s.source(), b.c, at.Point)
	if err != nil {
		b.t.Fatal(err)
	}
	loss, err := Check(b.scratch, b.c, ledger)
	if err != nil {
		b.t.Fatal(err)
	}
	want, _ := judgement(b.c, image, acks.promised, acks.acknowledged)
	// Check reads only the blocks that the ledger speaks of, so that it may see fewer torn ones.
	if loss.PromisesLost != want.lost || loss.ExposedWrites != want.exposed || loss.Torn > want.torn ||
		(loss.FirstLost != "") != (want.lost > 0) {
		b.t.Fatalf("%s, %+v: Check says %+v, counted write by write it is %+v", b.name, at, loss, want)
	}
	j, err := judgeAt(b.s.source(), b.c, at)
	if err != nil {
		b.t.Fatal(err)
	}
	if (figures{j.PromisesLost, j.Exposure.Writes, j.Torn}) != want || (j.First != nil) != (want.lost > 0) {
		b.t.Fatalf("%s, %+v: judged %+v, counted write by write it is %+v", b.name, at, j, want)
	}
}

func difference(a, b []byte) int {
	for i := range a {
		if i >= len(b) || a[i] != b[i] {
			return i
		}
	}
	if len(a) != len(b) {
		return len(a)
	}
	return -1
}

// note keeps the worst of each figure.
func note(o *Outcome, p, now int64, f figures, age int64, first bool) {
	if f.lost > 0 {
		o.PointsLost++
	}
	if f.lost > o.PromisesLost {
		o.PromisesLost, o.Worst = f.lost, &Point{Point: p, MS: milliseconds(now)}
	}
	o.Torn = max(o.Torn, f.torn)
	o.Exposure.Writes = max(o.Exposure.Writes, f.exposed)
	if ms := milliseconds(age); ms > o.Exposure.MS || ms == o.Exposure.MS && first {
		o.Exposure.MS, o.Exposure.Censored = ms, first
	}
}

func (b *brute) outcome(have, want Outcome, acks *ackBook) {
	if have.PromisesLost != want.PromisesLost || have.PointsLost != want.PointsLost || have.Torn != want.Torn ||
		have.Exposure.Writes != want.Exposure.Writes || have.Exposure.MS != want.Exposure.MS || have.Exposure.Censored != want.Exposure.Censored {
		b.t.Fatalf("%s: outcome %+v, want %+v", b.name, have, want)
	}
	if want.Worst != nil && (have.Worst == nil || have.Worst.Point > want.Worst.Point && have.PromisesLost == 0) {
		b.t.Fatalf("%s: worst point %v, want %v", b.name, have.Worst, want.Worst)
	}
	var promises, writes int64
	for job, p := range acks.promised {
		promises += int64(p)
		writes += int64(max(p, acks.acknowledged[job]))
	}
	if have.CrashPoints != b.s.points() || have.Promises != promises || have.Writes != writes {
		b.t.Fatalf("%s: %+v, want %d points, %d promises, %d writes", b.name, have, b.s.points(), promises, writes)
	}
	var worst Strip
	last := int64(0)
	for _, s := range have.Strip {
		if s.Point.Point <= last || len(have.Strip) > maxStrip {
			b.t.Fatalf("%s: strip %+v", b.name, have.Strip)
		}
		last = s.Point.Point
		worst.PromisesLost, worst.ExposedWrites = max(worst.PromisesLost, s.PromisesLost), max(worst.ExposedWrites, s.ExposedWrites)
		worst.ExposedMS = max(worst.ExposedMS, s.ExposedMS)
	}
	if worst.PromisesLost != have.PromisesLost || worst.ExposedWrites != have.Exposure.Writes || worst.ExposedMS != have.Exposure.MS {
		b.t.Fatalf("%s: the strip's worst is %+v, the outcome %+v", b.name, worst, have)
	}
}

// ackBook is what the witness was told, write by write.
type ackBook struct {
	c                      Campaign
	promised, acknowledged []uint32
	times                  []ackTime
}

type ackTime struct {
	job   uint16
	seq   uint32
	time  int64
	first bool
}

func newAckBook(c Campaign) *ackBook {
	return &ackBook{c: c, promised: make([]uint32, c.Layout.Jobs), acknowledged: make([]uint32, c.Layout.Jobs)}
}

func (a *ackBook) take(e oplog.Event, data []byte) {
	if e.Image != witnessImage || e.Kind != oplog.Write {
		return
	}
	r, _ := witness.ReadRecord(data)
	if r.Kind == witness.Promise {
		a.promised[r.Job] = r.Sequence
		return
	}
	first := a.acknowledged[r.Job] == 0
	for seq := a.acknowledged[r.Job] + 1; seq <= r.Sequence; seq++ {
		a.times = append(a.times, ackTime{r.Job, seq, e.TimeNS, first})
	}
	a.acknowledged[r.Job] = r.Sequence
}

func (a *ackBook) oldest(now int64, exposed func(uint16, uint32) bool) (age int64, first bool) {
	for _, t := range a.times {
		if exposed(t.job, t.seq) {
			return now - t.time, t.first
		}
	}
	return 0, false
}

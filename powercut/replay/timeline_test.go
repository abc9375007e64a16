package replay

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"platter/cell"
	"platter/internal/golden"
	"platter/powercut/oplog"
	"platter/powercut/witness"
)

var powerLoss = cell.Question{Class: cell.PowerLoss, DriveCache: cell.Volatile}

// unsynced is what QEMU 10.0.3 and newer do under directsync: the first write is answered without a sync, and what it lost stays lost
// until the sync of another job's write.
func unsynced(t testing.TB) *script {
	s := newScript(t, small())
	first := s.begin(0, direct)
	second := s.begin(1, direct)
	s.end(first)
	s.ack(0, 1)
	s.promise(0, 1)
	s.end(second)
	s.flush()
	s.promise(1, 1)
	return s
}

func timelineOf(t testing.TB, s *script, at At, steps int) *Timeline {
	t.Helper()
	line, err := timeline(s.source(), s.c, at, steps)
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// The golden file is reviewed as the log of unsynced: the promise of job 0 at event 6, the cut there, and the flush that would have
// covered its write behind it.
func TestATimelineOfTheFirstWritesPromise(t *testing.T) {
	line := timelineOf(t, unsynced(t), At{Point: 6, Question: powerLoss}, 60)
	text, err := json.MarshalIndent(line, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Equal(t, "testdata/timeline.json", append(text, '\n'))
	if f := line.Fate; f.Promised.Event >= f.Flushed.Event || line.Cut.Event < f.Promised.Event || !f.First {
		t.Errorf("the promise does not come before the cut, and that before the flush: %+v", f)
	}
}

func TestOverlappingWritesHaveLanesOfTheirOwn(t *testing.T) {
	s := newScript(t, small())
	a, b := s.begin(0, direct), s.begin(1, direct)
	c := s.begin(0, direct|dsync) // of job 0 again, as its page cache may do
	s.end(b)
	s.end(a)
	s.end(c)
	s.write(0, buffered)
	s.discard(direct, 8192, 4096)
	line := timelineOf(t, s, At{Point: -1, Question: powerLoss}, 60)
	var lanes []string
	for _, l := range line.Lanes {
		text := fmt.Sprintf("%s/%d:", l.Name, l.Slot)
		for _, span := range l.Spans {
			text += fmt.Sprintf(" %s %d-%d", span.Kind, span.From, span.To)
		}
		lanes = append(lanes, text)
	}
	want := []string{"job 0/0: write 1-5 write 7-8", "job 0/1: dsync 3-6", "job 1/0: write 2-4", "others/0: write 9-0"}
	if diff := cmp.Diff(want, lanes); diff != "" {
		t.Error(diff)
	}
	if line.Fate != nil || line.Lost != 0 {
		t.Errorf("nothing was promised, and lost is %d, %+v", line.Lost, line.Fate)
	}
}

func TestTheWriteMovesThroughTheCaches(t *testing.T) {
	s := newScript(t, single())
	s.write(0, buffered)
	s.promise(0, 1)
	s.event(oplog.Writeback, 0, 512)
	s.event(oplog.Writeback, 512, 512)
	s.event(oplog.Destage, 0, 1024)
	line := timelineOf(t, s, At{Point: 4, Question: powerLoss}, 60)
	var got []string
	for _, step := range line.Steps {
		got = append(got, fmt.Sprintf("%d %s %d+%d", step.Event, step.Holder, step.Layers.Host, step.Layers.Drive))
	}
	want := []string{"1 flight 0+0", "2 host 1024+0", "3 host 1024+0", "5 host 512+512", "6 drive 0+1024", "7 medium 0+0"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if line.Fate.Flushed != nil {
		t.Errorf("a flush that never was: %+v", line.Fate.Flushed)
	}
}

// Of a log with a loss long ago, what is shown is around the write, its promise and the cut.
func TestALongTimelineLeavesOut(t *testing.T) {
	c := small()
	c.Layout.Blocks = 30
	c.SizeBytes = 1 << 20
	s := newScript(t, c)
	s.write(0, direct)
	s.promise(0, 1)
	for range 25 { // of the other job: nothing but discards of nothing and acknowledgements
		s.write(1, direct|dsync)
	}
	for n := range uint32(25) {
		s.promise(1, n+1)
	}
	for range 100 {
		s.end(s.discard(direct, 1<<19, 4096))
	}
	line := timelineOf(t, s, At{Point: -1, Question: powerLoss}, 60)
	if line.Fate == nil || line.Fate.Job != 0 || line.Lost != 1 {
		t.Fatalf("lost %d, %+v", line.Lost, line.Fate)
	}
	if first, last := line.Steps[0].Event, line.Steps[len(line.Steps)-1].Event; first != 1 || last != s.points() || len(line.Steps) > 60 {
		t.Errorf("%d steps from %d to %d", len(line.Steps), first, last)
	}
	if !slices.ContainsFunc(line.Steps, func(s Step) bool { return s.Hidden > 100 }) {
		t.Error("no step says that events before it are left out")
	}
}

// Random logs: what a timeline says is what the judge says, and its caches are those of the disk that is kept byte by byte.
func TestTimelinesAgreeWithTheJudgeAndTheDisk(t *testing.T) {
	fates := 0
	for seed := range uint64(120) {
		r := rand.New(rand.NewPCG(seed, 3))
		c := randomCampaign(r)
		s := randomLog(t, r, c, 10+r.IntN(60))
		at := At{Point: 1 + r.Int64N(s.points()), Question: allQuestions[r.IntN(len(allQuestions))], Seed: uint64(r.IntN(2)) * r.Uint64()}
		line := timelineOf(t, s, at, MaxSteps)
		j, err := judgeAt(s.source(), c, at)
		if err != nil {
			t.Fatal(err)
		}
		if line.Lost != j.PromisesLost || line.Promises != j.Promises || line.Cut.Event != at.Point || (line.Fate != nil) != (j.First != nil) {
			t.Fatalf("log %d: %d of %d lost, the judge says %d of %d", seed, line.Lost, line.Promises, j.PromisesLost, j.Promises)
		}
		if line.Fate != nil {
			fates++
		}
		left, _ := survivorOf(at.Question)
		disk := newNaive(c, baseOf(c))
		log := s.reader()
		for _, step := range line.Steps {
			for log.Events() < step.Event {
				e, data, err := log.Next()
				if err != nil {
					t.Fatal(err)
				}
				disk.take(e, data)
			}
			for _, l := range []struct {
				upper, lower layer
				bytes        int64
			}{{replied, drive, step.Layers.Host}, {drive, medium, step.Layers.Drive}} {
				differ := 0
				for i := range disk.layers[l.upper] {
					if disk.layers[l.upper][i] != disk.layers[l.lower][i] {
						differ++
					}
				}
				if int64(differ) > l.bytes {
					t.Fatalf("log %d, event %d: %d bytes of layer %d differ from those below, the timeline counts %d", seed, step.Event, differ, l.upper,
						l.bytes)
				}
			}
			if at.Seed == 0 && left == medium && !step.Behind && step.Event == at.Point && step.Holder == HolderMedium {
				t.Fatalf("log %d: the write that is lost lies on the medium", seed)
			}
		}
	}
	if fates < 12 {
		t.Errorf("only %d logs lost anything", fates)
	}
}

func TestATimelineOfFilesShowsWhatWasAsked(t *testing.T) {
	c := small()
	c.Layout.Pattern = witness.FileEach
	c.Filesystem = "ext4"
	s := newScript(t, c)
	s.write(0, direct)
	s.flush()
	s.promise(0, 1)
	line := timelineOf(t, s, At{Point: -1, Question: powerLoss}, 60)
	if line.Unjudged == "" || line.Fate != nil || line.Promises != 1 || len(line.Lanes) != 2 {
		t.Errorf("%+v", line)
	}
}

func TestATimelineRefusesWhatIsNotThere(t *testing.T) {
	s := unsynced(t)
	if _, err := timeline(s.source(), s.c, At{Point: 100, Question: powerLoss}, 60); err == nil || !strings.Contains(err.Error(), "1 to 13") {
		t.Errorf("a point beyond the log: %v", err)
	}
	if _, err := timeline(s.source(), s.c, At{Point: 1, Question: cell.Question{Class: "flood", DriveCache: "volatile"}}, 60); err == nil {
		t.Error("a class that is none was taken")
	}
}

func TestRangesAreSetsOfBytes(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	var set ranges
	var bytes [64]bool
	for range 4000 {
		from := r.Int64N(64)
		n := r.Int64N(64 - from + 1)
		add := r.IntN(2) == 0
		var want int64
		for i := from; i < from+n; i++ {
			if bytes[i] && !add {
				want++
			}
			bytes[i] = add
		}
		if add {
			set.add(from, n)
		} else if gone := set.remove(from, n); gone.bytes() != want {
			t.Fatalf("%d bytes were taken out, want %d", gone.bytes(), want)
		}
		want = 0
		for i, is := range bytes {
			if is {
				want++
			}
			if in := slices.ContainsFunc(set, func(s struct{ from, to int64 }) bool { return s.from <= int64(i) && int64(i) < s.to }); in != is {
				t.Fatalf("byte %d is %v in %v", i, is, set)
			}
		}
		for i := 1; i < len(set); i++ {
			if set[i-1].to >= set[i].from {
				t.Fatalf("stretches touch: %v", set)
			}
		}
		if set.bytes() != want {
			t.Fatalf("%d bytes, want %d", set.bytes(), want)
		}
	}
}

package fiojob

import (
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTheIOPSLogGivesTheOperationsOfEachInterval(t *testing.T) {
	for _, test := range []struct {
		interval time.Duration
		log      string
		want     []float64
	}{
		{time.Second, "1000, 50, 1, 0, 0\n1001, 7, 0, 0, 0\n2003, 60, 1, 0, 0\n4000, 80, 1, 0, 0\n", []float64{57, 60, 0, 80}},
		{150 * time.Millisecond, "150, 50, 1, 0, 0\n303, 60, 1, 0, 0\n600, 80, 1, 0, 0\n150, 5, 1, 0, 0\n", []float64{55, 60, 0, 80}},
		// An entry that is late is of all the time since the one before, in its own job and direction.
		{100 * time.Millisecond, "100, 50, 1\n260, 60, 1\n360, 70, 1\n460, 80, 1\n", []float64{50, 60, 64, 74, 80}},
		{100 * time.Millisecond, "100, 50, 1\n180, 5, 0\n260, 60, 1\n", []float64{55, 65}},
		{time.Second, "0, 5, 1\n1000, 50, 0\n", []float64{50}},
		{100 * time.Millisecond, "149, 50, 1\n249, 50, 1\n350, 50, 1\n451, 50, 1\n", []float64{50, 50, 50, 50, 50}},
		{100 * time.Millisecond, "100, 50, 1\n350, 50, 1\n", []float64{50, 50, 50, 50}},
		// Where it is on time, nothing was done before its interval.
		{100 * time.Millisecond, "100, 1, 1\n302, 7, 1\n", []float64{1, 0, 7}},
		// The last one may be of less than an interval.
		{time.Second, "1000, 50, 1\n1400, 60, 1\n", []float64{50}},
		{time.Second, "1000, 50, 1\n1600, 60, 1\n1000, 5, 1\n2000, 6, 1\n", []float64{55, 66}},
		{time.Second, "1000, 50, 1\n2000, 60, 1\n3000, 60, 1\n1000, 5, 1\n2000, 6, 1\n", []float64{55, 66}},
		{time.Second, "1000, 50, 1\n1000, 5, 1\n2000, 6, 1\n3000, 7, 1\n", []float64{55, 6, 7}},
		{time.Second, "1000, 50, 1\n1600, 60, 1\n", []float64{50, 60}},
		{time.Second, "400, 30, 1\n", []float64{30}},
		{time.Second, "", nil},
	} {
		if got, err := ParseIOPSLog([]byte(test.log), test.interval); err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%v, %q: got %v (%v), want %v", test.interval, test.log, got, err, test.want)
		}
	}
	for _, bad := range []string{"1000\n", "x, 1, 1\n", "1000, -1, 1\n", "99999999999999, 1, 1\n", "2592000000, 1, 1\n"} {
		if got, err := ParseIOPSLog([]byte(bad), 100*time.Millisecond); err == nil || !strings.Contains(err.Error(), "line 1") {
			t.Errorf("%q was read as %v (%v)", bad, got, err)
		}
	}
}

func TestTheRealFioWritesTheIOPSLogThatIsRead(t *testing.T) {
	if os.Getenv("PLATTER_REAL") != "1" {
		t.Skip("needs fio; set PLATTER_REAL=1")
	}
	// The rate is fio's own limit, not the machine's speed; what is stolen from a job it makes up for later.
	for _, interval := range []time.Duration{time.Second, 100 * time.Millisecond} {
		t.Run(interval.String(), func(t *testing.T) {
			dir := t.TempDir()
			job, err := Job{Name: "log", LogIOPS: interval, Options: []Option{{"rw", "randwrite"}, {"ioengine", "null"}, {"size", "1g"},
				{"bs", "4k"}, {"numjobs", "2"}, {"rate_iops", "500"}, {"time_based", "1"}, {"runtime", "3"}}}.Render()
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "job.fio"), []byte(job), 0o644); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("fio", "--output=out.txt", "job.fio")
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("fio: %v\n%s", err, out)
			}
			text, err := os.ReadFile(filepath.Join(dir, IOPSLogFile))
			if err != nil {
				t.Fatal(err)
			}
			got, err := ParseIOPSLog(text, interval)
			if err != nil || len(got) < 2 {
				t.Fatalf("got %v (%v), want about three seconds", got, err)
			}
			if slices.Max(got) < 500 || interval == time.Second && slices.Max(got) > 2100 {
				t.Errorf("rates %v of two jobs at 500 operations/s each", got)
			}
			done := 0.0
			for _, rate := range got {
				done += rate * interval.Seconds()
			}
			if span := float64(len(got)) * interval.Seconds(); done < 850*span || done > 1150*span {
				t.Errorf("%.0f operations in %v s: %v", done, span, got)
			}
		})
	}
}

func FuzzIOPSLog(f *testing.F) {
	f.Add([]byte("1000, 50, 1, 0, 0\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<12 {
			b = b[:1<<12]
		}
		for _, interval := range []time.Duration{time.Second, 150 * time.Millisecond, time.Millisecond} {
			rates, _ := ParseIOPSLog(b, interval)
			for _, r := range rates {
				if !(r >= 0) || math.IsInf(r, 1) {
					t.Errorf("%v: %v", interval, rates)
				}
			}
		}
	})
}

package fiojob

import (
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
	} {
		if got, err := ParseIOPSLog([]byte(test.log), test.interval); err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%v: got %v (%v), want %v", test.interval, got, err, test.want)
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
	dir := t.TempDir()
	job, err := Job{Name: "log", LogIOPS: time.Second, Options: []Option{{"rw", "randwrite"}, {"ioengine", "null"}, {"size", "1g"}, {"bs", "4k"}, {"numjobs", "2"}, {"rate_iops", "500"}, {"time_based", "1"}, {"runtime", "3"}}}.Render()
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
	got, err := ParseIOPSLog(text, time.Second)
	if err != nil || len(got) < 2 {
		t.Fatalf("got %v (%v), want about three seconds", got, err)
	}
	// The rate is fio's own limit, not the machine's speed; a second that was stolen from it may be slower.
	if slices.Max(got) < 500 || slices.Max(got) > 2100 {
		t.Errorf("rates %v of two jobs at 500 operations/s each", got)
	}
}

func FuzzIOPSLog(f *testing.F) {
	f.Add([]byte("1000, 50, 1, 0, 0\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<12 {
			b = b[:1<<12]
		}
		_, _ = ParseIOPSLog(b, time.Second)
	})
}

package replay

import (
	"bytes"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"platter/powercut/oplog"
	"platter/powercut/witness"
)

// recorded is a log of writes of 4 KiB at random, acknowledged one by one, with a flush and a promise after each interval of
// them; none with interval 0.
func recorded(b testing.TB, writes, interval int, flags uint16) *script {
	c := Campaign{
		Layout: witness.Layout{Campaign: 7, Pattern: witness.Overwrite, Jobs: 1, BlockBytes: 4096, Blocks: 16384, Random: true, Seed: 1},
		Data:   dataImage, Witness: witnessImage, Filesystem: "none", Format: "raw", SizeBytes: 64 << 20,
	}
	s := newScript(b, c)
	s.buffer.Grow(writes * 5200)
	for n := 1; n <= writes; n++ {
		s.write(0, flags)
		s.ack(0, uint32(n))
		if interval > 0 && n%interval == 0 {
			s.flush()
			s.promise(0, uint32(n))
		}
	}
	return s
}

func BenchmarkEvery(b *testing.B) {
	for _, bench := range []struct {
		interval int
		flags    uint16
	}{{8, oplog.Direct}, {1, oplog.Direct}, {0, 0}} {
		s := recorded(b, 50_000, bench.interval, bench.flags)
		log := s.bytes()
		b.Run(fmt.Sprintf("fsync=%d", bench.interval), func(b *testing.B) {
			b.ReportAllocs()
			before := cpuTime(b)
			for b.Loop() {
				reader, err := oplog.NewReader(bytes.NewReader(log))
				if err != nil {
					b.Fatal(err)
				}
				if _, err := Every(reader, s.c, allQuestions); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(s.points())*float64(b.N)/(cpuTime(b)-before), "points/core-s")
			b.ReportMetric(float64(len(log))/1e6, "log-MB")
		})
	}
}

// cpuTime is the processor time that the process has used, in seconds: other work on the machine does not count.
func cpuTime(b *testing.B) float64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

package powercut

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"platter/powercut/oplog"
)

// BenchmarkResident makes 5 million requests all over 10 GiB (2 % of them logged with their data) and reports the most
// memory that was resident. Limit: 512 MiB.
func BenchmarkResident(b *testing.B) {
	const size = 10 << 30
	for range b.N {
		dir := b.TempDir()
		d, err := newDisk(newOrder(), dir, "disk.img", size, Settings{})
		if err != nil {
			b.Fatal(err)
		}
		log, err := os.Create(filepath.Join(dir, "log"))
		if err != nil {
			b.Fatal(err)
		}
		random := rand.New(rand.NewPCG(1, 1))
		page := bytes.Repeat([]byte{1}, pageBytes)
		start := d.now()
		for i := range 5_000_000 {
			if i == 4_900_000 {
				if _, err := d.sync(); err != nil {
					b.Fatal(err)
				}
				if err := d.order.startLog(log, []*Disk{d}); err != nil {
					b.Fatal(err)
				}
			}
			// Most in 64 MiB, so that it does not take minutes; the rest all over the image, but on one page of 16: they
			// all take space.
			offset := random.Int64N(size/pageBytes/16) * pageBytes * 16
			if i%64 != 0 {
				offset = random.Int64N(64<<20/pageBytes) * pageBytes
			}
			if _, errno := d.write(1, page, offset, []uint16{0, 0, oplog.Direct}[i%3]); errno != 0 {
				b.Fatal(errno)
			}
			if i%1000 == 999 {
				if errno := d.flush(1); errno != 0 {
					b.Fatal(errno)
				}
			}
		}
		elapsed := d.now() - start
		if _, err := d.order.stopLog([]*Disk{d}); err != nil {
			b.Fatal(err)
		}
		log.Close()
		d.closeLayers()
		peak := peakResident(b)
		b.ReportMetric(peak, "MiB-resident")
		b.ReportMetric(5e6/elapsed.Seconds(), "ops/s")
		b.ReportMetric(0, "ns/op")
		if peak > 512 {
			b.Errorf("%v MiB were resident: at most 512", peak)
		}
	}
}

// peakResident is VmHWM of this process in MiB.
func peakResident(b *testing.B) float64 {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmHWM:" {
			kib, err := strconv.Atoi(fields[1])
			if err != nil {
				b.Fatal(err)
			}
			return float64(kib >> 10)
		}
	}
	b.Fatal("no VmHWM")
	return 0
}

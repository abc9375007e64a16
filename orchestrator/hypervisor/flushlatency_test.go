package hypervisor

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/digitalocean/go-libvirt"

	"platter/libvirtxml"
)

// stats are statistics of libvirt's by their names.
func stats(of map[string]any) []libvirt.TypedParam {
	var params []libvirt.TypedParam
	for name, value := range of {
		params = append(params, libvirt.TypedParam{Field: name, Value: libvirt.TypedParamValue{I: value}})
	}
	return params
}

// twoDisks are those of libvirt 12.9 for a disk without a histogram and one with.
func twoDisks() map[string]any {
	const bin = "block.1.latency_histogram.flush.bin."
	return map[string]any{
		"block.count": uint32(2), "block.0.name": "vda", "block.1.name": "vdb", "block.1.fl.reqs": uint64(7), bin + "count": uint64(3),
		bin + "0.start": uint64(0), bin + "0.value": uint64(0), bin + "1.start": uint64(1000), bin + "1.value": uint64(5),
		bin + "2.start": uint64(4000), bin + "2.value": uint64(2),
	}
}

func TestQEMUsHistogramOfFlushesIsReadFromLibvirtsStatistics(t *testing.T) {
	h, err := flushLatencyOf(stats(twoDisks()), "vdb")
	if err != nil || h == nil || h.String() != "[[2000,5],[4000,2]]" {
		t.Errorf("%v, %v", h, err)
	}
	if h, err := flushLatencyOf(stats(twoDisks()), "vda"); h != nil || err != nil {
		t.Errorf("a disk without a histogram: %v, %v", h, err)
	}
	if _, err := flushLatencyOf(stats(twoDisks()), "vdc"); !errors.Is(err, ErrNoDisk) {
		t.Errorf("a disk that is not there: %v", err)
	}
	const bin = "block.1.latency_histogram.flush.bin."
	for name, value := range map[string]any{"block.count": "two", bin + "count": uint64(1 << 40), bin + "1.start": nil, bin + "2.value": -1.5,
		bin + "2.start": uint64(1000), bin + "0.value": int64(-1)} {
		spoilt := twoDisks()
		spoilt[name] = value
		if h, err := flushLatencyOf(stats(spoilt), "vdb"); err == nil {
			t.Errorf("%s=%v: %v", name, value, h)
		}
	}
}

func FuzzStatisticsOfADiskAreNoPanic(f *testing.F) {
	f.Add("block.1.latency_histogram.flush.bin.count", int64(3))
	f.Fuzz(func(t *testing.T, name string, value int64) {
		spoilt := twoDisks()
		spoilt[name] = value
		if h, err := flushLatencyOf(stats(spoilt), "vdb"); err == nil && h != nil && h.Count() < 0 {
			t.Error(fmt.Sprint(h))
		}
	})
}

func TestTheBinsOfFlushesRiseFromNothing(t *testing.T) {
	bins := FlushBins()
	rising := slices.IsSorted(bins) && len(slices.Compact(slices.Clone(bins))) == len(bins)
	if !rising || bins[0] != 0 || bins[1] != 1000 || bins[len(bins)-1] < 10e9 {
		t.Errorf("%v", bins)
	}
}

func TestRealHistogramOfFlushesIsKeptWhereLibvirtCan(t *testing.T) {
	h := realHost(t)
	facts, err := h.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	disk := libvirtxml.ScratchDisk{Source: libvirtxml.Source{Kind: "file", Path: realImage(t, realDir(t), "a.img")}, Format: "raw", Target: "vdb",
		Bus: "virtio", FlushBins: FlushBins()}
	text, err := disk.XML()
	if err != nil {
		t.Fatal(err)
	}
	d := startReal(t, h, realDomain(realName(t), false))
	if err := d.Attach(t.Context(), text); err != nil {
		t.Fatal(err)
	}
	got, err := d.FlushLatency(t.Context(), "vdb")
	var major, minor int
	if _, serr := fmt.Sscanf(facts.Libvirt, "%d.%d", &major, &minor); serr != nil {
		t.Fatal(serr)
	}
	if err != nil || (got != nil) != (major > 12 || major == 12 && minor >= 1) {
		t.Errorf("libvirt %s: %v, %v", facts.Libvirt, got, err)
	}
}

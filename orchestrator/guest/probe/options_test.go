package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"platter/powercut/witness"
)

func TestFiosWordsHaveFiosMeaning(t *testing.T) {
	o, err := parseOptions(strings.Fields("run --filename=/dev/vdb --witness=/dev/vdc --campaign=9 --seed=5 --rw=randrw " +
		"--rwmixread=30 --bs=8k --direct=1 " +
		"--sync=dsync --fsync=4 --fdatasync=2 --numjobs=2 --iodepth=8 --size=1m --runtime=1.5"))
	want := options{filename: "/dev/vdb", witness: "/dev/vdc", readShare: 30, direct: true, sync: "dsync", fsync: 4, fdatasync: 2,
		depth: 8, runtime: 1500 * time.Millisecond,
		layout: witness.Layout{Campaign: 9, Seed: 5, Pattern: "overwrite", Jobs: 2, BlockBytes: 8192, Blocks: 64, Random: true}}
	if err != nil || o != want {
		t.Errorf("got %+v, %v\nwant %+v", o, err, want)
	}
}

func TestWritesAloneReadNothing(t *testing.T) {
	o, err := parseOptions(strings.Fields("run --filename=f --witness=w --size=1m --runtime=1 --rw=write --rwmixread=50"))
	if err != nil || o.readShare != 0 || o.layout.Random {
		t.Errorf("got %+v, %v", o, err)
	}
}

func TestWhatMakesNoSenseIsAUsageError(t *testing.T) {
	good := "--filename=f --witness=w --size=1m --runtime=1"
	for _, bad := range []string{
		"", "walk", "run", "run --size=1m", "run " + good + " more", "run " + good + " --rw=read", "run " + good + " --rw=rw " +
			"--rwmixread=100", "run " + good + " --direct=2",
		"run " + good + " --sync=always", "run " + good + " --iodepth=0", "run " + good + " --iodepth=257", "run " + good + " " +
			"--numjobs=65", "run " + good + " --numjobs=0",
		"run " + good + " --bs=1000", "run " + good + " --bs=0", "run " + good + " --bs=4kk", "run " + good + " --bs=2m", "run " +
			"" + good + " --pattern=log",
		"run " + good + " --pattern=file --rw=randrw", "run " + good + " --lie --fsync=1", "run " + good + " --lie --direct=1", "run " +
			"" + good + " --lie --sync=dsync",
		"run " + good + " --fsync=-1", "run " + good + " --fsync=4294967296", "run " + good + " --runtime=0", "run " + good + " " +
			"--runtime=NaN", "run " + good + " --size=x",
		"run " + good + " --size=9999999t", "run " + good + " --nonsense", "prefill --filename=f", "prefill --filename=f --size=1m " +
			"--pattern=append",
		"prefill --filename=f --size=1m --runtime=1", "check", "check --filename=f more",
	} {
		var out, errs strings.Builder
		if status := probe(strings.Fields(bad), strings.NewReader(""), &out,
			&errs); status != 2 || out.Len() > 0 || strings.Count(errs.String(), "\n") != 1 {
			t.Errorf("probe %s: status %d, %q, %q", bad, status, out.String(), errs.String())
		}
	}
}

func TestSizesAreSpelledAsFioSpellsThem(t *testing.T) {
	for text, want := range map[string]int64{"4096": 4096, "4k": 4096, "4K": 4096, "1m": 1 << 20, "2G": 2 << 30, "1t": 1 << 40, "0": 0} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%s is %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "k", "-1", "4kb", "4kk", "4 k", "1.5k", "0x10", "9223372036854775808", "9007199254740992k"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("%q was taken for %d", text, got)
		}
	}
}

func FuzzOptions(f *testing.F) {
	f.Add("run --filename=f --witness=w --size=1m --runtime=1 --bs=4k --numjobs=3")
	f.Add("prefill --filename=f --size=1t")
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Fields(line)
		if len(args) == 0 {
			return
		}
		o, err := parseOptions(args)
		if err == nil && o.layout.Check() != nil {
			t.Errorf("%q gives a layout that cannot be watched: %+v", line, o.layout)
		}
		if err != nil && !errors.As(err, new(usageError)) {
			t.Errorf("%q: %v is no usage error", line, err)
		}
	})
}

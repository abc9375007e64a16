package guest

import (
	"context"
	"testing"
	"time"

	"platter/powercut/witness"
)

func TestTmpPerf(t *testing.T) {
	c := realGuest(t, 2)
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	start := time.Now()
	if err := c.SendProbe(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("send %v", time.Since(start))
	d, _ := c.DeviceBySerial(ctx, "data-0")
	w, _ := c.DeviceBySerial(ctx, "witness-0")
	start = time.Now()
	c.probe(ctx, []string{"nonsense"}, nil, nil)
	t.Logf("start %v", time.Since(start))
	j := ProbeJob{Layout: witness.Layout{Campaign: 9, Pattern: witness.Overwrite, Jobs: 1, BlockBytes: 4096, Blocks: 4096, Random: true, Seed: 4}, RW: "randwrite",
		Target: d, Witness: w, Direct: true, Sync: "none", IODepth: 1, Runtime: 2 * time.Second}
	for _, f := range []int{0, 1, 0, 1} {
		start = time.Now()
		if _, err := c.PrefillProbe(ctx, j); err != nil {
			t.Fatal(err)
		}
		pre := time.Since(start)
		if _, err := c.Run(ctx, "blkdiscard -z "+w, nil); err != nil {
			t.Fatal(err)
		}
		j.Fdatasync = f
		run, err := c.RunProbe(ctx, j)
		t.Logf("prefill %v, fdatasync=%d %+v %v", pre, f, run, err)
		fd := ""
		if f == 1 {
			fd = "--fdatasync=1"
		}
		out, err := c.Run(ctx, "fio --name=x --filename="+d+" --rw=randwrite --bs=4k --direct=1 --ioengine=psync --size=16m --runtime=2 --time_based "+fd+" | grep -E 'IOPS|write:'", nil)
		t.Logf("fio %s %v", out.Stdout, err)
	}
}

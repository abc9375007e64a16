package replay

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"

	"platter/powercut/oplog"
)

// FuzzEvery feeds the judge with anything: it must not panic, and what it says must be possible.
func FuzzEvery(f *testing.F) {
	c := small()
	c.Extents = []Extent{{File: 0, Image: 8192, Length: 1536}, {File: 1536, Image: 1024, Length: 2560}}
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 2))
		f.Add(randomLog(f, r, c, 12).bytes())
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		log, err := oplog.NewReader(bytes.NewReader(text))
		if err != nil {
			return
		}
		if images := log.Images(); len(images) > 0 && images[0].SizeBytes > 1<<22 {
			return // it would only be slow: a range of zeros may span the disk
		}
		outcomes, err := Every(log, c, allQuestions)
		if err != nil {
			return
		}
		for _, o := range outcomes {
			if o.PromisesLost > o.Promises || o.Exposure.Writes > o.Writes || o.PointsLost > o.CrashPoints || o.PromisesLost < 0 ||
				o.Exposure.Writes < 0 ||
				o.Torn < 0 || o.Torn > 4 || (o.PromisesLost > 0) != (o.PointsLost > 0) {
				t.Errorf("impossible: %+v", o)
			}
		}
		again := func() (*oplog.Reader, io.Closer, error) {
			r, err := oplog.NewReader(bytes.NewReader(text))
			return r, io.NopCloser(nil), err
		}
		if _, err := ledger(again, c, -1); err != nil {
			t.Errorf("the ledger cannot be read from a log that was judged: %v", err)
		}
		if _, err := points(again, 10, 1); err != nil {
			t.Errorf("no points of a log that was judged: %v", err)
		}
	})
}

package replay

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"math/rand/v2"
	"testing"

	"platter/powercut/oplog"
	"platter/powercut/witness"
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
		if _, err := timeline(again, c, At{Point: -1, Question: allQuestions[3]}, 60); err != nil {
			t.Errorf("no timeline of a log that was judged: %v", err)
		}
	})
}

// FuzzReadCampaign reads campaigns that may come from anybody. Where one is taken, every block of the probe has a place on the disk, that
// place is no other block's, and what is written is read again.
func FuzzReadCampaign(f *testing.F) {
	c := small()
	for _, extents := range [][]Extent{nil,
		{{File: 0, Image: 8192, Length: 1536}, {File: 1536, Image: 1024, Length: 2560}},
		{{Length: 4096, Image: math.MaxInt64 - 511}}} {
		for _, format := range []string{"raw", "qcow2"} {
			c.Extents, c.Format = extents, format
			text, err := json.Marshal(c)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ReadCampaign(bytes.NewReader(text))
		if err != nil {
			return
		}
		written, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ReadCampaign(bytes.NewReader(written)); err != nil {
			t.Errorf("what was read is refused once it is written: %v", err)
		}
		blocks := int64(c.Layout.Jobs) * int64(c.Layout.Blocks)
		if c.Layout.Pattern != witness.Overwrite || blocks > 256 || blocks*int64(len(c.Extents)) > 4096 {
			return // it would only be slow
		}
		h, err := newHomes(c)
		if err != nil {
			t.Fatal(err)
		}
		for b := range uint32(blocks) {
			var bytes int64
			h.ofBlock(b, func(s stretch) {
				bytes += s.length
				if s.image < 0 || s.image+s.length < s.image || c.Format == "raw" && s.image+s.length > c.SizeBytes {
					t.Errorf("block %d stands beyond the disk: %+v", b, s)
				}
				h.onDisk(s.image, s.length, func(found stretch) {
					if found.block != b {
						t.Errorf("the place of block %d is block %d's: %+v", b, found.block, s)
					}
				})
			})
			if bytes != int64(c.Layout.BlockBytes) {
				t.Errorf("block %d of %d bytes has %d on the disk", b, c.Layout.BlockBytes, bytes)
			}
		}
	})
}

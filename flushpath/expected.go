package flushpath

// Expect is what the model expects of the flushes counted at a layer, seen from the count above it.
type Expect string

// What may be expected.
const (
	Arrive     Expect = "arrive"     // as many as above or more; concurrent ones are merged into fewer
	AreDropped Expect = "swallowed"  // due, and dropped between the layer above and this one
	NoneNeeded Expect = "not needed" // none, and none is due: "not needed above"
	EachWrite  Expect = "each write" // one for each write, whatever the count above
	NoneSent   Expect = "none"       // none comes from above: nobody asks, or they were swallowed before
)

// Expected is what the model expects at the three layers where flushes are counted: the guest's block device, below the
// application's sync calls and O_DSYNC writes; QEMU's flush operations; the image. A file system may add its own at each.
type Expected struct {
	Guest Expect `json:"guest"`
	QEMU  Expect `json:"qemu"`
	Image Expect `json:"image"`
}

// Swallowed reports whether a measured count means that flushes were swallowed on the way here: they are due, and fewer than
// one in a hundred of those above arrived. For EachWrite, above is the number of writes.
func (e Expect) Swallowed(above, here int64) bool {
	due := e == Arrive || e == AreDropped || e == EachWrite
	return due && above > 0 && here*100 < above
}

func expected(c Config) Expected {
	writeback, _, noFlush := Effective(c)
	if !writeback {
		e := Expected{Guest: NoneNeeded, QEMU: NoneNeeded, Image: EachWrite}
		if noFlush {
			e.Image = AreDropped
		}
		return e
	}
	any, _ := c.promises()
	if !any || c.Lies {
		return Expected{NoneSent, NoneSent, NoneSent}
	}
	if !c.barriers() || c.WriteCache == "write through" {
		return Expected{AreDropped, NoneSent, NoneSent}
	}
	if noFlush {
		return Expected{Arrive, Arrive, AreDropped}
	}
	return Expected{Arrive, Arrive, Arrive}
}

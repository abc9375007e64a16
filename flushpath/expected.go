package flushpath

// Expect is what the model expects of the flushes counted at a layer, seen from the count above it.
type Expect string

// What may be expected.
const (
	Arrive     Expect = "arrive"     // as many as above or more; concurrent ones are merged into fewer
	AreDropped Expect = "swallowed"  // due, and dropped between the layer above and this one
	NoneNeeded Expect = "not needed" // none, and none is due: "not needed above"
	EachWrite  Expect = "each write" // one for each write, whatever the count above: a flush, or that the write is O_DSYNC itself
	DsyncEach  Expect = "O_DSYNC"    // no flush: each write is O_DSYNC itself
	ByFUA      Expect = "FUA"        // no flush: each write has FUA
	NotCounted Expect = "not counted"
	NoneSent   Expect = "none" // none comes from above: nobody asks, or they were swallowed before
)

// Expected is what the model expects at the three layers where flushes are counted: the guest's block device, below the
// application's sync calls and O_DSYNC writes; QEMU's flush operations; the image. A file system may add its own at each.
type Expected struct {
	Guest Expect `json:"guest"`
	QEMU  Expect `json:"qemu"`
	Image Expect `json:"image"`
}

// Swallowed reports whether a measured count means that flushes were swallowed on the way here: they are due, and fewer than
// one in a hundred of those above arrived. For EachWrite and DsyncEach, above is the number of writes; here counts O_DSYNC writes as well
// where they are counted at all, which is at the image.
func (e Expect) Swallowed(above, here int64) bool {
	due := e == Arrive || e == AreDropped || e == EachWrite || e == DsyncEach
	return due && above > 0 && here*100 < above
}

func expected(c Config) Expected {
	writeback, _, noFlush := Effective(c)
	each := EachWrite
	switch {
	case noFlush:
		each = AreDropped
	case c.fuaFlush().dsync:
		each = DsyncEach
	}
	any, _ := c.promises()
	e := Expected{Arrive, Arrive, Arrive}
	switch {
	case !writeback && !c.seesCache():
		return Expected{NoneNeeded, NoneNeeded, each}
	case !any || c.Lies:
		e = Expected{NoneSent, NoneSent, NoneSent}
	case c.fuaWrites():
		e = Expected{ByFUA, NoneSent, each}
		if c.Bus == "nvme" {
			e.Image = AreDropped
		}
	case !c.barriers() || !c.seesCache() || c.WriteCache == "write through":
		e = Expected{AreDropped, NoneSent, NoneSent}
	case noFlush:
		e.Image = AreDropped
	}
	if !writeback {
		e.Image = each // beside the flushes of an NVMe disk's guest
	}
	if c.Bus == "nvme" {
		e.QEMU = NotCounted // nor does QEMU's NVMe device account for its flushes
	}
	return e
}

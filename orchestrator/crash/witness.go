package crash

import (
	"context"

	"platter/powercut/replay"
	"platter/powercut/witness"
)

// Witness writes on the scratch disk, records on the witness disk what it promises, and finds out which promises a survivor keeps. The
// probe is one. A database is another: its promise is a commit.
type Witness interface {
	// Layout returns how its data is laid out on the disk or in its file.
	Layout() witness.Layout
	// Prepare lays its data out on the file system that the machine has mounted, before any campaign begins from it, and returns where on the
	// disk it stands; nothing where that may change.
	Prepare(ctx context.Context, m Machine, target string) ([]replay.Extent, error)
	// Run works on the target until its time is over, or, with forever, until the machine is gone. An error of the data disk is in Work.
	Run(ctx context.Context, m Machine, target string, forever bool) (Work, error)
	// Ledger reads from a log what had been promised and acknowledged at a crash point.
	Ledger(log string, c replay.Campaign, point int64) (*replay.Ledger, error)
	// Check reads a raw survivor back on the host and counts what is lost of the ledger.
	Check(ctx context.Context, s survivor, c replay.Campaign, ledger *replay.Ledger) (replay.Loss, error)
	// CheckMounted reads a survivor back that is at target in a guest, and counts what is lost of the ledger. A target that cannot even be
	// opened is a *guest.BrokenError.
	CheckMounted(ctx context.Context, m Machine, target string, ledger *replay.Ledger) (replay.Loss, error)
}

// Work is what a witness that lived to its end says of its run.
type Work struct {
	Writes  int64  // that it began
	Syncs   int64  // fsync and fdatasync calls
	IODepth int    // at which it ran, where that is not the cell's; else 0
	Error   string // of the data disk, which ended the run early; empty for none
}

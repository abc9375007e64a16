package orchestrator

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"platter/orchestrator/guest"
	"platter/powercut/replay"
)

// checkFiles reads the probe's files out of a survivor's ext4, without mounting it, and checks them against the ledger. Where the
// file system is gone, so are they. They lie in the directory storage meanwhile.
func checkFiles(ctx context.Context, storage string, s survivor, c replay.Campaign, ledger *replay.Ledger) (replay.Loss, error) {
	if c.Filesystem != "ext4" {
		return replay.Loss{}, &Error{Fault: Usage, Message: fmt.Sprintf("files of the pattern %s are read back from ext4 alone: for %s ask for live cuts of overwritten blocks", c.Layout.Pattern, c.Filesystem)}
	}
	if s.broken != "" {
		return replay.Loss{Promises: ledger.Promises(), PromisesLost: ledger.Promises()}, nil
	}
	dir, err := os.MkdirTemp(storage, "files-")
	if err != nil {
		return replay.Loss{}, rigError("read a survivor's files", err)
	}
	defer os.RemoveAll(dir)
	if out, err := exec.CommandContext(ctx, "debugfs", "-R", fmt.Sprintf("rdump / %q", dir), s.path).CombinedOutput(); err != nil {
		return replay.Loss{}, rigError("read a survivor's files", fmt.Errorf("%w: %s", err, lastLine(string(out))))
	}
	promised, acknowledged := ledger.Sequences()
	loss, err := guest.CheckProbeHere(ctx, filepath.Join(dir, "data"), c.Layout, promised, acknowledged)
	if err != nil {
		return replay.Loss{}, rigError("read a survivor's files", err)
	}
	return replay.Loss{Promises: loss.Promises, PromisesLost: loss.PromisesLost, Torn: loss.Torn, ExposedWrites: loss.ExposedWrites,
		ExposedBytes: loss.ExposedWrites * int64(c.Layout.BlockBytes)}, nil
}

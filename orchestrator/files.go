package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"platter/fault"
	"platter/orchestrator/guest"
	"platter/powercut/replay"
)

// checkFiles reads the probe's files out of a survivor's ext4, without mounting it, and checks them against the ledger. Where the
// file system is gone, so are they. They lie in the directory storage meanwhile.
func checkFiles(ctx context.Context, storage string, s survivor, c replay.Campaign, ledger *replay.Ledger) (replay.Loss, error) {
	if c.Filesystem != "ext4" {
		return replay.Loss{}, fault.New(fault.Usage,
			"files of the pattern %s are read back from ext4 alone: for %s ask for live cuts of overwritten blocks", c.Layout.Pattern, c.Filesystem)
	}
	if s.broken != "" {
		return replay.Loss{Promises: ledger.Promises(), PromisesLost: ledger.Promises()}, nil
	}
	dir, err := os.MkdirTemp(storage, "files-")
	if err != nil {
		return replay.Loss{}, rigError("read a survivor's files", err)
	}
	defer os.RemoveAll(dir)
	if _, err := debugfs(ctx, s.path, "rdump / "+debugfsWord(dir)); err != nil {
		return replay.Loss{}, err
	}
	promised, acknowledged := ledger.Sequences()
	loss, err := guest.CheckProbeHere(ctx, storage, filepath.Join(dir, "data"), c.Layout, promised, acknowledged)
	if err != nil {
		return replay.Loss{}, rigError("read a survivor's files", err)
	}
	return replay.Loss{Promises: loss.Promises, PromisesLost: loss.PromisesLost, Torn: loss.Torn, ExposedWrites: loss.ExposedWrites,
		ExposedBytes: loss.ExposedWrites * int64(c.Layout.BlockBytes)}, nil
}

// readThrough reads the probe's file through a survivor's ext4, without mounting it, and says so where more promises are gone from it than
// from its places on the disk, which is what there tells. It lies in the directory storage meanwhile.
func readThrough(ctx context.Context, storage string, s survivor, c replay.Campaign, ledger *replay.Ledger, there replay.Loss) (string,
	error) {
	path := filepath.Join(storage, "data.dump")
	defer os.Remove(path)
	said, err := debugfs(ctx, s.path, "dump /data "+debugfsWord(path))
	if err != nil {
		return "", err
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "its file is gone: " + lastLine(said), nil
	}
	if err != nil {
		return "", rigError("read a survivor's file", err)
	}
	defer f.Close()
	c.Extents, c.SizeBytes = nil, c.Layout.JobBytes()*int64(c.Layout.Jobs)
	read, err := replay.Check(f, c, ledger)
	if err != nil {
		return "", rigError("read a survivor's file", err)
	}
	if read.PromisesLost > there.PromisesLost {
		return fmt.Sprintf("its file does not read back whole: %d promises are gone from it, %d from its places on the disk", read.PromisesLost,
			there.PromisesLost), nil
	}
	return "", nil
}

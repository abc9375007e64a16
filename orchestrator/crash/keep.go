package crash

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
)

// keep stores a campaign beside the cell's raw files, so that platter replay can make any survivor of it.
func (x *Campaigns) keep(cell string, rec *recording) error {
	dir, err := x.Rig.SafetyDir(cell)
	if err != nil {
		return rigError("keep the campaign", err)
	}
	if rec.campaign.Filesystem != "none" || rec.campaign.Format != "raw" {
		if rec.campaign.Base, err = keepBase(dir, rec.base); err != nil {
			return rigError("keep the campaign", err)
		}
	}
	text, err := json.MarshalIndent(rec.campaign, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "campaign.json"), append(text, '\n'), 0o644)
	}
	if err == nil {
		err = compress(rec.log, filepath.Join(dir, "oplog.gz"))
	}
	if err != nil {
		return rigError("keep the campaign", err)
	}
	return nil
}

// keepBase stores the image that campaigns began from, once for all of them, and returns its path from dir.
func keepBase(dir string, b *baseImage) (string, error) {
	raw := filepath.Dir(filepath.Dir(dir))
	if b.kept == "" {
		// A name that none has: a run that goes on must not write over what the campaigns before it began from.
		f, err := os.CreateTemp(raw, "base-*"+filepath.Ext(b.path)+".gz")
		if err != nil {
			return "", err
		}
		if err := errors.Join(f.Chmod(0o644), f.Close(), compress(b.path, f.Name())); err != nil {
			os.Remove(f.Name())
			return "", err
		}
		b.kept = f.Name()
	}
	return filepath.Rel(dir, b.kept)
}

// compress writes a file gzip'd. Stamps and zeros shrink to a few hundredths.
func compress(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	z, err := gzip.NewWriterLevel(out, gzip.BestSpeed)
	if err != nil {
		return err
	}
	if _, err := io.Copy(z, in); err != nil {
		return err
	}
	return z.Close()
}

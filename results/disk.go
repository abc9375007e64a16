package results

import (
	"errors"
	"io"
	"os"
	"path/filepath"
)

// file is what a journal needs of a file; tests make it fail.
type file interface {
	io.WriteCloser
	Sync() error
}

// disk is what writing a file whole or not at all needs of the operating system; tests make it fail.
type disk interface {
	// Create makes a new file, or fails when the name is taken.
	Create(path string) (file, error)
	Rename(from, to string) error
	// SyncDir makes the names in a directory durable.
	SyncDir(dir string) error
}

// osDisk is the real one.
type osDisk struct{}

func (osDisk) Create(path string) (file, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
}

func (osDisk) Rename(from, to string) error { return os.Rename(from, to) }

func (osDisk) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// writeWhole writes a file so that it is there whole or not at all, whenever the power fails.
func writeWhole(d disk, path string, text []byte) error {
	temporary := path + ".tmp"
	f, err := d.Create(temporary)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = d.Rename(temporary, path)
	}
	if err != nil {
		os.Remove(temporary) // the error that is given says enough
		return err
	}
	return d.SyncDir(filepath.Dir(path))
}

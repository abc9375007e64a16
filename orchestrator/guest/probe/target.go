package main

import (
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"platter/powercut/witness"
)

// target is where a job writes, in the way of its pattern. Writes may run at once, in different slots.
type target struct {
	os    files
	o     *options
	job   uint16
	file  file         // of overwrite and append: the job's one descriptor
	dir   file         // of file and rename: where the files are made
	syncs atomic.Int64 // fsyncs and fdatasyncs made
}

// ownDirectory returns where patterns that make files of their own make them.
func ownDirectory(filename string) string { return filename + ".d" }

// ownFile returns the path of the file that holds the write s: of append one a job, of file one a write, of rename one a block.
func ownFile(filename, pattern string, job uint16, s witness.Stamp) string {
	name := ownDirectory(filename) + "/" + strconv.Itoa(int(job))
	switch pattern {
	case witness.FileEach:
		name += "-" + strconv.FormatUint(uint64(s.Sequence), 10)
	case witness.Rename:
		name += "-" + strconv.FormatUint(uint64(s.Block), 10)
	}
	return name
}

// openTarget opens what the job writes to. The directory of patterns that make files is there already, and durable; so is,
// when this returns, the path of an appending job's file.
func openTarget(os files, o *options, job uint16) (*target, error) {
	t := &target{os: os, o: o, job: job}
	var err error
	switch {
	case o.layout.Pattern == witness.Overwrite:
		t.file, err = os.Open(o.filename, t.flags(unix.O_RDWR))
		return t, err
	case o.manyFiles():
		t.dir, err = os.Open(ownDirectory(o.filename), unix.O_RDONLY|unix.O_DIRECTORY)
		return t, err
	}
	path := ownFile(o.filename, o.layout.Pattern, job, witness.Stamp{})
	if t.file, err = os.Open(path, t.flags(unix.O_RDWR|unix.O_CREAT|unix.O_EXCL)); err != nil {
		return nil, err
	}
	dir, err := os.Open(ownDirectory(o.filename), unix.O_RDONLY|unix.O_DIRECTORY)
	if err == nil {
		err = errors.Join(t.file.Sync(), dir.Sync(), dir.Close())
	}
	if err != nil {
		return nil, errors.Join(err, t.file.Close())
	}
	return t, nil
}

// flags adds to those of open(2) what the options ask of the files that are written.
func (t *target) flags(flags int) int {
	if t.o.direct {
		flags |= unix.O_DIRECT
	}
	switch t.o.sync {
	case "dsync":
		flags |= unix.O_DSYNC
	case "sync":
		flags |= unix.O_SYNC
	}
	return flags
}

// write makes the write s, whose block is stamped. Slots that write at once have different numbers.
func (t *target) write(slot int, s witness.Stamp, block []byte) error {
	switch t.o.layout.Pattern {
	case witness.Append:
		return t.file.WriteAt(block, int64(s.Sequence-1)*int64(len(block)))
	case witness.FileEach:
		return t.create(ownFile(t.o.filename, witness.FileEach, t.job, s), block)
	case witness.Rename:
		temporary := fmt.Sprintf("%s/%d.%d.tmp", ownDirectory(t.o.filename), t.job, slot)
		if err := t.create(temporary, block); err != nil {
			return err
		}
		return t.os.Rename(temporary, ownFile(t.o.filename, witness.Rename, t.job, s))
	default:
		return t.file.WriteAt(block, t.o.layout.Home(t.job, s.Block))
	}
}

// create makes a file and, where anything is to be promised, syncs it before it is closed: whatever name it has or is given,
// that name never leads to less than a whole file.
func (t *target) create(path string, block []byte) error {
	f, err := t.os.Open(path, t.flags(unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL))
	if err != nil {
		return err
	}
	err = f.WriteAt(block, 0)
	if err == nil && (t.o.fsync > 0 || t.o.fdatasync > 0) {
		err = t.flush(f, t.o.fsync == 0)
	}
	return errors.Join(err, f.Close())
}

// read reads a block of the job's own region.
func (t *target) read(block uint32, into []byte) error {
	return t.file.ReadAt(into, t.o.layout.Home(t.job, block))
}

// sync makes every write that has returned durable. Of files it is the directory that is left to be synced.
func (t *target) sync(dataOnly bool) error {
	if t.dir != nil {
		return t.flush(t.dir, false)
	}
	return t.flush(t.file, dataOnly)
}

func (t *target) flush(f file, dataOnly bool) error {
	t.syncs.Add(1)
	if dataOnly {
		return f.Datasync()
	}
	return f.Sync()
}

func (t *target) close() error {
	if t.dir != nil {
		return t.dir.Close()
	}
	return t.file.Close()
}

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"platter/powercut/witness"
)

// options are what the command line of run and prefill says.
type options struct {
	layout    witness.Layout
	filename  string
	witness   string
	readShare int // of the operations, in percent
	direct    bool
	sync      string // "none", "dsync" or "sync": how files are opened
	fsync     uint32 // after every so many writes; 0 for never
	fdatasync uint32
	depth     int
	runtime   time.Duration
	lie       bool // promise each write without a sync
}

const maxDepth = 256

func parseOptions(args []string) (options, error) {
	o := options{}
	var rw, bs, size, direct string
	var fsync, fdatasync uint
	var seconds float64
	l := &o.layout
	f := flag.NewFlagSet(args[0], flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&o.filename, "filename", "", "")
	f.Uint64Var(&l.Campaign, "campaign", 0, "")
	f.StringVar(&size, "size", "", "")
	f.StringVar(&bs, "bs", "4k", "")
	f.IntVar(&l.Jobs, "numjobs", 1, "")
	f.StringVar(&l.Pattern, "pattern", witness.Overwrite, "")
	if args[0] == "run" {
		f.StringVar(&o.witness, "witness", "", "")
		f.Uint64Var(&l.Seed, "seed", 0, "")
		f.StringVar(&rw, "rw", "randwrite", "")
		f.IntVar(&o.readShare, "rwmixread", 50, "")
		f.StringVar(&direct, "direct", "0", "")
		f.StringVar(&o.sync, "sync", "none", "")
		f.UintVar(&fsync, "fsync", 0, "")
		f.UintVar(&fdatasync, "fdatasync", 0, "")
		f.IntVar(&o.depth, "iodepth", 1, "")
		f.Float64Var(&seconds, "runtime", 0, "")
		f.BoolVar(&o.lie, "lie", false, "")
	}
	if err := parse(f, args[1:]); err != nil {
		return o, err
	}
	if err := o.setLayout(size, bs); err != nil {
		return o, usageError{err}
	}
	if args[0] == "prefill" {
		if l.Pattern != witness.Overwrite {
			return o, usageError{errors.New("only the pattern overwrite has something to prefill")}
		}
		return o, nil
	}
	if err := o.setRW(rw); err != nil {
		return o, usageError{err}
	}
	o.direct = direct == "1"
	if direct != "0" && direct != "1" {
		return o, usageError{fmt.Errorf("--direct=%s: it is 0 or 1", direct)}
	}
	if fsync > math.MaxUint32 || fdatasync > math.MaxUint32 {
		return o, usageError{errors.New("--fsync and --fdatasync take up to 4294967295 writes")}
	}
	o.fsync = uint32(fsync)
	o.fdatasync = uint32(fdatasync)
	if !(seconds > 0 && seconds <= 1e6) {
		return o, usageError{fmt.Errorf("--runtime=%v: seconds above 0 up to 1000000 are needed", seconds)}
	}
	o.runtime = time.Duration(seconds * float64(time.Second))
	if err := o.check(); err != nil {
		return o, usageError{err}
	}
	return o, nil
}

func parseCheck(args []string) (filename string, err error) {
	f := flag.NewFlagSet(args[0], flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&filename, "filename", "", "")
	if err := parse(f, args[1:]); err != nil {
		return "", err
	}
	if filename == "" {
		return "", usageError{errors.New("--filename is needed")}
	}
	return filename, nil
}

func parse(f *flag.FlagSet, args []string) error {
	if err := f.Parse(args); err != nil {
		return usageError{err}
	}
	if f.NArg() > 0 {
		return usageError{fmt.Errorf("%q is no option: options look like --bs=4k", f.Arg(0))}
	}
	return nil
}

// setLayout cuts the size, which is that of all jobs together, into their blocks.
func (o *options) setLayout(size, bs string) error {
	l := &o.layout
	block, err := parseSize(bs)
	if err != nil {
		return fmt.Errorf("--bs: %w", err)
	}
	whole, err := parseSize(size)
	if err != nil {
		return fmt.Errorf("--size: %w", err)
	}
	if l.Jobs < 1 || block < 1 || block > math.MaxInt32 {
		return fmt.Errorf("%d jobs with blocks of %d bytes: both must be above 0", l.Jobs, block)
	}
	blocks := whole / int64(l.Jobs) / block
	if blocks > 1<<31 {
		return fmt.Errorf("--size=%s: more blocks than can be counted", size)
	}
	l.BlockBytes = int(block)
	l.Blocks = int(blocks)
	if o.filename == "" {
		return errors.New("--filename is needed")
	}
	return l.Check()
}

func (o *options) setRW(rw string) error {
	switch rw {
	case "write":
		o.readShare = 0
	case "randwrite":
		o.layout.Random = true
		o.readShare = 0
	case "rw", "readwrite":
	case "randrw":
		o.layout.Random = true
	default:
		return fmt.Errorf("--rw=%s: it is write, randwrite, rw or randrw", rw)
	}
	if o.readShare < 0 || o.readShare > 99 {
		return fmt.Errorf("--rwmixread=%d: from 0 to 99 percent leave something to write", o.readShare)
	}
	return nil
}

func (o *options) check() error {
	switch {
	case o.witness == "":
		return errors.New("--witness is needed")
	case o.sync != "none" && o.sync != "dsync" && o.sync != "sync":
		return fmt.Errorf("--sync=%s: it is none, dsync or sync", o.sync)
	case o.depth < 1 || o.depth > maxDepth:
		return fmt.Errorf("--iodepth=%d: from 1 to %d", o.depth, maxDepth)
	case o.readShare > 0 && o.layout.Pattern != witness.Overwrite:
		return fmt.Errorf("pattern %s cannot be mixed with reads", o.layout.Pattern)
	case o.lie && (o.direct || o.sync != "none" || o.fsync > 0 || o.fdatasync > 0):
		return errors.New("--lie is only a lie with --direct=0 --sync=none and no fsync or fdatasync")
	}
	return nil
}

// ownFiles reports whether the pattern makes files of its own beside the one that was named.
func (o *options) ownFiles() bool { return o.layout.Pattern != witness.Overwrite }

// manyFiles reports whether each write is a file: then it needs its directory synced to be promised.
func (o *options) manyFiles() bool {
	return o.layout.Pattern == witness.FileEach || o.layout.Pattern == witness.Rename
}

// promisesReturns reports whether a write is promised as soon as it returns: opened O_DSYNC or O_SYNC, or by a lie. A new path
// is not promised by that.
func (o *options) promisesReturns() bool { return o.lie || o.sync != "none" && !o.manyFiles() }

// maxWrites returns how many writes a job makes at the most; 0 for as many as there is time for. What grows stops at its size.
func (o *options) maxWrites() uint32 {
	if o.layout.Pattern == witness.Append || o.layout.Pattern == witness.FileEach {
		return uint32(o.layout.Blocks)
	}
	return 0
}

// parseSize reads a size in fio's spelling with its default kb_base: a number of bytes, or with k, m, g or t of powers of 1024.
func parseSize(s string) (int64, error) {
	digits := strings.TrimRight(s, "kKmMgGtT")
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || len(s) > len(digits)+1 {
		return 0, fmt.Errorf("%q is no size: 4096, 4k and 1m are", s)
	}
	if s == digits {
		return int64(n), nil
	}
	shift := 10 * (1 + strings.IndexByte("kmgt", s[len(s)-1]|0x20))
	if n > math.MaxInt64>>shift {
		return 0, fmt.Errorf("%q is too large a size", s)
	}
	return int64(n) << shift, nil
}

package explain

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"platter/cell"
	"platter/flushpath"
)

// Job reads fio's options, separated by white space, as far as they decide what is promised and where writes rest.
// The defaults are fio's: buffered writes and no sync. What is neither known nor known not to matter is refused.
func Job(text string) (flushpath.Config, error) {
	job := flushpath.Config{Sync: "none"}
	rw := "write"
	jobs, depth, engine := 1, 1, "psync"
	for _, word := range strings.Fields(text) {
		name, value, _ := strings.Cut(word, "=")
		var err error
		switch name {
		case "rw", "readwrite":
			rw, _, _ = strings.Cut(value, ":")
		case "direct":
			job.Direct, err = fioBool(value)
		case "buffered":
			var buffered bool
			buffered, err = fioBool(value)
			job.Direct = !buffered
		case "fsync":
			job.Fsync, err = fioCount(value)
		case "fdatasync":
			job.Fdatasync, err = fioCount(value)
		case "sync":
			job.Sync, err = fioSync(value)
		case "numjobs":
			jobs, err = fioNumber(value)
		case "iodepth":
			depth, err = fioNumber(value)
		case "ioengine":
			engine = value
		default:
			if !slices.Contains(indifferentOptions(), name) {
				err = fmt.Errorf("it is none of rw, direct, buffered, fsync, fdatasync, sync, numjobs, iodepth, ioengine, which decide where "+
					"writes rest, nor of %s, which do not", strings.Join(indifferentOptions(), ", "))
			}
		}
		if err != nil {
			return job, fmt.Errorf("%q: %w", word, err)
		}
	}
	if !slices.Contains([]string{"write", "randwrite", "rw", "readwrite", "randrw"}, rw) {
		return job, fmt.Errorf("rw=%s writes nothing that could be lost: it is write, randwrite, rw or randrw", rw)
	}
	job.Writers = jobs
	if !slices.Contains(cell.SynchronousEngines(), engine) {
		job.Writers *= depth
	}
	return job, nil
}

// indifferentOptions change neither what is promised nor where it rests.
func indifferentOptions() []string {
	return []string{"bs", "blocksize", "size", "runtime", "time_based", "ramp_time", "rwmixread",
		"rwmixwrite", "name"}
}

func fioBool(value string) (bool, error) {
	if value != "0" && value != "1" {
		return false, errors.New("it is 0 or 1")
	}
	return value == "1", nil
}

func fioCount(value string) (int, error) {
	n, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		return 0, errors.New("it is after how many writes, or 0 for never")
	}
	return int(n), nil
}

func fioNumber(value string) (int, error) {
	n, err := strconv.ParseUint(value, 10, 16)
	if err != nil || n == 0 {
		return 0, errors.New("it is a number from 1 to 65535")
	}
	return int(n), nil
}

func fioSync(value string) (string, error) {
	switch value {
	case "none", "0":
		return "none", nil
	case "sync", "1":
		return "sync", nil
	case "dsync":
		return "dsync", nil
	}
	return "", errors.New("it is none, dsync or sync")
}

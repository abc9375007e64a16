// Command probe writes in a guest what a crash must not take, and tells a witness disk what was promised of it and when. It
// is a part of platter, which sends it into the guest; it speaks fio's words with fio's meaning, so that what is said about
// safety is said about the same work as what is said about speed.
//
//	probe prefill --filename=/dev/vdb --campaign=1 --size=16m [--bs=4k] [--numjobs=1]
//	probe run --filename=/dev/vdb --witness=/dev/vdc --campaign=1 --size=16m --runtime=5 [--seed=1]
//	    [--pattern=overwrite|append|file|rename] [--rw=randwrite|write|randrw|rw] [--rwmixread=50] [--bs=4k]
//	    [--direct=0|1] [--sync=none|dsync|sync] [--fsync=N] [--fdatasync=N] [--numjobs=1] [--iodepth=1] [--lie]
//	probe check --filename=/dev/vdb <ledger.json
//
// Each prints one JSON object. Exit status: 0, also when the data disk failed and the JSON of run says so; 1 when it could
// not do its work, with the reason in one line on stderr; 2 for usage.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() { os.Exit(probe(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// usageError is a fault of the command line.
type usageError struct{ error }

func probe(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	result, err := command(args, stdin)
	if err == nil {
		err = json.NewEncoder(stdout).Encode(result)
	}
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "probe:", strings.ReplaceAll(err.Error(), "\n", "; "))
	if errors.As(err, new(usageError)) {
		return 2
	}
	return 1
}

func command(args []string, stdin io.Reader) (any, error) {
	if len(args) == 0 {
		return nil, usageError{errors.New("say prefill, run or check")}
	}
	switch args[0] {
	case "prefill":
		o, err := parseOptions(args)
		if err != nil {
			return nil, err
		}
		return prefill(o)
	case "run":
		o, err := parseOptions(args)
		if err != nil {
			return nil, err
		}
		return runOnDisks(o)
	case "check":
		filename, err := parseCheck(args)
		if err != nil {
			return nil, err
		}
		return checkDisk(filename, stdin)
	}
	return nil, usageError{fmt.Errorf("no command %q: say prefill, run or check", args[0])}
}

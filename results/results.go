// Package results is the run directory: the records of a run, the journal that is appended to while it goes on, and
// reading it back. A reader needs neither libvirt nor root.
package results

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Run is a run directory that was read.
type Run struct {
	Dir      string
	Manifest Manifest
	Trials   []Trial  // in the order of the journal; of two records of one trial (a run resumed) only the later
	Safety   []Safety // likewise; of two records of one cell, class and drive cache only the later
	Torn     bool     // the last line of one of the journals was cut short, as a crash leaves it; it is not among the records

	whole map[string]int64 // of each torn journal: its bytes up to the end of the last whole line
}

// Fault says whose an Error is.
type Fault string

// The faults of this package's errors.
const (
	Input Fault = "input" // the directory is not, or not yet, what was asked for
	Disk  Fault = ""      // reading or writing failed
)

// Error names the file and, for a line of the journal, the line.
type Error struct {
	Path    string
	Line    int // from 1; 0 when the message is about the whole
	Fault   Fault
	Message string
}

func (e *Error) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("%s:%d: %s", e.Path, e.Line, e.Message)
	}
	return e.Path + ": " + e.Message
}

// Read reads a run directory, also one that is being written. A torn last line is left out; any other line that cannot
// be read is an error with its number, as is a schema that this version does not know.
func Read(dir string) (*Run, error) {
	m, err := readManifest(dir)
	if err != nil {
		return nil, err
	}
	run := &Run{Dir: dir, Manifest: *m, whole: map[string]int64{}}
	if err := run.readTrials(); err != nil {
		return nil, err
	}
	if err := run.readSafety(); err != nil {
		return nil, err
	}
	return run, nil
}

// readManifest looks at the schema first, so that a newer manifest is called newer and not malformed.
func readManifest(dir string) (*Manifest, error) {
	path := filepath.Join(dir, ManifestFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, &Error{Path: dir, Fault: Input, Message: "this is no run directory: it has no " + ManifestFile}
	}
	if err != nil {
		return nil, &Error{Path: path, Message: err.Error()}
	}
	var head struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, &Error{Path: path, Fault: Input, Message: fmt.Sprintf("not a manifest: %v", err)}
	}
	if head.Schema != Schema {
		return nil, &Error{Path: path, Fault: Input, Message: fmt.Sprintf("schema %d; this platter reads schema %d: use the platter that wrote it", head.Schema, Schema)}
	}
	m := new(Manifest)
	if err := json.Unmarshal(text, m); err != nil {
		return nil, &Error{Path: path, Fault: Input, Message: fmt.Sprintf("not a manifest: %v", err)}
	}
	return m, nil
}

func (r *Run) readTrials() error {
	type key struct {
		cell  string
		block int
	}
	at := map[key]int{}
	return r.readLines(TrialsFile, "a trial", func(line []byte) error {
		var t Trial
		if err := json.Unmarshal(line, &t); err != nil {
			return err
		}
		keepLater(&r.Trials, at, key{t.Cell, t.Block}, t)
		return nil
	})
}

func (r *Run) readSafety() error {
	at := map[SafetyKey]int{}
	return r.readLines(SafetyFile, "a safety record", func(line []byte) error {
		var s Safety
		if err := json.Unmarshal(line, &s); err != nil {
			return err
		}
		keepLater(&r.Safety, at, s.Key(), s)
		return nil
	})
}

// keepLater adds a record, in the place of the one before it with the same key.
func keepLater[K comparable, R any](records *[]R, at map[K]int, key K, record R) {
	if i, again := at[key]; again {
		(*records)[i] = record
		return
	}
	at[key] = len(*records)
	*records = append(*records, record)
}

// readLines reads a journal, which may not be there. Its last line is torn when its newline is missing, and also when it has one
// but is no JSON: the pages of a long line reach the medium in any order. Neither was acknowledged by Append, which returns after
// the fsync.
func (r *Run) readLines(file, what string, take func(line []byte) error) error {
	path := filepath.Join(r.Dir, file)
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &Error{Path: path, Message: err.Error()}
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 64<<10)
	whole := int64(0)
	var line []byte // one at a time: a journal may be large
	for number := 1; ; number++ {
		line = line[:0]
		for err = bufio.ErrBufferFull; errors.Is(err, bufio.ErrBufferFull); {
			var piece []byte
			piece, err = in.ReadSlice('\n')
			line = append(line, piece...)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return &Error{Path: path, Message: err.Error()}
		}
		if len(line) == 0 {
			return nil
		}
		text, ended := bytes.CutSuffix(line, []byte("\n"))
		_, more := in.Peek(1)
		if !ended || more != nil && !json.Valid(text) {
			r.Torn = true
			r.whole[file] = whole
			return nil
		}
		if err := take(text); err != nil {
			return &Error{Path: path, Line: number, Fault: Input, Message: fmt.Sprintf("not %s: %v", what, err)}
		}
		whole += int64(len(line))
	}
}

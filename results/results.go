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
	"runtime"
	"syscall"

	"platter/cell"
)

// Run is a run directory that was read.
type Run struct {
	Dir      string
	Manifest Manifest
	Trials   []Trial  // in the order of the journal; of two records of one trial (a run resumed) only the later
	Safety   []Safety // likewise; of two records of one cell, class and drive cache only the later
	Torn     bool     // the last line of one of the journals was cut short, as a crash leaves it; it is not among the records

	// Unresolved is why the cells of a run of schema 1 have no settings, in a line; empty where they have.
	Unresolved string

	Judgement *Judgement // nil where platter ab has not judged the run

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
	if m.Schema == OldestSchema {
		run.Unresolved = run.Manifest.resolve()
	}
	if err := run.readTrials(); err != nil {
		return nil, err
	}
	if err := run.readSafety(); err != nil {
		return nil, err
	}
	if run.Judgement, err = readJudgement(dir); err != nil {
		return nil, err
	}
	return run, nil
}

// readManifest looks at the schema first, so that a newer manifest is called newer and not malformed.
func readManifest(dir string) (*Manifest, error) {
	path := filepath.Join(dir, ManifestFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
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
	if head.Schema < OldestSchema || head.Schema > Schema {
		return nil, &Error{Path: path, Fault: Input,
			Message: fmt.Sprintf("schema %d; this platter reads schemas %d to %d: use the platter that wrote it", head.Schema, OldestSchema, Schema)}
	}
	m := new(Manifest)
	if err := json.Unmarshal(text, m); err != nil {
		return nil, &Error{Path: path, Fault: Input, Message: fmt.Sprintf("not a manifest: %v", err)}
	}
	for i := range m.Cells { // readers find an axis by its place
		axes := make(cell.Settings, len(m.Axes))
		for k, name := range m.Axes {
			v, ok := m.Cells[i].Axes.Get(name)
			if !ok {
				return nil, &Error{Path: path, Fault: Input, Message: fmt.Sprintf("not a manifest: cell %q has no value of the axis %q", m.Cells[i].ID,
					name)}
			}
			axes[k] = cell.Setting{Name: name, Value: v}
		}
		m.Cells[i].Axes = axes
	}
	return m, nil
}

func (r *Run) readTrials() error {
	type key struct {
		cell  string
		block int
	}
	at := map[key]int{}
	return readJournal(r, TrialsFile, "a trial", func(t Trial) { keepLater(&r.Trials, at, key{t.Cell, t.Block}, t) })
}

func (r *Run) readSafety() error {
	at := map[cell.Question]int{}
	return readJournal(r, SafetyFile, "a safety record", func(x Safety) { keepLater(&r.Safety, at, x.Key(), x) })
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

// readJournal reads a journal, which may not be there, and takes its records in their order. Its last line is torn when its newline is
// missing, and also when it has one but is no JSON: the pages of a long line reach the medium in any order. Neither was acknowledged by
// Append, which returns after the fsync.
func readJournal[R any](r *Run, file, what string, take func(R)) error {
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
	var reading []*batch[R] // a few at a time: a journal may be large
	b := newBatch[R](1)
	number := 1
	for ; ; number++ {
		begin := len(b.text)
		for err = bufio.ErrBufferFull; errors.Is(err, bufio.ErrBufferFull); {
			var piece []byte
			piece, err = in.ReadSlice('\n')
			b.text = append(b.text, piece...)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return &Error{Path: path, Message: err.Error()}
		}
		line := b.text[begin:]
		if len(line) == 0 {
			break
		}
		text, ended := bytes.CutSuffix(line, []byte("\n"))
		_, more := in.Peek(1)
		if !ended || more != nil && !json.Valid(text) {
			r.Torn = true
			r.whole[file] = whole
			break
		}
		whole += int64(len(line))
		b.ends = append(b.ends, begin+len(text))
		if len(b.text) < batchBytes {
			continue
		}
		go b.decode()
		if reading, b = append(reading, b), newBatch[R](number+1); len(reading) > runtime.GOMAXPROCS(0) {
			if err := reading[0].take(path, what, take); err != nil {
				return err
			}
			reading = reading[1:]
		}
	}
	go b.decode()
	for _, b := range append(reading, b) {
		if err := b.take(path, what, take); err != nil {
			return err
		}
	}
	return nil
}

// batchBytes is about how much of a journal is decoded at once, on a processor of its own: reading is mostly decoding.
const batchBytes = 256 << 10

// batch is some lines of a journal.
type batch[R any] struct {
	first   int    // its first line's number, from 1
	text    []byte // the lines
	ends    []int  // in text, of each line without its newline
	records []R    // of the lines up to the one that is none
	err     error  // of that one
	done    chan struct{}
}

func newBatch[R any](first int) *batch[R] {
	return &batch[R]{first: first, text: make([]byte, 0, batchBytes+batchBytes/4), done: make(chan struct{})}
}

func (b *batch[R]) decode() {
	defer close(b.done)
	b.records = make([]R, 0, len(b.ends))
	begin := 0
	for _, end := range b.ends {
		var record R
		if b.err = json.Unmarshal(b.text[begin:end], &record); b.err != nil {
			return
		}
		b.records = append(b.records, record)
		begin = end + 1
	}
}

// take waits for the batch and takes its records.
func (b *batch[R]) take(path, what string, take func(R)) error {
	<-b.done
	if b.err != nil {
		return &Error{Path: path, Line: b.first + len(b.records), Fault: Input, Message: fmt.Sprintf("not %s: %v", what, b.err)}
	}
	for _, record := range b.records {
		take(record)
	}
	return nil
}

// Package results is the run directory: the records of a run, the journal that is appended to while it goes on, and
// reading it back. A reader needs neither libvirt nor root.
package results

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
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
	run, trials, err := ReadEach(dir, func(t *Trial) Trial { return *t })
	if err != nil {
		return nil, err
	}
	run.Trials = trials
	return run, nil
}

// ReadEach is Read for whoever needs little of each trial: in the order of the journal it returns what of makes of them, and
// Run.Trials is nil. The calls of of are several at once, and none may keep the *Trial.
func ReadEach[V any](dir string, of func(*Trial) V) (*Run, []V, error) {
	m, err := readManifest(dir)
	if err != nil {
		return nil, nil, err
	}
	run := &Run{Dir: dir, Manifest: *m, whole: map[string]int64{}}
	if m.Schema == OldestSchema {
		run.Unresolved = run.Manifest.resolve()
	}
	trials, err := readTrials(run, of)
	if err != nil {
		return nil, nil, err
	}
	if err := run.readSafety(); err != nil {
		return nil, nil, err
	}
	if run.Judgement, err = readJudgement(dir); err != nil {
		return nil, nil, err
	}
	return run, trials, nil
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

func readTrials[V any](r *Run, of func(*Trial) V) ([]V, error) {
	type key struct {
		cell  string
		block int
	}
	type record struct {
		key
		value V
	}
	decode := func(text []byte, k *known) (record, error) {
		t, ok := &k.trial, false
		if *t, ok = readTrial(text, k); !ok {
			*t = Trial{}
			if err := json.Unmarshal(text, t); err != nil {
				return record{}, err
			}
		}
		return record{key{t.Cell, t.Block}, of(t)}, nil
	}
	var trials []V
	at := map[key]int{}
	err := readJournal(r, TrialsFile, "a trial", decode, func(x record) { keepLater(&trials, at, x.key, x.value) })
	return trials, err
}

func (r *Run) readSafety() error {
	decode := func(text []byte, _ *known) (x Safety, err error) {
		err = json.Unmarshal(text, &x)
		return x, err
	}
	at := map[cell.Question]int{}
	return readJournal(r, SafetyFile, "a safety record", decode, func(x Safety) { keepLater(&r.Safety, at, x.Key(), x) })
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
func readJournal[R any](r *Run, file, what string, decode func([]byte, *known) (R, error), take func(R)) error {
	path := filepath.Join(r.Dir, file)
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &Error{Path: path, Message: err.Error()}
	}
	defer f.Close()
	whole, lines := int64(0), 0
	takeFrom := func(b *batch[R]) error {
		<-b.done
		if b.err != nil {
			return &Error{Path: path, Line: lines + len(b.records) + 1, Fault: Input, Message: fmt.Sprintf("not %s: %v", what, b.err)}
		}
		for _, record := range b.records {
			take(record)
		}
		lines += len(b.records)
		return nil
	}
	var reading []*batch[R] // a few at a time: a journal may be large
	b := newBatch[R]()
	for {
		n, err := io.ReadFull(f, b.text[len(b.text):cap(b.text)])
		b.text = b.text[:len(b.text)+n]
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return &Error{Path: path, Message: err.Error()}
		}
		rest := lastLine(b.text) // of the journal, for all that is known yet
		if rest == 0 {           // one line, and longer than a batch
			b.text = slices.Grow(b.text, len(b.text))
			continue
		}
		var next *batch[R]
		if len(reading) < runtime.GOMAXPROCS(0) {
			next = newBatch[R]()
		} else {
			next, reading = reading[0], reading[1:]
			if err := takeFrom(next); err != nil {
				return err
			}
			next.empty()
		}
		next.text = append(next.text, b.text[rest:]...)
		b.text = b.text[:rest]
		whole += int64(rest)
		go b.decode(decode)
		reading = append(reading, b)
		b = next
	}
	if text, ended := bytes.CutSuffix(b.text, []byte("\n")); len(b.text) > 0 {
		if last := lastLine(b.text); !ended || !json.Valid(text[last:]) {
			r.Torn = true
			r.whole[file] = whole + int64(last)
			b.text = b.text[:last]
		}
	}
	go b.decode(decode)
	for _, b := range append(reading, b) {
		if err := takeFrom(b); err != nil {
			return err
		}
	}
	return nil
}

// lastLine returns where the last line of a text begins, be it whole or not.
func lastLine(text []byte) int {
	return bytes.LastIndexByte(bytes.TrimSuffix(text, []byte("\n")), '\n') + 1
}

// batchBytes is about how much of a journal is decoded at once, on a processor of its own: reading is mostly decoding.
const batchBytes = 256 << 10

// batch is some lines of a journal. When its records are taken it is used for other lines.
type batch[R any] struct {
	text    []byte // the lines, each with its newline
	records []R    // of the lines up to the one that cannot be read
	err     error  // of that one
	known   *known
	done    chan struct{}
}

func newBatch[R any]() *batch[R] {
	return &batch[R]{text: make([]byte, 0, batchBytes), known: newKnown(), done: make(chan struct{}, 1)}
}

func (b *batch[R]) decode(decode func([]byte, *known) (R, error)) {
	defer func() { b.done <- struct{}{} }()
	for line := range bytes.Lines(b.text) {
		var record R
		if record, b.err = decode(line[:len(line)-1], b.known); b.err != nil {
			return
		}
		b.records = append(b.records, record)
	}
}

func (b *batch[R]) empty() {
	clear(b.records)
	b.text, b.records = b.text[:0], b.records[:0]
}

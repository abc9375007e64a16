package results

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// longJournal is a run whose journal takes several batches, of which one line alone is longer than a batch, and its lines.
func longJournal(t *testing.T) (dir string, lines [][]byte) {
	t.Helper()
	dir = newRun(t)
	for i := range 3000 {
		x := trial(fmt.Sprint("cell ", i), 0)
		x.Missing = []string{strings.Repeat("x", 1+i%700)}
		if i == 1700 {
			x.Missing[0] = strings.Repeat("y", 2*batchBytes)
		}
		text, err := json.Marshal(x)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, append(text, '\n'))
	}
	if whole := bytes.Join(lines, nil); len(whole) < 6*batchBytes {
		t.Fatalf("the journal has %d bytes: no %d batches", len(whole), 6)
	}
	return dir, lines
}

func TestALongJournalIsReadInItsOrder(t *testing.T) {
	dir, lines := longJournal(t)
	again := bytes.Replace(lines[5], []byte(`"order":0`), []byte(`"order":77`), 1)
	write := func(parts ...[]byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, TrialsFile), bytes.Join(parts, nil), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	whole := bytes.Join(lines, nil)
	write(whole, again, []byte(`{"cell": "torn`))
	run, err := Read(dir)
	if err != nil || len(run.Trials) != len(lines) || !run.Torn || run.whole[TrialsFile] != int64(len(whole)+len(again)) {
		t.Fatalf("%v: %d trials of %d, torn %v after %d bytes", err, len(run.Trials), len(lines), run.Torn, run.whole[TrialsFile])
	}
	for i, x := range run.Trials {
		if x.Cell != fmt.Sprint("cell ", i) {
			t.Fatalf("trial %d is of %s", i, x.Cell)
		}
	}
	if run.Trials[5].Order != 77 {
		t.Errorf("the later record of a trial does not count: %+v", run.Trials[5])
	}
	for _, number := range []int{1, 1500, 1701, 1702, 3000} { // two that cannot be read: the first is named
		write(bytes.Join(lines[:number-1], nil), []byte("{\"cell\": 7}\n"), bytes.Join(lines[number-1:], nil), []byte("[]\n"), lines[0])
		var e *Error
		if _, err := Read(dir); !errors.As(err, &e) || e.Line != number || e.Fault != Input {
			t.Errorf("line %d: %v", number, err)
		}
	}
}

// A batch may end where a line does, and the journal may end there too: its last line is torn or whole all the same.
func TestAJournalThatFillsItsBatchesIsReadWhole(t *testing.T) {
	dir := newRun(t)
	x := trial("a", 0)
	x.Missing = []string{""}
	short, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	padded := func(block, length int) []byte { // a line, with its newline
		x := trial("a", block)
		x.Missing = []string{strings.Repeat("x", length-len(short)-1)}
		text, err := json.Marshal(x)
		if err != nil || len(text) != length-1 {
			t.Fatalf("%v: a line of %d bytes, want %d", err, len(text)+1, length)
		}
		return append(text, '\n')
	}
	for _, length := range []int{batchBytes / 2, batchBytes, 2 * batchBytes} {
		for _, lines := range []int{1, 2, 3} {
			var whole []byte
			for block := range lines {
				whole = append(whole, padded(block, length)...)
			}
			for what, text := range map[string][]byte{
				"whole": whole, "without its newline": whole[:len(whole)-1],
				"with a last line that is no JSON": append(whole[:len(whole)-2:len(whole)-2], "!\n"...),
			} {
				if err := os.WriteFile(filepath.Join(dir, TrialsFile), text, 0o644); err != nil {
					t.Fatal(err)
				}
				want := lines
				if what != "whole" {
					want--
				}
				run, err := Read(dir)
				if err != nil || len(run.Trials) != want || run.Torn != (want < lines) || run.Torn && run.whole[TrialsFile] != int64(want*length) {
					t.Errorf("%d lines of %d bytes, %s: %v, %d trials, torn %v after %d bytes", lines, length, what, err, len(run.Trials), run.Torn,
						run.whole[TrialsFile])
				}
			}
		}
	}
}

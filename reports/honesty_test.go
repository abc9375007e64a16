package reports

import (
	"bytes"
	"strings"
	"testing"

	"platter/cell"
	"platter/results"
)

func TestALayerThatOneTrialDidNotMeasureHasNoTotal(t *testing.T) {
	run := generated(6, 1)
	n := int64(7)
	run.Trials[0].Evidence.FlushPath.Image = &n
	run.Trials[1].Evidence.FlushPath.QEMU = nil
	m := New(run)
	if got := m.Cells[0].FlushPath; got.Image != nil || got.QEMU == nil {
		t.Errorf("the first cell has %+v; want no image, for it was counted in one trial of six, and QEMU", got)
	}
	if got := m.Cells[1].FlushPath; got.QEMU != nil || got.Guest == nil {
		t.Errorf("the second cell has %+v; want no QEMU, for one trial of six did not count it, and the guest", got)
	}
}

func TestTheTotalOfALayerIsTheSumOverTheTrials(t *testing.T) {
	one, two := int64(1), int64(2)
	got := flushTotals([]results.FlushPath{{Fio: &one, Guest: &two}, {Fio: &two, Guest: &two}})
	if got.Fio == nil || *got.Fio != 3 || got.Guest == nil || *got.Guest != 4 || got.QEMU != nil {
		t.Errorf("got %+v, want fio 3, guest 4 and no QEMU", got)
	}
	if got := flushTotals(nil); got != (results.FlushPath{}) {
		t.Errorf("no trials give %+v, want no totals", got)
	}
}

func TestAnAxisValueIsWrittenWithAllItsDigits(t *testing.T) {
	for value, want := range map[any]string{268435456.0: "268435456", 1e6: "1000000", 0.5: "0.5", 1.0: "1", true: "true", "4k": "4k"} {
		if got := (cell.Value{V: value}).String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestTextFromAGuestCannotDriveTheTerminal(t *testing.T) {
	run := generated(6, 1)
	hostile := "\x1b[2J\x1b]0;owned\a\r\u202e done"
	run.Manifest.Banner = hostile
	run.Manifest.Cells[1].Axes = run.Manifest.Cells[1].Axes.With("disk.cache", cell.Value{V: hostile})
	run.Trials[0].Status, run.Trials[0].Metrics = results.Failed, nil
	run.Trials[0].Failure = &results.Failure{Fault: "guest", Message: hostile}
	var b bytes.Buffer
	if err := Table(&b, New(run)); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(b.String(), "\x1b\a\r\u202e") {
		t.Errorf("the terminal gets control characters: %q", b.String())
	}
	if !strings.Contains(b.String(), `\x1b[2J`) {
		t.Errorf("what was there is not to be seen:\n%s", b.String())
	}
}

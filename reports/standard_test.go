package reports

import (
	"regexp"
	"strings"
	"testing"
)

func TestTheBestSettingsAreHeldAgainstThoseInForce(t *testing.T) {
	m := New(withSafety(6))
	byDefault := strings.Join(m.Answer, "\n")
	if !strings.Contains(byDefault, "of cache=writeback, QEMU's default") {
		t.Fatalf("the default: %s", byDefault)
	}
	if err := m.Present(); err != nil || strings.Join(m.Answer, "\n") != byDefault {
		t.Errorf("no present setting changed the answer (%v): %s", err, m.Answer)
	}
	if err := m.Present("disk.cache=none"); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(m.Answer, "\n")
	if !strings.Contains(got, "of cache=none, the present setting, block by block [") || strings.Contains(got, "default") ||
		!strings.Contains(strings.Join(m.Answers[1].Lines, "\n"), "the present setting") {
		t.Errorf("against none: %s", got)
	}
	if err := m.Present("disk.cache=writethrough"); err != nil || !strings.Contains(strings.Join(m.Answer, "\n"),
		"; it is the present setting.") {
		t.Errorf("against the best itself (%v): %s", err, m.Answer)
	}
	for _, wrong := range []string{"disk.cache=nothing", "disk.io=native", "fio.fsync=1", "disk.cache", ""} {
		if err := m.Present(wrong); err == nil {
			t.Errorf("%q was taken", wrong)
		}
	}
	if err := m.Present("disk.cache=none", "disk.cache=writeback"); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("two present values of one axis: %v", err)
	}
}

func TestASettingWithBracketsKeepsTheIntervalOfItsRatio(t *testing.T) {
	m := New(withSafety(6))
	for i := range m.Cells {
		if a := &m.Cells[i].Axes[0]; a.Value.String() == "none" {
			a.Value.V = "] <b>["
		}
	}
	if err := m.Present("disk.cache=] <b>["); err != nil {
		t.Fatal(err)
	}
	var notes []string
	for _, r := range newVerdictMatrix(m, m.asked()).Rows {
		for _, x := range r.Cells {
			if x.Best {
				notes = append(notes, x.Note)
			}
		}
	}
	if len(notes) != 1 || !regexp.MustCompile(` · ×[\d.]+ \[[\d.]+ – [\d.]+\]$`).MatchString(notes[0]) {
		t.Errorf("the notes are %q", notes)
	}
}

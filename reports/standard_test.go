package reports

import (
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
	if !strings.Contains(got, "of cache=none, the present setting [") || strings.Contains(got, "default") || !strings.Contains(strings.Join(m.Answers[1].Lines, "\n"), "the present setting") {
		t.Errorf("against none: %s", got)
	}
	if err := m.Present("disk.cache=writethrough"); err != nil || !strings.Contains(strings.Join(m.Answer, "\n"), "; it is the present setting.") {
		t.Errorf("against the best itself (%v): %s", err, m.Answer)
	}
	for _, wrong := range []string{"disk.cache=nothing", "disk.io=native", "fio.fsync=1", "disk.cache", ""} {
		if err := m.Present(wrong); err == nil {
			t.Errorf("%q was taken", wrong)
		}
	}
}

package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode"

	"platter/orchestrator"
	"platter/results"
)

// TestNothingThatAGuestSaysDrivesTheTerminal: messages end with fio's or the console's own words.
func TestNothingThatAGuestSaysDrivesTheTerminal(t *testing.T) {
	const hostile = "fio: \x1b[2J\u202eevil\x1b]0;title\x07\rok\n10/10  all is well \u009b31m"
	failure := &results.Failure{Message: "fio failed with status 1: " + hostile}
	for name, e := range map[string]orchestrator.Event{
		"a trial":    {Done: 3, Total: 10, Left: time.Minute, Trial: &results.Trial{Cell: "cell", Status: results.Failed, Failure: failure}},
		"a campaign": {Done: 3, Total: 10, Safety: []results.Safety{{Cell: "cell", Status: results.Failed, Failure: failure}}},
		"a message":  {Message: hostile},
	} {
		var b bytes.Buffer
		newProgress(&b).tell(e)
		line, isLine := strings.CutSuffix(b.String(), "\n")
		if i := strings.IndexFunc(line, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }); i >= 0 || !isLine {
			t.Errorf("%s: %q", name, b.String())
		}
		if !strings.Contains(line, "evil") {
			t.Errorf("%s is not shown: %q", name, b.String())
		}
	}
}

func TestAnErrorDoesNotDriveTheTerminal(t *testing.T) {
	for _, command := range []string{"show", "lint", "replay"} {
		var out, errs bytes.Buffer
		run(t.Context(), []string{"platter", command, "./no-such-\x1b[2J\u202e"}, strings.NewReader(""), &out, &errs)
		if strings.ContainsAny(errs.String(), "\x1b\u202e") || !strings.Contains(errs.String(), `no-such-\x1b[2J\u202e`) {
			t.Errorf("%s: %q", command, errs.String())
		}
	}
}

package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

// show runs the command as a user types it and returns what it printed.
func show(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(context.Background(), append([]string{"platter", "show"}, args...), strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

func TestShowDrawsInTheWayThatWasAskedFor(t *testing.T) {
	dir := runDirectory(t, "réseau")
	for _, test := range []struct {
		args []string
		want string // of what is printed first
	}{
		{[]string{dir, "--json"}, "{\n"}, {[]string{dir, "--markdown"}, "## platter: réseau\n"},
		{[]string{dir, "--spark"}, "réseau: 0 of 1 trials\n"}, {[]string{dir, "--spark", "--ascii"}, "r?seau: 0 of 1 trials\n"},
	} {
		if code, out, errs := show(t, test.args...); code != exitOK || !strings.HasPrefix(out, test.want) {
			t.Errorf("%q: status %d, %q, %q; want %q", test.args, code, out, errs, test.want)
		}
	}
	t.Setenv("TERM", "dumb")
	if _, out, _ := show(t, dir, "--spark"); !strings.HasPrefix(out, "r?seau") {
		t.Errorf("under TERM=dumb it printed %q", out)
	}
}

func TestShowMakesOneDrawingAtATime(t *testing.T) {
	dir := runDirectory(t, "run")
	for _, args := range [][]string{{dir, "--json", "--markdown"}, {dir, "--spark", "--json"}, {dir, "--ascii"}} {
		if code, out, errs := show(t, args...); code != exitUsage || out != "" || errs == "" {
			t.Errorf("%q: status %d, %q, %q; want a usage error", args, code, out, errs)
		}
	}
}

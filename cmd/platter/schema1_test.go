package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"platter/internal/golden"
)

// TestARunOfTheFirstVersionIsReadAsThatVersionReadIt compares what is printed of a run directory of schema 1 with what the version
// that wrote it printed.
func TestARunOfTheFirstVersionIsReadAsThatVersionReadIt(t *testing.T) {
	t.Chdir("testdata/schema1")
	platter := func(args ...string) string {
		var out, errs bytes.Buffer
		if code := run(context.Background(), append([]string{"platter"}, args...), strings.NewReader(""), &out, &errs); code != exitOK {
			t.Errorf("platter %s: status %d, %s", strings.Join(args, " "), code, errs.String())
		}
		return out.String()
	}
	for file, args := range map[string][]string{
		"show.txt": {"show", "run"}, "show.json": {"show", "run", "--json"}, "show.md": {"show", "run", "--markdown"},
		"export.csv": {"export", "run", "--format", "csv"}, "export.benchfmt": {"export", "run", "--format", "benchfmt"},
		"export.openmetrics": {"export", "run", "--format", "openmetrics"}, "compare.txt": {"compare", "run", "run"},
		"replay.txt": {"replay", "run", "--cell", "cache=unsafe,fsync=1", "--class", "power_loss", "--at", "worst"},
	} {
		golden.Equal(t, file, platter(args...))
	}
	page := filepath.Join(t.TempDir(), "page.html")
	platter("report", "run", "-o", page)
	text, err := os.ReadFile(page)
	for _, want := range []string{"LOSES 30/30", "Unsafe loses even what fsync promised.", "swallowed between QEMU and the image"} {
		if err != nil || !bytes.Contains(text, []byte(want)) {
			t.Errorf("the page has no %q (%v)", want, err)
		}
	}
}

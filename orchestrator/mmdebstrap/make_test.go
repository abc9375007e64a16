package mmdebstrap

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"platter/fault"
)

// archive serves a mirror with the suites old, whose Release file has expired, and early, whose is of tomorrow. They are not signed.
func archive(t *testing.T) string {
	release := func(name string, date, until time.Time) string {
		return fmt.Sprintf("Origin: Test\nLabel: Test\nSuite: %s\nCodename: %s\nArchitectures: amd64\nComponents: main\nDate: %s\n"+
			"Valid-Until: %s\nSHA256:\n", name, name, date.UTC().Format(time.RFC1123), until.UTC().Format(time.RFC1123))
	}
	now := time.Now()
	files := map[string]string{
		"/dists/old/Release":   release("old", now.Add(-100*time.Hour), now.Add(-50*time.Hour)),
		"/dists/early/Release": release("early", now.Add(50*time.Hour), now.Add(100*time.Hour)),
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, text)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestATreeThatCannotBeMadeSaysWhyAndKeepsItsLog(t *testing.T) {
	if os.Getenv("PLATTER_REAL") != "1" {
		t.Skip("needs root and mmdebstrap: make test sets PLATTER_REAL=1")
	}
	mirror := archive(t)
	strict := []string{`Acquire::Check-Valid-Until "true";`, `Acquire::Check-Date "true";`, `Acquire::Retries "0";`}
	for _, c := range []struct{ suite, source, complaint, mend string }{
		{"old", "deb [trusted=yes] " + mirror + " old main", "is expired", "Acquire::Check-Valid-Until"},
		{"early", "deb [trusted=yes] " + mirror + " early main", "is not valid yet", "Acquire::Check-Date"},
		{"none", "deb " + mirror + " none main", "does not have a Release file", "does not have this suite"},
		{"far", "deb [trusted=yes] http://127.0.0.1:9/debian far main", "127.0.0.1", "cannot be reached"},
		{"nowhere", "deb [trusted=yes] http://no-such-host.invalid/debian nowhere main", "no-such-host.invalid", "cannot be reached"},
	} {
		dir := t.TempDir()
		tree := Tree{Dir: filepath.Join(dir, "root"), Suite: c.suite, Sources: []string{c.source}, Packages: []string{"fio"},
			Options: strict, Log: filepath.Join(dir, "log")}
		err := tree.Make(t.Context(), nil)
		if fault.Of(err) != fault.Rig {
			t.Errorf("%s: %v", c.suite, err)
			continue
		}
		kept := filepath.Join(t.TempDir(), "kept.log")
		err = tree.KeepLog(err, kept)
		for _, want := range []string{c.complaint, c.mend, "its log is " + kept} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: it does not say %q: %v", c.suite, want, err)
			}
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: it is more than a line: %v", c.suite, err)
		}
		if text, err := os.ReadFile(kept); err != nil || !strings.Contains(string(text), "E: ") {
			t.Errorf("%s: the log was not kept: %v", c.suite, err)
		}
	}

	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	tree := Tree{Dir: filepath.Join(t.TempDir(), "root"), Suite: "old", Log: filepath.Join(t.TempDir(), "log")}
	if err := tree.Make(interrupted, nil); err != context.Canceled {
		t.Errorf("interrupted: %v", err)
	}

	t.Setenv("PATH", t.TempDir())
	if err := tree.Make(t.Context(), nil); err == nil || err.Error() != "mmdebstrap is not installed: apt-get install mmdebstrap" {
		t.Errorf("without mmdebstrap: %v", err)
	}
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAWatchPrintsItsURLAndEndsWellWhenInterrupted(t *testing.T) {
	dir := runDirectory(t, "growing")
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	in, out := io.Pipe()
	code := make(chan int, 1)
	var stderr bytes.Buffer
	go func() {
		code <- run(ctx, []string{"platter", "report", dir, "--watch"}, strings.NewReader(""), out, &stderr)
		out.Close()
	}()
	url, err := bufio.NewReader(in).ReadString('\n')
	if err != nil {
		t.Fatalf("no URL: %v; %s", err, stderr.String())
	}
	answer, err := http.Get(strings.TrimSpace(url) + "report")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil || !strings.Contains(string(text), "growing") {
		t.Errorf("the report: %v, %q", err, text)
	}
	interrupt()
	if got := <-code; got != exitOK || stderr.Len() > 0 {
		t.Errorf("status %d, %q", got, stderr.String())
	}
	if _, err := os.Stat(filepath.Join(dir, reportFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a watch wrote a file: %v", err)
	}
}

func TestAWatchServesOneRunOnThisMachine(t *testing.T) {
	dir := runDirectory(t, "run")
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{dir, dir, "--watch"}, "one run directory"}, {[]string{"--watch"}, "one run directory"},
		{[]string{dir, "--watch", "-o", "x"}, "-o"},
		{[]string{dir, "--watch", "--listen", "0.0.0.0:0"}, "loopback"}, {[]string{dir, "--listen", "127.0.0.1:0"}, "--watch"},
	} {
		_, err := report(test.args...)
		var usage *errUsage
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: error %v, want a usage error with %q", test.args, err, test.want)
		}
	}
	if _, err := report(t.TempDir(), "--watch"); err == nil {
		t.Error("a directory without a run is watched")
	}
}

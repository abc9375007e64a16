package reports

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"platter/results"
	"platter/text"
)

// The page around a watched report: it has the report in a frame, with the policy that it has as a file, and a script that reloads it.
var (
	//go:embed watch.html
	watchPage string
	//go:embed watch.js
	watchScript string
)

const (
	watchStyle = "html,body{margin:0;height:100%}body{display:flex;flex-direction:column}iframe{flex:1;border:0;width:100%}" +
		"p{margin:0;padding:.5em 1em;font:1rem sans-serif}"

	// watchPause is how often the page asks whether the run has grown. A report of many trials takes seconds to make and to load:
	// while it loads, nothing is asked.
	watchPause = 2 * time.Second
	// shutdownLimit is how long answers that were begun may take when the watch ends.
	shutdownLimit = 2 * time.Second
)

// watchPolicy allows the page its own script and style, its own report in the frame, and to ask where it comes from.
var watchPolicy = "default-src 'none'; script-src 'self'; style-src " + digest(watchStyle) +
	"; connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// ListenLoopback listens on address, "HOST:PORT", whose host is localhost or a loopback address and whose port may be 0 for any that is
// free. Another host is an error: a report tells much of a machine, and Watch asks nobody who they are.
func ListenLoopback(address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", address, err)
	}
	if host == "localhost" {
		host = "127.0.0.1" // whatever the name stands for here
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("listen on %q: only on a loopback address, 127.0.0.1 or ::1: from elsewhere use ssh -L", address)
	}
	return net.Listen("tcp", net.JoinHostPort(host, port))
}

// Watch serves the report of the run in dir on l until ctx ends, and closes l. The run is read anew when its manifest or one of its
// journals has changed and the report is asked for. The page at / reloads the report by itself. A run that cannot be read at some
// moment is an answer with status 500, not the end. The error is one of serving; nil when ctx ended.
func Watch(ctx context.Context, l net.Listener, dir string) error {
	server := &http.Server{Handler: watchHandler(dir), ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx }}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve report: %w", err)
	case <-ctx.Done():
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownLimit)
	defer cancel()
	if server.Shutdown(limited) != nil { // a client that does not read
		server.Close()
	}
	<-served
	return nil
}

// watchHandler answers for one run directory: / the page, /report the report in it, /version what it was made from.
func watchHandler(dir string) http.Handler {
	w := &watched{dir: dir}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", w.page)
	mux.HandleFunc("GET /report", w.report)
	mux.HandleFunc("GET /version", func(out http.ResponseWriter, _ *http.Request) {
		plain(out, http.StatusOK, w.version())
	})
	mux.HandleFunc("GET /watch.js", func(out http.ResponseWriter, _ *http.Request) {
		out.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		io.WriteString(out, watchScript)
	})
	return http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		h := out.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		if !loopbackName(in.Host) { // a page from elsewhere whose name was made to mean this machine
			plain(out, http.StatusMisdirectedRequest, "ask for 127.0.0.1 or localhost")
			return
		}
		mux.ServeHTTP(out, in)
	})
}

// loopbackName reports whether a Host header names this machine and nothing else.
func loopbackName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func plain(out http.ResponseWriter, status int, text string) {
	out.Header().Set("Content-Type", "text/plain; charset=utf-8")
	out.WriteHeader(status)
	io.WriteString(out, text)
}

// watched is a run directory and the newest report that was made of it.
type watched struct {
	dir string

	mu     sync.Mutex // one report is made at a time
	made   string     // the version that text is of; empty before the first
	text   []byte
	failed error
}

// version changes when the run does: sizes and times of the files that a report is made from.
func (w *watched) version() string {
	var parts []string
	for _, name := range []string{results.ManifestFile, results.TrialsFile, results.SafetyFile, results.JudgementFile} {
		part := "none"
		if s, err := os.Stat(filepath.Join(w.dir, name)); err == nil {
			part = fmt.Sprintf("%d-%d", s.Size(), s.ModTime().UnixNano())
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "/")
}

func (w *watched) page(out http.ResponseWriter, _ *http.Request) {
	t, err := template.New("watch").Parse(watchPage)
	var b bytes.Buffer
	if err == nil {
		err = t.Execute(&b, struct {
			Title, Version string
			Style          template.CSS
			Pause          int64
		}{"platter report of " + w.dir, w.version(), watchStyle, watchPause.Milliseconds()})
	}
	if err != nil {
		plain(out, http.StatusInternalServerError, err.Error())
		return
	}
	out.Header().Set("Content-Type", "text/html; charset=utf-8")
	out.Header().Set("Content-Security-Policy", watchPolicy)
	out.Write(b.Bytes())
}

func (w *watched) report(out http.ResponseWriter, _ *http.Request) {
	line, err := w.newest()
	if err != nil {
		out.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'self'")
		plain(out, http.StatusInternalServerError, text.Visible(err.Error()))
		return
	}
	out.Header().Set("Content-Type", "text/html; charset=utf-8")
	out.Header().Set("Content-Security-Policy", "frame-ancestors 'self'") // the rest stands in the page
	out.Write(line)
}

// newest returns the report of the run as it is. A run that changes while it is read has another version afterwards, and is read again
// when it is asked for next.
func (w *watched) newest() ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.version()
	if now == w.made {
		return w.text, w.failed
	}
	var b bytes.Buffer
	run, err := results.Read(w.dir)
	if err == nil {
		err = HTML(&b, nil, New(run))
	}
	w.made, w.text, w.failed = now, b.Bytes(), err
	return w.text, w.failed
}

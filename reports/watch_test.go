package reports

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"platter/results"
)

// watching starts a watch of a run that has a manifest only, and gives its URL, the run's journal, and what ends the watch and
// returns its error.
func watching(t *testing.T, run *results.Run) (url string, j *results.Journal, end func() error) {
	t.Helper()
	return watchingIn(t, filepath.Join(t.TempDir(), "run"), run)
}

func watchingIn(t *testing.T, dir string, run *results.Run) (url string, j *results.Journal, end func() error) {
	t.Helper()
	j, err := results.Create(dir, run.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	l, err := ListenLoopback("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Watch(ctx, l, dir) }()
	end = func() error {
		cancel()
		err := <-ended
		ended <- err
		return err
	}
	t.Cleanup(func() { end() })
	return "http://" + l.Addr().String() + "/", j, end
}

func get(t *testing.T, url string) (status int, header http.Header, body string) {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(text)
}

func TestAWatchedReportGrowsWithItsRun(t *testing.T) {
	run := withSafety(6)
	dir := filepath.Join(t.TempDir(), "run")
	url, j, end := watchingIn(t, dir, run)
	_, _, before := get(t, url+"version")
	if _, _, text := get(t, url+"report"); !strings.Contains(text, "0 of 54 trials") {
		t.Error("the report of a run without trials does not say so")
	}
	for i, trial := range run.Trials[:3] {
		if err := j.Append(trial); err != nil {
			t.Fatal(err)
		}
		_, _, version := get(t, url+"version")
		if version == before {
			t.Errorf("the version is the same after trial %d: %s", i, version)
		}
		before = version
	}
	status, header, text := get(t, url+"report")
	if status != http.StatusOK || !strings.Contains(text, "3 of 54 trials") || !strings.HasPrefix(header.Get("Content-Type"), "text/html") {
		t.Errorf("status %d, %v; the report does not have the three trials", status, header)
	}
	if err := j.AppendSafety(run.Safety[0]); err != nil {
		t.Fatal(err)
	}
	if _, _, version := get(t, url+"version"); version == before {
		t.Error("a safety record does not change the version")
	}
	if _, _, now := get(t, url+"report"); now == text {
		t.Error("a safety record does not change the report")
	}
	_, _, unjudged := get(t, url+"version")
	if err := (results.Judgement{Policy: "disks", Outcome: "FAIL", Reasons: []string{"promises are broken"}}).Write(dir); err != nil {
		t.Fatal(err)
	}
	if _, _, again := get(t, url+"version"); again == unjudged || strings.Contains(again, "none") {
		t.Errorf("a file is not seen: %s", again)
	}
	if err := end(); err != nil {
		t.Errorf("the watch ended with %v", err)
	}
	if _, err := http.Get(url); err == nil {
		t.Error("the watch has ended and still answers")
	}
}

func TestAWatchedReportIsTheOneOfTheFile(t *testing.T) {
	run := generated(2, 1)
	url, j, _ := watching(t, run)
	for _, trial := range run.Trials {
		if err := j.Append(trial); err != nil {
			t.Fatal(err)
		}
	}
	_, _, got := get(t, url+"report")
	if n := strings.Count(got, `<section class="run"`); n != 1 || !strings.Contains(got, "Content-Security-Policy") ||
		strings.Contains(got, "watch.js") {
		t.Error("the report in the frame is not the one that is written to a file")
	}
}

func TestARunThatCannotBeReadEndsNoWatch(t *testing.T) {
	run := generated(2, 1)
	dir := filepath.Join(t.TempDir(), "run")
	url, j, _ := watchingIn(t, dir, run)
	if err := j.Append(run.Trials[0]); err != nil {
		t.Fatal(err)
	}
	manifest := filepath.Join(dir, results.ManifestFile)
	whole, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(manifest, []byte(`{"schema": 99}`), 0o644); err != nil {
		t.Fatal(err)
	}
	status, header, text := get(t, url+"report")
	if status != http.StatusInternalServerError || !strings.HasPrefix(header.Get("Content-Type"), "text/plain") ||
		!strings.Contains(text, "schema 99") {
		t.Errorf("status %d, %v, %q", status, header, text)
	}
	if err := os.WriteFile(manifest, whole, 0o644); err != nil {
		t.Fatal(err)
	}
	if status, _, text := get(t, url+"report"); status != http.StatusOK || !strings.Contains(text, "1 of 18 trials") {
		t.Errorf("status %d after the run was mended", status)
	}
}

func TestAWatchAnswersThisMachineAlone(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "example.org:0", "127.0.0.1", "localhost.example.org:0"} {
		if l, err := ListenLoopback(address); err == nil {
			l.Close()
			t.Errorf("listens on %s", address)
		}
	}
	l, err := ListenLoopback("localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if ip := l.Addr().(*net.TCPAddr).IP; !ip.IsLoopback() {
		t.Errorf("localhost is %v", ip)
	}
	url, _, _ := watching(t, generated(2, 1))
	for host, want := range map[string]int{
		"127.0.0.1:80": 200, "localhost": 200, "[::1]:1": 200, "evil.example": 421, "127.0.0.1.evil.example:80": 421, "0.0.0.0": 421,
	} {
		ask, err := http.NewRequest(http.MethodGet, url+"report", nil)
		if err != nil {
			t.Fatal(err)
		}
		ask.Host = host
		answer, err := http.DefaultClient.Do(ask)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("asked as %s it answers %d, want %d", host, answer.StatusCode, want)
		}
	}
	if answer, err := http.Post(url+"report", "text/plain", nil); err != nil || answer.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("a POST: %v, %v", answer, err)
	}
	if status, _, _ := get(t, url+"../manifest.json"); status != http.StatusNotFound {
		t.Errorf("a file of the run directory: status %d", status)
	}
}

func TestTheWatchedPageAllowsItsOwnScriptAndNothingElse(t *testing.T) {
	url, _, _ := watching(t, generated(2, 1))
	_, header, text := get(t, url)
	policy := header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") ||
		!strings.Contains(policy, "frame-ancestors 'none'") {
		t.Errorf("policy %q", policy)
	}
	if !strings.Contains(text, "<style>"+watchStyle+"</style>") {
		t.Errorf("the style is not the one that the policy names: %s", text)
	}
	if _, header, _ := get(t, url+"watch.js"); !strings.HasPrefix(header.Get("Content-Type"), "text/javascript") {
		t.Errorf("the script is %v", header)
	}
}

func TestAWatchEndsThoughAClientDoesNotRead(t *testing.T) {
	url, _, end := watching(t, generated(2, 1))
	c, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET /report HTTP/1.1\r\nHost: local"); err != nil {
		t.Fatal(err)
	}
	if err := end(); err != nil {
		t.Error(err)
	}
}

func TestABrowserReloadsAWatchedReport(t *testing.T) {
	needBrowser(t)
	run := generated(2, 1)
	url, j, _ := watching(t, run)
	b := newBrowser(t)
	if err := chromedp.Do(b.ctx, chromedp.Navigate(url)); err != nil {
		t.Fatal(err)
	}
	says := func(text string) {
		t.Helper()
		for {
			if evaluate[bool](t, b, `!!document.getElementById("report").contentDocument.body?.textContent.includes("`+text+`")`) {
				return
			}
			if b.ctx.Err() != nil {
				t.Fatalf("the report never says %q; the page did: %q", text, b.noise)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	says("0 of 18 trials")
	evaluate[string](t, b, `document.getElementById("report").contentWindow.location.hash = "#kept"`)
	for _, trial := range run.Trials[:2] {
		if err := j.Append(trial); err != nil {
			t.Fatal(err)
		}
	}
	says("2 of 18 trials")
	if hash := evaluate[string](t, b, `document.getElementById("report").contentWindow.location.hash`); hash != "#kept" {
		t.Errorf("the view is %q after a reload", hash)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, n := range b.noise {
		t.Errorf("the page was not quiet: %s", n)
	}
	for _, r := range b.requests {
		if !strings.HasPrefix(r, url) {
			t.Errorf("the page asked for %s", r)
		}
	}
}

package guest

import (
	"strings"
	"testing"
)

func TestSourcesAreThoseOfTheSuiteAndItsUpdates(t *testing.T) {
	targets := []byte(`http://mirror/debian/|bookworm|bookworm|main|$(SIGNED_BY)
http://mirror/debian/|bookworm|bookworm|main|$(SIGNED_BY)
http://mirror/security/|bookworm-security|bookworm-security|main|/usr/share/keyrings/a.gpg
http://vendor/node/|nodistro|nodistro|main|
http://vendor/x/|bookwormish|bookwormish|main|
`)
	got := strings.Join(sourceLines(targets, "bookworm"), "\n")
	want := "deb http://mirror/debian/ bookworm main\ndeb [signed-by=/usr/share/keyrings/a.gpg] http://mirror/security/ bookworm-security main"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTheDigestNamesWhatWentIn(t *testing.T) {
	r := recipe{suite: "bookworm", sources: []string{"deb x"}, versions: candidates([]byte("fio:\n  Installed: (none)\n  Candidate: " +
		"3.33-3\n  Version table:\nkmod:\n  Candidate: 30\n"))}
	if r.versions["fio"] != "3.33-3" || r.versions["kmod"] != "30" {
		t.Fatalf("versions: %v", r.versions)
	}
	before := r.digest()
	if before != r.digest() {
		t.Error("the digest is not stable")
	}
	r.versions["fio"] = "3.34-1"
	if before == r.digest() {
		t.Error("another fio gives the same digest")
	}
}

func TestAnAnswerOfTheGuestThatIsNotWholeIsAnError(t *testing.T) {
	whole := "device=/dev/vdb\ntarget=/dev/vdb\nsysfs=queue/write_cache=write back\nmeminfo=Buffers:44\n"
	d, err := parsePrepared([]byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	if d.Device != "/dev/vdb" || d.Sysfs["queue/write_cache"] != "write back" || d.CacheBytes != 44*1024 {
		t.Errorf("got %+v", d)
	}
	for cut := range len(whole) - len("meminfo=Buffers:44\n") {
		if _, err := parsePrepared([]byte(whole[:cut])); err == nil {
			t.Fatalf("%q was taken for a whole answer", whole[:cut])
		}
	}
}

func TestFiosAnswerIsTakenApart(t *testing.T) {
	stat := func(flushes string) string { return "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 " + flushes + " 17" }
	run, err := parseFioRun([]byte("status=1\nbefore=" + stat("10") + "\nafter=" + stat("17") +
		"\ntext=6\nlog=4\n\noops!\n1,2\n{\"jobs\":[]}"))
	if err != nil {
		t.Fatal(err)
	}
	if run.Status != 1 || run.Flushes != 7 || run.Text != "oops!\n" || string(run.JSON) != `{"jobs":[]}` || string(run.IOPSLog) != "1,2\n" {
		t.Errorf("got %+v", run)
	}
	for _, bad := range []string{"", "status=x\n\n", "status=0\nbefore=1 2\n\n", "status=0\ntext=99\n\nabc",
		"status=0\ntext=2\nlog=2\n\nabc", "status=0\n"} {
		if _, err := parseFioRun([]byte(bad)); err == nil {
			t.Errorf("%q was taken for a whole answer", bad)
		}
	}
}

func FuzzFiosAnswer(f *testing.F) {
	f.Add([]byte("status=0\nbefore=1 2 3\nafter=4\ntext=2\n\nab{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if run, err := parseFioRun(b); err == nil && len(run.Text)+len(run.JSON)+len(run.IOPSLog) > len(b) {
			t.Error("the answer has more than was said")
		}
		_, _ = parsePrepared(b)
	})
}

func TestScriptsHoldNoQuoteThatWouldEndThem(t *testing.T) {
	for _, s := range []string{prepareScript, fioScript, formatScript, releaseScript, askProbeScript, takeProbeScript} {
		if strings.Contains(s, "'") {
			t.Errorf("script has a single quote: %s", s)
		}
	}
}

package mmdebstrap

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestTheHostsRepositoriesAreRead(t *testing.T) {
	got := parseTargets(`http://mirror/debian/|bookworm|bookworm|main|$(SIGNED_BY)|Debian|Debian
http://mirror/debian/|bookworm|bookworm|main|$(SIGNED_BY)|Debian|Debian
http://mirror/security/|stable-security|trixie-security|main|/usr/share/keyrings/a.gpg|Debian|Debian-Security
torn|line
`)
	want := []Repository{
		{"http://mirror/debian/", "bookworm", "bookworm", "main", "", "Debian", "Debian"},
		{"http://mirror/security/", "stable-security", "trixie-security", "main", "/usr/share/keyrings/a.gpg", "Debian", "Debian-Security"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v", got)
	}
	if line := got[0].Line(); line != "deb http://mirror/debian/ bookworm main" {
		t.Error(line)
	}
	if line := got[1].Line(); line != "deb [signed-by=/usr/share/keyrings/a.gpg] http://mirror/security/ stable-security main" {
		t.Error(line)
	}
}

func TestCandidatesAreWhatAptWouldInstall(t *testing.T) {
	got := parsePolicy("fio:\n  Installed: (none)\n  Candidate: 3.33-3\n  Version table:\nkmod:\n  Candidate: 30\nno:\n  Candidate: (none)\n")
	if !maps.Equal(got, map[string]string{"fio": "3.33-3", "kmod": "30"}) {
		t.Errorf("got %v", got)
	}
}

func TestOnlyOptionsOfFetchingAndTrustReachTheTree(t *testing.T) {
	got := parseOptions(`Acquire "";
Acquire::cdrom::mount "/media/cdrom/";
Acquire::Check-Valid-Until "false";
Acquire::http::Proxy "http://cache:3142";
Acquire::Languages "";
Acquire::Languages:: "none";
Acquire::IndexTargets::deb::Packages::MetaKey "$(COMPONENT)/binary-$(ARCHITECTURE)/Packages";
Acquire::LanguagesOfMine "x";
APT::Sandbox::User "root";
`)
	want := []string{`Acquire::Check-Valid-Until "false";`, `Acquire::http::Proxy "http://cache:3142";`, `Acquire::LanguagesOfMine "x";`,
		`APT::Sandbox::User "root";`}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// The lines are apt's own, of builds that failed.
func TestAFailureIsAptsFirstComplaintWithTheMend(t *testing.T) {
	const unapplied = " Updates for this repository will not be applied"
	for _, c := range []struct{ log, complaint, mend string }{
		{`I: running apt-get update...
Ign:1 http://mirror/debian nosuch InRelease
Err:2 http://mirror/debian nosuch Release
  404  Not Found [IP: 1.2.3.4 80]
E: The repository 'http://mirror/debian nosuch Release' does not have a Release file.
N: Updating from such a repository can't be done securely, and is therefore disabled by default.
E: apt-get update --error-on=any -oAPT::Status-Fd=<$fd> failed: process exited with 100 and error in console output
`, "The repository 'http://mirror/debian nosuch Release' does not have a Release file", "does not have this suite"},
		{"E: Release file for http://m/debian/dists/sid/InRelease is expired (invalid since 3d 1h)." + unapplied + ".\n",
			"Release file for http://m/debian/dists/sid/InRelease is expired (invalid since 3d 1h)." + unapplied, "Check-Valid-Until"},
		{"E: Release file for http://m/InRelease is not valid yet (invalid for another 2h)." + unapplied + ".\n",
			"Release file for http://m/InRelease is not valid yet (invalid for another 2h)." + unapplied, "Check-Date"},
		{"W: x\nE: Failed to fetch http://m/debian/dists/trixie/InRelease  Temporary failure resolving 'm'\nE: Some index files failed\n",
			"Failed to fetch http://m/debian/dists/trixie/InRelease  Temporary failure resolving 'm'", "cannot be reached"},
		{"E: Unable to locate package nosuch\n", "Unable to locate package nosuch", "no such package"},
		{"E: setup failed: something else\n", "setup failed: something else", "apt-get update"},
		{"I: fine\n", "", "apt-get update"},
	} {
		got := firstError(c.log)
		if got != c.complaint {
			t.Errorf("complaint %q, want %q", got, c.complaint)
		}
		if m := mend(got); !strings.Contains(m, c.mend) {
			t.Errorf("%q: mend %q, want %q", got, m, c.mend)
		}
	}
}

func TestOnlyWhatIsInstalledCounts(t *testing.T) {
	got := parseStatus(`Package: fio
Status: install ok installed
Version: 3.39-1
Description: x
 Package: not this

Package: gone
Status: deinstall ok config-files
Version: 1

Package: libc6
Status: hold ok installed
Version: 2.41-12
`)
	if !maps.Equal(got, map[string]string{"fio": "3.39-1", "libc6": "2.41-12"}) {
		t.Errorf("got %v", got)
	}
}

func FuzzWhatAptSays(f *testing.F) {
	f.Add("E: The repository\n")
	f.Add("fio:\n  Candidate: 3.33-3\n")
	f.Add("http://m/|a|b|main|$(SIGNED_BY)|Debian|Debian\n")
	f.Add("Package: fio\nStatus: install ok installed\nVersion: 3\n\n")
	f.Add("Acquire::http::Proxy \"x\";\n")
	f.Fuzz(func(t *testing.T, s string) {
		if e := firstError(s); strings.Contains(e, "\n") {
			t.Errorf("%q is more than a line", e)
		}
		for _, r := range parseTargets(s) {
			if strings.Count(r.Line(), "\n") > 0 {
				t.Errorf("%q is more than a line", r.Line())
			}
		}
		for _, o := range parseOptions(s) {
			if !strings.HasSuffix(o, `";`) || strings.Contains(o, "\n") {
				t.Errorf("%q is no option", o)
			}
		}
		parsePolicy(s)
		parseStatus(s)
	})
}

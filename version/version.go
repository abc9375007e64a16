// Package version compares the versions of programs and machine types.
package version

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
)

// Version is that of QEMU, of libvirt or of a machine type: 10.0.3. The zero value is one that is not known.
type Version struct{ Major, Minor, Micro int }

var versionPattern = regexp.MustCompile(`^([0-9]{1,4})\.([0-9]{1,4})(?:\.([0-9]{1,9}))?([^0-9.].*)?$`)

// Parse reads a version of two or three numbers. What follows the numbers, a distribution's own, is left out: "10.0.13 (Debian
// 1:10.0.13+ds-0+deb13u1)" and "10.1-rc2" are read; "ten" and "10" are errors.
func Parse(text string) (Version, error) {
	m := versionPattern.FindStringSubmatch(text)
	if m == nil {
		return Version{}, fmt.Errorf("version %q: it is two or three numbers, as in 10.0.3", text)
	}
	var n [3]int
	for i := range n {
		n[i], _ = strconv.Atoi(m[i+1]) // digits alone, or empty: 0
	}
	v := Version{n[0], n[1], n[2]}
	if !v.Known() {
		return Version{}, fmt.Errorf("version %q: there is no release of that number", text)
	}
	return v, nil
}

// Known reports whether it is a version at all.
func (v Version) Known() bool { return v != Version{} }

// AtLeast reports whether it is the release major.minor.micro or a later one; not so when it is not known.
func (v Version) AtLeast(major, minor, micro int) bool {
	return cmp.Or(cmp.Compare(v.Major, major), cmp.Compare(v.Minor, minor), cmp.Compare(v.Micro, micro)) >= 0
}

// String returns "10.0.3", or "unknown".
func (v Version) String() string {
	if !v.Known() {
		return "unknown"
	}
	return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Micro)
}

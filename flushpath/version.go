package flushpath

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Version is that of QEMU, of libvirt or of a machine type: 10.0.3. The zero value is one that is not known.
type Version struct{ Major, Minor, Micro int }

var versionPattern = regexp.MustCompile(`^([0-9]{1,4})\.([0-9]{1,4})(?:\.([0-9]{1,9}))?([^0-9.].*)?$`)

// ParseVersion reads a version of two or three numbers. What follows the numbers, a distribution's own, is left out: "10.0.13 (Debian
// 1:10.0.13+ds-0+deb13u1)" and "10.1-rc2" are read; "ten" and "10" are errors.
func ParseVersion(text string) (Version, error) {
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

// MachineVersion returns the version of a machine type: 10.1 of "pc-q35-10.1". One without a number, "q35" or none at all, is the newest
// that the QEMU has, which libvirt writes into a domain when it is defined. A distribution's own, "pc-q35-rhel9.6.0", is not known.
func MachineVersion(machine string, qemu Version) Version {
	switch machine {
	case "", "q35", "pc":
		return Version{qemu.Major, qemu.Minor, 0}
	}
	v, err := ParseVersion(machine[strings.LastIndexByte(machine, '-')+1:])
	if err != nil {
		return Version{}
	}
	return v
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

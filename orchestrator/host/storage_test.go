package host

import (
	"strings"
	"testing"
)

func TestTheMountOfAPathIsTheLongestAboveIt(t *testing.T) {
	info := `22 1 254:0 / / rw - ext4 /dev/vda rw
30 22 0:30 / /srv rw - tmpfs tmpfs rw
31 22 8:1 / /srv/a\040b rw shared:1 - xfs /dev/sda1 rw
32 22 8:2 / /twice rw - ext4 /dev/sda2 rw
33 32 8:3 / /twice rw - btrfs /dev/sda3 rw
`
	for path, want := range map[string]string{"/": "ext4", "/srvx": "ext4", "/srv/x": "tmpfs", "/srv/a b/c": "xfs", "/srv": "tmpfs",
		"/twice/x": "btrfs"} {
		if m := findMount(strings.NewReader(info), path); m == nil || m.FSType != want {
			t.Errorf("%s lies on %+v, want %s", path, m, want)
		}
	}
	if m := findMount(strings.NewReader("no line of the kernel's\n"), "/"); m != nil {
		t.Errorf("found %+v", m)
	}
}

func TestTheHostsOwnRootIsFoundWithItsFileSystem(t *testing.T) {
	if s := Storage("/"); s.FileSystem == "" || s.Device == "" {
		t.Errorf("the root lies on %+v", s)
	}
}

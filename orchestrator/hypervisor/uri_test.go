package hypervisor

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"platter/fault"

	"github.com/google/go-cmp/cmp"
)

// fakeEnvironment has the given variables and files and nothing else.
func fakeEnvironment(uid int, variables, files map[string]string) Environment {
	return Environment{
		Getenv: func(name string) string { return variables[name] },
		ReadFile: func(path string) ([]byte, error) {
			text, ok := files[path]
			if !ok {
				return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
			}
			return []byte(text), nil
		},
		UID: uid,
	}
}

func TestTheConnectionIsChosenInTheOrderOfVirsh(t *testing.T) {
	const session = "qemu:///session"
	conf := map[string]string{"/etc/libvirt/libvirt.conf": "uri_default = \"qemu:///session\"\n"}
	for _, test := range []struct {
		name      string
		flag      string
		uid       int
		variables map[string]string
		files     map[string]string
		want      string
	}{
		{name: "nothing is set", want: DefaultURI},
		{name: "the flag is first", flag: DefaultURI, variables: map[string]string{"LIBVIRT_DEFAULT_URI": session}, files: conf,
			want: DefaultURI},
		{name: "the variable is second", variables: map[string]string{"LIBVIRT_DEFAULT_URI": DefaultURI}, files: conf, want: DefaultURI},
		{name: "root's file is third", files: conf, want: session},
		{name: "root's file is not the user's", uid: 1000, files: conf, want: DefaultURI},
		{
			name: "the user's file is in the home directory", uid: 1000,
			variables: map[string]string{"HOME": "/home/u"},
			files:     map[string]string{"/home/u/.config/libvirt/libvirt.conf": "uri_default='qemu:///session' # mine"},
			want:      session,
		},
		{
			name: "or where XDG says", uid: 1000,
			variables: map[string]string{"HOME": "/home/u", "XDG_CONFIG_HOME": "/cfg"},
			files:     map[string]string{"/cfg/libvirt/libvirt.conf": `uri_default = "qemu:///session"`},
			want:      session,
		},
		{name: "a comment sets nothing",
			files: map[string]string{"/etc/libvirt/libvirt.conf": "#uri_default = \"qemu:///session\"\nuri_aliases = [\n \"a=b\"]\n"},
			want:  DefaultURI},
		{name: "a socket may be named", flag: "qemu+unix:///system?socket=/tmp/s", want: "qemu+unix:///system?socket=/tmp/s"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := fakeEnvironment(test.uid, test.variables, test.files).URI(test.flag)
			if err != nil {
				t.Fatal(err)
			}
			if got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestAConnectionThatIsNotLocalQEMUIsAUsageError(t *testing.T) {
	for uri, want := range map[string]string{
		"qemu+ssh://root@host/system":              "run it there",
		"qemu+tcp://host/system":                   "run it there",
		"qemu+tls://host/system":                   "run it there",
		"qemu://host/system":                       "run it there",
		"qemu+ssh:///system":                       "run it there",
		"test:///default":                          `driver "test"`,
		"xen:///system":                            `driver "xen"`,
		"lxc:///":                                  `driver "lxc"`,
		"vbox:///session":                          `driver "vbox"`,
		"qemu:///embed?root=/x":                    `no path "/embed"`,
		"qemu:///system?mode=direct":               `parameter "mode"`,
		"qemu+unix:///system?socket=relative/sock": "absolute path",
		"qemu+unix:///system?socket=":              "absolute path",
		"hail":                                     "aliases",
		"":                                         "not a URI",
		"qemu:///system\x7f":                       "not a URI",
	} {
		_, err := fakeEnvironment(0, nil, nil).sockets(uri)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q in it", uri, err, want)
		}
		if fault.Of(err) != fault.Usage {
			t.Errorf("%q: the fault is %s, want %s", uri, fault.Of(err), fault.Usage)
		}
	}
}

func TestABadConnectionSaysWhereItCameFrom(t *testing.T) {
	env := fakeEnvironment(0, map[string]string{"LIBVIRT_DEFAULT_URI": "xen:///system"}, nil)
	_, err := env.URI("")
	want := `connect to "xen:///system" (from LIBVIRT_DEFAULT_URI): platter measures QEMU's disks, not those of the driver "xen"; use qemu:///system or qemu:///session`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestAnUnreadableLibvirtConfIsSaid(t *testing.T) {
	env := fakeEnvironment(0, nil, nil)
	env.ReadFile = func(string) ([]byte, error) { return nil, fs.ErrPermission }
	if _, err := env.URI(""); !errors.Is(err, fs.ErrPermission) || fault.Of(err) != fault.Usage {
		t.Errorf("got %v, want a usage error of the permission", err)
	}
}

func TestSocketsAreTriedLibvirtdFirst(t *testing.T) {
	home := map[string]string{"HOME": "/home/u"}
	for _, test := range []struct {
		uri       string
		variables map[string]string
		want      []string
	}{
		{"qemu:///system", nil, []string{"/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock"}},
		{"qemu+unix:///system", nil, []string{"/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock"}},
		{"qemu+unix:///session?socket=/tmp/s", home, []string{"/tmp/s"}},
		{"qemu:///session", map[string]string{"XDG_RUNTIME_DIR": "/run/user/7"}, []string{"/run/user/7/libvirt/libvirt-sock",
			"/run/user/7/libvirt/virtqemud-sock"}},
		{"qemu:///session", home, []string{"/home/u/.cache/libvirt/libvirt-sock", "/home/u/.cache/libvirt/virtqemud-sock"}},
	} {
		got, err := fakeEnvironment(1000, test.variables, nil).sockets(test.uri)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: %s", test.uri, diff)
		}
	}
}

func FuzzURI(f *testing.F) {
	f.Add("qemu:///system")
	f.Add("qemu+unix:///session?socket=/a%20b")
	f.Add("qemu+ssh://h/system?socket=%zz")
	f.Fuzz(func(t *testing.T, uri string) {
		sockets, err := fakeEnvironment(0, nil, nil).sockets(uri)
		if (err == nil) != (len(sockets) > 0) {
			t.Errorf("%q: sockets %q with error %v", uri, sockets, err)
		}
		for _, path := range sockets {
			if !strings.HasPrefix(path, "/") {
				t.Errorf("%q: socket %q is not absolute", uri, path)
			}
		}
	})
}

func FuzzLibvirtConf(f *testing.F) {
	f.Add("uri_default = \"qemu:///system\"\n")
	f.Add("# c\nuri_default='x' # y\nuri_default = \"\n")
	f.Fuzz(func(t *testing.T, text string) {
		uri := uriDefault(text)
		if strings.Contains(uri, "\n") || !strings.Contains(text, uri) {
			t.Errorf("%q gives %q", text, uri)
		}
	})
}

// sockets are those that Connect would try for a URI.
func (e Environment) sockets(uri string) ([]string, error) {
	addr, err := e.address(uri)
	return addr.sockets, err
}

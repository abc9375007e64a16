package hypervisor

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"platter/fault"
)

// DefaultURI is used when nothing names another.
const DefaultURI = "qemu:///system"

// Environment is what the choice of a connection depends on beside the command line.
type Environment struct {
	// Getenv reads a variable; LIBVIRT_DEFAULT_URI, HOME and the XDG directories are looked at.
	Getenv func(string) string
	// ReadFile reads libvirt.conf.
	ReadFile func(string) ([]byte, error)
	// UID is the effective user: libvirt.conf and the session daemon are the user's own, except root's configuration.
	UID int
}

// HostEnvironment is the environment of this process.
func HostEnvironment() Environment {
	return Environment{Getenv: os.Getenv, ReadFile: os.ReadFile, UID: os.Geteuid()}
}

// URI chooses the connection as virsh does: the flag, then LIBVIRT_DEFAULT_URI, then uri_default in libvirt.conf
// (/etc/libvirt for root, $XDG_CONFIG_HOME/libvirt for others); but where virsh would then probe, it is DefaultURI.
// The error is a Usage one when the URI is not supported (qemu:///system, qemu:///session and
// qemu+unix with the same paths are), and says where it came from.
func (e Environment) URI(flag string) (string, error) {
	uri, origin, err := e.find(flag)
	if err != nil {
		return "", err
	}
	if _, err := e.address(uri); err != nil {
		var usage *Error
		if errors.As(err, &usage) && origin != "" {
			usage.Op += " (from " + origin + ")"
		}
		return "", err
	}
	return uri, nil
}

func (e Environment) find(flag string) (uri, origin string, err error) {
	if flag != "" {
		return flag, "", nil
	}
	if uri := e.Getenv("LIBVIRT_DEFAULT_URI"); uri != "" {
		return uri, "LIBVIRT_DEFAULT_URI", nil
	}
	path := filepath.Join(e.configDir(), "libvirt.conf")
	text, err := e.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return DefaultURI, "", nil
	}
	if err != nil {
		return "", "", &Error{Op: "choose the libvirt connection", Fault: fault.Usage, Message: err.Error(),
			Hint: "make the file readable, or name the connection with --connect", Err: err}
	}
	if uri := uriDefault(string(text)); uri != "" {
		return uri, path, nil
	}
	return DefaultURI, "", nil
}

func (e Environment) configDir() string {
	if e.UID == 0 {
		return "/etc/libvirt"
	}
	return filepath.Join(e.xdg("XDG_CONFIG_HOME", ".config"), "libvirt")
}

// xdg is a base directory of the user: the variable, or its place below the home directory.
func (e Environment) xdg(variable, below string) string {
	if dir := e.Getenv(variable); dir != "" {
		return dir
	}
	return filepath.Join(e.Getenv("HOME"), below)
}

// uriDefault reads the setting uri_default of a libvirt.conf; the last one counts, and none is "".
func uriDefault(text string) string {
	uri := ""
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(line, "=")
		if !ok || strings.TrimSpace(name) != "uri_default" {
			continue
		}
		value = strings.TrimSpace(value)
		if value == "" || (value[0] != '"' && value[0] != '\'') {
			continue
		}
		if inner, _, ok := strings.Cut(value[1:], value[:1]); ok {
			uri = inner
		}
	}
	return uri
}

// address is a URI taken apart.
type address struct {
	uri     string   // as it was given
	root    string   // the root directory in which the daemon runs; empty for this process's own
	open    string   // what the daemon is asked to open
	session bool     // the user's own daemon, not the system's
	sockets []string // in the order of trying: libvirtd's, then the modular virtqemud's; with ?socket=PATH that one alone
	runDir  string   // where the daemon keeps the pid files of its domains
	logDir  string   // where QEMU's logs are
}

func (e Environment) address(uri string) (address, error) {
	session, socket, err := splitURI(uri)
	if err != nil {
		return address{}, &Error{Op: fmt.Sprintf("connect to %q", uri), Fault: fault.Usage, Message: err.Error(),
			Hint: "use qemu:///system or qemu:///session"}
	}
	addr := e.systemAddress()
	if session {
		addr = e.sessionAddress()
	}
	if socket != "" {
		addr.sockets = []string{socket}
	}
	addr.uri = uri
	return addr, nil
}

// below is the same address in another root directory.
func (a address) below(root string) address {
	a.root = root
	a.sockets = slices.Clone(a.sockets)
	for i, socket := range a.sockets {
		a.sockets[i] = filepath.Join(root, socket)
	}
	a.runDir = filepath.Join(root, a.runDir)
	a.logDir = filepath.Join(root, a.logDir)
	return a
}

func (e Environment) systemAddress() address {
	return address{
		uri:     DefaultURI,
		open:    "qemu:///system",
		sockets: []string{"/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock"},
		runDir:  "/run/libvirt/qemu",
		logDir:  "/var/log/libvirt/qemu",
	}
}

func (e Environment) sessionAddress() address {
	cache := e.xdg("XDG_CACHE_HOME", ".cache")
	run := e.Getenv("XDG_RUNTIME_DIR")
	if run == "" {
		run = cache // as GLib's g_get_user_runtime_dir, which libvirt uses
	}
	return address{
		open:    "qemu:///session",
		session: true,
		sockets: []string{filepath.Join(run, "libvirt/libvirt-sock"), filepath.Join(run, "libvirt/virtqemud-sock")},
		runDir:  filepath.Join(run, "libvirt/qemu/run"),
		logDir:  filepath.Join(cache, "libvirt/qemu/log"),
	}
}

// splitURI says which daemon uri means, and the socket that it names, if any.
func splitURI(uri string) (session bool, socket string, err error) {
	u, err := url.Parse(uri)
	if err != nil {
		return false, "", errors.New("not a URI")
	}
	driver, transport, _ := strings.Cut(u.Scheme, "+")
	switch {
	case driver == "":
		return false, "", errors.New("not a URI (aliases of libvirt.conf are not resolved)")
	case u.Host != "" || (transport != "" && transport != "unix"):
		return false, "", errors.New("platter measures the host that it runs on: run it there instead of connecting to it")
	case driver != "qemu":
		return false, "", fmt.Errorf("platter measures QEMU's disks, not those of the driver %q", driver)
	case u.Path != "/system" && u.Path != "/session":
		return false, "", fmt.Errorf("the QEMU driver has no path %q", u.Path)
	}
	socket, err = socketParameter(u.RawQuery)
	return u.Path == "/session", socket, err
}

func socketParameter(query string) (string, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", errors.New("its parameters are not well formed")
	}
	for name := range values {
		if name != "socket" {
			return "", fmt.Errorf("the parameter %q is not supported, only socket", name)
		}
	}
	if values.Has("socket") && !filepath.IsAbs(values.Get("socket")) {
		return "", errors.New("the socket must be an absolute path")
	}
	return values.Get("socket"), nil
}

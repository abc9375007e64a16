package hypervisor

import (
	"context"
	"encoding/xml"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"github.com/digitalocean/go-libvirt"
)

// Facts is what libvirt says of the host. It goes into the manifest of a run and into error messages.
type Facts struct {
	URI      string // as given to Connect
	Socket   string // the path at which the daemon answered
	Hostname string
	Libvirt  string // version of the daemon, "9.0.0"
	QEMU     string // version of Emulator, "7.2.22"
	Emulator string // path of the x86_64 QEMU that libvirt uses unless a domain names another
	// KVM says that libvirt offers KVM domains. A guest may hang under it all the same: only booting one tells.
	KVM bool
	// KVMProblem says why QEMU's user cannot open /dev/kvm and what to do, in one line; "" if file modes allow it.
	// A domain start then takes about a minute, even without KVM: libvirt probes QEMU anew each time.
	KVMProblem string
	// QEMUUser is the user that QEMU runs as; nil if libvirt does not say (a session daemon: its own user).
	QEMUUser *User
	// SecurityModels are the active ones, for example "apparmor" and "dac".
	SecurityModels []string
}

// User is an account by numbers; Groups are all of its groups, the one that QEMU runs with first.
type User struct {
	UID    int
	Groups []int
}

// Facts asks the daemon for what it knows. It may be called at any time and as often as wanted.
func (h *Host) Facts(ctx context.Context) (Facts, error) {
	const op = "ask libvirt for the host's facts"
	type texts struct {
		hostname, capabilities string
		libvirt, qemu          uint64
	}
	t, err := call(ctx, h, op, func(l *libvirt.Libvirt) (t texts, err error) {
		if t.capabilities, err = l.ConnectGetCapabilities(); err != nil {
			return t, err
		}
		if t.hostname, err = l.ConnectGetHostname(); err != nil {
			return t, err
		}
		if t.libvirt, err = l.ConnectGetLibVersion(); err != nil {
			return t, err
		}
		t.qemu, err = l.ConnectGetVersion()
		return t, err
	})
	if err != nil {
		return Facts{}, err
	}
	caps, err := parseCapabilities(t.capabilities)
	if err != nil {
		return Facts{}, rigError(op, err)
	}
	emulator, err := h.emulator(ctx, caps.kvm)
	if err != nil {
		return Facts{}, err
	}
	return Facts{
		URI:            h.address.uri,
		Socket:         h.socket,
		Hostname:       t.hostname,
		Libvirt:        version(t.libvirt),
		QEMU:           version(t.qemu),
		Emulator:       emulator,
		KVM:            caps.kvm,
		KVMProblem:     kvmProblemOf(caps.user),
		QEMUUser:       caps.user.withGroups(),
		SecurityModels: caps.models,
	}, nil
}

// emulator is the x86_64 QEMU of the domain capabilities.
func (h *Host) emulator(ctx context.Context, kvm bool) (string, error) {
	virt := "qemu"
	if kvm {
		virt = "kvm"
	}
	const op = "ask libvirt for its x86_64 emulator"
	text, err := call(ctx, h, op, func(l *libvirt.Libvirt) (string, error) {
		return l.ConnectGetDomainCapabilities(nil, libvirt.OptString{"x86_64"}, nil, libvirt.OptString{virt}, 0)
	})
	if err != nil {
		return "", err
	}
	path, err := parseEmulator(text)
	if err != nil {
		return "", rigError(op, err)
	}
	return path, nil
}

// version decodes libvirt's numbers: major * 1,000,000 + minor * 1,000 + release (virConnectGetVersion).
func version(n uint64) string {
	return fmt.Sprintf("%d.%d.%d", n/1_000_000, n/1_000%1_000, n%1_000)
}

// capabilities has the elements that are read of virsh capabilities.
type capabilities struct {
	kvm    bool // for x86_64
	models []string
	user   *User // without the groups of the group file
}

// parseCapabilities reads the XML of virConnectGetCapabilities.
func parseCapabilities(text string) (capabilities, error) {
	var doc struct {
		Models []struct {
			Name   string `xml:"model"`
			Labels []struct {
				Type string `xml:"type,attr"`
				Text string `xml:",chardata"`
			} `xml:"baselabel"`
		} `xml:"host>secmodel"`
		Guests []struct {
			Arch struct {
				Name    string `xml:"name,attr"`
				Domains []struct {
					Type string `xml:"type,attr"`
				} `xml:"domain"`
			} `xml:"arch"`
		} `xml:"guest"`
	}
	if err := xml.Unmarshal([]byte(text), &doc); err != nil {
		return capabilities{}, fmt.Errorf("read libvirt's capabilities: %w", err)
	}
	var caps capabilities
	for _, model := range doc.Models {
		if model.Name != "none" && !slices.Contains(caps.models, model.Name) {
			caps.models = append(caps.models, model.Name)
		}
		for _, label := range model.Labels {
			if model.Name == "dac" && caps.user == nil {
				caps.user = parseLabel(label.Text)
			}
		}
	}
	for _, guest := range doc.Guests {
		for _, domain := range guest.Arch.Domains {
			caps.kvm = caps.kvm || (guest.Arch.Name == "x86_64" && domain.Type == "kvm")
		}
	}
	return caps, nil
}

// parseLabel reads a dac baselabel, "+UID:+GID"; nil for anything else.
func parseLabel(text string) *User {
	owner, group, ok := strings.Cut(strings.TrimSpace(text), ":")
	if !ok {
		return nil
	}
	uid, err := strconv.ParseUint(strings.TrimPrefix(owner, "+"), 10, 32)
	if err != nil {
		return nil
	}
	gid, err := strconv.ParseUint(strings.TrimPrefix(group, "+"), 10, 32)
	if err != nil {
		return nil
	}
	return &User{UID: int(uid), Groups: []int{int(gid)}}
}

// withGroups adds the groups that the group file gives to the user: libvirt starts QEMU with those, too.
func (u *User) withGroups() *User {
	if u == nil {
		return nil
	}
	full := &User{UID: u.UID, Groups: slices.Clone(u.Groups)}
	account, err := user.LookupId(strconv.Itoa(u.UID))
	if err != nil {
		return full
	}
	ids, err := account.GroupIds()
	if err != nil {
		return full
	}
	for _, id := range ids {
		if n, err := strconv.Atoi(id); err == nil && !slices.Contains(full.Groups, n) {
			full.Groups = append(full.Groups, n)
		}
	}
	return full
}

// kvmProblemOf is kvmProblem for QEMU's user, or this process's where libvirt names none.
func kvmProblemOf(u *User) string {
	if u == nil {
		u = &User{UID: os.Geteuid(), Groups: []int{os.Getegid()}}
	}
	full := u.withGroups()
	return kvmProblem("/dev/kvm", full.UID, full.Groups)
}

// parseEmulator reads the emulator's path out of the XML of virConnectGetDomainCapabilities.
func parseEmulator(text string) (string, error) {
	var doc struct {
		Path string `xml:"path"`
	}
	if err := xml.Unmarshal([]byte(text), &doc); err != nil {
		return "", fmt.Errorf("read libvirt's domain capabilities: %w", err)
	}
	if doc.Path == "" {
		return "", fmt.Errorf("libvirt's domain capabilities name no emulator")
	}
	return doc.Path, nil
}

package hypervisor

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"platter/fault"
	"platter/libvirtxml"

	"github.com/digitalocean/go-libvirt"
)

// goneInterval is the time between two looks at a domain that is being ended.
const goneInterval = 100 * time.Millisecond

// Domain is a guest by its name and UUID. Its methods may be called from several goroutines; libvirt does one change
// at a time. For a domain that is not there any more they fail with ErrGone, except where they say otherwise.
type Domain struct {
	host *Host
	dom  libvirt.Domain
}

// Name is the domain's name.
func (d *Domain) Name() string { return d.dom.Name }

// UUID is the domain's UUID in the usual form with dashes.
func (d *Domain) UUID() string {
	s := hex.EncodeToString(d.dom.UUID[:])
	return strings.Join([]string{s[:8], s[8:12], s[12:16], s[16:20], s[20:]}, "-")
}

// XML is the live configuration, with the aliases and addresses that libvirt gave out.
func (d *Domain) XML(ctx context.Context) (string, error) {
	return call(ctx, d.host, "read the XML of domain "+d.Name(), func(l *libvirt.Libvirt) (string, error) {
		return l.DomainGetXMLDesc(d.dom, 0)
	})
}

// Names of the states in which platter may find a domain; there are others (see State).
const (
	Running = "running"
	Paused  = "paused"
	ShutOff = "shut off"
)

// State is a domain's state and the reason for it, in virsh's words: {"running", "booted"}.
type State struct {
	Name   string
	Reason string // "unknown" when libvirt does not say
}

// State asks for the domain's state. A transient domain that is gone is ShutOff, with the reason out of QEMU's log
// where that can be read: "crashed" after QEMU was killed, "destroyed", "shutdown", "saved".
func (d *Domain) State(ctx context.Context) (State, error) {
	s, err := call(ctx, d.host, "read the state of domain "+d.Name(), func(l *libvirt.Libvirt) ([2]int32, error) {
		state, reason, err := l.DomainGetState(d.dom, 0)
		return [2]int32{state, reason}, err
	})
	if errors.Is(err, ErrGone) {
		return State{Name: ShutOff, Reason: d.lastReason()}, nil
	}
	if err != nil {
		return State{}, err
	}
	return stateOf(s[0], s[1]), nil
}

// lastReason is why the domain ended, as libvirt wrote it into QEMU's log.
func (d *Domain) lastReason() string {
	lines, err := d.Log()
	if err != nil {
		return "unknown"
	}
	return endReason(lines)
}

// endReason finds libvirt's last "shutting down, reason=WORD" in the lines of a log.
func endReason(lines []string) string {
	for i := len(lines) - 1; i >= 0; i-- {
		if _, word, ok := strings.Cut(lines[i], "shutting down, reason="); ok && word != "" {
			return word
		}
	}
	return "unknown"
}

// stateOf puts libvirt's numbers (virDomainState and its reasons, libvirt-domain.h) into virsh's words.
func stateOf(state, reason int32) State {
	known := []struct {
		name    string
		reasons []string
	}{
		libvirt.DomainNostate: {"no state", nil},
		libvirt.DomainRunning: {Running, []string{"unknown", "booted", "migrated", "restored", "from snapshot", "unpaused",
			"migration canceled", "save canceled", "event wakeup", "crashed", "post-copy", "post-copy failed"}},
		libvirt.DomainBlocked: {"idle", nil},
		libvirt.DomainPaused: {Paused, []string{"unknown", "user", "migrating", "saving", "dumping", "I/O error", "watchdog",
			"from snapshot", "shutting down", "creating snapshot", "crashed", "starting up", "post-copy", "post-copy failed", "api error"}},
		libvirt.DomainShutdown: {"in shutdown", []string{"unknown", "user"}},
		libvirt.DomainShutoff: {ShutOff, []string{"unknown", "shutdown", "destroyed", "crashed", "migrated", "saved", "failed",
			"from snapshot", "daemon"}},
		libvirt.DomainCrashed:     {"crashed", []string{"unknown", "panicked"}},
		libvirt.DomainPmsuspended: {"pmsuspended", nil},
	}
	if state < 0 || int(state) >= len(known) {
		return State{Name: fmt.Sprintf("state %d", state), Reason: "unknown"}
	}
	s := State{Name: known[state].name, Reason: "unknown"}
	if reasons := known[state].reasons; reason >= 0 && int(reason) < len(reasons) {
		s.Reason = reasons[reason]
	}
	return s
}

// Save writes the running guest's memory and configuration to a new file at path, which the daemon creates, and ends
// the domain. It returns when the domain is gone. If ctx ends before, libvirt goes on saving: Destroy ends that.
func (d *Domain) Save(ctx context.Context, path string) error {
	op := fmt.Sprintf("save domain %s to %s", d.Name(), path)
	_, err := call(ctx, d.host, op, func(l *libvirt.Libvirt) (struct{}, error) {
		return struct{}{}, l.DomainSaveFlags(d.dom, path, nil, 0)
	})
	if err != nil {
		return err
	}
	return d.untilGone(ctx, op)
}

// Destroy ends the domain at once, as pulling its plug, and returns when QEMU is gone. It may be called again, and for
// a domain that has ended by itself: that is no error. It uses a connection of its own, so it works after the Host was
// closed or lost, and while other calls hang. A QEMU that cannot be killed (it waits for storage that does not answer)
// is tried again until ctx ends.
func (d *Domain) Destroy(ctx context.Context) error {
	own, err := connect(ctx, d.host.address)
	if err != nil {
		return err
	}
	defer own.Close()
	op := "destroy domain " + d.Name()
	for {
		_, err := call(ctx, own, op, func(l *libvirt.Libvirt) (struct{}, error) {
			return struct{}{}, l.DomainDestroyFlags(d.dom, libvirt.DomainDestroyDefault)
		})
		switch {
		case err == nil:
			return (&Domain{host: own, dom: d.dom}).untilGone(ctx, op)
		case errors.Is(err, ErrGone):
			return nil
		case !stillBusy(err):
			return err
		}
		if pause(ctx, goneInterval) != nil {
			return err
		}
	}
}

// stillBusy recognises "Failed to terminate process N with SIGKILL: Device or resource busy".
func stillBusy(err error) bool {
	var e *Error
	return errors.As(err, &e) && (strings.Contains(e.Message, "Failed to terminate process") ||
		strings.Contains(e.Message, "cannot acquire state change lock"))
}

// untilGone returns when the domain is not there or not running.
func (d *Domain) untilGone(ctx context.Context, op string) error {
	for {
		state, err := d.State(ctx)
		if err != nil {
			return err
		}
		if state.Name == ShutOff {
			return nil
		}
		if err := pause(ctx, goneInterval); err != nil {
			return &Error{Op: op, Fault: fault.Rig, Message: "the domain is still " + state.Name, Err: err}
		}
	}
}

// pause waits for d or until ctx ends, and then returns its error.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Monitor sends one QMP command, for example {"execute":"query-status"}, and returns what it returned, without the
// {"return":…} around it. libvirt notes in its log that the domain is tainted; that does no harm.
// See the QEMU QMP reference manual for the commands.
func (d *Domain) Monitor(ctx context.Context, command string) (json.RawMessage, error) {
	op := fmt.Sprintf("send %s to the monitor of domain %s", command, d.Name())
	text, err := call(ctx, d.host, op, func(l *libvirt.Libvirt) (string, error) {
		return l.QEMUDomainMonitorCommand(d.dom, command, 0)
	})
	if err != nil {
		return nil, err
	}
	value, err := parseReply(text)
	if err != nil {
		return nil, rigError(op, err)
	}
	return value, nil
}

// parseReply takes a QMP reply apart: {"return":…} or {"error":{"class":…,"desc":…}}.
func parseReply(text string) (json.RawMessage, error) {
	var reply struct {
		Return json.RawMessage `json:"return"`
		Error  *struct {
			Class string `json:"class"`
			Desc  string `json:"desc"`
		} `json:"error"`
	}
	if err := json.Unmarshal([]byte(text), &reply); err != nil {
		return nil, fmt.Errorf("read QEMU's reply: %w", err)
	}
	if reply.Error != nil {
		return nil, fmt.Errorf("%s (%s)", reply.Error.Desc, reply.Error.Class)
	}
	if reply.Return == nil {
		return nil, errors.New("read QEMU's reply: neither a return value nor an error")
	}
	return reply.Return, nil
}

// domainName reads the name out of a domain's XML.
func domainName(text string) (string, error) {
	root, _, err := libvirtxml.Parse("the domain", []byte(text))
	if err != nil {
		return "", fmt.Errorf("read the domain XML: %w", err)
	}
	name := root.TextOf("name")
	if name == "" {
		return "", errors.New("read the domain XML: it has no name")
	}
	return name, nil
}

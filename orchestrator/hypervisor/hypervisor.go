// Package hypervisor is platter's only way to libvirt: it connects to the local daemon, starts, saves, restores and
// ends domains, plugs disks in and out, and reads back what QEMU made of a disk's configuration.
//
// The RPC is github.com/digitalocean/go-libvirt's. It knows no context, so each call here runs beside its caller and
// is abandoned when the context ends: the caller gets its error at once, and the connection stays usable, because
// libvirt answers calls by serial number. Closing the connection instead would end every domain that was started on
// it (see Host.Start). What an abandoned Start or Restore still brings up is ended again.
//
// Every error of a call is an *Error, which says whose fault it is.
package hypervisor

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"platter/fault"

	"github.com/digitalocean/go-libvirt"
	"github.com/digitalocean/go-libvirt/socket/dialers"
)

const (
	// connectLimit bounds Connect for a caller without a deadline; a daemon started by its socket needs seconds.
	connectLimit = 30 * time.Second
	// closeLimit bounds Close: the daemon ends the domains of the connection before it answers.
	closeLimit = 10 * time.Second
)

// Host is a connection to the libvirt daemon of this machine. Its methods may be called from several goroutines.
// A Host whose connection was lost stays lost: its calls fail with ErrDisconnected, and Connect makes a new one.
type Host struct {
	address address
	socket  string
	conn    net.Conn
	rpc     *libvirt.Libvirt

	mu     sync.Mutex
	closed bool
	calls  sync.WaitGroup // those under way, also the abandoned ones
}

// Connect opens uri (see Environment.URI): it tries the daemon's sockets one after the other and speaks
// to the first that accepts. It takes at most 30 s, or less if ctx ends before. The error is a Usage one for a URI
// that platter does not support, and otherwise a Rig one that names the sockets tried and what to do.
func Connect(ctx context.Context, uri string) (*Host, error) {
	env := HostEnvironment()
	addr, err := env.address(uri)
	if err != nil {
		return nil, err
	}
	return connect(ctx, addr)
}

// ConnectBelow opens qemu:///system of the daemon that runs in another root directory, as this process sees that directory: the
// /proc/PID/root of a process there. Its domains' processes are found by their command lines: a domain must have a name that no other
// on the machine has. Errors are as in Connect.
func ConnectBelow(ctx context.Context, root string) (*Host, error) {
	return connect(ctx, HostEnvironment().systemAddress().below(root))
}

func connect(ctx context.Context, addr address) (*Host, error) {
	ctx, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	conn, err := dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	h := &Host{
		address: addr,
		socket:  conn.RemoteAddr().String(),
		conn:    conn,
		rpc:     libvirt.NewWithDialer(dialers.NewAlreadyConnected(conn)),
	}
	if err := h.open(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return h, nil
}

// dial connects to the first of the daemon's sockets that accepts.
func dial(ctx context.Context, addr address) (net.Conn, error) {
	var failures []string
	var last error
	for _, path := range addr.sockets {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
		if err == nil {
			return conn, nil
		}
		last = err
		failures = append(failures, path+": "+reason(err))
	}
	return nil, &Error{
		Op:      "connect to " + addr.open,
		Fault:   fault.Rig,
		Message: "no libvirt daemon answers (" + strings.Join(failures, "; ") + ")",
		Hint:    startHint(addr, last),
		Err:     last,
	}
}

// reason is the system's word for why a socket could not be opened, without Go's repetition of the address.
func reason(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}

func startHint(addr address, err error) string {
	switch {
	case errors.Is(err, syscall.EACCES):
		return "run platter as root or as a member of the group libvirt"
	case addr.root != "":
		return "the libvirt daemon of this root tree is not running or has died: start the command again"
	case addr.session:
		return "start the daemon of this user: virsh -c qemu:///session list"
	}
	return "start it: systemctl start libvirtd, or without systemd: virtlogd -d; libvirtd -d"
}

// open authenticates and opens the driver on the connection.
func (h *Host) open(ctx context.Context) error {
	_, err := call(ctx, h, "connect to "+h.address.open, func(l *libvirt.Libvirt) (struct{}, error) {
		return struct{}{}, l.ConnectToURI(libvirt.ConnectURI(h.address.open))
	})
	var e *Error
	if errors.As(err, &e) {
		e.Op += " at " + h.socket
	}
	return err
}

// Close ends the connection, and with it every domain that Start started on it; restored domains go on. It waits for
// the daemon and for calls under way, 10 s at the most. Closing a second time does nothing.
func (h *Host) Close() error {
	h.mu.Lock()
	closed := h.closed
	h.closed = true
	h.mu.Unlock()
	if closed {
		return nil
	}
	limit := time.After(closeLimit)
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.calls.Wait()
		// A failure says that the daemon is gone already, or will be told by the end of the connection.
		_ = h.rpc.Disconnect()
	}()
	select {
	case <-done:
	case <-limit:
	}
	if err := h.conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return rigError("close the connection to libvirt", err)
	}
	return nil
}

// Start starts a transient domain from its XML and returns it running. libvirt destroys the domain when this
// connection ends, however it ends: a killed platter leaves no guest behind. If ctx ends first, a domain that still
// comes up is destroyed. The error is Refused when libvirt or QEMU does not accept the configuration, which no retry
// mends, and Rig otherwise.
func (h *Host) Start(ctx context.Context, domainXML string) (*Domain, error) {
	name, err := domainName(domainXML)
	if err != nil {
		return nil, &Error{Op: "start domain", Fault: fault.Usage, Message: err.Error(), Err: err}
	}
	op := "start domain " + name
	return h.bringUp(ctx, op, func(l *libvirt.Libvirt) (libvirt.Domain, error) {
		return l.DomainCreateXML(domainXML, libvirt.DomainStartAutodestroy)
	})
}

// Restore brings a domain back from the file that Domain.Save wrote, running. domainXML is its configuration: what
// SavedXML gives, in which libvirt accepts changes that the guest cannot see, for example other host paths; other XML
// it refuses, even the live one of the same domain. The file stays and may be restored again.
//
// libvirt has no autodestroy here: a restored domain outlives this connection and a killed platter. Whoever restores
// must Destroy, and find what a killed run left by its name with List. If ctx ends first, a domain that still comes
// up is destroyed. Errors are as in Start.
func (h *Host) Restore(ctx context.Context, path, domainXML string) (*Domain, error) {
	name, err := domainName(domainXML)
	if err != nil {
		return nil, &Error{Op: "restore domain from " + path, Fault: fault.Usage, Message: err.Error(), Err: err}
	}
	op := "restore domain " + name + " from " + path
	return h.bringUp(ctx, op, func(l *libvirt.Libvirt) (libvirt.Domain, error) {
		err := l.DomainRestoreFlags(path, libvirt.OptString{domainXML}, uint32(libvirt.DomainSaveRunning))
		if err != nil {
			return libvirt.Domain{}, err
		}
		return l.DomainLookupByName(name)
	})
}

// SavedXML is the configuration in the file that Domain.Save wrote.
func (h *Host) SavedXML(ctx context.Context, path string) (string, error) {
	return call(ctx, h, "read the configuration saved in "+path, func(l *libvirt.Libvirt) (string, error) {
		return l.DomainSaveImageGetXMLDesc(path, 0)
	})
}

// Lookup finds a domain by its name. When there is none the error is ErrGone.
func (h *Host) Lookup(ctx context.Context, name string) (*Domain, error) {
	dom, err := call(ctx, h, "look up domain "+name, func(l *libvirt.Libvirt) (libvirt.Domain, error) {
		return l.DomainLookupByName(name)
	})
	if err != nil {
		return nil, err
	}
	return &Domain{host: h, dom: dom}, nil
}

// Listed is a domain together with its XML at the time of List.
type Listed struct {
	*Domain
	XML string
}

// List returns all domains of the host, running or not, whoever made them. It is there to find what a killed run left
// behind; the caller decides by name and XML what is its own.
func (h *Host) List(ctx context.Context) ([]Listed, error) {
	const all = libvirt.ConnectListDomainsActive | libvirt.ConnectListDomainsInactive
	doms, err := call(ctx, h, "list domains", func(l *libvirt.Libvirt) ([]libvirt.Domain, error) {
		doms, _, err := l.ConnectListAllDomains(1, all)
		return doms, err
	})
	if err != nil {
		return nil, err
	}
	var list []Listed
	for _, dom := range doms {
		d := &Domain{host: h, dom: dom}
		text, err := d.XML(ctx)
		if errors.Is(err, ErrGone) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, Listed{Domain: d, XML: text})
	}
	return list, nil
}

// bringUp calls up, which makes a domain run; if ctx ends before it answers, the domain is destroyed when it does.
func (h *Host) bringUp(ctx context.Context, op string, up func(*libvirt.Libvirt) (libvirt.Domain, error)) (*Domain, error) {
	destroy := func(dom libvirt.Domain) {
		_ = h.rpc.DomainDestroyFlags(dom, libvirt.DomainDestroyDefault) // nobody is left to tell
	}
	dom, err := callOrUndo(ctx, h, op, up, destroy)
	if err != nil {
		return nil, h.explain(ctx, err)
	}
	return &Domain{host: h, dom: dom}, nil
}

package hypervisor

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/digitalocean/go-libvirt"

	"platter/fault"
	"platter/libvirtxml"
	"platter/results"
)

const (
	// unplugPoll is the time between two looks whether a disk is gone.
	unplugPoll = 10 * time.Millisecond
	// unplugRetry is how long the guest may take before it is asked again, after libvirt's own wait of up to 5 s.
	unplugRetry = 2 * time.Second
	// statsLimit is the most parameters that the daemon gives for block statistics (REMOTE_DOMAIN_BLOCK_STATS_PARAMETERS_MAX).
	statsLimit = 16
)

// ErrNoDisk is wrapped in the error of a call for a disk that the domain does not have.
var ErrNoDisk = errors.New("the domain has no such disk")

// disk is one of a live domain.
type disk struct {
	target string // "vdb"
	alias  string // libvirt's name for it, QEMU's device id: "virtio-disk1"
	text   string // its <disk> element as libvirt wrote it
}

// Attach plugs a disk into the running domain; diskXML is a <disk> element. It returns when QEMU has the device; the
// guest may need some milliseconds more to see it. The error is Refused when the configuration cannot be had, for
// example io=native with a cached mode, or SATA. If ctx ends first, the disk may still come.
func (d *Domain) Attach(ctx context.Context, diskXML string) error {
	target, err := diskTarget(diskXML)
	if err != nil {
		return &Error{Op: "attach a disk to domain " + d.Name(), Fault: fault.Usage, Message: err.Error(), Err: err}
	}
	op := fmt.Sprintf("attach disk %s to domain %s", target, d.Name())
	_, err = call(ctx, d.host, op, func(l *libvirt.Libvirt) (struct{}, error) {
		return struct{}{}, l.DomainAttachDeviceFlags(d.dom, diskXML, uint32(libvirt.DomainDeviceModifyLive))
	})
	if err != nil {
		return d.host.explain(ctx, err)
	}
	return nil
}

// Detach unplugs the disk with this target ("vdb") and returns when QEMU has let go of it: then its image is closed.
// A virtio-blk disk leaves only when the guest's driver agrees, so the guest is asked again until ctx ends; the error is
// then a Guest one, and the disk may still leave later. A disk that is not there is no error: Detach may be repeated.
func (d *Domain) Detach(ctx context.Context, target string) error {
	op := fmt.Sprintf("detach disk %s from domain %s", target, d.Name())
	present, err := d.disk(ctx, op, target)
	if errors.Is(err, ErrNoDisk) {
		return nil
	}
	if err != nil {
		return err
	}
	return release(ctx, op, &unplug{domain: d, op: op, disk: present}, unplugPoll, unplugRetry)
}

// plug is a disk that is to leave its domain.
type plug interface {
	// request asks the guest to release the disk. A nil error does not mean that it has.
	request(ctx context.Context) error
	// attached reports whether QEMU still has the disk.
	attached(ctx context.Context) (bool, error)
}

// release asks for the disk until it is gone, looking every poll and asking again every retry.
func release(ctx context.Context, op string, p plug, poll, retry time.Duration) error {
	began := time.Now()
	for requests := 1; ; requests++ {
		if err := p.request(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		err := awaitRelease(ctx, p, poll, time.Now().Add(retry))
		if err == nil || ctx.Err() == nil && !errors.Is(err, errStillAttached) {
			return err
		}
		if ctx.Err() != nil {
			return &Error{
				Op:    op,
				Fault: fault.Guest,
				Message: fmt.Sprintf("the guest never released the disk (asked %s in %s)",
					times(requests), time.Since(began).Round(100*time.Millisecond)),
				Hint: "its driver must agree: see on the console whether the guest is up and does not hang",
				Err:  ctx.Err(),
			}
		}
	}
}

var errStillAttached = errors.New("the disk is still attached")

// awaitRelease returns nil when the disk is gone, and errStillAttached at the deadline.
func awaitRelease(ctx context.Context, p plug, poll time.Duration, deadline time.Time) error {
	for {
		attached, err := p.attached(ctx)
		if err != nil || !attached {
			return err
		}
		if time.Now().After(deadline) {
			return errStillAttached
		}
		if err := pause(ctx, poll); err != nil {
			return err
		}
	}
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// unplug is the plug of a real domain.
type unplug struct {
	domain *Domain
	op     string
	disk   disk
}

// request sends the unplug request. libvirt waits up to 5 s for the guest, and reports success even if it did not act.
func (u *unplug) request(ctx context.Context) error {
	d := u.domain
	_, err := call(ctx, d.host, u.op, func(l *libvirt.Libvirt) (struct{}, error) {
		return struct{}{}, l.DomainDetachDeviceFlags(d.dom, u.disk.text, uint32(libvirt.DomainDeviceModifyLive))
	})
	if alreadyLeaving(err) {
		return nil
	}
	return err
}

// alreadyLeaving recognises the refusals of a second request: the first is under way, or has been granted meanwhile.
func alreadyLeaving(err error) bool {
	var refusal libvirt.Error
	if !errors.As(err, &refusal) {
		return false
	}
	return libvirt.ErrorNumber(refusal.Code) == libvirt.ErrDeviceMissing ||
		strings.Contains(refusal.Message, "in the process of unplug") ||
		strings.Contains(refusal.Message, "guest is busy")
}

// attached looks at the live XML and then asks QEMU: libvirt strikes the disk from its XML first and closes the image
// after that, and it answers the monitor only when it has done both.
func (u *unplug) attached(ctx context.Context) (bool, error) {
	_, err := u.domain.disk(ctx, u.op, u.disk.target)
	if err == nil {
		return true, nil
	}
	if !errors.Is(err, ErrNoDisk) {
		return false, err
	}
	blocks, err := u.domain.blocks(ctx)
	if err != nil {
		return false, err
	}
	_, still := blocks.of(u.disk.alias)
	return still, nil
}

// CacheFlags are QEMU's effective cache flags of the disk with this target, as query-block shows them. They are what
// the guest has made of the configuration, too: it may switch writeback off.
func (d *Domain) CacheFlags(ctx context.Context, target string) (results.CacheFlags, error) {
	op := fmt.Sprintf("read the cache flags of disk %s of domain %s", target, d.Name())
	present, err := d.disk(ctx, op, target)
	if err != nil {
		return results.CacheFlags{}, err
	}
	blocks, err := d.blocks(ctx)
	if err != nil {
		return results.CacheFlags{}, err
	}
	block, ok := blocks.of(present.alias)
	if !ok || block.Inserted == nil || block.Inserted.Cache == nil {
		return results.CacheFlags{}, rigError(op, fmt.Errorf("query-block says nothing of the device %q", present.alias))
	}
	cache := block.Inserted.Cache
	return results.CacheFlags{Writeback: cache.Writeback, Direct: cache.Direct, NoFlush: cache.NoFlush}, nil
}

// BlockCounters are QEMU's counters of the disk with this target since it was plugged in or the domain was started or
// restored: the caller subtracts an earlier reading.
func (d *Domain) BlockCounters(ctx context.Context, target string) (results.BlockCounters, error) {
	op := fmt.Sprintf("read the block counters of disk %s of domain %s", target, d.Name())
	params, err := call(ctx, d.host, op, func(l *libvirt.Libvirt) ([]libvirt.TypedParam, error) {
		params, _, err := l.DomainBlockStatsFlags(d.dom, target, statsLimit, uint32(libvirt.TypedParamStringOkay))
		return params, err
	})
	if err != nil {
		return results.BlockCounters{}, err
	}
	counters, err := countersOf(params)
	if err != nil {
		return results.BlockCounters{}, rigError(op, err)
	}
	return counters, nil
}

// countersOf picks the counters out of libvirt's typed parameters. A missing one is an error, never 0.
func countersOf(params []libvirt.TypedParam) (results.BlockCounters, error) {
	var c results.BlockCounters
	for name, into := range map[string]*int64{
		libvirt.DomainBlockStatsReadReq:    &c.ReadOps,
		libvirt.DomainBlockStatsReadBytes:  &c.ReadBytes,
		libvirt.DomainBlockStatsWriteReq:   &c.WriteOps,
		libvirt.DomainBlockStatsWriteBytes: &c.WriteBytes,
		libvirt.DomainBlockStatsFlushReq:   &c.FlushOps,
	} {
		i := slices.IndexFunc(params, func(p libvirt.TypedParam) bool { return p.Field == name })
		if i < 0 {
			return results.BlockCounters{}, fmt.Errorf("libvirt gives no counter %s", name)
		}
		n, ok := params[i].Value.I.(int64)
		if !ok || n < 0 {
			return results.BlockCounters{}, fmt.Errorf("libvirt's counter %s is %v, not a number of the kind expected", name, params[i].Value.I)
		}
		*into = n
	}
	return c, nil
}

// disk finds a disk of the live domain by its target, or fails with ErrNoDisk.
func (d *Domain) disk(ctx context.Context, op, target string) (disk, error) {
	text, err := d.XML(ctx)
	if err != nil {
		return disk{}, err
	}
	disks, err := parseDisks(text)
	if err != nil {
		return disk{}, rigError(op, err)
	}
	for _, found := range disks {
		if found.target == target {
			return found, nil
		}
	}
	return disk{}, &Error{Op: op, Fault: fault.Usage, Message: ErrNoDisk.Error(), Err: ErrNoDisk}
}

// parseDisks reads the disks of a live domain's XML.
func parseDisks(text string) ([]disk, error) {
	found, err := libvirtxml.Disks("the domain", []byte(text))
	if err != nil {
		return nil, fmt.Errorf("read the domain XML: %w", err)
	}
	var disks []disk
	for _, d := range found {
		disks = append(disks, disk{target: d.Target, alias: d.Element.Child("alias").Attr("name"), text: d.Element.Source()})
	}
	return disks, nil
}

// diskTarget reads the target out of a disk's own XML.
func diskTarget(text string) (string, error) {
	var doc struct {
		XMLName xml.Name `xml:"disk"`
		Target  struct {
			Dev string `xml:"dev,attr"`
		} `xml:"target"`
	}
	if err := xml.Unmarshal([]byte(text), &doc); err != nil {
		return "", fmt.Errorf("read the disk XML: %w", err)
	}
	if doc.Target.Dev == "" {
		return "", errors.New("read the disk XML: it has no target device")
	}
	return doc.Target.Dev, nil
}

// block has the fields that are read of an entry of QEMU's query-block (BlockInfo in the QMP reference).
type block struct {
	// QDev is the device: a path that has the alias in it ("/machine/peripheral/virtio-disk1/virtio-backend"), or the
	// alias itself (SCSI, SATA).
	QDev     string `json:"qdev"`
	Inserted *struct {
		Cache *struct {
			Writeback bool `json:"writeback"`
			Direct    bool `json:"direct"`
			NoFlush   bool `json:"no-flush"`
		} `json:"cache"`
	} `json:"inserted"`
}

type blocks []block

// blocks asks QEMU for its block devices.
func (d *Domain) blocks(ctx context.Context) (blocks, error) {
	value, err := d.Monitor(ctx, `{"execute":"query-block"}`)
	if err != nil {
		return nil, err
	}
	list, err := parseBlocks(value)
	if err != nil {
		return nil, rigError("read the block devices of domain "+d.Name(), err)
	}
	return list, nil
}

func parseBlocks(value []byte) (blocks, error) {
	var list blocks
	if err := json.Unmarshal(value, &list); err != nil {
		return nil, fmt.Errorf("read query-block: %w", err)
	}
	return list, nil
}

// of finds the block of the device with this alias.
func (b blocks) of(alias string) (block, bool) {
	for _, entry := range b {
		if alias != "" && slices.Contains(strings.Split(entry.QDev, "/"), alias) {
			return entry, true
		}
	}
	return block{}, false
}

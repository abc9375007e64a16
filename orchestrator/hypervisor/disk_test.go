package hypervisor

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/digitalocean/go-libvirt"
	"github.com/google/go-cmp/cmp"

	"platter/fault"
	"platter/results"
)

const liveXML = `<domain type='qemu' id='2'>
  <metadata><x:disk xmlns:x='urn:x'><target dev='vdz'/></x:disk></metadata>
  <devices>
    <!-- <disk/> -->
    <disk type='file' device='disk'>
      <target dev='vda' bus='virtio'/>
      <alias name='virtio-disk0'/>
    </disk>
    <disk type='file' device='disk'><source file='/d/&lt;b&gt;.img'/><target dev='sda' bus='scsi'/><alias name='scsi0-0-0-0'/></disk>
  </devices>
</domain>`

func TestDisksAreReadWithTheirAliasAndTheirOwnText(t *testing.T) {
	got, err := parseDisks(liveXML)
	if err != nil {
		t.Fatal(err)
	}
	want := []disk{
		{target: "vda", alias: "virtio-disk0", text: `<disk type='file' device='disk'>
      <target dev='vda' bus='virtio'/>
      <alias name='virtio-disk0'/>
    </disk>`},
		{target: "sda", alias: "scsi0-0-0-0",
			text: `<disk type='file' device='disk'><source file='/d/&lt;b&gt;.img'/><target dev='sda' bus='scsi'/><alias name='scsi0-0-0-0'/></disk>`},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(disk{})); diff != "" {
		t.Error(diff)
	}
}

func FuzzDisks(f *testing.F) {
	f.Add(liveXML)
	f.Add("<domain><devices><disk>")
	f.Add("</domain>")
	f.Fuzz(func(t *testing.T, text string) {
		disks, err := parseDisks(text)
		if err != nil {
			return
		}
		for _, d := range disks {
			if d.target == "" {
				continue
			}
			// A disk that came out of a whole document is a whole element by itself, unless a prefix is declared outside.
			if got, err := diskTarget(d.text); err == nil && got != d.target {
				t.Errorf("%q: the target is %q in the domain and %q by itself", text, d.target, got)
			}
		}
	})
}

func TestADiskWithoutATargetCannotBeAttached(t *testing.T) {
	for _, text := range []string{"", "<disk/>", "<interface><target dev='vnet0'/></interface>", "<disk><target/></disk>"} {
		err := (&Domain{host: &Host{}}).Attach(t.Context(), text)
		if err == nil || fault.Of(err) != fault.Usage {
			t.Errorf("%q: got %v, want a usage error", text, err)
		}
	}
}

const queryBlock = `[
 {"device":"","qdev":"/machine/peripheral/virtio-disk1/virtio-backend","inserted":{"cache":{"no-flush":false,"direct":true,"writeback":true}}},
 {"device":"","qdev":"/machine/peripheral/virtio-disk11/virtio-backend","inserted":{"cache":{"no-flush":true,"direct":false,"writeback":true}}},
 {"device":"","qdev":"scsi0-0-0-0","inserted":{"cache":{"no-flush":false,"direct":false,"writeback":false}}},
 {"device":"cd","qdev":"sata0-0-0","removable":true},
 {"device":"pflash"}]`

func TestABlockIsFoundByTheAliasOfItsDevice(t *testing.T) {
	list, err := parseBlocks([]byte(queryBlock))
	if err != nil {
		t.Fatal(err)
	}
	for alias, want := range map[string]results.CacheFlags{
		"virtio-disk1":  {Writeback: true, Direct: true},
		"virtio-disk11": {Writeback: true, NoFlush: true},
		"scsi0-0-0-0":   {},
	} {
		b, ok := list.of(alias)
		if !ok {
			t.Errorf("%s was not found", alias)
			continue
		}
		got := results.CacheFlags{Writeback: b.Inserted.Cache.Writeback, Direct: b.Inserted.Cache.Direct, NoFlush: b.Inserted.Cache.NoFlush}
		if got != want {
			t.Errorf("%s: got %+v, want %+v", alias, got, want)
		}
	}
	for _, alias := range []string{"", "virtio-disk", "virtio-disk2", "machine2"} {
		if _, ok := list.of(alias); ok {
			t.Errorf("%q was found", alias)
		}
	}
}

func FuzzBlocks(f *testing.F) {
	f.Add([]byte(queryBlock), "virtio-disk1")
	f.Add([]byte(`[{"qdev":null,"inserted":{}}]`), "")
	f.Fuzz(func(t *testing.T, text []byte, alias string) {
		list, err := parseBlocks(text)
		if err != nil {
			return
		}
		if b, ok := list.of(alias); ok && !strings.Contains(b.QDev, alias) {
			t.Errorf("%q was found for %q", b.QDev, alias)
		}
	})
}

func counterParams() []libvirt.TypedParam {
	var params []libvirt.TypedParam
	for i, name := range []string{"wr_bytes", "wr_operations", "rd_bytes", "rd_operations", "flush_operations", "wr_total_times"} {
		params = append(params, libvirt.TypedParam{Field: name, Value: libvirt.TypedParamValue{D: 3, I: int64(i + 1)}})
	}
	return params
}

func TestCountersAreReadByTheirNames(t *testing.T) {
	got, err := countersOf(counterParams())
	if err != nil {
		t.Fatal(err)
	}
	want := results.BlockCounters{WriteBytes: 1, WriteOps: 2, ReadBytes: 3, ReadOps: 4, FlushOps: 5}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestAMissingCounterIsAnErrorAndNotZero(t *testing.T) {
	if _, err := countersOf(counterParams()[:4]); err == nil || !strings.Contains(err.Error(), "flush_operations") {
		t.Errorf("got %v, want the missing one named", err)
	}
	for _, bad := range []any{"7", int32(7), int64(-1), nil} {
		params := counterParams()
		params[0].Value.I = bad
		if got, err := countersOf(params); err == nil {
			t.Errorf("%v (%T) was taken: %+v", bad, bad, got)
		}
	}
}

// fakePlug leaves at the given number of requests.
type fakePlug struct {
	leavesAt   int
	requestErr error
	lookErr    error
	requests   int
}

func (p *fakePlug) request(context.Context) error {
	p.requests++
	return p.requestErr
}

func (p *fakePlug) attached(context.Context) (bool, error) {
	return p.leavesAt == 0 || p.requests < p.leavesAt, p.lookErr
}

func TestAGuestThatMissedTheRequestIsAskedAgain(t *testing.T) {
	p := &fakePlug{leavesAt: 3}
	if err := release(t.Context(), "detach", p, time.Millisecond, 5*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if p.requests != 3 {
		t.Errorf("it was asked %d times, want 3", p.requests)
	}
}

func TestAGuestThatReleasesAtOnceIsAskedOnce(t *testing.T) {
	p := &fakePlug{leavesAt: 1}
	if err := release(t.Context(), "detach", p, time.Millisecond, time.Minute); err != nil {
		t.Fatal(err)
	}
	if p.requests != 1 {
		t.Errorf("it was asked %d times, want once", p.requests)
	}
}

func TestADiskThatIsNeverReleasedIsTheGuestsFault(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	p := &fakePlug{}
	err := release(ctx, "detach disk vdb from domain x", p, time.Millisecond, 5*time.Millisecond)
	if fault.Of(err) != fault.Guest || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, want the guest's fault and the deadline", err)
	}
	for _, want := range []string{"vdb", "domain x", "the guest never released the disk", "times"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
	if p.requests < 2 {
		t.Errorf("it was asked %d times", p.requests)
	}
}

func TestARequestThatQEMURefusesEndsTheDetach(t *testing.T) {
	refused := &Error{Op: "detach", Fault: fault.Refused, Message: "this type of disk cannot be hot unplugged"}
	p := &fakePlug{requestErr: refused}
	if err := release(t.Context(), "detach", p, time.Millisecond, time.Minute); !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
}

func TestADomainThatEndsDuringADetachIsSaidToBeGone(t *testing.T) {
	p := &fakePlug{lookErr: rigError("read", ErrGone)}
	if err := release(t.Context(), "detach", p, time.Millisecond, time.Minute); !errors.Is(err, ErrGone) {
		t.Errorf("got %v", err)
	}
}

func TestASecondUnplugRequestIsNoFailure(t *testing.T) {
	for _, refusal := range []libvirt.Error{
		{Code: uint32(libvirt.ErrInternalError),
			Message: "internal error: unable to execute QEMU command 'device_del': Device virtio-disk1 is already in the process of unplug"},
		{Code: uint32(libvirt.ErrDeviceMissing), Message: "device not found: no target device vdb"},
	} {
		if !alreadyLeaving(classify("detach", refusal)) {
			t.Errorf("not recognised: %s", refusal.Message)
		}
	}
	if alreadyLeaving(nil) || alreadyLeaving(errors.New("in the process of unplug")) {
		t.Error("something else was taken for it")
	}
}

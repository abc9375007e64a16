package hypervisor

import (
	"strings"
	"testing"

	"github.com/digitalocean/go-libvirt"
)

func TestStatesAreInVirshsWords(t *testing.T) {
	for _, test := range []struct {
		state  libvirt.DomainState
		reason int32
		want   State
	}{
		{libvirt.DomainRunning, int32(libvirt.DomainRunningBooted), State{"running", "booted"}},
		{libvirt.DomainRunning, int32(libvirt.DomainRunningRestored), State{"running", "restored"}},
		{libvirt.DomainPaused, int32(libvirt.DomainPausedIoerror), State{"paused", "I/O error"}},
		{libvirt.DomainPaused, int32(libvirt.DomainPausedAPIError), State{"paused", "api error"}},
		{libvirt.DomainShutoff, int32(libvirt.DomainShutoffDaemon), State{"shut off", "daemon"}},
		{libvirt.DomainCrashed, int32(libvirt.DomainCrashedPanicked), State{"crashed", "panicked"}},
		{libvirt.DomainRunning, 99, State{"running", "unknown"}},
		{libvirt.DomainRunning, -1, State{"running", "unknown"}},
		{libvirt.DomainBlocked, 0, State{"idle", "unknown"}},
		{99, 0, State{"state 99", "unknown"}},
		{-1, 0, State{"state -1", "unknown"}},
	} {
		if got := stateOf(int32(test.state), test.reason); got != test.want {
			t.Errorf("%d, %d: got %v, want %v", test.state, test.reason, got, test.want)
		}
	}
}

func TestTheReasonOfAnEndIsTheLastInTheLog(t *testing.T) {
	log := []string{
		"2026-01-01 10:00:00.000+0000: shutting down, reason=destroyed",
		"2026-01-01 10:01:00.000+0000: starting up",
		"2026-01-01 10:02:00.000+0000: shutting down, reason=crashed",
		"something after it",
	}
	if got := endReason(log); got != "crashed" {
		t.Errorf("got %q", got)
	}
	if got := endReason(log[1:2]); got != "unknown" {
		t.Errorf("without one: got %q", got)
	}
}

func TestAMonitorReplyIsTakenApart(t *testing.T) {
	value, err := parseReply(`{"return":{"status":"running"},"id":"libvirt-1"}`)
	if err != nil || string(value) != `{"status":"running"}` {
		t.Errorf("got %s, %v", value, err)
	}
	_, err = parseReply(`{"id":"libvirt-2","error":{"class":"CommandNotFound","desc":"The command x has not been found"}}`)
	if err == nil || !strings.Contains(err.Error(), "The command x has not been found") {
		t.Errorf("QEMU's words are lost: %v", err)
	}
	for _, text := range []string{"", "{}", "[]", "null", "{"} {
		if value, err := parseReply(text); err == nil {
			t.Errorf("%q gives %s", text, value)
		}
	}
}

func FuzzMonitorReply(f *testing.F) {
	f.Add(`{"return":[],"id":"libvirt-1"}`)
	f.Add(`{"error":{"class":"GenericError","desc":"no"}}`)
	f.Fuzz(func(t *testing.T, text string) {
		value, err := parseReply(text)
		if (err == nil) == (value == nil) {
			t.Errorf("%q gives %s and %v", text, value, err)
		}
	})
}

func TestTheUUIDHasItsDashes(t *testing.T) {
	d := &Domain{dom: libvirt.Domain{UUID: libvirt.UUID{0x53, 0x01, 0x95, 0xb2, 0x89, 0x9a, 0x49, 0x96, 0x91, 0x99, 0xd2, 0xd1, 0xc8, 0x1e,
		0x95, 0xf8}}}
	if got, want := d.UUID(), "530195b2-899a-4996-9199-d2d1c81e95f8"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

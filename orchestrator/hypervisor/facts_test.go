package hypervisor

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

const capabilitiesXML = `<capabilities>
  <host>
    <secmodel><model>none</model><doi>0</doi></secmodel>
    <secmodel><model>apparmor</model><doi>0</doi></secmodel>
    <secmodel>
      <model>dac</model>
      <baselabel type='kvm'>+64055:+107</baselabel>
      <baselabel type='qemu'>+64055:+107</baselabel>
    </secmodel>
  </host>
  <guest><arch name='aarch64'><domain type='kvm'/></arch></guest>
  <guest><arch name='x86_64'><domain type='qemu'/>KVM</arch></guest>
</capabilities>`

func TestCapabilitiesNameQEMUsUserTheModelsAndKVM(t *testing.T) {
	got, err := parseCapabilities(capabilitiesXML)
	if err != nil {
		t.Fatal(err)
	}
	want := capabilities{models: []string{"apparmor", "dac"}, user: &User{UID: 64055, Groups: []int{107}}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(capabilities{})); diff != "" {
		t.Error(diff)
	}
}

func TestKVMIsAdvertisedForX86Only(t *testing.T) {
	got, err := parseCapabilities(`<capabilities><guest><arch name='x86_64'><domain type='qemu'/><domain type='kvm'/></arch></guest></capabilities>`)
	if err != nil {
		t.Fatal(err)
	}
	if !got.kvm || got.user != nil || got.models != nil {
		t.Errorf("got %+v, want KVM and nothing else", got)
	}
}

func TestALabelThatIsNotTwoNumbersNamesNobody(t *testing.T) {
	for _, label := range []string{"", "+64055", "qemu:qemu", "+-1:+2", "+1:+99999999999", "system_u:system_r:svirt_t:s0"} {
		if got := parseLabel(label); got != nil {
			t.Errorf("%q: got %+v", label, got)
		}
	}
}

func TestTheEmulatorIsThatOfTheDomainCapabilities(t *testing.T) {
	got, err := parseEmulator("<domainCapabilities><path>/usr/bin/qemu-system-x86_64</path><domain>qemu</domain></domainCapabilities>")
	if err != nil || got != "/usr/bin/qemu-system-x86_64" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := parseEmulator("<domainCapabilities/>"); err == nil {
		t.Error("no error without a path")
	}
}

func TestVersionsAreDecoded(t *testing.T) {
	for n, want := range map[uint64]string{9_000_000: "9.0.0", 7_002_022: "7.2.22", 12_005_000: "12.5.0"} {
		if got := version(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}

func FuzzCapabilities(f *testing.F) {
	f.Add(capabilitiesXML)
	f.Add("<capabilities><host><secmodel><model>dac</model><baselabel>+1</baselabel></secmodel></host></capabilities>")
	f.Fuzz(func(t *testing.T, text string) {
		caps, err := parseCapabilities(text)
		if err == nil && caps.user != nil && (caps.user.UID < 0 || len(caps.user.Groups) != 1) {
			t.Errorf("%q gives the user %+v", text, caps.user)
		}
		_, _ = parseEmulator(text)
	})
}

package lint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"platter/internal/golden"
	"platter/libvirtxml"
	"platter/policy"
)

func parsedDefault(t testing.TB) *policy.Policy {
	t.Helper()
	p, err := policy.Builtin(policy.DefaultName)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// good is the policy of the tests that uses every key.
func good(t *testing.T) *policy.Policy {
	t.Helper()
	text, err := os.ReadFile("../policy/testdata/policies/good.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.Parse("good.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// linted are the findings about a file of the tests.
func linted(t testing.TB, policy *policy.Policy, file string) []Finding {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	found, err := Check(policy, Hypervisor{}, file, doc)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestFindingsAreThese(t *testing.T) {
	files, err := filepath.Glob("testdata/*.xml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var b strings.Builder
	for _, policy := range []*policy.Policy{parsedDefault(t), good(t)} {
		fmt.Fprintf(&b, "# %s\n", policy.Name)
		for _, file := range files {
			for _, f := range linted(t, policy, filepath.Base(file)) {
				fmt.Fprintf(&b, "%s:%d:%d: %s: %s [%s]\n", f.File, f.Line, f.Column, f.Level, f.Message, f.Rule)
			}
		}
	}
	golden.Equal(t, "testdata/findings.golden", b.String())
}

func TestEveryRuleFindsSomethingAndIsListed(t *testing.T) {
	found := append(linted(t, parsedDefault(t), "all.xml"), linted(t, parsedDefault(t), "xen.xml")...)
	found = append(found, linted(t, good(t), "all.xml")...)
	for _, rule := range Rules() {
		if !slices.ContainsFunc(found, func(f Finding) bool { return f.Rule == rule.ID }) {
			t.Errorf("nothing in the test files breaks %s", rule.ID)
		}
		if rule.Title == "" || rule.Help == "" || rule.Source == "" {
			t.Errorf("%s does not say what it is about", rule.ID)
		}
	}
	for _, f := range found {
		if !slices.ContainsFunc(Rules(), func(r Rule) bool { return r.ID == f.Rule }) {
			t.Errorf("the rule %s is not listed", f.Rule)
		}
	}
}

// errorsIn are the rules of the findings that are errors.
func errorsIn(t *testing.T, policy *policy.Policy, doc string) (rules []string) {
	t.Helper()
	found, err := Check(policy, Hypervisor{}, "d.xml", []byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		if f.Level == LevelError {
			rules = append(rules, f.Rule)
		}
	}
	return rules
}

func domainOf(name, metadata, disk string) string {
	return "<domain type='kvm'><name>" + name + "</name><metadata>" + metadata + "</metadata><devices>" + disk + "</devices></domain>"
}

func TestUnsafeIsAnErrorUnlessLabelPolicyAndReasonAreThere(t *testing.T) {
	const (
		disk  = "<disk><driver cache='unsafe'/><source file='/a'/><target dev='vdb'/></disk>"
		label = "<p:disks xmlns:p='urn:platter:disks'><p:disk target='vdb' label='ephemeral'/></p:disks>"
		other = "<p:disks xmlns:p='urn:platter:disks'><p:disk target='vda' label='ephemeral'/></p:disks>"
		alien = "<p:disks xmlns:p='urn:somebody'><p:disk target='vdb' label='ephemeral'/></p:disks>"
	)
	none := &policy.Policy{Name: "none"}
	unlabelled := &policy.Policy{Name: "unlabelled", Disks: []policy.DiskRule{{Cache: []string{"unsafe"}, Reason: "because"}}}
	noReason := &policy.Policy{Name: "no-reason", Disks: []policy.DiskRule{{Label: policy.Ephemeral, Cache: []string{"unsafe"}}}}
	for _, c := range []struct {
		policy   *policy.Policy
		metadata string
		ok       bool
	}{
		{parsedDefault(t), label, true}, {parsedDefault(t), "", false}, {parsedDefault(t), other, false}, {parsedDefault(t), alien, false},
		{none, label, false}, {unlabelled, label, false}, {noReason, label, false},
	} {
		if got := errorsIn(t, c.policy, domainOf("d", c.metadata, disk)); (len(got) == 0) != c.ok || len(got) > 1 {
			t.Errorf("policy %s, metadata %q: %v", c.policy.Name, c.metadata, got)
		}
	}
}

func TestTheFirstRuleThatMatchesADiskDecides(t *testing.T) {
	policy := &policy.Policy{Name: "p", Disks: []policy.DiskRule{
		{Domain: "db-*", Target: "vdb", Cache: []string{"directsync"}, Line: 3},
		{Domain: "db-*", Cache: []string{"none"}, Line: 4},
		{Serial: "LOG", Cache: []string{"writethrough"}, Line: 5},
	}}
	disk := func(target, cache, serial string) string {
		return "<disk><driver cache='" + cache + "'/><source file='/a'/><target dev='" + target + "'/><serial>" + serial + "</serial></disk>"
	}
	for _, c := range []struct {
		name, disk string
		ok         bool
	}{
		{"db-1", disk("vdb", "directsync", ""), true},
		{"db-1", disk("vdb", "none", ""), false},
		{"db-1", disk("vda", "none", "LOG"), true},
		{"db-1", disk("vda", "default", ""), false},
		{"web", disk("vda", "writeback", "LOG"), false},
		{"web", disk("vda", "writethrough", " LOG "), true},
		{"web", disk("vda", "writeback", "X"), true},
	} {
		if got := errorsIn(t, policy, domainOf(c.name, "", c.disk)); (len(got) == 0) != c.ok {
			t.Errorf("%s %s: %v", c.name, c.disk, got)
		}
	}
}

func TestWhiteSpaceAndOrderDoNotChangeTheFindings(t *testing.T) {
	a := domainOf("d", "", "<disk type='block'><driver cache='unsafe' type='raw'/><source dev='/a'/><target dev='vda' bus='virtio'/></disk>")
	b := domainOf("d", "",
		"<disk  type = \"block\" >\r\n<target bus='virtio' dev='vda'/><source dev='/a'/>\t<driver type='raw'\n cache='uns&#97;fe'/></disk>")
	say := func(doc string) (all []string) {
		found, err := Check(parsedDefault(t), Hypervisor{}, "d", []byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			all = append(all, f.Level+f.Rule+f.Message)
		}
		slices.Sort(all)
		return all
	}
	if !slices.Equal(say(a), say(b)) {
		t.Errorf("%q\n%q", say(a), say(b))
	}
}

func TestWhatIsNoDomainIsAnError(t *testing.T) {
	for _, doc := range []string{"", "<", "<network/>", "<domain>", "<domain/><domain/>"} {
		_, err := Check(parsedDefault(t), Hypervisor{}, "d", []byte(doc))
		var bad *libvirtxml.Error
		if !errors.As(err, &bad) {
			t.Errorf("%q: %v", doc, err)
		}
	}
}

// TestSARIFHasWhatItsSchemaAndCodeHostsDemand checks the required properties of SARIF 2.1.0 (section 3 of its text) and
// those without which a code host shows nothing.
func TestSARIFHasWhatItsSchemaAndCodeHostsDemand(t *testing.T) {
	found := linted(t, parsedDefault(t), "all.xml")
	found[0].File = "/srv/repo/with space/a.xml"
	found[1].File = "/elsewhere/b.xml"
	var b bytes.Buffer
	if err := WriteSARIF(&b, "v1", "/srv/repo", found, []Failure{{"bad.xml", "bad.xml:1:1: malformed"}}); err != nil {
		t.Fatal(err)
	}
	golden.Equal(t, "testdata/sarif.golden", b.String())
	var log sarifLog
	dec := json.NewDecoder(&b)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&log); err != nil {
		t.Fatal(err)
	}
	if log.Version != "2.1.0" || log.Schema == "" || len(log.Runs) != 1 {
		t.Fatalf("%+v", log)
	}
	run := log.Runs[0]
	driver := run.Tool.Driver
	if driver.Name == "" || len(driver.Rules) != len(Rules()) || run.ColumnKind != "unicodeCodePoints" {
		t.Errorf("%+v", driver)
	}
	for _, r := range driver.Rules {
		if r.ID == "" || r.Short.Text == "" || r.Full.Text == "" || r.Help.Text == "" ||
			!slices.Contains([]string{"error", "warning", "note"}, r.Configuration.Level) {
			t.Errorf("%+v", r)
		}
	}
	for _, r := range run.Results {
		at := r.Locations[0].Physical
		if r.Message.Text == "" || driver.Rules[r.RuleIndex].ID != r.RuleID || at.Artifact.URI == "" || at.Region.Line < 1 ||
			at.Region.Column < 1 {
			t.Errorf("%+v", r)
		}
	}
	if a := run.Results[0].Locations[0].Physical.Artifact; a.URI != "with%20space/a.xml" || a.Base != "%SRCROOT%" {
		t.Errorf("%+v", a)
	}
	if a := run.Results[1].Locations[0].Physical.Artifact; a.URI != "file:///elsewhere/b.xml" || a.Base != "" {
		t.Errorf("%+v", a)
	}
	if run.Invocations[0].Successful || len(run.Invocations[0].Notifications) != 1 {
		t.Errorf("%+v", run.Invocations)
	}
}

func TestSARIFWithoutFindingsHasAnEmptyListOfThem(t *testing.T) {
	var b bytes.Buffer
	if err := WriteSARIF(&b, "", "/", nil, nil); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), `"results": []`) || !strings.Contains(b.String(), `"executionSuccessful": true`) {
		t.Error(b.String())
	}
}

func FuzzLint(f *testing.F) {
	files, err := filepath.Glob("testdata/*.xml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		doc, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(doc)
	}
	for _, doc := range []string{
		"<domain type='kvm'><x:devices xmlns:x='u'><disk/></x:devices><devices xmlns:y='v'><y:disk/><disk><y:target/></disk></devices></domain>",
		"<!DOCTYPE d [<!ENTITY e 'vdb'>]><domain type='kvm'><name>&e;</name><devices><disk><target dev='&e;'/></disk></devices></domain>",
		"<?xml version='1.0' encoding='ISO-8859-1'?><domain type='kvm'><name>\xe9</name><devices><disk><source file='/\xe9'/><driver " +
			"cache='unsafe'/><target dev='vdb'/></disk></devices></domain>",
		"\ufeff<domain type='qemu'><devices><disk type='vhostuser'/><disk/><disk/></devices></domain>",
	} {
		f.Add([]byte(doc))
	}
	policy := parsedDefault(f)
	f.Fuzz(func(t *testing.T, doc []byte) {
		found, err := Check(policy, Hypervisor{}, "f", doc)
		_, accepted := libvirtxml.Disks("f", doc)
		if (err == nil) != (accepted == nil) {
			t.Fatalf("Lint says %v, libvirtxml %v", err, accepted)
		}
		lines := bytes.Count(doc, []byte("\n")) + 1
		for _, f := range found {
			if f.Line < 1 || f.Line > lines || f.Column < 1 || f.Column > len(doc)+1 {
				t.Fatalf("%+v", f)
			}
		}
	})
}

// Benchmark600Files is a pull request over 600 domains, each with the 25 disks of all.xml.
func Benchmark600Files(b *testing.B) {
	doc, err := os.ReadFile("testdata/all.xml")
	if err != nil {
		b.Fatal(err)
	}
	policy := parsedDefault(b)
	for b.Loop() {
		for range 600 {
			if _, err := Check(policy, Hypervisor{}, "all.xml", doc); err != nil {
				b.Fatal(err)
			}
		}
	}
}

package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"platter/internal/golden"
	"platter/strictyaml"
)

func parsedDefault(t testing.TB) *Policy {
	t.Helper()
	p, err := Builtin(DefaultName)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// parsed reads a policy file of the tests that must be good.
func parsed(t *testing.T, file string) *Policy {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata/policies", file))
	if err != nil {
		t.Fatal(err)
	}
	p, err := Parse(file, text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAPolicyIsReadAsItIsWritten(t *testing.T) {
	var b strings.Builder
	for _, p := range []*Policy{parsed(t, "good.yaml"), parsedDefault(t)} {
		text := *p
		text.Text = "" // the file itself
		out, err := json.MarshalIndent(text, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s\n", out)
	}
	golden.Equal(t, "testdata/policies/good.golden", b.String())
}

func TestAlphaIsFivePercentUnlessItIsSaid(t *testing.T) {
	p, err := Parse("p", []byte("name: a\n"))
	if err != nil || p.Performance.Alpha != 0.05 {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestBadPoliciesAreRefusedWithTheirPlace(t *testing.T) {
	files, err := filepath.Glob("testdata/policies/bad-*.yaml")
	if err != nil || len(files) < 30 {
		t.Fatal(files, err)
	}
	var b strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Parse(filepath.Base(file), text)
		var e *strictyaml.Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", file, err)
			continue
		}
		fmt.Fprintf(&b, "%v\n%s\n", e, e.Detail())
	}
	golden.Equal(t, "testdata/policies/bad.golden", b.String())
}

func TestAPolicyThatIsTooLargeIsRefusedAtOnce(t *testing.T) {
	for _, text := range []string{
		strings.Repeat("a", yamlKind.Bytes+1), strings.Repeat("- ", 30000), strings.Repeat("{a: ", 12000), strings.Repeat("a: b\n", 12000),
	} {
		if _, err := Parse("p", []byte(text)); err == nil {
			t.Errorf("%.20q… was read", text)
		}
	}
}

func TestAnUnknownBuiltInPolicyIsAnError(t *testing.T) {
	if _, err := Builtin("strict"); err == nil || !strings.Contains(err.Error(), "default") {
		t.Error(err)
	}
}

func TestThePolicySchemaIsThis(t *testing.T) {
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	golden.Equal(t, "testdata/schema.golden", string(text))
}

// TestThePolicySchemaHasTheKeysThatParsePolicyTakesAndNoOthers asks Parse for its keys with one that it does not know.
func TestThePolicySchemaHasTheKeysThatParsePolicyTakesAndNoOthers(t *testing.T) {
	item := func(s schema) schema { return s["items"].(schema) }
	top := policySchema()["properties"].(schema)
	performance := top["performance"].(schema)["properties"].(schema)
	for text, s := range map[string]schema{
		"zzzzzzzzz: 1\n":                          policySchema(),
		"name: a\nperformance: {zzzzzzzzz: 1}":    top["performance"].(schema),
		"name: a\nsafety: {zzzzzzzzz: 1}":         top["safety"].(schema),
		"name: a\nevidence: {zzzzzzzzz: 1}":       top["evidence"].(schema),
		"name: a\ndisks: [{zzzzzzzzz: 1}]":        item(top["disks"].(schema)),
		"name: a\nperformance: {rules: [{z: 1}]}": item(performance["rules"].(schema)),
	} {
		_, err := Parse("p", []byte(text))
		var e *strictyaml.Error
		if !errors.As(err, &e) || !strings.HasPrefix(e.Hint, "it has ") {
			t.Fatalf("%q: %v, %+v", text, err, e)
		}
		keys := strings.Split(strings.TrimPrefix(e.Hint, "it has "), ", ")
		slices.Sort(keys)
		if diff := cmp.Diff(keys, slices.Sorted(maps.Keys(s["properties"].(schema)))); diff != "" {
			t.Errorf("%q (-Parse +schema):\n%s", text, diff)
		}
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/policies/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add(defaultPolicy)
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := Parse("p", text)
		if err != nil {
			var e *strictyaml.Error
			if !errors.As(err, &e) || e.Line < 1 || e.Column < 1 || strings.Contains(e.Message, "\n") {
				t.Fatalf("%#v", err)
			}
			return
		}
		if p.Name == "" || !(p.Performance.Alpha > 0 && p.Performance.Alpha <= 0.5) {
			t.Fatalf("%+v", p)
		}
		for _, r := range p.Performance.Rules {
			if !(r.Regression >= 0 && r.Regression <= 10) || r.Line < 1 {
				t.Fatalf("%+v", r)
			}
		}
		for _, d := range p.Disks {
			if len(d.Cache) == 0 || slices.Contains(d.Cache, "unsafe") && d.UnsafeRefused() != "" {
				t.Fatalf("%+v", d)
			}
		}
	})
}

func TestThePolicyOfTheDocumentationIsRead(t *testing.T) {
	text, err := os.ReadFile("../docs/lint.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```yaml\n")
	policy, _, found := strings.Cut(rest, "```")
	if _, err := Parse("docs/lint.md", []byte(policy)); err != nil || !found {
		t.Error(err)
	}
}

package matrices

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"platter/cell"
	"platter/internal/golden"
	"platter/strictyaml"
)

// readSchema gives the schema as an editor reads it.
func readSchema(t *testing.T) map[string]any {
	t.Helper()
	text, err := BuiltInFio(noGuest).Schema()
	if err != nil {
		t.Fatal(err)
	}
	var s map[string]any
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// inside follows a path of keys.
func inside(t *testing.T, s map[string]any, keys ...string) map[string]any {
	t.Helper()
	for _, key := range keys {
		next, ok := s[key].(map[string]any)
		if !ok {
			t.Fatalf("the schema has no %q in %v", key, keys)
		}
		s = next
	}
	return s
}

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

func TestTheSchemaIsThis(t *testing.T) {
	text, err := BuiltInFio(noGuest).Schema()
	if err != nil {
		t.Fatal(err)
	}
	golden.Equal(t, "testdata/schema.golden", string(text))
}

// hintOfUnknownKey is the list of keys with which Parse answers one that it does not know.
func hintOfUnknownKey(t *testing.T, text string) []string {
	t.Helper()
	_, err := Parse("unknown.yaml", []byte(text))
	var e *strictyaml.Error
	if !errors.As(err, &e) || !strings.HasPrefix(e.Hint, "it has ") {
		t.Fatalf("%v, hint %q", err, e.Hint)
	}
	keys := strings.Split(strings.TrimPrefix(e.Hint, "it has "), ", ")
	slices.Sort(keys)
	return keys
}

func TestTheSchemaHasTheKeysThatParseTakesAndNoOthers(t *testing.T) {
	s := readSchema(t)
	for _, c := range []struct {
		text string
		path []string
	}{
		{"zzzzzzzz: 1\n", []string{"properties"}},
		{with("{disk.cache: [none]}", "{rw: write, runtime: 1}") + "storage: {zzzzzzzzzzzzzz: 1}\n",
			[]string{"properties", "storage", "properties"}},
		{with("{disk.cache: [none]}", "{rw: write, runtime: 1}") + "guest: {zzzzzzzzzzzzzz: 1}\n", []string{"properties", "guest", "properties"}},
		{with("{disk.cache: [none]}", "{rw: write, runtime: 1}") + "device: {zzzzzzzzzzzzzz: 1}\n",
			[]string{"properties", "device", "properties"}},
		{with("{disk.cache: [none]}", "{rw: write, runtime: 1}") + "safety: {zzzzzzzzzzzzzz: 1}\n",
			[]string{"properties", "safety", "properties"}},
	} {
		if diff := cmp.Diff(hintOfUnknownKey(t, c.text), sortedKeys(inside(t, s, c.path...))); diff != "" {
			t.Errorf("%v (-Parse +schema):\n%s", c.path, diff)
		}
	}
}

func TestTheSchemaHasTheSettingsThatParseTakesAndNoOthers(t *testing.T) {
	v := newVocabulary(BuiltInFio(noGuest))
	names := []string{"disk.name", "disk.type", "storage.size", "storage.type", "fio.include", "fio.blocksize", "host.scheduler", "guest.fs"}
	var options, want []string
	for _, n := range v.namespaces {
		names = append(names, n.settings()...)
	}
	for _, full := range names {
		if v.checkName(full) == nil {
			want = append(want, full)
			if name, is := strings.CutPrefix(full, "fio."); is {
				options = append(options, name)
			}
		}
	}
	slices.Sort(want)
	slices.Sort(options)
	s := readSchema(t)
	variants := inside(t, s, "properties", "axes", "patternProperties")
	for _, c := range []struct {
		what      string
		got, want []string
	}{
		{"axes", sortedKeys(inside(t, s, "properties", "axes", "properties")), want},
		{"definitions", sortedKeys(inside(t, s, "$defs")), want},
		{"variants", sortedKeys(inside(t, variants, sortedKeys(variants)[0], "additionalProperties", "properties")), want},
		{"fio", sortedKeys(inside(t, s, "properties", "fio", "properties")), options},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%s (-Parse +schema):\n%s", c.what, diff)
		}
	}
}

func TestEveryWordOfTheSchemaIsAValueAndEveryWordOfAnAttributeIsInTheSchema(t *testing.T) {
	v := newVocabulary(BuiltInFio(noGuest))
	defs := inside(t, readSchema(t), "$defs")
	for full := range defs {
		for _, word := range wordsOf(defs[full].(map[string]any)) {
			if n, ok := word.(float64); ok {
				word = int64(n)
			}
			if p := v.checkValue(full, cell.Value{V: word}); p != nil {
				t.Errorf("the schema gives %s the value %v: %s", full, word, p.message)
			}
		}
	}
	for _, a := range attributes() {
		if words := wordsOf(inside(t, defs, "disk."+a.name)); len(words) != len(a.values) {
			t.Errorf("disk.%s has the values %v, and the schema %v", a.name, a.values, words)
		}
	}
}

// wordsOf are the words that the schema of a setting lists.
func wordsOf(s map[string]any) []any {
	if words, ok := s["enum"].([]any); ok {
		return words
	}
	alternatives, _ := s["anyOf"].([]any)
	for _, a := range alternatives {
		if words, ok := a.(map[string]any)["enum"].([]any); ok {
			return words
		}
	}
	return nil
}

// TestThePatternsOfTheSchemaTakeTheValuesOfTheFilesThatParseTakes asks the schema for each value of the built-in
// matrices, the workloads and the good test matrices.
func TestThePatternsOfTheSchemaTakeTheValuesOfTheFilesThatParseTakes(t *testing.T) {
	defs := inside(t, readSchema(t), "$defs")
	for _, m := range goodMatrices(t) {
		settings := slices.Clone(m.Fio)
		for i := range settings {
			settings[i].Name = "fio." + settings[i].Name
		}
		for _, a := range m.Axes {
			for _, v := range a.Values {
				settings = append(settings, a.settings(v)...)
			}
		}
		for _, s := range settings {
			if why := refusedBySchema(inside(t, defs, s.Name), s.Value); why != "" {
				t.Errorf("%s: the schema refuses %s=%s: %s", m.Name, s.Name, s.Value, why)
			}
		}
	}
}

// refusedBySchema knows the few words of JSON schema that a setting is described with.
func refusedBySchema(s map[string]any, v cell.Value) string {
	if alternatives, ok := s["anyOf"].([]any); ok {
		for _, a := range alternatives {
			if refusedBySchema(a.(map[string]any), v) == "" {
				return ""
			}
		}
		return "no alternative takes it"
	}
	text, isText := v.V.(string)
	words, listed := s["enum"].([]any)
	pattern, _ := s["pattern"].(string)
	low, bounded := s["minimum"].(float64)
	n, isNumber := v.V.(int64)
	switch {
	case listed && !slices.ContainsFunc(words, func(w any) bool { return fmt.Sprint(w) == v.String() && (isText == isString(w)) }):
		return fmt.Sprintf("its values are %v", words)
	case isText && !regexp.MustCompile(pattern).MatchString(text):
		return "it does not match " + pattern
	case isNumber && bounded && float64(n) < low:
		return fmt.Sprintf("it is less than %v", low)
	}
	return ""
}

func isString(v any) bool { _, is := v.(string); return is }

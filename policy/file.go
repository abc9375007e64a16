package policy

import (
	"slices"
	"strconv"
	"strings"

	"platter/strictyaml"

	"github.com/goccy/go-yaml/ast"
)

// yamlKind is the kind of file that a policy is.
var yamlKind = strictyaml.Kind{Name: "policy", Least: "a policy has at least a name", Bytes: 64 << 10, Tokens: 10000, Depth: 12}

// maxPolicyText is how many bytes one text may have.
const maxPolicyText = 300

// policyFile is a policy file as its errors quote it.
type policyFile struct{ *strictyaml.File }

// reading reads one value; what is the name for messages: "performance.alpha".
type reading func(what string, n ast.Node) error

// field is a key of a mapping with what reads its value.
type field struct {
	key      string
	read     reading
	required bool
}

// at is an error about a node.
func (f policyFile) at(n ast.Node, hint, format string, args ...any) error {
	return f.At(strictyaml.PositionOf(n), hint, format, args...)
}

// kindOf is what a node is called in messages.
func kindOf(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	}
	return "a single value"
}

// mapping reads the values of a mapping in the order of fields, so that one may build on another.
func (f policyFile) mapping(what string, n ast.Node, fields []field) error {
	var known []string
	for _, field := range fields {
		known = append(known, field.key)
	}
	values := map[string]ast.Node{}
	err := f.entries(what, n, func(key, value ast.Node) error {
		name := key.GetToken().Value
		if !slices.Contains(known, name) {
			return f.at(key, strictyaml.DidYouMean(name, known, "it has "+strings.Join(known, ", ")), "%s has no %q", what, shortened(name))
		}
		values[name] = value
		return nil
	})
	if err != nil {
		return err
	}
	for _, field := range fields {
		value, given := values[field.key]
		switch {
		case given:
			if err := field.read(qualified(what, field.key), value); err != nil {
				return err
			}
		case field.required:
			return f.at(n, "", "%s has no %s", what, field.key)
		}
	}
	return nil
}

// qualified names a key below a section: "evidence.trials".
func qualified(what, key string) string {
	if strings.Contains(what, " ") { // "the policy", "a rule"
		return key
	}
	return what + "." + key
}

// entries reads the keys and values of a mapping in the order of the file.
func (f policyFile) entries(what string, n ast.Node, read func(key, value ast.Node) error) error {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		return f.at(n, "write key: value", "%s is %s and should be a mapping", what, kindOf(n))
	}
	for _, v := range m.Values {
		if _, ok := v.Key.(*ast.StringNode); !ok {
			return f.at(v.Key, "", "%q is not a name that a policy has", shortened(v.Key.GetToken().Value))
		}
		if _, null := v.Value.(*ast.NullNode); null {
			return f.at(v.Key, "give it one, or remove the line", "%q has no value", shortened(v.Key.GetToken().Value))
		}
		if err := read(v.Key, v.Value); err != nil {
			return err
		}
	}
	return nil
}

// list reads the items of a list.
func (f policyFile) list(what string, n ast.Node, read reading) error {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		return f.at(n, "write [a, b], or each on a line after a dash", "%s is %s and should be a list", what, kindOf(n))
	}
	if len(s.Values) == 0 || len(s.Values) > maxRules {
		return f.at(n, "", "%s has %d entries; it should have 1 to %d", what, len(s.Values), maxRules)
	}
	for _, item := range s.Values {
		if err := read("an entry of "+what, item); err != nil {
			return err
		}
	}
	return nil
}

// scalarText is a single value as it stands in the file, without quotes.
func scalarText(n ast.Node) (text string, ok bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.BoolNode, *ast.IntegerNode, *ast.FloatNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// text reads one line of text.
func (f policyFile) text(into *string) reading {
	return func(what string, n ast.Node) error {
		text, ok := scalarText(n)
		if !ok || strings.TrimSpace(text) == "" || len(text) > maxPolicyText || strings.ContainsAny(text, "\n\t") {
			return f.at(n, "", "%s should be one line of text, at most %d bytes", what, maxPolicyText)
		}
		*into = strings.TrimSpace(text)
		return nil
	}
}

// oneOf reads one of some words.
func (f policyFile) oneOf(into *string, words []string) reading {
	return func(what string, n ast.Node) error {
		text, ok := scalarText(n)
		if !ok || !slices.Contains(words, text) {
			return f.at(n, strictyaml.DidYouMean(text, words, "one of "+strings.Join(words, ", ")), "%s cannot be %q", what, shortened(text))
		}
		*into = text
		return nil
	}
}

// words reads a list of different words out of some.
func (f policyFile) words(into *[]string, known []string) reading {
	return func(what string, n ast.Node) error {
		return f.list(what, n, func(_ string, n ast.Node) error {
			word := ""
			if err := f.oneOf(&word, known)(what, n); err != nil {
				return err
			}
			if slices.Contains(*into, word) {
				return f.at(n, "remove it", "%s has %s twice", what, word)
			}
			*into = append(*into, word)
			return nil
		})
	}
}

// whole reads a whole number.
func (f policyFile) whole(into *int64, low, high int64) reading {
	return func(what string, n ast.Node) error {
		text, _ := scalarText(n)
		v, err := strconv.ParseInt(text, 10, 64)
		if _, isNumber := n.(*ast.IntegerNode); !isNumber || err != nil || v < low || v > high || text != strconv.FormatInt(v, 10) {
			return f.at(n, "", "%s should be a whole number from %d to %d", what, low, high)
		}
		*into = v
		return nil
	}
}

// shortened is a word of the file as a message quotes it.
func shortened(word string) string {
	if runes := []rune(word); len(runes) > 64 {
		return string(runes[:64]) + "…"
	}
	return word
}

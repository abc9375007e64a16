package policy

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
	"github.com/xrash/smetrics"

	"platter/matrices"
)

// Limits of a policy file. The YAML parser's time grows with the square of the number of keys and faster with the depth of
// brackets, so they are checked before it starts.
const (
	maxPolicyBytes  = 64 << 10
	maxPolicyTokens = 10000
	maxPolicyDepth  = 12
	maxPolicyText   = 300 // bytes of one text
)

// policyFile is a policy file as its errors quote it.
type policyFile struct {
	file  string
	lines []string
}

// reading reads one value; what is the name for messages: "performance.alpha".
type reading func(what string, n ast.Node) error

// field is a key of a mapping with what reads its value.
type field struct {
	key      string
	read     reading
	required bool
}

// readPolicyFile parses the one document of a policy file.
func readPolicyFile(file string, text []byte) (policyFile, ast.Node, error) {
	f := policyFile{file: file}
	if len(text) > maxPolicyBytes {
		return f, nil, f.problem(1, 1, "", "the file has %d bytes; a policy has at most %d", len(text), maxPolicyBytes)
	}
	plain := strings.ReplaceAll(strings.TrimPrefix(string(text), "\ufeff"), "\r\n", "\n")
	f.lines = strings.Split(plain, "\n")
	if err := f.checkText(); err != nil {
		return f, nil, err
	}
	if err := f.checkTokens(lexer.Tokenize(plain)); err != nil {
		return f, nil, err
	}
	parsed, err := parser.ParseBytes([]byte(plain), 0)
	if err != nil {
		return f, nil, f.syntaxError(err)
	}
	var root ast.Node
	for _, doc := range parsed.Docs {
		switch {
		case doc.Body == nil:
		case root != nil:
			return f, nil, f.at(doc.Body, "split the file", "a policy file is one document, and here begins a second one")
		default:
			root = doc.Body
		}
	}
	if root == nil {
		return f, nil, f.problem(1, 1, "a policy has at least a name", "the file has no policy in it")
	}
	return f, root, nil
}

// checkText wants printable UTF-8.
func (f policyFile) checkText() error {
	for i, line := range f.lines {
		if !utf8.ValidString(line) {
			return f.problem(i+1, 1, "", "the line is not UTF-8")
		}
		column := 0
		for _, r := range line {
			column++
			if !unicode.IsPrint(r) && r != '\t' {
				return f.problem(i+1, column, "remove it", "the character %U does not print", r)
			}
		}
	}
	return nil
}

// checkTokens refuses what would take the parser long, and what a policy has no use for.
func (f policyFile) checkTokens(tokens token.Tokens) error {
	depth := 0
	for i, tk := range tokens {
		switch tk.Type {
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth--
		case token.SequenceEntryType:
			if i > 0 && tokens[i-1].Type == token.SequenceEntryType && tokens[i-1].Position.Line == tk.Position.Line {
				depth++ // a list in a list, opened on one line
			}
		case token.AnchorType, token.AliasType, token.MergeKeyType, token.TagType, token.DirectiveType, token.MappingKeyType:
			return f.problem(tk.Position.Line, tk.Position.Column, "write the values out where they are used",
				"anchors, aliases, tags and directives are not read here")
		}
		if depth > maxPolicyDepth || i >= maxPolicyTokens {
			return f.problem(tk.Position.Line, tk.Position.Column, "", "the policy is too long, or nested too deeply")
		}
	}
	return nil
}

// syntaxError gives an error of the YAML parser a place in our form.
func (f policyFile) syntaxError(err error) error {
	message, line, column := err.Error(), 1, 1
	var syntax *yaml.SyntaxError
	if errors.As(err, &syntax) {
		message = syntax.Message
		if syntax.Token != nil && syntax.Token.Position != nil {
			line, column = syntax.Token.Position.Line, syntax.Token.Position.Column
		}
	}
	message, _, _ = strings.Cut(message, "\n")
	return f.problem(line, column, "", "the YAML cannot be read: %s", strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, message))
}

// positionOf is where a node begins. The parser's own position of a mapping is that of its first colon.
func positionOf(n ast.Node) token.Position {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return positionOf(m.Values[0].Key)
	}
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return token.Position{Line: 1, Column: 1}
	}
	return *n.GetToken().Position
}

// at is an error about a node.
func (f policyFile) at(n ast.Node, hint, format string, args ...any) error {
	pos := positionOf(n)
	return f.problem(pos.Line, pos.Column, hint, format, args...)
}

// problem is an error at a place; hint, which may be empty, says what to do.
func (f policyFile) problem(line, column int, hint, format string, args ...any) error {
	line, column = max(1, line), max(1, column)
	return &matrices.Error{File: f.file, Line: line, Column: column, Excerpt: f.excerpt(line, column), Message: fmt.Sprintf(format, args...),
		Hint: hint}
}

// excerpt quotes a line with a caret below the column; lines too long for a terminal are not quoted.
func (f policyFile) excerpt(line, column int) string {
	if line > len(f.lines) || f.lines[line-1] == "" || len(f.lines[line-1]) > maxPolicyText {
		return ""
	}
	text := []rune(f.lines[line-1])
	indent := strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, string(text[:min(column-1, len(text))]))
	return fmt.Sprintf("%5d | %s\n      | %s^", line, string(text), indent)
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
			return f.at(key, didYouMean(name, known, "it has "), "%s has no %q", what, shortened(name))
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
			return f.at(n, didYouMean(text, words, "one of "), "%s cannot be %q", what, shortened(text))
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

// didYouMean asks for the nearest of the known words, or lists them where none is near.
func didYouMean(word string, known []string, list string) string {
	best, fewest := "", min(max(2, len(word)/3)+1, len(word))
	if len(word) <= 64 {
		for _, k := range known {
			if edits := smetrics.WagnerFischer(word, k, 1, 1, 1); edits < fewest {
				best, fewest = k, edits
			}
		}
	}
	if best == "" {
		return list + strings.Join(known, ", ")
	}
	return fmt.Sprintf("did you mean %q?", best)
}

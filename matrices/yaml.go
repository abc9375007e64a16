package matrices

import (
	"bytes"
	"errors"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"platter/cell"
)

// Limits of a matrix file. The YAML parser's time grows with the square of the number of keys and faster with the
// depth of brackets, so both are counted before it starts.
const (
	maxFileBytes = 1 << 20
	maxTokens    = 20000
	maxDepth     = 16
)

// node is one YAML value with its place: a scalar, a list or a mapping.
type node struct {
	pos     position
	kind    kind
	value   cell.Value // of a scalar
	text    string     // of a scalar: as it stands in the file, without quotes
	items   []*node    // of a list
	entries []*entry   // of a mapping, in the order of the file
}

// entry is a key of a mapping with its value.
type entry struct {
	key string
	pos position
	*node
}

type kind int

const (
	scalar kind = iota
	null
	list
	mapping
)

// String is what the kind is called in messages.
func (k kind) String() string {
	return [...]string{"a single value", "nothing", "a list", "a mapping"}[k]
}

// readYAML reads the one document of a matrix file into nodes. What this tool does not need is refused with its
// place: anchors, aliases, tags, merge keys, directives, several documents, keys that are not plain text.
func readYAML(file string, text []byte) (source, *node, error) {
	src, plain, err := plainText(file, text)
	if err != nil {
		return src, nil, err
	}
	if err := checkTokens(src, lexer.Tokenize(plain)); err != nil {
		return src, nil, err
	}
	parsed, err := parser.ParseBytes([]byte(plain), 0)
	if err != nil {
		return src, nil, syntaxError(src, err)
	}
	for _, doc := range parsed.Docs {
		if doc.Body != nil {
			root, err := treeOf(src, doc.Body)
			return src, root, err
		}
	}
	return src, nil, src.at(position{1, 1}, problemf("the file has no matrix in it").
		withHint("%s", atLeast))
}

// plainText checks size and characters, drops a byte order mark and turns CRLF into LF.
func plainText(file string, text []byte) (source, string, error) {
	src := source{file: file}
	if len(text) > maxFileBytes {
		return src, "", src.at(position{1, 1}, problemf("the file has %d bytes; a matrix has at most %d", len(text), maxFileBytes))
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	plain := strings.ReplaceAll(string(text), "\r\n", "\n")
	line, column := 1, 1
	for i, r := range plain {
		if r == utf8.RuneError && !strings.HasPrefix(plain[i:], "\uFFFD") {
			return src, "", src.at(position{line, column}, problemf("the file is not UTF-8"))
		}
		if !unicode.IsPrint(r) && r != '\n' && r != '\t' {
			return src, "", src.at(position{line, column}, problemf("the character %U does not print", r).withHint("remove it"))
		}
		column++
		if r == '\n' {
			line, column = line+1, 1
		}
	}
	return newSource(file, plain), plain, nil
}

// checkTokens refuses YAML that a matrix does not need, before the parser spends time on it.
func checkTokens(src source, tokens token.Tokens) error {
	depth, content := 0, false
	for i, tk := range tokens {
		pos := positionOf(tk)
		if i >= maxTokens {
			return src.at(pos, problemf("the matrix is too long: more than %d words and marks", maxTokens))
		}
		if p := refusedToken(tk, content); p != nil {
			return src.at(pos, p)
		}
		depth = max(0, depth+nesting(tk, tokens[max(0, i-1)]))
		if depth > maxDepth {
			return src.at(pos, problemf("brackets and dashes are nested more than %d deep", maxDepth))
		}
		content = content || tk.Type != token.CommentType
	}
	return nil
}

// nesting is by how much a token changes the depth. A dash on the line of the dash before it opens a list in a list.
func nesting(tk, before *token.Token) int {
	switch tk.Type {
	case token.SequenceStartType, token.MappingStartType:
		return 1
	case token.SequenceEndType, token.MappingEndType:
		return -1
	case token.SequenceEntryType:
		if before != tk && before.Type == token.SequenceEntryType && before.Position.Line == tk.Position.Line {
			return 1
		}
	}
	return 0
}

// refusedToken names YAML's abilities that a matrix does not have. afterContent says that something other than a
// comment came before.
func refusedToken(tk *token.Token, afterContent bool) *problem {
	const spell = "write the values out where they are used"
	switch tk.Type {
	case token.AnchorType:
		return problemf("anchors (&name) are not read here").withHint(spell)
	case token.AliasType:
		return problemf("aliases (*name) are not read here").withHint(spell)
	case token.MergeKeyType:
		return problemf("merge keys (<<) are not read here").withHint(spell)
	case token.TagType:
		return problemf("tags (%s) are not read here", tk.Value).withHint("quote the value if it is to be text")
	case token.DirectiveType:
		return problemf("YAML directives (%%) are not read here").withHint("remove the line")
	case token.MappingKeyType:
		return problemf("keys marked with ? are not read here").withHint("write key: value")
	case token.DocumentEndType:
		return problemf("a matrix file is one document, without \"...\"").withHint("remove the mark, or split the file")
	case token.DocumentHeaderType:
		if afterContent {
			return problemf("a matrix file is one document, and here begins a second one").withHint("split the file")
		}
	}
	return nil
}

func positionOf(tk *token.Token) position {
	if tk == nil || tk.Position == nil {
		return position{1, 1}
	}
	return position{max(1, tk.Position.Line), max(1, tk.Position.Column)}
}

// syntaxError gives an error of the YAML parser a place in our form.
func syntaxError(src source, err error) error {
	var syntax *yaml.SyntaxError
	if !errors.As(err, &syntax) {
		return src.at(position{1, 1}, problemf("the YAML cannot be read: %s", oneLine(err.Error())))
	}
	return src.at(positionOf(syntax.Token), problemf("the YAML cannot be read: %s", oneLine(syntax.Message)))
}

// oneLine is the first line of a text; characters that do not print are written as Go escapes them.
func oneLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	var b strings.Builder
	for _, r := range line {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}

// treeOf turns the parser's tree into nodes.
func treeOf(src source, n ast.Node) (*node, error) {
	pos := positionOf(n.GetToken())
	switch n := n.(type) {
	case *ast.MappingNode:
		return mappingOf(src, pos, n)
	case *ast.SequenceNode:
		return listOf(src, pos, n.Values)
	case *ast.NullNode:
		return &node{pos: pos, kind: null}, nil
	}
	v, text, p := scalarOf(n)
	if p != nil {
		return nil, src.at(pos, p)
	}
	return &node{pos: pos, value: v, text: text}, nil
}

func mappingOf(src source, pos position, n *ast.MappingNode) (*node, error) {
	m := &node{pos: pos, kind: mapping}
	for _, v := range n.Values {
		keyPos := positionOf(v.Key.GetToken())
		key, ok := v.Key.(*ast.StringNode)
		if !ok {
			return nil, src.at(keyPos, problemf("%q is not a name that a matrix has", v.Key.GetToken().Value))
		}
		child, err := treeOf(src, v.Value)
		if err != nil {
			return nil, err
		}
		m.entries = append(m.entries, &entry{key: key.Value, pos: keyPos, node: child})
	}
	if !n.IsFlowStyle && len(m.entries) > 0 {
		m.pos = m.entries[0].pos // the parser's own is that of the first colon
	}
	return m, nil
}

func listOf(src source, pos position, values []ast.Node) (*node, error) {
	l := &node{pos: pos, kind: list}
	for _, v := range values {
		item, err := treeOf(src, v)
		if err != nil {
			return nil, err
		}
		l.items = append(l.items, item)
	}
	return l, nil
}

// plainNumber is a number that YAML 1.1, YAML 1.2 and a person read alike.
var plainNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?$`)

// scalarOf gives a scalar its Go type, and its text. Numbers that look like something else (010, 0x10, 1_000) are refused.
func scalarOf(n ast.Node) (cell.Value, string, *problem) {
	text := n.GetToken().Value
	switch n := n.(type) {
	case *ast.StringNode:
		return cell.Value{V: n.Value}, n.Value, nil
	case *ast.LiteralNode:
		return cell.Value{V: n.Value.Value}, n.Value.Value, nil
	case *ast.BoolNode:
		return cell.Value{V: n.Value}, text, nil
	case *ast.IntegerNode, *ast.FloatNode:
		if !plainNumber.MatchString(text) {
			return cell.Value{}, "", problemf("%s is not a plain decimal number",
				text).withHint("write it in decimal, or in quotes if it is to be text")
		}
		return number(text), text, nil
	}
	return cell.Value{}, "", problemf("%s is not a value that a matrix can have", text)
}

// number reads a plain number: int64 if it fits, then uint64, then float64; what fits nothing stays text.
func number(text string) cell.Value {
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		return cell.Value{V: i}
	}
	if u, err := strconv.ParseUint(text, 10, 64); err == nil {
		return cell.Value{V: u}
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && !math.IsInf(f, 0) {
		return cell.Value{V: f}
	}
	return cell.Value{V: text}
}

// printable reports whether a text can stand on one line of a report or terminal.
func printable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

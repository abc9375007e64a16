package matrices

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml/ast"

	"platter/cell"
	"platter/strictyaml"
)

// yamlKind is the kind of file that a matrix, or a workload, is.
var yamlKind = strictyaml.Kind{Name: "matrix", Least: atLeast, Bytes: 1 << 20, Tokens: 20000, Depth: 16}

// node is one YAML value with its place: a scalar, a list or a mapping.
type node struct {
	pos     strictyaml.Position
	kind    kind
	value   cell.Value // of a scalar
	text    string     // of a scalar: as it stands in the file, without quotes
	items   []*node    // of a list
	entries []*entry   // of a mapping, in the order of the file
}

// entry is a key of a mapping with its value.
type entry struct {
	key string
	pos strictyaml.Position
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

// readYAML reads the one document of a matrix file into nodes.
func readYAML(file string, text []byte) (source, *node, error) {
	f, root, err := yamlKind.Read(file, text)
	src := source{f}
	if err != nil {
		return src, nil, err
	}
	n, err := treeOf(src, root)
	return src, n, err
}

// treeOf turns the parser's tree into nodes.
func treeOf(src source, n ast.Node) (*node, error) {
	pos := strictyaml.PositionOf(n)
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

func mappingOf(src source, pos strictyaml.Position, n *ast.MappingNode) (*node, error) {
	m := &node{pos: pos, kind: mapping}
	for _, v := range n.Values {
		keyPos := strictyaml.PositionOf(v.Key)
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
	return m, nil
}

func listOf(src source, pos strictyaml.Position, values []ast.Node) (*node, error) {
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

// Package strictyaml reads the YAML files that people write for platter: matrices, workloads, policies and claims. It takes the YAML
// that such a file needs and refuses the rest with its place: anchors, aliases, tags, merge keys, directives, several documents, text
// that does not print. What a file means is its reader's: Read gives the parser's tree, and a File makes errors with excerpts.
package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
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
)

// Kind is a kind of file. The parser's time grows with the square of the number of keys and faster with the depth of brackets, so both
// are counted before it starts.
type Kind struct {
	Name   string // what such a file is called in messages: "matrix"
	Least  string // the hint for a file without content: "a policy has at least a name"
	Bytes  int    // the most that a file may have
	Tokens int    // words and marks, the same
	Depth  int    // of brackets and dashes, the same
}

// Read returns the one document of a file and what makes errors about it. Text is UTF-8, with or without a byte order mark and with
// either end of line. Every error is an *Error and says where; file is the name in it.
func (k Kind) Read(file string, text []byte) (*File, ast.Node, error) {
	f := &File{name: file}
	if len(text) > k.Bytes {
		return f, nil, f.At(Position{1, 1}, "", "the file has %d bytes; a %s has at most %d", len(text), k.Name, k.Bytes)
	}
	plain := strings.ReplaceAll(string(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))), "\r\n", "\n")
	if err := f.checkText(plain); err != nil {
		return f, nil, err
	}
	f.lines = strings.Split(plain, "\n")
	if err := k.checkTokens(f, lexer.Tokenize(plain)); err != nil {
		return f, nil, err
	}
	parsed, err := parser.ParseBytes([]byte(plain), 0)
	if err != nil {
		return f, nil, f.syntaxError(err)
	}
	for _, doc := range parsed.Docs {
		if doc.Body != nil {
			return f, doc.Body, nil
		}
	}
	return f, nil, f.At(Position{1, 1}, k.Least, "the file has no %s in it", k.Name)
}

// checkText wants UTF-8 that prints.
func (f *File) checkText(plain string) error {
	at := Position{1, 1}
	for i, r := range plain {
		if r == utf8.RuneError && !strings.HasPrefix(plain[i:], "\uFFFD") {
			return f.At(at, "", "the file is not UTF-8")
		}
		if !unicode.IsPrint(r) && r != '\n' && r != '\t' {
			return f.At(at, "remove it", "the character %U does not print", r)
		}
		at.Column++
		if r == '\n' {
			at = Position{at.Line + 1, 1}
		}
	}
	return nil
}

// checkTokens refuses YAML that no such file needs, before the parser spends time on it.
func (k Kind) checkTokens(f *File, tokens token.Tokens) error {
	depth, content := 0, false
	for i, tk := range tokens {
		pos := positionOf(tk)
		if i >= k.Tokens {
			return f.At(pos, "", "the %s is too long: more than %d words and marks", k.Name, k.Tokens)
		}
		if message, hint := k.refused(tk, content); message != "" {
			return f.At(pos, hint, "%s", message)
		}
		switch tk.Type {
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth = max(0, depth-1)
		case token.SequenceEntryType: // a dash on the line of the dash before it opens a list in a list
			if i > 0 && tokens[i-1].Type == token.SequenceEntryType && tokens[i-1].Position.Line == tk.Position.Line {
				depth++
			}
		}
		if depth > k.Depth {
			return f.At(pos, "", "brackets and dashes are nested more than %d deep", k.Depth)
		}
		content = content || tk.Type != token.CommentType
	}
	return nil
}

// refused names an ability of YAML's that these files do not have; content reports whether more than a comment came before.
func (k Kind) refused(tk *token.Token, content bool) (message, hint string) {
	const spell = "write the values out where they are used"
	switch tk.Type {
	case token.AnchorType:
		return "anchors (&name) are not read here", spell
	case token.AliasType:
		return "aliases (*name) are not read here", spell
	case token.MergeKeyType:
		return "merge keys (<<) are not read here", spell
	case token.TagType:
		return fmt.Sprintf("tags (%s) are not read here", tk.Value), "quote the value if it is to be text"
	case token.DirectiveType:
		return "YAML directives (%) are not read here", "remove the line"
	case token.MappingKeyType:
		return "keys marked with ? are not read here", "write key: value"
	case token.DocumentEndType:
		return fmt.Sprintf("a %s file is one document, without \"...\"", k.Name), "remove the mark, or split the file"
	case token.DocumentHeaderType:
		if content {
			return fmt.Sprintf("a %s file is one document, and here begins a second one", k.Name), "split the file"
		}
	}
	return "", ""
}

// syntaxError gives an error of the YAML parser a place in our form.
func (f *File) syntaxError(err error) error {
	var syntax *yaml.SyntaxError
	if !errors.As(err, &syntax) {
		return f.At(Position{1, 1}, "", "the YAML cannot be read: %s", oneLine(err.Error()))
	}
	return f.At(positionOf(syntax.Token), "", "the YAML cannot be read: %s", oneLine(syntax.Message))
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

// Position is a place in a file: line and column from 1, the column in characters.
type Position struct{ Line, Column int }

// PositionOf returns where a node begins. The parser's own position of a mapping is that of its first colon.
func PositionOf(n ast.Node) Position {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return PositionOf(m.Values[0].Key)
	}
	if n == nil {
		return Position{1, 1}
	}
	return positionOf(n.GetToken())
}

func positionOf(tk *token.Token) Position {
	if tk == nil || tk.Position == nil {
		return Position{1, 1}
	}
	return Position{max(1, tk.Position.Line), max(1, tk.Position.Column)}
}

// DidYouMean returns a hint that asks for the nearest of the known words, or the other advice where none is near: the fewest edits, if
// they are at most two or a third of the word, and not all of it.
func DidYouMean(word string, known []string, otherwise string) string {
	if near, ok := Nearest(word, known); ok {
		return `did you mean "` + near + `"?`
	}
	return otherwise
}

// Nearest returns the known word that DidYouMean asks for; ok is false where none is near.
func Nearest(word string, known []string) (near string, ok bool) {
	if len(word) > 64 {
		return "", false
	}
	fewest := min(max(2, len(word)/3)+1, len(word))
	for _, k := range known {
		if edits := smetrics.WagnerFischer(word, k, 1, 1, 1); edits < fewest {
			near, fewest = k, edits
		}
	}
	return near, near != ""
}

package strictyaml

import (
	"errors"
	"strings"
	"testing"

	"github.com/goccy/go-yaml/ast"
)

var kind = Kind{Name: "list", Least: "write a: b", Bytes: 1000, Tokens: 60, Depth: 4}

func TestWhatNoFileNeedsIsRefusedWithItsPlace(t *testing.T) {
	for text, want := range map[string]string{
		"a: &x 1":                         "f.yaml:1:4: anchors (&name) are not read here",
		"a: 1\nb: *x":                     "f.yaml:2:4: aliases (*name) are not read here",
		"a: 1\n<<: {b: 1}":                "f.yaml:2:1: merge keys (<<) are not read here",
		"a: !!str 1":                      "f.yaml:1:4: tags (!!str) are not read here",
		"%YAML 1.2\n---\na: 1":            "f.yaml:1:1: YAML directives (%) are not read here",
		"? a\n: b":                        "f.yaml:1:1: keys marked with ? are not read here",
		"a: 1\n---\nb: 2":                 "f.yaml:2:1: a list file is one document, and here begins a second one",
		"a: 1\n...\n":                     "f.yaml:2:1: a list file is one document, without \"...\"",
		"":                                "f.yaml:1:1: the file has no list in it",
		"# nothing":                       "f.yaml:1:1: the file has no list in it",
		"a: \xff":                         "f.yaml:1:4: the file is not UTF-8",
		"a: 1\nb: \x1b[2J":                "f.yaml:2:4: the character U+001B does not print",
		"a: [[[[[1]]]]]":                  "f.yaml:1:8: brackets and dashes are nested more than 4 deep",
		"- - - - - - 1":                   "brackets and dashes are nested more than 4 deep",
		strings.Repeat("- 1\n", 40):       "the list is too long: more than 60 words and marks",
		"a: " + strings.Repeat("x", 1000): "f.yaml:1:1: the file has 1003 bytes; a list has at most 1000",
		"a: [1":                           "the YAML cannot be read",
	} {
		_, _, err := kind.Read("f.yaml", []byte(text))
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestAnErrorQuotesItsLineAndTheOneBefore(t *testing.T) {
	f, root, err := kind.Read("f.yaml", []byte("\ufeffa: 1\r\nbé: x\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	m := root.(*ast.MappingNode)
	e := f.At(PositionOf(m.Values[1].Value), "write y", "%s cannot be x", "bé")
	if e.Error() != "f.yaml:2:5: bé cannot be x" || e.Detail() != "    1 | a: 1\n    2 | bé: x\n      |     ^\nhint: write y\n" {
		t.Errorf("%s\n%q", e, e.Detail())
	}
	if PositionOf(root) != (Position{1, 1}) {
		t.Errorf("the mapping begins at %v", PositionOf(root))
	}
	if e := f.At(Position{9, 1}, "", "%s", strings.Repeat("é", 1000)); e.Excerpt != "" || len([]rune(e.Message)) != maxMessage+1 {
		t.Errorf("%q, %d characters", e.Excerpt, len([]rune(e.Message)))
	}
}

func TestTheNearestWordIsAskedFor(t *testing.T) {
	known := []string{"writeback", "none"}
	for word, want := range map[string]string{"write-back": `did you mean "writeback"?`, "nome": `did you mean "none"?`, "x": "or else", "directsync": "or else"} {
		if got := DidYouMean(word, known, "or else"); got != want {
			t.Errorf("%s: %q, want %q", word, got, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{"a: 1\nb: [x, {c: d}]", "- - 1", "a: |\n  text\n", "'a': \"b\""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file, root, err := kind.Read("f.yaml", text)
		var e *Error
		switch {
		case err != nil && (!errors.As(err, &e) || e.Line < 1 || e.Column < 1 || strings.Contains(e.Message, "\n")):
			t.Errorf("%q: %v", text, err)
		case err == nil && root == nil:
			t.Errorf("%q has neither content nor an error", text)
		case err == nil:
			_ = file.At(PositionOf(root), "", "x").Detail()
		}
	})
}

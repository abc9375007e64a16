package libvirtxml

import (
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
)

// tag is a start tag (or an empty-element tag) and where its parts stand. Offsets count bytes of document.text.
type tag struct {
	start, end int // from "<" to behind ">"
	nameEnd    int // behind the element's name
	attrs      []tagAttr
}

// tagAttr is one attribute of a tag.
type tagAttr struct {
	name  string // as written, with its prefix
	value string // as it is meant: references resolved
	lead  string // the white space before the name
	at    int    // where the name begins
	from  int    // first byte of the value, behind the quote
	to    int    // the closing quote
	quote string
}

// splice replaces text[at:at+remove] by insert, which is always ASCII.
type splice struct {
	at, remove int
	insert     string
}

// find returns the attribute with that name, or nil. A tag that is not there has no attributes.
func (t *tag) find(name string) *tagAttr {
	if t == nil {
		return nil
	}
	i := slices.IndexFunc(t.attrs, func(a tagAttr) bool { return a.name == name })
	if i < 0 {
		return nil
	}
	return &t.attrs[i]
}

// value returns the attribute's value, or "" when it is not there.
func (t *tag) value(name string) string {
	if a := t.find(name); a != nil {
		return a.value
	}
	return ""
}

// style returns how a further attribute of this tag is written: where, behind which white space, in which quotes. It follows
// the last attribute; a tag without attributes gets what libvirt writes.
func (t *tag) style() (at int, lead, quote string) {
	if len(t.attrs) == 0 {
		return t.nameEnd, " ", "'"
	}
	last := t.attrs[len(t.attrs)-1]
	return last.to + 1, last.lead, last.quote
}

// edits returns the changes to make in the tag. The values have passed checkAttr, so they need no escaping.
func (t *tag) edits(set []Attr) []splice {
	var out []splice
	for _, a := range set {
		old := t.find(a.Name)
		switch {
		case old == nil && a.Value == "":
		case old == nil:
			at, lead, quote := t.style()
			out = append(out, splice{at: at, insert: lead + a.Name + "=" + quote + a.Value + quote})
		case a.Value == "":
			start := old.at - len(old.lead)
			out = append(out, splice{at: start, remove: old.to + 1 - start})
		case old.value != a.Value:
			out = append(out, splice{old.from, old.to - old.from, a.Value})
		}
	}
	return out
}

// readTag finds the attributes of the start tag text[start:end], which encoding/xml has accepted and whose values it has
// decoded. It refuses what encoding/xml lets pass: attributes that are not apart, and names that occur twice.
func readTag(text []byte, start, end int, decoded []xml.Attr) (*tag, error) {
	t := &tag{start: start, end: end}
	s := tagScanner{text: text[:end], pos: start + 1}
	s.name()
	t.nameEnd = s.pos
	for i := range decoded {
		a, err := s.attr()
		if err != nil {
			return nil, err
		}
		if t.find(a.name) != nil {
			return nil, fmt.Errorf("attribute %s occurs twice in one element", a.name)
		}
		a.value = decoded[i].Value
		t.attrs = append(t.attrs, a)
	}
	return t, nil
}

// tagScanner walks over the bytes of one start tag.
type tagScanner struct {
	text []byte
	pos  int
}

var errTag = errors.New("malformed start tag")

// attr reads white space, a name, "=" and a quoted value.
func (s *tagScanner) attr() (tagAttr, error) {
	lead := s.space()
	if lead == "" {
		return tagAttr{}, errors.New("attributes must be separated by white space")
	}
	a := tagAttr{lead: lead, at: s.pos}
	a.name = s.name()
	s.space()
	if s.next() != '=' {
		return tagAttr{}, errTag
	}
	s.space()
	quote := s.next()
	a.from = s.pos
	a.quote = string(quote)
	for s.pos < len(s.text) && s.text[s.pos] != quote {
		s.pos++
	}
	a.to = s.pos
	if s.next() != quote || quote != '\'' && quote != '"' {
		return tagAttr{}, errTag
	}
	return a, nil
}

// next returns the byte at the position and steps over it; 0 behind the tag.
func (s *tagScanner) next() byte {
	if s.pos >= len(s.text) {
		return 0
	}
	s.pos++
	return s.text[s.pos-1]
}

// space steps over white space and returns it.
func (s *tagScanner) space() string {
	from := s.pos
	for s.pos < len(s.text) && isSpace(s.text[s.pos]) {
		s.pos++
	}
	return string(s.text[from:s.pos])
}

// name steps over the name of an element or attribute and returns it.
func (s *tagScanner) name() string {
	from := s.pos
	for s.pos < len(s.text) && !isSpace(s.text[s.pos]) && !slices.Contains([]byte("=/>"), s.text[s.pos]) {
		s.pos++
	}
	return string(s.text[from:s.pos])
}

// isSpace is for bytes what xmlSpace is for texts.
func isSpace(b byte) bool { return b == ' ' || b == '\t' || b == '\r' || b == '\n' }

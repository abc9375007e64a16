package libvirtxml

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"
)

const (
	// MaxBytes is the largest document that is read: libvirt's own limit for a string in a call (REMOTE_STRING_MAX
	// in its remote_protocol.x), so that nothing larger can be a domain.
	MaxBytes = 4 << 20

	// maxDepth is how deep elements may nest: the limit of libxml2, with which libvirt reads its documents.
	maxDepth = 256

	byteOrderMark = "\ufeff"

	xmlSpace = " \t\r\n" // XML's production S
)

// document is a domain XML with the places of its disks.
type document struct {
	name       string
	text       []byte        // UTF-8
	back       func(int) int // offset in text → offset in the caller's bytes
	lines      []int         // where each line of text begins
	root       *Element
	domainType string // "kvm", "qemu", …
	disks      []*diskElement
}

// diskElement is one <disk> of a domain: the tags of its parts, nil when they are not there.
type diskElement struct {
	tag        *tag
	driver     *tag
	source     *tag
	target     *tag
	address    *tag
	firstChild int // offset of its first child element; 0 when it has none
	readOnly   bool
	element    *Element
}

// read parses a document as far as its disks need it.
func read(name string, doc []byte) (*document, error) {
	if len(doc) > MaxBytes {
		return nil, &Error{File: name, Problem: fmt.Sprintf("the document is larger than %d MiB, the limit of libvirt", MaxBytes>>20)}
	}
	text, back, err := unicodeText(doc)
	if err != nil {
		return nil, &Error{File: name, Problem: err.Error()}
	}
	d := &document{name: name, text: text, back: back, lines: lineStarts(text)}
	r := reader{document: d, dec: xml.NewDecoder(bytes.NewReader(text))}
	r.dec.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	r.dec.Entity = map[string]string{}
	if err := r.run(); err != nil {
		return nil, err
	}
	return d, nil
}

// find returns the disk with that target.
func (d *document) find(target string) (*diskElement, error) {
	var found *diskElement
	for _, disk := range d.disks {
		if disk.target == nil || disk.dev() != target {
			continue
		}
		if found != nil {
			return nil, d.errorf(disk.tag.start, "target %s is used by more than one disk, which libvirt refuses", target)
		}
		found = disk
	}
	if found == nil {
		return nil, &Error{File: d.name, Problem: fmt.Sprintf("no disk has the target %q; %s", target, d.targets())}
	}
	return found, nil
}

// targets returns a sentence that names the disks that there are.
func (d *document) targets() string {
	var names []string
	for _, disk := range d.disks {
		names = append(names, disk.dev())
	}
	if len(names) == 0 {
		return "the domain has no disks"
	}
	return "the domain has " + strings.Join(names, ", ")
}

// isQEMU reports whether the domain is run by libvirt's QEMU driver.
func (d *document) isQEMU() bool { return d.domainType == "kvm" || d.domainType == "qemu" }

// dev returns the disk's target name.
func (e *diskElement) dev() string { return e.target.value("dev") }

// where returns the best place to point at for an attribute: itself, its tag, or the disk.
func (e *diskElement) where(attr string) int {
	owner := e.driver
	if attr == busAttr {
		owner = e.target
	}
	if a := owner.find(attr); a != nil {
		return a.at
	}
	if owner != nil {
		return owner.start
	}
	return e.tag.start
}

// assumedRaw reports whether libvirt takes the image for raw when no <driver> says otherwise. A volume has the format that
// its pool knows, a directory is shown as a FAT file system, and a vhost-user disk has no format.
func (e *diskElement) assumedRaw() bool {
	return !slices.Contains([]string{"volume", "dir", "vhostuser"}, e.tag.value("type"))
}

// errorf returns an *Error at an offset of the text.
func (d *document) errorf(offset int, format string, args ...any) *Error {
	line, column := d.position(offset)
	return &Error{File: d.name, Line: line, Column: column, Problem: fmt.Sprintf(format, args...)}
}

// position returns the line and the column, in characters, of an offset of the text; both count from 1.
func (d *document) position(offset int) (line, column int) {
	line = sort.SearchInts(d.lines, offset+1)
	start := d.lines[line-1]
	return line, utf8.RuneCount(bytes.TrimPrefix(d.text[start:offset], []byte(byteOrderMark))) + 1
}

// lineStarts returns the offset of each line's first byte.
func lineStarts(text []byte) []int {
	starts := []int{0}
	for i, b := range text {
		if b == '\n' {
			starts = append(starts, i+1)
		}
	}
	return starts
}

// indentation returns the line break and white space that stand before an offset; "" when something else shares the line.
func (d *document) indentation(offset int) string {
	from := offset
	for from > 0 && (d.text[from-1] == ' ' || d.text[from-1] == '\t') {
		from--
	}
	if from == 0 || d.text[from-1] != '\n' {
		return ""
	}
	from--
	if from > 0 && d.text[from-1] == '\r' {
		from--
	}
	return string(d.text[from:offset])
}

// spliced returns doc with the splices applied.
func (d *document) spliced(doc []byte, splices []splice) []byte {
	sort.SliceStable(splices, func(i, j int) bool { return splices[i].at < splices[j].at })
	out := make([]byte, 0, len(doc)+128)
	done := 0
	for _, s := range splices {
		out = append(out, doc[done:d.back(s.at)]...)
		out = append(out, s.insert...)
		done = d.back(s.at + s.remove)
	}
	return append(out, doc[done:]...)
}

// reader walks over the tokens of a document.
type reader struct {
	*document
	dec      *xml.Decoder
	path     []string // names of the open elements; "" for one in a namespace, which libvirt's disks never are
	stack    []openElement
	rootSeen bool
}

// openElement is an element whose end tag has not come yet, with the character data that came.
type openElement struct {
	element *Element
	text    []byte
}

// run reads all tokens.
func (r *reader) run() error {
	for {
		start := int(r.dec.InputOffset())
		token, err := r.dec.Token()
		end := int(r.dec.InputOffset())
		if err == io.EOF {
			return r.finish()
		}
		if err != nil {
			return r.syntaxError(err)
		}
		if err := r.token(token, start, end); err != nil {
			return err
		}
	}
}

// token takes note of one token, text[start:end].
func (r *reader) token(token xml.Token, start, end int) error {
	switch t := token.(type) {
	case xml.StartElement:
		return r.open(t, start, end)
	case xml.EndElement:
		r.path = r.path[:len(r.path)-1]
		closed := r.stack[len(r.path)]
		closed.element.Text, closed.element.end = string(bytes.Trim(closed.text, xmlSpace)), end
		r.stack = r.stack[:len(r.path)]
	case xml.CharData:
		if rest := bytes.TrimLeft(r.withoutMark(start, end), xmlSpace); len(r.path) == 0 && len(rest) > 0 {
			return r.errorf(end-len(rest), "malformed XML: text outside the root element")
		}
		if n := len(r.stack); n > 0 {
			r.stack[n-1].text = append(r.stack[n-1].text, t...)
		}
	case xml.ProcInst:
		if t.Target == "xml" && len(r.withoutMark(0, start)) > 0 {
			return r.errorf(start, "malformed XML: the XML declaration must come first")
		}
	case xml.Directive:
		if r.rootSeen {
			return r.errorf(start, "malformed XML: the document type must come before the root element")
		}
		r.entities(t)
	}
	return nil
}

// withoutMark returns text[start:end] without a byte order mark at the very beginning of the text.
func (r *reader) withoutMark(start, end int) []byte {
	if start > 0 {
		return r.text[start:end]
	}
	return bytes.TrimPrefix(r.text[:end], []byte(byteOrderMark))
}

// entityDeclaration is a general entity with its text in the document.
var entityDeclaration = regexp.MustCompile(`<!ENTITY\s+([^\s%"'<>]+)\s+(?:"([^"]*)"|'([^']*)')\s*>`)

// entities makes the entities known that a document type declares. They are not expanded any further than that, so that
// they cannot grow.
func (r *reader) entities(doctype xml.Directive) {
	for _, m := range entityDeclaration.FindAllSubmatch(doctype, -1) {
		r.dec.Entity[string(m[1])] = string(m[2]) + string(m[3])
	}
}

// open takes note of a start tag.
func (r *reader) open(e xml.StartElement, start, end int) error {
	if len(r.path) >= maxDepth {
		return r.errorf(start, "elements are nested deeper than %d, the limit of libvirt's parser", maxDepth)
	}
	t, err := readTag(r.text, start, end, e.Attr)
	if err != nil {
		return r.errorf(start, "malformed XML: %v", err)
	}
	if len(r.path) == 0 {
		if err := r.root(e, t); err != nil {
			return err
		}
	}
	element := newElement(r.document, e, start)
	if n := len(r.stack); n > 0 {
		parent := r.stack[n-1].element
		parent.Children = append(parent.Children, element)
	} else {
		r.document.root = element
	}
	name := e.Name.Local
	if e.Name.Space != "" {
		name = ""
	}
	if err := r.element(name, t, element); err != nil {
		return err
	}
	r.path = append(r.path, name)
	r.stack = append(r.stack, openElement{element: element})
	return nil
}

// root checks that the document is a domain.
func (r *reader) root(e xml.StartElement, t *tag) error {
	if r.rootSeen {
		return r.errorf(t.start, "malformed XML: a second root element <%s>", e.Name.Local)
	}
	r.rootSeen = true
	r.domainType = t.value("type")
	switch {
	case e.Name.Local == "domain" && e.Name.Space == "":
		return nil
	case e.Name.Local == "domain":
		return r.errorf(t.start, "not a domain XML: <domain> is in the namespace %q, and libvirt's has none", e.Name.Space)
	case e.Name.Local == "domainsnapshot" || e.Name.Local == "domaincheckpoint":
		return r.errorf(t.start, "not a domain XML: <%s> holds a copy that libvirt keeps for reverting;"+
			" edit the domain itself (virsh dumpxml --inactive DOMAIN)", e.Name.Local)
	case e.Name.Local == "domstatus":
		return r.errorf(t.start, "not a domain XML: <domstatus> is libvirt's own state of a running domain;"+
			" edit the domain itself (virsh dumpxml --inactive DOMAIN)")
	}
	return r.errorf(t.start, "not a domain XML: the root element is <%s>, not <domain>", e.Name.Local)
}

// element takes note of domain/devices/disk and of its children.
func (r *reader) element(name string, t *tag, element *Element) error {
	inDevices := len(r.path) >= 2 && r.path[0] == "domain" && r.path[1] == "devices"
	switch {
	case inDevices && len(r.path) == 2 && name == "disk":
		r.disks = append(r.disks, &diskElement{tag: t, element: element})
	case inDevices && len(r.path) == 3 && r.path[2] == "disk":
		return r.child(r.disks[len(r.disks)-1], name, t)
	}
	return nil
}

// child takes note of one part of a disk.
func (r *reader) child(disk *diskElement, name string, t *tag) error {
	if disk.firstChild == 0 {
		disk.firstChild = t.start
	}
	part := map[string]**tag{"driver": &disk.driver, "source": &disk.source, "target": &disk.target, "address": &disk.address}[name]
	if part != nil && *part != nil {
		return r.errorf(t.start, "a disk has two <%s> elements, which libvirt's schema does not allow", name)
	}
	if part != nil {
		*part = t
	}
	disk.readOnly = disk.readOnly || name == "readonly"
	return nil
}

// finish checks that there was a domain at all.
func (r *reader) finish() error {
	if !r.rootSeen {
		return &Error{File: r.name, Problem: "not a domain XML: the document has no element"}
	}
	return nil
}

// syntaxError returns encoding/xml's complaint with its place in the document.
func (r *reader) syntaxError(err error) error {
	problem := err.Error()
	var syntax *xml.SyntaxError
	if errors.As(err, &syntax) {
		problem = syntax.Msg
	}
	return r.errorf(int(r.dec.InputOffset()), "malformed XML: %s", strings.TrimPrefix(problem, "xml: "))
}

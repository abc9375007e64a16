package libvirtxml

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// declaredEncoding finds the encoding in an XML declaration.
var declaredEncoding = regexp.MustCompile(`^(?:\x{FEFF})?<\?xml\s[^?>]*\bencoding\s*=\s*["']([A-Za-z0-9._:-]+)["']`)

// unicodeText returns doc as UTF-8 for reading, and a function that maps an offset in that text to one in doc. Where the
// document is UTF-8 both are the same; otherwise each byte of doc is one character.
func unicodeText(doc []byte) (text []byte, back func(int) int, err error) {
	if isUTF16(doc) {
		return nil, nil, errors.New("the document is UTF-16, which libvirt's calls cannot carry; convert it to UTF-8")
	}
	encoding := ""
	if m := declaredEncoding.FindSubmatch(doc[:min(len(doc), 256)]); m != nil {
		encoding = strings.ToLower(string(m[1]))
	}
	switch {
	case encoding == "" || encoding == "utf-8" || encoding == "utf8" || strings.HasSuffix(encoding, "ascii"):
		return doc, func(offset int) int { return offset }, nil
	case encoding == "iso-8859-1" || encoding == "latin1":
		text = widened(doc, func(b byte) rune { return rune(b) })
	case oneByteASCII(encoding):
		text = widened(doc, func(byte) rune { return utf8.RuneError })
	default:
		return nil, nil, fmt.Errorf("the document is declared as %s, which platter cannot read; convert it to UTF-8", encoding)
	}
	return text, func(offset int) int { return utf8.RuneCount(text[:offset]) }, nil
}

// isUTF16 looks for a UTF-16 byte order mark or for the zero byte beside the first "<".
func isUTF16(doc []byte) bool {
	for _, start := range []string{"\xfe\xff", "\xff\xfe", "<\x00", "\x00<"} {
		if bytes.HasPrefix(doc, []byte(start)) {
			return true
		}
	}
	return false
}

// oneByteASCII names the encodings that are ASCII in their lower half and one byte a character. What stands in their
// upper half does not matter for an edit and is shown as the replacement character.
func oneByteASCII(encoding string) bool {
	for _, family := range []string{"iso-8859-", "windows-125", "koi8-"} {
		if strings.HasPrefix(encoding, family) {
			return true
		}
	}
	return false
}

// widened turns each byte into one character; ASCII stays.
func widened(doc []byte, upper func(byte) rune) []byte {
	text := make([]byte, 0, len(doc)+len(doc)/8)
	for _, b := range doc {
		if b < utf8.RuneSelf {
			text = append(text, b)
		} else {
			text = utf8.AppendRune(text, upper(b))
		}
	}
	return text
}

package libvirtxml

import (
	"fmt"
	"strings"
)

// Error is something wrong with a document or with what was asked of it: bad input, never the rig's fault.
type Error struct {
	File    string // the name given by the caller; may be empty
	Line    int    // from 1; 0 when the problem has no place in the document
	Column  int    // from 1, in characters
	Problem string // one line for people
}

// Error returns "file:line:column: problem", without the parts that are not known.
func (e *Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File + ":")
	}
	if e.Line > 0 {
		fmt.Fprintf(&b, "%d:%d:", e.Line, e.Column)
	}
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
	b.WriteString(e.Problem)
	return b.String()
}

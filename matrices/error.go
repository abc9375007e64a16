package matrices

import (
	"fmt"

	"platter/strictyaml"
)

// problem is an error that does not know its place yet. Checks of names and values give it; whoever walks the file
// adds the position.
type problem struct{ message, hint string }

func problemf(format string, args ...any) *problem {
	return &problem{message: fmt.Sprintf(format, args...)}
}

func (p *problem) withHint(format string, args ...any) *problem {
	p.hint = fmt.Sprintf(format, args...)
	return p
}

// source is a matrix file as its errors quote it.
type source struct{ *strictyaml.File }

// at turns a problem into an error at a place.
func (s source) at(pos strictyaml.Position, p *problem) *strictyaml.Error {
	return s.At(pos, p.hint, "%s", p.message)
}

package claims

import (
	"strings"
)

// short is a setting's name without its namespace.
func short(name string) string {
	_, tail, ok := strings.Cut(name, ".")
	if !ok {
		return name
	}
	return tail
}

package claims

import (
	"strconv"
	"strings"
)

// count writes a whole number with its thousands set apart by a narrow space, as the reports do.
func count(n int64) string {
	digits := strconv.FormatInt(n, 10)
	var groups []string
	for len(digits) > 3 {
		groups = append([]string{digits[len(digits)-3:]}, groups...)
		digits = digits[:len(digits)-3]
	}
	return strings.Join(append([]string{digits}, groups...), "\u202f")
}

// short is a setting's name without its namespace.
func short(name string) string {
	_, tail, ok := strings.Cut(name, ".")
	if !ok {
		return name
	}
	return tail
}

package reports

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Number writes a count or rate for people: three significant digits at least, thousands set apart by a narrow space
// as the SI says, so that no locale mistakes it for a decimal point.
func Number(v float64) string {
	if math.Abs(v) < 100 {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	digits := strconv.FormatInt(int64(math.Round(math.Abs(v))), 10)
	var groups []string
	for len(digits) > 3 {
		groups = append([]string{digits[len(digits)-3:]}, groups...)
		digits = digits[:len(digits)-3]
	}
	text := strings.Join(append([]string{digits}, groups...), "\u202f")
	if v < 0 {
		return "-" + text
	}
	return text
}

// Duration writes nanoseconds with three digits and a unit: "1.50 ms".
func Duration(ns int64) string {
	v := float64(ns)
	for _, u := range []string{"ns", "µs", "ms"} {
		if v < 999.5 {
			return threeDigits(v) + "\u202f" + u
		}
		v /= 1000
	}
	return threeDigits(v) + "\u202fs"
}

// Bytes writes bytes with three digits in powers of 1024: "1.50 MiB".
func Bytes(v float64) string {
	for _, u := range []string{"B", "KiB", "MiB", "GiB"} {
		if v < 1023.5 {
			return threeDigits(v) + "\u202f" + u
		}
		v /= 1024
	}
	return threeDigits(v) + "\u202fTiB"
}

func threeDigits(v float64) string {
	switch {
	case v >= 99.95 || v == math.Trunc(v):
		return fmt.Sprintf("%.0f", v)
	case v >= 9.995:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

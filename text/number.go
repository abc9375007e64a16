package text

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// thin is U+202F, a narrow space at which no line breaks. The SI sets thousands and units apart by it (Brochure, 9th edition, 5.4.3
// and 5.4.4), so that no locale takes it for a decimal point.
const thin = "\u202f"

// Count returns a whole number with its thousands set apart: "127 814".
func Count[N ~int | ~int64 | ~uint32 | ~uint64](n N) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + thin + digits[i:]
	}
	return digits
}

// Number returns a rate or another measured figure with three digits at least, and its thousands set apart: "0.25", "99.4", "9 342".
func Number(v float64) string {
	if math.Abs(v) < 100 {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	return Count(int64(math.Round(v)))
}

// Plural returns a number with its noun: "1 trial", "1 200 trials".
func Plural[N ~int | ~int64 | ~uint64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return Count(n) + " " + noun + "s"
}

// Duration returns nanoseconds with three digits and a unit: "1.50 ms".
func Duration(ns int64) string {
	v := float64(ns)
	for _, unit := range []string{"ns", "µs", "ms"} {
		if v < 999.5 {
			return threeDigits(v) + thin + unit
		}
		v /= 1000
	}
	return threeDigits(v) + thin + "s"
}

// Bytes returns bytes with three digits, in powers of 1024: "1.50 MiB".
func Bytes(v float64) string {
	for _, unit := range []string{"B", "KiB", "MiB", "GiB"} {
		if v < 1023.5 {
			return threeDigits(v) + thin + unit
		}
		v /= 1024
	}
	return threeDigits(v) + thin + "TiB"
}

func threeDigits(v float64) string {
	decimals := 2
	switch {
	case v >= 99.95 || v == math.Trunc(v):
		decimals = 0
	case v >= 9.995:
		decimals = 1
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

// Percent returns a share of 1 as a whole number of percent: "95 %".
func Percent(share float64) string { return fmt.Sprintf("%.0f%s%%", 100*share, thin) }

// Command returns a command line that a shell reads back as these words.
func Command(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		if w == "" || strings.ContainsAny(w, " \t\n\"'`$&|;<>()*?[]#~!{}\\") {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		quoted[i] = w
	}
	return strings.Join(quoted, " ")
}

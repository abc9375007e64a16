package cell

import (
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strings"
	"time"
)

// ValueError says what is wrong with the text of a value.
type ValueError struct {
	Message string // the end of a sentence that begins "NAME cannot be"
	Hint    string // what to write instead; may be empty
}

func (e *ValueError) Error() string { return "cannot be " + e.Message }

// FioSizePattern matches what fio 3.33 reads as a number of bytes and gets right.
const FioSizePattern = `^([0-9]+)(?:([KMGTPkmgtp])?[Bb]?)$`

var fioSizeText = regexp.MustCompile(FioSizePattern)

// fioIECText finds sizes with KiB, MiB, GiB, TiB or PiB in a value of a fio option.
var fioIECText = regexp.MustCompile(`\b([0-9]+)([KMGTP])iB\b`)

// FioSpelling writes sizes with IEC units as fio spells powers of 1024: 1GiB becomes 1g. To fio itself 1GiB is
// 1000000000 bytes (fio 3.33, tried; its manual's section "Parameter types" speaks of the reversed units under kb_base),
// which nobody means who writes it.
func FioSpelling(text string) string {
	if !strings.Contains(text, "iB") { // most have none, and are asked for cell by cell
		return text
	}
	return fioIECText.ReplaceAllStringFunc(text, func(size string) string {
		return strings.ToLower(strings.TrimSuffix(size, "iB"))
	})
}

// ParseFioSize reads a number of a fio option: 4k, 1g, 1GiB, 1048576; letters are powers of 1024, also for counts such as
// fsync=1k. Refused with a *ValueError is what fio reads otherwise than it looks: fractions are cut (0.5m is 0, which means the
// whole disk), and letters after the unit are ignored (tried).
func ParseFioSize(text string) (int64, error) {
	if strings.HasSuffix(text, "%") {
		return 0, &ValueError{fmt.Sprintf("%q: it is a share, and the guards need bytes", text), "write the size itself, for example 1g"}
	}
	parts := fioSizeText.FindStringSubmatch(FioSpelling(text))
	if parts == nil {
		return 0, &ValueError{fmt.Sprintf("%q: fio does not read it as it looks", text),
			"write a whole number, or one with k, m, g or t, or KiB, MiB, GiB or TiB (all powers of 1024)"}
	}
	return scaled(text, parts[1], parts[2])
}

// SizePattern matches a size in platter's own sections: a whole number, then K, M, G or T in either case, alone or as KiB,
// MiB, GiB, TiB.
const SizePattern = `^([0-9]+) ?(?:([KMGTkmgt])(iB)?)?$`

var sizeText = regexp.MustCompile(SizePattern)

// ParseSize reads a size of the sections storage, guest and device in bytes. K, M, G and T are powers of 1024, as qemu-img reads
// them; KB, MB, GB and TB, which people read both ways, are refused with a *ValueError.
func ParseSize(text string) (int64, error) {
	parts := sizeText.FindStringSubmatch(text)
	if parts == nil {
		return 0, &ValueError{fmt.Sprintf("%q: it is not a size", text),
			"write a whole number with KiB, MiB, GiB or TiB (or K, M, G, T, also powers of 1024), for example 2GiB"}
	}
	return scaled(text, parts[1], parts[2])
}

// scaled multiplies digits by the power of 1024 that a letter stands for.
func scaled(text, digits, letter string) (int64, error) {
	n, _ := new(big.Int).SetString(digits, 10)
	if letter != "" {
		power := strings.Index("kmgtp", strings.ToLower(letter)) + 1
		n.Lsh(n, uint(10*power))
	}
	if !n.IsInt64() {
		return 0, &ValueError{Message: fmt.Sprintf("%q: it is more than 64 bits hold", text)}
	}
	return n.Int64(), nil
}

// FioTimePattern matches a time in fio's spelling; capitals are left out because M would be a minute here and a mega elsewhere.
const FioTimePattern = `^([0-9]+)(d|h|m|s|ms|msec|us|usec)?$`

var fioTimeText = regexp.MustCompile(FioTimePattern)

// ParseFioTime reads a time in fio's spelling: whole numbers, in seconds unless d, h, m, s, ms (msec) or us (usec) says
// otherwise. Refused with a *ValueError is what fio 3.33 reads otherwise than it looks (tried): 1.5 and 1.5s run 1 s, 1min and
// 1sec are no time at all.
func ParseFioTime(text string) (time.Duration, error) {
	parts := fioTimeText.FindStringSubmatch(text)
	if parts == nil {
		return 0, &ValueError{fmt.Sprintf("%q: fio cuts fractions and drops units that it does not know", text),
			"write a whole number of seconds, or one with ms, us, s, m, h or d: 1500ms is one and a half seconds"}
	}
	unit := time.Second
	switch parts[2] {
	case "d":
		unit = 24 * time.Hour
	case "h":
		unit = time.Hour
	case "m":
		unit = time.Minute
	case "ms", "msec":
		unit = time.Millisecond
	case "us", "usec":
		unit = time.Microsecond
	}
	n, _ := new(big.Int).SetString(parts[1], 10)
	n.Mul(n, big.NewInt(int64(unit)))
	if !n.IsInt64() || n.Int64() > math.MaxInt64/2 {
		return 0, &ValueError{Message: fmt.Sprintf("%q: it is more than a trial can last", text)}
	}
	return time.Duration(n.Int64()), nil
}

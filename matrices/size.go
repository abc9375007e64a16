package matrices

import (
	"errors"
	"math"
	"math/big"
	"regexp"
	"strings"
	"time"
)

// sizeText is a size in platter's own sections: a whole number, then K, M, G or T in either case, alone or as KiB,
// MiB, GiB, TiB.
var sizeText = regexp.MustCompile(`^([0-9]+) ?(?:([KMGTkmgt])(iB)?)?$`)

// parseSize reads a size of the storage or guest section in bytes. The messages of this and the functions below are the
// end of a sentence that begins "NAME cannot be".
//
// K, M, G and T are powers of 1024, as qemu-img reads them; KB, MB, GB and TB, which people read both ways, are refused.
func parseSize(text string) (int64, *problem) {
	parts := sizeText.FindStringSubmatch(text)
	if parts == nil {
		return 0, problemf("%q: it is not a size", text).
			withHint("write a whole number with KiB, MiB, GiB or TiB (or K, M, G, T, also powers of 1024), for example 2GiB")
	}
	return scaled(text, parts[1], parts[2])
}

// fioSizeText is what fio 3.33 reads as a number of bytes and gets right.
var fioSizeText = regexp.MustCompile(`^([0-9]+)(?:([KMGTPkmgtp])?[Bb]?)$`)

// fioIECText finds sizes with KiB, MiB, GiB, TiB or PiB in a value of a fio option.
var fioIECText = regexp.MustCompile(`\b([0-9]+)([KMGTP])iB\b`)

// fioSpelling writes sizes with IEC units as fio spells powers of 1024: 1GiB becomes 1g. To fio itself 1GiB is
// 1000000000 bytes (fio 3.33, tried; its manual's section "Parameter types" speaks of the reversed units under kb_base),
// which nobody means who writes it.
func fioSpelling(text string) string {
	return fioIECText.ReplaceAllStringFunc(text, func(size string) string {
		return strings.ToLower(strings.TrimSuffix(size, "iB"))
	})
}

// parseFioSize reads a size of a fio option in bytes: 4k, 1g, 1GiB, 1048576; letters are powers of 1024. Refused is
// what fio reads otherwise than it looks: fractions are cut (0.5m is 0, which means the whole disk), and letters after the
// unit are ignored (tried).
func parseFioSize(text string) (int64, *problem) {
	if strings.HasSuffix(text, "%") {
		return 0, problemf("%q: it is a share, and the guards need bytes", text).withHint("write the size itself, for example 1g")
	}
	parts := fioSizeText.FindStringSubmatch(fioSpelling(text))
	if parts == nil {
		return 0, problemf("%q: fio does not read it as it looks", text).
			withHint("write a whole number, or one with k, m, g or t, or KiB, MiB, GiB or TiB (all powers of 1024)")
	}
	return scaled(text, parts[1], parts[2])
}

// scaled multiplies digits by the power of 1024 that a letter stands for.
func scaled(text, digits, letter string) (int64, *problem) {
	n, _ := new(big.Int).SetString(digits, 10)
	power := strings.Index("kmgtp", strings.ToLower(letter)) + 1
	if letter == "" {
		power = 0
	}
	n.Lsh(n, uint(10*power))
	if !n.IsInt64() {
		return 0, problemf("%q: it is more than 64 bits hold", text)
	}
	return n.Int64(), nil
}

// fioTimeText is a time in fio's spelling; capitals are left out because M would be a minute here and a mega elsewhere.
var fioTimeText = regexp.MustCompile(`^([0-9]+)(d|h|m|s|ms|msec|us|usec)?$`)

// parseFioTime reads a time in fio's spelling: whole numbers, in seconds unless d, h, m, s, ms (msec) or us (usec) says
// otherwise. Refused is what fio 3.33 reads otherwise than it looks (tried): 1.5 and 1.5s run 1 s, 1min and 1sec are
// no time at all.
func parseFioTime(text string) (time.Duration, *problem) {
	parts := fioTimeText.FindStringSubmatch(text)
	if parts == nil {
		return 0, problemf("%q: fio cuts fractions and drops units that it does not know", text).
			withHint("write a whole number of seconds, or one with ms, us, s, m, h or d: 1500ms is one and a half seconds")
	}
	n, _ := new(big.Int).SetString(parts[1], 10)
	n.Mul(n, big.NewInt(int64(fioTimeUnit(parts[2]))))
	if !n.IsInt64() || n.Int64() > math.MaxInt64/2 {
		return 0, problemf("%q: it is more than a trial can last", text)
	}
	return time.Duration(n.Int64()), nil
}

func fioTimeUnit(unit string) time.Duration {
	switch unit {
	case "d":
		return 24 * time.Hour
	case "h":
		return time.Hour
	case "m":
		return time.Minute
	case "ms", "msec":
		return time.Millisecond
	case "us", "usec":
		return time.Microsecond
	}
	return time.Second
}

// deviceTimeText is a time in the device section. The unit must be written: the sections beside it count seconds.
var deviceTimeText = regexp.MustCompile(`^([0-9]{1,9})(us|ms|s|m)$`)

// parseDeviceTime reads a time of the device section: a whole number with us, ms, s or m.
func parseDeviceTime(text string) (time.Duration, *problem) {
	if !deviceTimeText.MatchString(text) {
		return 0, problemf("%q: it is not a time", text).withHint("write a whole number with us, ms, s or m, for example 60us or 2ms")
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, problemf("%q: %v", text, err)
	}
	return d, nil
}

// ParseSize reads a size as the storage section of a matrix has it, in bytes: a whole number with KiB, MiB, GiB or TiB.
func ParseSize(text string) (int64, error) {
	n, p := parseSize(text)
	if p != nil {
		return 0, errors.New("cannot be " + p.message)
	}
	return n, nil
}

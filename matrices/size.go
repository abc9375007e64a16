package matrices

import (
	"errors"
	"regexp"
	"time"

	"platter/cell"
)

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

// unreadable turns the error of a value's text into a problem whose message is the end of a sentence that begins "NAME cannot be".
func unreadable(err error) *problem {
	var v *cell.ValueError
	if errors.As(err, &v) {
		return &problem{v.Message, v.Hint}
	}
	return problemf("%v", err)
}

package fiojob

import (
	"bufio"
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	iopsLogName = "platter"
	// IOPSLogFile is the log of a job with LogIOPS.
	IOPSLogFile = iopsLogName + "_iops.log"
	// iopsInterval is how long each entry of the log spans.
	iopsInterval = time.Second
)

// ParseIOPSLog reads fio's IOPS log (its manual's "Log file formats": time in ms, value, direction, …) and gives the
// operations/s of each second in turn, of all directions and jobs together. Seconds without an entry are 0. The time of the
// log begins after fio's ramp_time (fio 3.33, tried).
func ParseIOPSLog(data []byte) ([]float64, error) {
	var seconds []float64
	number := 0
	for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
		number++
		f := strings.Split(s.Text(), ",")
		if len(f) < 3 {
			return nil, fmt.Errorf("read fio's IOPS log: line %d has %d fields, want a time, a value and a direction", number, len(f))
		}
		ms, err := strconv.ParseInt(strings.TrimSpace(f[0]), 10, 64)
		if err != nil || ms < 0 || ms > maxLogMS {
			return nil, fmt.Errorf("read fio's IOPS log: line %d: %q is no time in ms", number, f[0])
		}
		value, err := strconv.ParseInt(strings.TrimSpace(f[1]), 10, 64)
		if err != nil || value < 0 {
			return nil, fmt.Errorf("read fio's IOPS log: line %d: %q is no rate", number, f[1])
		}
		// An entry stands at the end of its interval, give or take some ms.
		second := max(0, int((ms+iopsInterval.Milliseconds()/2)/iopsInterval.Milliseconds())-1)
		for len(seconds) <= second {
			seconds = append(seconds, 0)
		}
		seconds[second] += float64(value)
	}
	return seconds, nil
}

// maxLogMS is the longest run whose log is read: 30 days.
const maxLogMS = 30 * 24 * 3600 * 1000

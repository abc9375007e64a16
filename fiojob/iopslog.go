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
)

// ParseIOPSLog reads fio's IOPS log (its manual's "Log file formats": time in ms, value, direction, …) and gives the
// operations/s of each interval in turn, of all directions and jobs together; interval is the job's LogIOPS, at least 1 ms.
// Intervals without an entry are 0. The time of the log begins after fio's ramp_time (fio 3.33, tried).
func ParseIOPSLog(data []byte, interval time.Duration) ([]float64, error) {
	var rates []float64
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
		at := max(0, int((ms+interval.Milliseconds()/2)/interval.Milliseconds())-1)
		if at >= maxLogEntries {
			return nil, fmt.Errorf("read fio's IOPS log: line %d: %d ms are more than %d intervals of %v", number, ms, maxLogEntries, interval)
		}
		for len(rates) <= at {
			rates = append(rates, 0)
		}
		rates[at] += float64(value)
	}
	return rates, nil
}

// The longest run whose log is read: 30 days, by the second.
const (
	maxLogMS      = 30 * 24 * 3600 * 1000
	maxLogEntries = maxLogMS / 1000
)

package fiojob

import (
	"bufio"
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	iopsLogName = "platter"
	// IOPSLogFile is the log of a job with LogIOPS.
	IOPSLogFile = iopsLogName + "_iops.log"
)

// ParseIOPSLog reads fio's IOPS log (its manual's "Log file formats": time in ms, value, direction, …) and returns the
// operations/s of each interval in turn, of all directions and jobs together; interval is the job's LogIOPS, at least 1 ms.
// Intervals in which nothing was done are 0; a last one of which a job logged less than half is left out. The time of the log begins
// after fio's ramp_time (fio 3.33, tried).
func ParseIOPSLog(data []byte, interval time.Duration) ([]float64, error) {
	c := course{interval: interval.Milliseconds()}
	number := 0
	s := bufio.NewScanner(bytes.NewReader(data))
	for s.Scan() {
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
		if ms > maxLogEntries*c.interval {
			return nil, fmt.Errorf("read fio's IOPS log: line %d: %d ms are more than %d intervals of %v", number, ms, maxLogEntries, interval)
		}
		c.add(ms, float64(value), strings.TrimSpace(f[2]))
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("read fio's IOPS log: line %d: %w", number+1, err)
	}
	return c.rates(), nil
}

// course is an IOPS log as it is read. The jobs' entries stand one job after the other, of all its directions in the order of time.
type course struct {
	interval int64              // ms
	job      map[string]*series // of the job that is read, by direction
	all      []*series
	done     []float64 // by interval, its part of the rates that were logged
}

// series are the entries of a job in one direction.
type series struct {
	before, until int64   // ms of the last entry, as it stands there and on the grid
	last          int64   // interval that it ends in
	part          float64 // of done there
}

// add takes in an entry.
func (c *course) add(ms int64, rate float64, direction string) {
	s := c.job[direction]
	if s != nil && ms <= s.before || c.job == nil {
		// another job
		c.job = map[string]*series{}
		s = nil
	}
	if s == nil {
		s = new(series)
		c.job[direction] = s
		c.all = append(c.all, s)
	}
	from, to := s.until, c.onGrid(ms)
	if c.idle(ms - s.before) {
		from = max(0, to-c.interval)
	}
	s.before, s.until = ms, to
	for from < to {
		at := from / c.interval
		end := min(to, (at+1)*c.interval)
		for int64(len(c.done)) <= at {
			c.done = append(c.done, 0)
		}
		part := rate * float64(end-from) / float64(c.interval)
		c.done[at] += part
		if at != s.last {
			s.last = at
			s.part = 0
		}
		s.part += part
		from = end
	}
}

// idle reports, by the time between two entries, whether there was nothing to log in the intervals before the second. fio (stat.c,
// __add_samples) looks after an interval or later, at what was done since it looked last, and logs nothing where that is nothing. So an
// entry on time is of the last interval, and a late one of all the time since the one before.
func (c *course) idle(gap int64) bool {
	early, late := c.interval/50, c.interval/10
	off := gap % c.interval
	return gap >= 2*c.interval-early && (off <= late+gap/c.interval || off >= c.interval-early)
}

// onGrid rounds a time to the log's intervals: fio is some ms early or late.
func (c *course) onGrid(ms int64) int64 {
	if on := (ms + c.interval/2) / c.interval * c.interval; on > 0 && 20*max(ms-on, on-ms) <= c.interval {
		return on
	}
	return ms
}

// rates returns the rates of the intervals up to where the first of the jobs that went on to the end has no entry any more: fio logs
// nothing when a job ends.
func (c *course) rates() []float64 {
	latest := int64(0)
	for _, s := range c.all {
		latest = max(latest, s.until)
	}
	until := latest
	for _, s := range c.all {
		if s.until > 0 && 2*(latest-s.until) < 3*c.interval {
			until = min(until, s.until)
		}
	}
	if until == 0 {
		return nil
	}
	n := max(1, (until+c.interval/2)/c.interval)
	for _, s := range c.all {
		logged := s.until - (n-1)*c.interval
		if s.last == n-1 && 0 < logged && logged < c.interval && (2*logged >= c.interval || n == 1) {
			c.done[n-1] += s.part * (float64(c.interval)/float64(logged) - 1)
		}
	}
	rates := c.done[:n]
	for i, r := range rates {
		rates[i] = math.Round(10*r) / 10
	}
	return rates
}

// The longest run whose log is read: 30 days, by the second.
const (
	maxLogMS      = 30 * 24 * 3600 * 1000
	maxLogEntries = maxLogMS / 1000
)

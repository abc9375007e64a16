package results

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"platter/fiojob"
)

// line reads a line of trials.jsonl in the form in which Append writes it: the fields in the order of the types, without spaces. It is
// many times faster than encoding/json, which expects anything, and most of what platter does with a run is reading it. A line that has
// another form is not wrong: wrong is set, and encoding/json then reads the line and says what is wrong, if anything is.
type line struct {
	rest  []byte // what is not yet read
	first bool   // an object or list has just begun
	wrong bool
	known *known
}

// known are texts and maps that stand in many lines of a journal, each kept once. It is for one goroutine.
type known struct {
	texts map[string]string
	guest map[string]map[string]string // by the JSON object
	trial Trial                        // of the line that is being read
}

func newKnown() *known {
	return &known{texts: map[string]string{}, guest: map[string]map[string]string{}}
}

// readTrial reads a line without its newline. It is false where the line has another form.
func readTrial(text []byte, k *known) (t Trial, ok bool) {
	l := line{rest: text, known: k}
	l.trial(&t)
	return t, !l.wrong && len(l.rest) == 0
}

func (l *line) trial(t *Trial) {
	l.open('{')
	if l.key("cell") {
		t.Cell = l.text()
	}
	if l.key("block") {
		t.Block = int(l.whole())
	}
	if l.key("order") {
		t.Order = int(l.whole())
	}
	if l.key("status") {
		t.Status = l.text()
	}
	if l.key("failure") {
		l.wrong = true // few trials fail
	}
	if l.key("started") {
		l.time(&t.Started)
	}
	if l.key("phases") {
		l.phases(&t.Phases)
	}
	if l.key("metrics") {
		t.Metrics = new(fiojob.Metrics)
		l.metrics(t.Metrics)
	}
	if l.key("iops_log") {
		t.IOPSLog = new(IOPSLog)
		l.iopsLog(t.IOPSLog)
	}
	if l.key("evidence") {
		l.evidence(&t.Evidence)
	}
	if l.key("guards") {
		t.Guards = l.guards()
	}
	if l.key("missing") {
		t.Missing = l.texts()
	}
	l.close('}')
}

func (l *line) phases(p *Phases) {
	l.open('{')
	l.number("boot_s", &p.BootS)
	l.number("switch_s", &p.SwitchS)
	l.number("attach_s", &p.AttachS)
	l.number("prepare_s", &p.PrepareS)
	l.number("prefill_s", &p.PrefillS)
	l.number("ramp_s", &p.RampS)
	l.number("measure_s", &p.MeasureS)
	l.number("collect_s", &p.CollectS)
	l.number("wall_s", &p.WallS)
	l.close('}')
}

func (l *line) metrics(m *fiojob.Metrics) {
	l.open('{')
	m.Read = l.direction("read")
	m.Write = l.direction("write")
	m.Trim = l.direction("trim")
	if l.key("sync") {
		m.Sync = new(fiojob.Sync)
		l.open('{')
		l.count("ios", &m.Sync.IOs)
		l.histogram(&m.Sync.Latency)
		l.count("impossible", &m.Sync.Impossible)
		l.close('}')
	}
	if l.key("missing") {
		m.Missing = l.texts()
	}
	l.close('}')
}

func (l *line) direction(name string) *fiojob.Direction {
	if !l.key(name) {
		return nil
	}
	d := new(fiojob.Direction)
	l.open('{')
	l.count("ios", &d.IOs)
	l.count("bytes", &d.Bytes)
	l.count("runtime_ns", &d.RuntimeNS)
	l.number("iops", &d.IOPS)
	l.number("bw", &d.BW)
	l.histogram(&d.Latency)
	if l.key("latency_kind") {
		d.LatencyKind = l.text()
	}
	l.close('}')
	return d
}

func (l *line) iopsLog(log *IOPSLog) {
	l.open('{')
	l.number("interval_s", &log.IntervalS)
	if l.key("iops") {
		log.IOPS = make([]float64, 0, 16)
		for l.open('['); l.element(']'); {
			log.IOPS = append(log.IOPS, l.float())
		}
	}
	l.close('}')
}

func (l *line) evidence(e *Evidence) {
	l.open('{')
	e.Expected = l.flags("expected")
	e.Effective = l.flags("effective")
	if l.key("flush_path") {
		p := &e.FlushPath
		l.open('{')
		p.Fio = l.optional("fio")
		l.count("fio_idle", &p.FioIdle)
		p.FioDsyncWrites = l.optional("fio_dsync_writes")
		p.Guest = l.optional("guest")
		p.QEMU = l.optional("qemu")
		p.Image = l.optional("image")
		p.ImageDsyncWrites = l.optional("image_dsync_writes")
		p.HostDevice = l.optional("host_device")
		l.is("includes_ramp", &p.IncludesRamp)
		l.close('}')
	}
	if l.key("qemu") {
		e.QEMU = new(BlockCounters)
		l.open('{')
		l.count("read_ops", &e.QEMU.ReadOps)
		l.count("read_bytes", &e.QEMU.ReadBytes)
		l.count("write_ops", &e.QEMU.WriteOps)
		l.count("write_bytes", &e.QEMU.WriteBytes)
		l.count("flush_ops", &e.QEMU.FlushOps)
		l.close('}')
	}
	if l.key("qemu_flush_latency") {
		e.QEMUFlushLatency = new(fiojob.Histogram)
		l.buckets(e.QEMUFlushLatency)
	}
	if l.key("guest") {
		e.Guest = l.guest()
	}
	if l.key("mount") {
		e.Mount = l.text()
	}
	e.AllocatedBytes = l.optional("allocated_bytes")
	l.count("unwritten_bytes", &e.UnwrittenBytes)
	if l.key("others_cpus") {
		e.OthersCPUs = new(l.float())
	}
	if l.key("image_o_direct") {
		e.ImageODirect = new(l.bool())
	}
	if l.key("residency") {
		e.Residency = new(Residency)
		l.open('{')
		l.count("before_bytes", &e.Residency.BeforeBytes)
		l.count("after_bytes", &e.Residency.AfterBytes)
		l.count("image_bytes", &e.Residency.ImageBytes)
		l.close('}')
	}
	e.GuestCacheBytes = l.optional("guest_cache_bytes")
	l.close('}')
}

func (l *line) flags(name string) *CacheFlags {
	if !l.key(name) {
		return nil
	}
	f := new(CacheFlags)
	l.open('{')
	l.is("writeback", &f.Writeback)
	l.is("direct", &f.Direct)
	l.is("no_flush", &f.NoFlush)
	l.close('}')
	return f
}

// guest reads an object of texts. Equal ones are one map, which nobody may change.
func (l *line) guest() map[string]string {
	begin := l.rest
	if end := bytes.IndexByte(begin, '}'); end >= 0 { // it may be in a text: what is known ends with its object
		if same, ok := l.known.guest[string(begin[:end+1])]; ok {
			l.rest, l.first = begin[end+1:], false
			return same
		}
	}
	m := map[string]string{}
	l.open('{')
	for l.element('}') {
		name := l.text()
		l.byte(':')
		if _, twice := m[name]; twice {
			l.wrong = true
		}
		m[name] = l.text()
	}
	if !l.wrong {
		if len(l.known.guest) >= maxKnown {
			clear(l.known.guest)
		}
		l.known.guest[string(begin[:len(begin)-len(l.rest)])] = m
	}
	return m
}

func (l *line) guards() []Guard {
	guards := make([]Guard, 0, 2)
	for l.open('['); l.element(']'); {
		var g Guard
		l.open('{')
		if l.key("guard") {
			g.Name = l.text()
		}
		if l.key("message") {
			g.Message = l.text()
		}
		l.close('}')
		guards = append(guards, g)
	}
	return guards
}

func (l *line) texts() []string {
	texts := make([]string, 0, 1)
	for l.open('['); l.element(']'); {
		texts = append(texts, l.text())
	}
	return texts
}

// byte reads this byte and nothing else.
func (l *line) byte(c byte) {
	if len(l.rest) == 0 || l.rest[0] != c {
		l.wrong, l.rest = true, nil
		return
	}
	l.rest = l.rest[1:]
}

func (l *line) open(bracket byte) {
	l.byte(bracket)
	l.first = true
}

func (l *line) close(bracket byte) {
	l.byte(bracket)
	l.first = false
}

// key reads a member's name and colon if it is this one, which needs no escape.
func (l *line) key(name string) bool {
	at := 0
	if !l.first {
		at = 1
	}
	end := at + len(name) + 3
	if len(l.rest) < end || !l.first && l.rest[0] != ',' || l.rest[at] != '"' || string(l.rest[at+1:end-2]) != name || l.rest[end-2] != '"' ||
		l.rest[end-1] != ':' {
		return false
	}
	l.rest, l.first = l.rest[end:], false
	return true
}

// element reads up to the next element of a list or object; false when the bracket ended it.
func (l *line) element(bracket byte) bool {
	switch {
	case l.wrong || len(l.rest) == 0:
		l.wrong = true
		return false
	case l.rest[0] == bracket:
		l.close(bracket)
		return false
	case !l.first:
		l.byte(',')
	}
	l.first = false
	return !l.wrong
}

// number reads a member that is a float64, if it is there; so do count, is, optional and histogram for theirs.
func (l *line) number(name string, into *float64) {
	if l.key(name) {
		*into = l.float()
	}
}

func (l *line) count(name string, into *int64) {
	if l.key(name) {
		*into = l.whole()
	}
}

func (l *line) is(name string, into *bool) {
	if l.key(name) {
		*into = l.bool()
	}
}

func (l *line) optional(name string) *int64 {
	if !l.key(name) {
		return nil
	}
	return new(l.whole())
}

func (l *line) histogram(into *fiojob.Histogram) {
	if l.key("latency") {
		l.buckets(into)
	}
}

// buckets reads a histogram's pairs.
func (l *line) buckets(into *fiojob.Histogram) {
	h, rest, ok := fiojob.ReadHistogram(l.rest)
	l.rest, l.wrong = rest, l.wrong || !ok
	*into = h
}

// text reads a string.
func (l *line) text() string {
	l.byte('"')
	for i, c := range l.rest {
		switch {
		case c == '"':
			text := l.known.text(l.rest[:i])
			l.rest = l.rest[i+1:]
			return text
		case c == '\\' || c < ' ' || c >= utf8.RuneSelf:
			return l.anyText(i)
		}
	}
	l.wrong = true
	return ""
}

// anyText reads a string behind its opening quote, which has something at an index that encoding/json must understand.
func (l *line) anyText(at int) string {
	for ; at < len(l.rest) && l.rest[at] != '"'; at++ {
		if l.rest[at] == '\\' {
			at++
		}
	}
	if at >= len(l.rest) {
		l.wrong = true
		return ""
	}
	var text string
	if json.Unmarshal(slices.Concat([]byte{'"'}, l.rest[:at+1]), &text) != nil {
		l.wrong = true
	}
	l.rest = l.rest[at+1:]
	return l.known.text([]byte(text))
}

// text returns a text as one string, however often it is asked for.
func (k *known) text(text []byte) string {
	if same, ok := k.texts[string(text)]; ok {
		return same
	}
	if len(k.texts) >= maxKnown {
		clear(k.texts)
	}
	same := string(text)
	k.texts[same] = same
	return same
}

// maxKnown bounds what is kept of a journal whose texts are never the same.
const maxKnown = 10_000

func (l *line) time(into *time.Time) {
	end := 0
	if len(l.rest) > 0 {
		end = 1 + bytes.IndexByte(l.rest[1:], '"')
	}
	if end == 0 || into.UnmarshalJSON(l.rest[:end+1]) != nil {
		l.wrong = true
		return
	}
	l.rest = l.rest[end+1:]
}

func (l *line) bool() bool {
	if rest, ok := bytes.CutPrefix(l.rest, []byte("true")); ok {
		l.rest = rest
		return true
	}
	rest, ok := bytes.CutPrefix(l.rest, []byte("false"))
	l.rest, l.wrong = rest, l.wrong || !ok
	return false
}

// whole reads an integer of at most 18 digits.
func (l *line) whole() int64 {
	n, digits := l.digits()
	if digits == 0 || digits > 18 {
		l.wrong = true
	}
	return n
}

// digits reads a JSON integer, and returns its value if it has at most 18 digits.
func (l *line) digits() (n int64, digits int) {
	rest, negative := bytes.CutPrefix(l.rest, []byte("-"))
	for digits < len(rest) && '0' <= rest[digits] && rest[digits] <= '9' {
		n = 10*n + int64(rest[digits]-'0')
		digits++
	}
	if digits > 1 && rest[0] == '0' {
		l.wrong = true
	}
	l.rest = rest[digits:]
	if negative {
		n = -n
	}
	return n, digits
}

// float reads a number.
func (l *line) float() float64 {
	begin := l.rest
	n, digits := l.digits()
	if digits == 0 {
		l.wrong = true
		return 0
	}
	places := 0
	if rest, point := bytes.CutPrefix(l.rest, []byte(".")); point {
		l.rest = rest
		var fraction int64
		if fraction, places = l.fraction(); digits+places <= 15 {
			n = n*int64(powersOfTen[places]) + fraction
		}
	}
	exponent := len(l.rest) > 0 && l.rest[0]|0x20 == 'e'
	if exponent {
		l.rest = l.rest[1:]
		if len(l.rest) > 0 && (l.rest[0] == '+' || l.rest[0] == '-') {
			l.rest = l.rest[1:]
		}
		l.fraction()
	}
	if !exponent && begin[0] != '-' && digits+places <= 15 { // a float64 holds both exactly: their quotient is the nearest
		return float64(n) / powersOfTen[places]
	}
	f, err := strconv.ParseFloat(string(begin[:len(begin)-len(l.rest)]), 64)
	l.wrong = l.wrong || err != nil
	return f
}

// powersOfTen are those that a float64 of 15 digits may be divided by.
var powersOfTen = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// fraction reads digits, zeros in front of them too, and returns their value if there are at most 18.
func (l *line) fraction() (n int64, digits int) {
	for digits < len(l.rest) && '0' <= l.rest[digits] && l.rest[digits] <= '9' {
		n = 10*n + int64(l.rest[digits]-'0')
		digits++
	}
	l.rest, l.wrong = l.rest[digits:], l.wrong || digits == 0
	return n, digits
}

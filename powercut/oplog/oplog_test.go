package oplog

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

var images = []Image{{Name: "data.img", SizeBytes: 1 << 20}, {Name: "", SizeBytes: math.MaxInt64}}

// entry is an event with its data.
type entry struct {
	Event Event
	Data  []byte
}

var entries = []entry{
	{Event{Kind: Write, Op: 1, TimeNS: 10, Offset: 512, Length: 3, Flags: Direct}, []byte("abc")},
	{Event{Kind: Write, Image: 1, Op: 2, TimeNS: 11, Offset: math.MaxInt64 - 4096, Length: 4096, Flags: Zero | Dsync}, nil},
	{Event{Kind: WriteEnd, Op: 1, TimeNS: 12, Offset: 512, Length: 3, Flags: Direct}, nil},
	{Event{Kind: Write, Op: 3}, []byte{}},
	{Event{Kind: Flush, Op: math.MaxUint64, TimeNS: math.MaxInt64}, nil},
	{Event{Kind: Flushed}, nil},
	{Event{Kind: FlushEnd}, nil},
	{Event{Kind: Writeback, Length: 1 << 20}, nil},
	{Event{Kind: Destage, Offset: 1 << 20}, nil},
	{Event{Kind: Cut, Image: 77}, nil},
}

func writeLog(t testing.TB, images []Image, entries []entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, images)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := w.Append(e.Event, e.Data); err != nil {
			t.Fatal(err)
		}
	}
	if w.Events() != int64(len(entries)) {
		t.Fatalf("%d events were appended, the writer counts %d", len(entries), w.Events())
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// readLog reads until an error, which it gives.
func readLog(log io.Reader) (*Reader, []entry, error) {
	r, err := NewReader(log)
	if err != nil {
		return nil, nil, err
	}
	var all []entry
	for {
		e, data, err := r.Next()
		if err != nil {
			return r, all, err
		}
		all = append(all, entry{e, append([]byte(nil), data...)})
	}
}

func TestALogIsReadAsItWasWritten(t *testing.T) {
	log := writeLog(t, images, entries)
	for name, from := range map[string]io.Reader{"at once": bytes.NewReader(log), "by bytes": iotest.OneByteReader(bytes.NewReader(log))} {
		r, got, err := readLog(from)
		if err != io.EOF {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(images, r.Images()); diff != "" {
			t.Errorf("%s: images: %s", name, diff)
		}
		if r.Events() != int64(len(entries)) || r.Offset() != int64(len(log)) {
			t.Errorf("%s: %d events, %d bytes of %d", name, r.Events(), r.Offset(), len(log))
		}
		for i, want := range entries {
			if got[i].Event != want.Event || !bytes.Equal(got[i].Data, want.Data) {
				t.Errorf("%s: event %d is %+v, want %+v", name, i+1, got[i], want)
			}
		}
	}
}

func TestTheOffsetIsWhereTheNextEventBegins(t *testing.T) {
	log := writeLog(t, images, entries)
	r, err := NewReader(bytes.NewReader(log))
	if err != nil {
		t.Fatal(err)
	}
	for i := range entries {
		if at := r.Offset(); Kind(log[at]) != entries[i].Event.Kind {
			t.Fatalf("event %d does not begin at byte %d", i+1, at)
		}
		if _, _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestALogThatIsCutAnywhereSaysSo(t *testing.T) {
	log := writeLog(t, images, entries)
	r, _, _ := readLog(bytes.NewReader(log))
	whole := map[int]bool{} // lengths at which nothing is seen to be missing
	at, _ := NewReader(bytes.NewReader(log))
	for range r.Events() + 1 {
		whole[int(at.Offset())] = true
		at.Next()
	}
	for n := 1; n < len(log); n++ {
		_, _, err := readLog(bytes.NewReader(log[:n]))
		if whole[n] {
			if err != io.EOF {
				t.Errorf("cut at byte %d, after an event: %v", n, err)
			}
			continue
		}
		if !errors.Is(err, ErrTruncated) {
			t.Errorf("cut at byte %d: %v", n, err)
		}
	}
}

func TestATruncatedLogNamesEventAndByte(t *testing.T) {
	log := writeLog(t, images[:1], entries[:1])
	head := len(log) - eventBytes - 3
	_, _, err := readLog(bytes.NewReader(log[:head+10]))
	if err == nil || err.Error() != "event 1 of the log, at byte 35: the log is cut short" {
		t.Errorf("cut in the event: %v", err)
	}
	_, _, err = readLog(bytes.NewReader(log[:len(log)-1]))
	if err == nil || err.Error() != "event 1 of the log, at byte 75: the log is cut short" {
		t.Errorf("cut in the data: %v", err)
	}
}

func TestEventsThatCannotBeAreRefused(t *testing.T) {
	for _, test := range []struct {
		name  string
		event Event
		want  string
	}{
		{"no kind", Event{}, "unknown kind 0"},
		{"a kind too many", Event{Kind: 9}, "unknown kind 9"},
		{"no image", Event{Kind: Flush, Image: 2}, "no image 2"},
		{"a negative offset", Event{Kind: Destage, Offset: -1}, "impossible range"},
		{"a negative length", Event{Kind: Destage, Length: -1}, "impossible range"},
		{"too many data", Event{Kind: Write, Image: 1, Length: maxLength + 1}, "impossible range"},
		{"beyond the image", Event{Kind: Destage, Offset: 1<<20 - 511, Length: 512}, "beyond the image"},
		{"beyond the image by overflow", Event{Kind: Write, Flags: Zero, Offset: math.MaxInt64 - 100, Length: 512}, "beyond the image"},
		{"beyond the largest image by overflow", Event{Kind: Write, Image: 1, Flags: Zero, Offset: math.MaxInt64 - 100, Length: 512},
			"beyond the image"},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := test.event
			e.Flags |= Zero // so that Append wants no data
			log := writeLog(t, images, []entry{{e, nil}})
			if test.event.Flags == 0 {
				log[len(log)-eventBytes+2] = 0
			}
			_, _, err := readLog(bytes.NewReader(log))
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "event 1 ") {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

func TestWhatIsNoLogIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"nothing": "", "text": "Lorem ipsum dolor sit amet", "another version": "platter oplog 2\n\x00\x00",
	} {
		if _, err := NewReader(strings.NewReader(text)); err == nil || errors.Is(err, ErrTruncated) {
			t.Errorf("%s: %v", name, err)
		}
	}
	many := []byte(magic + "\xff\x00")
	if _, err := NewReader(bytes.NewReader(many)); err == nil || !strings.Contains(err.Error(), "255 images") {
		t.Errorf("too many images: %v", err)
	}
}

func TestAWriterRefusesWhatAReaderWould(t *testing.T) {
	if _, err := NewWriter(io.Discard, make([]Image, maxImages+1)); err == nil {
		t.Error("too many images were taken")
	}
	if _, err := NewWriter(io.Discard, []Image{{Name: strings.Repeat("x", maxName+1)}}); err == nil {
		t.Error("a name too long was taken")
	}
	log := writeLog(t, make([]Image, maxImages), nil)
	if _, _, err := readLog(bytes.NewReader(log)); err != io.EOF {
		t.Errorf("as many images as may be: %v", err)
	}
}

func TestErrorsOfReadingAndWritingArePassedOn(t *testing.T) {
	log := writeLog(t, images, entries)
	broken := errors.New("broken")
	_, _, err := readLog(io.MultiReader(bytes.NewReader(log[:len(log)-50]), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) || errors.Is(err, ErrTruncated) {
		t.Errorf("reading: %v", err)
	}
	pipe, w := io.Pipe()
	pipe.CloseWithError(broken)
	writer, err := NewWriter(w, images)
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.Flush(); !errors.Is(err, broken) {
		t.Errorf("writing: %v", err)
	}
}

// Half of the sectors survive by dice that differ with seed, image and sector.
func TestDiceAreFairAndDiffer(t *testing.T) {
	differ := map[string]int{}
	ones := 0
	const throws = 10000
	for s := range int64(throws) {
		d := Dice(1, 0, s)
		ones += int(d & 1)
		for name, other := range map[string]uint64{"seed": Dice(2, 0, s), "image": Dice(1, 1, s), "sector": Dice(1, 0, s+1), "bit 1": d >> 1} {
			differ[name] += int((d ^ other) & 1)
		}
	}
	differ["ones"] = ones
	for name, n := range differ {
		if n < throws*45/100 || n > throws*55/100 {
			t.Errorf("%s: %d of %d", name, n, throws)
		}
	}
}

// FuzzReader reads anything; what it can read, a writer writes again byte for byte but for the field that is kept free.
func FuzzReader(f *testing.F) {
	f.Add(writeLog(f, images, entries))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, all, err := readLog(bytes.NewReader(text))
		if err == nil {
			t.Fatal("reading ended without an error or EOF")
		}
		if err != io.EOF {
			return
		}
		again := writeLog(t, r.Images(), all)
		if len(again) != len(text) {
			t.Errorf("%d bytes are written as %d", len(text), len(again))
		}
		r2, all2, err := readLog(bytes.NewReader(again))
		if err != io.EOF || !cmp.Equal(all, all2) || !cmp.Equal(r.Images(), r2.Images()) {
			t.Errorf("read again it differs (%v)", err)
		}
	})
}

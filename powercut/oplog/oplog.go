// Package oplog is the operation log of a disk that can lose power: what was asked of it, in which order, and when each
// thing took effect in its layers. A log and the images as they were when it began give the survivor of every crash.
package oplog

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Kind is the kind of an event.
type Kind uint8

// The kinds of events. Layers are the host's page cache, the drive's cache and the medium.
const (
	// Write is the arrival of a write; its data follow in the log unless it has the flag Zero.
	Write Kind = 1
	// WriteEnd is the effect of the write Op, just before its reply: the data are now in the host's page cache, or, with
	// Direct, in the drive's cache, or, with Dsync, on the medium. What the page cache held of a range that is written
	// Direct goes to the drive's cache first. With Dsync all of the range goes on to the medium.
	WriteEnd Kind = 2
	// Flush is the arrival of a flush (fsync or fdatasync of the image).
	Flush Kind = 3
	// Flushed is its effect: everything whose WriteEnd comes before this in the log is on the medium.
	Flushed Kind = 4
	// FlushEnd comes just before the reply to the flush Op.
	FlushEnd Kind = 5
	// Writeback moves a range from the host's page cache to the drive's cache, as it is at this moment.
	Writeback Kind = 6
	// Destage moves a range from the drive's cache to the medium, as it is at this moment.
	Destage Kind = 7
	// Cut is the moment of a crash; nothing of this generation happens after it.
	Cut Kind = 8
)

// Flags of a Write and its WriteEnd.
const (
	Direct uint16 = 1 << 0 // the image was opened with O_DIRECT
	Dsync  uint16 = 1 << 1 // O_DSYNC or O_SYNC
	Zero   uint16 = 1 << 2 // discard or write zeroes: the range reads as zeros; no data in the log
)

// Event is one entry of a log.
type Event struct {
	Kind   Kind
	Image  uint8  // number of the image, as in the header
	Flags  uint16 // of Write and WriteEnd
	Op     uint64 // number of the operation, from 1, the same in its events; 0 for those that no client asked for
	TimeNS int64  // since the log began
	Offset int64  // in the image, in bytes; of Write, WriteEnd, Writeback, Destage
	Length int64  // in bytes
}

// Image is an image whose operations are in a log.
type Image struct {
	Name      string
	SizeBytes int64
}

const (
	magic       = "platter oplog 1\n"
	eventBytes  = 40
	maxImages   = 250
	maxName     = 255
	maxLength   = 64 << 20 // data of one write; the kernel's FUSE writes are 1 MiB at the most
	maxZero     = 1 << 50
	headerBytes = len(magic) + 2
)

// Writer writes a log. It is not safe for several goroutines: the disk writes it under the lock that orders its operations.
type Writer struct {
	w       *bufio.Writer
	scratch [eventBytes]byte
	events  int64
}

// NewWriter begins a log of images; their position is their number.
func NewWriter(w io.Writer, images []Image) (*Writer, error) {
	if len(images) > maxImages {
		return nil, fmt.Errorf("%d images in a log: at most %d", len(images), maxImages)
	}
	b := bufio.NewWriterSize(w, 1<<20)
	head := []byte(magic)
	head = binary.LittleEndian.AppendUint16(head, uint16(len(images)))
	for _, i := range images {
		if len(i.Name) > maxName {
			return nil, fmt.Errorf("image name of %d bytes: at most %d", len(i.Name), maxName)
		}
		head = append(head, byte(len(i.Name)))
		head = append(head, i.Name...)
		head = binary.LittleEndian.AppendUint64(head, uint64(i.SizeBytes))
	}
	_, err := b.Write(head)
	return &Writer{w: b}, err
}

// Append writes an event and, for a Write without Zero, its data of e.Length bytes.
func (w *Writer) Append(e Event, data []byte) error {
	le, b := binary.LittleEndian, w.scratch[:]
	b[0] = byte(e.Kind)
	b[1] = e.Image
	le.PutUint16(b[2:], e.Flags)
	le.PutUint32(b[4:], 0)
	le.PutUint64(b[8:], e.Op)
	le.PutUint64(b[16:], uint64(e.TimeNS))
	le.PutUint64(b[24:], uint64(e.Offset))
	le.PutUint64(b[32:], uint64(e.Length))
	w.events++
	if _, err := w.w.Write(b); err != nil {
		return err
	}
	if !e.hasData() {
		return nil
	}
	_, err := w.w.Write(data[:e.Length])
	return err
}

// Events returns how many events were appended.
func (w *Writer) Events() int64 { return w.events }

// Flush hands everything to the underlying writer.
func (w *Writer) Flush() error { return w.w.Flush() }

func (e Event) hasData() bool { return e.Kind == Write && e.Flags&Zero == 0 }

// ErrTruncated is wrapped in the error of a log that ends in the middle of its head or of an event.
var ErrTruncated = errors.New("the log is cut short")

// Reader reads a log from its beginning.
type Reader struct {
	r       *bufio.Reader
	images  []Image
	data    []byte
	scratch [eventBytes]byte
	events  int64
	at      int64 // bytes of the log before the next event
}

// NewReader reads the head of a log.
func NewReader(r io.Reader) (*Reader, error) {
	b := bufio.NewReaderSize(r, 1<<20)
	head := make([]byte, headerBytes)
	if n, err := io.ReadFull(b, head); err != nil || string(head[:len(magic)]) != magic {
		if n > 0 && strings.HasPrefix(magic, string(head[:min(n, len(magic))])) {
			return nil, fmt.Errorf("read head of log, at byte %d: %w", n, truncated(err))
		}
		return nil, errors.New("not an operation log of platter's (or of another version)")
	}
	reader := &Reader{r: b, at: int64(headerBytes)}
	n := int(binary.LittleEndian.Uint16(head[len(magic):]))
	if n > maxImages {
		return nil, fmt.Errorf("a log of %d images: at most %d", n, maxImages)
	}
	for range n {
		length, err := b.ReadByte()
		if err != nil {
			return nil, fmt.Errorf("read head of log: %w", ErrTruncated)
		}
		text := make([]byte, int(length)+8)
		if _, err := io.ReadFull(b, text); err != nil {
			return nil, fmt.Errorf("read head of log: %w", ErrTruncated)
		}
		size := int64(binary.LittleEndian.Uint64(text[length:]))
		if size < 0 {
			return nil, fmt.Errorf("read head of log: image size %d", size)
		}
		reader.images = append(reader.images, Image{Name: string(text[:length]), SizeBytes: size})
		reader.at += int64(len(text)) + 1
	}
	return reader, nil
}

// Images returns the images of the log by their numbers.
func (r *Reader) Images() []Image { return r.images }

// Events returns how many events were read.
func (r *Reader) Events() int64 { return r.events }

// Offset returns where the next event begins in the log, in bytes; the data of a Write follow eventBytes later.
func (r *Reader) Offset() int64 { return r.at }

// Next reads the next event and its data, which are valid until the next call. io.EOF comes after the last event;
// ErrTruncated is wrapped where the log ends within one.
func (r *Reader) Next() (Event, []byte, error) {
	b := r.scratch[:]
	if _, err := io.ReadFull(r.r, b); err != nil {
		if errors.Is(err, io.EOF) {
			return Event{}, nil, io.EOF
		}
		return Event{}, nil, r.bad(r.events+1, truncated(err))
	}
	le := binary.LittleEndian
	e := Event{
		Kind: Kind(b[0]), Image: b[1], Flags: le.Uint16(b[2:]), Op: le.Uint64(b[8:]),
		TimeNS: int64(le.Uint64(b[16:])), Offset: int64(le.Uint64(b[24:])), Length: int64(le.Uint64(b[32:])),
	}
	if err := r.check(e); err != nil {
		return Event{}, nil, r.bad(r.events+1, err)
	}
	r.events++
	r.at += eventBytes
	if !e.hasData() {
		return e, nil, nil
	}
	if int64(cap(r.data)) < e.Length {
		r.data = make([]byte, e.Length)
	}
	r.data = r.data[:e.Length]
	if _, err := io.ReadFull(r.r, r.data); err != nil {
		return Event{}, nil, r.bad(r.events, truncated(err))
	}
	r.at += e.Length
	return e, r.data, nil
}

// truncated returns ErrTruncated for a read that found less than it should, else err.
func truncated(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrTruncated
	}
	return err
}

// bad returns err with the place in the log: the number of the event, from 1, and how many bytes come before it or its data.
func (r *Reader) bad(n int64, err error) error {
	return fmt.Errorf("event %d of the log, at byte %d: %w", n, r.at, err)
}

func (r *Reader) check(e Event) error {
	switch {
	case e.Kind < Write || e.Kind > Cut:
		return fmt.Errorf("unknown kind %d", e.Kind)
	case int(e.Image) >= len(r.images) && e.Kind != Cut:
		return fmt.Errorf("no image %d", e.Image)
	case e.Offset < 0 || e.Length < 0 || e.hasData() && e.Length > maxLength || e.Length > maxZero:
		return fmt.Errorf("impossible range %d+%d", e.Offset, e.Length)
	case e.Kind != Cut && e.Offset > r.images[e.Image].SizeBytes-e.Length:
		return fmt.Errorf("range %d+%d is beyond the image's %d bytes", e.Offset, e.Length, r.images[e.Image].SizeBytes)
	}
	return nil
}

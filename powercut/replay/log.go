package replay

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"

	"platter/powercut/oplog"
)

// Log is where an operation log lies, plain or compressed by gzip. It is read several times, each time from its beginning.
type Log struct {
	Name string // for messages
	Open func() (io.ReadCloser, error)
}

// File returns the log in a file.
func File(path string) Log {
	return Log{path, func() (io.ReadCloser, error) { return os.Open(path) }}
}

// source opens a log to be read from its beginning; it may do so any number of times.
type source func() (*oplog.Reader, io.Closer, error)

func (l Log) source() (*oplog.Reader, io.Closer, error) {
	f, err := l.Open()
	if err != nil {
		return nil, nil, err
	}
	log, err := reader(f)
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return log, f, nil
}

func reader(f io.Reader) (*oplog.Reader, error) {
	b := bufio.NewReaderSize(f, 1<<20)
	if head, err := b.Peek(2); err != nil || !bytes.Equal(head, []byte{0x1f, 0x8b}) {
		return oplog.NewReader(b)
	}
	z, err := gzip.NewReader(b)
	if err != nil {
		return nil, err
	}
	return oplog.NewReader(z)
}

// each calls f with every event up to and including the crash point, or to the end of the log when point is negative.
func (s source) each(c Campaign, point int64, f func(e oplog.Event, data []byte) error) error {
	log, closer, err := s()
	if err != nil {
		return err
	}
	defer closer.Close()
	if err := c.checkLog(log); err != nil {
		return err
	}
	return each(log, point, f)
}

// in returns err with the name of the log.
func (l Log) in(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("operation log %s: %w", l.Name, err)
}

// PointError is the error of a crash point that the log does not have.
type PointError struct {
	Point int64
	Last  int64 // crash point of the log
}

func (e *PointError) Error() string {
	return fmt.Sprintf("no crash point %d: the log has 1 to %d", e.Point, e.Last)
}

// each calls f with the events of a log as source.each does. Its errors name the event and its byte.
func each(log *oplog.Reader, point int64, f func(e oplog.Event, data []byte) error) error {
	ended := false
	for log.Events() != point {
		at := log.Offset()
		e, data, err := log.Next()
		if err == io.EOF && point < 0 {
			return nil
		}
		if err == io.EOF {
			return &PointError{Point: point, Last: log.Events()}
		}
		if err != nil {
			return err
		}
		if ended && e.Kind != oplog.Cut {
			err = errors.New("something happened after the cut")
		} else {
			err = f(e, data)
		}
		if err != nil {
			return fmt.Errorf("event %d of the log, at byte %d: %w", log.Events(), at, err)
		}
		ended = e.Kind == oplog.Cut
	}
	return nil
}

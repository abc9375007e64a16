package replay

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"

	"platter/powercut/witness"
)

// WriteBase writes the data image as it was when the log began into an empty file. open opens the image that Base names; it is not
// called for a campaign that names none.
func (c Campaign) WriteBase(open func(base string) (io.ReadCloser, error), image *os.File) error {
	if err := image.Truncate(c.SizeBytes); err != nil {
		return err
	}
	if c.Base != "" {
		f, err := open(c.Base)
		if err != nil {
			return fmt.Errorf("open the image that the campaign began from: %w", err)
		}
		defer f.Close()
		return c.unpack(f, image)
	}
	if c.Filesystem != "none" && c.Filesystem != "" || c.Format != "raw" || len(c.Extents) > 0 {
		return errors.New("the campaign names no image to begin from (base), and has more on its disk than the probe's blocks")
	}
	return c.prefill(image)
}

// prefill writes the probe's blocks as they are before its first write.
func (c Campaign) prefill(image *os.File) error {
	l := c.Layout
	b := make([]byte, l.BlockBytes)
	for job := range l.Jobs {
		for n := range l.Blocks {
			witness.Stamp{Campaign: l.Campaign, Job: uint16(job), Block: uint32(n)}.PutBlock(b)
			if _, err := image.WriteAt(b, l.Home(uint16(job), uint32(n))); err != nil {
				return err
			}
		}
	}
	return nil
}

// unpack writes a gzip-compressed image sparsely.
func (c Campaign) unpack(f io.Reader, image *os.File) error {
	z, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("read %s: %w", c.Base, err)
	}
	b := make([]byte, 64<<10)
	for at := int64(0); ; {
		n, err := io.ReadFull(z, b)
		if at+int64(n) > c.SizeBytes {
			return fmt.Errorf("%s is larger than the campaign's image of %d bytes", c.Base, c.SizeBytes)
		}
		if !zero(b[:n]) {
			if _, err := image.WriteAt(b[:n], at); err != nil {
				return err
			}
		}
		at += int64(n)
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) && n > 0 && ended(z):
			return nil
		case err != nil:
			return fmt.Errorf("read %s at byte %d: %w", c.Base, at, err)
		}
	}
}

// ended reports whether a stream came to its own end, and was not cut short.
func ended(z io.Reader) bool {
	_, err := z.Read(make([]byte, 1))
	return errors.Is(err, io.EOF)
}

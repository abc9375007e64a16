package hypervisor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"platter/fault"
)

const (
	procDir = "/proc"
	// logTail is how much is read of the end of QEMU's log, in bytes, and logLines how many lines of it are given.
	logTail  = 64 << 10
	logLines = 20
)

// PID is the process of QEMU: from libvirt's pid file, or else by its command line. Nothing is signalled by it.
func (d *Domain) PID(ctx context.Context) (int, error) {
	op := "find the QEMU process of domain " + d.Name()
	if err := ctx.Err(); err != nil {
		return 0, unanswered(op, err)
	}
	// Below another root the file has the number of another process namespace, which may be anybody's here.
	if pid, ok := pidFromFile(filepath.Join(d.host.address.runDir, d.Name()+".pid")); ok && isGuest(procDir, pid, d.Name()) {
		return pid, nil
	}
	if pid, ok := scanForGuest(procDir, d.Name()); ok {
		return pid, nil
	}
	return 0, &Error{Op: op, Fault: fault.Rig, Message: "there is no such process", Err: ErrGone}
}

func pidFromFile(path string) (int, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid, err == nil && pid > 0
}

// isGuest reports whether the process was started as QEMU for the domain: libvirt passes -name guest=NAME,debug-threads=on,
// with commas in the name doubled. A process that has ended but not been waited for has no command line.
func isGuest(proc string, pid int, name string) bool {
	text, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "cmdline"))
	if err != nil {
		return false
	}
	guest := "guest=" + strings.ReplaceAll(name, ",", ",,")
	args := bytes.Split(text, []byte{0})
	for i, arg := range args {
		if i == 0 || string(args[i-1]) != "-name" {
			continue
		}
		if rest, ok := bytes.CutPrefix(arg, []byte(guest)); ok && endsValue(rest) {
			return true
		}
	}
	return false
}

// endsValue reports whether what follows a value in a QEMU option is its end: nothing, or one comma (two are a literal one).
func endsValue(rest []byte) bool {
	return len(rest) == 0 || (rest[0] == ',' && !bytes.HasPrefix(rest, []byte(",,")))
}

func scanForGuest(proc, name string) (int, bool) {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return 0, false
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err == nil && isGuest(proc, pid, name) {
			return pid, true
		}
	}
	return 0, false
}

// ImageODirect reports whether QEMU has the image at path (a file or block device) open with O_DIRECT: what was really
// asked of the host's kernel. Only descriptors open for writing count. It reads /proc, which needs root, and fails
// if QEMU has no such descriptor, or has several that differ.
func (d *Domain) ImageODirect(ctx context.Context, path string) (bool, error) {
	pid, err := d.PID(ctx)
	if err != nil {
		return false, err
	}
	direct, err := imageODirect(procDir, pid, path)
	if err != nil {
		return false, rigError(fmt.Sprintf("read how QEMU of domain %s opened %s", d.Name(), path), err)
	}
	return direct, nil
}

func imageODirect(proc string, pid int, path string) (bool, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return false, err
	}
	dir := filepath.Join(proc, strconv.Itoa(pid))
	entries, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil {
		return false, err
	}
	with, without := 0, 0
	for _, entry := range entries {
		file, err := os.Readlink(filepath.Join(dir, "fd", entry.Name()))
		if err != nil || file != real {
			continue
		}
		flags, err := descriptorFlags(filepath.Join(dir, "fdinfo", entry.Name()))
		if err != nil {
			continue // closed meanwhile
		}
		switch {
		case flags&syscall.O_ACCMODE == syscall.O_RDONLY:
		case flags&syscall.O_DIRECT != 0:
			with++
		default:
			without++
		}
	}
	switch {
	case with+without == 0:
		return false, errors.New("QEMU has no descriptor open on it for writing")
	case with > 0 && without > 0:
		return false, fmt.Errorf("QEMU has %d descriptors with O_DIRECT on it and %d without", with, without)
	}
	return with > 0, nil
}

func descriptorFlags(path string) (int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return parseFlags(string(text))
}

// parseFlags reads the open flags out of a file of /proc/PID/fdinfo: the line "flags:" with an octal number (proc(5)).
func parseFlags(text string) (int, error) {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, "flags:"); ok {
			flags, err := strconv.ParseUint(strings.TrimSpace(value), 8, 32)
			return int(flags), err
		}
	}
	return 0, errors.New("no flags in fdinfo")
}

// Log is the end of QEMU's log, which libvirt keeps: up to 20 lines, oldest first, also of a domain that is gone. It
// may have lines of earlier domains of the same name. The error is the file system's.
func (d *Domain) Log() ([]string, error) {
	f, err := os.Open(filepath.Join(d.host.address.logDir, d.Name()+".log"))
	if err != nil {
		return nil, fmt.Errorf("read the log of domain %s: %w", d.Name(), err)
	}
	defer f.Close()
	lines, err := lastLines(f, logTail, logLines)
	if err != nil {
		return nil, fmt.Errorf("read the log of domain %s: %w", d.Name(), err)
	}
	return lines, nil
}

// lastLines are the last n lines within the last size bytes of a file; a line that begins before those is left out.
func lastLines(f io.ReadSeeker, size int64, n int) ([]string, error) {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	begin := max(0, end-size)
	if _, err := f.Seek(begin, io.SeekStart); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	if begin > 0 {
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	if len(lines) == 1 && lines[0] == "" {
		return nil, nil
	}
	return lines[max(0, len(lines)-n):], nil
}

package crash

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"platter/text"
)

// checker runs a program that looks at a survivor, and returns what it said and its exit status. That it could not be run to an end of
// its own or found no room for its work is the rig's fault: no survivor is to be called broken for that.
func checker(ctx context.Context, program string, args ...string) (said string, status int, err error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C") // its words are read
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return "", 0, context.Cause(ctx)
	}
	said = string(out)
	status, ran := exitStatus(err)
	switch {
	case !ran:
		return said, status, rigError("run "+program+" on a survivor", fmt.Errorf("%w: %s", err, text.LastLine(said)))
	case strings.Contains(said, "No space left on device"):
		return said, status, rigError("run "+program+" on a survivor", errors.New(text.LastLine(said)))
	}
	return said, status, nil
}

// exitStatus is how a checker ended. It did not run to an end of its own when it could not be started or was killed.
func exitStatus(err error) (status int, ran bool) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, true
	case errors.As(err, &exit):
		return exit.ExitCode(), exit.ExitCode() > 0
	}
	return 0, false
}

// checkFormat has QEMU's own tool check an image of a format. It returns what that said of damage; nothing for a whole image. Leaked
// clusters are no damage.
func checkFormat(ctx context.Context, path, format string) (string, error) {
	const leaks = 3 // exit status of qemu-img check (its manual)
	f, err := os.Open(path)
	if err != nil {
		return "", rigError("read a survivor", err)
	}
	f.Close()
	said, status, err := checker(ctx, "qemu-img", "check", "-f", format, path)
	switch {
	case err != nil || status == 0 || status == leaks:
		return "", err
	case strings.Contains(said, "Failed to get"): // a lock: another process has it open
		return "", rigError("run qemu-img on a survivor", errors.New(text.LastLine(said)))
	}
	return "qemu-img check: " + complaint(said), nil
}

// asRaw has QEMU's own tools check a survivor and turn it into a raw image.
func asRaw(ctx context.Context, s survivor, format string) (survivor, error) {
	var err error
	if s.broken, err = checkFormat(ctx, s.path, format); err != nil {
		return s, err
	}
	raw := s.path + ".raw"
	said, status, err := checker(ctx, "qemu-img", "convert", "-f", format, "-O", "raw", s.path, raw)
	if err != nil || status != 0 {
		os.Remove(raw)
	}
	switch {
	case err != nil:
		return s, err
	case status != 0:
		s.broken = "qemu-img convert: " + text.LastLine(said)
		return s, nil
	}
	os.Remove(s.path)
	s.path = raw
	return s, nil
}

// checkExt4 plays the journal, lets e2fsck tidy up what a healthy crash leaves (orphans, counters), and then wants nothing left to
// complain of. It returns what e2fsck said; nothing for a whole file system.
func checkExt4(ctx context.Context, image string) (string, error) {
	for _, step := range []struct {
		args   []string
		status int // the highest that is fine
	}{
		{[]string{"-E", "journal_only", "-y"}, 0}, // 1: it has thrown the journal away, and said yes to all that followed
		{[]string{"-p"}, 1},
		{[]string{"-fn"}, 0},
	} {
		said, status, err := checker(ctx, "e2fsck", append(step.args, image)...)
		if err != nil {
			return "", err
		}
		if status >= operational && !superblocksGone(said) {
			return "", rigError("check a survivor's file system", fmt.Errorf("e2fsck: exit status %d: %s", status, complaint(said)))
		}
		if status > step.status {
			return fmt.Sprintf("e2fsck %s: %s", strings.Join(step.args, " "), complaint(said)), nil
		}
	}
	return "", nil
}

// operational is the exit status of an e2fsck that could not do its work, for want of memory for example (its manual: 8 operational
// error, 16 usage, 32 canceled, 128 shared library error), beside that of what it had found by then.
const operational = 8

// superblocksGone reports whether that was the file system's own fault: it can be so far gone that e2fsck does not open it.
func superblocksGone(said string) bool {
	return slices.ContainsFunc([]string{"Bad magic number in super-block while", "Superblock checksum does not match superblock while",
		"The ext2 superblock is corrupt while", "Either the superblock or the partition table is likely to be corrupt!"},
		func(words string) bool { return strings.Contains(said, words) })
}

// complaint is the first line of a checker's that says something beyond e2fsck's version and passes.
func complaint(out string) string {
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "e2fsck ") && !strings.HasPrefix(line, "Pass ") {
			return line
		}
	}
	return "failed"
}

// debugfsWord quotes a word of a request: a quote within it is doubled, and nothing else is escaped (e2fsprogs 1.47, lib/ss/parse.c).
func debugfsWord(word string) string { return `"` + strings.ReplaceAll(word, `"`, `""`) + `"` }

// debugfs reads from a survivor's ext4 without mounting it, and returns what was said. It exits with 0 whatever happens.
func debugfs(ctx context.Context, image, request string) (said string, err error) {
	said, status, err := checker(ctx, "debugfs", "-R", request, image)
	if err == nil && (status != 0 || strings.Contains(said, "while trying to open ") || strings.Contains(said, " for dump_inode")) {
		// e2fsck has opened it before, and where it writes to is ours.
		err = rigError("run debugfs on a survivor", errors.New(text.LastLine(said)))
	}
	return said, err
}

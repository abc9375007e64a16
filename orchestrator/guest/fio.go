package guest

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// fioHelpScript has a system's fio say all that it says of its options.
//
//go:embed fio-help.sh
var fioHelpScript []byte

// fioHelpFile is where an image keeps what its fio said.
const fioHelpFile = "fio-help.txt"

// FioHelp returns what the guest's fio says of its options (fio-help.sh). It was asked when the image was built; that of an image which an
// older platter built is asked now and kept with it, which takes root, loop devices and some seconds, and is said to log.
func (i *Image) FioHelp(ctx context.Context, log io.Writer) ([]byte, error) {
	help, err := os.ReadFile(filepath.Join(i.Dir, fioHelpFile))
	if !errors.Is(err, fs.ErrNotExist) {
		return help, err
	}
	if os.Geteuid() != 0 {
		return nil, &Error{Message: "asking the fio of a guest image that an older platter built needs root: run platter guest build as root"}
	}
	fmt.Fprintf(log, "guest: asking fio %s for its options, once\n", i.Fio)
	at, err := os.MkdirTemp("", "platter-guest-")
	if err != nil {
		return nil, fmt.Errorf("mount guest image: %w", err)
	}
	defer os.Remove(at)
	// In a mount namespace of its own, which ends with the command: nothing stays mounted, however that ends.
	script := `mount -o ro,loop "$1" "$2" && exec chroot "$2" /bin/sh -s`
	help, err = askFio(exec.CommandContext(ctx, "unshare", "--mount", "sh", "-c", script, "sh", i.RootPath(), at))
	if err != nil {
		return nil, err
	}
	return help, keepHelp(i.Dir, help)
}

// askFio has a shell, which reads its commands from standard input in the guest's root, ask the guest's fio.
func askFio(shell *exec.Cmd) ([]byte, error) {
	var stderr bytes.Buffer
	shell.Stdin, shell.Stderr = bytes.NewReader(fioHelpScript), &stderr
	help, err := shell.Output()
	if err != nil {
		return nil, fmt.Errorf("ask the guest's fio for its options: %w: %s", err, lastLine(stderr.Bytes()))
	}
	return help, nil
}

// keepHelp writes the file whole or not at all.
func keepHelp(dir string, help []byte) error {
	next, err := os.CreateTemp(dir, fioHelpFile)
	if err == nil {
		_, err = next.Write(help)
		err = errors.Join(err, next.Chmod(0o644), next.Close())
		if err == nil {
			err = os.Rename(next.Name(), filepath.Join(dir, fioHelpFile))
		}
	}
	if err != nil {
		return fmt.Errorf("keep what the guest's fio says: %w", err)
	}
	return nil
}

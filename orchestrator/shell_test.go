package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"platter/fault"
	"platter/orchestrator/guest"
)

func TestAFileSystemThatCouldNotBeMadeIsNotThePersonsCommand(t *testing.T) {
	failed := fmt.Errorf("make xfs on disk x in the guest: %w", &guest.ExitError{Status: 3, Stderr: "mkfs.xfs: no room"})
	var exit *guest.ExitError
	var typed *fault.Error
	if err := unready(t.Context(), failed); errors.As(err, &exit) || !errors.As(err, &typed) || typed.Fault != fault.Guest ||
		err.Error() != failed.Error() {
		t.Errorf("%T: %v", err, err)
	}
	if err := unready(t.Context(), guest.ErrLost); !errors.Is(err, guest.ErrLost) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := unready(ctx, context.Canceled); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestAFileSystemThatTheGuestsKernelDoesNotHaveIsRefusedWithTheMend(t *testing.T) {
	image := &guest.Image{Kernel: "6.1.0-56-cloud-amd64", Filesystems: []string{"ext4", "xfs", "btrfs"}}
	for _, has := range []string{"none", "ext4", "btrfs"} {
		if err := mounts(image, has); err != nil {
			t.Errorf("%s: %v", has, err)
		}
	}
	err := mounts(image, "f2fs")
	if fault.Of(err) != fault.Usage || !strings.Contains(err.Error(), "6.1.0-56-cloud-amd64 has no f2fs") ||
		!strings.Contains(err.Error(), "guest build --kernel") {
		t.Errorf("f2fs: %v", err)
	}
}

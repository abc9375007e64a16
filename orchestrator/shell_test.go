package orchestrator

import (
	"context"
	"errors"
	"fmt"
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

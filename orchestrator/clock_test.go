package orchestrator

import (
	"errors"
	"testing"
	"time"
)

func TestAGuestWhoseClockRunsTooFastIsNotMeasured(t *testing.T) {
	if err := checkClock("4.12 7.90\n", 5*time.Second); err != nil {
		t.Errorf("a clock that is right: %v", err)
	}
	err := checkClock("38.41 70.02\n", 13*time.Second)
	if !errors.Is(err, errClock) || err.Error() != "the guest's clock runs too fast: it says that 38.4 s passed in 13.0 s" {
		t.Errorf("got %v", err)
	}
	if err := checkClock("", time.Second); err == nil || errors.Is(err, errClock) {
		t.Errorf("no uptime: %v", err)
	}
}

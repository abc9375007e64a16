package fault

import (
	"errors"
	"fmt"
	"testing"
)

// foreign is an error of another package that knows its fault.
type foreign struct{ Fault }

func (foreign) Error() string  { return "foreign" }
func (f foreign) Whose() Fault { return f.Fault }

func TestTheFaultIsThatOfTheFirstErrorThatHasOne(t *testing.T) {
	plain := errors.New("plain")
	for want, err := range map[Fault]error{
		"":      plain,
		Guest:   fmt.Errorf("boot: %w", New(Guest, "no answer after %d s", 3)),
		Refused: fmt.Errorf("attach: %w", foreign{Refused}),
		Rig:     errors.Join(plain, New(Rig, "first"), foreign{Refused}),
		Usage:   New(Usage, "quoted: %v", foreign{Guest}),
	} {
		if got := Of(err); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
	if got := Of(nil); got != "" {
		t.Errorf("no error: %q", got)
	}
}

package orchestrator

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"platter/fault"
	"platter/matrices"
	"platter/results"
)

// runUntil carries out steps of a plan on a fake lab, asking enough, and gives how many trials were made.
func runUntil(t *testing.T, p Plan, steps []Step, enough func(int) (bool, error)) (int, error) {
	t.Helper()
	journal, err := results.Create(filepath.Join(t.TempDir(), "run"), results.Manifest{Schema: results.Schema})
	if err != nil {
		t.Fatal(err)
	}
	defer journal.Close()
	made, last := 0, Event{}
	r := &Run{Lab: &fakeLab{}, Journal: journal, Storage: t.TempDir(), Plan: p, Enough: enough,
		Host: results.Host{MemoryBytes: 1 << 40, CPUs: 1 << 10}, Tell: func(e Event) {
			if e.Trial != nil {
				made++
			}
			last = e
		}}
	err = r.Do(t.Context(), Work{Steps: steps})
	if err == nil && last.Done != last.Total {
		t.Errorf("the last event is %d of %d", last.Done, last.Total)
	}
	return made, err
}

func TestARunEndsAfterTheBlockThatIsEnough(t *testing.T) {
	p := NewPlan(testMatrix(t, "4"), 4, 1)
	cells := len(p.Steps) / 4
	var asked []int
	enough := func(blocks int) (bool, error) {
		asked = append(asked, blocks)
		return blocks == 3, nil
	}
	made, err := runUntil(t, p, p.Steps, enough)
	if err != nil || made != 3*cells || !slices.Equal(asked, []int{1, 2, 3}) {
		t.Errorf("%d trials of %d cells, asked after %v: %v", made, cells, asked, err)
	}
	// Resumed after it had ended, it asks at once.
	asked = nil
	if made, err = runUntil(t, p, p.Steps[3*cells:], enough); err != nil || made != 0 || !slices.Equal(asked, []int{3}) {
		t.Errorf("resumed: %d trials, asked after %v: %v", made, asked, err)
	}
	broken := errors.New("disk gone")
	if made, err = runUntil(t, p, p.Steps, func(int) (bool, error) { return false, broken }); !errors.Is(err, broken) || made != cells {
		t.Errorf("%d trials: %v", made, err)
	}
}

func TestARunThatMayEndEarlyHasOneKindOfGuest(t *testing.T) {
	m, err := matrices.Parse("two.yaml",
		[]byte("name: two\nstorage: {size: 64MiB}\naxes: {guest.vcpus: [1, 2]}\nfio: {rw: randwrite, bs: 4k, size: 64m, runtime: 1}\n"))
	if err != nil {
		t.Fatal(err)
	}
	s := Settings{Matrix: m, Storage: t.TempDir(), Dir: filepath.Join(t.TempDir(), "run"), Looks: &results.Looks{Blocks: []int{10, 14}}}
	_, err = s.preflight(NewPlan(m, 14, 1))
	var typed *fault.Error
	if !errors.As(err, &typed) || typed.Fault != fault.Usage || !strings.Contains(err.Error(), "2 kinds of guest") {
		t.Errorf("got %v", err)
	}
}

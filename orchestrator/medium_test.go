package orchestrator

import (
	"bytes"
	"os"
	"testing"

	"platter/orchestrator/scratch"
)

// Images go from the run's list when the simulated disk dies: the next one must not take the name of one that is in use.
func TestAnImageNeverTakesTheNameOfAnother(t *testing.T) {
	r := &Run{Storage: t.TempDir(), Tell: func(Event) {}, images: map[scratch.Shape]*image{}, unmade: map[scratch.Shape]error{}}
	lost, err := r.image(t.Context(), rawShape(1<<20))
	if err != nil {
		t.Fatal(err)
	}
	used, err := r.image(t.Context(), rawShape(2<<20))
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(used.Source().Path)
	if err != nil {
		t.Fatal(err)
	}
	delete(r.images, rawShape(1<<20))
	next, err := r.image(t.Context(), rawShape(3<<20))
	if err != nil {
		t.Fatal(err)
	}
	if next.Source() == used.Source() || next.Source() == lost.Source() {
		t.Errorf("the next image is %+v, and %+v and %+v are there", next.Source(), used.Source(), lost.Source())
	}
	if after, err := os.ReadFile(used.Source().Path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the image in use was overwritten (%v)", err)
	}
	if err := r.removeImages(t.Context()); err != nil {
		t.Fatal(err)
	}
}

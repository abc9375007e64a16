package golden

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// told is a test that keeps what it is told.
type told struct {
	testing.TB
	errors []string
}

func (t *told) Helper()                      {}
func (t *told) Errorf(_ string, args ...any) { t.errors = append(t.errors, args[0].(string)) }

func TestAFileThatDiffersFailsTheTestAndUpdateWritesIt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "some.golden")
	if err := os.WriteFile(file, []byte("as it was\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	was := *update
	defer func() { *update = was }()
	for _, step := range []struct {
		update bool
		got    string
		fails  bool
	}{{false, "as it was\n", false}, {false, "another\n", true}, {true, "another\n", false}, {false, "another\n", false}} {
		*update = step.update
		inner := &told{TB: t}
		Equal(inner, file, step.got)
		if failed := len(inner.errors) > 0; failed != step.fails || failed && !strings.HasSuffix(inner.errors[0], "some.golden") {
			t.Errorf("%+v: told %q", step, inner.errors)
		}
	}
}

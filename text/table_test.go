package text

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTables(t *testing.T) {
	columns := []Column{{Name: "cell"}, {Name: "IOPS", Right: true}, {Name: "host crash,\nguest crash", Width: 14},
		{Name: "p", Right: true, Width: 6}}
	for name, c := range map[string]struct {
		columns []Column
		rows    [][]string
		want    []string
	}{
		"texts left and numbers right": {columns, [][]string{{"a", "1\u202f000", "SAFE", "1"}, {"longer", "2", "LOSES 1/2", ""}},
			[]string{
				"cell     IOPS  host crash,          p",
				"               guest crash",
				"a       1\u202f000  SAFE                 1",
				"longer      2  LOSES 1/2"}},
		"without a header": {make([]Column, 2), [][]string{{"ok", "libvirt"}, {"failed", "kvm"}},
			[]string{"ok      libvirt", "failed  kvm"}},
		"without a row": {columns[:2], nil, []string{"cell  IOPS"}},
		"a row is a line": {columns[:2], [][]string{{"two\nlines\x1b[2J", "1"}},
			[]string{`cell              IOPS`, `two lines\x1b[2J     1`}},
		"a long text is not cut": {columns[:1], [][]string{{strings.Repeat("long ", 40) + "."}},
			[]string{"cell", strings.Repeat("long ", 40) + "."}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Table(c.columns, c.rows)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

package matrices

import (
	"strings"
	"testing"

	"platter/cell"
)

func TestTheSidesOfAChangeTakeThePlaceOfTheDisksAxes(t *testing.T) {
	m, err := Parse("m.yaml", []byte(`
name: mine
axes:
  disk.cache: [none, writeback]
  fio.fsync: [0, 1]
  guest.barrier: [on]
  guest.filesystem: [ext4]
fio: {rw: randwrite, bs: 4k, size: 16m, runtime: 1}
storage: {size: 256MiB}
exclude: [{disk.cache: none, fio.fsync: 0}, {fio.fsync: 0}]
trials: 3
safety: {seconds: 1.5, size: 4MiB}
`))
	if err != nil {
		t.Fatal(err)
	}
	set := func(cache string) cell.Settings {
		return cell.Settings{{Name: "disk.cache", Value: cell.Value{V: cache}}, {Name: "disk.io", Value: cell.Value{V: "threads"}}}
	}
	ab, err := Sides(m, set("none"), set("unsafe"))
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, c := range ab.Cells() {
		if c.Excluded == "" {
			ids = append(ids, c.ID+" "+c.Settings.Text("disk.cache"))
		}
	}
	want := "variant.side=before,fio.fsync=1,guest.barrier=on,guest.filesystem=ext4 none; " +
		"variant.side=after,fio.fsync=1,guest.barrier=on,guest.filesystem=ext4 unsafe"
	if got := strings.Join(ids, "; "); got != want {
		t.Errorf("cells %s\nwant  %s\n%s", got, want, ab.Text)
	}
	if ab.Name != "mine-ab" || ab.Trials != 3 || ab.Safety == nil || ab.Safety.Seconds != 1.5 {
		t.Errorf("the rest of the matrix has changed:\n%s", ab.Text)
	}
}

func TestEveryBuiltinMatrixHasTwoSidesOrSaysWhyNot(t *testing.T) {
	all, err := Builtins()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		_, err := Sides(m, cell.Settings{{Name: "disk.cache", Value: cell.Value{V: "none"}}},
			cell.Settings{{Name: "disk.cache", Value: cell.Value{V: "writeback"}}})
		if _, _, varies := m.variantOf(isDisk); err != nil != varies {
			t.Errorf("%s: %v", m.Name, err)
		}
	}
}

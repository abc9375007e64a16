package text

import (
	"math"
	"strconv"
	"strings"
	"testing"
)

func TestNumbersForPeople(t *testing.T) {
	for got, want := range map[string]string{
		Number(0): "0", Number(1.23456): "1.23", Number(99.4): "99.4", Number(123.6): "124", Number(9342.4): "9\u202f342",
		Number(1234567): "1\u202f234\u202f567",
		Number(-1234.5): "-1\u202f235",
		Duration(999):   "999\u202fns", Duration(1500): "1.50\u202fµs", Duration(2_743_000): "2.74\u202fms", Duration(12_340_000): "12.3\u202fms",
		Duration(999_600_000): "1.00\u202fs", Duration(1_500_000_000): "1.50\u202fs",
		Bytes(512): "512\u202fB", Bytes(1536): "1.50\u202fKiB", Bytes(3 << 30): "3\u202fGiB",
		Count(0): "0", Count(-999): "-999", Count(127814): "127\u202f814", Count(-1000): "-1\u202f000",
		Count(uint64(math.MaxUint64)): "18\u202f446\u202f744\u202f073\u202f709\u202f551\u202f615",
		Plural(1, "trial"):            "1 trial", Plural(0, "trial"): "0 trials", Plural(1200, "trial"): "1\u202f200 trials",
		Percent(0.954): "95\u202f%",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func FuzzCount(f *testing.F) {
	f.Add(int64(-127814))
	f.Fuzz(func(t *testing.T, n int64) {
		got := Count(n)
		if strings.ReplaceAll(got, thin, "") != strconv.FormatInt(n, 10) {
			t.Errorf("Count(%d) = %q", n, got)
		}
		for i, group := range strings.Split(strings.TrimPrefix(got, "-"), thin) {
			if i > 0 && len(group) != 3 || len(group) == 0 || len(group) > 3 {
				t.Errorf("Count(%d) = %q", n, got)
			}
		}
	})
}

func TestAShellReadsACommandBack(t *testing.T) {
	if got, want := Command([]string{"platter", "gate", "a b", "", "it's", "x=1,y=2"}),
		`platter gate 'a b' '' 'it'\''s' x=1,y=2`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

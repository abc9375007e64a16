package version

import "testing"

func TestAVersionIsTwoOrThreeNumbers(t *testing.T) {
	for text, want := range map[string]Version{
		"7.2.22": {7, 2, 22}, "10.1": {10, 1, 0}, "10.0.13 (Debian 1:10.0.13+ds-0+deb13u1)": {10, 0, 13}, "9.2.0-rc1": {9, 2, 0},
		"10.0.2+ds-2": {10, 0, 2},
	} {
		if got, err := Parse(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "10", "ten", "10.", ".1", "1.2.3.4", "0.0.0", "-1.2", "99999.1", "rhel9.6.0"} {
		if got, err := Parse(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestVersionsAreInTheirOrder(t *testing.T) {
	for _, v := range []Version{{10, 0, 3}, {10, 0, 13}, {10, 1, 0}, {11, 0, 0}} {
		if !v.AtLeast(10, 0, 3) {
			t.Errorf("%v comes before 10.0.3", v)
		}
	}
	for _, v := range []Version{{10, 0, 2}, {9, 9, 9}, {7, 2, 22}} {
		if v.AtLeast(10, 0, 3) {
			t.Errorf("%v does not come before 10.0.3", v)
		}
	}
	if (Version{}).AtLeast(0, 0, 1) {
		t.Error("a version that is not known is at least something")
	}
}

func FuzzVersion(f *testing.F) {
	f.Add("10.0.3")
	f.Add("7.2 (Debian)")
	f.Add("1..2")
	f.Fuzz(func(t *testing.T, text string) {
		v, err := Parse(text)
		if err != nil {
			return
		}
		if again, err := Parse(v.String()); err != nil || again != v || !v.Known() {
			t.Errorf("%q is %v, and that is %v, %v", text, v, again, err)
		}
	})
}

package main

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"platter/change"
	"platter/gate"
)

func TestARunIsNotKeptAsPassWhereNotAllOfTheChangeWasMeasured(t *testing.T) {
	pass := &gate.Verdict{Outcome: gate.Pass, Policy: "default", Reasons: []gate.Reason{{Outcome: gate.Pass, Text: "within"}}}
	fail := &gate.Verdict{Outcome: gate.Fail, Policy: "default", Reasons: []gate.Reason{{Outcome: gate.Pass, Text: "within"},
		{Outcome: gate.Fail, Text: "slower"}}}
	for _, test := range []struct {
		name      string
		verdict   *gate.Verdict
		elsewhere []string
		outcome   string
		reasons   []string
	}{
		{"all was measured", pass, nil, "PASS", []string{"within"}},
		{"another machine type", pass, []string{"machine type"}, "INCONCLUSIVE", []string{"not all that differs was measured: machine type"}},
		{"a failure stays one", fail, []string{"machine type"}, "FAIL", []string{"slower"}},
	} {
		got := judgement(&change.Change{Elsewhere: test.elsewhere}, test.verdict)
		if got.Outcome != test.outcome || !slices.Equal(got.Reasons, test.reasons) || got.Policy != "default" {
			t.Errorf("%s: %+v", test.name, got)
		}
	}
	if pass.Outcome != gate.Pass || len(pass.Reasons) != 1 {
		t.Errorf("the verdict itself became %+v", pass)
	}
}

func TestADiskThatIsNotThereIsAMistakeOfUsage(t *testing.T) {
	const path = "../../change/testdata/web.xml"
	_, _, err := sides{before: path, after: path}.change("vdz")
	var usage *errUsage
	if !errors.As(err, &usage) || !strings.Contains(err.Error(), "ab: the domain with the change has no disk vdz: it has vda") {
		t.Errorf("got %v", err)
	}
}

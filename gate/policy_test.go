package gate

import "testing"

func parsedDefault(t testing.TB) *Policy {
	t.Helper()
	p, err := BuiltinPolicy(DefaultPolicyName)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// allowed says which of platter's packages each may import: the house of docs/ARCHITECTURE.md.
var allowed = map[string][]string{
	"fault":                    {},
	"text":                     {},
	"internal/golden":          {},
	"cell":                     {},
	"strictyaml":               {},
	"version":                  {},
	"matrices":                 {"cell", "strictyaml", "version"},
	"libvirtxml":               {},
	"fiojob":                   {"cell"},
	"flushpath":                {"text", "cell", "version"},
	"powercut/witness":         {},
	"powercut/oplog":           {},
	"powercut/replay":          {"cell", "powercut/witness", "powercut/oplog"},
	"powercut":                 {"cell", "powercut/oplog"},
	"results":                  {"cell", "fiojob", "matrices"},
	"compare":                  {"cell", "results", "fiojob"},
	"claims":                   {"text", "cell", "strictyaml", "compare", "results", "fiojob"},
	"reports":                  {"text", "cell", "claims", "compare", "results", "fiojob", "flushpath", "powercut/replay", "version"},
	"policy":                   {"cell", "strictyaml"},
	"lint":                     {"cell", "policy", "libvirtxml", "flushpath", "version"},
	"change":                   {"cell", "matrices", "libvirtxml"},
	"gate":                     {"text", "cell", "policy", "claims", "compare", "results", "fiojob"},
	"explain":                  {"text", "cell", "flushpath", "libvirtxml"},
	"selftest":                 {"text", "cell", "compare", "gate", "policy", "matrices", "results", "fiojob", "powercut"},
	"orchestrator/guest":       {"cell", "powercut/witness", "orchestrator/mmdebstrap"},
	"orchestrator/guest/probe": {"powercut/witness"},
	"orchestrator/hypervisor":  {"fault", "fiojob", "libvirtxml", "results"},
	"orchestrator/host":        {"fault", "results"},
	"orchestrator/mmdebstrap":  {"fault"},
	"orchestrator/tree":        {"fault", "orchestrator/mmdebstrap"},
	"orchestrator/scratch": {"fault", "text", "cell", "fiojob", "flushpath", "libvirtxml", "orchestrator/guest", "orchestrator/host",
		"powercut", "results"},
	"orchestrator/crash": {"fault", "text", "cell", "flushpath", "libvirtxml", "matrices", "orchestrator/guest", "orchestrator/host",
		"orchestrator/scratch", "powercut", "powercut/replay", "powercut/witness", "results"},
	"orchestrator": {"fault", "text", "cell", "flushpath", "orchestrator/crash", "orchestrator/scratch", "orchestrator/host",
		"orchestrator/guest", "orchestrator/hypervisor", "orchestrator/tree", "compare", "results", "matrices", "libvirtxml", "fiojob", "powercut",
		"powercut/witness"},
	"cmd/platter": {"fault", "strictyaml", "text", "version", "cell", "flushpath", "powercut", "powercut/oplog", "powercut/replay",
		"powercut/witness", "claims", "policy", "lint", "change", "gate", "selftest", "explain", "orchestrator", "orchestrator/scratch",
		"orchestrator/guest", "orchestrator/hypervisor", "orchestrator/tree", "reports", "compare", "results", "matrices",
		"libvirtxml", "fiojob"},
}

func TestImportsRunOneWay(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}:{{join .Imports " "}}`, "platter/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		path, imports, _ := strings.Cut(strings.TrimSpace(line), ":")
		room := strings.TrimPrefix(path, "platter/")
		may, known := allowed[room]
		if !known {
			t.Errorf("package %s has no place in the house: give it one here and in docs/ARCHITECTURE.md", room)
		}
		for i := range strings.FieldsSeq(imports) {
			if other, ours := strings.CutPrefix(i, "platter/"); ours && !slices.Contains(may, other) {
				t.Errorf("%s imports %s", room, other)
			}
		}
	}
}

package matrices

import (
	"embed"
	"fmt"
	"path"
	"slices"
	"strings"

	"platter/cell"
	"platter/strictyaml"
)

// Workload is a set of fio options that people know by a name. A matrix takes it over with "workload: NAME"; the
// matrix's own fio section and its axes may override options of it.
type Workload struct {
	Name        string
	Description string // one line: what it models
	Source      string // one line: where its figures come from
	Expect      string // one line: what a good disk reaches; empty where no source says
	Fio         cell.Settings
	Text        string // the file itself
}

//go:embed workloads/*.yaml
var workloadFiles embed.FS

// Workloads are the workloads that come with platter, in the order of their names.
func Workloads() ([]*Workload, error) {
	names, err := workloadNames()
	if err != nil {
		return nil, err
	}
	v := newVocabulary(BuiltInFio(noGuest))
	all := make([]*Workload, len(names))
	for i, name := range names {
		if all[i], err = readWorkload(v, name); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func workloadNames() ([]string, error) {
	files, err := workloadFiles.ReadDir("workloads")
	if err != nil {
		return nil, fmt.Errorf("list the workloads: %w", err)
	}
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = strings.TrimSuffix(f.Name(), ".yaml")
	}
	return names, nil
}

// readWorkload reads the file of one of workloadNames.
func readWorkload(v vocabulary, name string) (*Workload, error) {
	file := path.Join("workloads", name+".yaml")
	text, err := workloadFiles.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the workload %s: %w", name, err)
	}
	src, root, err := readYAML(file, text)
	if err != nil {
		return nil, fmt.Errorf("read the workload %s: %w", name, err)
	}
	w := &Workload{Text: string(text)}
	r := reader{source: src, vocabulary: v, places: map[string]strictyaml.Position{}, matrix: &Matrix{}}
	err = r.sections("the workload", root, []section{
		{"name", r.line(&w.Name), true},
		{"description", r.line(&w.Description), true},
		{"source", r.line(&w.Source), true},
		{"expect", r.line(&w.Expect), false},
		{"fio", r.fio, true},
	})
	if err != nil {
		return nil, fmt.Errorf("read the workload %s: %w", name, err)
	}
	w.Fio = r.matrix.Fio
	return w, nil
}

// workload takes over the options of a workload by its name; the fio section, which is read after it, overrides them.
func (r *reader) workload(_ string, n *node) error {
	names, err := workloadNames()
	if err != nil {
		return r.at(n.pos, problemf("%v", err))
	}
	name := n.value.String()
	if n.kind != scalar {
		return r.at(n.pos, problemf("workload is %s and should be a name", n.kind).withHint("the workloads are %s", strings.Join(names, ", ")))
	}
	if !slices.Contains(names, name) {
		return r.at(n.pos, problemf("there is no workload %q", name).
			withHint("%s", strictyaml.DidYouMean(name, names, "the workloads are "+strings.Join(names, ", "))))
	}
	w, err := readWorkload(r.vocabulary, name)
	if err != nil {
		return r.at(n.pos, problemf("%v", err))
	}
	r.matrix.Workload, r.matrix.Fio = name, w.Fio
	return nil
}

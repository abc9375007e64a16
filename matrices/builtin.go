package matrices

import (
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

//go:embed *.yaml
var builtinFiles embed.FS

// Builtins are the matrices that come with platter, in the order of their names. Name and Description say what they
// are, Text is the file.
func Builtins() ([]*Matrix, error) {
	files, err := fs.Glob(builtinFiles, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list the built-in matrices: %w", err)
	}
	all := make([]*Matrix, len(files))
	for i, file := range files {
		text, err := builtinFiles.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read the built-in matrix %s: %w", file, err)
		}
		if all[i], err = Parse(file, text); err != nil {
			return nil, fmt.Errorf("read the built-in matrix %s: %w", file, err)
		}
	}
	slices.SortFunc(all, func(a, b *Matrix) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// Builtin is the built-in matrix of this name. The error for any other name lists the ones that there are.
func Builtin(name string) (*Matrix, error) {
	all, err := Builtins()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, m := range all {
		if m.Name == name {
			return m, nil
		}
		names = append(names, m.Name)
	}
	return nil, fmt.Errorf("there is no built-in matrix %q: the built-in ones are %s", name, strings.Join(names, ", "))
}

package reports

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
)

// comparisonFragment defines the template "comparison" over a *Comparison, with the functions of comparisonFuncs.
//
//go:embed comparison.html
var comparisonFragment string

func comparisonFuncs() template.FuncMap {
	return template.FuncMap{"date": date, "upperFirst": upperFirst, "text": func(s string) string { return orAbsent(s != "", s) }}
}

// HTML writes a comparison as a piece of a page: a section without styles or scripts, in the classes of the report's page. All text
// from runs is shown as text.
func (c *Comparison) HTML(w io.Writer) error {
	t, err := template.New("").Funcs(comparisonFuncs()).Parse(comparisonFragment)
	if err == nil {
		err = t.ExecuteTemplate(w, "comparison", c)
	}
	if err != nil {
		return fmt.Errorf("write comparison: %w", err)
	}
	return nil
}

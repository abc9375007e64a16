package reports

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"platter/compare"
	"platter/results"
)

// volatile is what is another in every run's domain XML and says nothing about it: names, ids, paths, ports and addresses that
// platter or libvirt made up.
var volatile = []struct {
	found *regexp.Regexp
	put   string
}{
	{regexp.MustCompile(`<(name|uuid|label|imagelabel)>.*?</(name|uuid|label|imagelabel)>`), ""},
	{regexp.MustCompile(`<address [^>]*/>|<alias [^>]*/>|<platter:run [^>]*/>`), ""},
	{regexp.MustCompile(`(<domain [^>]*?) id='\d+'`), "$1"},
	{regexp.MustCompile(` index='\d+'`), ""},
	{regexp.MustCompile(`([>'])[^<>']*/(run|guest)-[0-9a-f]+/`), "$1…/"},
	{regexp.MustCompile(`scratch-\d+`), "scratch"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "127.0.0.1"},
}

// xmlDifferences sets the lines of the domain XML side by side that not all runs have for a cell that they share; cells that differ
// alike are one difference. A cell whose XML a run does not have is left out: a run may be read without its raw files.
func xmlDifferences(runs []*compare.SampledRun) []Difference {
	var all []Difference
	cells := map[string][]string{} // by the values of the difference
	var paths []map[string]string
	for _, run := range runs {
		paths = append(paths, xmlPaths(run))
	}
	for _, c := range runs[0].Manifest.Cells {
		values := cellXMLDifference(runs, paths, c.ID)
		if values == nil {
			continue
		}
		key := strings.Join(values, "\x00")
		if cells[key] == nil {
			all = append(all, Difference{Values: values})
		}
		cells[key] = append(cells[key], c.ID)
	}
	for i := range all {
		alike := cells[strings.Join(all[i].Values, "\x00")]
		all[i].Name = "domain XML of " + alike[0]
		if more := len(alike) - 1; more > 0 {
			all[i].Name += fmt.Sprintf(" and %d more", more)
		}
	}
	if len(all) > maxMatrixDifferences {
		return []Difference{{fmt.Sprintf("domain XML, in %d ways", len(all)), slices.Repeat([]string{"another"}, len(runs))}}
	}
	return all
}

// xmlPaths returns, by cell, the paths, below the run directory, of the domain XML of the first trial that went well.
func xmlPaths(run *compare.SampledRun) map[string]string {
	first, paths := map[string]int{}, map[string]string{}
	for _, t := range run.Samples {
		if at, known := first[t.Cell]; t.Status == results.OK && (!known || t.Block < at) {
			first[t.Cell] = t.Block
		}
	}
	for cell, block := range first {
		if run.Dir != "" && filepath.IsLocal(cell) {
			paths[cell] = filepath.Join("raw", cell, strconv.Itoa(block), "domain.xml")
		}
	}
	return paths
}

// cellXMLDifference returns, by run, the lines that not all runs have; nil where there are none or where a run has no XML.
func cellXMLDifference(runs []*compare.SampledRun, paths []map[string]string, cell string) []string {
	lines, count := make([][]string, len(runs)), map[string]int{}
	for i, run := range runs {
		text := ""
		if paths[i][cell] != "" {
			text = readCapped(run.Dir, paths[i][cell])
		}
		if text == "" {
			return nil
		}
		for _, v := range volatile {
			text = v.found.ReplaceAllString(text, v.put)
		}
		seen := map[string]bool{}
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" && !seen[line] {
				seen[line] = true
				lines[i] = append(lines[i], line)
				count[line]++
			}
		}
	}
	values, differ := make([]string, len(runs)), false
	for i := range runs {
		own := slices.DeleteFunc(lines[i], func(l string) bool { return count[l] == len(runs) })
		values[i] = strings.Join(own, " ")
		differ = differ || len(own) > 0
	}
	if !differ {
		return nil
	}
	return values
}

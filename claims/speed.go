package claims

import (
	"fmt"
	"maps"
	"slices"

	"platter/cell"
	"platter/compare"
)

// checkSpeed compares the cells that are alike but for one setting, within blocks; none when there are no such cells.
//
// A claim holds when all its relations do, each at 5 %: that needs no correction. It fails when one of them does not, and the
// more there are the likelier one fails by chance: that is judged at 5 % over all of them (Bonferroni).
func (e *evidence) checkSpeed(check speedCheck, cells []cell.Cell) []finding {
	type comparison struct {
		family family
		link   link
	}
	var all []comparison
	for _, f := range families(cells, check.By) {
		for _, l := range check.links(f) {
			all = append(all, comparison{f, l})
		}
	}
	var found []finding
	for _, c := range all {
		found = append(found, e.faster(check.By, c.family, c.link, len(all)))
	}
	return found
}

// links are the relations of a check within a family; none when it lacks a value.
func (check speedCheck) links(f family) []link {
	if check.Faster != rising {
		if links := chain(check.Faster); f.has(values(links)) {
			return links
		}
		return nil
	}
	steps := f.ascending(check.By)
	if len(steps) < 2 {
		return nil
	}
	links := []link{{steps[len(steps)-1], above, steps[0]}}
	if len(steps) > 2 {
		for i := range len(steps) - 1 {
			links = append(links, link{steps[i+1], notBelow, steps[i]})
		}
	}
	return links
}

// faster judges one of several relations.
func (e *evidence) faster(by string, f family, l link, several int) finding {
	var left, right []float64
	for _, block := range slices.Sorted(maps.Keys(e.iops[f[l.left].ID])) {
		if b, ok := e.iops[f[l.right].ID][block]; ok {
			left, right = append(left, e.iops[f[l.left].ID][block]), append(right, b)
		}
	}
	name := fmt.Sprintf("%s %s %s %s", short(by), l.left, l.relation, l.right)
	if text := f.label(); text != "" {
		name += " at " + text
	}
	if len(left) == 0 {
		f := unknown("%s: not measured yet", name)
		f.speed = true
		return f
	}
	r := compare.Paired(right, left)
	strict := compare.PairedAt(right, left, 1-(1-compare.Confidence)/float64(several))
	result := finding{speed: true, state: l.relation.judge(r, strict), figure: name + ": " + ratio(r)}
	switch result.state {
	case fails:
		result.why = result.figure
	case open:
		result.why = result.figure + ", which decides nothing"
		switch {
		case len(r.Warnings) > 0:
			result.why = name + ": " + r.Warnings[0]
		case l.relation.judge(compare.Ratio{}, r) == fails && len(strict.Warnings) > 0:
			result.why = fmt.Sprintf("%s, which alone would refute it, and it is one of %d comparisons: %s", result.figure, several,
				strict.Warnings[0])
		}
	}
	return result
}

// judge asks the interval whether the relation holds, and the strict one whether it fails.
func (rel relation) judge(r, strict compare.Ratio) state {
	var yes, no bool
	switch rel {
	case above:
		yes, no = r.Lo > 1, strict.Hi < 1 || strict.Within(alike)
	case notBelow:
		yes, no = r.Lo > 1/(1+alike), strict.Hi < 1
	case equal:
		yes, no = r.Within(alike), strict.Bounded() && (strict.Lo > 1+alike || strict.Hi < 1/(1+alike))
	}
	switch {
	case yes:
		return holds
	case no:
		return fails
	}
	return open
}

// ratio writes the ratio of two speeds with its interval.
func ratio(r compare.Ratio) string {
	blocks := fmt.Sprintf("%d blocks", r.N)
	if r.N == 1 {
		blocks = "1 block"
	}
	if !r.Bounded() {
		return fmt.Sprintf("×%.3g in %s, no interval", r.Estimate, blocks)
	}
	return fmt.Sprintf("×%.3g [%.3g, %.3g] in %s", r.Estimate, r.Lo, r.Hi, blocks)
}

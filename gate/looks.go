package gate

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"platter/compare"
	"platter/policy"
	"platter/results"
	"platter/text"
)

// defaultLooks are the blocks after which run --until-decided looks, where the policy does not say.
var defaultLooks = []int{10, 14, 20, 28}

// LooksOf is what a run that may end early writes down about the policy before its first trial. An error says why the policy can
// decide nothing early.
func LooksOf(p *policy.Policy) (*results.Looks, error) {
	looks := &results.Looks{Policy: p.Name, PolicyFile: p.File, PolicyText: p.Text, Alpha: alphaOf(p), Blocks: p.Performance.Looks}
	if len(looks.Blocks) == 0 {
		looks.Blocks = slices.Clone(defaultLooks)
	}
	decidable := false
	for _, r := range p.Performance.Rules {
		looks.Rules = append(looks.Rules, ruleTerms(r))
		decidable = decidable || r.Metric != exposureMetric
	}
	if !decidable {
		return nil, fmt.Errorf("policy %s has no rule about the speed of trials, so no look could decide anything", p.Name)
	}
	last := looks.Blocks[len(looks.Blocks)-1]
	if need := blocksNeeded(p, len(looks.Blocks)); last < need {
		return nil, fmt.Errorf("policy %s: the last look is after %d blocks, and %d looks at %s need %d to decide: make the last look later, "+
			"or have fewer looks or rules",
			p.Name, last, len(looks.Blocks), text.Plural(tests(p), "rule"), need)
	}
	return looks, nil
}

// ruleTerms are all that a rule says, exactly.
func ruleTerms(r policy.Rule) string {
	text := ruleText(r) + ", at most " + strconv.FormatFloat(r.Regression, 'g', -1, 64) + " worse"
	if r.Optional {
		text += ", optional"
	}
	return text
}

// Reachable reports whether a run with so many blocks, judged once at its end, can pass the policy at all; an error says how many would do.
func Reachable(p *policy.Policy, blocks int) error {
	if len(p.Performance.Rules) == 0 {
		return nil
	}
	looks := max(1, len(p.Performance.Looks))
	if need := blocksNeeded(p, looks); blocks < need {
		return fmt.Errorf("policy %s cannot be passed with %s: %s at alpha %s and %s need %d", p.Name, text.Plural(blocks, "block"),
			text.Plural(tests(p), "rule"), share(alphaOf(p)), text.Plural(looks, "look"), need)
	}
	return nil
}

// blocksNeeded is how many blocks a rule needs to pass: for its test, and as evidence.
func blocksNeeded(p *policy.Policy, looks int) int {
	need := p.Evidence.Trials
	if n := tests(p); n > 0 {
		need = max(need, compare.Needed(alphaOf(p), n, looks))
	}
	return need
}

// tests is by how many rules alpha is shared.
func tests(p *policy.Policy) int { return len(places(p.Performance.Rules)) }

// Decided judges the first blocks of a run that may end early as the gate will, and tells whether every rule about the speed of
// trials is decided: passed or failed. Exposures are not waited for, since no further block tells more about them.
func Decided(p *policy.Policy, run *results.Run, blocks int, now time.Time) bool {
	first := *run
	first.Safety = nil
	first.Trials = slices.DeleteFunc(slices.Clone(run.Trials), func(t results.Trial) bool { return t.Block >= blocks })
	v := JudgeAB(p, &first, now, Facts{})
	return !slices.ContainsFunc(v.Rules, func(r RuleResult) bool { return r.Outcome == Inconclusive && r.Metric != exposureMetric })
}

// looksFit holds a run that may have ended early against the policy: another one would choose its level after the data, and so would
// whoever looks at another time than was fixed.
func (j *judge) looksFit(run *results.Run) {
	looks := run.Manifest.Looks
	if looks == nil {
		return
	}
	j.v.Looks = max(1, len(looks.Blocks))
	mine, err := LooksOf(j.policy)
	var why string
	switch {
	case err != nil:
		why = err.Error()
	case mine.Alpha != looks.Alpha:
		why = fmt.Sprintf("alpha was %s and is %s", share(looks.Alpha), share(mine.Alpha))
	case !slices.Equal(mine.Blocks, looks.Blocks):
		why = fmt.Sprintf("the looks were after %v blocks and are after %v", looks.Blocks, mine.Blocks)
	case !slices.Equal(mine.Rules, looks.Rules):
		why = fmt.Sprintf("the rules were %q and are %q", looks.Rules, mine.Rules)
	default:
		if why = betweenLooks(run); why == "" {
			return
		}
		j.inconclusive("%s: %s", run.Dir, why)
		j.unfit = append(j.unfit, "the run did not end at a look")
		return
	}
	j.inconclusive("%s was run until policy %s decided, and can be judged by no other: %s", run.Dir, looks.Policy, why)
	j.unfit = append(j.unfit, "the run was made for another policy")
}

// betweenLooks says that a run did not end where a look was fixed; empty when it did.
func betweenLooks(run *results.Run) string {
	cells, blocks := 0, 0
	for _, c := range run.Manifest.Cells {
		if c.Excluded == "" {
			cells++
		}
	}
	for _, t := range run.Trials {
		blocks = max(blocks, t.Block+1)
	}
	looks := run.Manifest.Looks.Blocks
	if slices.Contains(looks, blocks) && len(run.Trials) == cells*blocks {
		return ""
	}
	return fmt.Sprintf("the run stopped in block %d, and may be judged after %v blocks alone: go on with platter run --resume %s", blocks,
		looks, run.Dir)
}

package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"platter/cell"
	"platter/gate"
	"platter/matrices"
	"platter/orchestrator"
	"platter/policy"
	"platter/results"
)

func untilDecidedFlag() cli.Flag {
	return &cli.BoolFlag{Name: "until-decided", Usage: "end at the first of the policy's looks after which every rule is decided"}
}

// untilDecided makes settings those of a run that ends as soon as the policy is decided, and at the last look at the latest.
func untilDecided(s *orchestrator.Settings, policy *policy.Policy) error {
	looks, err := gate.LooksOf(policy)
	if err != nil {
		return &errUsage{err.Error()}
	}
	if !bothSides(s.Matrix) {
		return &errUsage{fmt.Sprintf("--until-decided: matrix %s has no axis %s with the values %s and %s, so a look at it decides nothing",
			s.Matrix.Name, cell.SideAxis, cell.SideBefore, cell.SideAfter)}
	}
	s.Trials = looks.Blocks[len(looks.Blocks)-1]
	goOnUntilDecided(s, looks, policy)
	return nil
}

func goOnUntilDecided(s *orchestrator.Settings, looks *results.Looks, policy *policy.Policy) {
	s.Looks = looks
	s.Enough = func(run *results.Run, blocks int) bool { return gate.Decided(policy, run, blocks, time.Now()) }
}

// resumeUntilDecided takes the policy from the run, which was begun with it.
func resumeUntilDecided(s *orchestrator.Settings, looks *results.Looks) error {
	policy, err := policy.Parse(looks.PolicyFile, []byte(looks.PolicyText))
	if err != nil {
		return err
	}
	goOnUntilDecided(s, looks, policy)
	return nil
}

// bothSides reports whether a matrix measures both sides of a change.
func bothSides(m *matrices.Matrix) bool {
	for _, axis := range m.Axes {
		if axis.Name == cell.SideAxis {
			var values []string
			for _, v := range axis.Values {
				values = append(values, v.String())
			}
			return slices.Contains(values, cell.SideBefore) && slices.Contains(values, cell.SideAfter)
		}
	}
	return false
}

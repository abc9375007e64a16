package crash

import (
	"fmt"
	"math"

	"platter/results"
)

// verdict returns what a campaign's figures mean by the rules of docs/SAFETY.md, and the reason when they are worth nothing.
func verdict(s results.Safety) (verdict, reason string) {
	if why := invalid(s); why != "" {
		return results.Invalid, why
	}
	lostLive := s.Live != nil && s.Live.PromisesLost > 0
	switch {
	case s.PromisesLost > 0 || s.PointsLost > 0 || lostLive:
		return results.Loses, ""
	case s.Promises == 0 && (s.Live == nil || s.Live.Promises == 0):
		return results.NoPromise, ""
	case s.Filesystem != "":
		return results.Loses, ""
	}
	if s.Method == results.Live {
		switch {
		case s.Live == nil || s.Live.Cuts == 0:
			return results.Invalid, "the file system was not looked at: no live cut was made"
		case s.Live.Promises == 0:
			return results.Invalid, "no promise was read back from the file system: none had been made at the live cuts"
		}
	}
	return results.Safe, ""
}

// invalid returns why the figures may not be trusted; empty when they may. A control of the class did not lose, or none was made, or what
// was lost in a live cut is not what the replay of the same log says.
func invalid(s results.Safety) string {
	if len(s.Controls) == 0 {
		return "no control was made for this class"
	}
	for _, c := range s.Controls {
		if !c.Lost {
			return fmt.Sprintf("the control %q lost nothing of %d promises, and it must: a loss would not have been seen", c.Name, c.Promises)
		}
	}
	if s.Live != nil && !s.Live.Agrees {
		return "a live cut and the replay of its log disagree: " + s.Live.Disagreement
	}
	return ""
}

// liveBound returns the bound that live cuts allow: 0, for none, when one lost something, or when nothing was promised that could be lost.
func liveBound(l results.LiveCuts) float64 {
	if l.Lost > 0 || l.Promises == 0 {
		return 0
	}
	return cleanBound(l.Cuts)
}

// cleanBound is the 95 % upper bound of the probability of loss after n cuts that lost nothing: 1 − 0.05^(1/n).
func cleanBound(n int) float64 { return 1 - math.Pow(0.05, 1/float64(n)) }

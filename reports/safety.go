package reports

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"platter/cell"
	"platter/claims"
	"platter/results"
	"platter/text"
)

// Safety is what is shown of the crash campaigns of a run; its zero value is a run without.
type Safety struct {
	Rows      []SafetyRow     // in the order of the cells, classes and drive caches
	Questions []cell.Question // that any row answers, in order
	Controls  []results.Control
	Points    int64 // crash points judged, of all rows together
	Cuts      int   // real ones
	Claims    []claims.Claim

	at map[cell.Question]int // where among Rows
}

// SafetyRow is a safety record joined with its cell.
type SafetyRow struct {
	results.Safety
	Axes   cell.Settings
	Replay string // the command that makes the worst point's survivor again; empty where there is none
}

// Answers returns the question of a row.
func (r SafetyRow) Answers() cell.Question {
	return cell.Question{Class: r.Class, DriveCache: r.DriveCache}
}

// orderOf sorts questions: the harder failure later, the safer drive cache later.
func orderOf(q cell.Question) int {
	return 10*slices.Index(cell.FailureClasses(), q.Class) + slices.Index(cell.DriveCaches(), q.DriveCache)
}

// newSafety joins the records with the measured cells.
func newSafety(run *results.Run, cells []Cell) Safety {
	s := Safety{at: map[cell.Question]int{}}
	position := map[string]int{}
	for i, c := range cells {
		position[c.ID] = i
	}
	for _, r := range run.Safety {
		if i, measured := position[r.Cell]; measured {
			s.Rows = append(s.Rows, SafetyRow{Safety: r, Axes: cells[i].Axes, Replay: replayCommand(run.Dir, r)})
		}
	}
	slices.SortStableFunc(s.Rows, func(a, b SafetyRow) int {
		return cmp.Or(position[a.Cell]-position[b.Cell], orderOf(a.Answers())-orderOf(b.Answers()))
	})
	for i, r := range s.Rows {
		s.at[r.Key()] = i
		s.Points += r.CrashPoints
		if r.Live != nil {
			s.Cuts += r.Live.Cuts
		}
		if q := r.Answers(); !slices.Contains(s.Questions, q) {
			s.Questions = append(s.Questions, q)
		}
		for _, c := range r.Controls {
			if !slices.Contains(s.Controls, c) {
				s.Controls = append(s.Controls, c)
			}
		}
	}
	slices.SortFunc(s.Questions, func(a, b cell.Question) int { return orderOf(a) - orderOf(b) })
	s.Claims = claims.Evaluate(run)
	return s
}

func replayCommand(dir string, r results.Safety) string {
	if r.Worst == nil {
		return ""
	}
	words := []string{"platter", "replay", dir, "--cell", r.Cell, "--at", fmt.Sprint(r.Worst.Point), "--class", r.Class, "--drive-cache",
		r.DriveCache}
	if r.Worst.Seed != 0 {
		words = append(words, "--seed", fmt.Sprint(r.Worst.Seed))
	}
	return text.Command(words)
}

// row returns a cell's answer to a question, nil when it has none.
func (s Safety) row(id string, q cell.Question) *SafetyRow {
	i, answered := s.at[cell.Question{Cell: id, Class: q.Class, DriveCache: q.DriveCache}]
	if !answered {
		return nil
	}
	return &s.Rows[i]
}

// Verdict returns a row's verdict with its figure in a few characters, "LOSES 3 367/3 375" or, of unpromised writes, "– ≥5.0 s";
// ≠ stands behind one that the model did not predict.
func (s Safety) Verdict(cell string, q cell.Question) string {
	r := s.row(cell, q)
	if r == nil {
		return "not judged"
	}
	text := r.verdict()
	if r.Surprise() != "" {
		text += " ≠"
	}
	return text
}

func (r SafetyRow) verdict() string {
	switch {
	case r.Status != results.OK:
		return "failed"
	case r.Verdict == results.Loses && r.PromisesLost == 0 && r.Live != nil && r.Live.Lost > 0:
		return "LOSES live"
	case r.Verdict == results.Loses && r.PromisesLost == 0:
		return "LOSES files"
	case r.Verdict == results.Loses:
		return "LOSES " + text.Count(r.PromisesLost) + "/" + text.Count(r.Promises)
	case r.Verdict == results.NoPromise && r.Exposure.Writes == 0:
		return absent + " 0"
	case r.Verdict == results.NoPromise:
		return absent + " " + r.Age()
	case r.FewPromises():
		return r.Verdict + " (few)"
	}
	return r.Verdict
}

// Age returns how old the oldest exposed write was: "≥5.0 s" when it dates from the start of the campaign.
func (r SafetyRow) Age() string {
	text := fmt.Sprintf("%.1f\u202fs", r.Exposure.MS/1000)
	if r.Exposure.MS < 99.5 { // more would be 1e+02
		text = fmt.Sprintf("%.2g\u202fms", r.Exposure.MS)
	}
	if r.Exposure.Censored {
		return "≥" + text
	}
	return text
}

// Surprise returns in a line how a measured row differs from what the model predicts; empty when it does not, or when there is no
// valid measurement or no prediction.
func (r SafetyRow) Surprise() string {
	where := labelOf(r.Axes) + ", " + r.Answers().String()
	switch {
	case r.Status != results.OK || r.Verdict == results.Invalid || r.Predicted == "":
		return ""
	case r.Unpredicted() && r.Verdict == results.Loses:
		return fmt.Sprintf("%s: %s of %s promises lost, and the model predicts %s", where, text.Count(r.PromisesLost), text.Count(r.Promises),
			r.PredictedText())
	case r.Unpredicted():
		return fmt.Sprintf("%s: measured %s, and the model predicts %s", where, r.Verdict, r.PredictedText())
	case r.Exposure.Writes > 0 && !r.PredictedExposed:
		return fmt.Sprintf("%s: %s acknowledged writes exposed (%s), and the model predicts none", where, text.Count(r.Exposure.Writes), r.Age())
	case r.Exposure.Writes == 0 && r.PredictedExposed && !r.PredictedNewest && r.Verdict == results.NoPromise:
		return fmt.Sprintf("%s: no acknowledged write exposed, and the model predicts some", where)
	}
	return ""
}

// Unseen says of the cells of which the model has the newest promises at risk, and in which none was lost, that it was not seen; each once.
func (s Safety) Unseen() []string {
	var all []string
	for _, r := range s.Rows {
		if r.Status != results.OK || !r.PredictedNewest || r.Verdict != results.Safe {
			continue
		}
		line := fmt.Sprintf("%s, %s: the model has the newest promises at risk, and of %s none was lost: such losses are rare, more of them "+
			"with more writers", labelOf(r.Axes), r.Answers(), text.Count(r.Promises))
		if !slices.Contains(all, line) {
			all = append(all, line)
		}
	}
	return all
}

// FewText says what is to be thought of cells that are SAFE of few promises; empty where there are none.
func (s Safety) FewText() string {
	if !slices.ContainsFunc(s.Rows, func(r SafetyRow) bool { return r.FewPromises() }) {
		return ""
	}
	return fmt.Sprintf("SAFE (few): of fewer than %d promises; a loss of one promise in a hundred is missed by %d of them with a probability "+
		"of 5 %%, by fewer more often: let the campaign last longer", results.EnoughPromises, results.EnoughPromises)
}

// Surprises returns the surprise of each row that has one.
func (s Safety) Surprises() []string {
	var all []string
	for _, r := range s.Rows {
		if text := r.Surprise(); text != "" && !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	return all
}

// Invalids say of the rows without a valid verdict why, each reason once.
func (s Safety) Invalids() []string {
	var all []string
	add := func(text string) {
		if !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	for _, r := range s.Rows {
		switch {
		case r.Status != results.OK && r.Failure != nil:
			add(fmt.Sprintf("%s: the crash campaign failed: %s", labelOf(r.Axes), r.Failure.Message))
		case r.Status != results.OK:
			add(fmt.Sprintf("%s: the crash campaign failed", labelOf(r.Axes)))
		case r.Verdict == results.Invalid:
			add(fmt.Sprintf("%s, %s: INVALID: %s", labelOf(r.Axes), r.Answers(), r.Reason))
		}
	}
	return all
}

// ControlsText returns what the controls lost, which must lose: "unsafe lost 5 999 of 6 000 (host crash)".
func (s Safety) ControlsText() string {
	var parts []string
	for _, c := range s.Controls {
		line := fmt.Sprintf("%s lost %s of %s (%s)", c.Name, text.Count(c.PromisesLost), text.Count(c.Promises), cell.Question{Class: c.Class})
		if !c.Lost {
			line += ", AND MUST LOSE"
		} else if c.PromisesLost == 0 {
			line = fmt.Sprintf("%s damaged the file system (%s)", c.Name, cell.Question{Class: c.Class})
		}
		parts = append(parts, line)
	}
	return orAbsent(len(parts) > 0, strings.Join(parts, "; "))
}

// crossCheck is below how many clean cuts of a kind a bound says too little to be called one.
const crossCheck = 30

// CutsText returns what the real cuts say beside the judged logs; empty without any.
func (s Safety) CutsText() string {
	if s.Cuts == 0 {
		return ""
	}
	line := text.Plural(s.Cuts, "live cut")
	most, bound, disagree, lost := 0, 0.0, 0, 0
	for _, r := range s.Rows {
		if r.Live == nil {
			continue
		}
		if !r.Live.Agrees {
			disagree++
		}
		lost += r.Live.Lost
		if r.Live.Lost == 0 && r.Live.Cuts > most {
			most, bound = r.Live.Cuts, r.Live.Bound
		}
	}
	line += fmt.Sprintf(", %d of them lost promises", lost)
	if disagree > 0 {
		line += fmt.Sprintf("; in %s cuts and log DISAGREE", text.Plural(disagree, "row"))
	} else {
		line += ", all as their logs say"
	}
	if most >= crossCheck {
		return line + fmt.Sprintf("; %d clean cuts of one kind bound its loss to %.3g %% of such crashes (95 %%)", most, 100*bound)
	}
	return line + fmt.Sprintf(": a cross-check, for no bound is worth its name below %d clean cuts of a kind", crossCheck)
}

// simulatedText stands wherever a verdict does.
const simulatedText = "host page cache, drive cache and medium are simulated below the real QEMU: a SAFE cell says that nothing above " +
	"the drive breaks a promise; firmware and the host's own file system are not judged"

// pointsText returns how many crash points were judged, and what their number is not.
func pointsText(s Safety) string {
	return text.Count(s.Points) + " crash points judged; points of one log are not independent and bound no probability"
}

// upperFirst begins a sentence.
func upperFirst(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

// legendText explains the short verdicts.
const legendText = "LOSES a/b: of b promised writes a gone at the worst crash point · – nothing was promised; behind it how old the " +
	"oldest acknowledged write was that is gone (≥: as old as the campaign), 0 none is gone"

// labelOf names a cell by its axes without their namespaces: "cache=none, fsync=1".
func labelOf(axes cell.Settings) string {
	var parts []string
	for _, a := range axes {
		parts = append(parts, short(a.Name)+"="+a.Value.String())
	}
	return strings.Join(parts, ", ")
}

package gate

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"platter/cell"
	"platter/results"
	"platter/text"
)

// SafetyResult is what became of one failure class behind one drive cache on one cell of the candidate.
type SafetyResult struct {
	Run        string  `json:"run"`
	Cell       string  `json:"cell"` // without the side
	Class      string  `json:"class"`
	DriveCache string  `json:"drive_cache,omitempty"`
	Outcome    Outcome `json:"outcome"`
	Why        string  `json:"why"`
	// Verdict is the record's; empty when there is none.
	Verdict      string           `json:"verdict,omitempty"`
	Predicted    string           `json:"predicted,omitempty"`
	CrashPoints  int64            `json:"crash_points"`
	Promises     int64            `json:"promises"`
	PromisesLost int64            `json:"promises_lost"` // the most that one judged point or live cut took
	Exposure     results.Exposure `json:"exposure"`
	LiveCuts     int              `json:"live_cuts"`
	// Baseline is the verdict of the same before the change, and its exposure; empty when there is none. It decides nothing.
	Baseline         string            `json:"baseline,omitempty"`
	BaselineExposure *results.Exposure `json:"baseline_exposure,omitempty"`

	rig bool // a campaign that failed or is not there: the rig's, not the change's
}

// risk judges safety: what the candidate loses, whatever the baseline did. There are no statistics about a broken promise.
func (j *judge) risk() {
	for _, v := range j.candidate {
		from := len(j.v.Safety)
		required := j.requiredClasses()
		for _, p := range j.pairs {
			if p.after.Excluded == "" {
				j.riskOf(v, p, required)
			}
		}
		j.strangers(v)
		j.sumUp(j.v.Safety[from:], v)
	}
	for _, g := range grouped(j.v.Safety, func(s SafetyResult) bool { return s.Outcome != Pass }) {
		j.because(g[0].Outcome, groupText(g))
	}
	j.reasonsAbridged()
}

// grouped are the results that are wanted, those together that say the same.
func grouped(all []SafetyResult, wanted func(SafetyResult) bool) [][]SafetyResult {
	var groups [][]SafetyResult
	at := map[string]int{}
	for _, s := range all {
		if !wanted(s) {
			continue
		}
		key := string(s.Outcome) + s.Why
		i, known := at[key]
		if !known {
			i = len(groups)
			at[key] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], s)
	}
	return groups
}

// groupText says once what several results say.
func groupText(g []SafetyResult) string {
	var cells, classes []string
	for _, s := range g {
		if !slices.Contains(cells, s.Cell) {
			cells = append(cells, s.Cell)
		}
		if line := classText(s); !slices.Contains(classes, line) {
			classes = append(classes, line)
		}
	}
	where := cells[0]
	if len(cells) > 1 {
		where = fmt.Sprintf("%s and %s", where, text.Plural(len(cells)-1, "more cell"))
	}
	return fmt.Sprintf("%s, %s: %s", where, strings.Join(classes, ", "), g[0].Why)
}

// requiredClasses are those that the policy names in any way: a limit that was not looked at was not kept.
func (j *judge) requiredClasses() []string {
	s := j.policy.Safety
	names := map[string]bool{}
	for _, c := range s.Classes {
		names[c] = true
	}
	for c := range s.BrokenPromises {
		names[c] = true
	}
	for c := range s.ExposureMS {
		names[c] = true
	}
	return slices.Sorted(maps.Keys(names))
}

func classText(s SafetyResult) string {
	if s.DriveCache == "" {
		return s.Class
	}
	return fmt.Sprintf("%s (drive cache %s)", s.Class, s.DriveCache)
}

// riskOf judges all the records of a cell and finds those that should be there.
func (j *judge) riskOf(v *view, p cellPair, required []string) {
	records := v.safety[p.after.ID]
	before := j.before(p)
	for _, s := range records {
		j.v.Safety = append(j.v.Safety, j.record(v, p, s, before))
	}
	has := func(class, cache string) bool {
		return slices.ContainsFunc(records, func(s *results.Safety) bool {
			return s.Class == class && (cache == "" || s.DriveCache == cache)
		})
	}
	missing := func(class, cache, why string) {
		if !has(class, cache) {
			r := SafetyResult{Run: v.run.Dir, Cell: p.name, Class: class, DriveCache: cache, Outcome: Inconclusive, Why: why, rig: true}
			j.v.Safety = append(j.v.Safety, r)
		}
	}
	for _, key := range sortedKeys(before) {
		missing(key.Class, key.DriveCache, "it was judged before the change and not after it")
	}
	if p.after.Unprobed != "" && len(records) == 0 {
		if len(required) > 0 {
			j.warn("%s has no safety: %s", p.name, p.after.Unprobed)
		}
		return
	}
	caches := v.run.Manifest.DriveCaches
	if len(caches) == 0 {
		caches = []string{""}
	}
	for _, cache := range caches {
		for _, class := range required {
			missing(class, cache, "the policy asks for it, and it was not judged")
		}
		for _, class := range v.run.Manifest.SafetyClasses {
			missing(class, cache, "the matrix asks for it, and it was not judged")
		}
	}
}

func sortedKeys(records map[cell.Question]*results.Safety) []cell.Question {
	return slices.SortedFunc(maps.Keys(records), func(a, b cell.Question) int {
		return cmp.Or(strings.Compare(a.Class, b.Class), strings.Compare(a.DriveCache, b.DriveCache))
	})
}

// before are the baseline's records of a cell, the worst of several runs.
func (j *judge) before(p cellPair) map[cell.Question]*results.Safety {
	found := map[cell.Question]*results.Safety{}
	for _, v := range j.baseline {
		for _, s := range v.safety[p.before.ID] {
			key := cell.Question{Class: s.Class, DriveCache: s.DriveCache}
			if other := found[key]; other == nil || broken(s) > broken(other) {
				found[key] = s
			}
		}
	}
	return found
}

// broken is how many promises a record says are broken: at least one where anything in it says so.
func broken(s *results.Safety) int64 {
	n := max(s.PromisesLost, 0)
	if s.Live != nil {
		n = max(n, s.Live.PromisesLost)
	}
	if n == 0 && (s.Verdict == results.Loses || s.PointsLost > 0 || s.Live != nil && s.Live.Lost > 0) {
		n = 1
	}
	return n
}

// record judges one record but for the promises, which are counted over the run.
func (j *judge) record(v *view, p cellPair, s *results.Safety, before map[cell.Question]*results.Safety) SafetyResult {
	r := SafetyResult{Run: v.run.Dir, Cell: p.name, Class: s.Class, DriveCache: s.DriveCache, Verdict: s.Verdict, Predicted: s.Predicted,
		CrashPoints: s.CrashPoints, Promises: s.Promises, PromisesLost: broken(s), Exposure: finite(s.Exposure), Outcome: Pass}
	if s.Live != nil {
		r.LiveCuts = s.Live.Cuts
		r.Promises = max(r.Promises, s.Live.Promises)
	}
	old := before[cell.Question{Class: s.Class, DriveCache: s.DriveCache}]
	if old != nil && old.Status == results.OK {
		exposure := finite(old.Exposure)
		r.Baseline, r.BaselineExposure = old.Verdict, &exposure
	}
	switch why := j.unusable(v, s, old); {
	case why != "":
		r.Outcome, r.Why, r.rig = Inconclusive, why, true
	default:
		r.Outcome, r.Why = j.exposed(s, old)
	}
	switch {
	case s.Unpredicted():
		j.warn("%s, %s: the model predicts %s, and %s was measured", p.name, classText(r), s.PredictedText(), s.Verdict)
	case s.FewPromises():
		j.warn("%s, %s: SAFE of only %s promises: a loss of one in a hundred would likely be missed below %d", p.name, classText(r),
			text.Count(r.Promises), results.EnoughPromises)
	}
	return r
}

// finite leaves out an age that JSON cannot hold; the record is unusable for it anyway.
func finite(e results.Exposure) results.Exposure {
	if math.IsNaN(e.MS) || math.IsInf(e.MS, 0) {
		e.MS = 0
	}
	return e
}

// unusable says why a record proves nothing.
func (j *judge) unusable(v *view, s, before *results.Safety) string {
	e := j.policy.Evidence
	switch {
	case s.Status != results.OK:
		why := "the campaign failed"
		if s.Failure != nil {
			why += fmt.Sprintf(" (%s): %s", s.Failure.Fault, s.Failure.Message)
		}
		return why
	case s.Verdict == results.Invalid:
		return "INVALID: " + s.Reason
	case !slices.Contains([]string{results.Safe, results.Loses, results.NoPromise}, s.Verdict):
		return fmt.Sprintf("the verdict is %q, which is none", s.Verdict)
	case s.Live != nil && !s.Live.Agrees:
		return "a live cut and the replay of its log disagree: " + s.Live.Disagreement
	case s.PromisesLost < 0 || s.Promises < 0 || math.IsNaN(s.Exposure.MS) || math.IsInf(s.Exposure.MS, 0) || s.Exposure.MS < 0:
		return "its figures are no counts"
	}
	for _, c := range s.Controls {
		if !c.Lost {
			return fmt.Sprintf("the control %q lost nothing, and it must: a loss would not have been seen", c.Name)
		}
	}
	if broken(s) > 0 {
		return "" // what was found is enough
	}
	live := s.Method == results.Live
	switch {
	case len(s.Controls) == 0:
		return "no control was tried: a loss might not have been seen"
	case s.Filesystem != "" && s.Verdict == results.Safe:
		return "the file system did not survive whole, and the verdict is SAFE: " + s.Filesystem
	case live && (s.Live == nil || s.Live.Cuts == 0):
		return "no cut was made"
	case !live && s.CrashPoints <= 0:
		return "no crash point was judged"
	case (!live || s.CrashPoints > 0) && s.CrashPoints < e.CrashPoints: // what is judged by cuts alone has none
		return fmt.Sprintf("%s were judged, and the policy wants %s", text.Plural(s.CrashPoints, "crash point"), text.Count(e.CrashPoints))
	case s.Verdict == results.Safe && s.Promises == 0 && (s.Live == nil || s.Live.Promises == 0):
		return "nothing was promised, and the verdict is SAFE"
	case s.Verdict == results.NoPromise && before != nil && before.Status == results.OK && before.Promises > 0:
		return fmt.Sprintf("nothing was promised, and %s were before the change", text.Plural(before.Promises, "write"))
	}
	return ""
}

// exposed holds a record against the limit on what a crash may take of acknowledged data.
func (j *judge) exposed(s, before *results.Safety) (Outcome, string) {
	limit, limited := j.policy.Safety.ExposureMS[s.Class]
	line := exposureText(s.Exposure)
	since := "" // what is new
	if before != nil && before.Status == results.OK && before.Exposure.Writes == 0 && s.Exposure.Writes > 0 {
		since = ", and nothing before the change"
	}
	switch {
	case limited && s.Exposure.MS > limit:
		return Fail, fmt.Sprintf("%s exposed, and %s ms are allowed", line, round(limit))
	case limited && s.Exposure.Censored:
		return Inconclusive, fmt.Sprintf("%s exposed: the campaign was too short to tell whether it is more than the %s ms allowed", line,
			round(limit))
	case s.Verdict == results.NoPromise:
		return Pass, "nothing was promised; " + line + " exposed" + since
	}
	return Pass, fmt.Sprintf("%s kept; %s exposed%s", text.Plural(s.Promises, "promise"), line, since)
}

// exposureText writes an exposure, which is a lower bound where it is censored.
func exposureText(e results.Exposure) string {
	if e.Writes == 0 && e.MS == 0 {
		return "nothing"
	}
	text := round(e.MS) + " ms"
	if e.Censored {
		text = "≥ " + text
	}
	return text
}

// strangers finds records of cells that the run does not have.
func (j *judge) strangers(v *view) {
	known := map[string]bool{}
	for _, p := range j.pairs {
		known[p.before.ID], known[p.after.ID] = true, true
	}
	for _, cell := range slices.Sorted(maps.Keys(v.safety)) {
		if !known[cell] {
			j.inconclusive("%s has a safety record of a cell that it does not have: %s", v.run.Dir, cell)
		}
	}
}

// sumUp counts broken promises and live cuts of each class over a run. Of a class with more broken promises than allowed every cell
// that broke one fails.
func (j *judge) sumUp(all []SafetyResult, v *view) {
	lost, cuts := map[string]int64{}, map[string]int{}
	for _, r := range all {
		if r.Verdict != results.Invalid && !r.rig {
			lost[r.Class] += r.PromisesLost
			cuts[r.Class] += r.LiveCuts
		}
	}
	for i := range all {
		r := &all[i]
		if r.rig || r.PromisesLost == 0 {
			continue
		}
		allowed := j.policy.Safety.BrokenPromises[r.Class]
		r.Why = fmt.Sprintf("%s of %s broken", text.Count(r.PromisesLost), text.Plural(r.Promises, "promise"))
		if lost[r.Class] > allowed {
			r.Outcome = Fail
			r.Why += fmt.Sprintf(", and the policy allows %s in this class", text.Count(allowed))
		} else if r.Outcome == Pass {
			r.Why += ", which the policy allows"
		}
		if r.Exposure.Writes > 0 || r.Exposure.MS > 0 {
			r.Why += "; " + exposureText(r.Exposure) + " exposed"
		}
		if r.Baseline == results.Loses {
			r.Why += "; the baseline breaks promises too"
		}
	}
	if need := j.policy.Evidence.LiveCuts; need > 0 {
		for _, class := range j.requiredClasses() {
			if cuts[class] < need {
				j.inconclusive("%s, %s: %s made, and the policy wants %d", v.run.Dir, class, text.Plural(cuts[class], "live cut"), need)
			}
		}
	}
}

// reasonsAbridged joins reasons of one kind where there are many: a run of a thousand cells would say the same a thousand times.
func (j *judge) reasonsAbridged() {
	const most = 20
	count := map[Outcome]int{}
	var kept []Reason
	for _, r := range j.v.Reasons {
		if count[r.Outcome]++; count[r.Outcome] <= most {
			kept = append(kept, r)
		}
	}
	for _, o := range []Outcome{Fail, Inconclusive} {
		if n := count[o] - most; n > 0 {
			kept = append(kept, Reason{o, fmt.Sprintf("and %s more of that kind; they stand among the rules, cells and records", text.Count(n))})
		}
	}
	j.v.Reasons = kept
}

package results

import (
	"path/filepath"
	"time"

	"platter/cell"
)

// Verdicts of a cell under a failure class.
const (
	Safe      = "SAFE"       // no promise was broken at any judged crash point
	Loses     = "LOSES"      // at least one was
	NoPromise = "NO_PROMISE" // nothing was promised: judge it by its exposure
	Invalid   = "INVALID"    // the control of this class failed, live cuts and replay disagree, or the file system was not looked at
)

// Methods of judging.
const (
	EveryOp = "every_op" // every crash point of the log, incrementally
	Sampled = "sampled"  // some crash points: the survivor is made and checked
	Live    = "live"     // as those, and the file system in live cuts alone (xfs): without one there is no SAFE
)

// Safety is one line of safety.jsonl: what one failure class takes from one cell behind one kind of drive cache. Its key is
// cell, class and drive cache.
type Safety struct {
	Cell       string    `json:"cell"`
	Class      string    `json:"class"`
	DriveCache string    `json:"drive_cache"` // "volatile", "protected" or "none"
	Method     string    `json:"method"`
	Status     string    `json:"status"` // OK or Failed, as of a trial
	Failure    *Failure  `json:"failure,omitempty"`
	Started    time.Time `json:"started"`
	Verdict    string    `json:"verdict,omitempty"` // empty when the campaign failed
	// Reason is why the verdict is INVALID, in a line.
	Reason string `json:"reason,omitempty"`
	// Predicted is the model's verdict and PredictedExposed whether it expects acknowledged, unpromised writes to be lost.
	// PredictedNewest says of a predicted LOSES that only the newest promises are at risk, and of NO_PROMISE the same of what is exposed:
	// rarely, so that a campaign may miss it.
	Predicted        string `json:"predicted,omitempty"`
	PredictedExposed bool   `json:"predicted_exposed"`
	PredictedNewest  bool   `json:"predicted_newest,omitempty"`
	// CrashPoints were judged. Points of one log are not independent: they give no bound.
	CrashPoints int64 `json:"crash_points"`
	Writes      int64 `json:"writes"` // that returned to the probe, as far as the witness was told
	// Promises are the promised writes of the whole log; PromisesLost those of them that are gone at the worst crash
	// point, and PointsLost the crash points at which any is.
	Promises     int64    `json:"promises"`
	PromisesLost int64    `json:"promises_lost"`
	PointsLost   int64    `json:"points_lost"`
	Torn         int64    `json:"torn"` // blocks that mix promised and newer sectors at the worst judged point
	Exposure     Exposure `json:"exposure"`
	// Filesystem is what the checker said at the worst sampled point; empty when every check was clean or none was made.
	Filesystem string       `json:"filesystem,omitempty"`
	Worst      *CrashPoint  `json:"worst,omitempty"`
	Strip      []StripPoint `json:"strip,omitempty"` // the log in at most 200 stretches, in order
	Live       *LiveCuts    `json:"live,omitempty"`
	Controls   []Control    `json:"controls,omitempty"` // of this class, made in the same run on the same kind of guest
	// IODepth is at which depth safety was measured, where the probe could not do the cell's.
	IODepth   int         `json:"iodepth,omitempty"`
	Seconds   float64     `json:"seconds"` // of the log
	FlushPath FlushPath   `json:"flush_path"`
	Effective *CacheFlags `json:"effective,omitempty"`
	// FUA is the guest's queue/fua: "1" where the disk takes writes that are to be durable when they return; empty where it was not read.
	FUA string `json:"fua,omitempty"`
}

// EnoughPromises is how many promises a SAFE campaign should have made. It would miss a loss of one promise in a hundred with a
// probability of 0.99^300, five in a hundred, if promises were lost independently of each other.
const EnoughPromises = 300

// FewPromises reports whether the verdict is SAFE of fewer than EnoughPromises promises: rarer losses would hardly have been seen.
func (s Safety) FewPromises() bool {
	promises := s.Promises
	if s.Method == Live && s.Live != nil {
		promises = max(promises, s.Live.Promises)
	}
	return s.Status == OK && s.Verdict == Safe && promises < EnoughPromises
}

// newestShare is how much of its promises a cell may lose of which the model has the newest alone at risk.
const newestShare = 0.1

// Unpredicted reports whether a valid verdict is not the model's. Where the model has the newest promises alone at risk, SAFE is no
// contradiction, since such losses are rare, and a loss of many is one.
func (s Safety) Unpredicted() bool {
	switch {
	case s.Status != OK || s.Verdict == "" || s.Verdict == Invalid || s.Predicted == "":
		return false
	case s.PredictedNewest && s.Predicted == Loses && s.Verdict == Safe:
		return false
	case s.PredictedNewest && s.Predicted == Loses && s.Verdict == Loses:
		return float64(s.PromisesLost) > max(1, newestShare*float64(s.Promises))
	}
	return s.Verdict != s.Predicted
}

// PredictedText returns the model's verdict in words: "LOSES the newest promises, rarely", "SAFE".
func (s Safety) PredictedText() string {
	if s.PredictedNewest && s.Predicted == Loses {
		return s.Predicted + " the newest promises, rarely"
	}
	return s.Predicted
}

// Key returns the question that the record answers: of two records with one key the later counts.
func (s Safety) Key() cell.Question {
	return cell.Question{Cell: s.Cell, Class: s.Class, DriveCache: s.DriveCache}
}

// SafetyDir returns where the raw files of a cell's crash campaign lie, below the run directory: raw/CELL/safety.
func SafetyDir(cell string) string { return filepath.Join(rawDir, cell, safetyDir) }

// Exposure is acknowledged but unpromised data that a crash takes, at the worst crash point for each figure: lower bounds,
// since only what the witness was told counts.
type Exposure struct {
	Writes int64   `json:"writes"`
	Bytes  int64   `json:"bytes"`
	MS     float64 `json:"ms"` // age of the oldest of them
	// Censored says that the oldest exposed write dates from the start of the campaign: the age is "at least".
	Censored bool `json:"censored"`
}

// CrashPoint names a crash point: the state after so many events of the log.
type CrashPoint struct {
	Point int64   `json:"point"` // events of the log before it
	MS    float64 `json:"ms"`    // since the log began
	// Seed decides what survived there of what might be lost; 0, where it is absent: nothing did.
	Seed uint64 `json:"seed,omitempty"`
}

// StripPoint sums up a stretch of the log: the worst of its crash points for each figure.
type StripPoint struct {
	CrashPoint
	PromisesLost  int64   `json:"promises_lost"`
	ExposedWrites int64   `json:"exposed_writes"`
	ExposedMS     float64 `json:"exposed_ms"`
}

// LiveCuts are the real cuts of a cell's group under one class.
type LiveCuts struct {
	Cuts         int     `json:"cuts"`
	Lost         int     `json:"lost"`            // cuts that broke a promise
	PromisesLost int64   `json:"promises_lost"`   // at the worst cut
	Promises     int64   `json:"promises"`        // at that cut
	Bound        float64 `json:"bound,omitempty"` // 95 % upper bound of the probability of loss; absent unless all cuts were clean
	Agrees       bool    `json:"agrees"`          // with the replay of the same log
	Disagreement string  `json:"disagreement,omitempty"`
}

// Control is a configuration that must lose under its class, tried to see whether a loss would be noticed.
type Control struct {
	Name         string `json:"name"` // "unsafe", "none without barriers", "probe that lies"
	Class        string `json:"class"`
	Promises     int64  `json:"promises"`
	PromisesLost int64  `json:"promises_lost"`
	Lost         bool   `json:"lost"` // as it must
}

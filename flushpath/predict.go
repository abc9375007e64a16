package flushpath

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"platter/cell"
)

// What becomes of promises.
const (
	Kept       = "kept"
	Lost       = "lost" // at least one may be broken
	NoPromises = "none" // the job makes none
)

// Predicted verdicts, in the words of a safety record.
const (
	Safe      = "SAFE"
	Loses     = "LOSES"
	NoPromise = "NO_PROMISE"
)

// Prediction is what a failure class is predicted to take. Promises and Verdict are empty, and Because says why, for a
// configuration that Check refuses: the model calls nothing safe that it does not know.
type Prediction struct {
	Promises string `json:"promises"` // Kept, Lost or NoPromises
	Exposed  bool   `json:"exposed"`  // acknowledged writes without a promise may be lost
	// Newest says that of the promises, or without any of the acknowledged writes, only the newest may be lost, which a flush has left out: a
	// loss that is rare, and that a campaign may miss.
	Newest  bool   `json:"newest,omitempty"`
	Verdict string `json:"verdict"` // Safe, Loses or NoPromise
	Because string `json:"because"`
	Source  string `json:"source"`
}

// Predict returns what a failure class takes, behind a drive cache that is cell.Volatile, cell.Protected or cell.NoCache; any other word is
// taken for cell.Volatile. An unknown class is answered like a configuration that is not modelled.
func Predict(c Config, class, driveCache string) Prediction {
	if err := c.Check(); err != nil {
		return Prediction{Because: err.Error()}
	}
	if !slices.Contains(cell.FailureClasses(), class) {
		return Prediction{Because: fmt.Sprintf("failure class %q is none of %s", class, strings.Join(cell.FailureClasses(), ", "))}
	}
	path := trace(c, driveCache)
	var promised, exposed []Layer
	for _, l := range path.Layers {
		if !slices.Contains(l.TakenBy, class) {
			continue
		}
		if l.Promised {
			promised = append(promised, l)
		}
		if l.Unpromised {
			exposed = append(exposed, l)
		}
	}
	p := Prediction{Exposed: len(exposed) > 0}
	switch any, _ := c.promises(); {
	case !any:
		p.Promises = NoPromises
		p.Verdict = NoPromise
		writeback, _, _ := Effective(c)
		p.Newest = path.late.Reason != "" && !writeback && p.Exposed &&
			!slices.ContainsFunc(exposed, func(l Layer) bool { return l.Where == InGuest })
	case len(promised) > 0:
		p.Promises = Lost
		p.Verdict = Loses
		p.Newest = !slices.ContainsFunc(promised, func(l Layer) bool { return !l.Newest })
	default:
		p.Promises = Kept
		p.Verdict = Safe
	}
	p.Because, p.Source = because(c, path, promised, exposed)
	if p.Verdict == Safe && tears(c, path, class) {
		p.Promises, p.Verdict = Lost, Loses
		p.Because = fmt.Sprintf("f2fs has no checksum over a node block: one that the crash leaves in part, which a drive with sectors of %d "+
			"bytes may, is taken for whole, and promised writes that it leads to are lost", sectorBytes(c))
		p.Source = sourceNode
	}
	return p
}

// tears reports whether what leads to promised writes may be lost with a newer version of itself that was not promised: f2fs writes node
// blocks of 4 KiB anew, and after a crash recovers from those that bear its mark, whatever else of them arrived.
func tears(c Config, path Path, class string) bool {
	return c.Filesystem == "f2fs" && sectorBytes(c) < f2fsBlock && slices.ContainsFunc(path.Layers, func(l Layer) bool {
		return l.Where == InHost && l.Holds && slices.Contains(l.TakenBy, class)
	})
}

const f2fsBlock = 4096 // bytes

func sectorBytes(c Config) int { return cmp.Or(c.Sector, 512) }

// because returns the reason in a line, and where the deciding rule comes from.
func because(c Config, path Path, promised, exposed []Layer) (why, source string) {
	writeback, _, _ := Effective(c)
	at, swallowed := path.SwallowedAt()
	drop := fmt.Sprintf("%s (%s)", at.Reason, at.Name)
	any, each := c.promises()
	late := path.late.Reason != ""
	switch {
	case !any:
		why = "nothing was promised"
		source = sourceFsync
	case late && len(promised) > 0 && promised[0].Newest:
		why = path.late.Reason + "; the newest promised writes may be in the " + names(promised) + " alone"
		if writeback && len(exposed) > 0 {
			why += ", unpromised ones in the " + names(exposed)
		}
		return why, path.late.Source
	case len(promised) > 0 && names(promised) == names(exposed):
		return drop + "; promised and unpromised writes may be in the " + names(promised) + " alone", at.Source
	case len(promised) > 0:
		why = drop + "; promised writes may be in the " + names(promised) + " alone"
		source = at.Source
	case swallowed && len(exposed) == 0:
		return drop + ", but nothing rests in what this takes", at.Source
	case swallowed:
		why = drop + ", but promised writes rest in nothing that this takes"
		source = at.Source
	case !writeback && late:
		why = path.late.Reason
		source = path.late.Source
	case !writeback && c.fuaFlush().dsync:
		why = "QEMU makes each write RWF_DSYNC"
		source = sourceDsync
	case !writeback:
		why = "QEMU flushes after each write"
		source = sourceEachWrite
	default:
		why = "the flush of " + c.promiser() + " reaches the " + path.end()
		source = sourceBlock
	}
	switch {
	case len(exposed) > 0 && late && !writeback:
		return why + "; the newest unpromised writes may be in the " + names(exposed) + " alone", path.late.Source
	case len(exposed) > 0 && (!any || !swallowed):
		return why + "; unpromised writes may be in the " + names(exposed) + " alone", exposed[0].Source
	case len(exposed) > 0:
		return why + "; unpromised writes may be in the " + names(exposed) + " alone", source
	case late && !writeback:
		return why + "; what it leaves out rests in nothing that this takes", source
	case each:
		return why + "; each write is promised when it returns", source
	case any && !writeback:
		return why + ", promised or not", source
	default:
		return why + "; unpromised writes rest in nothing that this takes", source
	}
}

// end returns the name of the layer where a flush ends.
func (p Path) end() string {
	for _, l := range p.Layers {
		if l.Flush == Ends {
			return l.Name
		}
	}
	return "end of the path"
}

// names lists layers: "host page cache or drive cache".
func names(layers []Layer) string {
	var words []string
	for _, l := range layers {
		words = append(words, l.Name)
	}
	if n := len(words); n > 2 {
		words = []string{strings.Join(words[:n-1], ", "), words[n-1]}
	}
	return strings.Join(words, " or ")
}

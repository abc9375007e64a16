package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"platter/orchestrator"
	"platter/results"
	"platter/text"
)

// progress tells how a run goes: a bar with an ETA on a terminal, otherwise a line for each trial.
type progress struct {
	w   io.Writer
	bar *progressbar.ProgressBar // nil where w is no terminal
}

func newProgress(w io.Writer) *progress { return &progress{w: w} }

// terminal is the file behind w if that is a terminal.
func terminal(w io.Writer) (*os.File, bool) {
	f, ok := w.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd()))
}

func (p *progress) tell(e orchestrator.Event) {
	if _, ok := terminal(p.w); !ok {
		p.line(e)
		return
	}
	if p.bar == nil && e.Total > 0 {
		p.bar = progressbar.NewOptions(e.Total, progressbar.OptionSetWriter(p.w), progressbar.OptionSetWidth(20),
			progressbar.OptionSetElapsedTime(false), progressbar.OptionSetPredictTime(false), progressbar.OptionShowCount(),
			progressbar.OptionClearOnFinish())
	}
	switch {
	case p.bar == nil:
		p.say(e.Message)
	case e.Trial != nil && e.Trial.Status == results.Failed:
		_ = p.bar.Clear()
		p.say(trialLine(e))
		_ = p.bar.Set(e.Done)
	case len(e.Safety) > 0 && e.Safety[0].Status == results.Failed:
		_ = p.bar.Clear()
		p.say(safetyLine(e))
		_ = p.bar.Set(e.Done)
	case e.Trial != nil || len(e.Safety) > 0:
		_ = p.bar.Set(e.Done)
	default:
		described := text.Line(e.Message)
		if e.Total > 0 {
			described = fmt.Sprintf("%s left  %.40s", round(e.Left), described)
		}
		p.bar.Describe(described)
	}
}

// say writes one line, whatever a guest or fio put into it.
func (p *progress) say(line string) { fmt.Fprintln(p.w, text.Line(line)) }

func (p *progress) line(e orchestrator.Event) {
	switch {
	case e.Trial != nil:
		p.say(trialLine(e))
	case len(e.Safety) > 0:
		p.say(safetyLine(e))
	case e.Total == 0:
		p.say(e.Message)
	}
}

// safetyLine is a finished crash campaign in one line.
func safetyLine(e orchestrator.Event) string {
	first := e.Safety[0]
	text := numbered(e, first.Cell)
	if first.Status == results.Failed {
		return text + "  failed: " + first.Failure.Message
	}
	for _, s := range e.Safety {
		text += fmt.Sprintf("  %s %s", s.Class, s.Verdict)
		if s.DriveCache != "volatile" {
			text += " (" + s.DriveCache + ")"
		}
	}
	return text + fmt.Sprintf("  %s left", round(e.Left))
}

// numbered begins a line about a cell with how far the run is.
func numbered(e orchestrator.Event, cell string) string {
	return fmt.Sprintf("%*d/%d  %s", len(fmt.Sprint(e.Total)), e.Done, e.Total, cell)
}

// trialLine is a finished trial in one line.
func trialLine(e orchestrator.Event) string {
	t := e.Trial
	head := numbered(e, t.Cell)
	if t.Status == results.Failed {
		return head + "  failed: " + t.Failure.Message
	}
	line := head
	if t.Metrics.Read != nil {
		line += fmt.Sprintf("  read %s IOPS", text.Number(t.Metrics.Read.IOPS))
	}
	if t.Metrics.Write != nil {
		line += fmt.Sprintf("  write %s IOPS", text.Number(t.Metrics.Write.IOPS))
	}
	return line + fmt.Sprintf("  %s left", round(e.Left))
}

func (p *progress) finish() {
	if p.bar != nil {
		_ = p.bar.Finish()
		_ = p.bar.Clear()
	}
}

// round writes a duration for people: "4m10s", "8s".
func round(d time.Duration) string { return d.Round(time.Second).String() }

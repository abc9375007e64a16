package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"platter/cell"
	"platter/powercut/oplog"
	"platter/powercut/replay"
	"platter/powercut/witness"
	"platter/reports"
	"platter/results"
	"platter/text"
)

func replayCommand() *cli.Command {
	return &cli.Command{
		Name:      "replay",
		Usage:     "judge one crash point of a run's crash campaign, and make the disk that survives it",
		ArgsUsage: "RUNDIR",
		Category:  "safety",
		Description: `Replays the operation log of a cell up to a crash point and prints what the crash takes: promised writes that are
gone, acknowledged ones that are exposed, the first lost write and what held it. With -o it also writes what is left of the disk,
byte for byte, as an image of the cell's own format. Needs neither libvirt nor root.

A crash point is a number from 1: the state after so many events of the log; "worst" is the one that the run found to be worst,
"end" the last. With seed 0 all that can be lost is lost; with another one each sector that can be lost is lost or not by the seed.
The worst point has its own, unless one is said.

--timeline draws what was asked of the disk around that point: the jobs' writes, flushes, promises, what lay in which cache, and the
promised write that is gone; below it the same in words, and the lines that show the loss without a guest, if any are known. With --json it
is one object.

EXAMPLES:
   platter replay demo --cell disk.cache=unsafe,fio.fsync=1 --class power_loss
   platter replay demo --cell disk.cache=none,fio.fsync=0 --class power_loss --at 1234 --seed 7 -o survivor.img
   platter replay demo --cell disk.cache=unsafe,fio.fsync=1 --class power_loss --timeline
   e2fsck -fn survivor.img

EXIT STATUS:
   0    the judgement was printed, whatever it says
   2    usage or bad input: no such cell, class or crash point, a log that is damaged, an output that exists
   3    the survivor could not be written`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "cell", Usage: "`ID` of the cell, or its settings as tables write them: cache=none,fsync=1"},
			&cli.StringFlag{Name: "class", Usage: "`CLASS` of failure: guest_crash, qemu_kill, host_crash or power_loss"},
			&cli.StringFlag{Name: "drive-cache", Usage: "`KIND`: volatile, protected or none", DefaultText: "the first that the run asked about"},
			&cli.StringFlag{Name: "at", Usage: "crash `POINT`: a number, worst or end", Value: "worst"},
			&cli.Uint64Flag{Name: "seed", Usage: "`NUMBER` that decides what survives of what may be lost",
				DefaultText: "the worst point's own, else 0: nothing"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write the survivor to `FILE`, which must not exist"},
			&cli.BoolFlag{Name: "timeline", Usage: "draw what happened around the crash point, in 80 columns"},
			&cli.BoolFlag{Name: "json", Usage: "with --timeline: print it as JSON"},
		},
		Action: func(c *cli.Context) error {
			dir, err := oneArg(c, "RUNDIR", "the directory that platter run wrote")
			if err != nil {
				return err
			}
			run, err := results.Read(dir)
			if err != nil {
				return err
			}
			r, err := findCampaign(run, c.String("cell"))
			if err != nil {
				return err
			}
			if c.Bool("json") && !c.Bool("timeline") {
				return &errUsage{"replay: --json says how --timeline prints: ask for both"}
			}
			if err := r.ask(run, c.String("class"), c.String("drive-cache"), c.String("at")); err != nil {
				return err
			}
			if c.IsSet("seed") {
				r.at.Seed = c.Uint64("seed")
			}
			if c.Bool("timeline") {
				return r.timeline(c, run)
			}
			return r.do(c.App.Writer, c.String("output"))
		},
	}
}

// replayed is a recorded campaign and the crash that is asked about.
type replayed struct {
	cell     string
	rundir   string
	dir      string // below it: raw/CELL/safety
	campaign replay.Campaign
	at       replay.At
}

func (r *replayed) log() replay.Log {
	name := filepath.Join(r.dir, "oplog.gz")
	return replay.Log{Name: name, Open: func() (io.ReadCloser, error) { return results.Open(r.rundir, name) }}
}

// findCampaign reads the campaign of a cell.
func findCampaign(run *results.Run, cell string) (*replayed, error) {
	var recorded []string
	for _, c := range run.Manifest.Cells {
		if f, err := results.Open(run.Dir, filepath.Join(results.SafetyDir(c.ID), "campaign.json")); err == nil {
			recorded = append(recorded, c.ID)
			f.Close()
		}
	}
	if len(recorded) == 0 {
		return nil, &errUsage{fmt.Sprintf("%s has no crash campaign: its matrix has no section safety, or none was finished", run.Dir)}
	}
	if i := slices.IndexFunc(recorded, func(id string) bool { return plainCell(id) == plainCell(cell) }); i >= 0 &&
		!slices.Contains(recorded, cell) {
		cell = recorded[i]
	}
	if !slices.Contains(recorded, cell) {
		what := fmt.Sprintf("no crash campaign of a cell %q", cell)
		if cell == "" {
			what = "--cell is missing"
		}
		return nil, &errUsage{fmt.Sprintf("replay: %s: %s has %s", what, run.Dir, strings.Join(nearCells(cell, recorded), " · "))}
	}
	dir := results.SafetyDir(cell)
	name := filepath.Join(dir, "campaign.json")
	f, err := results.Open(run.Dir, name)
	if err != nil {
		return nil, &errUsage{err.Error()}
	}
	defer f.Close()
	campaign, err := replay.ReadCampaign(f)
	if err != nil {
		return nil, &errUsage{fmt.Sprintf("%s: %v", filepath.Join(run.Dir, name), err)}
	}
	return &replayed{cell: cell, rundir: run.Dir, dir: dir, campaign: campaign}, nil
}

// plainCell is a cell's id as tables write it, without the namespaces of its axes: "cache=none,fsync=1".
func plainCell(id string) string {
	parts := strings.Split(id, ",")
	for i, part := range parts {
		name, value, is := strings.Cut(part, "=")
		if _, short, ok := strings.Cut(name, "."); ok && is {
			parts[i] = short + "=" + value
		}
	}
	return strings.Join(parts, ",")
}

// nearCells are at most six of the cells, those first that share most settings with the one asked for.
func nearCells(cell string, cells []string) []string {
	wanted := strings.Split(plainCell(cell), ",")
	shared := func(c string) int {
		n := 0
		for part := range strings.SplitSeq(plainCell(c), ",") {
			if slices.Contains(wanted, part) {
				n++
			}
		}
		return n
	}
	near := slices.Clone(cells)
	slices.SortStableFunc(near, func(a, b string) int { return shared(b) - shared(a) })
	if more := len(near) - 6; more > 0 {
		near = append(near[:6], fmt.Sprintf("and %d more", more))
	}
	return near
}

// ask takes in which crash is meant.
func (r *replayed) ask(run *results.Run, class, drive, at string) error {
	if !slices.Contains(r.campaign.Classes, class) {
		what := fmt.Sprintf("class %q was not asked about", class)
		if class == "" {
			what = "--class is missing"
		}
		return &errUsage{fmt.Sprintf("replay: %s: the run asked about %s", what, strings.Join(r.campaign.Classes, ", "))}
	}
	if drive == "" && len(r.campaign.DriveCaches) > 0 {
		drive = r.campaign.DriveCaches[0]
	}
	if !slices.Contains(r.campaign.DriveCaches, drive) {
		return &errUsage{fmt.Sprintf("replay: drive cache %q was not asked about: the run asked about %s", drive,
			strings.Join(r.campaign.DriveCaches, ", "))}
	}
	r.at = replay.At{Question: cell.Question{Class: class, DriveCache: drive}}
	switch at {
	case "end":
		r.at.Point = -1
		return nil
	case "worst":
		return r.worst(run)
	}
	point, err := strconv.ParseInt(at, 10, 64)
	if err != nil || point < 1 {
		return &errUsage{fmt.Sprintf("replay: --at %q: it is a number from 1, worst or end", at)}
	}
	r.at.Point = point
	return nil
}

// worst finds the worst crash point that the run has found.
func (r *replayed) worst(run *results.Run) error {
	key := cell.Question{Cell: r.cell, Class: r.at.Class, DriveCache: r.at.DriveCache}
	for _, s := range run.Safety {
		if s.Key() != key {
			continue
		}
		if s.Worst == nil {
			return &errUsage{fmt.Sprintf("replay: no crash point is worst: %s takes nothing from %s; name one with --at NUMBER or --at end",
				r.at.Class, r.cell)}
		}
		r.at.Point, r.at.Seed = s.Worst.Point, s.Worst.Seed
		return nil
	}
	return &errUsage{fmt.Sprintf("replay: the run has no record of %s for %s: name a crash point with --at NUMBER or --at end", r.at.Class,
		r.cell)}
}

// timeline prints what happened around the crash point, and writes the survivor if one is asked for.
func (r *replayed) timeline(c *cli.Context, run *results.Run) error {
	steps := reports.TimelineSteps
	if c.Bool("json") {
		steps = replay.MaxSteps
	}
	t, err := replay.TimelineFile(r.log(), r.campaign, r.at, steps)
	if err != nil {
		return badLog(err)
	}
	of := run.Manifest.Cells[slices.IndexFunc(run.Manifest.Cells, func(o cell.Cell) bool { return o.ID == r.cell })]
	again := reports.Reproduce(of, run.Manifest.HypervisorOf(of), t)
	if c.String("output") != "" {
		if err := r.write(c.String("output")); err != nil {
			return err
		}
	}
	if c.Bool("json") {
		e := json.NewEncoder(c.App.Writer)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(struct {
			Cell string `json:"cell"`
			*replay.Timeline
			Reproduction reports.Reproduction `json:"reproduction"`
		}{r.cell, t, again})
	}
	p := &text.Printer{W: c.App.Writer}
	p.Linef("%s", r.cell)
	p.Linef("%s, drive cache %s, at crash point %d", r.at.Class, r.at.DriveCache, t.Cut.Event)
	p.Linef("seed %s\n", meaning(r.at.Seed))
	if p.Err != nil {
		return p.Err
	}
	_, onTerminal := terminal(c.App.Writer)
	if err := reports.Timeline(c.App.Writer, t, onTerminal && os.Getenv("TERM") != "dumb" && os.Getenv("NO_COLOR") == ""); err != nil {
		return err
	}
	p.Linef("")
	p.Hang("", "", again.Text)
	for _, line := range again.Lines {
		p.Linef("%s", line) // whole, however long: it is to be pasted
	}
	return p.Err
}

// do prints the judgement and writes the survivor if output names a file.
func (r *replayed) do(w io.Writer, output string) error {
	ledger, err := replay.LedgerFile(r.log(), r.campaign, r.at.Point)
	if err != nil {
		return badLog(err)
	}
	r.at.Point = ledger.Point
	p := &text.Printer{W: w}
	p.Linef("cell      %s", r.cell)
	p.Linef("crash     %s, drive cache %s, at point %d, %.3f ms after the log began", r.at.Class, r.at.DriveCache, ledger.Point, ledger.MS)
	p.Linef("seed      %s", meaning(r.at.Seed))
	if r.campaign.Layout.Pattern == witness.Overwrite && r.campaign.Format == "raw" && !cell.Relocates(r.campaign.Filesystem) {
		if err := r.judge(p); err != nil {
			return err
		}
	} else {
		p.Linef("promised  %d writes", ledger.Promises())
		p.Linef("returned  %d writes, as far as the witness was told", ledger.Writes())
		on := r.campaign.Format
		if cell.Relocates(r.campaign.Filesystem) {
			on = r.campaign.Filesystem
		}
		p.Linef("lost      cannot be told from the log of %s on %s: make the survivor with -o and look into it", r.campaign.Layout.Pattern, on)
	}
	if p.Err != nil || output == "" {
		return p.Err
	}
	if err := r.write(output); err != nil {
		return err
	}
	p.Linef("survivor  %s", output)
	return p.Err
}

func meaning(seed uint64) string {
	if seed == 0 {
		return "0: all that can be lost is lost"
	}
	return fmt.Sprintf("%d: each sector that can be lost is lost or not by it", seed)
}

// judge prints what the crash takes.
func (r *replayed) judge(p *text.Printer) error {
	j, err := replay.JudgeFile(r.log(), r.campaign, r.at)
	if err != nil {
		return badLog(err)
	}
	p.Linef("promised  %d writes", j.Promises)
	torn := ""
	if j.Torn > 0 {
		torn = fmt.Sprintf("; %d blocks torn", j.Torn)
	}
	p.Linef("lost      %d of them%s", j.PromisesLost, torn)
	extent := ""
	if j.Exposure.Writes > 0 {
		atLeast := ""
		if j.Exposure.Censored {
			atLeast = "≥ "
		}
		extent = fmt.Sprintf(", %d bytes, the oldest %s%.1f ms old", j.Exposure.Bytes, atLeast, j.Exposure.MS)
	}
	p.Linef("exposed   %d writes that were acknowledged and not promised%s", j.Exposure.Writes, extent)
	if j.First != nil {
		p.Linef("first     %s", j.First)
	}
	return p.Err
}

// badLog makes the user's what is wrong with a log or with the point that was named.
func badLog(err error) error {
	var point *replay.PointError
	if errors.As(err, &point) || errors.Is(err, oplog.ErrTruncated) || errors.Is(err, replay.ErrWitness) || errors.Is(err, os.ErrNotExist) {
		return &errUsage{"replay: " + err.Error()}
	}
	return fmt.Errorf("replay: %w", err)
}

// open opens a file that campaign.json names, relative to itself.
func (r *replayed) open(name string) (io.ReadCloser, error) {
	return results.Open(r.rundir, filepath.Join(r.dir, name))
}

// write makes the survivor; a file that could not be finished is taken away.
func (r *replayed) write(path string) (err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	if errors.Is(err, os.ErrExist) {
		return &errUsage{fmt.Sprintf("replay: %s exists: name another file with -o", path)}
	}
	if err != nil {
		return fmt.Errorf("make the survivor: %w", err)
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			os.Remove(path)
		}
	}()
	if err := r.campaign.WriteBase(r.open, f); err != nil {
		return fmt.Errorf("make the survivor %s: %w", path, err)
	}
	if err := replay.SurvivorFile(r.log(), r.campaign, r.at, f); err != nil {
		return badLog(err)
	}
	return nil
}

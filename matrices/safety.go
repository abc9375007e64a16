package matrices

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"platter/cell"
	"platter/strictyaml"
)

// Safety is what a matrix asks of the crash campaigns: after the trials the probe does the workload of each measured cell
// once on a disk that can lose power, and one log of it is judged for every class and drive cache.
type Safety struct {
	Classes     []string // failure classes: guest_crash, qemu_kill, host_crash, power_loss
	DriveCaches []string // kinds of the drive's own cache: volatile, protected, none
	Seconds     float64  // how long the probe runs in each cell, 0.1 to 60
	// Live is how many real cuts each class gets in each group of cells with equal disk.* settings and guest.filesystem (not
	// in each cell): they check the judgement of the log, and a cut costs some 5 s. Of xfs, whose file system is looked at in
	// them alone, each cell that promises anything gets them, behind each drive cache.
	Live      int
	Pattern   string // overwrite, append, file or rename: what one write of the probe is
	SizeBytes int64  // what the probe works on, all jobs together
	// Points is how many crash points are tried where each takes a check of the whole disk; 0 where it is not said: see PointsOf.
	Points int
}

// How many crash points are tried where nothing is said: of survivors that tools of the host's look into, and of those that a guest must
// mount, which takes seconds each.
const (
	examinedPoints = 200
	mountedPoints  = 10
)

// PointsOf returns at how many crash points a survivor of the cell is made and looked into, where the judgement of the cell takes that.
func (s Safety) PointsOf(c cell.Cell) int {
	switch {
	case s.Points > 0:
		return s.Points
	case cell.Relocates(c.Filesystem()):
		return mountedPoints
	}
	return examinedPoints
}

// Limits of the safety section.
const (
	minSafetySeconds = 0.1
	maxSafetySeconds = 60
	maxLive          = 300 // which bounds the probability of loss to 1 %
	maxPoints        = 100_000

	// Of the probe.
	maxProbeJobs  = 64
	maxProbeDepth = 256
	maxProbeBlock = 16 << 20
	probeSector   = 512
)

const (
	patternOverwrite = "overwrite"
	safetyExample    = "for example {classes: [host_crash, power_loss], seconds: 5}"
)

func patterns() []string { return []string{patternOverwrite, "append", "file", "rename"} }

func defaultSafety() *Safety {
	return &Safety{Classes: cell.FailureClasses(), DriveCaches: []string{"volatile"}, Seconds: 5, Pattern: patternOverwrite,
		SizeBytes: 64 << 20}
}

func (r *reader) safety(what string, n *node) error {
	s := defaultSafety()
	r.matrix.Safety = s
	return r.sections(what, n, []section{
		{"classes", r.words(&s.Classes, cell.FailureClasses()), false},
		{"drive_cache", r.words(&s.DriveCaches, cell.DriveCaches()), false},
		{"seconds", r.seconds(&s.Seconds), false},
		{"live", r.whole(&s.Live, 0, maxLive), false},
		{"pattern", r.oneOf(&s.Pattern, patterns()...), false},
		{"size", r.bytes(&s.SizeBytes), false},
		{"points", r.whole(&s.Points, 1, maxPoints), false},
	})
}

// words reads a list of some of the known words, each once.
func (r *reader) words(into *[]string, known []string) func(string, *node) error {
	return func(what string, n *node) error {
		if n.kind != list || len(n.items) == 0 || slices.ContainsFunc(n.items, func(item *node) bool { return item.kind != scalar }) {
			return r.at(n.pos, problemf("%s should be a list of some of: %s", what, strings.Join(known,
				", ")).withHint("write them in brackets: [%s]", known[0]))
		}
		*into = nil
		for _, item := range n.items {
			word := item.value.String()
			switch {
			case !slices.Contains(known, word):
				hint := strictyaml.DidYouMean(word, known, "it has "+strings.Join(known, ", "))
				return r.at(item.pos, problemf("%s has no %q", what, word).withHint("%s", hint))
			case slices.Contains(*into, word):
				return r.at(item.pos, problemf("%s has %q twice", what, word).withHint("remove one"))
			}
			*into = append(*into, word)
		}
		return nil
	}
}

// seconds reads a number of seconds, whole or not.
func (r *reader) seconds(into *float64) func(string, *node) error {
	return func(what string, n *node) error {
		v := math.NaN()
		switch x := n.value.V.(type) {
		case int64:
			v = float64(x)
		case float64:
			v = x
		}
		if n.kind != scalar || !(v >= minSafetySeconds && v <= maxSafetySeconds) {
			return r.at(n.pos, problemf("%s should be a number of seconds from %v to %v", what, minSafetySeconds, maxSafetySeconds))
		}
		*into = v
		return nil
	}
}

// checkSafety refuses a safety section that no cell can be given, or whose pattern or size does not fit one.
func (r *reader) checkSafety(cells []cell.Cell) error {
	s := r.matrix.Safety
	if s == nil {
		return nil
	}
	first, some := "", false
	for _, c := range cells {
		if c.Excluded != "" {
			continue
		}
		if c.Unprobed != "" {
			if first == "" {
				first = c.Unprobed
			}
			continue
		}
		some = true
		if key, p := s.misfit(c); p != nil {
			return r.at(r.placeOfSafety(key), p)
		}
	}
	if !some {
		return r.at(r.places["safety"], problemf("no cell's safety can be measured: %s",
			first).withHint("change the workload, or remove the section safety"))
	}
	return nil
}

// misfit says which key of the section does not fit a cell, and why.
func (s *Safety) misfit(c cell.Cell) (key string, p *problem) {
	block, jobs := c.BlockBytes(), int64(c.Jobs())
	switch {
	case s.Pattern != patternOverwrite && c.Filesystem() == "none":
		return "pattern", problemf("the pattern %s writes files, and there is no file system (cell %s)", s.Pattern, c.ID).
			withHint("set guest.filesystem to ext4, or use the pattern overwrite")
	case s.Pattern != patternOverwrite && c.Filesystem() == "xfs":
		return "pattern", problemf("the files of the pattern %s are not read back from xfs (cell %s)", s.Pattern, c.ID).
			withHint("set guest.filesystem to ext4, btrfs or f2fs, or use the pattern overwrite")
	case s.Live == 0 && c.Filesystem() == "xfs":
		// No tool of the host's looks at an unmounted xfs as the kernel will: without a cut its verdict would be a guess.
		return "live", problemf("the file system of an xfs cell is looked at in live cuts alone, and there are none (cell %s)", c.ID).
			withHint("write live: 1 or more, or leave xfs out")
	case s.SizeBytes < block*jobs:
		return "size", problemf("safety.size has no block of its own for each job: %d of %d bytes each (cell %s)", jobs, block, c.ID).
			withHint("make safety.size larger")
	case s.SizeBytes > c.Room():
		return "size", problemf("safety.size is more than the disk has room for: %d bytes (cell %s)", c.Room(), c.ID).
			withHint("make safety.size smaller or storage.size larger")
	}
	return "", nil
}

// placeOfSafety is where a key of the section stands, or the section where it does not.
func (r *reader) placeOfSafety(key string) strictyaml.Position {
	if pos, ok := r.places["safety."+key]; ok {
		return pos
	}
	return r.places["safety"]
}

// unprobed is why the safety of the cell cannot be measured, because the probe cannot do its workload; "" when it can.
// Such a cell is measured for speed all the same. Rate limits and think times are not among the reasons: the probe writes as fast as
// it can, which exposes more.
func unprobed(c cell.Cell) string {
	rw := c.Settings.Text("fio.rw")
	switch {
	case strings.Contains(c.RW(), "trim"):
		return "the probe does not trim"
	case strings.HasSuffix(c.RW(), "read"):
		return "nothing is written"
	case strings.Contains(rw, ":"):
		return "the probe does not know rw=" + rw
	case c.Settings.Text("fio.bsrange") != "" || c.Settings.Text("fio.bssplit") != "" || strings.Contains(c.Settings.Text("fio.bs"), ","):
		return "the probe writes blocks of one size"
	case c.BlockBytes()%probeSector != 0:
		return fmt.Sprintf("the probe marks sectors of %d bytes, and bs is not a multiple of that", probeSector)
	case c.BlockBytes() > maxProbeBlock:
		return "the probe writes blocks of at most 16 MiB"
	case size(c, "numjobs") > maxProbeJobs:
		return fmt.Sprintf("the probe has at most %d jobs", maxProbeJobs)
	case size(c, "iodepth") > maxProbeDepth:
		return fmt.Sprintf("the probe has at most %d writes of a job in flight", maxProbeDepth)
	case c.Engine() == "mmap":
		return "the probe does not write through a mapping"
	case size(c, "sync_file_range") > 0 || strings.Contains(c.Settings.Text("fio.sync_file_range"), ":"):
		return "sync_file_range promises nothing, and the probe does not call it"
	case c.Settings.Text("fio.end_fsync") == "1" || c.Settings.Text("fio.fsync_on_close") == "1":
		return "the probe does not sync at its end, as end_fsync and fsync_on_close have fio do"
	}
	return ""
}

func safetySchema() schema {
	words := func(about string, known []string) schema {
		return schema{"description": about, "type": "array", "minItems": 1, "uniqueItems": true, "items": schema{"enum": known}}
	}
	whole := func(about string, low, high int) schema {
		return schema{"description": about, "type": "integer", "minimum": low, "maximum": high}
	}
	return schema{
		"description": "What each cell loses in a crash: after the trials a probe does its workload on a simulated disk, and the " +
			"disk's log is judged.",
		"type":                 "object",
		"additionalProperties": false,
		"properties": schema{
			"classes": words("The failures; all four unless it is said.", cell.FailureClasses()),
			"drive_cache": words("The drive's own cache: volatile loses its content with the power; volatile unless it is said.",
				cell.DriveCaches()),
			"seconds": schema{"description": "How long the probe runs in each cell; 5 unless it is said.", "type": "number",
				"minimum": minSafetySeconds, "maximum": maxSafetySeconds},
			"live": whole("Real cuts of each class in each group of cells with equal disk settings and file system, as a check of the log's "+
				"judgement; of xfs in each cell, where there must be some; 0 unless it is said.", 0, maxLive),
			"pattern": schema{"description": "What one write of the probe is: overwrite a block, append one, make a file, or replace a file; all " +
				"but overwrite need a file system.",
				"enum": patterns()},
			"size": sizeSchema("What the probe works on, all jobs together; 64MiB unless it is said.", sectionMultiple),
			"points": whole("How many crash points are tried where each takes a check of the whole disk; unless it is said 200, or 10 on btrfs "+
				"and f2fs, which a guest mounts for each.", 1, maxPoints),
		},
	}
}

package reports

import (
	"strings"

	"platter/flushpath"
	"platter/results"
	"platter/text"
)

// flushRow is what the model expects of a cell's flushes and what was counted.
type flushRow struct {
	Expected *flushpath.Expected // nil where the model has no answer
	Campaign *results.Safety     // of the cell's crash campaign, whose image is the simulated disk; nil without
	Found    []string            // what the counts say, in words
	Differs  bool                // from what is expected
}

// flushRows returns a row for each cell.
func flushRows(m *Model) []flushRow {
	configs := map[string]flushpath.Config{}
	for _, c := range m.Manifest.Cells {
		if c.Settings != nil {
			h := m.Manifest.HypervisorOf(c)
			configs[c.ID] = flushpath.Of(c, flushpath.FactsOf(h.QEMU, h.Libvirt))
		}
	}
	rows := make([]flushRow, len(m.Cells))
	for i, c := range m.Cells {
		r := &rows[i]
		for j := range m.Safety.Questions {
			if s := m.Safety.row(c.ID, m.Safety.Questions[j]); s != nil && s.Status == results.OK {
				r.Campaign = &s.Safety
				break
			}
		}
		config, known := configs[c.ID]
		config.FUA = c.FUA
		if config.FUA == "" && r.Campaign != nil {
			config.FUA = r.Campaign.FUA
		}
		if !known || config.Check() != nil {
			continue
		}
		e := flushpath.Trace(config).Expected
		r.Expected = &e
		r.compare(c)
	}
	return rows
}

// compare holds the counts against what is expected: of the trials, and at the image, which trials on a real disk cannot count, of
// the crash campaign.
func (r *flushRow) compare(c Cell) {
	if c.Trials > 0 {
		f := c.FlushPath
		r.step("the application", "the guest’s disk", r.Expected.Guest, sum(f.Fio, f.FioDsyncWrites), f.Guest)
		r.step("the guest’s disk", "QEMU", r.Expected.QEMU, f.Guest, f.QEMU)
		if f.Image != nil {
			r.atImage(c.Writes, f)
			return
		}
	}
	if s := r.Campaign; s != nil {
		r.atImage(s.Writes, s.FlushPath)
	}
}

// atImage holds what arrived at the image, flushes and writes that are O_DSYNC themselves, against QEMU's own flushes, or against the
// writes where each of them is to be durable when it ends.
func (r *flushRow) atImage(writes int64, f results.FlushPath) {
	e := r.Expected
	above, here := f.QEMU, sum(f.Image, f.ImageDsyncWrites)
	switch {
	case e.Image == flushpath.DsyncEach && f.ImageDsyncWrites == nil:
		return // counted by an older platter, which did not look for them
	case e.Guest == flushpath.NoneNeeded || e.Guest == flushpath.ByFUA:
		above = &writes
	case e.QEMU == flushpath.NotCounted:
		above = f.Guest
	}
	r.step("QEMU", "the image", e.Image, above, here)
}

// step says what became of the flushes on their way to a layer.
func (r *flushRow) step(from, to string, e flushpath.Expect, above, here *int64) {
	if above == nil || here == nil {
		return
	}
	switch swallowed := e.Swallowed(*above, *here); {
	case swallowed && e == flushpath.AreDropped:
		r.Found = append(r.Found, "swallowed between "+from+" and "+to)
	case swallowed:
		r.Found, r.Differs = append(r.Found, "≠ swallowed between "+from+" and "+to+", and the model expects them to arrive"), true
	case e == flushpath.AreDropped && *above > 0:
		r.Found, r.Differs = append(r.Found, "≠ flushes arrive at "+to+", and the model expects them to be swallowed"), true
	case e == flushpath.NoneNeeded && to == "the guest’s disk" && *here*100 < *above:
		r.Found = append(r.Found, "not needed above QEMU, which flushes after each write")
	}
}

// sum adds what was counted; nil where nothing was.
func sum(a, b *int64) *int64 {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	n := *a + *b
	return &n
}

// FoundText returns Found in one line.
func (r flushRow) FoundText() string { return orAbsent(len(r.Found) > 0, strings.Join(r.Found, "; ")) }

// ExpectedTexts returns what is expected at the guest's disk, at QEMU and at the image.
func (r flushRow) ExpectedTexts() []string {
	if r.Expected == nil {
		return []string{absent, absent, absent}
	}
	return []string{string(r.Expected.Guest), string(r.Expected.QEMU), string(r.Expected.Image)}
}

// CampaignTexts returns the campaign's writes, syncs (or writes that sync), flushes of QEMU and at the image, and O_DSYNC writes there.
func (r flushRow) CampaignTexts() []string {
	if r.Campaign == nil {
		return []string{absent, absent, absent, absent, absent}
	}
	f := r.Campaign.FlushPath
	return []string{text.Count(r.Campaign.Writes), count(sum(f.Fio, f.FioDsyncWrites)), count(f.QEMU), count(f.Image),
		count(f.ImageDsyncWrites)}
}

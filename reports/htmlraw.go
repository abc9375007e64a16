package reports

import (
	"io"
	"path/filepath"
	"platter/results"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// rawCell is what a cell's first trial left in the run directory.
type rawCell struct {
	Cell, Job, Domain string
	Whole             bool // Domain is all of it, not the scratch disk alone
	Path              string
}

// Limits of what of the raw files is shown: the rest is in the run directory.
const (
	maxRawFile  = 32 << 10
	maxRawTotal = 1 << 20
)

// scratchSerial is the serial number by which the scratch disk is known in a domain's XML.
const scratchSerial = "<serial>platter-scratch</serial>"

// rawCells reads job file and domain XML of each cell's first trial that has them. The first XML is shown whole, of the others the
// scratch disk, in which they differ. What is not there is left out: a report can be made from a run without its raw files.
func rawCells(m *Model) []rawCell {
	if m.Dir == "" {
		return nil
	}
	var all []rawCell
	total := 0
	for _, c := range m.Cells {
		blocks := []int{}
		for _, r := range c.Rates {
			blocks = append(blocks, r.Block)
		}
		if len(blocks) == 0 || total > maxRawTotal || !filepath.IsLocal(c.ID) {
			continue
		}
		dir := filepath.Join("raw", c.ID, strconv.Itoa(slices.Min(blocks)))
		raw := rawCell{Cell: c.ID, Path: dir, Job: readCapped(m.Dir, filepath.Join(dir, "job.fio")),
			Domain: readCapped(m.Dir, filepath.Join(dir, "domain.xml"))}
		if raw.Job == "" && raw.Domain == "" {
			continue
		}
		raw.Whole = len(all) == 0
		if !raw.Whole {
			raw.Domain = scratchDisk(raw.Domain)
		}
		total += len(raw.Job) + len(raw.Domain)
		all = append(all, raw)
	}
	return all
}

// readCapped reads the beginning of a text file of a run directory; "" where there is none that may be read.
func readCapped(dir, name string) string {
	f, err := results.Open(dir, name)
	if err != nil {
		return ""
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxRawFile+1))
	if err != nil {
		return ""
	}
	end := ""
	if len(text) > maxRawFile {
		text, end = text[:maxRawFile], "\n… cut"
		for range utf8.UTFMax - 1 { // the cut may go through a character
			if !utf8.Valid(text) {
				text = text[:len(text)-1]
			}
		}
	}
	if !utf8.Valid(text) {
		return ""
	}
	return string(text) + end
}

// scratchDisk returns the scratch disk's element of a domain's XML; all of it where there is none.
func scratchDisk(domain string) string {
	at := strings.Index(domain, scratchSerial)
	if at < 0 {
		return domain
	}
	from, to := strings.LastIndex(domain[:at], "<disk "), strings.Index(domain[at:], "</disk>")
	if from < 0 || to < 0 {
		return domain
	}
	from = strings.LastIndex(domain[:from], "\n") + 1
	return domain[from : at+to+len("</disk>")]
}

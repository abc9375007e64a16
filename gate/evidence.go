package gate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"platter/cell"
	"platter/compare"
	"platter/results"
)

// clockSlack is by how much a run may seem to begin in the future before its age means nothing.
const clockSlack = 5 * time.Minute

// fitness looks at each run by itself: is it one, is there anything in it, how old is it, was it measured with what runs now?
func (j *judge) fitness() {
	seen := map[*view]bool{}
	for _, side := range [][]*view{j.baseline, j.candidate} {
		for _, v := range side {
			if !seen[v] {
				seen[v] = true
				j.fit(v.run)
				j.whole(v)
			}
		}
	}
	j.twice()
	for _, v := range j.baseline {
		j.v.Baseline = append(j.v.Baseline, source(v.run))
	}
	for _, v := range j.candidate {
		j.v.Candidate = append(j.v.Candidate, source(v.run))
	}
}

func source(r *results.Run) Source {
	m := r.Manifest
	return Source{r.Dir, m.Name, m.Tool, m.Started, m.Host.Name, m.QEMUs(), m.Host.Kernel, len(r.Trials), len(r.Safety), m.Command}
}

func (j *judge) fit(run *results.Run) {
	m, e := run.Manifest, j.policy.Evidence
	if m.Schema < results.OldestSchema || m.Schema > results.Schema {
		j.inconclusive("%s has schema %d, and this platter judges schemas %d to %d", run.Dir, m.Schema, results.OldestSchema, results.Schema)
		j.unfit = append(j.unfit, "another schema")
	}
	if len(run.Trials) == 0 && len(run.Safety) == 0 {
		j.inconclusive("%s has neither trials nor safety records", run.Dir)
	}
	if run.Unresolved != "" {
		j.warn("%s: %s", run.Dir, run.Unresolved)
	}
	if m.Banner != "" {
		j.banner(m.Banner)
	}
	if m.Host.Accel == "tcg" {
		j.banner("emulated (TCG): ratios between configurations, not what a host with KVM gives")
	}
	age := j.now.Sub(m.Started)
	switch {
	case e.MaxAge <= 0:
	case m.Started.IsZero() || age < -clockSlack:
		j.inconclusive("%s began at %s, so its age is not known, and the policy limits it", run.Dir, m.Started.Format(time.RFC3339))
	case age > e.MaxAge:
		j.inconclusive("%s has expired: it is %s old, and the policy allows %s", run.Dir, days(age), days(e.MaxAge))
	}
	if j.here.Host != "" && j.here.Host == m.Host.Name {
		present := map[string]string{"qemu": j.here.QEMU, "kernel": j.here.Kernel, "guest_image": j.here.GuestImage}
		for _, name := range e.Same {
			was := sameFact(name, run)
			if name == "qemu" && len(m.Hypervisors) > 0 {
				i := slices.IndexFunc(m.Hypervisors, func(h results.Hypervisor) bool { return h.Name == cell.HostHypervisor && h.Emulator == "" })
				if i < 0 {
					continue // nothing ran on the host's own, and a root tree changes only when it is built anew
				}
				was = m.Hypervisors[i].QEMU
			}
			switch is := present[name]; {
			case is == "":
				j.warn("%s was measured on this host, whose %s could not be found out: whether it has expired is not known", run.Dir, fact(name))
			case is != was:
				j.inconclusive("%s has expired: it was measured with %s %s, and this host has %s",
					run.Dir, fact(name), orUnset(was), is)
			}
		}
	}
}

// whole demands of a run the trials that were planned: whoever stops a run that turns out slow must gain nothing by it. A run that may end
// early is held against its looks instead (looksFit).
func (j *judge) whole(v *view) {
	m, allowed := v.run.Manifest, j.policy.Evidence.MissingTrials
	missing, planned, worst := 0, 0, 0
	for _, c := range m.Cells {
		if c.Excluded != "" || m.Looks != nil {
			continue
		}
		done := map[int]bool{}
		for _, t := range v.trials[c.ID] {
			if t.Block >= 0 && t.Block < m.Trials {
				done[t.Block] = true
			}
		}
		lacks := m.Trials - len(done)
		planned, missing, worst = planned+m.Trials, missing+lacks, max(worst, lacks)
	}
	const rounding = 1e-9
	if text := fmt.Sprintf("%s is not whole: %d of %d planned trials are missing", v.run.Dir, missing, planned); missing > 0 {
		if float64(worst) > allowed*float64(m.Trials)+rounding {
			j.inconclusive("%s; go on with platter run --resume %s, or say in the policy how many may be (evidence: missing_trials)", text,
				v.run.Dir)
		} else {
			j.warn("%s, and the policy allows it", text)
		}
	}
	if torn := v.run.Dir + ": the last line of a journal was cut short, as a crash leaves it; it does not count"; v.run.Torn && allowed == 0 {
		j.inconclusive("%s, and the run is not whole: go on with platter run --resume %s", torn, v.run.Dir)
	} else if v.run.Torn {
		j.warn("%s", torn)
	}
}

func (j *judge) banner(text string) {
	if !slices.Contains(j.v.Banners, text) {
		j.v.Banners = append(j.v.Banners, text)
	}
}

// days writes a time that people count in days.
func days(d time.Duration) string {
	if d < 48*time.Hour {
		return fmt.Sprintf("%.0f h", d.Hours())
	}
	return fmt.Sprintf("%.0f days", d.Hours()/24)
}

// fact returns what a fact of Evidence.Same is called in messages; "" for an unknown one.
func fact(name string) string {
	switch name {
	case "qemu":
		return "QEMU"
	case "kernel":
		return "kernel"
	case "guest_image":
		return "guest image"
	}
	return ""
}

// sameFact is a fact of Evidence.Same, as the run has it; empty when it does not say.
func sameFact(name string, r *results.Run) string {
	switch name {
	case "qemu":
		return r.Manifest.QEMUs()
	case "kernel":
		return r.Manifest.Host.Kernel
	case "guest_image":
		return r.Manifest.Guest.ImageDigest
	}
	return ""
}

// twice finds a run that is given more than once: it is one value, and as both sides it would be a change of nothing.
func (j *judge) twice() {
	if j.v.Paired {
		return
	}
	seen := map[string]string{}
	for _, v := range slices.Concat(j.baseline, j.candidate) {
		m := v.run.Manifest
		key := fmt.Sprint(m.Name, m.Started.UTC(), m.Seed, m.Host.Name, m.Command)
		if first, again := seen[key]; again {
			j.inconclusive("%s and %s are the same run", first, v.run.Dir)
			j.unfit = append(j.unfit, "a run is given twice")
		}
		seen[key] = v.run.Dir
	}
}

// sides holds the runs of both sides against each other: only what is measured alike can be compared.
func (j *judge) sides() {
	all := slices.Concat(j.baseline, j.candidate)
	if len(all) == 0 {
		return
	}
	first := all[0].run
	for _, v := range all[1:] {
		if why := matrixDiffers(first, v.run); why != "" {
			j.inconclusive("%s and %s are not of the same matrix: %s", first.Dir, v.run.Dir, why)
			j.unfit = append(j.unfit, "the runs are of different matrices")
		}
		if lines := differences(hostFacts(first), hostFacts(v.run)); len(lines) > 0 {
			j.inconclusive("%s and %s were measured on different hosts or storage, so their speed is not compared: %s", first.Dir, v.run.Dir,
				strings.Join(lines, ", "))
			j.unfit = append(j.unfit, "the runs are from different hosts")
		}
		if warning := compare.UnlikeFio(first, v.run); warning != "" {
			j.warn("%s and %s: %s", first.Dir, v.run.Dir, warning)
		}
	}
	j.facts()
	if len(j.baseline) > 0 && len(j.candidate) > 0 {
		j.v.Changes = differences(softFacts(j.baseline[0].run), softFacts(j.candidate[0].run))
	}
}

// facts demands of all runs what the policy wants to be the same. A run that does not say is not the same.
func (j *judge) facts() {
	all := slices.Concat(j.baseline, j.candidate)
	for _, name := range j.policy.Evidence.Same {
		if fact(name) == "" {
			j.inconclusive("the policy wants the same %q, which no run tells", name)
			continue
		}
		values := map[string]string{}
		for _, v := range all {
			value := sameFact(name, v.run)
			if value == "" {
				j.inconclusive("%s does not say its %s, and the policy wants the same", v.run.Dir, fact(name))
			}
			values[value] = v.run.Dir
		}
		if len(values) > 1 {
			j.inconclusive("results have expired: they were measured with different %ss, and the policy wants the same", fact(name))
			j.unfit = append(j.unfit, "another "+fact(name))
		}
	}
}

func matrixDiffers(a, b *results.Run) string {
	cells := map[string]bool{}
	for _, c := range a.Manifest.Cells {
		cells[c.ID] = true
	}
	for _, c := range b.Manifest.Cells {
		if !cells[c.ID] {
			return "only the latter has the cell " + c.ID
		}
		delete(cells, c.ID)
	}
	for _, c := range a.Manifest.Cells {
		if cells[c.ID] {
			return "only the former has the cell " + c.ID
		}
	}
	if a.Manifest.Matrix != b.Manifest.Matrix {
		return fmt.Sprintf("the cells are the same, and the texts of %s and %s are not", a.Manifest.MatrixFile, b.Manifest.MatrixFile)
	}
	return ""
}

// hostFacts are what must be equal for speeds to compare at all.
func hostFacts(r *results.Run) map[string]string {
	h, s := r.Manifest.Host, r.Manifest.Storage
	return map[string]string{"host": h.Name, "CPU": h.CPU, "CPUs": fmt.Sprint(h.CPUs), "acceleration": h.Accel,
		"storage": s.Directory, "file system": s.FileSystem, "device": s.Device}
}

// softFacts are what may differ between two sides, and then is what changed.
func softFacts(r *results.Run) map[string]string {
	m := r.Manifest
	return map[string]string{"QEMU": m.QEMUs(), "libvirt": m.Host.Libvirt, "host kernel": m.Host.Kernel, "governor": m.Host.Governor,
		"guest image": m.Guest.ImageDigest, "guest kernel": m.Guest.Kernel, "fio": m.Guest.Fio, "tool": m.Tool}
}

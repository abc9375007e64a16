package orchestrator

import (
	"fmt"
	"time"

	"platter/cell"
	"platter/compare"
	"platter/fiojob"
	"platter/orchestrator/scratch"
	"platter/results"
)

// guards checks that a trial's measurement is not nonsense and returns the violated guards. Each travels with the trial.
func guards(s Step, host results.Host, t *results.Trial) []results.Guard {
	m, e := t.Metrics, t.Evidence
	c := s.Cell
	var violated []results.Guard
	for _, g := range []func() (name, message string){
		func() (string, string) { return "runtime", runtimeGuard(c, m) },
		func() (string, string) { return "guest_memory", guestMemoryGuard(c) },
		func() (string, string) { return "host_memory", hostMemoryGuard(c, host.MemoryBytes, m) },
		func() (string, string) { return "prefilled", prefilledGuard(e.UnwrittenBytes) },
		func() (string, string) { return "residency", residencyGuard(c, e.Residency) },
		func() (string, string) { return "counters", countersGuard(c, m, e.QEMU) },
		func() (string, string) { return "o_direct", directGuard(c, e.ImageODirect) },
		func() (string, string) { return "allocation", allocationGuard(e.AllocatedBytes) },
		func() (string, string) { return "steady_state", steadyGuard(c, t.IOPSLog) },
		func() (string, string) { return "host_load", hostLoadGuard(host.CPUs, e.OthersCPUs) },
		func() (string, string) { return "impossible_latency", impossibleGuard(m) },
	} {
		if name, message := g(); message != "" {
			violated = append(violated, results.Guard{Name: name, Message: message})
		}
	}
	return violated
}

// runtimeGuard: a run that ended before its time reached the end of its data first; its rate is that of another run.
func runtimeGuard(c cell.Cell, m *fiojob.Metrics) string {
	want := c.Runtime().Seconds()
	var got float64
	for _, d := range directions(m) {
		got = max(got, float64(d.RuntimeNS)/1e9)
	}
	if want == 0 || got >= 0.95*want {
		return ""
	}
	return fmt.Sprintf("fio ran %.1f s of %.1f s: it reached the end of its size first", got, want)
}

// guestMemoryGuard: through the guest's page cache (direct=0), a working set that fits there is measured in memory.
func guestMemoryGuard(c cell.Cell) string {
	set := c.WorkingSet()
	if c.Direct() || set > c.MemoryBytes() {
		return ""
	}
	return fmt.Sprintf("working set %s fits the guest's memory %s with direct=0: the guest's page cache is measured", size(set),
		size(c.MemoryBytes()))
}

// hostMemoryGuard: under a mode that uses the host's page cache, reads of a working set that fits the host's memory
// come from there, and writes end there.
func hostMemoryGuard(c cell.Cell, hostMemory int64, m *fiojob.Metrics) string {
	flags := scratch.Flags(c)
	if flags.Direct || m == nil {
		return ""
	}
	if m.Read != nil && c.WorkingSet() <= hostMemory {
		return fmt.Sprintf("reads of a working set of %s under cache=%s may come from the host's page cache (%s of memory)",
			size(c.WorkingSet()), c.Cache(), size(hostMemory))
	}
	if m.Write != nil && flags.Writeback {
		return "host page cache included: writes return before they are on the host's disk"
	}
	return ""
}

// prefilledGuard: images are filled once; blocks that trials before gave back (discard, zeroes that were detected) cost
// nothing to read and must be allocated anew to be written.
func prefilledGuard(unwritten int64) string {
	if unwritten <= allocationLimit {
		return ""
	}
	return fmt.Sprintf("%s of the image had been given back by trials before: such blocks are not on the disk", size(unwritten))
}

// directGuard: QEMU must hold the image as the mode says.
func directGuard(c cell.Cell, held *bool) string {
	if held == nil || *held == scratch.Flags(c).Direct {
		return ""
	}
	return fmt.Sprintf("QEMU holds the image with O_DIRECT %t under cache=%s", *held, c.Cache())
}

// residencyShare is the part of the image that may lie in the host's page cache before it counts as warm: partition
// probing by host and guest reads some pages at both ends.
const residencyShare = 0.01

// residencyGuard: the image must be out of the host's page cache before a trial, and must stay out where QEMU opened it
// with O_DIRECT.
func residencyGuard(c cell.Cell, r *results.Residency) string {
	if r == nil {
		return ""
	}
	limit := int64(residencyShare * float64(r.ImageBytes))
	if r.BeforeBytes > limit {
		return fmt.Sprintf("%s of the image lay in the host's page cache before the trial", size(r.BeforeBytes))
	}
	if scratch.Flags(c).Direct && r.AfterBytes > limit {
		return fmt.Sprintf("%s of the image lie in the host's page cache after a trial with cache=%s, which should pass it by",
			size(r.AfterBytes), c.Cache())
	}
	return ""
}

// countersGuard: what fio says it moved past the guest's page cache must have passed QEMU.
func countersGuard(c cell.Cell, m *fiojob.Metrics, q *results.BlockCounters) string {
	if m == nil || q == nil || !c.Direct() {
		return ""
	}
	for _, side := range []struct {
		name string
		fio  *fiojob.Direction
		qemu int64
	}{{"wrote", m.Write, q.WriteBytes}, {"read", m.Read, q.ReadBytes}} {
		if side.fio != nil && float64(side.qemu) < 0.95*float64(side.fio.Bytes) {
			return fmt.Sprintf("fio says it %s %s, QEMU counted %s", side.name, size(side.fio.Bytes), size(side.qemu))
		}
	}
	return ""
}

// steadyWindow is the shortest trial of which can be said whether its rate is steady.
const steadyWindow = time.Minute

// steadyGuard: a rate that still drifts is not yet the disk's.
func steadyGuard(c cell.Cell, log *results.IOPSLog) string {
	if run := c.Runtime(); run > 0 && run < steadyWindow {
		return fmt.Sprintf("%v is too short to see whether the rate is steady: that takes %.0f s", run, steadyWindow.Seconds())
	}
	if log == nil || float64(len(log.IOPS))*log.IntervalS < compare.SteadySeconds {
		return ""
	}
	spread, drift := compare.Steadiness(log.IOPS)
	switch {
	case spread > compare.SteadyRange:
		return fmt.Sprintf("not steady: the rates of %d rounds range over %.0f %% of their mean (at most %.0f %%)", compare.SteadyRounds,
			100*spread, 100*compare.SteadyRange)
	case drift > compare.SteadyDrift:
		return fmt.Sprintf("not steady: the rate drifts by %.0f %% over the trial (at most %.0f %%)", 100*drift, 100*compare.SteadyDrift)
	}
	return ""
}

// allocationLimit is how many bytes an image may grow by in a trial: a qcow2 writes a little metadata.
const allocationLimit = 1 << 20

// allocationGuard: a first write to blocks that the host has not allocated yet pays for the allocation too.
func allocationGuard(grown *int64) string {
	if grown == nil || *grown <= allocationLimit {
		return ""
	}
	return fmt.Sprintf("the image grew by %s: first writes pay for the allocation", size(*grown))
}

// loadShare is the part of the host's processors that others may use during a trial. The kernel's own work for the trial
// (write-back, block completions) is among it.
const loadShare = 0.15

// hostLoadGuard: work of others takes time away from the guest.
func hostLoadGuard(cpus int, others *float64) string {
	if others == nil || *others <= loadShare*float64(cpus) {
		return ""
	}
	return fmt.Sprintf("others than QEMU kept more than %.0f %% of the host's %d processors busy", 100*loadShare, cpus)
}

// impossibleGuard: what fio measured longer than it ran is no latency, and no figure has it.
func impossibleGuard(m *fiojob.Metrics) string {
	if m == nil || m.Sync == nil || m.Sync.Impossible == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d flushes were left out of the latencies: fio measured them longer than it ran, from the start of its clock",
		m.Sync.Impossible, m.Sync.IOs)
}

// directions are the directions that fio measured.
func directions(m *fiojob.Metrics) []*fiojob.Direction {
	var ds []*fiojob.Direction
	if m == nil {
		return nil
	}
	for _, d := range []*fiojob.Direction{m.Read, m.Write, m.Trim} {
		if d != nil {
			ds = append(ds, d)
		}
	}
	return ds
}

// size writes bytes for people, in powers of 1024.
func size(n int64) string {
	const units = "KMGT"
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	v, u := float64(n)/1024, 0
	for v >= 1024 && u < len(units)-1 {
		v, u = v/1024, u+1
	}
	return fmt.Sprintf("%.4g %ciB", v, units[u])
}

package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"platter/cell"
	"platter/fault"
	"platter/matrices"
	"platter/orchestrator/crash"
	"platter/orchestrator/guest"
	"platter/orchestrator/host"
	"platter/orchestrator/hypervisor"
	"platter/orchestrator/scratch"
	"platter/results"
)

// Settings are what a run is asked to do.
type Settings struct {
	URI     string // libvirt's; empty for the default (see hypervisor.Environment)
	Storage string // directory of the scratch image
	Cache   string // directory of the guest image
	Accel   string // "kvm" or "tcg"; empty for what boots
	Dir     string // the run directory
	Matrix  *matrices.Matrix
	Trials  int
	Seed    uint64
	Resume  bool     // go on with the run in Dir
	Program string   // path of platter's own executable, which serves the disk that can lose power
	Tool    string   // "platter VERSION", for the manifest
	Command []string // the command line, for the manifest
	Tell    func(Event)
	// Looks makes a run that may end early: after each of its Blocks but the last, Enough is asked about what is there by then, and
	// ends the trials when it says so. The manifest keeps Looks. Both nil for a run of fixed length.
	Looks  *results.Looks
	Enough func(run *results.Run, blocks int) bool
	// Mutants are cells whose crash campaigns are made, with their live cuts, on a simulated disk that misbehaves: the powercut
	// mutant by the cell's id, "" for a disk as it should be. It is for platter selftest alone, which wants to see them caught.
	Mutants map[string]string
}

// Outcome is how a run ended that was not cut short.
type Outcome struct {
	Done      int // trials made by this call
	Failed    int // of them
	Campaigns int // crash campaigns made by this call
	Unjudged  int // of them: those that failed
}

// Execute carries out a run from connecting to clean-up. When it returns, guest, scratch images and saved guest are gone,
// whatever happened; finished trials are in the run directory. If ctx ends it returns ctx's cause.
func Execute(ctx context.Context, s Settings) (o Outcome, err error) {
	plan := NewPlan(s.Matrix, s.Trials, s.Seed)
	for i, c := range plan.Campaigns {
		if _, mutant := s.Mutants[c.Cell.ID]; mutant { // some lie to the log as well: only a live cut tells
			plan.Campaigns[i].LiveCuts = plan.Safety.Live
		}
	}
	if err := s.preflight(plan); err != nil {
		return o, err
	}
	site, err := openSite(ctx, s)
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, site.Close()) }()
	if needsDirect(plan) {
		if err := host.CheckDirect(site.work.path); err != nil {
			return o, err
		}
	}
	manifest := s.manifest(site, plan)
	journal, todo, err := s.journal(manifest, plan)
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, journal.Close()) }()
	if len(todo.Steps)+len(todo.Campaigns) == 0 {
		return o, nil
	}
	lab := site.lab()
	lab.crash = len(plan.Campaigns) > 0
	lab.again = plan.Cuts() > 0
	run := &Run{
		Lab: lab, Journal: journal, Storage: site.work.path, Plan: plan, Host: manifest.Host,
		Tell: func(e Event) {
			o.count(e)
			s.Tell(e)
		},
	}
	if s.Looks != nil {
		run.Enough = s.enough
	}
	if len(todo.Campaigns) > 0 || plan.simulated() {
		// Before any guest starts: a QEMU does not see what is mounted later.
		if run.Simulator, err = scratch.StartSimulator(ctx, s.Program, site.work.path); err != nil {
			return o, err
		}
		defer func() { err = errors.Join(err, run.Simulator.Close(ctx)) }()
	}
	if len(todo.Campaigns) > 0 {
		run.Campaigns = &crash.Campaigns{Rig: rig{run}, Disk: run.Simulator, Safety: *plan.Safety, Seed: s.Seed, Storage: run.Storage,
			Mutants: s.Mutants}
		defer run.Campaigns.Close()
	}
	return o, run.Do(ctx, todo)
}

// enough asks whether the run may end after so many blocks.
func (s Settings) enough(blocks int) (bool, error) {
	if !slices.Contains(s.Looks.Blocks, blocks) {
		return false, nil
	}
	run, err := results.Read(s.Dir)
	return err == nil && s.Enough(run, blocks), err
}

func (o *Outcome) count(e Event) {
	if e.Trial != nil {
		o.Done++
		if e.Trial.Status == results.Failed {
			o.Failed++
		}
	}
	if e.Safety != nil {
		o.Campaigns++
		if e.Safety[0].Status == results.Failed {
			o.Unjudged++
		}
	}
}

// site is where guests of one run or shell live: the connection to libvirt, the guest image, the work directory.
type site struct {
	host  *hypervisor.Host
	facts hypervisor.Facts
	image *guest.Image
	work  *workdir
	accel Accel
}

// openSite connects, removes what dead runs left, makes the work directory, and finds out whether KVM works.
func openSite(ctx context.Context, s Settings) (*site, error) {
	host, err := hypervisor.Connect(ctx, s.URI)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, fault.New(fault.Usage, "%v", err)
	}
	site := &site{host: host}
	if err := site.settle(ctx, s); err != nil {
		return nil, errors.Join(err, site.Close())
	}
	return site, nil
}

func (site *site) settle(ctx context.Context, s Settings) error {
	var err error
	if site.image, err = guest.Open(s.Cache); err != nil {
		return err
	}
	if err := s.sweep(ctx, site.host); err != nil {
		return err
	}
	if site.work, err = newWorkdir(s.Storage); err != nil {
		return err
	}
	if site.facts, err = site.host.Facts(ctx); err != nil {
		return err
	}
	if err := searchable(site.work.path, site.facts); err != nil {
		return err
	}
	if s.Accel != "" {
		site.accel = Accel{Name: s.Accel, Reason: "asked for with --accel"}
		return nil
	}
	s.Tell(Event{Message: "finding out whether KVM boots a guest"})
	site.accel, err = probeAccel(ctx, site.host, site.facts, site.image, s.Cache, site.work)
	return err
}

func (site *site) lab() *liveLab {
	return newLiveLab(site.host, site.image, site.work, site.accel.Name)
}

// Close ends the guest if one still runs, also a restored one, which the connection's end would leave; then the
// connection, and removes the work directory.
func (site *site) Close() error {
	var err error
	if site.work != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
		defer cancel()
		err = destroy(ctx, site.host, site.work.domainName())
	}
	err = errors.Join(err, site.host.Close())
	if site.work != nil {
		err = errors.Join(err, site.work.Close())
	}
	return err
}

// preflight checks what can be known before anything is touched.
func (s Settings) preflight(p Plan) error {
	if err := s.checkAccel(); err != nil {
		return err
	}
	if !s.Resume {
		if _, err := os.Lstat(s.Dir); err == nil {
			return fault.New(fault.Usage, "run directory %s exists: name another with -o, or go on with it: platter run --resume %s", s.Dir, s.Dir)
		}
	}
	if s.Looks != nil && len(p.guests()) > 1 {
		return fault.New(fault.Usage,
			"the matrix has %d kinds of guest (memory, vcpus), which are measured one after the other: a run that may end early needs blocks "+
				"that go through all its cells, so run each kind by itself", len(p.guests()))
	}
	if names := p.Hypervisors(); !slices.Equal(names, []string{cell.HostHypervisor}) {
		return fault.New(fault.Usage, "the matrix runs on %s: only the machine's own hypervisor can be run yet", strings.Join(names, ", "))
	}
	return host.CheckSpace(s.Storage, p.Bytes()+scratch.FreeMargin)
}

func (s Settings) checkAccel() error {
	if s.Accel != "" && s.Accel != "kvm" && s.Accel != "tcg" {
		return fault.New(fault.Usage, "accel %q: it is kvm or tcg", s.Accel)
	}
	return nil
}

// needsDirect reports whether a step opens the image with O_DIRECT.
func needsDirect(p Plan) bool {
	return slices.ContainsFunc(p.Steps, func(s Step) bool { return scratch.Flags(s.Cell).Direct })
}

// sweep removes what runs left in the storage directory that did not live to do it themselves.
func (s Settings) sweep(ctx context.Context, host *hypervisor.Host) error {
	found, err := Leftovers(ctx, host, s.Storage)
	if err != nil {
		return err
	}
	for _, l := range found {
		s.Tell(Event{Message: "removing what a dead run left: " + l.String()})
	}
	return RemoveLeftovers(ctx, host, found)
}

// manifest gathers the facts of the run.
func (s Settings) manifest(site *site, p Plan) results.Manifest {
	h, facts, image := host.Facts(), site.facts, site.image
	h.URI, h.Libvirt, h.QEMU = facts.URI, facts.Libvirt, facts.QEMU
	h.Accel, h.AccelReason = site.accel.Name, site.accel.Reason
	storage := host.Storage(s.Storage)
	all := cell.Cell{Settings: s.Matrix.Fixed} // what every cell begins from
	storage.Format, storage.SizeBytes = all.Format(), all.SizeBytes()
	m := results.Manifest{
		Schema: results.Schema, Name: s.Matrix.Name, Tool: s.Tool, Command: s.Command,
		Matrix: s.Matrix.Text, MatrixFile: s.Matrix.File, Banner: s.Matrix.Banner,
		Seed: s.Seed, Trials: s.Trials, Started: time.Now().Truncate(time.Second),
		Host: h,
		Guest: results.Guest{ImageDigest: image.Digest, Kernel: image.Kernel, Fio: image.Fio, MemoryBytes: all.MemoryBytes(),
			VCPUs: all.VCPUs()},
		Storage: storage,
	}
	for _, a := range s.Matrix.Axes {
		m.Axes = append(m.Axes, a.Name)
	}
	if s.Matrix.Safety != nil {
		m.SafetyClasses, m.DriveCaches = s.Matrix.Safety.Classes, s.Matrix.Safety.DriveCaches
	}
	m.Looks = s.Looks
	m.Device, m.SimulatedTrials = deviceFacts(all.Device()), p.simulated()
	m.Cells = p.Cells
	return m
}

// journal opens the run directory and returns the work that is left to do.
func (s Settings) journal(m results.Manifest, p Plan) (*results.Journal, Work, error) {
	if !s.Resume {
		j, err := results.Create(s.Dir, m)
		return j, p.Work(), err
	}
	j, done, err := results.Resume(s.Dir)
	if err != nil {
		return nil, Work{}, err
	}
	if err := comparable(done.Manifest, m); err != nil {
		return nil, Work{}, errors.Join(err, j.Close())
	}
	return j, Work{Steps: remaining(p.Steps, done.Trials), Campaigns: unjudged(p.Campaigns, p.Safety, done.Safety), Safety: p.Safety}, nil
}

// comparable refuses to go on with a run on other ground than it began on.
func comparable(began, now results.Manifest) error {
	for _, f := range []struct{ what, before, after string }{
		{"QEMU", began.Host.QEMU, now.Host.QEMU},
		{"libvirt", began.Host.Libvirt, now.Host.Libvirt},
		{"host kernel", began.Host.Kernel, now.Host.Kernel},
		{"host", began.Host.Name, now.Host.Name},
		{"accelerator", began.Host.Accel, now.Host.Accel},
		{"guest image", began.Guest.ImageDigest, now.Guest.ImageDigest},
		{"storage directory", began.Storage.Directory, now.Storage.Directory},
		{"file system of the storage", began.Storage.FileSystem, now.Storage.FileSystem},
		{"device of the storage", began.Storage.Device, now.Storage.Device},
		{"cells", cellsOf(began), cellsOf(now)},
	} {
		if f.before != f.after {
			return fault.New(fault.Usage, "the run began with %s %q and would go on with %q: its trials would not compare; start a new run", f.what,
				f.before, f.after)
		}
	}
	return nil
}

// cellsOf names the cells of a run and which of them are excluded.
func cellsOf(m results.Manifest) string {
	var b strings.Builder
	for _, c := range m.Cells {
		fmt.Fprintf(&b, "%s %t; ", c.ID, c.Excluded != "")
	}
	return b.String()
}

// remaining are the steps that have no trial that went well.
func remaining(steps []Step, trials []results.Trial) []Step {
	type key struct {
		cell  string
		block int
	}
	done := map[key]bool{}
	for _, t := range trials {
		if t.Status == results.OK {
			done[key{t.Cell, t.Block}] = true
		}
	}
	var left []Step
	for _, s := range steps {
		if !done[key{s.Cell.ID, s.Block}] {
			left = append(left, s)
		}
	}
	return left
}

// searchable fails when QEMU's user cannot reach files in dir.
func searchable(dir string, facts hypervisor.Facts) error {
	if facts.QEMUUser == nil {
		return nil
	}
	if err := hypervisor.Searchable(filepath.Join(dir, "scratch.img"), facts.QEMUUser.UID, facts.QEMUUser.Groups...); err != nil {
		return fault.New(fault.Usage, "QEMU's user cannot reach %s: %v: name another directory with --storage", dir, err)
	}
	return nil
}

// unjudged are the campaigns of which a record is missing or failed: a run that was killed may have kept some of a campaign's.
func unjudged(campaigns []crash.Campaign, safety *matrices.Safety, records []results.Safety) []crash.Campaign {
	judged := map[cell.Question]bool{}
	for _, r := range records {
		judged[r.Key()] = r.Status == results.OK
	}
	var left []crash.Campaign
	for _, c := range campaigns {
		if slices.ContainsFunc(crash.Questions(*safety), func(q cell.Question) bool {
			return !judged[cell.Question{Cell: c.Cell.ID, Class: q.Class, DriveCache: q.DriveCache}]
		}) {
			left = append(left, c)
		}
	}
	return left
}

// deviceFacts returns the settings of a simulated disk that a matrix makes, by their names there.
func deviceFacts(d cell.Device) map[string]any {
	facts := map[string]any{}
	for name, v := range map[string]time.Duration{"write_latency": d.WriteLatency, "flush_latency": d.FlushLatency,
		"dirty_expire": d.DirtyExpire} {
		if v > 0 {
			facts[name] = v.String()
		}
	}
	for name, n := range map[string]int64{"dirty_background": d.DirtyBackground, "drive_cache_size": d.DriveCacheSize,
		"sector": int64(d.Sector)} {
		if n > 0 {
			facts[name] = n
		}
	}
	return facts
}

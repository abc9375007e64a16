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
	"platter/flushpath"
	"platter/matrices"
	"platter/orchestrator/crash"
	"platter/orchestrator/guest"
	"platter/orchestrator/host"
	"platter/orchestrator/hypervisor"
	"platter/orchestrator/scratch"
	"platter/orchestrator/tree"
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
	trees, err := s.preflight(plan)
	if err != nil {
		return o, err
	}
	own := slices.Contains(plan.Hypervisors(), cell.HostHypervisor)
	site, err := openSite(ctx, s, own)
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, site.Close()) }()
	versions := map[string]string{cell.HostHypervisor: site.facts.Libvirt}
	for _, t := range trees {
		versions[t.Name] = t.Libvirt
	}
	if plan, err = plan.On(versions); err != nil {
		return o, err
	}
	for i, c := range plan.Campaigns {
		if _, mutant := s.Mutants[c.Cell.ID]; mutant { // some lie to the log as well: only a live cut tells
			plan.Campaigns[i].LiveCuts = plan.Safety.Live
		}
	}
	for _, c := range plan.Cells {
		if c.Excluded != "" {
			continue
		}
		if err := mounts(site.image, c.Filesystem()); err != nil {
			return o, err
		}
	}
	if needsDirect(plan) {
		if err := host.CheckDirect(site.work.path); err != nil {
			return o, err
		}
	}
	run := &Run{
		Storage: site.work.path, Plan: plan,
		Tell: func(e Event) {
			o.count(e)
			s.Tell(e)
		},
	}
	if len(plan.Campaigns) > 0 || plan.simulated() {
		// Before any tree is entered and any guest starts: neither a session nor a QEMU sees what is mounted later.
		if run.Simulator, err = scratch.StartSimulator(ctx, s.Program, site.work.path); err != nil {
			return o, err
		}
		run.Simulator.Leave = site.leave
		defer func() { err = errors.Join(err, run.Simulator.Close(ctx)) }()
	}
	if err := site.enter(ctx, s, trees, plan); err != nil {
		return o, err
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
	run.Lab, run.Journal, run.Host = site.labs(plan), journal, manifest.Host
	if s.Looks != nil {
		run.Enough = s.enough
	}
	if len(todo.Campaigns) > 0 {
		run.Campaigns = &crash.Campaigns{Rig: rig{run}, Disk: run.Simulator, Safety: *plan.Safety, Seed: s.Seed, Storage: run.Storage,
			Mutants: s.Mutants, Facts: func(c cell.Cell) flushpath.Facts {
				h := manifest.HypervisorOf(c)
				return flushpath.FactsOf(h.QEMU, h.Libvirt)
			}}
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

// site is where guests of one run or shell live: the connections to libvirt, the guest image, the work directory.
type site struct {
	host      *hypervisor.Host // the machine's own; nil where no guest runs on it and it does not answer
	facts     hypervisor.Facts // of the machine's own; the zero value where no guest runs on it, as accel
	image     *guest.Image
	work      *workdir
	accel     Accel
	trees     []*treeLab
	emulators map[under]string // versions of those that stand in for a hypervisor's own
}

// openSite connects, removes what dead runs left, makes the work directory, and finds out whether KVM works. own says whether guests run
// on the machine's own hypervisor; where none does it may be missing.
func openSite(ctx context.Context, s Settings, own bool) (*site, error) {
	host, err := hypervisor.Connect(ctx, s.URI)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil && own {
		return nil, fault.New(fault.Usage, "%v", err)
	}
	site := &site{host: host, emulators: map[under]string{}}
	if err := site.settle(ctx, s, own); err != nil {
		return nil, errors.Join(err, site.Close())
	}
	return site, nil
}

func (site *site) settle(ctx context.Context, s Settings, own bool) error {
	var err error
	if site.image, err = guest.Open(s.Cache); err != nil {
		return err
	}
	if err := s.sweep(ctx, site.host); err != nil {
		return err
	}
	if site.work, err = newWorkdir(s.Storage); err != nil || !own {
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
	site.accel, err = probeAccel(ctx, newLiveLab(site.host, site.image, site.work, "kvm"), site.facts, filepath.Join(s.Cache, kvmProbeFile))
	return err
}

// enter enters the trees that guests run in, and finds out of each what is known of the machine's own hypervisor, and of the emulators
// which they are.
func (site *site) enter(ctx context.Context, s Settings, trees []*tree.Tree, p Plan) error {
	says := map[string]func(context.Context, ...string) (string, error){cell.HostHypervisor: hostSays}
	for _, t := range trees {
		s.Tell(Event{Message: "entering the hypervisor " + t.Name})
		lab := newTreeLab(t, s.Program, site.image, site.work)
		site.trees = append(site.trees, lab)
		if err := lab.settle(ctx, s); err != nil {
			return err
		}
		says[t.Name] = lab.says
	}
	for _, b := range p.Boots {
		if _, known := site.emulators[b.under()]; b.Emulator == "" || known {
			continue
		}
		version, err := emulatorVersion(ctx, b.Emulator, says[b.Hypervisor])
		if err != nil {
			return err
		}
		site.emulators[b.under()] = version
	}
	return nil
}

// settle enters the tree and finds out what its libvirt is and whether guests run under KVM there.
func (l *treeLab) settle(ctx context.Context, s Settings) error {
	err := l.enter(ctx)
	if err != nil {
		return err
	}
	if l.facts, err = l.host.Facts(ctx); err != nil {
		return err
	}
	if err := searchable(l.work.path, l.facts); err != nil {
		return err
	}
	accel := Accel{Name: s.Accel, Reason: "asked for with --accel"}
	if s.Accel == "" {
		probe := *l.liveLab
		probe.accel = "kvm"
		if accel, err = probeAccel(ctx, &probe, l.facts, filepath.Join(s.Cache, l.tree.Name+"-"+kvmProbeFile)); err != nil {
			return err
		}
	}
	l.accel, l.reason = accel.Name, accel.Reason
	l.histograms = matrices.FlushHistograms(l.facts.Libvirt)
	return nil
}

// leave ends what has the simulated disk in a mount namespace of its own.
func (site *site) leave() error {
	var errs []error
	for _, l := range site.trees {
		errs = append(errs, l.leave())
	}
	return errors.Join(errs...)
}

// lab is where guests run on the machine's own hypervisor.
func (site *site) lab() *liveLab {
	lab := newLiveLab(site.host, site.image, site.work, site.accel.Name)
	lab.histograms = matrices.FlushHistograms(site.facts.Libvirt)
	return lab
}

// labs is where the guests of a plan run.
func (site *site) labs(p Plan) Lab {
	all := labs{}
	ready := func(l *liveLab) {
		l.crash = len(p.Campaigns) > 0
		l.again = p.Cuts() > 0 || p.Switches(p.Work()) > 0
	}
	if slices.Contains(p.Hypervisors(), cell.HostHypervisor) {
		own := site.lab()
		ready(own)
		all[cell.HostHypervisor] = own
	}
	for _, l := range site.trees {
		ready(l.liveLab)
		all[l.tree.Name] = l
	}
	return all
}

// hypervisors are those that the plan's cells name, each with the emulators that they ask for; none where they name none.
func (site *site) hypervisors(p Plan) []results.Hypervisor {
	named := slices.ContainsFunc(p.Cells, func(c cell.Cell) bool {
		_, name := c.Settings.Get(cell.HypervisorSetting)
		return name || c.Emulator() != ""
	})
	if !named {
		return nil
	}
	var all []results.Hypervisor
	for _, b := range p.Boots {
		h := results.Hypervisor{Name: b.Hypervisor, Emulator: b.Emulator, QEMU: site.facts.QEMU, Libvirt: site.facts.Libvirt,
			Accel: site.accel.Name, AccelReason: site.accel.Reason}
		for _, l := range site.trees {
			if l.tree.Name == b.Hypervisor {
				h.QEMU, h.Libvirt, h.Accel, h.AccelReason = l.facts.QEMU, l.facts.Libvirt, l.accel, l.reason
			}
		}
		if b.Emulator != "" {
			h.QEMU = site.emulators[b.under()]
		}
		if !slices.Contains(all, h) {
			all = append(all, h)
		}
	}
	return all
}

// Close ends the guest if one still runs, also a restored one, which the connection's end would leave; then the
// connections, and removes the work directory.
func (site *site) Close() error {
	err := site.leave()
	if site.work != nil && site.host != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
		defer cancel()
		err = errors.Join(err, destroy(ctx, site.host, site.work.domainName()))
	}
	if site.host != nil {
		err = errors.Join(err, site.host.Close())
	}
	if site.work != nil {
		err = errors.Join(err, site.work.Close())
	}
	return err
}

// preflight checks what can be known before anything is touched, and returns the root trees that guests run in.
func (s Settings) preflight(p Plan) ([]*tree.Tree, error) {
	if err := s.checkAccel(); err != nil {
		return nil, err
	}
	if !s.Resume {
		if _, err := os.Lstat(s.Dir); err == nil {
			return nil, fault.New(fault.Usage, "run directory %s exists: name another with -o, or go on with it: platter run --resume %s", s.Dir,
				s.Dir)
		}
	}
	if s.Looks != nil && len(p.guests()) > 1 {
		return nil, fault.New(fault.Usage,
			"the matrix has %d kinds of guest (memory, vcpus), which are measured one after the other: a run that may end early needs blocks "+
				"that go through all its cells, so run each kind by itself", len(p.guests()))
	}
	var trees []*tree.Tree
	for _, name := range p.Hypervisors() {
		if name == cell.HostHypervisor {
			continue
		}
		t, err := tree.Open(s.Cache, name)
		if err != nil {
			return nil, err
		}
		trees = append(trees, t)
	}
	return trees, host.CheckSpace(s.Storage, p.Bytes()+scratch.FreeMargin)
}

func (s Settings) checkAccel() error {
	if s.Accel != "" && s.Accel != "kvm" && s.Accel != "tcg" {
		return fault.New(fault.Usage, "accel %q: it is kvm or tcg", s.Accel)
	}
	return nil
}

// mounts fails when the guest's kernel does not have a file system.
func mounts(image *guest.Image, filesystem string) error {
	if image.Mounts(filesystem) {
		return nil
	}
	return fault.New(fault.Usage, "the guest's kernel %s has no %s: build a guest whose kernel has it, for example with: "+
		"platter guest build --kernel linux-image-amd64", image.Kernel, filesystem)
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
	h, image := host.Facts(), site.image
	h.URI = s.URI
	h.Libvirt, h.QEMU = site.facts.Libvirt, site.facts.QEMU
	h.Accel, h.AccelReason = site.accel.Name, site.accel.Reason
	named := site.hypervisors(p)
	if len(named) > 0 {
		h.Libvirt, h.QEMU, h.Accel, h.AccelReason = named[0].Libvirt, named[0].QEMU, named[0].Accel, named[0].AccelReason
	}
	storage := host.Storage(s.Storage)
	all := cell.Cell{Settings: s.Matrix.Fixed} // what every cell begins from
	storage.Format, storage.SizeBytes = all.Format(), all.SizeBytes()
	m := results.Manifest{
		Schema: results.Schema, Name: s.Matrix.Name, Tool: s.Tool, Command: s.Command,
		Matrix: s.Matrix.Text, MatrixFile: s.Matrix.File, Banner: s.Matrix.Banner,
		Seed: s.Seed, Trials: s.Trials, Started: time.Now().Truncate(time.Second),
		Host: h, Hypervisors: named,
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
		{"hypervisors", hypervisorsOf(began), hypervisorsOf(now)},
		{"cells", cellsOf(began), cellsOf(now)},
	} {
		if f.before != f.after {
			return fault.New(fault.Usage, "the run began with %s %q and would go on with %q: its trials would not compare; start a new run", f.what,
				f.before, f.after)
		}
	}
	return nil
}

// hypervisorsOf names the hypervisors that the cells of a run name, with what must not change under them.
func hypervisorsOf(m results.Manifest) string {
	var all []string
	for _, h := range m.Hypervisors {
		all = append(all, h.String()+" "+h.Accel)
	}
	return strings.Join(all, ", ")
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

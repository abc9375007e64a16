package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"platter/fault"
	"platter/matrices"
	"platter/orchestrator"
	"platter/orchestrator/guest"
	"platter/reports"
	"platter/results"
	"platter/strictyaml"
	"platter/text"
)

func runCommand() *cli.Command {
	return &cli.Command{
		Name:      "run",
		Usage:     "measure a matrix on real guests",
		ArgsUsage: "MATRIX",
		Category:  "measure",
		Description: `MATRIX is a file or the name of a built-in matrix (platter matrices). The guest is booted once, the scratch
disk plugged in with each cell's settings, and fio run in the guest. Each trial is on disk before the next begins:
a run that was stopped goes on with --resume.

With --hypervisor the matrix is measured on the hypervisor of a root tree (platter hypervisor build) instead of the installed
one; with several of them on each, in turns: the axis host.hypervisor.

With --until-decided the matrix has both sides of a change (axis variant.side, before and after), and the run ends at
the first of the policy's looks (after 10, 14, 20, 28 blocks unless it says otherwise) after which every rule is decided.
Each look has its part of the policy's alpha; platter gate judges such a run by this policy alone. See docs/gate.md.

EXAMPLES:
   platter run demo
   platter run cache-modes -o modes --trials 20
   platter run my-matrix.yaml --storage /srv/ssd --seed 7
   platter run --resume modes
   platter run --hypervisor trixie safety
   platter run --hypervisor host,trixie,trixie-backports safety-quick
   platter run --until-decided --policy policy.yaml both-sides.yaml
` + exitStatusHelp,
		Flags: []cli.Flag{
			uriFlag(), storageFlag(),
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "run `DIR`; default ./NAME-YYYYMMDD-HHMMSS"},
			&cli.IntFlag{Name: "trials", Usage: "trials of each cell, `N`; default the matrix's"},
			&cli.Uint64Flag{Name: "seed", Usage: "seed `N` of the order of trials; default a random one"},
			accelFlag(), untilDecidedFlag(), policyFlag(), hypervisorFlag(),
			&cli.StringFlag{Name: "resume", Usage: "go on with the run in `DIR` instead of MATRIX"},
		},
		Action: runAction,
	}
}

func runAction(c *cli.Context) error {
	settings, err := runSettings(c)
	if err != nil {
		return err
	}
	p := newProgress(c.App.ErrWriter)
	settings.Tell = p.tell
	outcome, err := orchestrator.Execute(c.Context, settings)
	p.finish()
	if outcome.Done+outcome.Campaigns > 0 {
		err = errors.Join(showRun(c, settings.Dir), err)
	}
	if err != nil {
		if outcome.Done+outcome.Campaigns > 0 {
			fmt.Fprintf(c.App.ErrWriter, "\nGo on with: platter run --resume %s\n", settings.Dir)
		}
		return err
	}
	next := "platter report " + settings.Dir
	if settings.Looks != nil {
		next = fmt.Sprintf("platter gate --policy %s --candidate %s", settings.Looks.PolicyFile, settings.Dir)
	}
	fmt.Fprintf(c.App.Writer, "\nNext: %s\n", next)
	if outcome.Failed > 0 {
		return &errUnmeasured{outcome.Failed, outcome.Done, "trials", "trials.jsonl"}
	}
	if outcome.Unjudged > 0 {
		return &errUnmeasured{outcome.Unjudged, outcome.Campaigns, "crash campaigns", "safety.jsonl"}
	}
	return nil
}

// baseSettings are what every run takes from the command line, whatever it measures.
func baseSettings(c *cli.Context) (orchestrator.Settings, error) {
	uri, storage, err := place(c)
	if err != nil {
		return orchestrator.Settings{}, err
	}
	program, err := os.Executable()
	if err != nil {
		return orchestrator.Settings{}, fmt.Errorf("find platter's own executable: %w", err)
	}
	return orchestrator.Settings{
		Program: program, URI: uri, Storage: storage, Cache: cacheDir(), Accel: c.String("accel"),
		Tool: "platter " + ownVersion(), Command: os.Args,
	}, nil
}

// runSettings turns the command line into what is to be run.
func runSettings(c *cli.Context) (orchestrator.Settings, error) {
	s, err := baseSettings(c)
	if err != nil {
		return s, err
	}
	if c.IsSet("policy") && !c.Bool("until-decided") {
		return s, &errUsage{"run: --policy says when a run --until-decided may end; to judge a run: platter gate"}
	}
	if dir := c.String("resume"); dir != "" {
		return resumeSettings(c, s, dir)
	}
	name, err := oneArg(c, "MATRIX", "a file or a built-in name; platter matrices lists those")
	if err != nil {
		return s, err
	}
	if s.Matrix, err = openMatrix(c, name); err != nil {
		return s, err
	}
	if s.Matrix, err = onHypervisors(c, s.Matrix); err != nil {
		return s, err
	}
	if s.Trials = s.Matrix.Trials; c.IsSet("trials") {
		s.Trials = c.Int("trials")
	}
	if s.Trials < 1 {
		return s, &errUsage{fmt.Sprintf("--trials %d: at least 1", s.Trials)}
	}
	if s.Seed = rand.Uint64() >> 12; c.IsSet("seed") { // short enough for every JSON reader
		s.Seed = c.Uint64("seed")
	}
	if s.Dir = c.String("output"); s.Dir == "" {
		s.Dir = fmt.Sprintf("%s-%s", s.Matrix.Name, time.Now().Format("20060102-150405"))
	}
	if !c.Bool("until-decided") {
		return s, nil
	}
	if c.IsSet("trials") {
		return s, &errUsage{"run: --trials and --until-decided exclude each other: the policy's looks say how many blocks there are"}
	}
	policy, err := readPolicy(c)
	if err != nil {
		return s, err
	}
	if err := untilDecided(&s, policy); err != nil {
		return s, err
	}
	s.Looks.PolicyFile = c.String("policy") // also the name of a built-in one
	return s, nil
}

func resumeSettings(c *cli.Context, s orchestrator.Settings, dir string) (orchestrator.Settings, error) {
	if c.NArg() > 0 || c.IsSet("output") || c.IsSet("trials") || c.IsSet("seed") || c.IsSet("until-decided") ||
		c.IsSet("hypervisor") {
		return s, &errUsage{"--resume takes matrix, hypervisors, trials, seed, policy and directory from the run: leave out MATRIX, " +
			"--hypervisor, -o, --trials, --seed, --until-decided and --policy"}
	}
	run, err := results.Read(dir)
	if err != nil {
		return s, err
	}
	s.Dir, s.Resume = dir, true
	if !c.IsSet("storage") {
		s.Storage = run.Manifest.Storage.Directory
	}
	if !c.IsSet("connect") {
		s.URI = run.Manifest.Host.URI
	}
	s.Trials, s.Seed = run.Manifest.Trials, run.Manifest.Seed
	fio, err := guestFio(c)
	if err != nil {
		return s, err
	}
	if s.Matrix, err = fio.Parse(run.Manifest.MatrixFile, []byte(run.Manifest.Matrix)); err != nil || run.Manifest.Looks == nil {
		return s, err
	}
	return s, resumeUntilDecided(&s, run.Manifest.Looks)
}

func hypervisorFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "hypervisor",
		Usage: "measure on the hypervisor `NAME`: host, or a root tree's (platter hypervisor list); on several in turns"}
}

// onHypervisors is a matrix measured on the hypervisors that the command line names, or as it is where that names none.
func onHypervisors(c *cli.Context, m *matrices.Matrix) (*matrices.Matrix, error) {
	names := c.StringSlice("hypervisor")
	if len(names) == 0 {
		return m, nil
	}
	on, err := matrices.On(m, names...)
	var told *strictyaml.Error
	switch {
	case errors.As(err, &told):
		return nil, &errUsage{fmt.Sprintf("--hypervisor %s: %s", strings.Join(names, ","), told.Message)}
	case err != nil:
		return nil, &errUsage{err.Error()}
	}
	return on, nil
}

// guestFio returns the fio whose options a matrix may have: the guest's, or where none can be asked the one whose list comes with platter.
func guestFio(c *cli.Context) (*matrices.Fio, error) {
	image, err := guest.Open(cacheDir())
	if err != nil {
		return matrices.BuiltInFio("there is no guest image whose fio could be asked (platter guest build)"), nil
	}
	help, err := image.FioHelp(c.Context, c.App.ErrWriter)
	if err != nil {
		return matrices.BuiltInFio(text.Line(err.Error())), nil
	}
	fio, err := matrices.ReadFio(help)
	if err != nil {
		return nil, fault.New(fault.Rig, "guest image %s: what its fio said is damaged (%v): remove that directory and run: platter guest build",
			image.Dir, err)
	}
	return fio, nil
}

// openMatrix reads a matrix: a built-in one by its name, else a file.
func openMatrix(c *cli.Context, name string) (*matrices.Matrix, error) {
	fio, err := guestFio(c)
	if err != nil {
		return nil, err
	}
	if !strings.ContainsAny(name, "./") {
		if m, err := matrices.Builtin(name); err == nil {
			return fio.Parse(m.File, []byte(m.Text))
		}
	}
	file, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, &errUsage{fmt.Sprintf("no matrix file and no built-in matrix %q: platter matrices lists the built-in ones", name)}
	}
	if err != nil {
		return nil, &errUsage{fmt.Sprintf("read matrix: %v", err)}
	}
	return fio.Parse(name, file)
}

// showRun prints the table of what was measured.
func showRun(c *cli.Context, dir string) error {
	run, err := results.Read(dir)
	if err != nil {
		return err
	}
	return reports.Table(c.App.Writer, reports.New(run))
}

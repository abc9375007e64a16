package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"platter/cell"
	"platter/gate"
	"platter/matrices"
	"platter/orchestrator"
	"platter/text"
)

func planCommand() *cli.Command {
	return &cli.Command{
		Name:      "plan",
		Usage:     "show what a run would do, and touch nothing",
		ArgsUsage: "MATRIX",
		Category:  "plan",
		Description: `MATRIX is a file or the name of a built-in matrix. Prints the cells, the excluded ones with their reason, blocks,
boots and the expected time. The order is drawn from the seed; run --seed with the same number follows it.
With --policy a matrix is refused whose trials cannot pass that policy, and how many would do is said.

EXAMPLES:
   platter plan demo
   platter plan my-matrix.yaml --trials 20 --json
   platter plan my-matrix.yaml --policy policy.yaml
` + exitStatusHelp,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "json", Usage: "print one JSON object, with every trial in its order"},
			&cli.IntFlag{Name: "trials", Usage: "trials of each cell, `N`; default the matrix's"},
			&cli.Uint64Flag{Name: "seed", Usage: "seed `N` of the order of trials; default a random one"},
			policyFlag(), hypervisorFlag(),
		},
		Action: func(c *cli.Context) error {
			name, err := oneArg(c, "MATRIX", "a file or a built-in name; platter matrices lists those")
			if err != nil {
				return err
			}
			m, err := openMatrix(c, name)
			if err != nil {
				return err
			}
			if m, err = onHypervisors(c, m); err != nil {
				return err
			}
			trials, seed := m.Trials, rand.Uint64()>>12
			if c.IsSet("trials") {
				trials = c.Int("trials")
			}
			if trials < 1 {
				return &errUsage{fmt.Sprintf("--trials %d: at least 1", trials)}
			}
			if c.IsSet("seed") {
				seed = c.Uint64("seed")
			}
			if c.IsSet("policy") {
				if err := reachable(c, trials); err != nil {
					return err
				}
			}
			p := orchestrator.NewPlan(m, trials, seed)
			if c.Bool("json") {
				return printPlanJSON(c.App.Writer, m, p)
			}
			printPlan(c.App.Writer, m, p)
			return nil
		},
	}
}

// reachable refuses a policy that so many trials of each cell cannot pass.
func reachable(c *cli.Context, trials int) error {
	policy, err := readPolicy(c)
	if err != nil {
		return err
	}
	if err := gate.Reachable(policy, trials); err != nil {
		return &errUsage{"plan: " + err.Error()}
	}
	return nil
}

func printPlan(w io.Writer, m *matrices.Matrix, plan orchestrator.Plan) {
	p := &text.Printer{W: w}
	excluded := 0
	for _, c := range plan.Cells {
		if c.Excluded != "" {
			excluded++
		}
	}
	p.Linef("%s: %s\n", m.Name, m.Description)
	p.Linef("cells measured  %d", len(plan.Cells)-excluded)
	p.Linef("cells excluded  %d", excluded)
	p.Linef("blocks          %d (each cell once a block, in random order; seed %d)", plan.Trials, plan.Seed)
	p.Linef("trials          %d", len(plan.Steps))
	p.Linef("boots           %d", len(plan.Boots))
	if names := plan.Hypervisors(); len(names) > 1 {
		work := plan.Work()
		p.Linef("hypervisors     %s, in turns: %d switches, about %s", strings.Join(names, ", "), plan.Switches(work),
			round(plan.SwitchTime(work)))
	} else if names[0] != cell.HostHypervisor {
		p.Linef("hypervisor      %s", names[0])
	}
	p.Linef("scratch images  %d, %d MiB", len(plan.Shapes()), plan.Bytes()>>20)
	if n := len(plan.Campaigns); n > 0 {
		p.Linef("crash campaigns %d, of %s; %d live cuts", n, strings.Join(plan.Safety.Classes, ", "), plan.Cuts())
	}
	p.Linef("expected time   about %s under emulation\n", round(plan.Estimate(plan.Work())))
	for _, a := range m.Axes {
		p.Linef("  %-18s %s", a.Name, orchestrator.AxisKind(a.Name))
	}
	p.Linef("")
	for _, c := range plan.Cells {
		if c.Excluded == "" {
			p.Linef("  %s", c.ID)
		}
	}
	if excluded > 0 {
		p.Linef("\nexcluded:")
	}
	for _, c := range plan.Cells {
		if c.Excluded != "" {
			p.Linef("  %s\n      %s", c.ID, c.Excluded)
		}
	}
}

// planJSON is the object of plan --json.
type planJSON struct {
	Schema int    `json:"schema"`
	Name   string `json:"name"`
	Seed   uint64 `json:"seed"`
	Blocks int    `json:"blocks"`
	Boots  int    `json:"boots"`
	// Hypervisors run the guests; there where it is not the machine's own alone.
	Hypervisors []string    `json:"hypervisors,omitempty"`
	Switches    int         `json:"switches,omitempty"`
	ExpectedS   float64     `json:"expected_s"`
	Cells       []planCell  `json:"cells"`
	Trials      []planTrial `json:"trials"`
	// Campaigns are the crash campaigns, made after the trials.
	Campaigns []planCampaign `json:"campaigns,omitempty"`
}

type planCampaign struct {
	Cell string `json:"cell"`
	Cuts int    `json:"cuts"` // live ones, of each class
}

type planCell struct {
	ID       string                `json:"id"`
	Axes     map[string]cell.Value `json:"axes"`
	Excluded string                `json:"excluded,omitempty"`
}

type planTrial struct {
	Order int    `json:"order"`
	Block int    `json:"block"`
	Cell  string `json:"cell"`
}

func printPlanJSON(w io.Writer, m *matrices.Matrix, p orchestrator.Plan) error {
	out := planJSON{Schema: 1, Name: m.Name, Seed: p.Seed, Blocks: p.Trials, Boots: len(p.Boots), ExpectedS: p.Estimate(p.Work()).Seconds()}
	if names := p.Hypervisors(); !slices.Equal(names, []string{cell.HostHypervisor}) {
		out.Hypervisors = names
		out.Switches = p.Switches(p.Work())
	}
	for _, c := range p.Cells {
		axes := map[string]cell.Value{}
		for _, a := range c.Axes {
			axes[a.Name] = a.Value
		}
		out.Cells = append(out.Cells, planCell{ID: c.ID, Axes: axes, Excluded: c.Excluded})
	}
	for _, s := range p.Steps {
		out.Trials = append(out.Trials, planTrial{Order: s.Order, Block: s.Block, Cell: s.Cell.ID})
	}
	for _, c := range p.Campaigns {
		out.Campaigns = append(out.Campaigns, planCampaign{c.Cell.ID, c.LiveCuts})
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}

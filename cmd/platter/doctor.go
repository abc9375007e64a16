package main

import (
	"encoding/json"
	"os"

	"github.com/urfave/cli/v2"

	"platter/fault"
	"platter/orchestrator"
	"platter/text"
)

func doctorCommand() *cli.Command {
	return &cli.Command{
		Name:     "doctor",
		Usage:    "check that a run would work on this host, and say how to mend what would not",
		Category: "set up",
		Description: `One line a check, with its mend. Whether KVM really runs a guest is found out by booting one. Whether the installed
QEMU makes a writethrough write durable before it acknowledges it is tried with a QEMU without a guest, on the simulated disk: what
it does counts over what its version says, for a distribution may have mended it.

EXAMPLES:
   platter doctor
   platter doctor -c qemu:///session --json
` + exitStatusHelp,
		Flags: []cli.Flag{
			uriFlag(), storageFlag(),
			&cli.BoolFlag{Name: "json", Usage: "print one JSON object"},
		},
		Action: func(c *cli.Context) error {
			if err := noArgs(c); err != nil {
				return err
			}
			uri, storage, err := place(c)
			if err != nil {
				return err
			}
			program, err := os.Executable()
			if err != nil {
				return fault.New(fault.Rig, "find platter's own executable: %v", err)
			}
			checks := orchestrator.Examine(c.Context, program, uri, storage, cacheDir())
			if err := c.Context.Err(); err != nil {
				return err
			}
			failed := 0
			for _, k := range checks {
				if k.Status == orchestrator.CheckFailed {
					failed++
				}
			}
			if c.Bool("json") {
				enc := json.NewEncoder(c.App.Writer)
				enc.SetIndent("", "  ")
				err := enc.Encode(struct {
					Schema int                  `json:"schema"`
					OK     bool                 `json:"ok"`
					Checks []orchestrator.Check `json:"checks"`
				}{1, failed == 0, checks})
				if err != nil {
					return err
				}
			} else {
				p := &text.Printer{W: c.App.Writer}
				for _, k := range checks {
					p.Linef("%-5s %-12s %s", k.Status, k.Name, k.Message)
					if k.Mend != "" {
						p.Linef("%-18s mend: %s", "", k.Mend)
					}
				}
			}
			if failed > 0 {
				return fault.New(fault.Rig, "%d checks failed: a run would not work yet", failed)
			}
			return nil
		},
	}
}

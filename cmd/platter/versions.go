package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"platter/flushpath"
	"platter/orchestrator/hypervisor"
	"platter/version"
)

// versionFlags name the hypervisor that a prediction is for.
func versionFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "qemu", Usage: "predict for this `VERSION` of QEMU, for example 10.0.13", DefaultText: "the installed one"},
		&cli.StringFlag{Name: "libvirt", Usage: "and for this `VERSION` of libvirt", DefaultText: "the installed one"},
	}
}

// versions returns the versions that the flags of versionFlags name. What they leave out is that of qemu and libvirt, or, where those are
// empty, that of the programs installed here; assumed says that QEMU's is of the latter, or not known.
func versions(c *cli.Context, qemu, libvirt string) (facts flushpath.Facts, assumed bool, err error) {
	given := flushpath.FactsOf(qemu, libvirt)
	for _, v := range []struct {
		flag string
		fact *version.Version
	}{{"qemu", &given.QEMU}, {"libvirt", &given.Libvirt}} {
		if text := c.String(v.flag); text != "" {
			if *v.fact, err = version.Parse(text); err != nil {
				return facts, false, &errUsage{fmt.Sprintf("%s: --%s: %v", c.Command.Name, v.flag, err)}
			}
		}
	}
	facts = flushpath.FactsOf(hypervisor.Installed(c.Context))
	assumed = !given.QEMU.Known()
	if !assumed {
		facts.QEMU = given.QEMU
	}
	if given.Libvirt.Known() {
		facts.Libvirt = given.Libvirt
	}
	return facts, assumed, nil
}

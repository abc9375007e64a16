package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/urfave/cli/v2"

	"platter/libvirtxml"
	"platter/text"
)

func rewriteCommand() *cli.Command {
	return &cli.Command{
		Name:      "rewrite",
		Usage:     "set driver attributes of a disk in a domain XML and leave every other byte alone",
		ArgsUsage: "DOMAIN.xml",
		Category:  "apply",
		Description: `Reads a domain XML from a file, or from standard input for "-", and prints it with the disk's <driver> attributes set.
Comments, unknown elements, order, quotes, white space and encoding stay as they are; nothing is written back.

--set takes libvirt's names and values, and may be repeated. An empty value (--set io=) removes the attribute. "bus"
is set on <target>. A disk without <driver> gets one; libvirt's default format, raw, is written into it unless
--set type= says otherwise. What libvirt would refuse, such as io=native with cache=writeback, is refused here, with
the reason.

` + strings.Join(text.Hang("Attributes: ", "   ", strings.Join(libvirtxml.AttrNames(), ", "), 100), "\n") + `

EXAMPLES:
   platter rewrite vm.xml --disk vdb --set cache=none --set io=native --print-diff
   virsh dumpxml --inactive vm | platter rewrite - --disk vda --set discard=unmap > new.xml && virsh define new.xml
   platter rewrite vm.xml --disk sda --set bus=virtio --set queues=4

EXIT STATUS:
   0    the document, or the difference, was printed; without a change the difference is empty
   2    usage or bad input: no such disk, attribute or value, not a domain XML, refused by libvirt
   3    the result could not be written`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "disk", Usage: "the disk's `TARGET` name, for example vda"},
			&cli.StringSliceFlag{Name: "set", Usage: "`ATTRIBUTE=VALUE` of the disk's driver; may be repeated"},
			&cli.BoolFlag{Name: "print-diff", Usage: "print a unified diff instead of the document"},
		},
		Before: lateFlags,
		Action: rewrite,
	}
}

// rewrite is the command's action.
func rewrite(c *cli.Context) error {
	name, err := oneArg(c, "DOMAIN.xml", "a file, or - for standard input")
	if err != nil {
		return err
	}
	set, err := parseSet(c.StringSlice("set"))
	if err != nil {
		return err
	}
	name, doc, err := readDomain(c, name)
	if err != nil {
		return err
	}
	if c.String("disk") == "" {
		return missingDisk(name, doc)
	}
	out, err := libvirtxml.Rewrite(name, doc, c.String("disk"), set)
	if err != nil {
		return err
	}
	if c.Bool("print-diff") {
		out = diff.Diff(name, doc, name, out)
	}
	if _, err := c.App.Writer.Write(out); err != nil {
		return fmt.Errorf("write domain XML: %w", err)
	}
	return nil
}

// parseSet reads the values of --set.
func parseSet(values []string) ([]libvirtxml.Attr, error) {
	if len(values) == 0 {
		return nil, &errUsage{"rewrite: --set is missing: say what to change, for example --set cache=none"}
	}
	var set []libvirtxml.Attr
	for _, v := range values {
		name, value, ok := strings.Cut(v, "=")
		if !ok {
			return nil, &errUsage{fmt.Sprintf("rewrite: --set %q must be ATTRIBUTE=VALUE; an empty value removes the attribute", v)}
		}
		set = append(set, libvirtxml.Attr{Name: name, Value: value})
	}
	return set, nil
}

// readDomain reads the file, or standard input for "-", and returns what to call it as well. It stops behind libvirt's
// limit, beyond which libvirtxml refuses the document.
func readDomain(c *cli.Context, file string) (name string, doc []byte, err error) {
	name, in := "standard input", c.App.Reader
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", nil, &errUsage{fmt.Sprintf("%s: %v", c.Command.Name, err)}
		}
		defer f.Close()
		name, in = file, f
	}
	doc, err = io.ReadAll(io.LimitReader(in, libvirtxml.MaxBytes+1))
	if err != nil {
		return "", nil, &errUsage{fmt.Sprintf("%s: read domain XML: %v", c.Command.Name, err)}
	}
	return name, doc, nil
}

// missingDisk says that --disk is missing and which disks there are.
func missingDisk(name string, doc []byte) error {
	disks, err := libvirtxml.Disks(name, doc)
	if err != nil {
		return err
	}
	var targets []string
	for _, d := range disks {
		targets = append(targets, d.Target)
	}
	return &errUsage{fmt.Sprintf("rewrite: --disk is missing; the disks of %s: %s", name, strings.Join(targets, ", "))}
}

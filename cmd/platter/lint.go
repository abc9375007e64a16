package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"platter/lint"
	"platter/policy"
	"platter/text"
)

func lintCommand() *cli.Command {
	return &cli.Command{
		Name:      "lint",
		Usage:     "find what is unsafe, refused, contradictory or in the way in domain XML, without libvirt",
		ArgsUsage: "DOMAIN.xml...",
		Category:  "judge",
		Description: `Reads domain XML files ("-" is standard input) and prints what the policy and platter's rules have against their
disks, one line each: FILE:LINE:COLUMN: LEVEL: MESSAGE [RULE]. docs/lint.md has the rules and says how to label a disk as
ephemeral. Nothing is asked of libvirt and nothing is touched. What a disk may lose depends on QEMU: it is taken to be the one
that is installed here unless --qemu names a version, and findings say so.

With --json one object is printed:
   {"schema": 1, "policy": its name, "qemu": the version judged for, "qemu_assumed", "files": how many were judged,
    "findings": [{"rule", "level", "message", "file", "line", "column", "domain", "disk"}],
    "failures": [{"file", "message"}]}
A SARIF file names the XML files relative to the current directory: run it at the top of the repository.

EXAMPLES:
   platter lint domains/*.xml
   platter lint --qemu 11.1.3 domains/*.xml                what an upgrade would change
   platter lint --policy policy.yaml --sarif lint.sarif domains/*.xml
   virsh dumpxml --inactive vm | platter lint - --level warning

EXIT STATUS:
   0    no finding is an error
   1    at least one is
   2    usage or bad input: a policy with a mistake, a file that is no domain XML (the others are judged all the same)
   3    the result could not be written`,
		Flags: append([]cli.Flag{
			policyFlag(),
			&cli.StringFlag{Name: "level", Usage: "print findings from this `LEVEL` on: error, warning or note", Value: lint.LevelNote},
			&cli.StringFlag{Name: "sarif", Usage: "write all findings to `FILE` as SARIF 2.1.0, too"},
			&cli.BoolFlag{Name: "json", Usage: "print one JSON object"},
		}, versionFlags()...),
		Before: lateFlags,
		Action: lintAction,
	}
}

// errFindings says that a check failed, and why. It is a verdict and nobody's fault.
type errFindings struct{ message string }

func (e *errFindings) Error() string { return e.message }

// levels are those of findings, the worst first.
func levels() []string { return []string{lint.LevelError, lint.LevelWarning, lint.LevelNote} }

// lintAction is the action of lint.
func lintAction(c *cli.Context) error {
	files, err := arguments(c)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return &errUsage{"lint: DOMAIN.xml is missing: files, or - for standard input"}
	}
	shown := slices.Index(levels(), c.String("level"))
	if shown < 0 {
		return &errUsage{fmt.Sprintf("lint: level %q: it is one of %s", c.String("level"), strings.Join(levels(), ", "))}
	}
	policy, err := readPolicy(c)
	if err != nil {
		return err
	}
	facts, assumed, err := versions(c, "", "")
	if err != nil {
		return err
	}
	on := lint.Hypervisor{QEMU: facts.QEMU, Libvirt: facts.Libvirt, Assumed: assumed}
	findings, failures := lintFiles(c, policy, on, files)
	if err := writeSARIF(c.String("sarif"), findings, failures); err != nil {
		return err
	}
	report := lintReport{Schema: 1, Policy: policy.Name, QEMU: known(on.QEMU), Assumed: on.Assumed,
		Files: len(files) - len(failures), Findings: []lint.Finding{}, Failures: failures}
	for _, f := range findings {
		if slices.Index(levels(), f.Level) <= shown {
			report.Findings = append(report.Findings, f)
		}
	}
	if err := report.write(c.App.Writer, c.App.ErrWriter, c.Bool("json")); err != nil {
		return fmt.Errorf("write findings: %w", err)
	}
	return lintVerdict(findings, failures, len(files))
}

// lintFiles judges file after file; one that cannot be read does not keep the others from it.
func lintFiles(c *cli.Context, policy *policy.Policy, on lint.Hypervisor, files []string) (findings []lint.Finding,
	failures []lint.Failure) {
	failures = []lint.Failure{}
	for _, file := range files {
		name, doc, err := readDomain(c, file)
		var found []lint.Finding
		if err == nil {
			found, err = lint.Check(policy, on, name, doc)
		}
		if err != nil {
			failures = append(failures, lint.Failure{File: file, Message: err.Error()})
		}
		findings = append(findings, found...)
	}
	return findings, failures
}

// lintVerdict is nil where no finding is an error and every file was judged.
func lintVerdict(findings []lint.Finding, failures []lint.Failure, files int) error {
	if len(failures) > 0 {
		return &errUsage{fmt.Sprintf("lint: %d of %d files could not be judged", len(failures), files)}
	}
	bad := 0
	for _, f := range findings {
		if f.Level == lint.LevelError {
			bad++
		}
	}
	if bad == 0 {
		return nil
	}
	return &errFindings{fmt.Sprintf("lint: %d errors among %d findings in %d files", bad, len(findings), files)}
}

// writeSARIF writes the SARIF file; nothing without a name.
func writeSARIF(file string, findings []lint.Finding, failures []lint.Failure) error {
	if file == "" {
		return nil
	}
	root, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("find the current directory: %w", err)
	}
	var b bytes.Buffer
	if err := lint.WriteSARIF(&b, ownVersion(), root, findings, failures); err != nil {
		return err
	}
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write SARIF: %w", err)
	}
	return nil
}

// lintReport is what the command prints.
type lintReport struct {
	Schema   int            `json:"schema"`
	Policy   string         `json:"policy"`
	QEMU     string         `json:"qemu"`         // its version; empty where it is not known
	Assumed  bool           `json:"qemu_assumed"` // it is that of the QEMU which is installed here, or not known
	Files    int            `json:"files"`
	Findings []lint.Finding `json:"findings"`
	Failures []lint.Failure `json:"failures"`
}

// write prints findings on out, and what could not be judged on errs; as JSON everything goes to out.
func (r lintReport) write(out, errs io.Writer, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	for _, f := range r.Failures {
		fmt.Fprintln(errs, text.Line(f.Message))
	}
	p := &text.Printer{W: out}
	for _, f := range r.Findings {
		p.Linef("%s", text.Line(fmt.Sprintf("%s:%d:%d: %s: %s [%s]", f.File, f.Line, f.Column, f.Level, f.Message, f.Rule)))
	}
	return p.Err
}

package main

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v2"

	"platter/libvirtxml"
)

const rewriteInput = "<domain type=\"kvm\">\r\n <devices>\r\n  <disk><driver name=\"qemu\"/><target dev='vdb'/></disk>\r\n " +
	"</devices>\r\n</domain>\r\n"

// runRewrite runs the command alone, in a directory with vm.xml.
func runRewrite(t *testing.T, stdin string, args ...string) (stdout string, err error) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile("vm.xml", []byte(rewriteInput), 0o644); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	app := &cli.App{
		Reader: strings.NewReader(stdin), Writer: &out, ErrWriter: &out,
		Commands:       []*cli.Command{rewriteCommand()},
		ExitErrHandler: func(*cli.Context, error) {},
	}
	err = app.Run(append([]string{"platter", "rewrite"}, args...))
	if got, readErr := os.ReadFile("vm.xml"); readErr != nil || string(got) != rewriteInput {
		t.Errorf("the file itself was changed (%v): %q", readErr, got)
	}
	return out.String(), err
}

func TestRewriteTakesItsFlagsBeforeAndAfterTheFile(t *testing.T) {
	want := strings.Replace(rewriteInput, `name="qemu"`, `name="qemu" cache="none" io="native"`, 1)
	for _, line := range []string{
		"--disk vdb --set cache=none --set io=native vm.xml",
		"vm.xml --disk vdb --set cache=none --set io=native",
		"--disk=vdb --set cache=none vm.xml --set=io=native",
		"--set cache=none vm.xml -disk vdb --set io=native",
		"--disk vdb vm.xml --set cache=none,io=native --print-diff=false",
		"--disk vda vm.xml --disk vdb --set cache=none --set io=native",
		"--disk vdb --set cache=none,io=native -- vm.xml",
	} {
		got, err := runRewrite(t, "", strings.Fields(line)...)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", line, diff)
		}
	}
}

func TestRewriteReadsStandardInput(t *testing.T) {
	got, err := runRewrite(t, strings.Replace(rewriteInput, "vdb", "vdc", 1), "-", "--disk", "vdc", "--set", "bus=sata")
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Replace(rewriteInput, "dev='vdb'", "dev='vdc' bus='sata'", 1); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRewritePrintsADifferenceThatNamesTheFile(t *testing.T) {
	got, err := runRewrite(t, "", "vm.xml", "--print-diff", "--disk", "vdb", "--set", "cache=none")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"--- vm.xml\n+++ vm.xml\n",
		"\n-  <disk><driver name=\"qemu\"/><target dev='vdb'/></disk>\r\n+  <disk><driver name=\"qemu\" cache=\"none\"/><target " +
			"dev='vdb'/></disk>\r\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
}

func TestRewritePrintsNoDifferenceWhereNothingChanges(t *testing.T) {
	if got, err := runRewrite(t, "", "vm.xml", "--print-diff", "--disk", "vdb", "--set", "cache="); got != "" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestRewriteRefusesWhatItWasNotAskedProperly(t *testing.T) {
	for _, tc := range []struct{ line, want string }{
		{"", "rewrite: DOMAIN.xml is missing: a file, or - for standard input"},
		{"vm.xml other.xml --disk vdb --set cache=none", `rewrite: takes one DOMAIN.xml, got also ["other.xml"]`},
		{"vm.xml --disk vdb --sett cache=none", "rewrite: unknown flag --sett; platter rewrite --help lists them"},
		{"vm.xml --set cache=none --disk", "rewrite: flag --disk needs a value"},
		{"vm.xml --disk vdb --set cache=none --print-diff=perhaps", `rewrite: value "perhaps" for flag --print-diff: parse error`},
		{"vm.xml --help", "rewrite: --help stands alone: platter rewrite --help"},
		{"vm.xml --disk vdb", "rewrite: --set is missing"},
		{"vm.xml --disk vdb --set cache", `rewrite: --set "cache" must be ATTRIBUTE=VALUE`},
		{"vm.xml --set cache=none", "rewrite: --disk is missing; the disks of vm.xml: vdb"},
		{"none.xml --disk vdb --set cache=none", "rewrite: open none.xml: no such file or directory"},
		{". --disk vdb --set cache=none", "rewrite: read domain XML: read .: is a directory"},
	} {
		got, err := runRewrite(t, "", strings.Fields(tc.line)...)
		var usage *errUsage
		if !errors.As(err, &usage) || !strings.HasPrefix(err.Error(), tc.want) || got != "" {
			t.Errorf("%s: got %v (%T), output %q, want %q", tc.line, err, err, got, tc.want)
		}
	}
}

func TestRewriteHandsOnWhereTheDocumentIsWrong(t *testing.T) {
	for _, tc := range []struct{ stdin, line, want string }{
		{"<domain>", "- --disk vda --set cache=none", "standard input:1:9: malformed XML"},
		{"<network/>", "- --set cache=none", "standard input:1:1: not a domain XML"},
		{"", "vm.xml --disk vda --set cache=none", `vm.xml: no disk has the target "vda"; the domain has vdb`},
		{"", "vm.xml --disk vdb --set io=native", "vm.xml:3:9: disk vdb: libvirt refuses io=native with cache=default"},
		{strings.Repeat(" ", libvirtxml.MaxBytes+9), "- --disk vda --set cache=none", "standard input: the document is larger than 4 MiB"},
	} {
		got, err := runRewrite(t, tc.stdin, strings.Fields(tc.line)...)
		var xml *libvirtxml.Error
		if !errors.As(err, &xml) || !strings.HasPrefix(err.Error(), tc.want) || got != "" {
			t.Errorf("%s: got %v (%T), output %q, want %q", tc.line, err, err, got, tc.want)
		}
	}
}

func TestRewriteHelpFitsATerminalAndListsTheAttributes(t *testing.T) {
	got, err := runRewrite(t, "", "--help")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range append(libvirtxml.AttrNames(), "EXAMPLES", "EXIT STATUS") {
		if !strings.Contains(got, want) {
			t.Errorf("%s is not in the help", want)
		}
	}
	for line := range strings.Lines(got) {
		if len(line) > 125 {
			t.Errorf("%d characters: %s", len(line), line)
		}
	}
}

func TestAFlagAfterTheArgumentsIsSetOnceHoweverOftenTheyAreAskedFor(t *testing.T) {
	var values, words []string
	command := &cli.Command{
		Name:   "c",
		Flags:  []cli.Flag{&cli.StringSliceFlag{Name: "add", Aliases: []string{"a"}}},
		Before: lateFlags,
		Action: func(c *cli.Context) (err error) {
			words, err = arguments(c)
			values = c.StringSlice("add")
			return err
		},
	}
	app := &cli.App{Commands: []*cli.Command{command}}
	if err := app.Run([]string{"platter", "c", "x", "-a", "1", "-", "--add", "2", "--", "-y", "z"}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"1", "2"}, values); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"x", "-", "-y", "z"}, words); diff != "" {
		t.Error(diff)
	}
}

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"platter/policy"

	"github.com/urfave/cli/v2"
)

func policiesCommand() *cli.Command {
	return &cli.Command{
		Name:     "policies",
		Usage:    "print the built-in policy to copy, or the schema of policy files",
		Category: "judge",
		Description: "EXAMPLES:\n   platter policies show default > policy.yaml\n   platter policies schema > policy.schema.json\n" +
			exitStatusHelp,
		Action: func(c *cli.Context) error {
			if err := noArgs(c); err != nil {
				return err
			}
			return cli.ShowSubcommandHelp(c)
		},
		Subcommands: []*cli.Command{{
			Name:        "show",
			Usage:       "print the built-in policy, " + policy.DefaultName,
			ArgsUsage:   "NAME",
			Description: "EXAMPLES:\n   platter policies show default\n" + exitStatusHelp,
			Action: func(c *cli.Context) error {
				name, err := oneArg(c, "NAME", "the built-in one is "+policy.DefaultName)
				if err != nil {
					return err
				}
				policy, err := policy.Builtin(name)
				if err != nil {
					return &errUsage{err.Error()}
				}
				_, err = fmt.Fprint(c.App.Writer, policy.Text)
				return err
			},
		}, {
			Name:        "schema",
			Usage:       "print the JSON schema of policy files, for editors",
			Description: "EXAMPLES:\n   platter policies schema > policy.schema.json\n" + exitStatusHelp,
			Action: func(c *cli.Context) error {
				if err := noArgs(c); err != nil {
					return err
				}
				text, err := policy.Schema()
				if err != nil {
					return err
				}
				_, err = c.App.Writer.Write(text)
				return err
			},
		}},
	}
}

// policyFlag is the same wherever it stands.
func policyFlag() cli.Flag {
	return &cli.StringFlag{Name: "policy", Usage: "`FILE` of the policy, or a built-in name", Value: policy.DefaultName}
}

// readPolicy is the policy of the flag of policyFlag: a file, or else a built-in one.
func readPolicy(c *cli.Context) (*policy.Policy, error) {
	name := c.String("policy")
	text, err := os.ReadFile(name)
	if err == nil {
		return policy.Parse(name, text)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, &errUsage{fmt.Sprintf("%s: --policy: %v", c.Command.Name, err)}
	}
	builtin, err := policy.Builtin(name)
	if err != nil {
		return nil, &errUsage{fmt.Sprintf("%s: --policy: no policy file and no built-in policy %q: platter policies show %s prints one to "+
			"begin with",
			c.Command.Name, name, policy.DefaultName)}
	}
	return builtin, nil
}

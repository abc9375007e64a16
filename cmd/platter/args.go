package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// lateFlags is a Before that lets flags follow the arguments: platter plan demo --json. The cli package stops at the
// first argument, and what comes after it would silently be taken for more arguments.
func lateFlags(c *cli.Context) error {
	_, err := arguments(c)
	return err
}

// oneArg returns the command's only argument; name and hint say what it must be when it is not there.
func oneArg(c *cli.Context, name, hint string) (string, error) {
	words, err := arguments(c)
	if err != nil {
		return "", err
	}
	if len(words) == 0 {
		return "", &errUsage{fmt.Sprintf("%s: %s is missing: %s", c.Command.Name, name, hint)}
	}
	if len(words) > 1 {
		return "", &errUsage{fmt.Sprintf("%s: takes one %s, got also %q", c.Command.Name, name, words[1:])}
	}
	return words[0], nil
}

// noArgs refuses arguments.
func noArgs(c *cli.Context) error {
	words, err := arguments(c)
	if err == nil && len(words) > 0 {
		err = &errUsage{fmt.Sprintf("%s: takes no argument, got %q", c.Command.Name, words)}
	}
	return err
}

// argumentsKey is where a command's context keeps its arguments, so that a flag that can be repeated is set only once.
type argumentsKey struct{}

// arguments returns the command's arguments without the flags among them, after setting those flags. A flag after the
// arguments wins over the same flag before them. It may be called again.
func arguments(c *cli.Context) ([]string, error) {
	if words, ok := c.Context.Value(argumentsKey{}).([]string); ok {
		return words, nil
	}
	words := []string{}
	rest := c.Args().Slice()
	for len(rest) > 0 {
		word := rest[0]
		rest = rest[1:]
		switch {
		case word == "--":
			words, rest = append(words, rest...), nil
		case word == "-" || !strings.HasPrefix(word, "-"):
			words = append(words, word)
		default:
			var err error
			if rest, err = setFlag(c, word, rest); err != nil {
				return nil, err
			}
		}
	}
	c.Context = context.WithValue(c.Context, argumentsKey{}, words)
	return words, nil
}

// setFlag sets the flag that word names, to the value in word or to the first of rest, and returns what is left of rest.
func setFlag(c *cli.Context, word string, rest []string) ([]string, error) {
	name, value, given := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(word, "-"), "-"), "=")
	i := slices.IndexFunc(c.Command.Flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
	if name == "help" || name == "h" {
		return nil, &errUsage{fmt.Sprintf("%s: --help stands alone: platter %s --help", c.Command.Name, c.Command.Name)}
	}
	if i < 0 {
		return nil, &errUsage{fmt.Sprintf("%s: unknown flag %s; platter %s --help lists them", c.Command.Name, word, c.Command.Name)}
	}
	documented, ok := c.Command.Flags[i].(cli.DocGenerationFlag)
	switch {
	case given:
	case ok && !documented.TakesValue():
		value = "true"
	case len(rest) == 0:
		return nil, &errUsage{fmt.Sprintf("%s: flag %s needs a value", c.Command.Name, word)}
	default:
		value, rest = rest[0], rest[1:]
	}
	if err := c.Set(c.Command.Flags[i].Names()[0], value); err != nil {
		return nil, &errUsage{fmt.Sprintf("%s: value %q for flag --%s: %v", c.Command.Name, value, name, err)}
	}
	return rest, nil
}

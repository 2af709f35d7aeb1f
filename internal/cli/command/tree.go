package command

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// The groups of commands in the help.
const (
	Platform = "platform"
	Deploy   = "deploy"
	Look     = "look"
	Settings = "settings"
)

// OrderKey is the annotation with the position of a command among its siblings; cobra
// sorts them by name.
const OrderKey = "order"

// Adopt adds commands to a parent, in order.
func Adopt(parent *cobra.Command, commands ...*cobra.Command) {
	for _, c := range commands {
		c.DisableFlagsInUseLine = true
		c.Flags().SortFlags = false
		c.Annotations = map[string]string{OrderKey: fmt.Sprintf("%03d", len(parent.Commands()))}
		parent.AddCommand(c)
	}
}

// Family configures a command with subcommands: without a subcommand it shows its help.
func Family(c *cobra.Command) {
	c.Args = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		err := ErrUsage.With("unknown command `%s %s`", c.CommandPath(), args[0])
		var names []string
		for _, sub := range c.Commands() {
			if slices.Contains(sub.SuggestFor, args[0]) {
				return err.WithHint("did you mean `%s`?", sub.CommandPath())
			}
			names = append(append(names, sub.Name()), sub.Aliases...)
		}
		if meant := Nearest(args[0], names); meant != "" {
			return err.WithHint("did you mean `%s %s`?", c.CommandPath(), meant)
		}
		return err.WithHint("list the commands with `%s --help`", c.CommandPath())
	}
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
}

// Takes checks the number of arguments; missing names those that are required.
func Takes(least, most int, missing string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return ErrUsage.With("argument missing: %s", missing).WithHint("use `%s`", c.UseLine())
		case most >= 0 && len(args) > most:
			return ErrUsage.With("unexpected argument %q", args[most])
		}
		return nil
	}
}

// YesFlag adds the flag that skips the confirmation.
func YesFlag(c *cobra.Command, yes *bool) {
	c.Flags().BoolVarP(yes, "yes", "y", false, "skip the confirmation")
}

// Pairs reads KEY=value arguments of a flag.
func Pairs(flag string, list []string) (map[string]string, error) {
	out := make(map[string]string, len(list))
	for _, text := range list {
		key, value, ok := strings.Cut(text, "=")
		if !ok || key == "" {
			return nil, ErrUsage.With("%s %q is malformed", flag, text).WithHint("use KEY=value")
		}
		out[key] = value
	}
	return out, nil
}

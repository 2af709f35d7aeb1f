package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The groups of commands in the help.
const (
	groupPlatform = "platform"
	groupDeploy   = "deploy"
	groupLook     = "look"
	groupSettings = "settings"
)

func newRootCommand(s *session) *cobra.Command {
	root := &cobra.Command{
		Use:   "lateen",
		Short: "A frontend cloud of your own, in one binary",
		Long: "Lateen turns a machine into a frontend cloud: it serves what your framework\n" +
			"builds and boots its functions when they are called.",
		Example: "lateen up            # a platform on this machine\n" +
			"npx vercel build     # your app, in its own directory\n" +
			"lateen deploy        # its URL",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	family(root)
	root.AddGroup(
		&cobra.Group{ID: groupPlatform, Title: "Platform"},
		&cobra.Group{ID: groupDeploy, Title: "Deploy"},
		&cobra.Group{ID: groupLook, Title: "Look"},
		&cobra.Group{ID: groupSettings, Title: "Settings"},
	)
	for _, k := range s.flags.client.Keys() {
		root.PersistentFlags().Var(k.Value, k.Name, fmt.Sprintf("%s (%s)", k.Usage, k.Env))
	}
	root.PersistentFlags().SortFlags = false
	root.PersistentFlags().StringVar(&s.flags.cwd, "cwd", "", "act as if started in this `directory`")
	root.PersistentFlags().BoolVar(&s.flags.json, "json", false, "answer in JSON, errors too")
	for _, command := range []func(*session) *cobra.Command{
		newUpCommand, newReloadCommand, newDoctorCommand, newLoginCommand, newLogoutCommand, newWhoamiCommand,
		newLinkCommand, newDeployCommand, newRedeployCommand, newPromoteCommand, newRollbackCommand, newRemoveCommand,
		newListCommand, newInspectCommand, newFunctionsCommand, newLogsCommand, newOpenCommand,
		newProjectCommand, newEnvCommand, newAliasCommand, newTokenCommand,
		newCompletionCommand, newVersionCommand,
	} {
		adopt(root, command(s))
	}
	root.SetArgs(s.Args)
	root.SetIn(s.Stdin)
	root.SetOut(s.Stdout)
	root.SetErr(s.Stderr)
	root.SetGlobalNormalizationFunc(flagAliases)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return errUsage.With("%s", flagFault(err))
	})
	root.SetHelpFunc(func(c *cobra.Command, _ []string) { s.term.Print(helpText(c, s.term.AnswerWidth())) })
	helper := newHelpCommand(root)
	adopt(root, helper)
	root.SetHelpCommand(helper)
	root.CompletionOptions.DisableDefaultCmd = true
	return root
}

// orderKey is the annotation that keeps the place of a command among its
// siblings; cobra sorts them by name.
const orderKey = "order"

// adopt adds commands to a parent, in order.
func adopt(parent *cobra.Command, commands ...*cobra.Command) {
	for _, c := range commands {
		c.DisableFlagsInUseLine = true
		c.Flags().SortFlags = false
		c.Annotations = map[string]string{orderKey: fmt.Sprintf("%03d", len(parent.Commands()))}
		parent.AddCommand(c)
	}
}

// flagAliases lets people say --scope for --team and --name for --project.
func flagAliases(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	switch name {
	case "scope":
		name = "team"
	case "name":
		name = "project"
	}
	return pflag.NormalizedName(name)
}

// flagFault is what is wrong with a flag, without the words of its library.
func flagFault(err error) string {
	if unknown, ok := err.(*pflag.NotExistError); ok { //nolint:errorlint // the library returns it bare
		return "there is no flag " + dashes(unknown.GetSpecifiedName())
	}
	text := err.Error()
	if _, after, ok := strings.Cut(text, `" flag: `); ok && strings.HasPrefix(text, "invalid argument") {
		name := text[strings.Index(text, `for "`)+len(`for "`):]
		name, _, _ = strings.Cut(name, `" flag`)
		value, _, _ := strings.Cut(strings.TrimPrefix(text, "invalid argument "), " for ")
		if strings.HasPrefix(after, "strconv.") {
			after = "it is a whole number"
		}
		return fmt.Sprintf("%s does not take %s: %s", name, value, after)
	}
	return text
}

func dashes(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// family makes a command of one that has others: by itself it shows its help.
func family(c *cobra.Command) {
	c.Args = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		err := errUsage.With("there is no command `%s %s`", c.CommandPath(), args[0])
		if similar := c.SuggestionsFor(args[0]); len(similar) > 0 {
			return err.WithHint("did you mean `%s %s`?", c.CommandPath(), similar[0])
		}
		return err.WithHint("`%s --help` lists what there is", c.CommandPath())
	}
	c.SuggestionsMinimumDistance = 2
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
}

// takes checks the number of arguments; what says what is missing.
func takes(least, most int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return errUsage.With("say %s: `%s`", what, c.UseLine())
		case most >= 0 && len(args) > most:
			return errUsage.With("%q is more than `%s` takes", args[most], c.CommandPath())
		}
		return nil
	}
}

// projectFlag gives a command the flag that names a project.
func (s *session) projectFlag(c *cobra.Command) {
	c.Flags().StringVarP(&s.flags.project, "project", "p", "", "`name` or id of the project; default: the one this directory is linked to")
	_ = c.RegisterFlagCompletionFunc("project", s.completeProjects) // fails for unknown flags only
}

// yesFlag gives a command the flag that answers its question.
func yesFlag(c *cobra.Command, yes *bool) {
	c.Flags().BoolVarP(yes, "yes", "y", false, "do not ask")
}

func newHelpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [command]",
		Short: "Explain a command",
		Long:  "Explains a command, as its flag --help does.",
		ValidArgsFunction: func(_ *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
			parent, _, err := root.Find(args)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []string
			for _, c := range parent.Commands() {
				if c.IsAvailableCommand() && strings.HasPrefix(c.Name(), prefix) {
					names = append(names, c.Name()+"\t"+c.Short)
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			c, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return errUsage.With("there is no command `lateen %s`", strings.Join(args, " ")).WithHint("`lateen --help` lists what there is")
			}
			return c.Help()
		},
	}
}

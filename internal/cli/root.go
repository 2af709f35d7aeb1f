package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cli/account"
	"github.com/lateen-dev/lateen/internal/cli/command"
)

// elsewhere are commands of the vercel CLI that lateen has not, each with what does
// its work here.
var elsewhere = map[string]string{
	"build":       "build with the framework's adapter or `npx vercel build`, then `lateen deploy`",
	"dev":         "start the framework's own development server, as `npm run dev`",
	"deployments": "list deployments with `lateen ls`",
	"domains":     "point a host at a deployment with `lateen alias set`",
	"domain":      "point a host at a deployment with `lateen alias set`",
	"certs":       "point a host at a deployment with `lateen alias set`",
	"pull":        "write the variables of an environment to a file with `lateen env pull`",
	"init":        "start in the directory of an application with `lateen link`",
	"curl":        "ask a deployment by its URL: `lateen ls` lists URLs",
	"secrets":     "keep variables with `lateen env add`",
	"secret":      "keep variables with `lateen env add`",
	"switch":      "choose the team of later commands with `lateen teams switch`",
	"activity":    "list changes with `lateen audit`",
}

func newRootCommand(s *session) *cobra.Command {
	root := &cobra.Command{
		Use:   "lateen",
		Short: "A frontend cloud of your own, in one binary",
		Long: "Lateen turns a machine into a frontend cloud: it serves what your framework\n" +
			"builds and boots its functions when they are called.",
		Example: "lateen up            # a platform on this machine\n" +
			"lateen link          # in the directory of your app\n" +
			"npx vercel build     # or the build of a framework with an adapter for Vercel\n" +
			"lateen deploy        # its URL",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	command.Family(root)
	known := root.Args
	root.Args = func(c *cobra.Command, args []string) error {
		err := known(c, args)
		if unknown, ok := errors.AsType[*lateen.Error](err); ok && elsewhere[args[0]] != "" {
			return unknown.WithHint("%s", elsewhere[args[0]])
		}
		return err
	}
	version := false
	help := root.RunE
	root.Flags().BoolVarP(&version, "version", "v", false, "tell which Lateen this is, as `lateen version`")
	root.RunE = func(c *cobra.Command, args []string) error {
		if version {
			return s.tellVersion()
		}
		return help(c, args)
	}
	root.PersistentPreRunE = func(*cobra.Command, []string) error { return s.checkDirectory() }
	root.AddGroup(
		&cobra.Group{ID: command.Platform, Title: "Platform"},
		&cobra.Group{ID: command.Deploy, Title: "Deploy"},
		&cobra.Group{ID: command.Look, Title: "Look"},
		&cobra.Group{ID: command.Settings, Title: "Settings"},
	)
	for _, k := range s.Flags.Client.Keys() {
		root.PersistentFlags().Var(k.Value, k.Name, fmt.Sprintf("%s (%s)", k.Usage, k.Env))
		if k.Name == "team" { // which the vercel CLI calls scope; a command may have a scope of its own
			root.PersistentFlags().VarPF(k.Value, "scope", "", k.Usage).Hidden = true
		}
	}
	root.PersistentFlags().SortFlags = false
	root.PersistentFlags().StringVar(&s.Flags.CWD, "cwd", "", "act as if started in this `directory`")
	root.PersistentFlags().BoolVar(&s.Flags.JSON, "json", false, "answer in JSON, errors too")
	for _, make := range []func(*session) *cobra.Command{
		newUpCommand, newReloadCommand, newBackupCommand, newDoctorCommand, of(account.Login), of(account.Logout), of(account.Whoami),
		newLinkCommand, newDeployCommand, newRedeployCommand, newPromoteCommand, newRollbackCommand, newRemoveCommand,
		newListCommand, newInspectCommand, newFunctionsCommand, newLogsCommand, of(account.Audit), newOpenCommand,
		newProjectCommand, newEnvCommand, newAliasCommand, of(account.Token), of(account.Teams), of(account.Members),
		newCompletionCommand, newVersionCommand,
	} {
		command.Adopt(root, make(s))
	}
	root.SetArgs(s.Args)
	root.SetIn(s.Stdin)
	root.SetOut(s.Stdout)
	root.SetErr(s.Stderr)
	root.SetGlobalNormalizationFunc(flagAliases)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		fault := command.ErrUsage.With("%s", flagFault(err))
		if meant := flagMeant(c, err); meant != "" {
			return fault.WithHint("did you mean `%s %s`?", c.CommandPath(), meant)
		}
		return fault
	})
	root.SetHelpFunc(func(c *cobra.Command, _ []string) { s.Term.Print(helpText(c, s.Term.AnswerWidth())) })
	helper := newHelpCommand(root)
	command.Adopt(root, helper)
	root.SetHelpCommand(helper)
	root.CompletionOptions.DisableDefaultCmd = true
	return root
}

// of makes a command of a group from the session of this package.
func of(create func(*command.Session) *cobra.Command) func(*session) *cobra.Command {
	return func(s *session) *cobra.Command { return create(s.Session) }
}

// flagAliases lets people say --name for --project.
func flagAliases(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	if name == "name" {
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

// flagMeant is the flag of a command that an unknown one looks like, or "".
func flagMeant(c *cobra.Command, err error) string {
	unknown, ok := err.(*pflag.NotExistError) //nolint:errorlint // as in flagFault
	if !ok || len(unknown.GetSpecifiedName()) == 1 {
		return ""
	}
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	if meant := command.Nearest(unknown.GetSpecifiedName(), names); meant != "" {
		return dashes(meant)
	}
	return ""
}

// checkDirectory refuses to act in a directory that is not there.
func (s *session) checkDirectory() error {
	dir, err := s.Path("")
	if err != nil || s.Flags.CWD == "" {
		return err
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return command.ErrUsage.With("there is no directory %s", s.Flags.CWD).WithHint("--cwd takes a directory to act in")
	}
	return nil
}

func dashes(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// projectFlag gives a command the flag that names a project.
func (s *session) projectFlag(c *cobra.Command) {
	c.Flags().StringVarP(&s.Flags.Project, "project", "p", "", "`name` or id of the project; default: the one this directory is linked to")
	_ = c.RegisterFlagCompletionFunc("project", s.completeProjects) // fails for unknown flags only
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
				return command.ErrUsage.With("there is no command `lateen %s`", strings.Join(args, " ")).WithHint("`lateen --help` lists what there is")
			}
			return c.Help()
		},
	}
}

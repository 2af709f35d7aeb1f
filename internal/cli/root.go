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
	"github.com/lateen-dev/lateen/internal/cli/deploy"
	"github.com/lateen-dev/lateen/internal/cli/inspect"
	"github.com/lateen-dev/lateen/internal/cli/platform"
	"github.com/lateen-dev/lateen/internal/cli/settings"
)

// elsewhere maps commands that lateen lacks, of the vercel CLI and of operators, to their
// replacements.
var elsewhere = map[string]string{
	"build":       "build with the framework's adapter or `npx vercel build`, then `lateen deploy`",
	"develop":     "start the development server of the framework, as with `npm run dev`",
	"dev":         "start the development server of the framework, as with `npm run dev`",
	"start":       "start a platform on this machine with `lateen up`",
	"serve":       "start a platform on this machine with `lateen up`",
	"stop":        "stop the platform with Ctrl-C where `lateen up` runs, or with its service manager",
	"down":        "stop the platform with Ctrl-C where `lateen up` runs, or with its service manager",
	"restart":     "restart the platform with `lateen reload`, or with its service manager",
	"upgrade":     "replace the program, then run `lateen reload`",
	"status":      "check the host with `lateen doctor`; GET /healthz answers while the platform serves",
	"health":      "check the host with `lateen doctor`; GET /healthz answers while the platform serves",
	"metrics":     "read GET /metrics with a token of `lateen token add NAME --scope metrics`",
	"restore":     "start a backup with `lateen up --data DIR`; see docs/how-to/backup.md",
	"users":       "list the members of a team with `lateen members ls`",
	"invite":      "invite a person with `lateen members invite`",
	"deployments": "list deployments with `lateen ls`",
	"domains":     "point a host at a deployment with `lateen alias set`",
	"domain":      "point a host at a deployment with `lateen alias set`",
	"certs":       "point a host at a deployment with `lateen alias set`",
	"pull":        "write the variables of an environment to a file with `lateen env pull`",
	"init":        "link the directory of an application with `lateen link`",
	"curl":        "list the URLs of deployments with `lateen ls`, then use curl",
	"secrets":     "add variables with `lateen env add`",
	"secret":      "add variables with `lateen env add`",
	"switch":      "choose the team of later commands with `lateen teams switch`",
	"activity":    "show the audit log with `lateen audit`",
}

// newRootCommand returns the command `lateen`, whose commands run in a session.
func newRootCommand(s *command.Session, state State) *cobra.Command {
	root := &cobra.Command{
		Use:   "lateen",
		Short: "A self-hosted frontend cloud in one binary",
		Long: "Lateen is a self-hosted frontend cloud in one binary: it deploys the build output\n" +
			"of your framework, serves static files and runs functions on demand.",
		Example: "lateen up            # start a platform on this machine\n" +
			"lateen link          # link the directory of an app to a project\n" +
			"npx vercel build     # or build with the framework's adapter for Vercel\n" +
			"lateen deploy        # deploy and print the URL",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	command.Family(root)
	known := root.Args
	root.Args = func(c *cobra.Command, args []string) error {
		err := known(c, args)
		unknown, ok := errors.AsType[*lateen.Error](err)
		switch {
		case !ok:
		case elsewhere[args[0]] != "":
			return unknown.WithHint("%s", elsewhere[args[0]])
		case strings.HasPrefix(args[0], ".") || strings.Contains(args[0], "/"): // `vercel ./site` deploys
			return unknown.WithHint("deploy a directory with `lateen deploy %s`", args[0])
		}
		return err
	}
	version := false
	help := root.RunE
	root.Flags().BoolVarP(&version, "version", "v", false, "print the version")
	root.RunE = func(c *cobra.Command, args []string) error {
		if version {
			return tellVersion(s)
		}
		return help(c, args)
	}
	root.PersistentPreRunE = func(*cobra.Command, []string) error { return checkDirectory(s) }
	root.AddGroup(
		&cobra.Group{ID: command.Platform, Title: "Platform"},
		&cobra.Group{ID: command.Deploy, Title: "Deploy"},
		&cobra.Group{ID: command.Look, Title: "Inspect"},
		&cobra.Group{ID: command.Settings, Title: "Settings"},
	)
	for _, k := range s.Flags.Client.Keys() {
		root.PersistentFlags().Var(k.Value, k.Name, fmt.Sprintf("%s (%s)", k.Usage, k.Env))
		if k.Name == "team" { // which the vercel CLI calls scope; a command may have a scope of its own
			root.PersistentFlags().VarPF(k.Value, "scope", "", k.Usage).Hidden = true
		}
	}
	root.PersistentFlags().SortFlags = false
	root.PersistentFlags().StringVar(&s.Flags.CWD, "cwd", "", "`directory` to run in (default: the working directory)")
	root.PersistentFlags().BoolVar(&s.Flags.JSON, "json", false, "print results and errors as JSON")
	command.Adopt(
		root,
		platform.Up(s, state.Daemon), platform.Reload(s, state.Daemon), platform.Backup(s, state.Daemon), platform.Doctor(s, state.Daemon), platform.Debug(s),
		account.Login(s), account.Logout(s), account.Whoami(s),
		deploy.Link(s), deploy.Deploy(s), deploy.Redeploy(s), deploy.Promote(s), deploy.Rollback(s), deploy.Remove(s),
		inspect.List(s), inspect.Inspect(s), inspect.Functions(s), inspect.Usage(s), inspect.Logs(s), account.Audit(s), inspect.Open(s, state.Open),
		settings.Project(s), settings.Env(s), settings.Alias(s), settings.Cache(s), account.Token(s), account.Teams(s), account.Members(s),
		newCompletionCommand(s), newVersionCommand(s),
	)
	root.SetArgs(state.Args)
	root.SetOut(state.Stdout)
	root.SetErr(state.Stderr)
	root.SetGlobalNormalizationFunc(flagAliases)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		fault := command.ErrUsage.With("%s", flagFault(err))
		if deploys := deployFlag(root, c, err); deploys != "" {
			return fault.WithHint("did you mean `lateen deploy %s`?", deploys)
		}
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

// flagAliases accepts --name as an alias of --project.
func flagAliases(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	if name == "name" {
		name = "project"
	}
	return pflag.NormalizedName(name)
}

// flagFault describes the error of a flag in the wording of this package.
func flagFault(err error) string {
	if unknown, ok := err.(*pflag.NotExistError); ok { //nolint:errorlint // the library returns it bare
		return "unknown flag " + dashes(unknown.GetSpecifiedName())
	}
	text := err.Error()
	if _, after, ok := strings.Cut(text, `" flag: `); ok && strings.HasPrefix(text, "invalid argument") {
		name := text[strings.Index(text, `for "`)+len(`for "`):]
		name, _, _ = strings.Cut(name, `" flag`)
		value, _, _ := strings.Cut(strings.TrimPrefix(text, "invalid argument "), " for ")
		if strings.HasPrefix(after, "strconv.") {
			after = "not a whole number"
		}
		return fmt.Sprintf("%s %s is malformed: %s", name, value, after)
	}
	return text
}

// deployFlag returns an unknown flag of `lateen` that `lateen deploy` has, or "":
// `vercel --prod` deploys.
func deployFlag(root, c *cobra.Command, err error) string {
	unknown, ok := err.(*pflag.NotExistError) //nolint:errorlint // as in flagFault
	if !ok || c != root {
		return ""
	}
	deploy, _, _ := root.Find([]string{"deploy"}) // it exists
	switch name := unknown.GetSpecifiedName(); {
	case name == "production":
		return "--prod"
	case len(name) > 1 && deploy.Flags().Lookup(name) != nil, len(name) == 1 && deploy.Flags().ShorthandLookup(name) != nil:
		return dashes(name)
	}
	return ""
}

// flagMeant returns the flag of a command that is most similar to an unknown one, or "".
func flagMeant(c *cobra.Command, err error) string {
	unknown, ok := err.(*pflag.NotExistError) //nolint:errorlint // as in flagFault
	if !ok || len(unknown.GetSpecifiedName()) == 1 {
		return ""
	}
	if unknown.GetSpecifiedName() == "production" && c.Flags().Lookup("prod") != nil {
		return dashes("prod")
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

// checkDirectory returns an error if the directory of --cwd does not exist.
func checkDirectory(s *command.Session) error {
	dir, err := s.Path("")
	if err != nil || s.Flags.CWD == "" {
		return err
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return command.ErrUsage.With("directory %s not found", s.Flags.CWD).WithHint("set --cwd to an existing directory")
	}
	return nil
}

func dashes(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

func newHelpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [command]",
		Short: "Show the help of a command",
		Long:  "Shows the help of a command, like its flag --help.",
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
				return command.ErrUsage.With("unknown command `lateen %s`", strings.Join(args, " ")).WithHint("list all commands with `lateen --help`")
			}
			return c.Help()
		},
	}
}

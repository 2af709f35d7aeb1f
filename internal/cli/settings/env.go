package settings

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/terminal"
)

// Env returns the command `lateen env`.
func Env(with *command.Session) *cobra.Command {
	s := &session{with}
	c := &cobra.Command{
		Use:     "env",
		GroupID: command.Settings,
		Short:   "Manage environment variables",
		Long: "A variable belongs to one or more environments of a project: production, preview,\n" +
			"development, or a custom one. A deployment keeps the values of its creation: deploy\n" +
			"again for a change to take effect. Values are encrypted at rest.",
		Example: "lateen env ls\n" +
			"lateen env add API_KEY production < key.txt\n" +
			"lateen env pull",
	}
	command.Family(c)
	command.Adopt(c, newEnvListCommand(s), newEnvAddCommand(s), newEnvUpdateCommand(s), newEnvRemoveCommand(s), newEnvPullCommand(s))
	return c
}

func newEnvListCommand(s *session) *cobra.Command {
	var values bool
	c := &cobra.Command{
		Use:               "ls [environment]",
		Short:             "List variables",
		Long:              "Lists the variables of a project or of one environment, without their values.\n\n--values adds the values that the role of the user and the scope of the token may\nread; sensitive values are never shown. The audit log records each read.",
		Args:              command.Takes(0, 1, ""),
		ValidArgsFunction: command.CompleteTargets,
		RunE: func(c *cobra.Command, args []string) error {
			return s.listEnv(c.Context(), lateen.Environment(strings.Join(args, "")), values)
		},
	}
	c.Flags().BoolVar(&values, "values", false, "show values")
	s.ProjectFlag(c)
	return c
}

func (s *session) listEnv(ctx context.Context, target lateen.Environment, values bool) error {
	on, err := s.Here(ctx)
	if err != nil {
		return err
	}
	read := on.Client.EnvVars
	if values {
		read = on.Client.DecryptedEnvVars
	}
	vars, err := read(ctx, string(on.Project.ID), target)
	if err != nil {
		return err
	}
	if s.Flags.JSON {
		return s.Term.JSON(map[string]any{"envs": listedEnv(vars, values)})
	}
	if len(vars) == 0 {
		s.Term.Linef("%s has no variables%s. Add one with `lateen env add`.", on.Project.Name, in(target))
		return nil
	}
	slices.SortFunc(vars, func(a, b lateen.EnvVar) int { return strings.Compare(a.Key, b.Key) })
	columns := []terminal.Column{{Title: "name"}, {Title: "environments"}, {Title: "kind", Drop: 1}, {Title: "branch", Drop: 3}, {Title: "changed", Right: true, Drop: 2}}
	if values {
		columns = append(columns, terminal.Column{Title: "value"})
	}
	rows := make([][]string, 0, len(vars))
	for _, v := range vars {
		row := []string{terminal.Paint(terminal.Bold, v.Key), terminal.Clean(v.Environments()), v.Type, terminal.Clean(v.GitBranch), s.Age(v.UpdatedAt)}
		if values {
			row = append(row, terminal.Clean(v.Value))
		}
		rows = append(rows, row)
	}
	s.Term.Table(columns, rows)
	encrypted := slices.DeleteFunc(vars, func(v lateen.EnvVar) bool { return v.Type != lateen.EnvEncrypted })
	if values && len(encrypted) > 0 && !slices.ContainsFunc(encrypted, func(v lateen.EnvVar) bool { return v.Value != "" }) {
		s.Term.Warnf("Values of encrypted variables are hidden: reading them takes the role developer and a token of the scope full or project.")
	}
	return nil
}

// listedEnv returns variables for JSON output. The field of the value is present only
// on request, so that build logs contain no values.
func listedEnv(vars []lateen.EnvVar, values bool) []any {
	list := make([]any, 0, len(vars))
	for _, v := range vars {
		if values {
			list = append(list, v)
		} else {
			list = append(list, struct {
				lateen.EnvVar

				Value string `json:"value,omitempty"` // in place of that of the variable
			}{EnvVar: v})
		}
	}
	return list
}

func in(target lateen.Environment) string {
	if target == "" {
		return ""
	}
	return " in " + string(target)
}

// envFlags are the flags of the commands that add or change a variable.
type envFlags struct {
	value     string
	branch    string
	sensitive bool
	plain     bool
	force     bool
}

// kind returns the type of variable that the flags select; "" if they select none.
func (f *envFlags) kind() (string, error) {
	switch {
	case f.sensitive && f.plain:
		return "", command.ErrUsage.With("--sensitive and --plain are mutually exclusive")
	case f.sensitive:
		return lateen.EnvSensitive, nil
	case f.plain:
		return lateen.EnvPlain, nil
	}
	return "", nil
}

func (s *session) envFlags(c *cobra.Command, f *envFlags) {
	c.Flags().StringVar(&f.value, "value", "", "`value` of the variable (visible in the history of the shell)")
	c.Flags().StringVar(&f.branch, "git-branch", "", "Git `branch` of the previews that get the variable")
	c.Flags().BoolVar(&f.sensitive, "sensitive", false, "make the value readable by deployments only")
	c.Flags().BoolVar(&f.plain, "plain", false, "make the value readable by all members of the team")
	s.ProjectFlag(c)
}

func newEnvAddCommand(s *session) *cobra.Command {
	var f envFlags
	c := &cobra.Command{
		Use:        "add <name> [environment]…",
		SuggestFor: []string{"set", "create", "new"},
		Short:      "Add a variable",
		Long: "Adds a variable to environments of a project: by default to production, preview and\n" +
			"development. The value is read from --value, standard input or a prompt.",
		Example: "lateen env add API_KEY production < key.txt\n" +
			"lateen env add LOG_LEVEL --value debug --plain\n" +
			"lateen env add DATABASE_URL preview --git-branch next --sensitive",
		Args:              command.Takes(1, -1, "the name of the variable"),
		ValidArgsFunction: completeAfterFirst(command.CompleteTargets),
		RunE: func(c *cobra.Command, args []string) error {
			return s.addEnv(c.Context(), args[0], args[1:], &f, c.Flags().Changed("value"))
		},
	}
	c.Flags().BoolVar(&f.force, "force", false, "replace an existing variable")
	s.envFlags(c, &f)
	return c
}

func (s *session) addEnv(ctx context.Context, key string, names []string, f *envFlags, given bool) error {
	kind, err := f.kind()
	if err != nil {
		return err
	}
	v := lateen.EnvVar{Key: key, Type: cmp.Or(kind, lateen.EnvEncrypted), GitBranch: f.branch}
	for _, name := range names {
		if meant := misspelled(lateen.Environment(name)); meant != "" {
			return command.ErrUsage.With("environment %q looks like %s", name, meant).WithHint("use %s, or a custom environment with a less similar name", meant)
		}
		v.Target = append(v.Target, lateen.Environment(name))
	}
	on, err := s.Here(ctx)
	if err != nil {
		return err
	}
	if len(v.Target) == 0 {
		v.Target = defaultTargets(kind, f.branch)
	}
	if err := v.Validate(); err != nil { // before the user types a secret for nothing
		return err
	}
	if v.Value, err = s.envValue(ctx, key, f.value, given); err != nil {
		return err
	}
	added, err := on.Client.AddEnv(ctx, string(on.Project.ID), v, f.force)
	if err != nil {
		return err
	}
	return s.changedEnv(added, v.Value, "Added", on)
}

// misspelled returns the predefined environment that a name is a likely misspelling
// of, or "". A custom environment called dev is common, one called prod is not.
func misspelled(target lateen.Environment) lateen.Environment {
	const near = 2
	if target == "prod" {
		return lateen.Production
	}
	for _, known := range defaultTargets("", "") {
		if n := command.Edits(string(target), string(known)); n > 0 && n <= near {
			return known
		}
	}
	return ""
}

// defaultTargets are the environments of a variable that names none.
func defaultTargets(kind, branch string) []lateen.Environment {
	switch {
	case branch != "":
		return []lateen.Environment{lateen.Preview}
	case kind == lateen.EnvSensitive:
		return []lateen.Environment{lateen.Production, lateen.Preview}
	}
	return []lateen.Environment{lateen.Production, lateen.Preview, lateen.Development}
}

// envValue returns the value of the flag, or reads it from a prompt or standard input.
func (s *session) envValue(ctx context.Context, key, value string, given bool) (string, error) {
	if given {
		return value, nil
	}
	value, err := s.ReadSecret(ctx, "Value of "+key+":")
	if err == nil && value == "" {
		return "", command.ErrUsage.With("value of %s missing", key).WithHint("pass --value VALUE; use --value '' for an empty value")
	}
	return value, err
}

// changedEnv reports a change to a variable, whose new value is given.
func (s *session) changedEnv(v *lateen.EnvVar, value, verb string, on *command.Site) error {
	if s.Flags.JSON {
		return s.Term.JSON(listedEnv([]lateen.EnvVar{*v}, false)[0])
	}
	s.Term.Donef("%s %s in %s of %s", verb, terminal.Paint(terminal.Bold, v.Key), terminal.Clean(v.Environments()), on.Project.Name)
	s.Term.Linef("%s", terminal.Paint(terminal.Dim, "New deployments use the new value. Existing deployments keep the old one."))
	for _, target := range v.Target {
		if !slices.Contains(defaultTargets("", ""), target) {
			name := terminal.Clean(string(target))
			s.Term.Warnf("%s is a custom environment: only deployments of `lateen deploy --target %s` get the variable.", name, name)
		}
	}
	s.warnOfEnv(v.Key, value)
	return nil
}

// warnOfEnv warns of a variable that has no effect or changes the process of functions.
func (s *session) warnOfEnv(key, value string) {
	switch {
	case lateen.SystemEnv(key):
		s.Term.Warnf("%s is a system variable: the value that the platform sets takes precedence over this one.", key)
	case key == "NODE_ENV" && value != "production":
		s.Term.Warnf("NODE_ENV replaces the value production, which frameworks expect in deployments.")
	case slices.Contains([]string{"PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "LD_PRELOAD"}, key):
		s.Term.Warnf("%s replaces the value that the platform sets for functions, which may then fail to start.", key)
	}
}

// findEnv returns the variable with the name key in target, or the only one with that
// name.
func findEnv(ctx context.Context, on *command.Site, key string, target lateen.Environment, branch string) (*lateen.EnvVar, error) {
	vars, err := on.Client.EnvVars(ctx, string(on.Project.ID), target)
	if err != nil {
		return nil, err
	}
	vars = slices.DeleteFunc(vars, func(v lateen.EnvVar) bool {
		return v.Key != key || target != "" && !slices.Contains(v.Target, target) || branch != "" && v.GitBranch != branch
	})
	switch len(vars) {
	case 0:
		return nil, lateen.ErrEnvNotFound.With("%s has no variable %s%s", on.Project.Name, key, in(target))
	case 1:
		return &vars[0], nil
	}
	var places []string
	for _, v := range vars {
		place := v.Environments()
		if v.GitBranch != "" {
			place += " of branch " + v.GitBranch
		}
		places = append(places, place)
	}
	return nil, command.ErrUsage.With("variable %s is ambiguous: it exists in %s", key, strings.Join(places, "; in ")).WithHint("add the environment as the second argument, or --git-branch")
}

func newEnvUpdateCommand(s *session) *cobra.Command {
	var f envFlags
	c := &cobra.Command{
		Use:               "update <name> [environment]",
		Short:             "Set the value of a variable",
		Long:              "Changes the value of a variable, and whether it is sensitive. If several variables\nof the name exist, the environment selects one.",
		Example:           "lateen env update API_KEY production < key.txt",
		Args:              command.Takes(1, 2, "the name of the variable"),
		ValidArgsFunction: s.completeEnv,
		RunE: func(c *cobra.Command, args []string) error {
			return s.updateEnv(c.Context(), args[0], lateen.Environment(strings.Join(args[1:], "")), &f, c.Flags().Changed("value"))
		},
	}
	s.envFlags(c, &f)
	return c
}

func (s *session) updateEnv(ctx context.Context, key string, target lateen.Environment, f *envFlags, given bool) error {
	kind, err := f.kind()
	if err != nil {
		return err
	}
	on, err := s.Here(ctx)
	if err != nil {
		return err
	}
	v, err := findEnv(ctx, on, key, target, f.branch)
	if err != nil {
		return err
	}
	value, err := s.envValue(ctx, key, f.value, given)
	if err != nil {
		return err
	}
	change := client.EnvChange{Value: &value}
	if kind != "" {
		change.Type = &kind
	}
	changed, err := on.Client.UpdateEnv(ctx, string(on.Project.ID), v.ID, change)
	if err != nil {
		return err
	}
	return s.changedEnv(changed, value, "Changed", on)
}

func newEnvRemoveCommand(s *session) *cobra.Command {
	var yes bool
	var branch string
	c := &cobra.Command{
		Use:               "rm <name> [environment]",
		Aliases:           []string{"remove"},
		Short:             "Remove a variable",
		Long:              "Removes a variable from all its environments. If several variables of the name\nexist, the environment selects one.",
		Args:              command.Takes(1, 2, "the name of the variable"),
		ValidArgsFunction: s.completeEnv,
		RunE: func(c *cobra.Command, args []string) error {
			on, err := s.Here(c.Context())
			if err != nil {
				return err
			}
			v, err := findEnv(c.Context(), on, args[0], lateen.Environment(strings.Join(args[1:], "")), branch)
			if err != nil {
				return err
			}
			where := terminal.Clean(v.Environments())
			return s.Remove(c.Context(), yes, command.Removal{
				Question: fmt.Sprintf("Remove %s from %s of %s?", terminal.Paint(terminal.Bold, v.Key), where, on.Project.Name),
				Remove:   func(ctx context.Context) error { return on.Client.RemoveEnv(ctx, string(on.Project.ID), v.ID) },
				Done:     "Removed " + v.Key + " from " + where,
			})
		},
	}
	c.Flags().StringVar(&branch, "git-branch", "", "Git `branch` of the variable to remove")
	command.YesFlag(c, &yes)
	s.ProjectFlag(c)
	return c
}

// completeAfterFirst completes every argument but the first.
func completeAfterFirst(complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return nil, command.NoFiles
		}
		return complete(c, args, prefix)
	}
}

// completeEnv completes a variable, then one of its environments.
func (s *session) completeEnv(c *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return command.CompleteTargets(c, args, prefix)
	}
	return s.Complete(c, prefix, func(ctx context.Context, _ *client.Client) ([]string, error) {
		on, err := s.Here(ctx)
		if err != nil {
			return nil, err
		}
		vars, err := on.Client.EnvVars(ctx, string(on.Project.ID), "")
		if err != nil {
			return nil, err
		}
		var names []string
		for _, v := range vars {
			names = append(names, v.Key+"\t"+v.Environments())
		}
		return names, nil
	})
}

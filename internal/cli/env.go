package cli

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

func newEnvCommand(s *session) *cobra.Command {
	c := &cobra.Command{
		Use:     "env",
		GroupID: command.Settings,
		Short:   "Keep environment variables",
		Long: "Variables belong to a project and to some of its environments: production, preview,\n" +
			"development, or one of your own. A deployment keeps the values it was made with:\n" +
			"deploy again for a change to take effect. Values are sealed where they are kept.",
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
		Long:              "Lists the variables of a project, those of one environment if you name it. Values\nare not shown, with --json neither, except that --values shows those that your role\nand the scope of the token allow; no role reads sensitive ones. The audit log keeps\nthat they were read.",
		Args:              command.Takes(0, 1, ""),
		ValidArgsFunction: completeTargets,
		RunE: func(c *cobra.Command, args []string) error {
			return s.listEnv(c.Context(), strings.Join(args, ""), values)
		},
	}
	c.Flags().BoolVar(&values, "values", false, "show the values that can be read")
	s.projectFlag(c)
	return c
}

func (s *session) listEnv(ctx context.Context, target string, values bool) error {
	on, err := s.here(ctx)
	if err != nil {
		return err
	}
	read := on.client.EnvVars
	if values {
		read = on.client.DecryptedEnvVars
	}
	vars, err := read(ctx, string(on.project.ID), target)
	if err != nil {
		return err
	}
	if s.Flags.JSON {
		return s.Term.JSON(map[string]any{"envs": listedEnv(vars, values)})
	}
	if len(vars) == 0 {
		s.Term.Linef("%s has no variables%s: `lateen env add` adds one.", on.project.Name, in(target))
		return nil
	}
	slices.SortFunc(vars, func(a, b lateen.EnvVar) int { return strings.Compare(a.Key, b.Key) })
	columns := []terminal.Column{{Title: "name"}, {Title: "environments"}, {Title: "kind", Drop: 1}, {Title: "branch", Drop: 3}, {Title: "changed", Right: true, Drop: 2}}
	if values {
		columns = append(columns, terminal.Column{Title: "value"})
	}
	rows := make([][]string, 0, len(vars))
	for _, v := range vars {
		row := []string{terminal.Paint(terminal.Bold, v.Key), terminal.Clean(strings.Join(v.Target, ", ")), v.Type, terminal.Clean(v.GitBranch), s.Age(v.UpdatedAt)}
		if values {
			row = append(row, terminal.Clean(v.Value))
		}
		rows = append(rows, row)
	}
	s.Term.Table(columns, rows)
	encrypted := slices.DeleteFunc(vars, func(v lateen.EnvVar) bool { return v.Type != lateen.EnvEncrypted })
	if values && len(encrypted) > 0 && !slices.ContainsFunc(encrypted, func(v lateen.EnvVar) bool { return v.Value != "" }) {
		s.Term.Warnf("No value of an encrypted variable came: that takes the role developer, and a token of the scope full or project.")
	}
	return nil
}

// listedEnv is variables as JSON shows them: without a field for the value
// unless that is asked for, so that no log of a build holds one.
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

func in(target string) string {
	if target == "" {
		return ""
	}
	return " in " + target
}

// envFlags say how to add or change a variable.
type envFlags struct {
	value     string
	branch    string
	sensitive bool
	plain     bool
	force     bool
}

// kind is the type of variable that flags ask for; "" where they say nothing.
func (f *envFlags) kind() (string, error) {
	switch {
	case f.sensitive && f.plain:
		return "", command.ErrUsage.With("--sensitive and --plain contradict each other")
	case f.sensitive:
		return lateen.EnvSensitive, nil
	case f.plain:
		return lateen.EnvPlain, nil
	}
	return "", nil
}

func (s *session) envFlags(c *cobra.Command, f *envFlags) {
	c.Flags().StringVar(&f.value, "value", "", "the `value`; others can see it in your shell's history")
	c.Flags().StringVar(&f.branch, "git-branch", "", "of previews of one Git `branch` alone")
	c.Flags().BoolVar(&f.sensitive, "sensitive", false, "the value cannot be read again, except by deployments")
	c.Flags().BoolVar(&f.plain, "plain", false, "the value is no secret")
	s.projectFlag(c)
}

func newEnvAddCommand(s *session) *cobra.Command {
	var f envFlags
	c := &cobra.Command{
		Use:        "add <name> [environment]…",
		SuggestFor: []string{"set", "create", "new"},
		Short:      "Add a variable",
		Long: "Adds a variable to environments of a project: to production, preview and development\n" +
			"unless you name others. The value comes from --value, from standard input, or you\n" +
			"are asked for it.",
		Example: "lateen env add API_KEY production < key.txt\n" +
			"lateen env add LOG_LEVEL --value debug --plain\n" +
			"lateen env add DATABASE_URL preview --git-branch next --sensitive",
		Args:              command.Takes(1, -1, "how it is called"),
		ValidArgsFunction: completeAfterFirst(completeTargets),
		RunE: func(c *cobra.Command, args []string) error {
			return s.addEnv(c.Context(), args[0], args[1:], &f, c.Flags().Changed("value"))
		},
	}
	c.Flags().BoolVar(&f.force, "force", false, "take the place of a variable that is there")
	s.envFlags(c, &f)
	return c
}

func (s *session) addEnv(ctx context.Context, key string, targets []string, f *envFlags, given bool) error {
	kind, err := f.kind()
	if err != nil {
		return err
	}
	for _, target := range targets {
		if meant := misspelled(target); meant != "" {
			return command.ErrUsage.With("%q looks like a misspelled %s", target, meant).WithHint("say %s; an environment of your own needs a name less like it", meant)
		}
	}
	on, err := s.here(ctx)
	if err != nil {
		return err
	}
	if len(targets) == 0 {
		targets = defaultTargets(kind, f.branch)
	}
	v := lateen.EnvVar{Key: key, Type: cmp.Or(kind, lateen.EnvEncrypted), Target: targets, GitBranch: f.branch}
	if err := v.Validate(); err != nil { // before somebody types a secret in vain
		return err
	}
	if v.Value, err = s.envValue(ctx, key, f.value, given); err != nil {
		return err
	}
	added, err := on.client.AddEnv(ctx, string(on.project.ID), v, f.force)
	if err != nil {
		return err
	}
	return s.changedEnv(added, "Added", on)
}

// misspelled returns the environment of every project that a name looks like
// without being it; "" if there is none.
func misspelled(target string) string {
	const near = 2
	for _, known := range defaultTargets("", "") {
		if n := command.Edits(target, known); n > 0 && n <= near {
			return known
		}
	}
	return ""
}

// defaultTargets are the environments of a variable that names none.
func defaultTargets(kind, branch string) []string {
	switch {
	case branch != "":
		return []string{lateen.Preview}
	case kind == lateen.EnvSensitive:
		return []string{lateen.Production, lateen.Preview}
	}
	return []string{lateen.Production, lateen.Preview, lateen.Development}
}

// envValue returns the value that was given, or asks for it.
func (s *session) envValue(ctx context.Context, key, value string, given bool) (string, error) {
	if given {
		return value, nil
	}
	value, err := s.ReadSecret(ctx, "Value of "+key+":")
	if err == nil && value == "" {
		return "", command.ErrUsage.With("no value of %s was given", key).WithHint("say --value '' for an empty one")
	}
	return value, err
}

func (s *session) changedEnv(v *lateen.EnvVar, verb string, on *site) error {
	if s.Flags.JSON {
		return s.Term.JSON(listedEnv([]lateen.EnvVar{*v}, false)[0])
	}
	s.Term.Donef("%s %s in %s of %s", verb, terminal.Paint(terminal.Bold, v.Key), terminal.Clean(strings.Join(v.Target, ", ")), on.project.Name)
	s.Term.Linef("%s", terminal.Paint(terminal.Dim, "New deployments have it; those there are keep what they have."))
	for _, target := range v.Target {
		if !slices.Contains(defaultTargets("", ""), target) {
			name := terminal.Clean(target)
			s.Term.Warnf("%s is an environment of your own: `lateen deploy --target %s` has it, production and previews do not.", name, name)
		}
	}
	return nil
}

// findEnv returns the variable called key that is in target, or the only one
// of that name.
func findEnv(ctx context.Context, on *site, key, target, branch string) (*lateen.EnvVar, error) {
	vars, err := on.client.EnvVars(ctx, string(on.project.ID), target)
	if err != nil {
		return nil, err
	}
	vars = slices.DeleteFunc(vars, func(v lateen.EnvVar) bool {
		return v.Key != key || target != "" && !slices.Contains(v.Target, target) || branch != "" && v.GitBranch != branch
	})
	switch len(vars) {
	case 0:
		return nil, lateen.ErrEnvNotFound.With("%s has no variable %s%s", on.project.Name, key, in(target))
	case 1:
		return &vars[0], nil
	}
	var places []string
	for _, v := range vars {
		place := strings.Join(v.Target, ", ")
		if v.GitBranch != "" {
			place += " of the branch " + v.GitBranch
		}
		places = append(places, place)
	}
	return nil, command.ErrUsage.With("%s is there several times: in %s", key, strings.Join(places, "; in ")).WithHint("name the environment after it, or --git-branch")
}

func newEnvUpdateCommand(s *session) *cobra.Command {
	var f envFlags
	c := &cobra.Command{
		Use:               "update <name> [environment]",
		Short:             "Change the value of a variable",
		Long:              "Changes the value of a variable, and whether it is sensitive. Where it is there for\nseveral environments apart, name the one that is meant.",
		Example:           "lateen env update API_KEY production < key.txt",
		Args:              command.Takes(1, 2, "which variable"),
		ValidArgsFunction: s.completeEnv,
		RunE: func(c *cobra.Command, args []string) error {
			return s.updateEnv(c.Context(), args[0], strings.Join(args[1:], ""), &f, c.Flags().Changed("value"))
		},
	}
	s.envFlags(c, &f)
	return c
}

func (s *session) updateEnv(ctx context.Context, key, target string, f *envFlags, given bool) error {
	kind, err := f.kind()
	if err != nil {
		return err
	}
	on, err := s.here(ctx)
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
	changed, err := on.client.UpdateEnv(ctx, string(on.project.ID), v.ID, change)
	if err != nil {
		return err
	}
	return s.changedEnv(changed, "Changed", on)
}

func newEnvRemoveCommand(s *session) *cobra.Command {
	var yes bool
	var branch string
	c := &cobra.Command{
		Use:               "rm <name> [environment]",
		Aliases:           []string{"remove"},
		Short:             "Remove a variable",
		Long:              "Removes a variable from all its environments. Where it is there for several apart,\nname the one that is meant.",
		Args:              command.Takes(1, 2, "which variable"),
		ValidArgsFunction: s.completeEnv,
		RunE: func(c *cobra.Command, args []string) error {
			on, err := s.here(c.Context())
			if err != nil {
				return err
			}
			v, err := findEnv(c.Context(), on, args[0], strings.Join(args[1:], ""), branch)
			if err != nil {
				return err
			}
			where := terminal.Clean(strings.Join(v.Target, ", "))
			if err := s.Confirm(c.Context(), yes, fmt.Sprintf("Remove %s from %s of %s?", terminal.Paint(terminal.Bold, v.Key), where, on.project.Name)); err != nil {
				return err
			}
			if err := on.client.RemoveEnv(c.Context(), string(on.project.ID), v.ID); err != nil {
				return err
			}
			s.Term.Donef("Removed %s from %s", v.Key, where)
			return nil
		},
	}
	c.Flags().StringVar(&branch, "git-branch", "", "of previews of one Git `branch` alone")
	command.YesFlag(c, &yes)
	s.projectFlag(c)
	return c
}

package settings

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/atomicfile"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/terminal"
)

const envFileHead = "# Created by Lateen CLI\n"

func newEnvPullCommand(s *session) *cobra.Command {
	target := lateen.Development
	var branch string
	var yes bool
	c := &cobra.Command{
		Use:   "pull [file]",
		Short: "Write variables to a file",
		Long: "Writes the variables of an environment to a dotenv file, by default to .env.local.\n" +
			"The file name - stands for standard output. Sensitive variables are left out.",
		Example: "lateen env pull\nlateen env pull .env.production --target production",
		Args:    command.Takes(0, 1, ""),
		RunE: func(c *cobra.Command, args []string) error {
			file := ".env.local"
			if len(args) > 0 {
				file = args[0]
			}
			return s.pullEnv(c.Context(), file, target, branch, yes)
		},
	}
	c.Flags().StringVar((*string)(&target), "target", string(target), "`environment` of the variables")
	c.Flags().StringVar(&branch, "git-branch", "", "include the variables of one Git `branch`")
	command.YesFlag(c, &yes)
	s.ProjectFlag(c)
	_ = c.RegisterFlagCompletionFunc("target", command.CompleteTargets) // fails for unknown flags only
	return c
}

func (s *session) pullEnv(ctx context.Context, name string, target lateen.Environment, branch string, yes bool) error {
	on, err := s.Here(ctx)
	if err != nil {
		return err
	}
	values, err := on.Client.PullEnv(ctx, string(on.Project.ID), target, branch)
	if err != nil {
		return err
	}
	sensitive, err := s.sensitive(ctx, on, target, values)
	if err != nil {
		return err
	}
	text := envFile(values)
	switch {
	case s.Flags.JSON:
		return s.Term.JSON(map[string]any{"target": target, "env": values, "sensitive": sensitive})
	case name == "-":
		s.Term.Raw(text)
		return nil
	}
	file, err := s.Path(name)
	if err != nil {
		return err
	}
	if err := s.mayReplace(ctx, file, yes); err != nil {
		return err
	}
	if err := atomicfile.Write(file, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := command.Ignore(filepath.Dir(file), filepath.Base(file)); err != nil {
		return err
	}
	s.Term.Donef("Wrote %s of %s to %s", terminal.Count(len(values), "variable"), target, terminal.Paint(terminal.Bold, name))
	if len(sensitive) > 0 {
		s.Term.Warnf("%s sensitive and left out.", isOrAre(sensitive))
	}
	return nil
}

func isOrAre(names []string) string {
	if len(names) == 1 {
		return names[0] + " is"
	}
	return strings.Join(names, ", ") + " are"
}

// sensitive removes the variables with unreadable values from values and returns their
// names.
func (s *session) sensitive(ctx context.Context, on *command.Site, target lateen.Environment, values map[string]string) ([]string, error) {
	vars, err := on.Client.EnvVars(ctx, string(on.Project.ID), target)
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, v := range vars {
		if value, there := values[v.Key]; there && value == "" && v.Type == lateen.EnvSensitive {
			delete(values, v.Key)
			names = append(names, v.Key)
		}
	}
	return names, nil
}

// mayReplace asks for confirmation before it overwrites a file of another origin.
func (s *session) mayReplace(ctx context.Context, file string, yes bool) error {
	old, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	if strings.HasPrefix(string(old), envFileHead) || strings.HasPrefix(string(old), "# Created by Vercel CLI") {
		return nil
	}
	return s.Confirm(ctx, yes, fmt.Sprintf("%s was not written by this command. Overwrite it?", terminal.Paint(terminal.Bold, filepath.Base(file))))
}

// envFile formats variables for dotenv.
func envFile(values map[string]string) string {
	var b strings.Builder
	b.WriteString(envFileHead)
	for _, key := range slices.Sorted(maps.Keys(values)) {
		b.WriteString(key + "=" + envQuote(values[key]) + "\n")
	}
	return b.String()
}

// envQuote quotes a value so that dotenv reads it unchanged. dotenv expands only escapes
// of line breaks in double quotes, and reads text in single quotes or backticks
// literally.
func envQuote(value string) string {
	broken := strings.ContainsAny(value, "\n\r")
	switch {
	case !strings.ContainsAny(value, "\"\\$") && !broken:
		return `"` + value + `"`
	case !strings.Contains(value, "'") && !broken:
		return "'" + value + "'"
	case !strings.Contains(value, "'"):
		return "'" + value + "'" // line breaks are literal there
	case !strings.Contains(value, "`"):
		return "`" + value + "`"
	}
	return `"` + strings.NewReplacer("\n", `\n`, "\r", `\r`, `"`, `\"`).Replace(value) + `"`
}

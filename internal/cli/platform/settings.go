package platform

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/config"
)

// settle gives a command a flag for each setting of the platform and runs it with these
// settings.
func (s *session) settle(c *cobra.Command, run func(context.Context, *config.Config) error) {
	settingsFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		settings, err := s.platformSettings(c)
		if err != nil {
			return err
		}
		return run(c.Context(), settings)
	}
}

// settingsFlags gives a command a flag for each setting of the platform, or for
// those that are named.
func settingsFlags(c *cobra.Command, only ...string) {
	defaults := config.Default(func(string) string { return "" })
	for _, k := range defaults.Keys() {
		if len(only) > 0 && !slices.Contains(only, k.Name) {
			continue
		}
		f := c.Flags().VarPF(k.Value, k.Name, "", k.Usage)
		switch {
		case k.Value.Type() == "bool":
			f.NoOptDefVal = "true"
		case k.Name == "data":
			f.DefValue = "/var/lib/lateen for root, ~/.local/share/lateen for others"
		}
	}
}

// platformSettings returns the settings of the platform: flags override the environment,
// which overrides the defaults.
func (s *session) platformSettings(c *cobra.Command) (*config.Config, error) {
	s.WarnOfUnknown()
	settings, err := config.Load(s.Getenv)
	if err != nil {
		return nil, err
	}
	for _, k := range settings.Keys() {
		if f := c.Flags().Lookup(k.Name); f != nil && f.Changed {
			if err := k.Value.Set(f.Value.String()); err != nil {
				return nil, command.ErrUsage.With("--%s %q is malformed: %s", k.Name, f.Value, err)
			}
		}
	}
	if settings.Data == "" { // it would be the working directory
		return nil, command.ErrUsage.With("no data directory is set, and there is no default without HOME").
			WithHint("name it with --data or LATEEN_DATA")
	}
	return settings, nil
}

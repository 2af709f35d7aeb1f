package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen/internal/cli/command"
)

func newReloadCommand(s *session) *cobra.Command {
	c := &cobra.Command{
		Use:     "reload",
		GroupID: command.Platform,
		Short:   "Restart the platform's program in place, without a refused request",
		Long: "Has the platform of a data directory execute its program anew, in the same process\n" +
			"with the same settings: an upgraded one takes over. Clients are served until the\n" +
			"requests in flight have ended; new connections then wait for the new program. One\n" +
			"that does not run changes nothing. Returns once it has taken over.",
		Example: "lateen reload\nlateen reload --data /var/lib/lateen",
		Args:    command.Takes(0, 0, ""),
	}
	settingsFlags(c, "data")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if s.Reload == nil {
			return errNoPlatform
		}
		settings, err := s.platformSettings(c)
		if err == nil {
			settings.Data, err = s.Path(settings.Data)
		}
		began := s.Now()
		if err == nil {
			err = s.Reload(c.Context(), settings.Data)
		}
		if err != nil {
			return err
		}
		s.Term.Donef("The platform on %s has been reloaded, in %s", settings.Data, s.Now().Sub(began).Round(10*time.Millisecond))
		return nil
	}
	return c
}

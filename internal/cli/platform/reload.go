package platform

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen/internal/cli/command"
)

// Reload returns the command `lateen reload`.
func Reload(with *command.Session, daemon Daemon) *cobra.Command {
	s := &session{Session: with, daemon: daemon}
	c := &cobra.Command{
		Use:     "reload",
		GroupID: command.Platform,
		Short:   "Restart or upgrade the platform without dropping connections",
		Long: "Restarts the platform of a data directory without closing its listeners: the process\n" +
			"executes the program again, with the same settings and the new version after an\n" +
			"upgrade. Requests in flight are drained first; new connections wait for the new\n" +
			"program. If the new program fails to start, the old one continues. The command\n" +
			"returns when the new program serves.",
		Example: "lateen reload\nlateen reload --data /var/lib/lateen",
		Args:    command.Takes(0, 0, ""),
	}
	settingsFlags(c, "data")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if s.daemon.Reload == nil {
			return errNoPlatform
		}
		settings, err := s.platformSettings(c)
		if err == nil {
			settings.Data, err = s.Path(settings.Data)
		}
		began := s.Time()
		if err == nil {
			err = s.daemon.Reload(c.Context(), settings.Data)
		}
		if err != nil {
			return err
		}
		s.Term.Donef("Reloaded the platform of %s in %s", settings.Data, s.Time().Sub(began).Round(10*time.Millisecond))
		return nil
	}
	return c
}

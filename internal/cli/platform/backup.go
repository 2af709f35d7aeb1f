package platform

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/config"
	"github.com/lateen-dev/lateen/internal/terminal"
)

// Backup returns the command `lateen backup`.
func Backup(with *command.Session, daemon Daemon) *cobra.Command {
	s := &session{Session: with, daemon: daemon}
	c := &cobra.Command{
		Use:     "backup DIR",
		GroupID: command.Platform,
		Short:   "Back up the data of the platform",
		Long: "Copies the data directory of a platform to DIR, which must be empty or missing. The\n" +
			"platform may run during the backup. The copy is a consistent snapshot of the\n" +
			"database, the artifacts, the encryption key, the token and the identity of the\n" +
			"platform, without caches and logs. On the same file system, artifacts are hard\n" +
			"links. Start the copy with `lateen up --data DIR`.\n\n" +
			"The copy contains the encryption key of the variables: protect it like the original.\n\n" +
			"A PostgreSQL database is not copied: dump it with `pg_dump` before the backup.",
		Example: "lateen backup /mnt/backup/lateen\nsudo lateen backup --data /var/lib/lateen /mnt/backup/$(date +%F)",
		Args:    command.Takes(1, 1, "the directory of the copy"),
	}
	settingsFlags(c, "data", "database")
	c.RunE = func(c *cobra.Command, args []string) error {
		settings, err := s.platformSettings(c)
		if err != nil {
			return err
		}
		return s.runBackup(c.Context(), settings, args[0])
	}
	return c
}

func (s *session) runBackup(ctx context.Context, c *config.Config, to string) error {
	if s.daemon.Backup == nil {
		return errNoPlatform
	}
	var err error
	if c.Data, err = s.Path(c.Data); err != nil {
		return err
	}
	if to, err = s.Path(to); err != nil {
		return err
	}
	live := s.Term.Live("Copying " + c.Data)
	defer live.Stop()
	made, err := s.daemon.Backup(ctx, c, to, func(done, total int64) { live.Set(done, total, fmt.Sprintf("%d/%d", done, total)) })
	if err != nil {
		return err
	}
	live.Finish("Copied %s, %s, to %s", terminal.Count(int(made.Artifacts), "artifact"), terminal.Amount(made.Bytes), to)
	if c.Database != "" {
		s.Term.Warnf("The copy does not contain the PostgreSQL database. Dump it before each backup: `pg_dump --format=custom --file=lateen.dump \"$LATEEN_DATABASE\"`.")
	}
	if s.Flags.JSON {
		err = s.Term.JSON(made)
	}
	if n := len(made.Damaged); err == nil && n > 0 {
		return lateen.ErrArtifactDamaged.With("%s damaged and missing from the copy", terminal.Count(n, "artifact")).
			WithHint("list the affected deployments with `lateen doctor --scrub --data %s`", c.Data)
	}
	return err
}

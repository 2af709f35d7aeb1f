package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/config"
	"github.com/lateen-dev/lateen/internal/terminal"
)

func newBackupCommand(s *session) *cobra.Command {
	c := &cobra.Command{
		Use:     "backup DIR",
		GroupID: command.Platform,
		Short:   "Copy the data of the platform",
		Long: "Copies the data directory of a platform on this machine, which may run meanwhile,\n" +
			"to a directory that is empty or missing: the database, the artefacts, the key, the\n" +
			"token and the identity of the platform, as they are at one moment. Caches and logs\n" +
			"are left out. Artefacts are hard links on the same file system. `lateen up --data`\n" +
			"starts with the copy.\n\n" +
			"The copy has the key that opens the variables: keep it as safe as the original.\n\n" +
			"A PostgreSQL database is not copied: dump it with `pg_dump` before this command.",
		Example: "lateen backup /mnt/backup/lateen\nsudo lateen backup --data /var/lib/lateen /mnt/backup/$(date +%F)",
		Args:    command.Takes(1, 1, "where to"),
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
	if s.Backup == nil {
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
	made, err := s.Backup(ctx, c, to, func(done, total int64) { live.Set(done, total, fmt.Sprintf("%d/%d", done, total)) })
	if err != nil {
		return err
	}
	live.Finish("Copied %s, %s, to %s", terminal.Count(int(made.Artifacts), "artefact"), terminal.Amount(made.Bytes), to)
	if c.Database != "" {
		s.Term.Warnf("The PostgreSQL database is not in the copy, which goes with a dump from before it: `pg_dump --format=custom --file=lateen.dump \"$LATEEN_DATABASE\"`.")
	}
	if s.Flags.JSON {
		err = s.Term.JSON(made)
	}
	if n := len(made.Damaged); err == nil && n > 0 {
		return lateen.ErrArtifactDamaged.With("%s damaged, and not in the copy", terminal.Count(n, "artefact")).
			WithHint("`lateen doctor --scrub --data %s` names the deployments that need them", c.Data)
	}
	return err
}

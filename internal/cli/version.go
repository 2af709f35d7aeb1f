package cli

import (
	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen/internal/cli/command"
)

func newVersionCommand(s *command.Session) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long:  "Prints the version, the commit and its date, the Go version and the platform.",
		Args:  command.Takes(0, 0, ""),
		RunE:  func(*cobra.Command, []string) error { return tellVersion(s) },
	}
}

func tellVersion(s *command.Session) error {
	build := command.ReadBuild()
	if s.Flags.JSON {
		return s.Term.JSON(build)
	}
	s.Term.Answer(build.String())
	return nil
}

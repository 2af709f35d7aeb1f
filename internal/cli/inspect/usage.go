package inspect

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/terminal"
)

// Usage returns the command `lateen usage`.
func Usage(with *command.Session) *cobra.Command {
	s := &session{with}
	var since string
	var platform bool
	c := &cobra.Command{
		Use: "usage", GroupID: command.Look,
		Short: "Show the time, memory and CPU of a project's instances",
		Long: "Shows the time of all instances of each function, the part of it in each state, the\n" +
			"memory in gigabyte-hours and the CPU time. Processes on standby make starts faster and are\n" +
			"no instances. The range is in whole hours: the last 24, or those after --since, at most\n" +
			"31 days.",
		Example: "lateen usage --since 7d\nlateen usage --project shop --json\nlateen usage --platform",
		Args:    command.Takes(0, 0, ""),
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		from, err := s.Moment("--since", since)
		if err != nil {
			return err
		}
		if platform && s.Flags.Project != "" {
			return command.ErrUsage.With("--platform and --project exclude each other")
		}
		usage, of, err := s.usage(c.Context(), platform, from)
		if err != nil {
			return err
		}
		if s.Flags.JSON {
			return s.Term.JSON(usage)
		}
		if len(usage.Functions) == 0 {
			s.Term.Linef("No usage of %s found. Processes report theirs every 50 seconds and at their end.", of)
			return nil
		}
		rows, columns := [][]string{}, []terminal.Column{{Title: "function"}}
		for _, title := range []string{"time", "starting", "busy", "idle", "frozen", "failed", "standby", "GB-hours", "cpu"} {
			columns = append(columns, terminal.Column{Title: title, Right: true})
		}
		for _, fn := range usage.Functions {
			sum, row := fn.Total(), []string{terminal.Clean(fn.Function)}
			row = append(row, terminal.Elapsed(sum.Time))
			for _, state := range fn.States() {
				row = append(row, terminal.Elapsed(state.Time))
			}
			rows = append(rows, append(row, gigabyteHours(sum.Memory), terminal.Elapsed(sum.CPU)))
		}
		s.Term.Table(columns, rows)
		return nil
	}
	s.ProjectFlag(c)
	c.Flags().StringVar(&since, "since", "", "`time` of the first hour: 12h or 7d ago, or 2026-01-31T08:00:00Z")
	c.Flags().BoolVar(&platform, "platform", false, "show the processes that no function owns yet, by kind; for owners of the platform's first team")
	return c
}

// gigabyteHours formats a number of byte-seconds.
func gigabyteHours(byteSeconds int64) string {
	hours, digits := float64(byteSeconds)/3600e9, 4
	switch {
	case hours >= 100:
		digits = 0
	case hours >= 1:
		digits = 2
	}
	return strconv.FormatFloat(hours, 'f', digits, 64)
}

// usage returns the usage of the platform's own processes, or of the project, and the
// name of either.
func (s *session) usage(ctx context.Context, platform bool, from lateen.Millis) (usage *client.Usage, of string, err error) {
	if platform {
		api, err := s.Client()
		if err != nil {
			return nil, "", err
		}
		usage, err = api.PlatformUsage(ctx, from, 0)
		return usage, "the platform", err
	}
	on, err := s.Here(ctx)
	if err != nil {
		return nil, "", err
	}
	usage, err = on.Client.Usage(ctx, string(on.Project.ID), from, 0)
	return usage, on.Project.Name, err
}

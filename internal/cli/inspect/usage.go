package inspect

import (
	"strconv"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/terminal"
)

// Usage returns the command `lateen usage`.
func Usage(with *command.Session) *cobra.Command {
	s := &session{with}
	var since string
	c := &cobra.Command{
		Use: "usage", GroupID: command.Look,
		Short: "Show the time, memory and CPU of a project's instances",
		Long: "Shows the time of all instances of each function, the part of it in each state, the\n" +
			"memory in gigabyte-hours and the CPU time. The range is in whole hours: the last 24, or\n" +
			"those after --since, at most 31 days.",
		Example: "lateen usage --since 7d\nlateen usage --project shop --json",
		Args:    command.Takes(0, 0, ""),
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		from, err := s.Moment("--since", since)
		if err != nil {
			return err
		}
		on, err := s.Here(c.Context())
		if err != nil {
			return err
		}
		usage, err := on.Client.Usage(c.Context(), string(on.Project.ID), from, 0)
		if err != nil {
			return err
		}
		if s.Flags.JSON {
			return s.Term.JSON(usage)
		}
		if len(usage.Functions) == 0 {
			s.Term.Linef("No usage of %s found. Instances report theirs every 50 seconds and at their end.", on.Project.Name)
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
			rows = append(rows, append(row, strconv.FormatFloat(float64(sum.Memory)/3600e9, 'g', 3, 64), terminal.Elapsed(sum.CPU)))
		}
		s.Term.Table(columns, rows)
		return nil
	}
	s.ProjectFlag(c)
	c.Flags().StringVar(&since, "since", "", "`time` of the first hour: 12h or 7d ago, or 2026-01-31T08:00:00Z")
	return c
}

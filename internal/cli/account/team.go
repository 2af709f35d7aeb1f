package account

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/config"
	"github.com/lateen-dev/lateen/internal/terminal"
)

// Teams returns the command `lateen teams`.
func Teams(with *command.Session) *cobra.Command {
	s := &session{with}
	c := &cobra.Command{
		Use:     "teams",
		Aliases: []string{"team"},
		GroupID: command.Settings,
		Short:   "List, create, rename, switch and remove teams",
		Long: "A team owns projects. Each member has a role: owners may do everything, developers\n" +
			"may change projects, deployments, variables and aliases, viewers may read everything\n" +
			"but secrets. Manage members with `lateen members`.",
		Example: "lateen teams ls\nlateen teams add acme --title \"Acme Inc.\"\nlateen teams switch acme",
	}
	command.Family(c)
	command.Adopt(c, s.teamList(), s.teamShow(), s.teamAdd(), s.teamRename(), s.teamSwitch(), s.teamRemove())
	return c
}

func (s *session) teamList() *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List your teams",
		Long:    "Lists the teams that you are a member of, with your role. The current team is marked.",
		Args:    command.Takes(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			api, err := s.Client()
			if err != nil {
				return err
			}
			teams, err := api.Teams(c.Context())
			if err != nil {
				return err
			}
			if s.Flags.JSON {
				return s.Term.JSON(map[string]any{"teams": teams, "pagination": command.Pagination{Count: len(teams)}})
			}
			rows := make([][]string, 0, len(teams))
			for i, t := range teams {
				mark := ""
				if api.Team == string(t.ID) || api.Team == t.Slug || api.Team == "" && i == 0 {
					mark = "current"
				}
				rows = append(rows, []string{terminal.Paint(terminal.Bold, t.Slug), terminal.Clean(t.Name), strings.ToLower(string(t.Membership.Role)), mark, string(t.ID)})
			}
			s.Term.Table([]terminal.Column{{Title: "team"}, {Title: "name", Drop: 2}, {Title: "your role"}, {Title: ""}, {Title: "id", Drop: 1}}, rows)
			return nil
		},
	}
}

func (s *session) teamShow() *cobra.Command {
	return &cobra.Command{
		Use:               "inspect [team]",
		Aliases:           []string{"show"},
		Short:             "Show a team",
		Long:              "Shows a team by slug or id. The default is the current team.",
		Args:              command.Takes(0, 1, ""),
		ValidArgsFunction: command.CompleteFirst(s.completeTeams),
		RunE: func(c *cobra.Command, args []string) error {
			_, t, err := s.team(c.Context(), args)
			if err != nil {
				return err
			}
			if s.Flags.JSON {
				return s.Term.JSON(t)
			}
			s.Term.Fields([]terminal.Field{
				{"team", terminal.Paint(terminal.Bold, t.Slug)},
				{"name", terminal.Clean(t.Name)},
				{"id", string(t.ID)},
				{"your role", strings.ToLower(string(t.Membership.Role))},
				{"created", s.Age(t.CreatedAt) + " ago"},
			})
			return nil
		},
	}
}

// team returns the team of the first argument, or the current team.
func (s *session) team(ctx context.Context, args []string) (*client.Client, *client.Team, error) {
	api, err := s.Client()
	if err != nil {
		return nil, nil, err
	}
	name := api.Team
	if len(args) > 0 {
		name = args[0]
	}
	if name == "" {
		user, err := api.WhoAmI(ctx)
		if err != nil {
			return nil, nil, err
		}
		if name = string(user.DefaultTeam); name == "" {
			return nil, nil, lateen.ErrTeamNotFound.With("%s is not a member of any team", user.Username).WithHint("ask an owner of a team for an invitation")
		}
	}
	t, err := api.TeamOf(ctx, name)
	return api, t, err
}

func (s *session) teamAdd() *cobra.Command {
	var title string
	c := &cobra.Command{
		Use:     "add <slug>",
		Aliases: []string{"create"},
		Short:   "Create a team",
		Long: "Creates a team with you as its owner. The slug is 1 to 48 characters of a-z, 0-9\n" +
			"and -; it is part of generated hosts and cannot be changed.",
		Example: "lateen teams add acme\nlateen teams add acme --title \"Acme Inc.\"",
		Args:    command.Takes(1, 1, "the slug of the team"),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := s.Client()
			if err != nil {
				return err
			}
			t, err := api.CreateTeam(c.Context(), args[0], title)
			if err != nil {
				return err
			}
			if s.Flags.JSON {
				return s.Term.JSON(t)
			}
			s.Term.Donef("Created team %s", terminal.Paint(terminal.Bold, t.Slug))
			s.Term.Linef("%s", terminal.Paint(terminal.Dim, "Switch to it with `lateen teams switch "+t.Slug+"`."))
			return nil
		},
	}
	c.Flags().StringVar(&title, "title", "", "display `name` of the team (default: the slug)")
	return c
}

func (s *session) teamRename() *cobra.Command {
	return &cobra.Command{
		Use:               "rename <team> <name>",
		Short:             "Change the display name of a team",
		Long:              "Changes the display name of a team. The slug cannot be changed: generated hosts\ncontain it.",
		Example:           "lateen teams rename acme \"Acme Limited\"",
		Args:              command.Takes(2, 2, "the team and its new name"),
		ValidArgsFunction: command.CompleteFirst(s.completeTeams),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := s.Client()
			if err != nil {
				return err
			}
			t, err := api.RenameTeam(c.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			if s.Flags.JSON {
				return s.Term.JSON(t)
			}
			s.Term.Donef("Renamed team %s to %s", terminal.Paint(terminal.Bold, t.Slug), terminal.Clean(t.Name))
			return nil
		},
	}
}

func (s *session) teamSwitch() *cobra.Command {
	return &cobra.Command{
		Use:               "switch <team>",
		Short:             "Switch the current team",
		Long:              "Makes a team, by slug or id, the default of later commands. --team and the link of a\ndirectory take precedence.",
		Args:              command.Takes(1, 1, "the team"),
		ValidArgsFunction: command.CompleteFirst(s.completeTeams),
		RunE: func(c *cobra.Command, args []string) error {
			_, t, err := s.team(c.Context(), args)
			if err != nil {
				return err
			}
			kept, err := config.ReadClient(config.ClientFile(s.Getenv))
			if err != nil {
				return err
			}
			kept.Team = string(t.ID)
			if _, err := s.Keep(kept); err != nil {
				return err
			}
			if s.Flags.JSON {
				return s.Term.JSON(t)
			}
			s.Term.Donef("Switched to team %s", terminal.Paint(terminal.Bold, t.Slug))
			return nil
		},
	}
}

func (s *session) teamRemove() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:               "rm <team>",
		Aliases:           []string{"remove"},
		Short:             "Remove a team",
		Long:              "Removes a team without projects, with its memberships and invitations. The first team\nof the platform cannot be removed.",
		Args:              command.Takes(1, 1, "the team"),
		ValidArgsFunction: command.CompleteFirst(s.completeTeams),
		RunE: func(c *cobra.Command, args []string) error {
			api, t, err := s.team(c.Context(), args)
			if err != nil {
				return err
			}
			err = s.Remove(c.Context(), yes, command.Removal{
				Question: fmt.Sprintf("Remove team %s?", terminal.Paint(terminal.Bold, t.Slug)),
				Remove:   func(ctx context.Context) error { return api.DeleteTeam(ctx, string(t.ID)) },
				Done:     "Removed team " + t.Slug,
			})
			if err != nil {
				return err
			}
			return s.leave(t.ID)
		},
	}
	command.YesFlag(c, &yes)
	return c
}

// leave makes the user's default team the current one if the stored login acts for team,
// which no longer exists: later commands would fail.
func (s *session) leave(team lateen.TeamID) error {
	kept, err := config.ReadClient(config.ClientFile(s.Getenv))
	if err != nil || kept.Team != string(team) {
		return err
	}
	kept.Team = ""
	if _, err = s.Keep(kept); err == nil {
		s.Term.Linef("It was the current team: later commands act for your default team. Choose one with `lateen teams switch`.")
	}
	return err
}

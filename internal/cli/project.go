package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/terminal"
)

func newProjectCommand(s *session) *cobra.Command {
	c := &cobra.Command{
		Use:     "project",
		Aliases: []string{"projects"},
		GroupID: command.Settings,
		Short:   "List, make, change and remove projects",
		Long: "A project is one site or application, with its deployments, variables and hosts.\n" +
			"`lateen link` and `lateen deploy` make one by themselves.",
		Example: "lateen project ls\nlateen project add shop\nlateen project set shop --weight 3\nlateen project rm shop",
	}
	command.Family(c)
	command.Adopt(c, newProjectListCommand(s), newProjectAddCommand(s), newProjectSetCommand(s), newProjectRemoveCommand(s))
	return c
}

func newProjectListCommand(s *session) *cobra.Command {
	var page pageFlags
	c := &cobra.Command{
		Use:   "ls [search]",
		Short: "List projects",
		Long:  "Lists the projects of the team, those whose name has a part if you give one, the\nlatest changed first.",
		Args:  command.Takes(0, 1, ""),
		RunE: func(c *cobra.Command, args []string) error {
			search := ""
			if len(args) > 0 {
				search = args[0]
			}
			return s.listProjects(c.Context(), search, &page)
		},
	}
	page.add(c, 50, "projects")
	return c
}

func (s *session) listProjects(ctx context.Context, search string, page *pageFlags) error {
	api, err := s.Client()
	if err != nil {
		return err
	}
	projects, next, err := pages(page, func(p client.Page) ([]client.Project, lateen.Millis, error) {
		return api.Projects(ctx, search, p)
	})
	if err != nil {
		return err
	}
	if s.Flags.JSON {
		return s.Term.JSON(map[string]any{"projects": projects, "pagination": next})
	}
	if len(projects) == 0 {
		s.Term.Linef("There are no projects here yet: `lateen deploy` makes one.")
		return nil
	}
	rows := make([][]string, 0, len(projects))
	for i := range projects {
		p := &projects[i]
		address := terminal.Paint(terminal.Dim, "no production yet")
		if d := p.Targets[lateen.Production]; d != nil {
			address = d.SiteURL
			if len(d.Alias) > 0 {
				address = urlOf(d, d.Alias[0])
			}
			address = terminal.Paint(terminal.Code, address)
		}
		fw := ""
		if p.Framework != nil {
			fw = terminal.Clean(*p.Framework)
		}
		rows = append(rows, []string{terminal.Paint(terminal.Bold, p.Name), address, fw, s.Age(p.UpdatedAt)})
	}
	s.Term.Table([]terminal.Column{{Title: "name"}, {Title: "production"}, {Title: "framework", Drop: 1}, {Title: "changed", Right: true, Drop: 2}}, rows)
	s.tellMore(next, len(projects), "project")
	return nil
}

func newProjectAddCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "add <name>",
		Short: "Make a project",
		Long:  "Makes a project. Its name is the host of its production.",
		Args:  command.Takes(1, 1, "how it is called"),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := s.Client()
			if err != nil {
				return err
			}
			p, err := api.CreateProject(c.Context(), args[0], lateen.ProjectSettings{})
			if err != nil {
				return err
			}
			if s.Flags.JSON {
				return s.Term.JSON(p)
			}
			s.Term.Donef("Made the project %s", terminal.Paint(terminal.Bold, p.Name))
			return nil
		},
	}
}

func newProjectSetCommand(s *session) *cobra.Command {
	var start string
	var weight int
	c := &cobra.Command{
		Use:   "set [name]",
		Short: "Change settings of a project",
		Long: "Changes settings of a project, of the one this directory is linked to without a\n" +
			"name. They take effect with the next request.\n\n" +
			"--start-header says which responses have x-lateen-start, which tells how their\n" +
			"function was started and how long that took: those of all deployments (always),\n" +
			"of all but production (preview, the default), or none (never).\n\n" +
			"--weight says how much the project gets where instances or processors are short:\n" +
			"one of weight 3 gets three times what one of weight 1 gets, which is the default.\n" +
			"It is for owners of the team to change.",
		Example:           "lateen project set shop --start-header always\nlateen project set shop --weight 3",
		Args:              command.Takes(0, 1, ""),
		ValidArgsFunction: s.completeProjects,
		RunE: func(c *cobra.Command, args []string) error {
			change := client.ProjectChange{}
			if c.Flags().Changed("start-header") {
				change.StartHeader = &start
			}
			if c.Flags().Changed("weight") {
				if weight == 0 {
					return command.ErrUsage.With("--weight is 1 to %d", lateen.MaxWeight)
				}
				change.Weight = &weight
			}
			if change == (client.ProjectChange{}) {
				return command.ErrUsage.With("say what to change: `%s`", "lateen project set shop --start-header always")
			}
			if len(args) > 0 {
				s.Flags.Project = args[0]
			}
			on, err := s.here(c.Context())
			if err != nil {
				return err
			}
			p, err := on.client.ChangeProject(c.Context(), string(on.project.ID), change)
			if err != nil {
				return err
			}
			if s.Flags.JSON {
				return s.Term.JSON(p)
			}
			s.Term.Donef("Changed the project %s", terminal.Paint(terminal.Bold, p.Name))
			return nil
		},
	}
	c.Flags().StringVar(&start, "start-header", "", "on `which` responses x-lateen-start is: always, preview, never")
	c.Flags().IntVar(&weight, "weight", 1, fmt.Sprintf("1 to %d, against the `number` of other projects", lateen.MaxWeight))
	_ = c.RegisterFlagCompletionFunc("start-header", cobra.FixedCompletions([]string{
		lateen.StartHeaderAlways, lateen.StartHeaderPreview, lateen.StartHeaderNever,
	}, command.NoFiles)) // fails for unknown flags only
	return c
}

func newProjectRemoveCommand(s *session) *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:               "rm <name>",
		Aliases:           []string{"remove"},
		Short:             "Remove a project with all that is in it",
		Long:              "Removes a project with its deployments, aliases and variables. There is no way back.",
		Args:              command.Takes(1, 1, "which project"),
		ValidArgsFunction: s.completeProjects,
		RunE: func(c *cobra.Command, args []string) error {
			api, err := s.Client()
			if err != nil {
				return err
			}
			p, err := api.Project(c.Context(), args[0])
			if err != nil {
				return err
			}
			if err := s.Confirm(c.Context(), yes, fmt.Sprintf("Remove %s with all its deployments, hosts and variables?", terminal.Paint(terminal.Bold, p.Name))); err != nil {
				return err
			}
			if err := api.DeleteProject(c.Context(), string(p.ID)); err != nil {
				return err
			}
			s.Term.Donef("Removed the project %s", p.Name)
			return nil
		},
	}
	command.YesFlag(c, &yes)
	return c
}

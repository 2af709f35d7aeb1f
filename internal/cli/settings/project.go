package settings

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/terminal"
)

// Project returns the command `lateen project`.
func Project(with *command.Session) *cobra.Command {
	s := &session{with}
	c := &cobra.Command{
		Use:     "project",
		Aliases: []string{"projects"},
		GroupID: command.Settings,
		Short:   "List, create, change and remove projects",
		Long: "A project is one site or application with its deployments, variables and aliases.\n" +
			"`lateen link` and `lateen deploy` create a missing project.",
		Example: "lateen project ls\nlateen project add shop\nlateen project set shop --weight 3\nlateen project rm shop",
	}
	command.Family(c)
	command.Adopt(c, newProjectListCommand(s), newProjectAddCommand(s), newProjectSetCommand(s), newProjectRemoveCommand(s))
	return c
}

func newProjectListCommand(s *session) *cobra.Command {
	var page command.PageFlags
	c := &cobra.Command{
		Use:   "ls [search]",
		Short: "List projects",
		Long:  "Lists the projects of the team, the latest changed first. A search text limits the\nlist to projects with that text in their name.",
		Args:  command.Takes(0, 1, ""),
		RunE: func(c *cobra.Command, args []string) error {
			search := ""
			if len(args) > 0 {
				search = args[0]
			}
			return s.listProjects(c.Context(), search, &page)
		},
	}
	page.Add(c, 50, "projects")
	return c
}

func (s *session) listProjects(ctx context.Context, search string, page *command.PageFlags) error {
	api, err := s.Client()
	if err != nil {
		return err
	}
	list := command.List[client.Project]{
		Field: "projects", Item: "project", Empty: "No projects found. Create one with `lateen link`.",
		Columns: []terminal.Column{{Title: "name"}, {Title: "production"}, {Title: "framework", Drop: 1}, {Title: "weight", Right: true, Drop: 3}, {Title: "start header", Drop: 4}, {Title: "changed", Right: true, Drop: 2}},
		Row:     s.projectRow,
		Page:    func(p client.Page) ([]client.Project, lateen.Millis, error) { return api.Projects(ctx, search, p) },
	}
	return list.Print(s.Session, page)
}

// projectRow returns the cells of a project.
func (s *session) projectRow(p *client.Project) []string {
	address := terminal.Paint(terminal.Dim, "no production yet")
	if d := p.Targets[lateen.Production]; d != nil {
		address = terminal.Paint(terminal.Code, command.Address(d))
	}
	fw := ""
	if p.Framework != nil {
		fw = terminal.Clean(*p.Framework)
	}
	weight := ""
	if p.Weight > 1 {
		weight = strconv.Itoa(p.Weight)
	}
	return []string{terminal.Paint(terminal.Bold, p.Name), address, fw, weight, terminal.Clean(p.StartHeader), s.Age(p.UpdatedAt)}
}

func newProjectAddCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "add <name>",
		Short: "Create a project",
		Long:  "Creates a project. Its name becomes the host of its production.",
		Args:  command.Takes(1, 1, "the name of the project"),
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
			s.Term.Donef("Created project %s", terminal.Paint(terminal.Bold, p.Name))
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
		Long: "Changes settings of a project, by default of the linked one. Changes take effect\n" +
			"with the next request.\n\n" +
			"--start-header selects the responses with the header x-lateen-start, which contains\n" +
			"the kind and the duration of the function's start: those of all deployments\n" +
			"(always), of all but production (preview, the default), or none (never).\n\n" +
			"--weight sets the share of the project when instances or CPUs are scarce: a project\n" +
			"of weight 3 gets three times the share of one of weight 1. Only owners of the team\n" +
			"may change it.",
		Example:           "lateen project set shop --start-header always\nlateen project set shop --weight 3",
		Args:              command.Takes(0, 1, ""),
		ValidArgsFunction: s.CompleteProjects,
		RunE: func(c *cobra.Command, args []string) error {
			change := client.ProjectChange{}
			if c.Flags().Changed("start-header") {
				change.StartHeader = &start
			}
			if c.Flags().Changed("weight") {
				if weight == 0 {
					return command.ErrUsage.With("--weight is out of range").WithHint("use 1 to %d", lateen.MaxWeight)
				}
				change.Weight = &weight
			}
			if change == (client.ProjectChange{}) {
				return command.ErrUsage.With("no setting given").WithHint("pass --start-header or --weight, as in `lateen project set shop --weight 3`")
			}
			if len(args) > 0 {
				s.Flags.Project = args[0]
			}
			on, err := s.Here(c.Context())
			if err != nil {
				return err
			}
			p, err := on.Client.ChangeProject(c.Context(), string(on.Project.ID), change)
			if err != nil {
				return err
			}
			if s.Flags.JSON {
				return s.Term.JSON(p)
			}
			s.Term.Donef("Changed project %s", terminal.Paint(terminal.Bold, p.Name))
			return nil
		},
	}
	c.Flags().StringVar(&start, "start-header", "", "`deployments` with the header x-lateen-start: always, preview, never")
	c.Flags().IntVar(&weight, "weight", 1, fmt.Sprintf("`number` from 1 to %d: the share of scarce instances and CPUs, relative to other projects", lateen.MaxWeight))
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
		Short:             "Remove a project and everything in it",
		Long:              "Removes a project with its deployments, aliases and variables. This cannot be undone.",
		Args:              command.Takes(1, 1, "the name of the project"),
		ValidArgsFunction: s.CompleteProjects,
		RunE: func(c *cobra.Command, args []string) error {
			api, err := s.Client()
			if err != nil {
				return err
			}
			p, err := api.Project(c.Context(), args[0])
			if err != nil {
				return command.SuggestProject(c.Context(), api, args[0], err)
			}
			return s.Remove(c.Context(), yes, command.Removal{
				Question: fmt.Sprintf("Remove %s with all its deployments, aliases and variables?", terminal.Paint(terminal.Bold, p.Name)),
				Remove:   func(ctx context.Context) error { return api.DeleteProject(ctx, string(p.ID)) },
				Done:     "Removed project " + p.Name,
			})
		},
	}
	command.YesFlag(c, &yes)
	return c
}

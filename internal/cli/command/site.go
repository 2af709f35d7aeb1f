package command

import (
	"cmp"
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
)

// Site is a project to act on, and a client that acts for its team.
type Site struct {
	Client  *client.Client
	Project *client.Project
}

// Site returns the project of --project, or the linked project of a directory. A flag
// or the environment overrides the team of the link; the link overrides the team of
// `lateen teams switch`.
func (s *Session) Site(ctx context.Context, dir string) (*Site, error) {
	c, err := s.Client()
	if err != nil {
		return nil, err
	}
	if s.Flags.Project != "" {
		p, err := c.Project(ctx, s.Flags.Project)
		return &Site{Client: c, Project: p}, SuggestProject(ctx, c, s.Flags.Project, err)
	}
	l, err := ReadLink(dir)
	if err != nil {
		return nil, err
	}
	if !l.Real() {
		return nil, ErrNotLinked
	}
	asked, err := s.Asked()
	if err != nil {
		return nil, err
	}
	if asked.Team == "" {
		c.Team = string(l.Team)
	}
	p, err := c.Project(ctx, string(l.Project))
	switch {
	case asked.Team != "" && errors.Is(err, lateen.ErrTeamNotFound):
		return nil, lateen.ErrTeamNotFound.With("you are not a member of team %q", c.Team).WithHint("list your teams with `lateen teams ls`")
	case asked.Team != "" && errors.Is(err, lateen.ErrProjectNotFound):
		return nil, ErrLinkedElsewhere.With("the linked project %s is not in team %s", cmp.Or(l.Name, string(l.Project)), c.Team)
	case errors.Is(err, lateen.ErrProjectNotFound), errors.Is(err, lateen.ErrTeamNotFound):
		return nil, ErrLinkedElsewhere.With("the linked project %s is not visible to you at %s", cmp.Or(l.Name, string(l.Project)), c.BaseURL).
			WithHint("ask an owner of its team for an invitation (`lateen members invite`), link the directory again with `lateen link --yes`, or name a project with --project")
	}
	return &Site{Client: c, Project: p}, err
}

// SuggestProject gives the error of a project or deployment that does not exist the hint
// that its name is a likely misspelling of a project. Other errors it returns as they are.
func SuggestProject(ctx context.Context, c *client.Client, name string, err error) error {
	e, ok := errors.AsType[*lateen.Error](err)
	if !ok || !IsGone(err) {
		return err
	}
	projects, _, listErr := c.Projects(ctx, "", client.Page{Limit: 100})
	if listErr != nil {
		return err
	}
	names := make([]string, 0, len(projects))
	for i := range projects {
		names = append(names, projects[i].Name)
	}
	if meant := Nearest(name, names); meant != "" {
		return e.WithHint("did you mean the project %s? List your projects with `lateen project ls`", meant)
	}
	return err
}

// Here returns the project of the directory that commands act in.
func (s *Session) Here(ctx context.Context) (*Site, error) {
	dir, err := s.Path("")
	if err != nil {
		return nil, err
	}
	return s.Site(ctx, dir)
}

// ProjectFlag gives a command the flag that names a project.
func (s *Session) ProjectFlag(c *cobra.Command) {
	c.Flags().StringVarP(&s.Flags.Project, "project", "p", "", "`name` or id of the project (default: the linked project)")
	_ = c.RegisterFlagCompletionFunc("project", s.CompleteProjects) // fails for unknown flags only
}

// Scope returns the project whose items a command lists, and a client for its team. The
// id is "" for the whole team: if all is set, or in a directory without a link.
func (s *Session) Scope(ctx context.Context, all bool) (*client.Client, lateen.ProjectID, error) {
	on, err := s.Here(ctx)
	switch {
	case all || s.Flags.Project == "" && errors.Is(err, ErrNotLinked):
		api, err := s.Client()
		return api, "", err
	case err != nil:
		return nil, "", err
	}
	return on.Client, on.Project.ID, nil
}

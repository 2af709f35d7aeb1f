package control

import (
	"context"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/artifact"
	"github.com/lateen-dev/lateen/internal/store"
)

// CreateProject creates a project with a name and settings in the caller's team.
func (c *Control) CreateProject(ctx context.Context, name string, settings lateen.ProjectSettings) (*lateen.Project, error) {
	p, err := authorize(ctx, lateen.ProjectCreate)
	if err != nil {
		return nil, err
	}
	var project *lateen.Project
	err = c.change(ctx, func(q *store.Queries, ch *changes) error {
		project, err = c.createProject(ctx, q, p, name, settings, ch)
		return err
	})
	return project, err
}

func (c *Control) createProject(ctx context.Context, q *store.Queries, p lateen.Principal, name string, settings lateen.ProjectSettings, ch *changes) (*lateen.Project, error) {
	project := &lateen.Project{
		ID: lateen.NewID[lateen.ProjectID]("prj_", c.Now()), Team: p.Team, Name: name,
		CreatedAt: c.now(), UpdatedAt: c.now(), ProjectSettings: settings,
	}
	if err := project.Validate(); err != nil {
		return nil, err
	}
	if err := mayWeigh(p, 0, settings.Weight); err != nil {
		return nil, err
	}
	if err := q.CreateProject(ctx, project); err != nil {
		return nil, err
	}
	ch.project(lateen.ProjectCreated, project, "")
	return project, c.record(ctx, q, p, lateen.ActionProjectCreate, project.ID, project.Name)
}

// Project returns a project of the caller's team by id or name.
func (c *Control) Project(ctx context.Context, idOrName string) (*lateen.Project, error) {
	p, err := authorize(ctx, lateen.ProjectRead)
	if err != nil {
		return nil, err
	}
	return findProject(ctx, c.Store.Queries, p, idOrName)
}

// Projects lists projects of the caller's team, the most recently changed first. It
// overrides the team of the filter.
func (c *Control) Projects(ctx context.Context, filter store.ProjectFilter) ([]*lateen.Project, error) {
	p, err := authorize(ctx, lateen.ProjectRead)
	if err != nil {
		return nil, err
	}
	filter.Team, filter.Project = p.Team, p.Project
	return c.Store.ListProjects(ctx, filter)
}

// UpdateProject calls change to alter the name and the settings of a project. After
// a rename, production is served on the hosts of the new name and no longer on those
// of the old name.
func (c *Control) UpdateProject(ctx context.Context, idOrName string, change func(*lateen.Project) error) (*lateen.Project, error) {
	p, err := authorize(ctx, lateen.ProjectWrite)
	if err != nil {
		return nil, err
	}
	var before, project *lateen.Project
	err = c.change(ctx, func(q *store.Queries, ch *changes) error {
		var err error
		if before, err = findProject(ctx, q, p, idOrName); err != nil {
			return err
		}
		project = new(*before)
		if err := change(project); err != nil {
			return err
		}
		project.ID, project.Team, project.UpdatedAt = before.ID, before.Team, c.now()
		if err := project.Validate(); err != nil {
			return err
		}
		if err := mayWeigh(p, before.Weight, project.Weight); err != nil {
			return err
		}
		if err := q.UpdateProject(ctx, project); err != nil {
			return err
		}
		ch.project(lateen.ProjectUpdated, project, "")
		if err := c.record(ctx, q, p, lateen.ActionProjectUpdate, project.ID, before.Name); err != nil || project.Name == before.Name {
			return err
		}
		return c.renameHosts(ctx, q, p, before, project, ch)
	})
	if err != nil {
		return nil, err
	}
	return project, nil
}

// mayWeigh lets only an owner change the weight of a project: a greater share of one
// project reduces the shares of all others.
func mayWeigh(p lateen.Principal, before, after int) error {
	if before == after {
		return nil
	}
	return p.May(lateen.ProjectWeight)
}

// deleteAtOnce is how many deployments of a project are deleted in one transaction,
// and aliasesAtOnce is how many of its aliases. No host of any project can move
// during the transaction.
const (
	deleteAtOnce  = 50
	aliasesAtOnce = 500
)

// DeleteProject removes a project with its deployments, aliases and variables. It
// ignores the end of ctx, which would leave a part of the project.
func (c *Control) DeleteProject(ctx context.Context, idOrName string) error {
	p, err := authorize(ctx, lateen.ProjectDelete)
	if err != nil {
		return err
	}
	project, err := findProject(ctx, c.Store.Queries, p, idOrName)
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	for more := true; more && err == nil; {
		more, err = c.deletePart(ctx, p, project)
	}
	return err
}

// deletePart removes some aliases of a project or, after the last one, some of its
// deployments, and the project with the last of them. It reports whether any are
// left.
func (c *Control) deletePart(ctx context.Context, p lateen.Principal, project *lateen.Project) (more bool, err error) {
	err = c.change(ctx, func(q *store.Queries, ch *changes) error {
		aliases, err := q.ListAliases(ctx, store.AliasFilter{Project: project.ID, Limit: aliasesAtOnce})
		if err != nil {
			return err
		}
		for _, a := range aliases {
			ch.unbind(a.Team, a.Project, a.Host)
			if err := q.DeleteAlias(ctx, a.ID); err != nil {
				return err
			}
		}
		if more = len(aliases) >= aliasesAtOnce; more {
			return nil
		}
		gone, err := q.ListDeploymentHosts(ctx, project.ID, deleteAtOnce+1)
		if err != nil {
			return err
		}
		if more = len(gone) > deleteAtOnce; more {
			gone = gone[:deleteAtOnce]
		}
		for _, d := range gone {
			ch.unbind(project.Team, project.ID, d.Name)
			ch.add(lateen.Event{
				Type: lateen.DeploymentRemoved, Team: project.Team, Project: project.ID, Subject: string(d.Deployment), Deployment: d.Deployment,
			})
			if err := q.NoteDeployment(ctx, d.Deployment, c.now()); err != nil {
				return err
			}
			if err := q.DeleteDeployment(ctx, d.Deployment); err != nil {
				return err
			}
		}
		if more {
			return nil
		}
		ch.project(lateen.ProjectRemoved, project, "")
		if err := c.record(ctx, q, p, lateen.ActionProjectDelete, project.ID, project.Name); err != nil {
			return err
		}
		return q.DeleteProject(ctx, project.ID)
	})
	return more, err
}

// Crons lists the cron jobs of a project's production deployment.
func (c *Control) Crons(ctx context.Context, project *lateen.Project) ([]lateen.Cron, error) {
	if project.Production == "" {
		return nil, nil
	}
	d, err := c.Store.GetDeployment(ctx, project.Production)
	if err != nil || d.Manifest == "" {
		return nil, err
	}
	manifest, err := artifact.ReadJSON[struct { // the other fields may have hundreds of megabytes
		Crons []lateen.Cron `json:"crons"`
	}](ctx, c.Artifacts, d.Manifest)
	if err != nil {
		return nil, err
	}
	return manifest.Crons, nil
}

// Environments lists the custom environments of a project: those that a variable or
// a deployment names.
func (c *Control) Environments(ctx context.Context, idOrName string) ([]lateen.Environment, error) {
	project, err := c.Project(ctx, idOrName)
	if err != nil {
		return nil, err
	}
	vars, err := c.Store.ListEnv(ctx, project.ID)
	if err != nil {
		return nil, err
	}
	named, err := c.Store.ListTargets(ctx, project.ID)
	if err != nil {
		return nil, err
	}
	for _, v := range vars {
		named = append(named, v.Target...)
	}
	return customOf(named), nil
}

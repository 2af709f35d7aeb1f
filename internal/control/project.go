package control

import (
	"context"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/artifact"
	"github.com/lateen-dev/lateen/internal/store"
)

// CreateProject makes a project from a name and settings in the caller's team.
func (c *Control) CreateProject(ctx context.Context, name string, settings lateen.ProjectSettings) (*lateen.Project, error) {
	p, err := act(ctx, lateen.ProjectCreate)
	if err != nil {
		return nil, err
	}
	var project *lateen.Project
	err = c.Store.Update(ctx, func(q *store.Queries) error {
		project, err = c.createProject(ctx, q, p, name, settings)
		return err
	})
	return project, err
}

func (c *Control) createProject(ctx context.Context, q *store.Queries, p lateen.Principal, name string, settings lateen.ProjectSettings) (*lateen.Project, error) {
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
	return project, c.record(ctx, q, p, lateen.ActionProjectCreate, project.ID, project.Name)
}

// Project returns a project of the caller's team by id or name.
func (c *Control) Project(ctx context.Context, idOrName string) (*lateen.Project, error) {
	p, err := act(ctx, lateen.ProjectRead)
	if err != nil {
		return nil, err
	}
	return findProject(ctx, c.Store.Queries, p, idOrName)
}

// Projects lists projects of the caller's team, the latest changed first. The
// filter's team is the caller's.
func (c *Control) Projects(ctx context.Context, filter store.ProjectFilter) ([]*lateen.Project, error) {
	p, err := act(ctx, lateen.ProjectRead)
	if err != nil {
		return nil, err
	}
	filter.Team, filter.Project = p.Team, p.Project
	return c.Store.ListProjects(ctx, filter)
}

// UpdateProject lets change alter a project's name and settings. A project
// that is renamed serves production on the hosts of its new name and no longer
// on those of the old.
func (c *Control) UpdateProject(ctx context.Context, idOrName string, change func(*lateen.Project) error) (*lateen.Project, error) {
	p, err := act(ctx, lateen.ProjectWrite)
	if err != nil {
		return nil, err
	}
	var before, project *lateen.Project
	err = c.reroute(ctx, func(q *store.Queries, moved routes) error {
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
		if err := c.record(ctx, q, p, lateen.ActionProjectUpdate, project.ID, before.Name); err != nil || project.Name == before.Name {
			return err
		}
		return c.renameHosts(ctx, q, p, before, project, moved)
	})
	if err != nil {
		return nil, err
	}
	if project.StartHeader != before.StartHeader || project.Weight != before.Weight {
		return project, c.refresh(ctx, project)
	}
	return project, nil
}

// mayWeigh refuses a change of a project's weight to whoever is no owner: more
// for one is less for all others.
func mayWeigh(p lateen.Principal, before, after int) error {
	if before == after {
		return nil
	}
	return p.May(lateen.ProjectWeight)
}

// refresh has all sites of a project follow its settings.
func (c *Control) refresh(ctx context.Context, project *lateen.Project) error {
	deployments, err := c.Store.ListDeploymentIDs(ctx, project.ID)
	for _, id := range deployments {
		c.Traffic.Refresh(id)
	}
	return err
}

// deleteAtOnce is how many deployments of a project are deleted in one
// transaction, during which no host of any project can move.
const deleteAtOnce = 50

// DeleteProject removes a project with its deployments, aliases and variables.
// It goes on when ctx ends: a part of the project would be left.
func (c *Control) DeleteProject(ctx context.Context, idOrName string) error {
	p, err := act(ctx, lateen.ProjectDelete)
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

// deletePart removes the aliases of a project and some of its deployments, and
// with the last of them the project. It reports whether there are more.
func (c *Control) deletePart(ctx context.Context, p lateen.Principal, project *lateen.Project) (more bool, err error) {
	var gone []store.Host
	err = c.reroute(ctx, func(q *store.Queries, moved routes) error {
		aliases, err := q.ListAliases(ctx, store.AliasFilter{Project: project.ID})
		if err != nil {
			return err
		}
		for _, a := range aliases {
			moved[a.Host] = ""
			if err := q.DeleteAlias(ctx, a.ID); err != nil {
				return err
			}
		}
		gone, err = q.ListDeploymentHosts(ctx, project.ID, deleteAtOnce+1)
		if err != nil {
			return err
		}
		if more = len(gone) > deleteAtOnce; more {
			gone = gone[:deleteAtOnce]
		}
		for _, d := range gone {
			moved[d.Name] = ""
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
		if err := c.record(ctx, q, p, lateen.ActionProjectDelete, project.ID, project.Name); err != nil {
			return err
		}
		return q.DeleteProject(ctx, project.ID)
	})
	if err != nil {
		return false, err
	}
	for _, d := range gone {
		c.stop(d.Deployment, lateen.ErrProjectNotFound)
		c.Traffic.Forget(d.Deployment)
		c.watch.changed(d.Deployment)
	}
	return more, nil
}

// Crons lists the schedules of a project's production deployment.
func (c *Control) Crons(ctx context.Context, project *lateen.Project) ([]lateen.Cron, error) {
	if project.Production == "" {
		return nil, nil
	}
	d, err := c.Store.GetDeployment(ctx, project.Production)
	if err != nil || d.Manifest == "" {
		return nil, err
	}
	manifest, err := artifact.ReadJSON[lateen.Manifest](ctx, c.Artifacts, d.Manifest)
	if err != nil {
		return nil, err
	}
	return manifest.Crons, nil
}

// Environments lists the custom environments of a project: those a variable
// or a deployment names.
func (c *Control) Environments(ctx context.Context, idOrName string) ([]string, error) {
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

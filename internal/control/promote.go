package control

import (
	"context"
	"errors"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

const rollbackAction = "rollback"

// Promote makes a deployment of a project serve production and returns it. A
// deployment that was made for another target is deployed again with the variables
// of production; then Promote returns the new deployment, which takes over when it
// is READY. Promote ends the pin of a rollback.
func (c *Control) Promote(ctx context.Context, project, idOrHost string) (*lateen.Deployment, error) {
	d, err := c.Deployment(ctx, idOrHost)
	if err != nil {
		return nil, err
	}
	if d.Target == lateen.Production {
		return c.repoint(ctx, project, d.ID, promoteAction)
	}
	of, err := c.Project(ctx, project)
	if err != nil {
		return nil, err
	}
	if d.Project != of.ID {
		return nil, ofAnother(of)
	}
	if d.State != lateen.Ready {
		return nil, lateen.ErrDeploymentNotReady.With("the deployment is %s", d.State)
	}
	return c.Deploy(ctx, DeployRequest{
		From: d.ID, Target: lateen.Production, Source: d.Source, Meta: map[string]string{"action": promoteAction},
	})
}

// Rollback makes an earlier production deployment serve production again. Later
// deployments do not take over by themselves until the next promotion.
func (c *Control) Rollback(ctx context.Context, project, idOrHost string) (*lateen.Deployment, error) {
	d, err := c.Deployment(ctx, idOrHost)
	if err != nil {
		return nil, err
	}
	switch {
	case d.Target != lateen.Production:
		return nil, lateen.ErrRollbackTarget.With("the deployment was made for %s", d.Target)
	case d.State == lateen.Ready && d.ServedAt == 0:
		return nil, lateen.ErrRollbackTarget.With("%s has never served production", d.Host)
	}
	return c.repoint(ctx, project, d.ID, rollbackAction)
}

// repoint points production at a deployment that was made for production.
func (c *Control) repoint(ctx context.Context, idOrName string, id lateen.DeploymentID, action string) (*lateen.Deployment, error) {
	p, err := authorize(ctx, lateen.ProductionWrite)
	if err != nil {
		return nil, err
	}
	var d *lateen.Deployment
	err = c.change(ctx, func(q *store.Queries, ch *changes) error {
		project, err := findProject(ctx, q, p, idOrName)
		if err != nil {
			return err
		}
		team, err := q.GetTeam(ctx, string(p.Team))
		if err != nil {
			return err
		}
		if d, err = q.GetDeployment(ctx, id); err != nil {
			return err
		}
		switch {
		case d.Project != project.ID:
			return ofAnother(project)
		case d.State != lateen.Ready:
			return lateen.ErrDeploymentNotReady.With("the deployment is %s", d.State)
		}
		project.LastAliasRequest = &lateen.AliasRequest{
			Type: action, From: project.Production, To: d.ID, JobStatus: "in-progress", RequestedAt: c.now(),
		}
		if err := c.takeProduction(ctx, q, project, team, d, ch); err != nil {
			return err
		}
		project.PinnedByRollback, project.UpdatedAt = action == rollbackAction, c.now()
		if err := errors.Join(q.UpdateProject(ctx, project), q.UpdateDeployment(ctx, d)); err != nil {
			return err
		}
		audited := lateen.ActionPromote
		if action == rollbackAction {
			audited = lateen.ActionRollback
		}
		return c.record(ctx, q, p, audited, project.ID, d.Host)
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

func ofAnother(project *lateen.Project) error {
	return lateen.ErrDeploymentNotFound.With("the deployment belongs to another project than %s", project.Name)
}

// failRequest fails the promotion that waits for a deployment that failed, was
// canceled or is deleted.
func (c *Control) failRequest(ctx context.Context, q *store.Queries, d *lateen.Deployment) error {
	project, err := q.FindProject(ctx, d.Project)
	if err != nil || !failed(project.LastAliasRequest, d.ID) {
		return err
	}
	return q.UpdateProject(ctx, project)
}

// failed marks a request as failed if it waits for deployment id, and reports
// whether it did.
func failed(r *lateen.AliasRequest, id lateen.DeploymentID) bool {
	if r == nil || r.To != id || r.JobStatus == "succeeded" {
		return false
	}
	r.JobStatus = "failed"
	return true
}

// dropReferences ends the references of a project to a deployment that is about to be
// deleted: a promotion that waits for it, and the pin of a rollback to it.
func (c *Control) dropReferences(ctx context.Context, q *store.Queries, d *lateen.Deployment) error {
	project, err := q.FindProject(ctx, d.Project)
	if err != nil {
		return err
	}
	pinned := project.PinnedByRollback && project.Production == d.ID
	if !failed(project.LastAliasRequest, d.ID) && !pinned {
		return nil
	}
	if pinned {
		project.PinnedByRollback = false
	}
	return q.UpdateProject(ctx, project)
}

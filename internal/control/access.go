package control

import (
	"context"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

// act returns the principal of ctx if it has a permission in its team. Errors:
// [lateen.ErrTokenMissing], [lateen.ErrTeamNotFound] of a user without a team,
// those of [lateen.Authorize].
func act(ctx context.Context, need lateen.Permission) (lateen.Principal, error) {
	p := lateen.PrincipalFrom(ctx)
	switch {
	case p.User == "":
		return p, lateen.ErrTokenMissing
	case p.Team == "" && need.NeedsTeam():
		return p, lateen.ErrTeamNotFound
	}
	return p, p.May(need)
}

// findProject returns a project that p can reach, by id or name. Errors:
// [lateen.ErrProjectNotFound].
func findProject(ctx context.Context, q *store.Queries, p lateen.Principal, idOrName string) (*lateen.Project, error) {
	project, err := q.GetProject(ctx, p.Team, idOrName)
	if err == nil && !p.Reaches(project.ID) {
		return nil, lateen.ErrProjectNotFound.With("there is no project %q", idOrName)
	}
	return project, err
}

// narrow limits the project of a filter, where "" is every project, to those
// that p can reach. It reports false if that leaves none.
func narrow(p lateen.Principal, project *lateen.ProjectID) bool {
	if *project == "" {
		*project = p.Project
	}
	return p.Reaches(*project)
}

// record appends a row to the audit log of p's team, in the transaction of q.
// target names the subject of the action and holds no secret.
func (c *Control) record(ctx context.Context, q *store.Queries, p lateen.Principal, action lateen.Action, project lateen.ProjectID, target string) error {
	return q.AppendAudit(ctx, &lateen.AuditEvent{
		ID: lateen.NewID[lateen.AuditID]("aud_", c.Now()), Team: p.Team, CreatedAt: c.now(), User: p.User, Token: p.Token,
		Project: project, Action: action, Target: target, Client: lateen.ClientFrom(ctx), Request: lateen.RequestIDFrom(ctx),
	})
}

// Audit returns rows of the audit log of the caller's team, newest first. The
// filter's team is the caller's.
func (c *Control) Audit(ctx context.Context, filter store.AuditFilter) ([]lateen.AuditEvent, error) {
	p, err := act(ctx, lateen.AuditRead)
	if err != nil {
		return nil, err
	}
	filter.Team = p.Team
	if p.Project != "" {
		for _, id := range filter.Projects {
			if !p.Reaches(id) {
				return nil, nil
			}
		}
		filter.Projects = []lateen.ProjectID{p.Project}
	}
	return c.Store.ListAudit(ctx, filter)
}

// MayReadMetrics reports whether the bearer of a token may read the metrics of
// the platform, which name the projects of every team: members of the
// platform's first team may. Errors: those of [Control.Authenticate] and
// [lateen.Authorize].
func (c *Control) MayReadMetrics(ctx context.Context, token string) error {
	first, err := c.Store.FirstTeam(ctx)
	if err != nil {
		return err
	}
	p, err := c.Authenticate(ctx, token, string(first.ID))
	if err != nil {
		return err
	}
	if p.Project != "" {
		return lateen.ErrScopeTooNarrow.With("the token is limited to a project, and metrics are of the whole platform")
	}
	return p.May(lateen.MetricsRead)
}

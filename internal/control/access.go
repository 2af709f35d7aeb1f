package control

import (
	"context"
	"errors"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

// authorize returns the principal of ctx if its role and its scope include the
// permission. Errors: [lateen.ErrTokenMissing], [lateen.ErrTeamNotFound] for a user
// without a team, and those of [lateen.Authorize].
func authorize(ctx context.Context, need lateen.Permission) (lateen.Principal, error) {
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
		return nil, lateen.ErrProjectNotFound.With("project %q not found", idOrName)
	}
	return project, err
}

// narrow restricts the project of a filter to the projects that p can reach; "" is
// every project. It reports false if no project is left.
func narrow(p lateen.Principal, project *lateen.ProjectID) bool {
	if *project == "" {
		*project = p.Project
	}
	return p.Reaches(*project)
}

// record appends a row to the audit log of p's team, in the transaction of q. target
// names the subject of the action and contains no secret.
func (c *Control) record(ctx context.Context, q *store.Queries, p lateen.Principal, action lateen.Action, project lateen.ProjectID, target string) error {
	return q.AppendAudit(ctx, &lateen.AuditEvent{
		ID: lateen.NewID[lateen.AuditID]("aud_", c.Now()), Team: p.Team, CreatedAt: c.now(), User: p.User, Token: p.Token,
		Project: project, Action: action, Target: target, Client: lateen.ClientFrom(ctx), Request: lateen.RequestIDFrom(ctx),
	})
}

// Audit returns rows of the audit log of the caller's team, newest first. It
// overrides the team of the filter.
func (c *Control) Audit(ctx context.Context, filter store.AuditFilter) ([]lateen.AuditEvent, error) {
	p, err := authorize(ctx, lateen.AuditRead)
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

// MayReadMetrics returns nil if the bearer of a token may read the metrics of the
// platform. Metrics name projects of every team, so only members of the platform's
// first team may read them. Errors: those of [Control.Authenticate] and
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
		return lateen.ErrScopeTooNarrow.With("the token is limited to a project, but metrics cover the whole platform")
	}
	return p.May(lateen.MetricsRead)
}

// MayDebug returns nil if the caller may read profiles and debug bundles. They show
// the whole platform, so the caller must be an owner of its first team, whichever
// team the call acts for. Errors: those of [lateen.Authorize].
func (c *Control) MayDebug(ctx context.Context) error {
	return c.ownerMay(ctx, lateen.DebugRead, "profiles and debug bundles")
}

// ownerMay returns nil if the caller has a permission for the whole platform, and is
// an owner of its first team. The subject of the permission is for the error.
func (c *Control) ownerMay(ctx context.Context, need lateen.Permission, subject string) error {
	p, err := authorize(ctx, need)
	if err != nil {
		return err
	}
	if p.Project != "" {
		return lateen.ErrScopeTooNarrow.With("the token is limited to a project, so it cannot read %s", subject)
	}
	owns, err := ownsPlatform(ctx, c.Store.Queries, p.User)
	if err == nil && !owns {
		err = lateen.ErrRoleTooLow.With("only owners of the platform's first team can read %s", subject).WithHint("ask an owner of that team")
	}
	return err
}

// ownsPlatform reports whether a user is an owner of the platform's first team.
func ownsPlatform(ctx context.Context, q *store.Queries, user lateen.UserID) (bool, error) {
	first, err := q.FirstTeam(ctx)
	if err != nil {
		return false, err
	}
	member, err := q.GetMember(ctx, first.ID, user)
	if err != nil && !errors.Is(err, lateen.ErrTeamNotFound) {
		return false, err
	}
	return member.Role == lateen.Owner, nil
}

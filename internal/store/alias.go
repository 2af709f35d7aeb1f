package store

import (
	"context"
	"errors"

	"github.com/lateen-dev/lateen"
)

// AliasFilter selects aliases; a zero field selects all.
type AliasFilter struct {
	Team       lateen.TeamID
	Project    lateen.ProjectID
	Deployment lateen.DeploymentID
	Until      lateen.Millis // created before this time
	Limit      int           // as in [Queries.ListProjects]
}

// PutAlias points a host at a deployment. An alias that the project has already
// keeps its id and creation time, which PutAlias writes into a. previous is the
// deployment that the host led to before, "" for a new alias. Errors:
// [lateen.ErrAliasTaken] if another project has the alias,
// [lateen.ErrDeploymentNotFound].
func (q *Queries) PutAlias(ctx context.Context, a *lateen.Alias) (previous lateen.DeploymentID, err error) {
	err = q.write(ctx, func(q *Queries) error {
		previous, err = q.putAlias(ctx, a)
		return err
	})
	return previous, err
}

func (q *Queries) putAlias(ctx context.Context, a *lateen.Alias) (lateen.DeploymentID, error) {
	m := meaning{taken: lateen.ErrAliasTaken, dangling: lateen.ErrDeploymentNotFound}
	old, err := one(ctx, q, lateen.ErrAliasNotFound, scanAlias, selectAlias+` WHERE host = ?`, a.Host)
	switch {
	case errors.Is(err, lateen.ErrAliasNotFound):
		return "", q.exec(ctx, m,
			`INSERT INTO aliases (id, host, project_id, team_id, deployment_id, redirect, automatic, creator_id, created_at, updated_at)
			 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			a.ID, a.Host, a.Project, a.Team, a.Deployment, a.Redirect, a.Automatic, a.Creator, a.CreatedAt, a.UpdatedAt)
	case err != nil:
		return "", err
	case old.Project != a.Project:
		return "", lateen.ErrAliasTaken
	}
	a.ID, a.CreatedAt = old.ID, old.CreatedAt
	return old.Deployment, q.exec(ctx, m,
		`UPDATE aliases SET deployment_id = ?, redirect = ?, automatic = ?, creator_id = ?, updated_at = ? WHERE id = ?`,
		a.Deployment, a.Redirect, a.Automatic, a.Creator, a.UpdatedAt, a.ID)
}

// GetAlias returns an alias of any team by id or host.
// Errors: [lateen.ErrAliasNotFound].
func (q *Queries) GetAlias(ctx context.Context, idOrHost string) (*lateen.Alias, error) {
	return one(ctx, q, lateen.ErrAliasNotFound.With("alias %q not found", idOrHost), scanAlias, selectAlias+` WHERE id = ? OR host = ?`, idOrHost, idOrHost)
}

// ListAliases returns aliases, newest first, in pages like those of
// [Queries.ListProjects].
func (q *Queries) ListAliases(ctx context.Context, f AliasFilter) ([]*lateen.Alias, error) {
	var w where
	equal(&w, "team_id", f.Team)
	equal(&w, "project_id", f.Project)
	equal(&w, "deployment_id", f.Deployment)
	key := func(a *lateen.Alias) (lateen.Millis, string) { return a.CreatedAt, string(a.ID) }
	return page(ctx, q, scanAlias, key, selectAlias, w, f.Until, f.Limit)
}

// DeleteAlias removes an alias. Errors: [lateen.ErrAliasNotFound].
func (q *Queries) DeleteAlias(ctx context.Context, id lateen.AliasID) error {
	return q.exec(ctx, meaning{missing: lateen.ErrAliasNotFound}, `DELETE FROM aliases WHERE id = ?`, id)
}

const selectAlias = `SELECT id, host, project_id, team_id, deployment_id, redirect, automatic, creator_id, created_at, updated_at FROM aliases`

func scanAlias(r row) (*lateen.Alias, error) {
	a := &lateen.Alias{}
	return a, r.Scan(&a.ID, &a.Host, &a.Project, &a.Team, &a.Deployment, &a.Redirect, &a.Automatic, &a.Creator, &a.CreatedAt, &a.UpdatedAt)
}

package store

import (
	"context"
	"strings"

	"github.com/lateen-dev/lateen"
)

// ProjectFilter chooses projects; a zero field chooses all.
type ProjectFilter struct {
	Team    lateen.TeamID
	Project lateen.ProjectID
	Search  string        // part of the name, in any case
	Until   lateen.Millis // created before
	Limit   int           // see [Queries.ListProjects]
}

// CreateProject adds a project. Errors: [lateen.ErrProjectTaken],
// [lateen.ErrTeamNotFound].
func (q *Queries) CreateProject(ctx context.Context, p *lateen.Project) error {
	return q.exec(ctx, meaning{taken: lateen.ErrProjectTaken, dangling: lateen.ErrTeamNotFound},
		`INSERT INTO projects (id, team_id, name, created_at, updated_at, settings, production_id, pinned, alias_request)
		 VALUES (?, ?, ?, ?, ?, ?, NULLIF(?, ''), ?, ?)`,
		p.ID, p.Team, p.Name, p.CreatedAt, p.UpdatedAt, asJSON[lateen.ProjectSettings]{&p.ProjectSettings},
		p.Production, p.PinnedByRollback, asJSON[*lateen.AliasRequest]{&p.LastAliasRequest})
}

// GetProject returns a project of a team by id or name; the id goes first.
// Errors: [lateen.ErrProjectNotFound].
func (q *Queries) GetProject(ctx context.Context, team lateen.TeamID, idOrName string) (*lateen.Project, error) {
	return one(ctx, q, lateen.ErrProjectNotFound.With("there is no project %q", idOrName), scanProject,
		selectProject+` WHERE team_id = ? AND (id = ? OR name = ?) ORDER BY CASE WHEN id = ? THEN 0 ELSE 1 END`,
		team, idOrName, idOrName, idOrName)
}

// FindProject returns a project of any team. Errors: [lateen.ErrProjectNotFound].
func (q *Queries) FindProject(ctx context.Context, id lateen.ProjectID) (*lateen.Project, error) {
	return one(ctx, q, lateen.ErrProjectNotFound, scanProject, selectProject+` WHERE id = ?`, id)
}

// ListProjects returns projects, newest first, Limit of them (0: all) and
// those created in the same millisecond as the last: to go on, ask until that time.
func (q *Queries) ListProjects(ctx context.Context, f ProjectFilter) ([]*lateen.Project, error) {
	var w where
	equal(&w, "team_id", f.Team)
	if len(f.Search) > maxSearch {
		return nil, nil // no name is that long, and databases refuse a pattern that is
	}
	equal(&w, "id", f.Project)
	if f.Search != "" {
		w.and(`lower(name) LIKE ? ESCAPE '\'`, "%"+escapeLike(strings.ToLower(f.Search))+"%")
	}
	key := func(p *lateen.Project) (lateen.Millis, string) { return p.CreatedAt, string(p.ID) }
	return page(ctx, q, scanProject, key, selectProject, w, f.Until, f.Limit)
}

// maxSearch is more bytes than a name has.
const maxSearch = 1000

// UpdateProject writes all of a project but its id, team and creation.
// Errors: [lateen.ErrProjectNotFound], [lateen.ErrProjectTaken],
// [lateen.ErrDeploymentNotFound] of its Production.
func (q *Queries) UpdateProject(ctx context.Context, p *lateen.Project) error {
	return q.exec(ctx, meaning{taken: lateen.ErrProjectTaken, dangling: lateen.ErrDeploymentNotFound, missing: lateen.ErrProjectNotFound},
		`UPDATE projects SET name = ?, updated_at = ?, settings = ?, production_id = NULLIF(?, ''), pinned = ?, alias_request = ?
		 WHERE id = ?`,
		p.Name, p.UpdatedAt, asJSON[lateen.ProjectSettings]{&p.ProjectSettings},
		p.Production, p.PinnedByRollback, asJSON[*lateen.AliasRequest]{&p.LastAliasRequest}, p.ID)
}

// DeleteProject removes a project with its variables, deployments and aliases.
// Errors: [lateen.ErrProjectNotFound].
func (q *Queries) DeleteProject(ctx context.Context, id lateen.ProjectID) error {
	return q.exec(ctx, meaning{missing: lateen.ErrProjectNotFound}, `DELETE FROM projects WHERE id = ?`, id)
}

// Production is a project with the deployment that serves its production hosts.
type Production struct {
	Project    lateen.ProjectID
	Deployment lateen.DeploymentID
}

// ListProductions returns the projects that have a deployment in production.
func (q *Queries) ListProductions(ctx context.Context) ([]Production, error) {
	return list(ctx, q, scanProduction, `SELECT id, production_id FROM projects WHERE production_id IS NOT NULL ORDER BY id`)
}

func scanProduction(r row) (Production, error) {
	var p Production
	err := r.Scan(&p.Project, &p.Deployment)
	return p, err
}

const selectProject = `SELECT id, team_id, name, created_at, updated_at, settings,
	COALESCE(production_id, ''), pinned, alias_request FROM projects`

func scanProject(r row) (*lateen.Project, error) {
	p := &lateen.Project{}
	return p, r.Scan(&p.ID, &p.Team, &p.Name, &p.CreatedAt, &p.UpdatedAt, asJSON[lateen.ProjectSettings]{&p.ProjectSettings},
		&p.Production, &p.PinnedByRollback, asJSON[*lateen.AliasRequest]{&p.LastAliasRequest})
}

// escapeLike makes text match itself in LIKE … ESCAPE '\'.
func escapeLike(text string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(text)
}
